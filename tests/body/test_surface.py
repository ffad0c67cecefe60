"""A user's SMPL-format file has the points that data and detectors name: by vertex, and by the regressors beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from humesh.body.files import BodyFileError, read_body
from humesh.body.joints import (
    COCO17,
    H36M17,
    JOTR30,
    LSP14,
    OPENPOSE25,
    SMPL24,
    SPIN9,
    SPIN24,
    SURFACE12,
    JointSet,
)
from humesh.body.model import BodyModel, Rig
from humesh.body.pose import BodyPose

NUMBERS = [331, 2802, 6262, 3489, 3990, 411, 3216, 3226, 3387, 6617, 6624, 6787]
"""SMPL's vertices at the points of SURFACE12 (JOTR's and IK-refine's fact sheets)."""


def smpl_arrays() -> dict[str, Any]:
    """The open body in SMPL's keys, without its regressors, and as if SMPL's numbering were its own."""
    data = read_body("open")
    arrays = {
        "v_template": data.template,
        "shapedirs": data.shape_directions,
        "J_regressor": data.joint_regressor,
        "weights": data.weights.copy(),
        "f": data.faces,
        "kintree_table": np.array([[-1, *SMPL24.parents[1:]], range(24)]),
    }
    for name, number in zip(SURFACE12.names, NUMBERS, strict=True):
        foot = name.endswith(("toe", "heel"))
        joint = SMPL24.index(f"{name.partition('_')[0]}_foot") if foot else SMPL24.index("head")
        arrays["weights"][number] = np.eye(24)[joint]
    return arrays


def test_a_mesh_of_smpls_numbering_gives_smpls_vertices(tmp_path: Path) -> None:
    arrays = smpl_arrays()
    np.savez(tmp_path / "body.npz", **arrays)
    rows = read_body(tmp_path / "body.npz").keypoint_regressors[SURFACE12.name]
    assert [row.nonzero()[0].tolist() for row in rows] == [[number] for number in NUMBERS]
    assert (rows.sum(1) == 1).all()
    arrays["weights"][NUMBERS[0]] = np.eye(24)[SMPL24.index("pelvis")]  # no nose hangs on a pelvis: another mesh
    np.savez(tmp_path / "body.npz", **arrays)
    assert not read_body(tmp_path / "body.npz").keypoint_regressors


@pytest.mark.parametrize("joint_set", [JOTR30, COCO17, OPENPOSE25])
def test_training_and_detectors_points_are_on_it(tmp_path: Path, joint_set: JointSet) -> None:
    np.savez(tmp_path / "body.npz", **smpl_arrays())
    body = BodyModel.load(tmp_path / "body.npz")
    bodies = body(BodyPose.rest(2))
    points = body.points(bodies, joint_set)
    at = body.data.keypoint_regressors[SURFACE12.name].argmax(1)
    for name, point in zip(joint_set.names, points.unbind(1), strict=True):
        if name in SMPL24.names:
            assert torch.equal(point, bodies.joints[:, SMPL24.index(name)])
        else:
            assert torch.allclose(point, bodies.vertices[:, at[SURFACE12.index(name)]])
    rig, kept = Rig.of(body, joint_set)
    assert kept == list(range(len(joint_set)))
    found, _ = rig.points(body, BodyPose.rest(2, dtype=torch.float64))
    assert torch.allclose(found, points.double(), atol=1e-6)


def _with_regressors(folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A body with Human3.6M's and SPIN's regressors in its folder, of which each row takes one vertex."""
    np.savez(folder / "SMPL_NEUTRAL.npz", **smpl_arrays())
    vertices, rows = 6890, {}
    for name, first in {"J_regressor_h36m": 0, "J_regressor_extra": 100}.items():
        count = len(H36M17) if first == 0 else len(SPIN9)
        rows[name] = np.eye(count, vertices, first)
        np.save(folder / f"{name}.npy", rows[name])
    return folder / "SMPL_NEUTRAL.npz", rows


def test_the_papers_regressors_are_read_where_they_lie_beside_it(tmp_path: Path) -> None:
    path, rows = _with_regressors(tmp_path)
    body = BodyModel.load(path)
    bodies = body(BodyPose.rest())
    at = {name: torch.from_numpy(matrix).float() @ bodies.vertices for name, matrix in rows.items()}
    assert torch.equal(body.points(bodies, H36M17), at["J_regressor_h36m"])
    assert torch.equal(body.points(bodies, LSP14), at["J_regressor_h36m"][H36M17.indices(*LSP14.names)])
    spin = dict(zip(SPIN24.names, body.points(bodies, SPIN24), strict=True))
    for name in SPIN24.names:  # SPIN's 49 joints, the last 24: 9 of its file, limbs of the skeleton, face of the skin
        if name in SPIN9.names:
            assert torch.equal(spin[name], at["J_regressor_extra"][SPIN9.index(name)])
        elif name in SMPL24.names:
            assert torch.equal(spin[name], bodies.joints[SMPL24.index(name)])
    jotr = dict(zip(JOTR30.names, body.points(bodies, JOTR30), strict=True))
    assert torch.equal(jotr["head_top"], at["J_regressor_extra"][3])  # JOTR's 30: row 3 of that file
    assert torch.equal(jotr["neck"], bodies.joints[SMPL24.index("neck")])
    np.save(tmp_path / "J_regressor_h36m_correct.npy", rows["J_regressor_h36m"][::-1])
    again = BodyModel.load(path)
    assert torch.equal(again.points(bodies, H36M17), at["J_regressor_h36m"].flip(0)), "the corrected file goes first"


def test_a_regressor_of_another_body_is_refused(tmp_path: Path) -> None:
    path, _ = _with_regressors(tmp_path)
    np.save(tmp_path / "J_regressor_extra.npy", np.ones((9, 7)))
    with pytest.raises(BodyFileError, match=r"J_regressor_extra.npy: expected .* 9 x 6890, got .*9 x 7"):
        read_body(path)
