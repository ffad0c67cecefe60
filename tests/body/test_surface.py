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
    COCO_FEET,
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


def arrays_of(body: str = "open", betas: tuple[float, ...] = ()) -> dict[str, Any]:
    """A shipped body in SMPL's keys, without its regressors; `betas`: the shape that its template has."""
    data = read_body(body)
    shape = np.pad(np.array(betas), (0, 10 - len(betas)))
    return {
        "v_template": data.template + data.shape_directions @ shape,
        "shapedirs": data.shape_directions,
        "J_regressor": data.joint_regressor,
        "weights": data.weights,
        "f": data.faces,
        "kintree_table": np.array([[-1, *SMPL24.parents[1:]], range(24)]),
    }


def test_face_head_and_feet_are_found_by_shape(tmp_path: Path) -> None:
    """On the open body, whose own regressors know where they are, for five shapes and in another order of vertices."""
    data = read_body("open")
    known = {
        name: data.keypoint_regressors[joint_set.name][joint_set.index(name)]
        for joint_set in (H36M17, COCO_FEET, COCO17)
        for name in joint_set.names
    }
    order = np.random.default_rng(0).permutation(len(data.template))
    for betas in ((), (2.0,), (-2.0, 2.0), (0.0, -2.0, 2.0), (1, 1, -1, 1, -1, 1, 1, -2, 2, 2)):
        arrays = arrays_of(betas=betas)
        truth = np.stack([known[name] for name in SURFACE12.names]) @ arrays["v_template"]
        shuffled = {key: arrays[key][order] for key in ("v_template", "shapedirs", "weights")}
        shuffled |= {"J_regressor": arrays["J_regressor"][:, order], "f": np.argsort(order)[arrays["f"]]}
        np.savez(tmp_path / "body.npz", **(arrays | shuffled))
        found = read_body(tmp_path / "body.npz")
        error = np.linalg.norm(found.keypoint_regressors[SURFACE12.name] @ found.template - truth, axis=-1)
        # A vertex lies on the skin: the open body's heel is 2 cm within, nose and toes a few millimetres outside.
        for name, miss in zip(SURFACE12.names, error, strict=True):
            assert miss < (0.03 if "heel" in name else 0.012 if "toe" in name else 0.009), (betas, name)


def test_the_face_is_found_where_the_neck_hangs_on_the_head(tmp_path: Path) -> None:
    """Bodies differ in where the head's part of the skin ends below."""
    arrays, face = arrays_of("open-low"), slice(0, 6)
    np.savez(tmp_path / "body.npz", **arrays)
    found = read_body(tmp_path / "body.npz").keypoint_regressors[SURFACE12.name].argmax(1)
    head = arrays["weights"].argmax(1) == SMPL24.index("head")
    (left, low, back), (right, _, front) = (f(arrays["v_template"][head], axis=0) for f in (np.min, np.max))
    x, y, z = arrays["v_template"].T
    neck = (y > low - 0.2) & (y < low) & (x > left) & (x < right) & (z > back) & (z < front)
    assert neck.sum() > 10
    arrays["weights"][neck] = np.eye(24)[SMPL24.index("head")]
    np.savez(tmp_path / "body.npz", **arrays)
    again = read_body(tmp_path / "body.npz").keypoint_regressors[SURFACE12.name].argmax(1)
    assert np.linalg.norm(arrays["v_template"][found[face]] - arrays["v_template"][again[face]], axis=-1).max() < 0.02


def test_a_mesh_of_smpls_numbering_gives_smpls_vertices(tmp_path: Path) -> None:
    arrays = arrays_of()
    part = arrays["weights"].argmax(1)
    for name, number in zip(SURFACE12.names, NUMBERS, strict=True):
        foot = name.endswith(("toe", "heel"))
        joint = SMPL24.index(f"{name.partition('_')[0]}_foot") if foot else SMPL24.index("head")
        arrays["weights"][number] = np.eye(24)[joint]
    assert (part[NUMBERS] != arrays["weights"][NUMBERS].argmax(1)).any()
    np.savez(tmp_path / "body.npz", **arrays)
    rows = read_body(tmp_path / "body.npz").keypoint_regressors[SURFACE12.name]
    assert [row.nonzero()[0].tolist() for row in rows] == [[number] for number in NUMBERS]
    assert (rows.sum(1) == 1).all()
    arrays["weights"][NUMBERS[0]] = np.eye(24)[SMPL24.index("pelvis")]  # no nose hangs on a pelvis: another mesh
    np.savez(tmp_path / "body.npz", **arrays)
    rows = read_body(tmp_path / "body.npz").keypoint_regressors[SURFACE12.name]
    assert rows.argmax(1).tolist() != NUMBERS


@pytest.mark.parametrize("joint_set", [JOTR30, COCO17, OPENPOSE25])
def test_training_and_detectors_points_are_on_it(tmp_path: Path, joint_set: JointSet) -> None:
    np.savez(tmp_path / "body.npz", **arrays_of("open-low"))
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
    np.savez(folder / "SMPL_NEUTRAL.npz", **arrays_of("open-low"))
    vertices, rows = len(read_body("open-low").template), {}
    for name, first in {"J_regressor_h36m": 0, "J_regressor_extra": 100}.items():
        count = len(H36M17) if first == 0 else len(SPIN9)
        rows[name] = np.eye(vertices)[first : first + count]
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
    with pytest.raises(BodyFileError, match=r"J_regressor_extra.npy: expected .* 9 x 1199, got .*9 x 7"):
        read_body(path)
