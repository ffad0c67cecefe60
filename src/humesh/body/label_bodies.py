"""Bodies by the names that labels have for them ("open", "smpl-male", ...), and labels of one moved onto another."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.files import SHIPPED, BodyFileError
from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose

NEUTRAL = "smpl-neutral"
_FILES = {
    NEUTRAL: r"smpl_neutral|basicmodel_neutral",
    "smpl-male": r"smpl_male|basicmodel_m_",
    "smpl-female": r"smpl_female|basicmodel_f_",
}
_PELVIS = SMPL24.index("pelvis")
_load = lru_cache(maxsize=8)(BodyModel.load)


def label_of(body: BodyModel) -> str:
    """The name that labels have for a body: "open" for the shipped ones, "smpl-neutral" for a user's file."""
    return "open" if body.name in SHIPPED else NEUTRAL


class BodyFiles:
    """Body models by the names that labels have for them, from the user's `--body`.

    "open" or "open-low": only these; a file: it is the neutral body; a folder: SMPL's files of three genders in it,
    under their owner's names (`basicmodel_m_...pkl`) or as `SMPL_MALE.pkl` and so on. Raises BodyFileError.
    """

    def __init__(self, given: str | Path = "open") -> None:
        self.given, path = str(given), Path(given).resolve()
        if self.given in SHIPPED:
            self._paths = dict[str, Path]()
        elif not path.is_dir():
            self._paths = {NEUTRAL: path}
        else:
            files = sorted(file for file in path.iterdir() if file.is_file())
            found = {label: [f for f in files if re.match(p, f.name, re.IGNORECASE)] for label, p in _FILES.items()}
            self._paths = {label: some[0] for label, some in found.items() if some}
            if not self._paths:
                raise BodyFileError(
                    f"{path}: expected SMPL's files (SMPL_NEUTRAL.pkl, SMPL_MALE.pkl, SMPL_FEMALE.pkl, or as their "
                    "owner calls them), found none; give the folder that holds them."
                )

    @property
    def predicted(self) -> BodyModel:
        """The body of predictions: the shipped one, or the neutral one."""
        return self[self.given if self.given in SHIPPED else NEUTRAL]

    @property
    def smpl(self) -> dict[str, BodyModel]:
        """The user's SMPL bodies."""
        return {name: self[name] for name in self._paths}

    def __getitem__(self, name: str) -> BodyModel:
        if name in SHIPPED:
            return _load(name)
        if name in self._paths:
            return _load(str(self._paths[name]))
        have = ", ".join(self._paths) or f"humesh's {self.given!r}"
        raise BodyFileError(
            f"--body {self.given}: expected SMPL's file for {name!r}, which the labels are for, got {have}; "
            "give the folder with SMPL_NEUTRAL, SMPL_MALE and SMPL_FEMALE (smpl.is.tue.mpg.de)."
        )


def onto(pose: BodyPose, source: BodyModel, target: BodyModel) -> BodyPose:
    """A pose of one SMPL body for another (neutral for gendered): the same rotations, the nearest rest surface.

    The target's shape is the one with the least squares between both rest surfaces about their pelvises, which is
    linear in the source's; the posed pelvis stays where it is.
    """
    offset, matrix = _shapes(source, target)
    shape = offset.to(pose.shape) + pose.shape @ matrix.to(pose.shape)
    pelvis = source.rest_joints(pose.shape)[..., _PELVIS, :] - target.rest_joints(shape)[..., _PELVIS, :]
    return BodyPose(pose.rotations, shape, pose.translation + pelvis)


@lru_cache(maxsize=8)
def _shapes(source: BodyModel, target: BodyModel) -> tuple[Float[Tensor, " S"], Float[Tensor, "S S"]]:
    """The target's shape for the source's mean body, and its growth with the source's shape."""
    rest, directions = _about_pelvis(source)
    target_rest, target_directions = _about_pelvis(target)
    wanted = torch.cat([(rest - target_rest)[None], directions]).T
    found = torch.linalg.lstsq(target_directions.T, wanted).solution.T
    return found[0], found[1:]


def _about_pelvis(body: BodyModel) -> tuple[Float[Tensor, " D"], Float[Tensor, "S D"]]:
    """The mean rest surface and the shape directions, D = 3 V, of a body whose pelvis stays at the origin."""
    vertices = len(body.data.template)
    pelvis, moves = body.rest_template[_PELVIS].double(), body.rest_directions[:, _PELVIS].double()
    rest = body.template.double() - pelvis.repeat_interleave(vertices)
    return rest, body.shape_directions.double() - moves.repeat_interleave(vertices, dim=1)
