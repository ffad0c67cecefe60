"""Where AGORA's cameras and scans stand; the numbers are those of the owner's `project_joints` (agora_evaluation)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from humesh.geometry.rotations import rotation_from_axis_angle

_ROOMS = {  # the cameras of the 3D scenes: where they stand (Unreal's axes, cm) and their yaw, degrees
    "cam00": ((400, -275, 265), 135.0),
    "cam01": ((400, 225, 265), -135.0),
    "cam02": ((-490, 170, 265), -45.0),
    "cam03": ((-490, -275, 265), 45.0),
}


def _turn(axis: str, degrees: float) -> Float[np.ndarray, "3 3"]:
    vector = torch.eye(3, dtype=torch.float64)["xyz".index(axis)] * np.pi / 180 * degrees
    return rotation_from_axis_angle(vector).numpy()


def _opencv(place_cm: Any) -> Float[np.ndarray, "3"]:
    """A place in Unreal's axes (x forward, y right, z up; cm) in OpenCV's, metres."""
    x, y, z = (float(value) / 100 for value in place_cm)
    return np.array([y, -z, x])


def camera_of(row: dict[str, Any]) -> tuple[float, Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Focal length in mm, turn of the world into the camera's axes, and where it stands, by the picture's name."""
    name, pitch, ground = str(row["imgPath"]), 0.0, 0.0
    room = next((room for room in _ROOMS if room in name), None)
    if "hdri" in name:
        focal, place, yaw = 50.0, (0, 0, 170), 0.0
    elif room is not None:
        focal, (place, yaw), pitch = 18.0, _ROOMS[room], 30.0
    elif "ag2" in name:
        focal, place, yaw, pitch = 28.0, (0, 0, 170), 0.0, 15.0
    else:
        focal, place, yaw, ground = 28.0, (row["camX"], row["camY"], row["camZ"]), float(row["camYaw"]), -1.7
    return focal, _turn("x", pitch) @ _turn("y", -yaw), _opencv(place) + np.array([0, ground, 0])


def extrinsics_of(row: dict[str, Any], i: int, turn: np.ndarray, eye: np.ndarray) -> Float[np.ndarray, "3 4"]:
    """From a scan's frame (y up) into the camera's: scans look sideways, which is turned back by 90 degrees."""
    upright = _turn("y", float(row["Yaw"][i]) - 90) @ np.diag([1.0, -1.0, -1.0])
    place = _opencv([row[axis][i] for axis in "XYZ"])
    return np.concatenate([turn @ upright, (turn @ (place - eye))[:, None]], axis=1)
