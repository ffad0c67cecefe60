"""Where AGORA's cameras and scans stand; the numbers are those of the owner's `project_joints` (agora_evaluation)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float

from humesh.data.datasets.entries import Entry
from humesh.geometry.rotations import rotation_from_axis_angle

_ROOMS: dict[
    str, tuple[list[float], float]
] = {  # the cameras of the 3D scenes: where they stand (Unreal's axes, cm) and their yaw, degrees
    "cam00": ([400.0, -275.0, 265.0], 135.0),
    "cam01": ([400.0, 225.0, 265.0], -135.0),
    "cam02": ([-490.0, 170.0, 265.0], -45.0),
    "cam03": ([-490.0, -275.0, 265.0], 45.0),
}


def _turn(axis: str, degrees: float) -> Float[np.ndarray, "3 3"]:
    vector = torch.eye(3, dtype=torch.float64)["xyz".index(axis)] * np.pi / 180 * degrees
    return rotation_from_axis_angle(vector).numpy()


def _opencv(place_cm: list[float]) -> Float[np.ndarray, "3"]:
    """A place in Unreal's axes (x forward, y right, z up; cm) in OpenCV's, metres."""
    x, y, z = np.asarray(place_cm) / 100
    return np.array([y, -z, x])


def camera_of(row: Mapping[str, Entry]) -> tuple[float, Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Focal length in mm, turn of the world into the camera's axes, and where it stands, by the picture's name."""
    name, pitch, ground = row["imgPath"].text(), 0.0, 0.0
    room = next((room for room in _ROOMS if room in name), None)
    if "hdri" in name:
        focal, place, yaw = 50.0, [0.0, 0.0, 170.0], 0.0
    elif room is not None:
        focal, (place, yaw), pitch = 18.0, _ROOMS[room], 30.0
    elif "ag2" in name:
        focal, place, yaw, pitch = 28.0, [0.0, 0.0, 170.0], 0.0, 15.0
    else:
        x, y, z, yaw = (row[name].number() for name in ("camX", "camY", "camZ", "camYaw"))
        focal, place, ground = 28.0, [x, y, z], -1.7
    return focal, _turn("x", pitch) @ _turn("y", -yaw), _opencv(place) + np.array([0, ground, 0])


def extrinsics_of(row: Mapping[str, Entry], i: int, turn: np.ndarray, eye: np.ndarray) -> Float[np.ndarray, "3 4"]:
    """From a scan's frame (y up) into the camera's: scans look sideways, which is turned back by 90 degrees."""
    upright = _turn("y", row["Yaw"][i].number() - 90) @ np.diag([1.0, -1.0, -1.0])
    place = _opencv([row[axis][i].number() for axis in "XYZ"])
    return np.concatenate([turn @ upright, (turn @ (place - eye))[:, None]], axis=1)
