"""Labelled people from what owners' files hold: keypoints in 2D and 3D, SMPL fits, cameras."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from humesh.body.joints import SMPL24, JointSet
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.datasets.reader import Entry
from humesh.data.sample import LabelledPerson
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo
from humesh.people.person import Person

_SMALLEST = 8.0  # px, a box's longer side
_HEAD = {"nose", "left_eye", "right_eye", "left_ear", "right_ear", "jaw", "head", "head_top"}


def person_2d(
    box: Float[np.ndarray, "4"],
    points: Float[np.ndarray, "K 3"],
    joint_set: JointSet,
    identity: int,
    visible: Float[np.ndarray, " K"] | None = None,
    size: tuple[int, int] | None = None,
) -> LabelledPerson:
    """A person of a box (x0 y0 x1 y1) and 2D points (x, y px, weight); by default all of weight 1 are visible.

    With the photo's `size` (width, height) points outside of it are labelled, but not visible, nor found by a detector.
    """
    points = np.where(points[:, 2:] > 0, points, 0.0).astype(np.float64)
    labels, count = torch.from_numpy(points).float(), len(joint_set)
    shown = np.ones(count) if visible is None else np.asarray(visible)
    if size is not None:
        inside = np.all((points[:, :2] >= 0) & (points[:, :2] < size), axis=-1)
        shown, points = shown * inside, np.where(inside[:, None], points, 0.0)
    zero = torch.zeros(())
    return LabelledPerson(
        seen=Person(np.asarray(box, dtype=np.float64), 1.0, points, joint_set), identity=identity,
        pose=BodyPose.rest(), pose_weight=torch.zeros(24), shape_weight=zero, translation_weight=zero,
        joint_set=joint_set, points3d=torch.zeros(count, 3), points3d_weight=torch.zeros(count),
        points2d=labels[:, :2], points2d_weight=labels[:, 2],
        visible=torch.from_numpy(shown).float() * (labels[:, 2] > 0),
    )  # fmt: skip


def person_3d(
    identity: int,
    joint_set: JointSet,
    photo: Photo,
    pixels: Float[np.ndarray, "K 2"] | None = None,
    points: Float[np.ndarray, "K 3"] | None = None,
    known: Float[np.ndarray, " K"] | None = None,
    hidden: Float[np.ndarray, " K"] | None = None,
    box: Float[np.ndarray, "4"] | None = None,
    detected: tuple[Float[np.ndarray, "D 3"], JointSet] | None = None,
) -> LabelledPerson:
    """A person of points in pixels, in metres or in both, with weights `known` (1).

    Points outside the photo and `hidden` ones (1) are labelled but not visible. A detector finds the visible ones,
    unless the owner gives what it found (`detected`: x, y px, confidence). The box is by default `box_of` all labels.
    """
    if pixels is None:
        assert points is not None
        pixels = photo.camera.project(torch.from_numpy(np.asarray(points, dtype=np.float64))).numpy()
    weight = np.ones(len(pixels)) if known is None else np.asarray(known, dtype=np.float64)
    labelled = np.concatenate([pixels, weight[:, None]], axis=-1)
    shown = None if hidden is None else 1.0 - hidden
    person = person_2d(box_of(labelled) if box is None else box, labelled, joint_set, identity, shown, photo.size)
    found, found_set = detected or (np.concatenate([pixels, person.visible.numpy()[:, None]], axis=-1), joint_set)
    found = np.where(found[:, 2:] > 0, found, 0.0).astype(np.float64)
    person = replace(person, seen=Person(person.seen.box, 1.0, found, found_set))
    if points is None:
        return person
    points3d = torch.from_numpy(np.where(weight[:, None] > 0, points, 0.0)).float()
    return replace(person, points3d=points3d, points3d_weight=person.points2d_weight)


def only_2d(person: LabelledPerson) -> LabelledPerson:
    """The person without labels of pose, shape, translation and 3D points."""
    names = ("pose_weight", "shape_weight", "translation_weight", "points3d_weight")
    weights: dict[str, Any] = {name: torch.zeros_like(getattr(person, name)) for name in names}
    return replace(person, **weights)


def smpl_label(
    vectors: Float[np.ndarray, "72"],
    betas: Float[np.ndarray, " S"],
    translation: Float[np.ndarray, "3"],
    extrinsics: Float[np.ndarray, "3 4"] | None = None,
    model: BodyModel | None = None,
) -> tuple[BodyPose, float]:
    """SMPL's axis-angle pose, first 10 betas and translation (metres) in a camera's frame; and the latter's weight.

    `extrinsics` (R, d) take points of the fit's frame into the camera's, if that is another. SMPL turns its root about
    the rest pelvis p of a `model` and its betas, so the translation t becomes R (p + t) + d - p. Without the model p
    counts as 0 and the translation has weight 0, as it is 0.2 to 0.5 m off; the rotations are exact.
    """
    rotation, shift = (np.eye(3), np.zeros(3)) if extrinsics is None else (extrinsics[:, :3], extrinsics[:, 3])
    rotations = rotation_from_axis_angle(torch.from_numpy(vectors).reshape(-1, 3))
    rotations[0] = torch.from_numpy(rotation) @ rotations[0]
    shape = torch.from_numpy(betas[:10])
    pelvis = np.zeros(3) if model is None else model.rest_joints(shape)[SMPL24.index("pelvis")].numpy()
    moved = rotation @ (pelvis + translation) + shift - pelvis
    pose = BodyPose(rotations, shape, torch.from_numpy(moved)).map(torch.Tensor.float)
    return pose, float(model is not None)


def with_smpl(person: LabelledPerson, label: tuple[BodyPose, float], body: str) -> LabelledPerson:
    """The person with a fit of a `body`, whose translation has a weight of its own (see `smpl_label`)."""
    pose, translation = label
    return replace(
        person, body=body, pose=pose, pose_weight=torch.ones(len(SMPL24)), shape_weight=torch.ones(()),
        translation_weight=torch.tensor(translation),
    )  # fmt: skip


def box_of(points: Float[np.ndarray, "K 3"]) -> Float[np.ndarray, "4"]:
    """The box of the weighted points (x, y px, weight), grown on each side by a tenth of its longer side; or zeros."""
    known = points[points[:, 2] > 0, :2]
    if not len(known):
        return np.zeros(4)
    low, high = known.min(0), known.max(0)
    grown = 0.1 * max((high - low).max(), 1.0)
    return np.concatenate([low - grown, high + grown]).astype(np.float64)


def box_about(centre: Float[np.ndarray, "2"], scale: float) -> Float[np.ndarray, "4"]:
    """The square box of a centre (px) and a scale, the side over 200 px, as MPII and its successors have it."""
    return np.concatenate([centre - 100.0 * scale, centre + 100.0 * scale])


def usable(box: Float[np.ndarray, "4"]) -> bool:
    """Whether a person's box is large enough to crop (our bound)."""
    return bool((box[2:] - box[:2]).max() >= _SMALLEST)


def below_the_head(points: Float[np.ndarray, "K 3"], joint_set: JointSet) -> int:
    """How many labelled points are not of the head."""
    return sum(name not in _HEAD for name, weight in zip(joint_set.names, points[:, 2], strict=True) if weight > 0)


def pinhole(focal: Entry, centre: Entry) -> Camera:
    """The camera of two focal lengths and a principal point in pixels."""
    (fx, fy), (cx, cy) = focal.numbers(2), centre.numbers(2)
    if min(fx, fy) < 1:
        raise focal.wrong("focal lengths in pixels")
    return Camera(torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64))


def fitted_camera(points: Float[np.ndarray, "N 3"], pixels: Float[np.ndarray, "N 2"], path: Path) -> Camera:
    """The pinhole camera without skew that best projects the points 1 cm and more before it, in least squares.

    For datasets whose owner gives no camera. DatasetError, naming the labels' `path`, where none fits.
    """
    matrix, ahead = np.eye(3), (points[:, 2] > 0.01) & np.isfinite(points).all(-1) & np.isfinite(pixels).all(-1)
    for axis in range(2):
        over_depth = points[ahead, axis] / points[ahead, 2]
        unknown = np.stack([over_depth, np.ones_like(over_depth)], axis=-1)
        matrix[axis, [axis, 2]] = np.linalg.lstsq(unknown, pixels[ahead, axis], rcond=None)[0]
    return Entry(matrix, path, "the camera that fits its points").camera()
