"""Skinned glTF 2.0: every person a mesh on 24 joints that Blender, three.js and game engines pose and animate.

Axes: glTF is y up and right-handed with cameras looking along -z, so X' = diag(1, -1, -1) X of the OpenCV camera frame.
That half turn about x is the rotation of one node, "camera_frame", above all skeletons; everything below stays as in
the recovery: a bone's translation is its rest offset, its rotation the pose, and the bind mesh is the T-posed body.
Each person is a node of its own there, so that Blender makes an armature for each. Mesh nodes stand at the scene's
root, because a skinned mesh ignores its own node's place: the joints' globals count.
"""

from __future__ import annotations

import json
import math
import struct
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from humesh.body.joints import SMPL24
from humesh.body.mesh import vertex_normals
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.geometry.camera import Camera
from humesh.scene.options import PLAIN, FileOptions
from humesh.scene.overlay import colours
from humesh.scene.record import exact, humesh_version
from humesh.scene.result import Result

_HALF_TURN_ABOUT_X = [1.0, 0.0, 0.0, 0.0]  # quaternion x y z w
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_COMPONENTS = {"float32": 5126, "uint8": 5121, "uint32": 5125}
_KINDS = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_LEAST_WEIGHT = 1e-6  # skinning weights below it are left out: they move no vertex by more than a micrometre


def write_glb(recovery: Result, path: str | Path, options: FileOptions = PLAIN) -> None:
    """Writes everybody, and the photo's camera, as one binary glTF file; nobody gives a valid file with no mesh."""
    lift = options.lift(recovery.body, recovery.pose)
    scene = GltfScene(recovery.body, recovery.photo.camera, recovery.photo.size, "photo_camera", recovery.method, lift)
    for person, colour in enumerate(colours(len(recovery.people))):
        pose = recovery.pose.map(itemgetter(person)).map(exact)
        extras = {"score": round(float(recovery.people[person].score), 6)}
        scene.add(f"person{person}", pose, recovery.body.unposed_vertices(pose), colour, extras)
    Path(path).write_bytes(scene.glb())


class GltfScene:
    """A glTF document in the making: a camera, people with skeletons and skins, and the bytes that they refer to.

    `lift`: how high above the origin the camera is, in metres.
    """

    def __init__(
        self, body: BodyModel, camera: Camera, size: tuple[int, int], lens: str, method: str, lift: float
    ) -> None:
        self.body, self.data = body, bytearray()
        self._place = {"translation": [0.0, lift, 0.0]} if lift else {}
        self.people: list[int] = []  # the children of "camera_frame", which holds this very list
        self._parts: dict[str, int] = {}
        self.document: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": f"humesh {humesh_version()}"},
            "extras": {"method": method, "body": body.name},
            "scene": 0,
            "scenes": [{"name": "humesh", "nodes": [0]}],
            "nodes": [{"name": lens, "camera": 0, **self._place}],
            "cameras": [_lens(lens, camera, size)],
        }
        # Of these empty lists are invalid: they are left out of the file.
        kinds = ("meshes", "skins", "materials", "animations", "accessors", "bufferViews")
        self.document |= {kind: [] for kind in kinds}

    def add(
        self,
        name: str,
        pose: BodyPose,
        surface: Float[Tensor, "V 3"],
        colour: Float[np.ndarray, "3"],
        extras: dict[str, Any],
    ) -> list[int]:
        """Adds a person in a pose (float64, CPU) with its T-posed surface; returns the joints' nodes in SMPL order."""
        nodes, roots = self.document["nodes"], self.document["scenes"][0]["nodes"]
        if not self.people:  # without children a validator calls it an empty node
            roots.append(len(nodes))
            frame = {"name": "camera_frame", "rotation": _HALF_TURN_ABOUT_X, "children": self.people}
            nodes.append(frame | self._place)
            self._parts = self._body_parts()
        rest, mesh = self.body.rest_joints(pose.shape).numpy(), surface.numpy()
        number, person = len(self.document["meshes"]), len(nodes)
        joints = list(range(person + 1, person + 1 + len(rest)))
        self.people.append(person)
        nodes.append({"name": name, "children": joints[:1]})
        nodes += _bones(name, pose, rest, first=joints[0])
        inverse_bind = np.tile(np.eye(4), (len(rest), 1, 1))
        inverse_bind[:, 3, :3] = -rest  # transposed: glTF stores matrices column by column
        skin = {"name": name, "joints": joints, "skeleton": joints[0], "inverseBindMatrices": self.store(inverse_bind)}
        self.document["skins"].append(skin)
        attributes = {
            "POSITION": self.store(mesh, _ARRAY_BUFFER, limits=True),
            "NORMAL": self.store(vertex_normals(mesh, self.body.faces), _ARRAY_BUFFER),
            **{key: value for key, value in self._parts.items() if key != "indices"},
        }
        primitive = {"attributes": attributes, "indices": self._parts["indices"], "material": number}
        self.document["meshes"].append({"name": name, "primitives": [primitive]})
        self.document["materials"].append(_material(name, colour))
        extras = {"betas": [round(b, 6) for b in pose.shape.tolist()], **extras}
        roots.append(len(nodes))
        nodes.append({"name": f"{name}_mesh", "mesh": number, "skin": number, "extras": extras})
        return joints

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
        """The file."""
        document = {key: value for key, value in self.document.items() if value != []}
        if self.data:
            document["buffers"] = [{"byteLength": len(self.data)}]
        text = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text
        if self.data:
            binary = bytes(self.data) + b"\0" * (-len(self.data) % 4)
            chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks

    def _body_parts(self) -> dict[str, int]:
        """The accessors that all people share: the triangles, and sets of four joints and weights for each vertex."""
        faces = np.asarray(self.body.faces).reshape(-1)
        parts = {"indices": self.store(faces.astype(np.uint32), _ELEMENT_ARRAY_BUFFER)}
        joints, weights = skin_weights(exact(self.body.weights).numpy().T)
        for k in range(joints.shape[1] // 4):
            four = slice(4 * k, 4 * k + 4)
            parts[f"JOINTS_{k}"] = self.store(joints[:, four], _ARRAY_BUFFER)
            parts[f"WEIGHTS_{k}"] = self.store(weights[:, four], _ARRAY_BUFFER)
        return parts


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


def _bones(name: str, pose: BodyPose, rest: Float[np.ndarray, "J 3"], first: int) -> list[dict[str, Any]]:
    """A node for each joint: its rest offset from its parent (the root's: its place), turned by the pose."""
    turns = quaternions(pose.rotations)
    bones = []
    for joint, parent in enumerate(SMPL24.parents):
        offset = rest[joint] - rest[parent] if parent >= 0 else rest[joint] + pose.translation.numpy()
        bone: dict[str, Any] = {
            "name": f"{name}_{SMPL24.names[joint]}",
            "translation": offset.tolist(),
            "rotation": turns[joint].tolist(),
        }
        children = [first + child for child, above in enumerate(SMPL24.parents) if above == joint]
        bones.append(bone | ({"children": children} if children else {}))
    return bones


def quaternions(rotations: Float[Tensor, "*g 3 3"]) -> Float[Tensor, "*g 4"]:
    """Unit quaternions x y z w of matrices."""
    return torch.nn.functional.normalize(roma.rotmat_to_unitquat(rotations), dim=-1)


def _material(name: str, colour: Float[np.ndarray, "3"]) -> dict[str, Any]:
    """A matt surface; glTF wants the colour in linear light, the palette is in sRGB."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    surface = {"baseColorFactor": [*linear.round(6).tolist(), 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.7}
    return {"name": name, "pbrMetallicRoughness": surface}


def _lens(name: str, camera: Camera, size: tuple[int, int]) -> dict[str, Any]:
    """The photo's or video's camera; glTF knows no principal point, so the view is that of a centred one."""
    width, height = size
    yfov = 2 * math.atan(height / 2 / float(camera.matrix[1, :2].norm()))
    perspective = {"yfov": yfov, "aspectRatio": width / height, "znear": 0.01}
    return {"name": name, "type": "perspective", "perspective": perspective}
