"""GLB files, read back by pygltflib and skinned here by the specification's formula alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.scene.gltf import skin_weights, write_glb
from humesh.scene.result import Result

Y_UP = np.array([1.0, -1.0, -1.0])
_DTYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def written(recovery: Result, folder: Path) -> pygltflib.GLTF2:
    path = folder / "scene.glb"
    write_glb(recovery, path)
    return pygltflib.GLTF2().load_binary(str(path))


def values(file: pygltflib.GLTF2, accessor: int) -> np.ndarray:
    entry = file.accessors[accessor]
    view = file.bufferViews[entry.bufferView]
    width = _WIDTHS[entry.type]
    data = np.frombuffer(file.binary_blob(), _DTYPES[entry.componentType], entry.count * width, view.byteOffset)
    return data.reshape(entry.count, width)


def globals_of(file: pygltflib.GLTF2) -> dict[int, np.ndarray]:
    """The 4 x 4 global transform of every node, from translations and rotations down the tree."""
    found: dict[int, np.ndarray] = {}

    def descend(node: int, above: np.ndarray) -> None:
        entry, local = file.nodes[node], np.eye(4)
        local[:3, :3] = Rotation.from_quat(entry.rotation or [0, 0, 0, 1]).as_matrix()
        local[:3, 3] = entry.translation or 0
        found[node] = above @ local
        for child in entry.children or []:
            descend(child, found[node])

    for node in file.scenes[file.scene].nodes:
        descend(node, np.eye(4))
    return found


def skinned(file: pygltflib.GLTF2, node: int) -> np.ndarray:
    """The vertices of a skinned node: sum of weight * joint's global * inverse bind matrix * bind vertex."""
    skin, attributes = file.skins[file.nodes[node].skin], file.meshes[file.nodes[node].mesh].primitives[0].attributes
    places = globals_of(file)
    inverse_bind = values(file, skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
    moves = np.stack([places[joint] for joint in skin.joints]) @ inverse_bind
    sets = [k for k in range(6) if getattr(attributes, f"JOINTS_{k}", None) is not None]
    joints = np.concatenate([values(file, getattr(attributes, f"JOINTS_{k}")) for k in sets], axis=1)
    weights = np.concatenate([values(file, getattr(attributes, f"WEIGHTS_{k}")) for k in sets], axis=1)
    points = values(file, attributes.POSITION).astype(np.float64)
    points = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    return np.einsum("vk,vkij,vj->vi", weights, moves[joints], points)[:, :3]


def test_skinning_gives_the_recovered_vertices(
    any_body: BodyModel, recover_with: Callable[..., Result], tmp_path: Path
) -> None:
    recovery = recover_with(any_body, people=3)
    file = written(recovery, tmp_path)
    meshes = [k for k, node in enumerate(file.nodes) if node.mesh is not None]
    assert len(meshes) == 3
    for person, node in enumerate(meshes):
        wanted = recovery.bodies.vertices[person].double().numpy() * Y_UP
        np.testing.assert_allclose(skinned(file, node), wanted, atol=1e-5)
        extras = file.nodes[node].extras
        np.testing.assert_allclose(extras["betas"], recovery.pose.shape[person], atol=1e-6)


def test_the_shipped_body(open_recovery: Result, tmp_path: Path) -> None:
    file = written(open_recovery, tmp_path)
    node = next(k for k, node in enumerate(file.nodes) if node.mesh is not None)
    wanted = open_recovery.bodies.vertices[0].double().numpy() * Y_UP
    np.testing.assert_allclose(skinned(file, node), wanted, atol=1e-5)


def test_structure(recovery: Result, tmp_path: Path) -> None:
    file = written(recovery, tmp_path)
    names = [node.name for node in file.nodes]
    assert len(set(names)) == len(names)
    assert {f"person1_{joint}" for joint in SMPL24.names} <= set(names)
    root_nodes = file.scenes[0].nodes
    for k, node in enumerate(file.nodes):
        if node.mesh is not None:
            assert k in root_nodes, "a skinned mesh ignores its parents, so it has none"
            assert len(file.skins[node.skin].joints) == 24
        if node.rotation is not None:
            assert np.linalg.norm(node.rotation) == pytest.approx(1, abs=1e-6)
    for view in file.bufferViews:
        assert view.byteOffset % 4 == 0
    colours = {tuple(material.pbrMetallicRoughness.baseColorFactor) for material in file.materials}
    assert len(colours) == 2
    assert file.asset.generator.startswith("humesh ")


def test_accessors_tell_their_limits(recovery: Result, tmp_path: Path) -> None:
    file = written(recovery, tmp_path)
    for mesh in file.meshes:
        attributes = mesh.primitives[0].attributes
        points, entry = values(file, attributes.POSITION), file.accessors[attributes.POSITION]
        assert np.array_equal(points.min(0), np.float32(entry.min))
        assert np.array_equal(points.max(0), np.float32(entry.max))
        np.testing.assert_allclose(np.linalg.norm(values(file, attributes.NORMAL), axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(values(file, attributes.WEIGHTS_0).sum(1), 1, atol=1e-6)


def test_camera_has_the_photos_view(recovery: Result, tmp_path: Path) -> None:
    file = written(recovery, tmp_path)
    lens = file.cameras[0].perspective
    assert lens.aspectRatio == pytest.approx(160 / 120)
    assert math.tan(lens.yfov / 2) == pytest.approx(60 / 200)  # focal length 200 px
    node = next(node for node in file.nodes if node.camera is not None)
    assert node.translation is None
    assert node.rotation is None


def test_trimesh_reads_it(recovery: Result, tmp_path: Path) -> None:
    write_glb(recovery, tmp_path / "scene.glb")
    scene = trimesh.load_scene(tmp_path / "scene.glb")
    assert sorted(len(mesh.vertices) for mesh in scene.geometry.values()) == [recovery.bodies.vertices.shape[1]] * 2


def test_nobody_is_a_valid_empty_scene(nobody: Result, tmp_path: Path) -> None:
    file = written(nobody, tmp_path)
    assert not file.meshes
    assert not file.buffers
    raw = (tmp_path / "scene.glb").read_bytes()
    assert raw[:4] == b"glTF"
    assert int.from_bytes(raw[8:12], "little") == len(raw)
    document = json.loads(raw[20:])
    assert [] not in document.values(), "glTF allows no empty lists"


def test_skin_weights_keep_all_and_sum_to_one() -> None:
    weights = torch.rand(50, 24, dtype=torch.float64).numpy() ** 8
    weights[:, 9:] = 0
    weights[3] = np.eye(24)[5]
    weights /= weights.sum(1, keepdims=True)
    joints, largest = skin_weights(weights)
    assert joints.shape[1] % 4 == 0
    back = np.zeros_like(weights)
    np.add.at(back, (np.arange(50)[:, None], joints), largest)
    np.testing.assert_allclose(back, weights, atol=2e-6)
    assert (joints[largest == 0] == 0).all()
    assert (np.diff(largest, axis=1) <= 1e-6).all()
