"""The numbers of a video's people: NPZ of all, from which everything can be made again, and AMASS-style NPZ of one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from humesh.body.files import SHIPPED
from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.files import Array, check_arrays, read_arrays, write_arrays
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle, rotation_to_axis_angle
from humesh.media.photo import MAX_MEGAPIXELS
from humesh.scene.options import PLAIN, FileOptions
from humesh.scene.record import exact, humesh_version
from humesh.scene.result import Motion, ResultError, VideoResult

Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""Turns the camera's frame (x right, y down, z forward) into AMASS's world, z up: x right, y forward."""

_BODY, _SMPL_H, _BETAS = 22, 52, 16  # joints of SMPL that SMPL-H shares, its joints with the fingers', its shapes

_MOST_BYTES = 2**30  # of a file: an hour of several people
_LARGEST = 1e9  # of all numbers
_LONGEST_S = 1e7  # four months
_VIDEO = {
    "tracks": Array(("people",), "integer"),
    "times_s": Array(("frames",)),
    "camera/matrix": Array((3, 3)),
    "video/width": Array((), "integer"),
    "video/height": Array((), "integer"),
    "notes": Array(("notes",), "text"),
    **{name: Array((), "text") for name in ("video/path", "camera/source", "method", "body")},
}
_PERSON = {
    "frames": Array(("frames",), "integer"),
    "pose_axis_angle": Array(("frames", len(SMPL24), 3)),
    "betas": Array(("betas",)),
    "translation_m": Array(("frames", 3)),
    "found": Array(("frames",), "truth"),
    "score": Array(()),
    "joints/confidence": Array(("frames", len(SMPL24)), optional=True),
}


def write_motion_npz(recovery: VideoResult, video_path: str | Path, path: str | Path) -> None:
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
        "tracks": np.array([motion.track for motion in recovery.tracks], dtype=np.int64),
    }
    for motion in recovery.tracks:
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
    write_arrays(path, arrays)


def read_motion_npz(path: str | Path, body: BodyModel | None = None) -> tuple[VideoResult, str]:
    """The recovery that `write_motion_npz` wrote, and its video's path; raises ResultError.

    `body`: needed where the file's is none of those that are shipped.
    """
    what = "a video's .npz of humesh"
    data = read_arrays(path, what=what, error=ResultError, most_bytes=_MOST_BYTES)
    about: dict[str, Any] = {"where": str(path), "what": what, "error": ResultError}
    count = check_arrays(data, _VIDEO, **about)["frames"]
    size, tracks = (int(data["video/width"]), int(data["video/height"])), data["tracks"].tolist()
    camera, times = data["camera/matrix"].astype(np.float64), data["times_s"].astype(np.float64)
    if (
        len(set(tracks)) < len(tracks)
        or not (min(size) > 0 and size[0] * size[1] <= 1e6 * MAX_MEGAPIXELS)
        or not (np.diff(times) > 0).all()
        or np.abs(times).max(initial=0) > _LONGEST_S
        or not (camera[[0, 1], [0, 1]] > 0).all()
        or np.abs(camera).max() > _LARGEST
    ):
        raise ResultError(f"{path}: expected {what}, its tracks, size, times or camera cannot be those of a video.")
    name = str(data["body"])
    if body is None:
        if name not in SHIPPED:
            raise ResultError(f"{path}: its body {name!r} is not shipped; give the body's file with --body.")
        body = BodyModel.load(name)
    motions = []
    for track in tracks:
        start = f"person{track}/"
        person = {name.removeprefix(start): array for name, array in data.items() if name.startswith(start)}
        check_arrays(person, _PERSON, **about | {"where": f"{path}, {start}"}, axes={"betas": body.shapes})
        if any(
            np.abs(person[name]).max(initial=0) > _LARGEST for name in ("pose_axis_angle", "betas", "translation_m")
        ):
            raise ResultError(f"{path}, {start}: expected a pose, got numbers above {_LARGEST:g}.")
        frames = person["frames"].astype(np.int64)
        if not len(frames) or frames[0] < 0 or frames[-1] >= count or not (np.diff(frames) > 0).all():
            raise ResultError(f"{path}, {start}: expected frames, increasing, of the video's {count}.")
        pose = BodyPose(
            rotation_from_axis_angle(torch.from_numpy(person["pose_axis_angle"]).float()),
            torch.from_numpy(person["betas"]).float().expand(len(frames), -1),
            torch.from_numpy(person["translation_m"]).float(),
        )
        motion = Motion(track, frames, pose, person["found"].astype(bool), float(person["score"]))
        if "joints/confidence" in person:
            motion = replace(motion, confidence=torch.from_numpy(person["joints/confidence"]).float())
        motions.append(motion)
    facts = str(data["camera/source"]), motions, body, str(data["method"]), tuple(data["notes"].tolist())
    return VideoResult(times, size, Camera(torch.from_numpy(camera)), *facts), str(data["video/path"])


def write_amass(recovery: VideoResult, motion: Motion, path: str | Path, options: FileOptions = PLAIN) -> None:
    """Writes one person as AMASS does (amass.is.tue.mpg.de), frame after frame at a constant rate (`steady`).

    `poses` F x 156: axis-angle, radians, of SMPL-H: the root, 21 joints of the body (SMPL's hands are left out), 2 x 15
    of the fingers, zeros; `betas` 16; `trans` F x 3, metres; `dmpls` F x 8, zeros; `mocap_framerate`; `gender`:
    "neutral". And, of the video: `start_frame`, at this rate, and `start_s`, after its first frame.
    The world is z up as in AMASS: x the picture's right, y away from the camera, z against the picture's down (the
    camera is taken to stand level). Betas are those of the recovery's body, so the open body's mean nothing to SMPL.
    """
    pose, fps = steady(recovery, motion, options.pad)
    start = 0 if options.pad else start_frame(recovery, motion)
    root, turn, rotations = SMPL24.index("pelvis"), torch.from_numpy(Z_UP), pose.rotations.clone()
    rest = recovery.body.rest_joints(pose.shape[0])[root]
    rotations[:, root] = turn @ rotations[:, root]
    # SMPL turns about the rest pelvis, which therefore stays where it is while the world is turned about the camera.
    places = (rest + pose.translation) @ turn.T - rest
    places[:, 2] += options.lift(recovery.body, pose)
    count = len(places)
    poses, betas = np.zeros((count, 3 * _SMPL_H)), np.zeros(_BETAS)
    poses[:, : 3 * _BODY] = rotation_to_axis_angle(rotations[:, :_BODY]).flatten(1)
    shape = pose.shape[0, :_BETAS]
    betas[: len(shape)] = shape
    arrays = {
        "poses": poses,
        "betas": betas,
        "trans": places.numpy(),
        "dmpls": np.zeros((count, 8)),
        "mocap_framerate": np.array(fps),
        "gender": np.array("neutral"),
        "start_frame": np.array(start),
        "start_s": np.array(start / fps),
    }
    write_arrays(path, arrays)


def clock(recovery: VideoResult) -> tuple[float, Float[np.ndarray, " K"]]:
    """Frames a second of the video at a constant rate, and where its K even frames lie among the video's own.

    A video is even if no time stamp is more than half a frame off the even grid with the same ends: its frames are
    taken as they are, and the rate is a whole number or NTSC's (30000 / 1001) where that moves none by more than 1 ms,
    as containers that count milliseconds do. Else the rate is the median's, as a whole number.
    """
    times, count = recovery.times - recovery.times[:1], len(recovery.times)
    if count < 2:
        return round(recovery.fps, 6), np.arange(float(count))

    def off(rate: float) -> float:
        return float(np.abs(times - np.arange(count) / rate).max())

    mean = (count - 1) / float(times[-1])
    if off(mean) * mean <= 0.5:
        whole = max(1.0, float(round(mean)))
        nearest = min((whole, whole / 1.001), key=off)
        return nearest if off(nearest) <= 1e-3 else round(mean, 6), np.arange(float(count))
    fps = max(1.0, float(round(recovery.fps)))
    grid = np.arange(int(times[-1] * fps + 1e-6) + 1) / fps
    return fps, np.interp(grid, times, np.arange(count))  # between two frames in proportion to the time


def start_frame(recovery: VideoResult, motion: Motion) -> int:
    """The first of the video's even frames (`clock`) in which a person is there."""
    return int(_present(clock(recovery)[1], motion)[0])


def _present(at: Float[np.ndarray, " K"], motion: Motion) -> Int[np.ndarray, " F"]:
    """The even frames from a person's first to its last; at least the one that is nearest to its first."""
    first, last = motion.frames[[0, -1]]
    inside = np.flatnonzero((at > first - 1e-6) & (at < last + 1e-6))
    return inside if len(inside) else np.abs(at - first).argmin()[None]


def steady(recovery: VideoResult, motion: Motion, pad: bool = False) -> tuple[BodyPose, float]:
    """A motion [F] (float64, CPU) at a constant rate, and the rate in frames a second (`clock`).

    From its first frame to its last, with `pad` through all of the video. Rotations go the short way between frames;
    where a person is not there its last pose, or the first that comes, is held.
    """
    pose, frames = motion.pose.map(exact), motion.frames
    fps, at = clock(recovery)
    wanted = at if pad else at[_present(at, motion)]
    before = (np.searchsorted(frames, wanted, side="right") - 1).clip(0)
    after = np.minimum(before + 1, len(frames) - 1)
    part = np.where(frames[after] - frames[before] > 1, 0, wanted - frames[before])
    share = torch.from_numpy(part.clip(0, 1))
    a, b = pose.map(lambda tensor: tensor[before]), pose.map(lambda tensor: tensor[after])
    way = rotation_to_axis_angle(a.rotations.mT @ b.rotations) * share[:, None, None]
    rotations = a.rotations @ rotation_from_axis_angle(way)
    translation = a.translation + share[:, None] * (b.translation - a.translation)
    return BodyPose(rotations, a.shape, translation), fps


def _stored(tensor: Tensor) -> Float[np.ndarray, "*g"]:
    return tensor.numpy().astype(np.float32)  # 7 digits: micrometres at ten metres
