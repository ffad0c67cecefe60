"""Plain meshes for 3D programs, OBJ and PLY: y up (the half turn diag(1, -1, -1) of the camera frame)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from humesh.body.mesh import vertex_normals
from humesh.scene.options import PLAIN, FileOptions
from humesh.scene.overlay import colours
from humesh.scene.record import exact
from humesh.scene.result import Result

_Y_UP = np.array([1.0, -1.0, -1.0])


def write_obj(recovery: Result, path: str | Path, options: FileOptions = PLAIN) -> None:
    """Writes one object and group for each person (person0, person1, ...), with normals, as text."""
    lines = [f"# humesh: {options.units}, y up; camera frame turned by diag(1, -1, -1)"]
    points, faces = _surfaces(recovery, options)
    for person, vertices in enumerate(points):
        corners = (faces + 1 + person * len(vertices)).tolist()  # OBJ counts from 1 over all objects
        lines += [f"o person{person}", f"g person{person}"]
        lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices.tolist()]
        lines += [f"vn {x:.4f} {y:.4f} {z:.4f}" for x, y, z in vertex_normals(vertices, faces).tolist()]
        lines += [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in corners]
    Path(path).write_text("\n".join(lines) + "\n", encoding="ascii")


def write_ply(recovery: Result, path: str | Path, options: FileOptions = PLAIN) -> None:
    """Writes all people as one binary mesh, with normals and a colour for each person."""
    points, faces = _surfaces(recovery, options)
    vertices = np.zeros(
        points.shape[:2], [("place", "<f4", 3), ("normal", "<f4", 3), ("colour", "u1", 3)]
    )  # packed as the header says
    triangles = np.zeros((len(points), len(faces)), [("count", "u1"), ("corners", "<i4", 3)])
    vertices["place"] = points
    vertices["colour"] = np.rint(255 * colours(len(points)))[:, None]
    triangles["count"] = 3
    for person in range(len(points)):
        vertices["normal"][person] = vertex_normals(points[person], faces)
        triangles["corners"][person] = faces + person * points.shape[1]
    properties = [f"property float {name}" for name in ("x", "y", "z", "nx", "ny", "nz")]
    properties += [f"property uchar {name}" for name in ("red", "green", "blue")]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment humesh: {options.units}, y up",
        f"element vertex {vertices.size}",
        *properties,
        f"element face {triangles.size}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    Path(path).write_bytes("\n".join(header).encode() + b"\n" + vertices.tobytes() + triangles.tobytes())


def _surfaces(recovery: Result, options: FileOptions) -> tuple[Float[np.ndarray, "P V 3"], Int[np.ndarray, "F 3"]]:
    vertices = exact(recovery.bodies.vertices).numpy() * _Y_UP
    vertices[..., 1] += options.lift(recovery.body, recovery.pose)
    return options.scale * vertices, np.asarray(recovery.bodies.faces, dtype=np.int64)
