"""The user's licensed files that benchmarks need: SMPL bodies by gender, and Human3.6M's joint regressor."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.files import SHIPPED
from humesh.body.joints import H36M17, LIMBS12, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import Bodies
from humesh.evaluation.protocols import Source
from humesh.evaluation.subsets import EvaluationError
from humesh.files import Array, read_arrays

REGRESSORS = ("J_regressor_h36m_correct.npy", "J_regressor_h36m.npy")
"""Human3.6M's 17 joints from SMPL's vertices, under the names that the papers' code has for the file."""

_GENDERS = {
    "neutral": r"smpl_neutral|basicmodel_neutral",
    "male": r"smpl_male|basicmodel_m_",
    "female": r"smpl_female|basicmodel_f_",
}
_H36M_NAMES = {"head": "jaw"}  # MPI-INF-3DHP's head is where Human3.6M has the jaw (SPIN's order of 17 joints)


class BodyFiles:
    """Body models by the names that labels speak of ("open", "smpl-male", ...), from the user's `--body`.

    "open" or "open-low": only these; a file: it is the neutral body; a folder: SMPL's files of three genders in it,
    under their owner's names (`basicmodel_m_...pkl`) or as `SMPL_MALE.pkl` and so on.
    """

    def __init__(self, given: str | Path = "open") -> None:
        self.given, self._of = str(given), {}  # type: str, dict[str, Path]
        if self.given in SHIPPED:
            return
        path = Path(given).resolve()
        if not path.is_dir():
            self._of["smpl-neutral"] = path
            return
        for gender, pattern in _GENDERS.items():
            found = sorted(p for p in path.iterdir() if re.match(pattern, p.name, re.IGNORECASE) and p.is_file())
            if found:
                self._of[f"smpl-{gender}"] = found[0]
        if not self._of:
            raise EvaluationError(
                f"{path}: expected SMPL's files (SMPL_NEUTRAL.pkl, SMPL_MALE.pkl, SMPL_FEMALE.pkl, or as their owner "
                "calls them), found none; give the folder that holds them."
            )

    @property
    def predicted(self) -> BodyModel:
        """The body of predictions: the shipped one, or the neutral one."""
        return self[self.given if self.given in SHIPPED else "smpl-neutral"]

    def __getitem__(self, name: str) -> BodyModel:
        if name in SHIPPED:
            return _load(name)
        if name in self._of:
            return _load(str(self._of[name]))
        have = ", ".join(self._of) or f"humesh's {self.given!r}"
        raise EvaluationError(
            f"--body {self.given}: expected SMPL's file for {name!r}, which the labels speak of, got {have}; "
            "give the folder with SMPL_NEUTRAL, SMPL_MALE and SMPL_FEMALE (smpl.is.tue.mpg.de)."
        )


@lru_cache(maxsize=8)
def _load(body: str) -> BodyModel:
    return BodyModel.load(body)


class Joints:
    """Joints by name of posed bodies, by a protocol's source; Human3.6M's regressor from the user's folder.

    Bodies that bring a regressor of their own (the open ones do) are measured by that.
    """

    def __init__(self, source: Source, names: Sequence[str], folder: Path | None) -> None:
        self.source, self.names, self.folder = source, tuple(names), folder
        self._matrices: dict[str, Float[Tensor, "17 V"]] = {}

    def __call__(self, bodies: Bodies, body: BodyModel) -> Float[Tensor, "*g K 3"]:
        """The joints in metres, in the frame of the bodies."""
        if self.source == "body joints":
            return bodies.joints[..., SMPL24.indices(*self.names), :]
        regressed = self._matrix(body).to(bodies.vertices) @ bodies.vertices
        points = []
        for name in self.names:
            if self.source != "h36m regressor" and name in LIMBS12.names:
                points.append(bodies.joints[..., SMPL24.index(name), :])
            else:
                points.append(regressed[..., H36M17.index(_H36M_NAMES.get(name, name)), :])
        return torch.stack(points, dim=-2)

    def own(self, body: BodyModel) -> bool:
        """Whether joints of this body come from a regressor of its own."""
        return self.source != "body joints" and H36M17.name in body.keypoint_names

    def _matrix(self, body: BodyModel) -> Float[Tensor, "17 V"]:
        if body.name not in self._matrices:
            if self.own(body):
                self._matrices[body.name] = body.get_buffer(f"regressor_{H36M17.name}")
            else:
                self._matrices[body.name] = self._read(len(body.data.template))
        return self._matrices[body.name]

    def _read(self, vertices: int) -> Float[Tensor, "17 V"]:
        paths = [] if self.folder is None else [self.folder / name for name in REGRESSORS]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            where = "no folder" if self.folder is None else str(self.folder)
            raise EvaluationError(
                f"--regressors: expected a folder with {' or '.join(REGRESSORS)}, got {where}; the file comes with the "
                "data of SPIN (nkolot/SPIN) and of 3DCrowdNet (hongsukchoi/3DCrowdNet_RELEASE)."
            )
        layout = {"": Array((len(H36M17), vertices))}
        matrix = read_arrays(path, layout, what="a regressor for this body", error=EvaluationError)[""]
        return torch.from_numpy(matrix).float()
