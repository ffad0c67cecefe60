"""What the readers of 3D datasets share: people with 3D and SMPL labels, cameras, bodies moved into their frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from humesh.body.joints import SMPL24, JointSet
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.datasets.entries import Entry
from humesh.data.datasets.labels import box_of, person_2d, stored_photo
from humesh.data.sample import LabelledPerson
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo
from humesh.people.person import Person

Bodies = Mapping[str, BodyModel]
"""The user's own body models by the names that labels speak of: {"smpl-male": BodyModel.load(path), ...}."""

_WEIGHTS = ("pose_weight", "shape_weight", "translation_weight", "points3d_weight")
_CALIBRATED = "the dataset's calibration"


def calibrated(matrix: Float[np.ndarray, "3 3"]) -> Camera:
    """The camera of intrinsics in pixels, as files give them."""
    return Camera(torch.from_numpy(np.array(matrix, dtype=np.float64)))


def calibrated_photo(path: Path, camera: Camera | Float[np.ndarray, "3 3"], source: str = _CALIBRATED) -> Photo:
    """A stored photo and the camera that took it, or its intrinsics in pixels."""
    camera = camera if isinstance(camera, Camera) else calibrated(camera)
    return replace(stored_photo(path, camera), camera_source=source)


def pinhole(focal: Entry, centre: Entry) -> Camera:
    """The camera of two focal lengths and a principal point in pixels."""
    (fx, fy), (cx, cy) = focal.numbers(2), centre.numbers(2)
    if min(fx, fy) < 1:
        raise focal.wrong("focal lengths in pixels")
    return calibrated(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]))


def fitted_camera(points: Float[np.ndarray, "N 3"], pixels: Float[np.ndarray, "N 2"], path: Path) -> Camera:
    """The pinhole camera (no skew, no distortion) that best projects points 1 cm and more before it: least squares.

    For datasets whose owner gives both but not the camera. `path`: of the labels, for DatasetError where none fits.
    """
    matrix, ahead = np.eye(3), (points[:, 2] > 0.01) & np.isfinite(points).all(-1) & np.isfinite(pixels).all(-1)
    for axis in range(2):
        over_depth = points[ahead, axis] / points[ahead, 2]
        unknown = np.stack([over_depth, np.ones_like(over_depth)], axis=-1)
        focal, centre = np.linalg.lstsq(unknown, pixels[ahead, axis], rcond=None)[0]
        matrix[axis, axis], matrix[axis, 2] = focal, centre
    return calibrated(Entry(matrix, path, "the camera that fits its points").intrinsics())


def projected(camera: Camera, points: Float[np.ndarray, "*g K 3"]) -> Float[np.ndarray, "*g K 2"]:
    """Pixels of points in metres, camera frame."""
    return camera.project(torch.from_numpy(np.asarray(points, dtype=np.float64))).numpy()


def smpl_label(
    vectors: Float[np.ndarray, "72"],
    betas: Float[np.ndarray, " S"],
    translation: Float[np.ndarray, "3"],
    extrinsics: Float[np.ndarray, "r 4"] | None = None,
    model: BodyModel | None = None,
) -> tuple[BodyPose, float]:
    """SMPL's axis-angle pose, first 10 betas and translation (metres), moved into a camera's frame; and a weight.

    `extrinsics` take points of the fit's frame into the camera's; none: it is the camera's already. SMPL turns its root
    about the rest pelvis p, which the gendered file and the betas tell, so the translation becomes R (p + t) + d - p.
    The weight of the translation is 1 if that `model` is given, else 0: then p counts as 0, and the translation is off
    by R p - p, 0.2 to 0.5 m. The rotations are exact without it.
    """
    turn, shift = (np.eye(3), np.zeros(3)) if extrinsics is None else (extrinsics[:3, :3], extrinsics[:3, 3])
    rotations = rotation_from_axis_angle(torch.from_numpy(np.asarray(vectors, dtype=np.float64)).reshape(-1, 3))
    rotations[0] = torch.from_numpy(np.asarray(turn, dtype=np.float64)) @ rotations[0]
    shape = torch.from_numpy(np.asarray(betas, dtype=np.float64)[:10])
    pelvis = np.zeros(3)
    if model is not None:
        pelvis = model.rest_joints(shape)[SMPL24.index("pelvis")].numpy()
    moved = turn @ (pelvis + np.asarray(translation, dtype=np.float64)) + shift - pelvis
    pose = BodyPose(rotations, shape, torch.from_numpy(moved)).map(torch.Tensor.float)
    return pose, float(model is not None)


def with_smpl(person: LabelledPerson, label: tuple[BodyPose, float], body: str, weight: float = 1.0) -> LabelledPerson:
    """The person with pose and shape of a `weight` and a translation of another (see `smpl_label`), for a `body`."""
    pose, translation = label
    return replace(
        person,
        pose=pose,
        pose_weight=torch.full((len(SMPL24),), weight),
        shape_weight=torch.tensor(weight),
        translation_weight=torch.tensor(translation),
        body=body,
    )


def only_2d(person: LabelledPerson) -> LabelledPerson:
    """The person with nothing labelled but the points in the photo."""
    nothing: dict[str, Any] = {name: torch.zeros_like(getattr(person, name)) for name in _WEIGHTS}
    return replace(person, **nothing)


def person_3d(
    identity: int,
    joint_set: JointSet,
    size: tuple[int, int],
    pixels: Float[np.ndarray, "K 2"],
    points: Float[np.ndarray, "K 3"] | None = None,
    known: Float[np.ndarray, " K"] | None = None,
    hidden: Float[np.ndarray, " K"] | None = None,
    box: Float[np.ndarray, "4"] | None = None,
    seen: tuple[Float[np.ndarray, "D 3"], JointSet] | None = None,
) -> LabelledPerson:
    """A person of labelled points: pixels, metres if there are, weights (`known`, all 1 if absent).

    Points outside the photo of (width, height) `size` and `hidden` ones (1) are labelled but not visible. What a
    detector would say is `seen` (x, y px, confidence), else the visible labels; its box is `box`, else that of all
    labels, grown by a tenth of its longer side.
    """
    weight = np.ones(len(pixels)) if known is None else np.asarray(known, dtype=np.float64)
    labelled = np.concatenate([pixels, weight[:, None]], axis=-1)
    shown = None if hidden is None else 1.0 - hidden
    person = person_2d(box_of(labelled) if box is None else box, labelled, joint_set, identity, shown, size)
    points2d, seen_set = seen or (np.concatenate([pixels, person.visible.numpy()[:, None]], axis=-1), joint_set)
    points2d = np.where(points2d[:, 2:] > 0, points2d, 0.0).astype(np.float64)
    person = replace(person, seen=Person(person.seen.box, 1.0, points2d, seen_set))
    if points is None:
        return person
    points3d = torch.from_numpy(np.where(weight[:, None] > 0, points, 0.0)).float()
    return replace(person, points3d=points3d, points3d_weight=person.points2d_weight)
