"""Cameras in front of synthetic people, many at once: where they stand, what fills the photo, what is hidden in it."""

from __future__ import annotations

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float
from numpy.random import Generator
from scipy.spatial.transform import Rotation
from torch import Tensor

from humesh.body.joints import JOTR30, SMPL24

_TO_CAMERA = np.diag([1.0, -1.0, -1.0])  # a camera that looks along the world's -z, at people who face +z
_FRAMINGS = {
    "full": (0.58, lambda name: True),
    "knees": (0.14, lambda name: "ankle" not in name and "foot" not in name),
    "waist": (0.17, lambda name: not any(word in name for word in ("ankle", "foot", "knee", "hand"))),
    "chest": (0.08, lambda name: any(word in name for word in ("shoulder", "spine3", "eye", "ear", "head", "collar"))),
    "legs": (0.03, lambda name: any(word in name for word in ("pelvis", "hip", "knee", "ankle", "foot"))),
}
"""Parts of a person that fill a photo: how often, and which points they hold."""
_SHARES = [share for share, _ in _FRAMINGS.values()]
_WANTED = torch.tensor([[is_wanted(name) for name in JOTR30.names] for _, is_wanted in _FRAMINGS.values()])
_NEAREST_M = 0.45  # of anything to the camera
_STILL = 0.5  # share of cameras of videos that do not move
_TURNING, _CARRIED = (0.15, 0.25, 0.05), (0.25, 0.1, 0.3)  # deviations of the others' speeds: rad/s and m/s, each axis

_SKIN_M = 0.05  # how far behind the axis of what hides it a point lies at least, beyond the radius
_SKULL_M = (0.085, 0.03)  # its radius; points this far behind its middle are hidden: face and ears lie on it
_RADII = {
    "spine": 0.13, "hip": 0.12, "neck": 0.1, "head": 0.1, "collar": 0.09, "shoulder": 0.09, "knee": 0.085,
    "ankle": 0.06, "elbow": 0.055, "hand": 0.05, "foot": 0.05, "wrist": 0.045,
}  # fmt: skip
"""Metres; how thick the bone that ends at a joint is with its flesh."""
_BONES = [(parent, joint) for joint, parent in enumerate(SMPL24.parents) if parent >= 0]
_BALLS = (0.2, 0.5, 0.8)  # of a bone, where its flesh is put as balls


def as_tensor(array: np.ndarray) -> Tensor:
    """A contiguous float32 tensor."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def draw_turns(n: int, g: Generator) -> Float[np.ndarray, "n 3 3"]:
    """World to camera, any yaw: mostly level, now and then from high above, from below or rolled."""
    pitch = np.where(g.random(n) < 0.8, g.normal(6, 10, n), g.uniform(-40, 70, n))
    roll = np.where(g.random(n) < 0.88, g.normal(0, 3, n), g.normal(0, 25, n))
    tilted = Rotation.from_euler("ZX", np.stack([roll, pitch], axis=-1), degrees=True).as_matrix()
    return tilted @ _TO_CAMERA @ Rotation.from_euler("Y", g.uniform(0, 360, (n, 1)), degrees=True).as_matrix()


def draw_cameras(
    points: Float[Tensor, "n K 3"], nearest: Float[Tensor, " n"], size: int, g: Generator
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
    """Focal lengths (px), and shifts (metres) with which a part of the people of each photo fills it.

    `points`: JOTR30's, in the axes of the cameras, of one person after the other; `nearest`: the least depth of what
    may not touch the camera.
    """
    n = len(points)
    usual = np.clip(g.normal(58, 10, n), 25, 90)  # degrees; most like those of phones
    degrees = np.where(g.random(n) < 0.5, g.uniform(25, 90, n), usual)
    focal = as_tensor(size / 2 / np.tan(np.radians(degrees) / 2))
    part = g.choice(len(_FRAMINGS), size=n, p=_SHARES) * (points.shape[1] == len(JOTR30))  # of a group all is wanted
    full = np.where(g.random(n) < 0.75, g.uniform(0.65, 0.98, n), g.uniform(0.3, 0.65, n))
    fill = as_tensor(np.where(part == 0, full, g.uniform(0.6, 1.1, n)))
    wanted = _WANTED[torch.from_numpy(part)].repeat(1, points.shape[1] // len(JOTR30))[..., None]

    def extent(values: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(wanted, values, torch.inf).amin(1), torch.where(wanted, values, -torch.inf).amax(1)

    low, high = extent(points)
    middle = (low + high) / 2
    centred, closest = points - middle[:, None], _NEAREST_M - (nearest - middle[:, 2])
    distance = closest.clamp(min=3.0)
    for _ in range(5):
        ahead = (centred[..., 2:] + distance[:, None, None]).clamp(min=0.1)
        low, high = extent(focal[:, None, None] * centred[..., :2] / ahead)
        span = (high - low).amax(-1).clamp(min=1)
        distance = torch.maximum(distance * span / (fill * size), closest)
    far = np.where(g.random(n) < 0.85, 1, 3)[:, None]
    off_centre = np.clip(g.normal(0, 1, (n, 2)) * [0.08, 0.04] * far, -0.3, 0.3) * size  # heads are seldom cut off
    beside = as_tensor(off_centre) * (distance / focal)[:, None]
    return focal, torch.cat([beside, distance[:, None]], dim=-1) - middle


def draw_camera_motion(seconds: Float[Tensor, "n T"], g: Generator) -> tuple[Tensor, Tensor]:
    """How the world turns about the camera and passes it, at times from the middle frame on."""
    n = len(seconds)
    speeds = as_tensor((g.random(n) >= _STILL)[:, None] * g.normal(0, [*_TURNING, *_CARRIED], (n, 6)))
    way = seconds[..., None] * speeds[:, None]
    return roma.rotvec_to_rotmat(way[..., :3]), way[..., 3:]


def project(
    points: Float[Tensor, "n K 3"], joints: Float[Tensor, "n 24 3"], focal: Float[Tensor, " n"], size: int
) -> tuple[Float[Tensor, "n K 2"], Bool[Tensor, "n K"]]:
    """Pixels of points in square photos, and which are inside and not behind the person's own flesh."""
    depth = points[..., 2:]
    safe = torch.where(depth.abs() < 1e-3, 1e-3, depth)
    pixels = focal[:, None, None] * points[..., :2] / safe + size / 2
    inside = ((pixels >= 0) & (pixels < size)).all(-1) & (depth[..., 0] > 0.05)
    return pixels, inside & ~_is_behind_flesh(points, joints)


def is_near_photo(
    pixels: Float[Tensor, "*g K 2"], depth: Float[Tensor, "*g K"], size: Float[Tensor, "2"]
) -> Bool[Tensor, "*g K"]:
    """Whether projected points are ahead of the camera and within half a photo of the photo: others mean little."""
    return ((pixels / size - 0.5).abs() < 1.0).all(-1) & (depth > 0.1)


def is_behind_boxes(pixels: Float[Tensor, "n K 2"], size: int, g: Generator) -> Bool[Tensor, "n K"]:
    """Points behind none to two boxes anywhere in the photo."""
    boxes = torch.from_numpy(g.choice([0, 1, 2], size=len(pixels), p=[0.55, 0.3, 0.15]))
    hidden = torch.zeros(pixels.shape[:2], dtype=torch.bool)
    for number in range(2):
        middle = as_tensor(g.uniform(0, size, (len(pixels), 1, 2)))
        half = as_tensor(size * g.uniform(0.04, 0.3, (len(pixels), 1, 2)))
        hidden |= (boxes > number)[:, None] & ((pixels - middle).abs() < half).all(-1)
    return hidden


def _is_behind_flesh(points: Float[Tensor, "n K 3"], joints: Float[Tensor, "n 24 3"]) -> Bool[Tensor, "n K"]:
    """Whether a limb or the trunk lies before a point; limbs are rows of balls."""
    start, end = (joints[:, list(side)] for side in zip(*_BONES, strict=True))
    skull = points[:, JOTR30.indices("left_ear", "right_ear")].mean(1, keepdim=True)
    balls = torch.cat([*(start + share * (end - start) for share in _BALLS), skull], dim=1)
    names = [SMPL24.names[joint] for _, joint in _BONES]
    thick = [next(r for part, r in _RADII.items() if part in name) for name in names] * len(_BALLS)
    radii, room = torch.tensor([*thick, _SKULL_M[0]]), torch.tensor([*(r + _SKIN_M for r in thick), _SKULL_M[1]])
    depth, far = balls[..., 2].clamp(min=0.1), points[..., 2].clamp(min=0.1)
    flat, spots = balls[..., :2] / depth[..., None], points[..., :2] / far[..., None]
    beside = torch.cdist(spots, flat) * depth[:, None] < radii
    before = depth[:, None] < far[..., None] - room
    return (beside & before).any(-1)
