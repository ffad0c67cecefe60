"""A GLB of humesh as FBX files, one for each person, for Unity, Unreal and Maya; Blender (4.2 or newer) does the work.

Run: blender --background --python tools/glb_to_fbx.py -- clip.glb FOLDER
or, with the package bpy instead of Blender: python tools/glb_to_fbx.py clip.glb FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bpy


def main(source: Path, folder: Path) -> None:
    """Writes FOLDER/<name of the GLB>_<person>.fbx."""
    extras = _document(source).get("extras", {})
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene, rate = bpy.context.scene, extras.get("fps", 30.0)
    # Set before the import, so that the frames of the video are those of the scene: 29.97 is 30 / 1.001.
    scene.render.fps, scene.render.fps_base = round(rate), round(rate) / rate
    bpy.ops.import_scene.gltf(filepath=str(source), disable_bone_shape=True)
    scene.frame_start, scene.frame_end = 0, max(int(extras.get("frames", 1)) - 1, 0)
    folder.mkdir(parents=True, exist_ok=True)
    for mesh in [thing for thing in scene.objects if thing.find_armature()]:
        person = mesh.find_armature()
        bpy.ops.object.select_all(action="DESELECT")
        mesh.select_set(True)
        person.select_set(True)
        # What other programs show of a skeleton without its animation: not somebody who has yet to come, and is tiny.
        scene.frame_set(int(mesh.get("start_frame", 0)))
        bpy.ops.export_scene.fbx(
            filepath=str(folder / f"{source.stem}_{person.name}.fbx"),
            use_selection=True,
            apply_scale_options="FBX_SCALE_ALL",  # else every object has the scale 100 in Unity
            add_leaf_bones=False,
            bake_anim_use_nla_strips=False,
            bake_anim_use_all_actions=False,  # else everybody gets everybody's motion
            bake_anim_simplify_factor=0.0,
        )


def _document(source: Path) -> dict:
    """The JSON of a GLB."""
    with source.open("rb") as stream:
        length = int.from_bytes(stream.read(20)[12:16], "little")
        return json.loads(stream.read(length))


if __name__ == "__main__":
    given = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    if len(given) != 2:
        sys.exit("expected a .glb and a folder, got " + (" ".join(given) or "nothing"))
    main(Path(given[0]), Path(given[1]))
