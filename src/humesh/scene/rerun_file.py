"""Rerun recordings (.rrd) of a video's people: `rerun FILE.rrd` shows them; needs `pip install "humesh[view]"`.

Camera frame, metres, on the timeline "time", seconds of the video.
"""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path

import numpy as np

from humesh.body.joints import SMPL24
from humesh.body.mesh import vertex_normals
from humesh.errors import MissingPackageError
from humesh.scene.gltf_motion import visible
from humesh.scene.overlay import colours
from humesh.scene.record import exact
from humesh.scene.result import VideoResult

_CHUNK = 64  # frames sent at a time
_MOST = 400e6  # bytes of meshes in a file: above it they come at every second, third, ... frame only; joints at all


def write_rrd(recovery: VideoResult, path: str | Path) -> None:
    """Writes the camera and everybody's mesh and bones through time; MissingPackageError where rerun-sdk is missing.

    Rerun knows no skinning, so meshes are stored frame by frame: 165 kB for each of the open body's with normals.
    """
    try:
        import rerun as rr
    except ImportError:
        raise MissingPackageError('Rerun files need the package rerun-sdk; run: pip install "humesh[view]"') from None
    body, stream = recovery.body, rr.RecordingStream("humesh")
    stream.save(str(path))
    width, height = recovery.size
    stream.log("scene", rr.ViewCoordinates.RDF, static=True)
    matrix = exact(recovery.camera.matrix).numpy()
    lens = rr.Pinhole(image_from_camera=matrix, resolution=[width, height], camera_xyz=rr.ViewCoordinates.RDF)
    stream.log("scene/video_camera", lens, static=True)
    if recovery.notes:
        stream.log("notes", rr.TextDocument("\n".join(recovery.notes)), static=True)
    total = sum(len(motion.frames) for motion in recovery.tracks)
    step = max(1, int(np.ceil(total * len(body.template) * 8 / _MOST)))  # the template: 3 V numbers; and normals
    bones = [(parent, joint) for joint, parent in enumerate(SMPL24.parents) if parent >= 0]
    for motion, colour in zip(recovery.tracks, colours(len(recovery.tracks)), strict=True):
        place, paint = f"scene/person{motion.track}", np.rint(255 * colour).astype(np.uint8)
        faces = np.asarray(body.faces, dtype=np.uint32)
        stream.log(f"{place}/mesh", rr.Mesh3D.from_fields(triangle_indices=faces, albedo_factor=paint), static=True)
        stream.log(f"{place}/bones", rr.LineStrips3D.from_fields(colors=[paint], radii=[0.008]), static=True)
        for start in range(0, len(motion.frames), _CHUNK):
            part = slice(start, start + _CHUNK)
            posed = body(motion.pose.map(itemgetter(part)).map(lambda tensor: tensor.detach().cpu()))
            seconds = recovery.times[motion.frames[part]]
            strips = posed.joints.float().numpy()[:, bones]  # F B 2 3
            columns = rr.LineStrips3D.columns(strips=[*strips.reshape(-1, 2, 3)]).partition([len(bones)] * len(seconds))
            stream.send_columns(f"{place}/bones", [rr.TimeColumn("time", duration=seconds)], columns)
            kept = slice(-start % step, None, step)
            points = posed.vertices.float().numpy()[kept]
            if len(points):
                normals = np.stack([vertex_normals(p, body.faces) for p in points]).astype(np.float32)
                columns = rr.Mesh3D.columns(
                    vertex_positions=points.reshape(-1, 3), vertex_normals=normals.reshape(-1, 3)
                ).partition([points.shape[1]] * len(points))
                stream.send_columns(f"{place}/mesh", [rr.TimeColumn("time", duration=seconds[kept])], columns)
        for key, there in zip(*visible(motion, len(recovery.times)), strict=True):
            if not there:
                stream.set_time("time", duration=float(recovery.times[key]))
                stream.log(place, rr.Clear(recursive=True))
    stream.disconnect()  # writes the end of the file
