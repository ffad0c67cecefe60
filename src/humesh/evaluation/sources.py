"""Joints of posed bodies as protocols define them, with Human3.6M's joint regressor from the user's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.files import H36M_FILES, SHIPPED, read_regressor
from humesh.body.joints import H36M17, LIMBS12, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import Bodies
from humesh.evaluation.protocols import Source
from humesh.evaluation.subsets import EvaluationError

_H36M_NAMES = {"head": "jaw"}  # MPI-INF-3DHP's head is where Human3.6M has the jaw (SPIN's order of 17 joints)


class Joints:
    """Joints by name of posed bodies, by a protocol's source.

    Human3.6M's come from a regressor of the body's own (the open ones, and SMPL files that it lies beside), or from the
    user's `folder`, which goes first for SMPL's bodies.
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

    def of_open_body(self, body: BodyModel) -> bool:
        """Whether joints of this body come from the open body's own regressor, not from SMPL's vertices."""
        return self.source != "body joints" and body.name in SHIPPED

    def _matrix(self, body: BodyModel) -> Float[Tensor, "17 V"]:
        if body.name not in self._matrices:
            own = H36M17.name in body.keypoint_names and (self.folder is None or body.name in SHIPPED)
            self._matrices[body.name] = (
                body.get_buffer(f"regressor_{H36M17.name}") if own else self._read(len(body.data.template))
            )
        return self._matrices[body.name]

    def _read(self, vertices: int) -> Float[Tensor, "17 V"]:
        paths = [] if self.folder is None else [self.folder / name for name in H36M_FILES]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            where = "no folder" if self.folder is None else str(self.folder)
            raise EvaluationError(
                f"--regressors: expected a folder with {' or '.join(H36M_FILES)} (or that file beside the body's), got "
                f"{where}; it comes with the data of SPIN (nkolot/SPIN) and of 3DCrowdNet "
                "(hongsukchoi/3DCrowdNet_RELEASE)."
            )
        return torch.from_numpy(read_regressor(path, len(H36M17), vertices, EvaluationError)).float()
