"""GLB files in Blender and out of it again; needs the package bpy, here or in the Python that BPY_PYTHON names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest

from humesh.body.joints import RIGS, SMPL24
from humesh.body.model import BodyModel
from humesh.scene.gltf import write_glb, write_rigged_glb
from humesh.scene.mocap import write_bvh
from humesh.scene.result import FileOptions, Motion, Result, VideoResult

ROOT = Path(__file__).parents[2]
FRAMES = {1: range(6), 4: range(2, 7)}  # of 8: the second person comes later, both go before the end
AT = (0, 2, 3, 5, 6)

SCRIPT = """
import os
import sys
from pathlib import Path

import bpy
import numpy as np

import glb_to_fbx

source, found = Path(sys.argv[1]), {}


def empty():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 25
    return bpy.context.scene


def look(name, first):
    for frame in map(int, sys.argv[2:]):
        bpy.context.scene.frame_set(first + frame)
        graph = bpy.context.evaluated_depsgraph_get()
        for thing in bpy.context.scene.objects:
            if thing.type == "MESH" and thing.name.startswith("person"):
                seen = thing.evaluated_get(graph)
                points = np.array([seen.matrix_world @ vertex.co for vertex in seen.to_mesh().vertices])
                found[f"{name}/{thing.name}/{frame}"] = points
                seen.to_mesh_clear()


empty()
bpy.ops.import_scene.gltf(filepath=str(source))
look("glb", 0)
scene = bpy.context.scene
scene.frame_start, scene.frame_end = 0, 7
bpy.ops.export_scene.gltf(filepath="again.glb")
bpy.ops.export_scene.fbx(filepath="again.fbx", bake_anim_simplify_factor=0)
empty()
bpy.ops.import_scene.gltf(filepath="again.glb")
look("glb again", 0)
empty()
bpy.ops.import_scene.fbx(filepath="again.fbx")
look("fbx", 1)  # Blender's reader of FBX begins at frame 1
glb_to_fbx.main(source, Path("people"))
empty()
for path in sorted(Path("people").iterdir()):
    bpy.ops.import_scene.fbx(filepath=str(path))
look("recipe", 1)
empty()
for path in sorted(Path().glob("*.bvh")):
    bpy.ops.import_anim.bvh(filepath=str(path), global_scale=0.01, frame_start=0, use_fps_scale=False)
    person = bpy.context.object
    for frame in map(int, sys.argv[2:]):
        bpy.context.scene.frame_set(frame + 1)  # the first pose lies at frame_start + 1
        heads = [person.matrix_world @ bone.head for bone in person.pose.bones]
        found[f"bvh/{path.stem}/{frame}"] = np.array(heads)
        found["names"] = [bone.name for bone in person.pose.bones]
np.savez("found.npz", **found)
os._exit(0)  # bpy crashes now and then while Python ends
"""

RIGS_SCRIPT = """
import os
import sys
from pathlib import Path

import bpy
import numpy as np

import glb_to_fbx

found = {}


def empty():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 25
    return bpy.context.scene


def look(name, first):
    [person] = [thing for thing in bpy.context.scene.objects if thing.type == "ARMATURE"]
    found[f"{name}/names"] = [bone.name for bone in person.data.bones]
    found[f"{name}/parents"] = [bone.parent.name if bone.parent else "" for bone in person.data.bones]
    found[f"{name}/rest"] = np.array([person.matrix_world @ bone.head_local for bone in person.data.bones])
    for frame in map(int, sys.argv[1:]):
        bpy.context.scene.frame_set(first + frame)
        heads = [person.matrix_world @ person.pose.bones[bone].head for bone in found[f"{name}/names"]]
        found[f"{name}/{frame}"] = np.array(heads)


for name, axes in (("y", {}), ("z", {"axis_forward": "Y", "axis_up": "Z"})):
    empty()
    bpy.ops.import_anim.bvh(filepath=f"{name}.bvh", global_scale=0.01, frame_start=0, use_fps_scale=False, **axes)
    look(name, 1)
empty()
bpy.ops.import_scene.gltf(filepath="unity.glb")
look("glb", 0)
glb_to_fbx.main(Path("unity.glb"), Path("people"))
empty()
[path] = Path("people").iterdir()
bpy.ops.import_scene.fbx(filepath=str(path), automatic_bone_orientation=False)
look("fbx", 1)
np.savez("found.npz", **found)
os._exit(0)  # bpy crashes now and then while Python ends
"""


def video(body: BodyModel, recover_with: Callable[..., Result]) -> VideoResult:
    """Two people in random poses, another one in each frame."""
    motions = []
    for track, frames in FRAMES.items():
        made = recover_with(body, people=len(frames), seed=track)
        pose = replace(made.pose, shape=made.pose.shape[:1].expand(len(frames), -1))
        motions.append(Motion(track, np.array(frames), pose, np.ones(len(frames), bool), 0.8))
    camera, size = made.photo.camera, made.photo.size
    return VideoResult(np.arange(8) / 25, size, camera, "guessed", motions, body, "made-up")


def in_blender(script: str, folder: Path, *words: str) -> dict[str, np.ndarray]:
    """What a script leaves in found.npz."""
    python = os.environ.get("BPY_PYTHON") or (sys.executable if find_spec("bpy") else "")
    if not python:
        pytest.skip("needs the package bpy")
    (folder / "script.py").write_text(script)
    run = subprocess.run(
        [python, "script.py", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tools")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return dict(np.load(folder / "found.npz"))


@pytest.mark.parametrize("floor", [False, True])
def test_blender_reads_writes_and_reads_again(
    floor: bool, body: BodyModel, recover_with: Callable[..., Result], tmp_path: Path
) -> None:
    """Vertices are right to a tenth of a millimetre after GLB, GLB again, FBX, the recipe's FBX; BVH's joints are."""
    recovery = video(body, recover_with)
    write_glb(recovery, tmp_path / "clip.glb", FileOptions(floor=floor))
    lowest_of_all = min(float((body(m.pose).vertices[..., 1] * -1).min()) for m in recovery.tracks) if floor else 0
    for row, motion in enumerate(recovery.tracks):
        path = tmp_path / f"person{motion.track}.bvh"
        write_bvh(recovery, row, path, FileOptions("cm", floor, pad=True))
    found = in_blender(SCRIPT, tmp_path, "clip.glb", *map(str, AT))
    order = SMPL24.indices(*found.pop("names"))
    assert len(found) == 5 * 2 * len(AT)
    for name, points in found.items():
        kind, person, frame = name.split("/")
        motion = next(m for m in recovery.tracks if f"{person}_".startswith(f"person{m.track}_"))
        row = np.abs(motion.frames - int(frame)).argmin()
        bodies = body(motion.pose.map(itemgetter(slice(row, row + 1))))
        surface = bodies.vertices[0].double().numpy()
        if kind == "bvh":
            surface = bodies.joints[0].double().numpy()[list(order)]
            lowest = float((body(motion.pose).vertices[..., 1] * -1).min()) if floor else 0
        elif int(frame) not in motion.frames:
            assert np.ptp(points, axis=0).max() < 1e-3, f"{name}: nobody is there"
            continue
        else:
            lowest = lowest_of_all
        x, y, z = surface.T
        wanted = np.stack([x, z, -y - lowest], axis=1)  # Blender's z is up
        np.testing.assert_allclose(points, wanted, atol=1e-4, err_msg=name)


def test_blender_reads_rigs(recover_with: Callable[..., Result], tmp_path: Path) -> None:
    """Mixamo's and Unity's bones are in their places in every frame, and rest in a T-pose that faces the front."""
    body = BodyModel.load("open-low")
    recovery = video(body, recover_with)
    for up in ("y", "z"):
        write_bvh(recovery, 0, tmp_path / f"{up}.bvh", FileOptions("cm", rig="mixamo", up=up))
    write_rigged_glb(recovery, 0, tmp_path / "unity.glb", FileOptions(rig="unity"))
    frames = [frame for frame in AT if frame in FRAMES[1]]
    found = in_blender(RIGS_SCRIPT, tmp_path, *map(str, frames))
    joints, rest = body.joints(recovery.tracks[0].pose), body.rest_joints(recovery.tracks[0].pose.shape[0])
    for name, rig in (("y", "mixamo"), ("z", "mixamo"), ("glb", "unity"), ("fbx", "unity")):
        bones, tree = RIGS[rig], dict(zip(found[f"{name}/names"], found[f"{name}/parents"], strict=True))
        above = [bones.names[parent] if parent >= 0 else "" for parent in bones.parents]
        assert tree == dict(zip(bones.names, above, strict=True))
        order = list(bones.indices(*found[f"{name}/names"]))
        for frame in frames:
            x, y, z = joints[frame][order].double().numpy().T
            np.testing.assert_allclose(found[f"{name}/{frame}"], np.stack([x, z, -y], 1), atol=1e-3, err_msg=name)
        x, y, z = rest[order].double().numpy().T
        moved = found[f"{name}/rest"] - np.stack([x, -z, y], 1)
        np.testing.assert_allclose(moved, moved[:1].repeat(24, 0), atol=1e-3, err_msg=f"{name}: at rest")
