"""A body's shape from its outline: how wide a person's mask is across trunk and limbs, beside the mean body there.

The mean body is put into the person's pose and drawn into the mask's region; across its bones both are measured, and a
ridge regression from the widths' ratios gives the shape. It was learned from rendered people in clothes, seen by our
own finder and posed by our own lifter (`benchmarks/girth.py --fit`), so clothes, hair and errors of masks and poses are
in it: it says the mean shape where the mask tells nothing, and little where it tells little.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw
from torch import Tensor

from humesh.body.joints import JOINT_SETS, SMPL24
from humesh.body.model import BodyModel, Rig
from humesh.body.pose import BodyPose
from humesh.geometry.align import translation_onto_pixels
from humesh.geometry.camera import Camera
from humesh.people.person import MASK_SIDE, Mask, Person

_ACROSS: dict[str, list[tuple[str, str, tuple[float, ...]]]] = {
    "hips": [("pelvis", "neck", (-0.1, 0.0, 0.1))],
    "waist": [("pelvis", "neck", (0.2, 0.3, 0.4))],
    "chest": [("pelvis", "neck", (0.5, 0.6, 0.7, 0.8))],
    "thighs": [(f"{side}_hip", f"{side}_knee", (0.25, 0.4, 0.55, 0.7, 0.85)) for side in ("left", "right")],
    "shins": [(f"{side}_knee", f"{side}_ankle", (0.15, 0.3, 0.45, 0.6, 0.75)) for side in ("left", "right")],
    "upper arms": [(f"{side}_shoulder", f"{side}_elbow", (0.3, 0.5, 0.7, 0.9)) for side in ("left", "right")],
    "forearms": [(f"{side}_elbow", f"{side}_wrist", (0.2, 0.4, 0.6)) for side in ("left", "right")],
}
"""Where widths are measured: across the line between two joints, at these shares of the way."""
_REACH_M = 0.6  # from the line; nobody is wider
_FORESHORTENED = 0.35  # of a line's length in the T-pose: shorter ones run along the view
_WRONG, _MOST = 0.5, 0.25  # log of a ratio: beyond the first the mask shows something else; more than the second is cut
_MARGIN_PX = 2.0  # of the photo's border
_ALIKE = (0.3, 0.8)  # intersection over union of mask and mean body: from where on they are believed, and fully
_NEAR_M = 0.2

# Of people of shared/motion/poses.npz: benchmarks/girth.py --count 1000 --seed 901 --fit.
MEAN = np.array([0.059, 0.068, 0.042, 0.074, 0.036, 0.049, 0.041])
SLOPES = np.array([
    [-0.01, 0.6, 2.01, -0.0], [-1.5, 1.89, 0.63, 0.95], [-1.83, 1.91, 0.54, 0.53], [0.03, -0.3, -0.43, -0.26],
    [-0.85, -0.09, 0.87, 0.13], [-0.48, 0.13, -0.39, -0.1], [0.64, -0.23, 0.5, -0.31],
])  # fmt: skip
"""Shape coefficients a unit of each width; the open body's first four are stature and how wide trunk and hips are."""


def shapes_by_outline(
    pose: BodyPose, people: Sequence[Person], camera: Camera, size: tuple[int, int]
) -> Float[Tensor, "P S"]:
    """Shape coefficients of the open body for people of a photo of (width, height); the mean's zeros without a mask."""
    widths, belief = outline_widths(pose, people, camera, size)
    shape = torch.zeros_like(pose.shape)
    slopes = SLOPES[:, : shape.shape[1]]  # bodies may be loaded with fewer coefficients
    shape[:, : slopes.shape[1]] = torch.as_tensor(belief[:, None] * (widths - MEAN) @ slopes).to(shape)
    return shape


def outline_widths(
    pose: BodyPose, people: Sequence[Person], camera: Camera, size: tuple[int, int]
) -> tuple[Float[np.ndarray, "P 7"], Float[np.ndarray, " P"]]:
    """The log of how much wider than the mean body people are across hips, waist, chest and limbs, and belief, 0..1."""
    widths, belief = np.zeros((len(people), len(_ACROSS))), np.zeros(len(people))
    if any(person.mask is not None for person in people):
        mean = _mean_body()(_stood(pose, people, camera))
        pixels, joints = (camera.project(points).numpy() for points in (mean.vertices, mean.joints))
        per_metre = camera.focal_px.item() / mean.joints[:, 0, 2].numpy()
        ahead = (mean.vertices[..., 2] > _NEAR_M).all(-1)
        for i, person in enumerate(people):
            if ahead[i] and person.mask is not None:
                widths[i], alike = _widths(pixels[i], joints[i], per_metre[i], person.mask, size)
                belief[i] = alike if person.keypoints is None else alike * np.nan_to_num(person.keypoints[:, 2]).mean()
    return widths, belief


def _stood(pose: BodyPose, people: Sequence[Person], camera: Camera) -> BodyPose:
    """The mean shape in everybody's pose, where its keypoints cover the person's."""
    rotations, places = pose.rotations.double(), pose.translation.double().clone()
    shape, nowhere = torch.zeros(1, _mean_body().shapes).double(), torch.zeros(1, 3).double()
    for i, person in enumerate(people):
        if person.mask is not None and person.keypoints is not None and person.keypoint_set is not None:
            rig, kept = _rig(person.keypoint_set.name)
            points, _ = rig.points(_mean_body(), BodyPose(rotations[i : i + 1], shape, nowhere))
            seen = torch.as_tensor(person.keypoints).double()[kept].nan_to_num(0.0)
            places[i] = translation_onto_pixels(points[0], seen[:, :2], seen[:, 2] ** 2 + 1e-9, camera, steps=3)
    return BodyPose(rotations, shape.expand(len(people), -1), places)


def _widths(
    pixels: Float[np.ndarray, "V 2"],
    joints: Float[np.ndarray, "24 2"],
    per_metre: float,
    mask: Mask,
    size: tuple[int, int],
) -> tuple[Float[np.ndarray, "7"], float]:
    lines, affine = _lines(), mask.photo_from_unit
    region_from_photo = MASK_SIDE * np.linalg.inv(affine[:, :2])

    def into_region(points: Float[np.ndarray, "K 2"]) -> Float[np.ndarray, "K 2"]:
        placed: np.ndarray = (points - affine[:, 2]) @ region_from_photo.T
        return placed

    seen, own = mask.region, drawn(into_region(pixels), _mean_body().faces)
    alike = float((seen & own).sum() / max((seen | own).sum(), 1))
    joints = into_region(joints)
    per_metre *= abs(np.linalg.det(region_from_photo)) ** 0.5
    along = joints[lines.ends] - joints[lines.starts]
    length = np.linalg.norm(along, axis=1)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.maximum(length, 1e-9)[:, None]
    middle = joints[lines.starts] + lines.shares[:, None] * along
    steps = np.arange(
        0, max(_REACH_M * per_metre, 1.0), 0.5
    )  # two at least, also for somebody who is a dot in a wide lens
    ways = [[edges(shown, middle, sign * across, steps) for sign in (1, -1)] for shown in (seen, own)]
    ratio = np.log((ways[0][0] + ways[0][1]) / (ways[1][0] + ways[1][1]))
    for way, sign in zip(ways[0], (1, -1), strict=True):
        ends = (middle + sign * way[:, None] * across) / MASK_SIDE @ affine[:, :2].T + affine[:, 2]
        ratio[~((ends > _MARGIN_PX) & (ends < np.array(size) - _MARGIN_PX)).all(-1)] = np.nan
    ratio[~(np.abs(ratio) < _WRONG) | (length < _FORESHORTENED * per_metre * lines.lengths_m)] = np.nan
    known = np.isfinite(ratio)
    if not known.any():
        return MEAN, 0.0
    whole = ratio[known].mean()
    groups = (lines.groups == np.arange(len(_ACROSS))[:, None]) & known
    sums = np.where(groups, np.nan_to_num(ratio), 0).sum(1)
    means = np.where(groups.any(1), sums / np.maximum(groups.sum(1), 1), whole)
    return np.clip(means, -_MOST, _MOST), float(np.clip((alike - _ALIKE[0]) / (_ALIKE[1] - _ALIKE[0]), 0, 1))


def drawn(points: Float[np.ndarray, "V 2"], faces: np.ndarray) -> Bool[np.ndarray, "128 128"]:
    """The silhouette of a closed surface in a mask's pixels: of the triangles that are turned to the viewer."""
    corners = points[faces]
    one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    shown = corners[one[:, 0] * other[:, 1] < one[:, 1] * other[:, 0]]
    image = Image.new("1", (MASK_SIDE, MASK_SIDE))
    draw = ImageDraw.Draw(image)
    for triangle in shown.reshape(-1, 6).tolist():
        draw.polygon(triangle, fill=1)
    return np.asarray(image)


def edges(
    mask: Bool[np.ndarray, "128 128"],
    starts: Float[np.ndarray, "K 2"],
    directions: Float[np.ndarray, "K 2"],
    steps: Float[np.ndarray, " T"],
) -> Float[np.ndarray, " K"]:
    """How far from each start a mask first ends along a ray, in its pixels; NaN where it does not or has no start."""
    places = starts[:, None] + steps[:, None] * directions[:, None] - 0.5  # from the first pixel's centre
    first = np.floor(places).astype(int)
    inside = ((first >= 0) & (first < MASK_SIDE - 1)).all(-1)
    x, y = np.clip(first, 0, MASK_SIDE - 2).transpose(2, 0, 1)
    right, down = np.moveaxis(places - first, -1, 0)
    upper = mask[y, x] * (1 - right) + mask[y, x + 1] * right
    lower = mask[y + 1, x] * (1 - right) + mask[y + 1, x + 1] * right
    cover = upper * (1 - down) + lower * down
    out = ~inside | (cover < 0.5)
    end, rows = out.argmax(1), np.arange(len(starts))
    before, after = cover[rows, end - 1], cover[rows, end]
    way = steps[end - 1] + (before - 0.5) / np.maximum(before - after, 1e-9) * (steps[1] - steps[0])
    return np.where(out.any(1) & (end > 0) & inside[rows, end], way, np.nan)


class _Lines:
    """The lines and the shares of the way along them, one row for each width."""

    def __init__(self, body: BodyModel) -> None:
        rows = np.array([
            (group, SMPL24.index(start), SMPL24.index(end), share)
            for group, some in enumerate(_ACROSS.values())
            for start, end, shares in some
            for share in shares
        ])  # fmt: skip
        self.groups, self.starts, self.ends = rows[:, :3].astype(int).T
        self.shares = rows[:, 3]
        rest = body.rest_template.numpy()
        self.lengths_m = np.linalg.norm(rest[self.ends] - rest[self.starts], axis=1)


@cache
def _mean_body() -> BodyModel:
    return BodyModel.load("open-low").double()


@cache
def _rig(joint_set: str) -> tuple[Rig, list[int]]:
    return Rig.of(_mean_body(), JOINT_SETS[joint_set])


@cache
def _lines() -> _Lines:
    return _Lines(_mean_body())
