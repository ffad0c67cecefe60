"""The numbers of a video's people: NPZ of all, from which everything can be made again, and AMASS-style NPZ of one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.files import SHIPPED
from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.errors import HumeshError
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle, rotation_to_axis_angle
from humesh.scene.record import exact, humesh_version, save_arrays
from humesh.scene.recovery import PersonMotion, VideoRecovery

Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""Turns the camera's frame (x right, y down, z forward) into AMASS's world, z up: x right, y forward."""


class ResultError(HumeshError, ValueError):
    """A file of results that cannot be read; the sentence says which, what was expected and what was found."""


def write_motion_npz(recovery: VideoRecovery, video_path: str | Path, path: str | Path) -> None:
    """Writes all people as arrays without pickles: metres, camera frame; pixels; radians; seconds.

    Of the video: `tracks`, `times_s` T, `video/path`, `video/width`, `video/height`, `camera/matrix` 3 x 3,
    `camera/source`, `method`, `body`, `notes`, `joints/names`. Of each person, after `person<track>/`: `frames` F
    (places in the video's `times_s`), `times_s` F, `pose_axis_angle` F x 24 x 3 (to the parent; the root's: in the
    camera frame), `betas`, `translation_m` F x 3, `joints/xyz_m` F x 24 x 3, `joints/confidence` F x 24 (where
    it is known), `found` F (False: put in between), `score`.
    """
    arrays: dict[str, np.ndarray] = {
        "method": np.array(recovery.method),
        "body": np.array(recovery.body.name),
        "humesh_version": np.array(humesh_version()),
        "notes": np.array(recovery.notes, dtype=np.str_),
        "video/path": np.array(str(video_path)),
        "video/width": np.array(recovery.size[0]),
        "video/height": np.array(recovery.size[1]),
        "camera/matrix": exact(recovery.camera.matrix).numpy(),
        "camera/source": np.array(recovery.camera_source),
        "joints/names": np.array(SMPL24.names),
        "times_s": recovery.times.astype(np.float64),
        "tracks": np.array([motion.track for motion in recovery.motions], dtype=np.int64),
    }
    for motion in recovery.motions:
        pose = motion.pose.map(exact)
        person = {
            "frames": motion.frames.astype(np.int64),
            "times_s": recovery.times[motion.frames].astype(np.float64),
            "pose_axis_angle": _stored(rotation_to_axis_angle(pose.rotations)),
            "betas": _stored(pose.shape[0]),
            "translation_m": _stored(pose.translation),
            "joints/xyz_m": _stored(recovery.body.joints(pose)),
            "found": motion.found.astype(bool),
            "score": np.array(float(motion.score)),
        }
        if len(motion.confidence) == len(motion.frames):
            person["joints/confidence"] = _stored(exact(motion.confidence))
        arrays |= {f"person{motion.track}/{name}": array for name, array in person.items()}
    save_arrays(path, arrays)


def read_motion_npz(path: str | Path, body: BodyModel | None = None) -> tuple[VideoRecovery, str]:
    """The recovery that `write_motion_npz` wrote, and its video's path; raises ResultError.

    `body`: needed where the file's is none of those that are shipped.
    """
    expected = f"{path}: expected a video's .npz of humesh"
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            data = {name: file[name] for name in file.files}
    except (OSError, ValueError, BadZipFile, EOFError, AttributeError) as error:
        raise ResultError(f"{expected}, it cannot be read as one ({error}).") from None
    if not {"tracks", "times_s", "camera/matrix"} <= data.keys():
        raise ResultError(f"{expected}, found {', '.join(sorted(data)[:6]) or 'nothing'}.")
    name = str(data["body"])
    if body is None:
        if name not in SHIPPED:
            raise ResultError(f"{path}: its body {name!r} is not shipped; give the body's file with --body.")
        body = BodyModel.load(name)
    motions = []
    for track in data["tracks"].tolist():
        person = {k.removeprefix(f"person{track}/"): v for k, v in data.items() if k.startswith(f"person{track}/")}
        frames = person["frames"]
        pose = BodyPose(
            rotation_from_axis_angle(torch.from_numpy(person["pose_axis_angle"])),
            torch.from_numpy(person["betas"]).expand(len(frames), -1),
            torch.from_numpy(person["translation_m"]),
        )
        motion = PersonMotion(track, frames, pose, person["found"], float(person["score"]))
        if "joints/confidence" in person:
            motion = replace(motion, confidence=torch.from_numpy(person["joints/confidence"]))
        motions.append(motion)
    size = int(data["video/width"]), int(data["video/height"])
    camera = Camera(torch.from_numpy(data["camera/matrix"]))
    facts = str(data["camera/source"]), motions, body, str(data["method"]), tuple(data["notes"].tolist())
    return VideoRecovery(data["times_s"], size, camera, *facts), str(data["video/path"])


def write_amass(recovery: VideoRecovery, motion: PersonMotion, path: str | Path) -> None:
    """Writes one person as AMASS does (amass.is.tue.mpg.de), frame after frame at a constant rate (`steady`).

    `poses` F x 72: axis-angle of SMPL's 24 joints, radians; `betas`; `trans` F x 3, metres; `mocap_framerate`;
    `gender`: "neutral".
    The world is z up as in AMASS: x the picture's right, y away from the camera, z against the picture's down (the
    camera is taken to stand level). AMASS's own `poses` are of SMPL-H, F x 156: the first 66 numbers are the same, the
    last two of our joints, the hands, give way to 2 x 15 finger joints. AMASS has 16 betas of SMPL-H's body, ours are
    those of the recovery's body, so the open body's shape means nothing to SMPL.
    """
    pose, fps = steady(recovery, motion)
    root, turn, rotations = SMPL24.index("pelvis"), torch.from_numpy(Z_UP), pose.rotations.clone()
    rest = recovery.body.rest_joints(pose.shape[0])[root]
    rotations[:, root] = turn @ rotations[:, root]
    # SMPL turns about the rest pelvis, which therefore stays where it is while the world is turned about the camera.
    places = (rest + pose.translation) @ turn.T - rest
    arrays = {
        "poses": rotation_to_axis_angle(rotations).flatten(1).numpy(),
        "betas": pose.shape[0].numpy(),
        "trans": places.numpy(),
        "mocap_framerate": np.array(fps),
        "gender": np.array("neutral"),
    }
    save_arrays(path, arrays)


def steady(recovery: VideoRecovery, motion: PersonMotion) -> tuple[BodyPose, float]:
    """A motion [N] (float64, CPU) at a constant rate from its first frame to its last, and the rate in frames a second.

    A video is even if no time stamp is more than half a frame off the even grid with the same ends: its frames are
    taken as they are. Else the motion is resampled at the median rate, rotations on the short way between frames.
    Where a person was gone its last pose is held.
    """
    pose, frames, times = motion.pose.map(exact), motion.frames, recovery.times
    count, fps = len(times), recovery.fps
    mean = (count - 1) / float(times[-1] - times[0]) if count > 1 else fps
    if np.abs((times - times[0]) * mean - np.arange(count)).max() <= 0.5:
        fps = mean
        wanted = np.arange(frames[0], frames[-1] + 1.0)
    else:
        start, end = times[frames[0]], times[frames[-1]]
        grid = start + np.arange(int((end - start) * fps + 1e-6) + 1) / fps
        wanted = np.interp(grid, times, np.arange(count))  # in frames, between two of them in proportion to the time
    before = np.searchsorted(frames, wanted, side="right") - 1
    after = np.minimum(before + 1, len(frames) - 1)
    part = np.where(frames[after] - frames[before] > 1, 0, wanted - frames[before])
    share = torch.from_numpy(part.clip(0, 1))
    a, b = pose.map(lambda tensor: tensor[before]), pose.map(lambda tensor: tensor[after])
    way = rotation_to_axis_angle(a.rotations.mT @ b.rotations) * share[:, None, None]
    rotations = a.rotations @ rotation_from_axis_angle(way)
    translation = a.translation + share[:, None] * (b.translation - a.translation)
    return BodyPose(rotations, a.shape, translation), float(fps)


def _stored(tensor: Tensor) -> Float[np.ndarray, "*g"]:
    return tensor.numpy().astype(np.float32)  # 7 digits: micrometres at ten metres
