"""Skinned glTF 2.0 for Blender, Unity and three.js: every person a mesh on 24 joints, posed or moving.

glTF is y up with cameras looking along -z: the half turn diag(1, -1, -1) of the OpenCV camera frame is the rotation of
one node, "camera_frame", above all skeletons, and everything below stays as in the result. Each person is a node of its
own there, so that Blender makes an armature for each. Mesh nodes stand at the scene's root, because a skinned mesh
ignores its own node's place.

Of a video one animation, "motion", turns the joints and moves the root at the frames' true times after the first
frame, or at the rate of the options. People who are not there are scaled down to a fifth of a millimetre at the pelvis:
a scale of 0, by which the standard hides skinned meshes (section 3.5.3), and a scale above the skeleton break Blender's
exports.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from humesh.body.joints import RIGS, SMPL24
from humesh.body.mesh import vertex_normals
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.geometry.camera import Camera
from humesh.scene.mocap import clock, motion_of, retimed, start_frame
from humesh.scene.record import humesh_version
from humesh.scene.render import colours
from humesh.scene.result import PLAIN, FileOptions, Motion, Result, VideoResult, exact

_HALF_TURN_ABOUT_X = [1.0, 0.0, 0.0, 0.0]  # quaternion x y z w
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_COMPONENTS = {"float32": 5126, "uint8": 5121, "uint32": 5125}
_KINDS = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_LEAST_WEIGHT = 1e-6  # skinning weights below it are left out: they move no vertex by more than a micrometre
_HIDDEN = 1e-4  # the scale of people who are not there
_EARLY_S = 1e-3  # that people come and go before their frame's time, which may be read a rounding too soon
_PELVIS = SMPL24.index("pelvis")


def write_glb(result: Result | VideoResult, path: str | Path, options: FileOptions = PLAIN) -> None:
    """Writes everybody, and the camera, as one binary glTF file; nobody gives a valid file with no mesh."""
    scene = _moving(result, options) if isinstance(result, VideoResult) else _still(result, options)
    Path(path).write_bytes(scene.glb())


def write_rigged_glb(result: Result | VideoResult, person: int, path: str | Path, options: FileOptions = PLAIN) -> None:
    """Writes one person (their place in the result) on another program's skeleton, y up, at a constant rate.

    The nodes rest in the T-pose, facing +z with the feet at height 0; the motion, of a photo one frame, is the
    animation "motion".
    """
    body, (pose, fps) = result.body, motion_of(result, person, options)
    about: dict[str, Any] = {}
    if isinstance(result, VideoResult):
        motion, count = result.tracks[person], len(result.tracks)
        number, score = motion.track, motion.score
        about = {"start_frame": 0 if options.pad else start_frame(result, motion, options.fps)}
    else:
        number, score, count = person, result.people[person].score, len(result.people)
    shape, name = pose.shape[0], f"person{number}"
    surface = body.rest_vertices(shape)
    stand = torch.tensor([0.0, -float(surface[:, 1].min()), 0.0], dtype=torch.float64)
    rest, standing = BodyPose.rest(shapes=len(shape), dtype=torch.float64), body.rest_joints(shape) + stand
    scene, bones = _Scene(body, result.method), RIGS[options.rig].names
    frames = len(pose.translation)
    scene.document["extras"] |= {"rig": options.rig, "fps": fps, "frames": frames, **about}
    facts = colours(count)[person], {"score": round(float(score), 6)}
    joints = scene.add(name, replace(rest, shape=shape), standing, surface + stand, *facts, bones)
    flip = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    rotations = pose.rotations.clone()
    rotations[:, _PELVIS] = flip[:, None] * rotations[:, _PELVIS]
    places = (body.rest_joints(shape)[_PELVIS] + pose.translation) * flip
    places[:, 1] += options.lift(body, pose)
    scene.move(joints, np.arange(frames) / fps, rotations, places)
    Path(path).write_bytes(scene.glb())


def _still(result: Result, options: FileOptions) -> _Scene:
    photo, body = result.photo, result.body
    scene, lift = _Scene(body, result.method), options.lift(body, result.pose)
    scene.add_camera("photo_camera", photo.camera, photo.size, lift, len(result.people))
    for number, colour in enumerate(colours(len(result.people))):
        pose = result.pose.map(itemgetter(number)).map(exact)
        extras = {"score": round(float(result.people[number].score), 6)}
        scene.add(f"person{number}", pose, body.rest_joints(pose.shape), body.unposed_vertices(pose), colour, extras)
    return scene


def _moving(result: VideoResult, options: FileOptions) -> _Scene:
    result = retimed(result, options)
    body, times = result.body, result.times - result.times[:1]
    lift = options.lift(body, *(motion.pose for motion in result.tracks))
    scene = _Scene(body, result.method)
    scene.add_camera("video_camera", result.camera, result.size, lift, len(result.tracks))
    fps, even = clock(result, options.fps)
    start = round(float(result.times[0]), 6) if len(times) else 0.0
    scene.document["extras"] |= {"start_s": start, "fps": fps, "frames": len(even)}
    for motion, colour in zip(result.tracks, colours(len(result.tracks)), strict=True):
        pose = motion.pose.map(exact)
        first = pose.map(itemgetter(0))
        rest = body.rest_joints(first.shape)
        # A body's pose correctives, of which a skinned mesh knows nothing, are left out: its surface is the T-pose's.
        surface = body.rest_vertices(first.shape)
        about = {"score": round(float(motion.score), 6), "start_frame": start_frame(result, motion, options.fps)}
        joints = scene.add(f"person{motion.track}", first, rest, surface, colour, {"track": int(motion.track), **about})
        scene.move(joints, times[motion.frames], pose.rotations, rest[_PELVIS] + pose.translation)
        keys, there = presence(motion, len(times))
        if not there.all():
            early = np.minimum(_EARLY_S, np.diff(times)[keys[1:] - 1] / 2)
            # Repeated at the video's end, so that the animation is as long.
            changes = np.append(times[keys] - np.concatenate([[0], early]), times[-1])
            sizes = np.where(np.append(there, there[-1]), 1.0, _HIDDEN)
            at = scene.store(changes, limits=True)
            scene.animate(joints[_PELVIS], "scale", at, np.tile(sizes, (3, 1)).T, "STEP")
    return scene


class _Scene:
    def __init__(self, body: BodyModel, method: str) -> None:
        self.body, self.data = body, bytearray()
        self._shared: dict[str, int] = {}  # accessors that all people share
        self._samplers: list[dict[str, Any]] = []
        self._channels: list[dict[str, Any]] = []
        self.document: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": f"humesh {humesh_version()}"},
            "extras": {"method": method, "body": body.name},
            "scene": 0,
            "scenes": [{"name": "humesh", "nodes": []}],
        }
        # Of these empty lists are invalid: they are left out of the file.
        kinds = ("nodes", "cameras", "meshes", "skins", "materials", "animations", "accessors", "bufferViews")
        self.document |= {kind: [] for kind in kinds}

        self._people: list[int] = self.document["scenes"][0]["nodes"]  # the list that people are added to

    def add_camera(self, name: str, camera: Camera, size: tuple[int, int], lift: float, people: int) -> None:
        """Adds the camera and, for people if there are any, the node "camera_frame", both `lift` metres up."""
        nodes, place = self.document["nodes"], {"translation": [0.0, lift, 0.0]} if lift else {}
        width, height = size
        # glTF knows no principal point, so the view is that of a centred one.
        yfov = 2 * math.atan(height / 2 / float(camera.matrix[1, :2].norm()))
        perspective = {"yfov": yfov, "aspectRatio": width / height, "znear": 0.01}
        self.document["cameras"].append({"name": name, "type": "perspective", "perspective": perspective})
        self._people.append(len(nodes))
        nodes.append({"name": name, "camera": 0, **place})
        if people:  # without children a validator calls it an empty node
            self._people.append(len(nodes))
            self._people = []
            frame = {"name": "camera_frame", "rotation": _HALF_TURN_ABOUT_X, "children": self._people}
            nodes.append(frame | place)

    def add(
        self,
        name: str,
        pose: BodyPose,
        rest_joints: Float[Tensor, "J 3"],
        surface: Float[Tensor, "V 3"],
        colour: Float[np.ndarray, "3"],
        extras: dict[str, Any],
        bones: Sequence[str] = (),
    ) -> list[int]:
        """Adds a person in a pose (float64, CPU), with its T-pose; returns the joints' nodes in SMPL order.

        Bones are called `bones`, or by the joints' names after the person's, which several people need.
        """
        nodes = self.document["nodes"]
        self._shared = self._shared or self._skin()
        rest, mesh = rest_joints.numpy(), surface.numpy()
        number, person = len(self.document["meshes"]), len(nodes)
        joints = list(range(person + 1, person + 1 + len(rest)))
        self._people.append(person)
        nodes.append({"name": name, "children": joints[:1]})
        turns, called = quaternions(pose.rotations), bones or [f"{name}_{joint}" for joint in SMPL24.names]
        for joint, parent in enumerate(SMPL24.parents):
            offset = rest[joint] - rest[parent] if parent >= 0 else rest[joint] + pose.translation.numpy()
            bone = {"name": called[joint], "translation": offset.tolist()}
            children = [joints[child] for child, above in enumerate(SMPL24.parents) if above == joint]
            nodes.append(bone | {"rotation": turns[joint].tolist()} | ({"children": children} if children else {}))
        inverse_bind = np.tile(np.eye(4), (len(rest), 1, 1))
        inverse_bind[:, 3, :3] = -rest  # transposed: glTF stores matrices column by column
        skin = {"name": name, "joints": joints, "skeleton": joints[0], "inverseBindMatrices": self.store(inverse_bind)}
        self.document["skins"].append(skin)
        attributes = {
            "POSITION": self.store(mesh, _ARRAY_BUFFER, limits=True),
            "NORMAL": self.store(vertex_normals(mesh, self.body.faces), _ARRAY_BUFFER),
            **{key: value for key, value in self._shared.items() if key != "indices"},
        }
        primitive = {"attributes": attributes, "indices": self._shared["indices"], "material": number}
        self.document["meshes"].append({"name": name, "primitives": [primitive]})
        # glTF wants colours in linear light, the palette is in sRGB.
        linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
        matt = {"baseColorFactor": [*linear.round(6).tolist(), 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.7}
        self.document["materials"].append({"name": name, "pbrMetallicRoughness": matt})
        extras = {"betas": [round(b, 6) for b in pose.shape.tolist()], **extras}
        self.document["scenes"][0]["nodes"].append(len(nodes))
        nodes.append({"name": f"{name}_mesh", "mesh": number, "skin": number, "extras": extras})
        return joints

    def move(
        self,
        joints: Sequence[int],
        times: Float[np.ndarray, " F"],
        rotations: Float[Tensor, "F J 3 3"],
        places: Float[Tensor, "F 3"],
    ) -> None:
        """Turns a person's joints, and moves its pelvis, through frames at these times in seconds."""
        at = self.store(times, limits=True)
        turns = np.swapaxes(continuous(quaternions(rotations).numpy()), 0, 1)
        for joint, values in zip(joints, turns, strict=True):
            self.animate(joint, "rotation", at, values)
        self.animate(joints[_PELVIS], "translation", at, places.numpy())

    def animate(self, node: int, what: str, at: int, values: np.ndarray, interpolation: str = "LINEAR") -> None:
        """Adds a channel: values at the times of an accessor."""
        self._channels.append({"sampler": len(self._samplers), "target": {"node": node, "path": what}})
        self._samplers.append({"input": at, "output": self.store(values), "interpolation": interpolation})

    def _skin(self) -> dict[str, int]:
        """The accessors of the triangles, and of sets of four joints and weights for each vertex."""
        faces = np.asarray(self.body.faces).reshape(-1)
        parts = {"indices": self.store(faces.astype(np.uint32), _ELEMENT_ARRAY_BUFFER)}
        joints, weights = skin_weights(exact(self.body.weights).numpy().T)
        for k in range(joints.shape[1] // 4):
            four = slice(4 * k, 4 * k + 4)
            parts[f"JOINTS_{k}"] = self.store(joints[:, four], _ARRAY_BUFFER)
            parts[f"WEIGHTS_{k}"] = self.store(weights[:, four], _ARRAY_BUFFER)
        return parts

    def store(self, array: np.ndarray, target: int | None = None, limits: bool = False) -> int:
        """Appends an array [count, *element] (floats as float32) to the bytes and returns its accessor's number."""
        array = np.ascontiguousarray(array, np.float32 if array.dtype.kind == "f" else array.dtype)
        self.data += b"\0" * (-len(self.data) % 4)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes}
        if target is not None:
            view["target"] = target
        accessor: dict[str, Any] = {
            "bufferView": len(self.document["bufferViews"]),
            "componentType": _COMPONENTS[array.dtype.name],
            "count": len(array),
            "type": _KINDS[array.shape[1:]],
        }
        if limits:  # of the float32 numbers that are stored, which a validator compares exactly
            accessor |= {"min": np.atleast_1d(array.min(0)).tolist(), "max": np.atleast_1d(array.max(0)).tolist()}
        self.data += array.tobytes()
        self.document["bufferViews"].append(view)
        self.document["accessors"].append(accessor)
        return len(self.document["accessors"]) - 1

    def glb(self) -> bytes:
        """The file: a header and two chunks."""
        if self._channels:
            motion = {"name": "motion", "samplers": self._samplers, "channels": self._channels}
            self.document["animations"] = [motion]
        document = {key: value for key, value in self.document.items() if value != []}
        if self.data:
            document["buffers"] = [{"byteLength": len(self.data)}]
        text = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
        chunks = b""
        for kind, data, padding in ((b"JSON", text, b" "), (b"BIN\0", bytes(self.data), b"\0")):
            if data:
                data += padding * (-len(data) % 4)
                chunks += struct.pack("<I4s", len(data), kind) + data
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def skin_weights(weights: Float[np.ndarray, "V J"]) -> tuple[UInt8[np.ndarray, "V M"], Float[np.ndarray, "V M"]]:
    """Joints and weights of each vertex, largest first, summing to 1; M: the multiple of 4 that suffices for all."""
    used = np.where(weights > _LEAST_WEIGHT, weights, 0)
    most = max(1, int((used > 0).sum(1).max()))
    order = np.argsort(-used, axis=1, kind="stable")[:, : -(-most // 4) * 4]
    largest = np.take_along_axis(used, order, 1)
    joints = np.where(largest > 0, order, 0).astype(np.uint8)  # an unused place must name joint 0
    largest = (largest / largest.sum(1, keepdims=True)).astype(np.float32)
    largest[:, 0] += (1 - largest.astype(np.float64).sum(1)).astype(np.float32)  # what rounding lost
    return joints, largest


def quaternions(rotations: Float[Tensor, "*g 3 3"]) -> Float[Tensor, "*g 4"]:
    """Unit quaternions x y z w of matrices."""
    return torch.nn.functional.normalize(roma.rotmat_to_unitquat(rotations), dim=-1)


def continuous(quaternion: Float[np.ndarray, "F *g 4"]) -> Float[np.ndarray, "F *g 4"]:
    """The same rotations with signs that keep each frame on the side of the last one: the way between them is short."""
    dots = (quaternion[1:] * quaternion[:-1]).sum(-1, keepdims=True)
    signs = np.cumprod(np.where(dots < 0, -1.0, 1.0), axis=0)
    return np.concatenate([quaternion[:1], quaternion[1:] * signs])


def presence(motion: Motion, count: int) -> tuple[Int[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Frame 0 and the frames, of `count`, at which a person comes or goes; and whether it is there from then on."""
    there = np.zeros(count, bool)
    there[motion.frames] = True
    keys = np.concatenate([[0], np.flatnonzero(np.diff(there)) + 1])
    return keys, there[keys]
