"""Rerun recordings (.rrd) of a video's people, which `rerun FILE.rrd` shows."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path

import numpy as np

from humesh.body.joints import SMPL24
from humesh.body.mesh import vertex_normals
from humesh.errors import MissingPackageError
from humesh.scene.gltf import presence
from humesh.scene.render import colours
from humesh.scene.result import VideoResult, exact

_MOST = 400e6  # bytes of meshes in a file: above it they come at every second, third, ... frame only; joints at all


def write_rrd(result: VideoResult, path: str | Path) -> None:
    """Writes the camera and everybody's mesh and bones; camera frame, metres, seconds on the timeline "time".

    Rerun knows no skinning, so meshes are stored frame by frame: 165 kB for each of the open body's with normals.
    MissingPackageError where rerun-sdk is missing.
    """
    try:
        import rerun as rr
    except ImportError:
        raise MissingPackageError('Rerun files need the package rerun-sdk; run: pip install "humesh[view]"') from None
    body, stream = result.body, rr.RecordingStream("humesh")
    stream.save(str(path))
    axes = rr.ViewCoordinates.RDF
    stream.log("scene", axes, static=True)
    matrix = exact(result.camera.matrix).numpy()
    lens = rr.Pinhole(image_from_camera=matrix, resolution=list(result.size), camera_xyz=axes)
    stream.log("scene/video_camera", lens, static=True)
    if result.notes:
        stream.log("notes", rr.TextDocument("\n".join(result.notes)), static=True)
    total = sum(len(motion.frames) for motion in result.tracks)
    step = max(1, int(np.ceil(total * len(body.template) * 8 / _MOST)))  # the template: 3 V numbers; and normals
    bones = [(parent, joint) for joint, parent in enumerate(SMPL24.parents) if parent >= 0]
    for motion, colour in zip(result.tracks, colours(len(result.tracks)), strict=True):
        place, paint = f"scene/person{motion.track}", np.rint(255 * colour).astype(np.uint8)
        for row, frame in enumerate(motion.frames.tolist()):
            stream.set_time("time", duration=float(result.times[frame]))
            posed = body(motion.pose.map(itemgetter(slice(row, row + 1))).map(lambda tensor: tensor.detach().cpu()))
            strips = posed.joints[0].float().numpy()[bones]  # B 2 3
            stream.log(f"{place}/bones", rr.LineStrips3D(strips, colors=[paint], radii=[0.008]))
            if row % step == 0:
                points = posed.vertices[0].float().numpy()
                normals = vertex_normals(points, body.faces).astype(np.float32)
                mesh = rr.Mesh3D(
                    vertex_positions=points, triangle_indices=body.faces, vertex_normals=normals, albedo_factor=paint
                )
                stream.log(f"{place}/mesh", mesh)
        for key, there in zip(*presence(motion, len(result.times)), strict=True):
            if not there:
                stream.set_time("time", duration=float(result.times[key]))
                stream.log(place, rr.Clear(recursive=True))
    stream.disconnect()  # writes the end of the file
