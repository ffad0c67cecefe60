"""Animated glTF: the people of a video move, come and go; a file for Blender, Unity and three.js.

The scene is that of a photo (`humesh.scene.gltf`). One animation, "motion", holds a rotation channel for each joint and
the root's place, at the frames' true times, in seconds after the video's first frame. Before a person comes, when it
is gone and in between, its pelvis, and with it all joints, is scaled down to a fifth of a millimetre, stepwise. A scale
of 0, by which the standard hides skinned meshes (glTF 2.0, section 3.5.3), cannot be inverted, and on the node above
the skeleton, which Blender takes for the armature, it breaks Blender's exports to FBX and GLB.
"""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from humesh.body.joints import SMPL24
from humesh.scene.gltf import GltfScene, quaternions
from humesh.scene.motion_record import clock, start_frame
from humesh.scene.options import PLAIN, FileOptions
from humesh.scene.overlay import colours
from humesh.scene.record import exact
from humesh.scene.result import Motion, VideoResult

HIDDEN = 1e-4
"""The scale of people who are not there."""

_EARLY = 1e-3  # seconds that people come and go before their frame's time, which may be read a rounding too soon


def write_moving_glb(recovery: VideoResult, path: str | Path, options: FileOptions = PLAIN) -> None:
    """Writes everybody's motion and the video's camera as one binary glTF file; nobody gives a valid, still file."""
    body, times = recovery.body, recovery.times - recovery.times[:1]
    lift = options.lift(body, *(motion.pose for motion in recovery.tracks))
    scene = GltfScene(body, recovery.camera, recovery.size, "video_camera", recovery.method, lift)
    fps, even = clock(recovery)
    start = round(float(recovery.times[0]), 6) if len(times) else 0.0
    scene.document["extras"] |= {"start_s": start, "fps": fps, "frames": len(even)}
    samplers: list[dict] = []
    channels: list[dict] = []

    def animate(node: int, what: str, at: int, values: np.ndarray, interpolation: str = "LINEAR") -> None:
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": what}})
        samplers.append({"input": at, "output": scene.store(values), "interpolation": interpolation})

    for motion, colour in zip(recovery.tracks, colours(len(recovery.tracks)), strict=True):
        pose = motion.pose.map(exact)
        first = pose.map(itemgetter(0))
        # A body's pose correctives, of which a skinned mesh knows nothing, are left out: its surface is the T-pose's.
        surface = body.rest_vertices(first.shape)
        about = {"score": round(float(motion.score), 6), "start_frame": start_frame(recovery, motion)}
        joints = scene.add(f"person{motion.track}", first, surface, colour, {"track": int(motion.track), **about})
        at = scene.store(times[motion.frames], limits=True)
        turns = np.swapaxes(continuous(quaternions(pose.rotations).numpy()), 0, 1)
        for joint, values in zip(joints, turns, strict=True):
            animate(joint, "rotation", at, values)
        pelvis = SMPL24.index("pelvis")
        root = body.rest_joints(first.shape)[pelvis] + pose.translation
        animate(joints[pelvis], "translation", at, root.numpy())
        keys, there = visible(motion, len(times))
        if there.all():
            continue
        early = np.minimum(_EARLY, np.diff(times)[keys[1:] - 1] / 2)
        # Repeated at the video's end, so that the animation is as long.
        changes, there = np.append(times[keys] - np.concatenate([[0], early]), times[-1]), np.append(there, there[-1])
        sizes = np.repeat(np.where(there, 1.0, HIDDEN)[:, None], 3, axis=1)
        animate(joints[pelvis], "scale", scene.store(changes, limits=True), sizes, "STEP")
    if channels:
        scene.document["animations"].append({"name": "motion", "samplers": samplers, "channels": channels})
    Path(path).write_bytes(scene.glb())


def continuous(quaternion: Float[np.ndarray, "F *g 4"]) -> Float[np.ndarray, "F *g 4"]:
    """The same rotations with signs that keep each frame on the side of the last one: the way between them is short."""
    dots = (quaternion[1:] * quaternion[:-1]).sum(-1, keepdims=True)
    signs = np.cumprod(np.where(dots < 0, -1.0, 1.0), axis=0)
    return np.concatenate([quaternion[:1], quaternion[1:] * signs])


def visible(motion: Motion, count: int) -> tuple[Int[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Frame 0 and the frames, of `count`, at which a person comes or goes; and whether it is there from then on."""
    there = np.zeros(count, bool)
    there[motion.frames] = True
    keys = np.concatenate([[0], np.flatnonzero(np.diff(there)) + 1])
    return keys, there[keys]
