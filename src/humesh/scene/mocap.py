"""Motion capture files, one for each person at a constant rate: BVH and AMASS's NPZ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from humesh.body.joints import RIGS, SMPL24, JointSet
from humesh.body.pose import BodyPose
from humesh.files import write_arrays
from humesh.geometry.rotations import rotation_from_axis_angle, rotation_to_axis_angle
from humesh.scene.result import PLAIN, Y_TO_Z, FileOptions, Motion, Result, VideoResult, exact

Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""Turns the camera's frame (x right, y down, z forward) into AMASS's world, z up: x right, y forward."""

_POSITIONS = ("Xposition", "Yposition", "Zposition")
_ROTATIONS = ("Zrotation", "Xrotation", "Yrotation")
_Y_UP = np.diag([1.0, -1.0, -1.0])
_HEIGHT = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
_TIP = 0.5  # of the last bone's length: how far an end site lies beyond a joint without children
_BODY, _SMPL_H, _BETAS = 22, 52, 16  # joints of SMPL that SMPL-H shares, its joints with the fingers', its shapes


def clock(result: VideoResult, fps: int | float | None = None) -> tuple[float, Float[np.ndarray, " K"]]:
    """A constant rate in frames a second, and where its K even frames lie among the video's own.

    Without `fps` the video's. Where no time stamp is more than half a frame off an even grid its frames are taken as
    they are, at a whole number or NTSC's rate (30000 / 1001) if that moves none by more than 1 ms, as containers that
    count milliseconds do. Else the rate is the median's, as a whole number.
    """
    times, count = result.times - result.times[:1], len(result.times)
    if fps is not None:
        at = _among(times, float(fps))
        on = np.rint(at)  # rounding must not move a frame to the wrong side of a gap
        return float(fps), np.where(np.abs(at - on) < 1e-6, on, at)
    if count < 2:
        return round(result.fps, 6), np.arange(float(count))

    def off(rate: float) -> float:
        return float(np.abs(times - np.arange(count) / rate).max())

    mean = (count - 1) / float(times[-1])
    if off(mean) * mean <= 0.5:
        whole = max(1.0, float(round(mean)))
        nearest = min((whole, whole / 1.001), key=off)
        return nearest if off(nearest) <= 1e-3 else round(mean, 6), np.arange(float(count))
    fps = max(1.0, float(round(result.fps)))
    return fps, _among(times, fps)


def _among(times: Float[np.ndarray, " T"], fps: float) -> Float[np.ndarray, " K"]:
    """Where the frames of a rate lie among those of these times: between two frames in proportion to the time."""
    if not len(times):
        return np.zeros(0)
    return np.interp(np.arange(int(times[-1] * fps + 1e-6) + 1) / fps, times, np.arange(len(times)))


def start_frame(result: VideoResult, motion: Motion, fps: int | float | None = None) -> int:
    """The first of the even frames (`clock`) in which a person is there."""
    return int(_present(clock(result, fps)[1], motion)[0])


def _present(at: Float[np.ndarray, " K"], motion: Motion) -> Int[np.ndarray, " F"]:
    """The even frames from a person's first to its last; at least the one that is nearest to its first."""
    first, last = motion.frames[[0, -1]]
    inside = np.flatnonzero((at > first - 1e-6) & (at < last + 1e-6))
    return inside if len(inside) else np.abs(at - first).argmin()[None]


def retimed(result: VideoResult, options: FileOptions) -> VideoResult:
    """The video at the rate and with the root motion of the options; who is not there has no frames."""
    if options.fps is None:
        if options.root_motion:
            return result
        tracks = [replace(motion, pose=_in_place(motion.pose.map(exact), options)) for motion in result.tracks]
        return replace(result, tracks=tracks, video=None)
    fps, at = clock(result, options.fps)
    tracks = []
    for motion in result.tracks:
        frames = _present(at, motion)
        there = np.isin(np.floor(at[frames]), motion.frames) & np.isin(np.ceil(at[frames]), motion.frames)
        frames = frames[there] if there.any() else frames[:1]
        pose, nearest = _sampled(motion, at[frames])
        confidence = motion.confidence[nearest] if len(motion.confidence) else motion.confidence
        facts = _in_place(pose, options), motion.found[nearest], motion.score, confidence
        tracks.append(Motion(motion.track, frames, *facts))
    return replace(result, times=result.times[:1] + np.arange(len(at)) / fps, tracks=tracks, video=None)


def _sampled(motion: Motion, wanted: Float[np.ndarray, " F"]) -> tuple[BodyPose, Int[np.ndarray, " F"]]:
    """Poses (float64, CPU) at places among a video's frames, and the rows that are nearest to them.

    Rotations go the short way between two frames (slerp); gaps hold the pose before them.
    """
    pose, frames = motion.pose.map(exact), motion.frames
    before = (np.searchsorted(frames, wanted, side="right") - 1).clip(0)
    after = np.minimum(before + 1, len(frames) - 1)
    part = np.where(frames[after] - frames[before] > 1, 0, wanted - frames[before]).clip(0, 1)
    share = torch.from_numpy(part)
    a, b = pose.map(lambda tensor: tensor[before]), pose.map(lambda tensor: tensor[after])
    way = rotation_to_axis_angle(a.rotations.mT @ b.rotations) * share[:, None, None]
    rotations = a.rotations @ rotation_from_axis_angle(way)
    translation = a.translation + share[:, None] * (b.translation - a.translation)
    return BodyPose(rotations, a.shape, translation), np.where(part < 0.5, before, after)


def _in_place(pose: BodyPose, options: FileOptions) -> BodyPose:
    """A motion [F] without its way over the ground where the options leave that out; the camera's y is height."""
    if options.root_motion:
        return pose
    return replace(pose, translation=pose.translation * _HEIGHT + pose.translation[:1] * (1 - _HEIGHT))


def motion_of(result: Result | VideoResult, person: int, options: FileOptions = PLAIN) -> tuple[BodyPose, float]:
    """One person (their place in the result) as poses [F] (float64, CPU) and a rate in frames a second.

    Of a video from their first frame to their last, with `options.pad` through all of it, at the constant rate of
    `clock`; where they are not there their last pose, or the first that comes, is held. Of a photo one frame.
    """
    if isinstance(result, Result):
        return result.pose.map(lambda tensor: exact(tensor[person : person + 1])), 30.0
    motion, (fps, at) = result.tracks[person], clock(result, options.fps)
    pose, _ = _sampled(motion, at if options.pad else at[_present(at, motion)])
    return _in_place(pose, options), fps


def write_bvh(result: Result | VideoResult, person: int, path: str | Path, options: FileOptions = PLAIN) -> None:
    """Writes one person (their place in the result), of a photo as one frame, of a video through its track.

    Metres or centimetres, y up (the half turn diag(1, -1, -1) of the camera frame) or z up. The root has the channels
    Xposition Yposition Zposition Zrotation Xrotation Yrotation, the joints the last three, in degrees: R = Rz Rx Ry.
    """
    pose, fps = motion_of(result, person, options)
    lift = torch.tensor([0.0, options.lift(result.body, pose), 0.0])
    rest, places = result.body.rest_joints(pose.shape[0]), pose.translation - lift  # the camera's y is down
    lengths = options.scale * rest.numpy(), pose.rotations.numpy(), options.scale * places.numpy()
    Path(path).write_text(bvh_text(*lengths, 1 / fps, RIGS[options.rig], options.up), encoding="ascii")


def bvh_text(
    rest: Float[np.ndarray, "J 3"],
    rotations: Float[np.ndarray, "F J 3 3"],
    translations: Float[np.ndarray, "F 3"],
    frame_time: float = 1 / 30,
    skeleton: JointSet = SMPL24,
    up: str = "y",
) -> str:
    """A file of F frames: rest joints (y up), rotations, translations (camera frame), lengths in the file's units."""
    parents = skeleton.parents
    local = np.array(rotations, dtype=np.float64)
    local[:, 0] = _Y_UP @ local[:, 0]
    places = (rest[0] + translations) @ _Y_UP
    if up == "z":
        rest, places, local = rest @ Y_TO_Z.T, places @ Y_TO_Z.T, Y_TO_Z @ local @ Y_TO_Z.T
    lines, order = ["HIERARCHY"], []

    def add(joint: int, depth: int) -> None:
        tab, root = "  " * depth, parents[joint] < 0
        offset = np.zeros(3) if root else rest[joint] - rest[parents[joint]]
        channels = (*_POSITIONS, *_ROTATIONS) if root else _ROTATIONS
        order.append(joint)
        lines.extend([f"{tab}{'ROOT' if root else 'JOINT'} {skeleton.names[joint]}", tab + "{"])
        lines.append(f"{tab}  OFFSET {_numbers(offset)}")
        lines.append(f"{tab}  CHANNELS {len(channels)} {' '.join(channels)}")
        children = [child for child, parent in enumerate(parents) if parent == joint]
        for child in children:
            add(child, depth + 1)
        if not children:
            end = f"{tab}    OFFSET {_numbers(_TIP * offset)}"
            lines.extend([f"{tab}  End Site", tab + "  {", end, tab + "  }"])
        lines.append(tab + "}")

    add(0, 0)
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


def write_amass(result: VideoResult, person: int, path: str | Path, options: FileOptions = PLAIN) -> None:
    """Writes one person of a video as AMASS does (amass.is.tue.mpg.de).

    `poses` F x 156: axis-angle, radians, of SMPL-H's root, 21 joints and 30 of the fingers, zeros; `betas` 16; `trans`
    F x 3, metres; `dmpls` F x 8, zeros; `mocap_framerate`; `gender`: "neutral"; and, of the video, `start_frame` at
    this rate and `start_s`. The world is z up: x the picture's right, y away from the camera, which is taken to stand
    level. Betas are those of the result's body: the open body's mean nothing to SMPL.
    """
    pose, fps = motion_of(result, person, options)
    start = 0 if options.pad else start_frame(result, result.tracks[person], options.fps)
    root, turn, rotations = SMPL24.index("pelvis"), torch.from_numpy(Z_UP), pose.rotations.clone()
    rest = result.body.rest_joints(pose.shape[0])[root]
    rotations[:, root] = turn @ rotations[:, root]
    # SMPL turns about the rest pelvis, which therefore stays where it is while the world is turned about the camera.
    places = (rest + pose.translation) @ turn.T - rest
    places[:, 2] += options.lift(result.body, pose)
    poses, betas = np.zeros((len(places), 3 * _SMPL_H)), np.zeros(_BETAS)
    poses[:, : 3 * _BODY] = rotation_to_axis_angle(rotations[:, :_BODY]).flatten(1)
    shape = pose.shape[0, :_BETAS]
    betas[: len(shape)] = shape
    arrays = {
        "poses": poses,
        "betas": betas,
        "trans": places.numpy(),
        "dmpls": np.zeros((len(places), 8)),
        "mocap_framerate": np.array(fps),
        "gender": np.array("neutral"),
        "start_frame": np.array(start),
        "start_s": np.array(start / fps),
    }
    write_arrays(path, arrays)
