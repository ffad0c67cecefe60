"""BVH, the text format of motion capture: a skeleton at rest and its joints' angles, frame by frame.

Written files are in metres or centimetres, y up (the half turn diag(1, -1, -1) of the camera frame, as in the GLB
file). The root has the channels Xposition Yposition Zposition Zrotation Xrotation Yrotation, the joints the last three,
in degrees. A rotation is the product of its channels from left to right, R = Rz Rx Ry for column vectors, as all
readers take it.
"""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from humesh.body.bvh import POSITIONS, ROTATIONS
from humesh.body.joints import SMPL24, JointSet
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.scene.motion_record import steady
from humesh.scene.options import PLAIN, FileOptions
from humesh.scene.record import exact
from humesh.scene.result import Motion, Result, VideoResult

_TO_Y_UP = np.diag([1.0, -1.0, -1.0])
_TIP = 0.5  # of the last bone's length: how far an end site lies beyond a joint without children


def write_bvh(recovery: Result, person_index: int, path: str | Path, options: FileOptions = PLAIN) -> None:
    """Writes one person of a photo as a clip of one frame."""
    pose = recovery.pose.map(itemgetter([person_index])).map(exact)
    _write(recovery.body, pose, 1 / 30, path, options)


def write_motion_bvh(recovery: VideoResult, motion: Motion, path: str | Path, options: FileOptions = PLAIN) -> None:
    """Writes one person of a video at a constant rate; while it was gone its last pose is held (`steady`)."""
    pose, fps = steady(recovery, motion, options.pad)
    _write(recovery.body, pose, 1 / fps, path, options)


def _write(body: BodyModel, pose: BodyPose, frame_time: float, path: str | Path, options: FileOptions) -> None:
    """Writes poses [F] of one shape."""
    lift = torch.tensor([0.0, options.lift(body, pose), 0.0])
    rest, places = body.rest_joints(pose.shape[0]), pose.translation - lift  # the camera's y is down
    lengths = options.scale * rest.numpy(), pose.rotations.numpy(), options.scale * places.numpy()
    Path(path).write_text(bvh_text(*lengths, frame_time), encoding="ascii")


def bvh_text(
    rest: Float[np.ndarray, "J 3"],
    rotations: Float[np.ndarray, "F J 3 3"],
    translations: Float[np.ndarray, "F 3"],
    frame_time: float = 1 / 30,
    skeleton: JointSet = SMPL24,
) -> str:
    """A file of F frames: rest joints (y up), rotations, translations (camera frame), lengths in the file's units."""
    parents = skeleton.parents
    offsets = [rest[j] - rest[p] if p >= 0 else np.zeros(3) for j, p in enumerate(parents)]
    children = [[c for c, parent in enumerate(parents) if parent == joint] for joint in range(len(parents))]
    lines, order = ["HIERARCHY"], []

    def hang(joint: int, depth: int) -> None:
        tab, root = "  " * depth, parents[joint] < 0
        channels = (*POSITIONS, *ROTATIONS) if root else ROTATIONS
        order.append(joint)
        lines.extend([f"{tab}{'ROOT' if root else 'JOINT'} {skeleton.names[joint]}", tab + "{"])
        lines.append(f"{tab}  OFFSET {_numbers(offsets[joint])}")
        lines.append(f"{tab}  CHANNELS {len(channels)} {' '.join(channels)}")
        for child in children[joint]:
            hang(child, depth + 1)
        if not children[joint]:
            tip = _numbers(_TIP * offsets[joint])
            lines.extend([f"{tab}  End Site", tab + "  {", f"{tab}    OFFSET {tip}", tab + "  }"])
        lines.append(tab + "}")

    hang(0, 0)
    local = np.array(rotations, dtype=np.float64)
    local[:, 0] = _TO_Y_UP @ local[:, 0]
    places = (rest[0] + translations) @ _TO_Y_UP
    angles = np.degrees(_zxy_angles(local))[:, order].reshape(len(local), -1)
    lines += ["MOTION", f"Frames: {len(local)}", f"Frame Time: {frame_time:.9g}"]
    lines += [_numbers(np.concatenate(frame)) for frame in zip(places, angles, strict=True)]
    return "\n".join(lines) + "\n"


def _numbers(values: Float[np.ndarray, " N"]) -> str:
    # 8 decimals: at most 0.01 micrometres and 2e-10 radians, far below the 1e-5 m that readers shall get back.
    return " ".join(f"{value + 0.0:.8f}" for value in np.round(values, 8))


def _zxy_angles(rotation: Float[np.ndarray, "*g 3 3"]) -> Float[np.ndarray, "*g 3"]:
    """Angles (z, x, y) in radians with R = Rz Rx Ry; where x is a right angle, z and y share out the same turn."""
    r = rotation
    z = np.arctan2(-r[..., 0, 1], r[..., 1, 1])
    cos, sin = np.cos(z), np.sin(z)
    # Taking z off first leaves Rx Ry, from which x and y follow whatever z was: no special case is needed.
    x = np.arctan2(r[..., 2, 1], cos * r[..., 1, 1] - sin * r[..., 0, 1])
    y = np.arctan2(cos * r[..., 0, 2] + sin * r[..., 1, 2], cos * r[..., 0, 0] + sin * r[..., 1, 0])
    return np.stack([z, x, y], axis=-1)
