"""Skinned glTF 2.0: every person a mesh on 24 joints that Blender, three.js and game engines pose and animate.

Axes: glTF is y up and right-handed with cameras looking along -z, so X' = diag(1, -1, -1) X of the OpenCV camera frame.
That half turn about x is the rotation of one node, "camera_frame", above all skeletons; everything below stays as in
the recovery: a bone's translation is its rest offset, its rotation the pose, and the bind mesh is the T-posed body.
Mesh nodes stand at the scene's root, because a skinned mesh ignores its own node's place: the joints' globals count.
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

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.scene.overlay import colours
from humesh.scene.record import humesh_version
from humesh.scene.recovery import Recovery
from humesh.scene.shading import vertex_normals

_HALF_TURN_ABOUT_X = [1.0, 0.0, 0.0, 0.0]  # quaternion x y z w
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_COMPONENTS = {"float32": 5126, "uint8": 5121, "uint16": 5123, "uint32": 5125}
_KINDS = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_LEAST_WEIGHT = 1e-6  # skinning weights below it are left out: they move no vertex by more than a micrometre


def write_glb(recovery: Recovery, path: str | Path) -> None:
    """Writes everybody, and the photo's camera, as one binary glTF file; nobody gives a valid file with no mesh."""
    document, binary = gltf(recovery)
    text = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    if binary:
        chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    Path(path).write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)


def gltf(recovery: Recovery) -> tuple[dict[str, Any], bytes]:
    """The glTF document and its one buffer."""
    writer = _Buffer()
    nodes: list[dict[str, Any]] = [{"name": "photo_camera", "camera": 0}]
    root: dict[str, Any] = {"name": "camera_frame", "rotation": _HALF_TURN_ABOUT_X}
    if recovery.people:  # without children a validator calls it an empty node
        nodes.append(root)
    scene: dict[str, Any] = {"name": "humesh", "nodes": list(range(len(nodes)))}
    meshes, skins, materials, skeletons = [], [], [], []
    exact = recovery.pose.map(lambda tensor: tensor.detach().cpu().double())
    parts = _body_parts(recovery.body, writer) if recovery.people else {}
    for person, colour in enumerate(colours(len(recovery.people))):
        name = f"person{person}"
        pose = exact.map(itemgetter(person))
        rest = recovery.body.rest_joints(pose.shape).numpy()
        mesh = recovery.body.unposed_vertices(pose).numpy()
        bones = _bones(name, pose, rest, first=len(nodes))
        skeletons.append(len(nodes))
        joints = list(range(len(nodes), len(nodes) + len(bones)))
        nodes += bones
        inverse_bind = np.tile(np.eye(4), (len(rest), 1, 1))
        inverse_bind[:, 3, :3] = -rest  # transposed: glTF stores matrices column by column
        skins.append(
            {"name": name, "joints": joints, "skeleton": joints[0], "inverseBindMatrices": writer.add(inverse_bind)}
        )
        normals = vertex_normals(mesh, recovery.body.faces)
        attributes = {
            "POSITION": writer.add(mesh, _ARRAY_BUFFER, limits=True),
            "NORMAL": writer.add(normals, _ARRAY_BUFFER),
            **{key: value for key, value in parts.items() if key != "indices"},
        }
        primitive = {"attributes": attributes, "indices": parts["indices"], "material": person}
        meshes.append({"name": name, "primitives": [primitive]})
        materials.append(_material(name, colour))
        extras = {
            "betas": [round(b, 6) for b in pose.shape.tolist()],
            "score": round(float(recovery.people[person].score), 6),
        }
        scene["nodes"].append(len(nodes))
        nodes.append({"name": f"{name}_mesh", "mesh": person, "skin": person, "extras": extras})
    if skeletons:
        root["children"] = skeletons
    document = {
        "asset": {"version": "2.0", "generator": f"humesh {humesh_version()}"},
        "extras": {"method": recovery.method, "body": recovery.body.name},
        "scene": 0,
        "scenes": [scene],
        "nodes": nodes,
        "cameras": [_camera(recovery)],
        "meshes": meshes,
        "skins": skins,
        "materials": materials,
        "accessors": writer.accessors,
        "bufferViews": writer.views,
        "buffers": [{"byteLength": len(writer.data)}] if writer.data else [],
    }
    return {key: value for key, value in document.items() if value != []}, bytes(writer.data)  # empty lists are invalid


class _Buffer:
    """The binary part of a file, with the views and accessors that tell what lies where."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, array: np.ndarray, target: int | None = None, limits: bool = False) -> int:
        """Appends an array [count, *element] (floats as float32) and answers its accessor's number."""
        array = np.ascontiguousarray(array, np.float32 if array.dtype.kind == "f" else array.dtype)
        self.data += b"\0" * (-len(self.data) % 4)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes}
        if target is not None:
            view["target"] = target
        accessor: dict[str, Any] = {
            "bufferView": len(self.views),
            "componentType": _COMPONENTS[array.dtype.name],
            "count": len(array),
            "type": _KINDS[array.shape[1:]],
        }
        if limits:  # of the float32 numbers that are stored, which a validator compares exactly
            accessor |= {"min": np.atleast_1d(array.min(0)).tolist(), "max": np.atleast_1d(array.max(0)).tolist()}
        self.data += array.tobytes()
        self.views.append(view)
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _body_parts(body: BodyModel, writer: _Buffer) -> dict[str, int]:
    """The accessors that all people share: the triangles, and sets of four joints and weights for each vertex."""
    faces = np.asarray(body.faces).reshape(-1)
    parts = {"indices": writer.add(faces.astype(np.uint32), _ELEMENT_ARRAY_BUFFER)}
    joints, weights = skin_weights(body.weights.detach().cpu().double().numpy().T)
    for k in range(joints.shape[1] // 4):
        four = slice(4 * k, 4 * k + 4)
        parts[f"JOINTS_{k}"] = writer.add(joints[:, four], _ARRAY_BUFFER)
        parts[f"WEIGHTS_{k}"] = writer.add(weights[:, four], _ARRAY_BUFFER)
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
    quaternions = torch.nn.functional.normalize(roma.rotmat_to_unitquat(pose.rotations), dim=-1)  # x y z w
    bones = []
    for joint, parent in enumerate(SMPL24.parents):
        offset = rest[joint] - rest[parent] if parent >= 0 else rest[joint] + pose.translation.numpy()
        bone: dict[str, Any] = {
            "name": f"{name}_{SMPL24.names[joint]}",
            "translation": offset.tolist(),
            "rotation": quaternions[joint].tolist(),
        }
        children = [first + child for child, above in enumerate(SMPL24.parents) if above == joint]
        bones.append(bone | ({"children": children} if children else {}))
    return bones


def _material(name: str, colour: Float[np.ndarray, "3"]) -> dict[str, Any]:
    """A matt surface; glTF wants the colour in linear light, the palette is in sRGB."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    surface = {"baseColorFactor": [*linear.round(6).tolist(), 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.7}
    return {"name": name, "pbrMetallicRoughness": surface}


def _camera(recovery: Recovery) -> dict[str, Any]:
    """The photo's camera; glTF knows no principal point, so the view is that of a centred one."""
    height, width = recovery.photo.pixels.shape[:2]
    focal_y = float(recovery.photo.camera.matrix[1, :2].norm())
    yfov = 2 * math.atan(height / 2 / focal_y)
    return {
        "name": "photo_camera",
        "type": "perspective",
        "perspective": {"yfov": yfov, "aspectRatio": width / height, "znear": 0.01},
    }
