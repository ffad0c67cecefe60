"""Plain meshes for 3D programs, OBJ and PLY: y up (the half turn diag(1, -1, -1) of the camera frame) or z up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from humesh.body.mesh import vertex_normals
from humesh.scene.render import colours
from humesh.scene.result import PLAIN, Y_TO_Z, FileOptions, Result, exact


def write_obj(result: Result, path: str | Path, options: FileOptions = PLAIN) -> None:
    """Writes one object and group for each person (person0, person1, ...), with normals, as text."""
    turned = "turned by diag(1, -1, -1)" if options.up == "y" else "as x, z, -y"
    lines = [f"# humesh: {options.units}, {options.up} up; camera frame {turned}"]
    points, faces = _surfaces(result, options)
    for person, vertices in enumerate(points):
        corners = (faces + 1 + person * len(vertices)).tolist()  # OBJ counts from 1 over all objects
        lines += [f"o person{person}", f"g person{person}"]
        lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices.tolist()]
        lines += [f"vn {x:.4f} {y:.4f} {z:.4f}" for x, y, z in vertex_normals(vertices, faces).tolist()]
        lines += [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in corners]
    Path(path).write_text("\n".join(lines) + "\n", encoding="ascii")


_PLY = """ply
format binary_little_endian 1.0
comment humesh: {units}, {up} up
element vertex {vertices}
property float x
property float y
property float z
property float nx
property float ny
property float nz
property uchar red
property uchar green
property uchar blue
element face {triangles}
property list uchar int vertex_indices
end_header
"""


def write_ply(result: Result, path: str | Path, options: FileOptions = PLAIN) -> None:
    """Writes all people as one binary mesh, with normals and a colour for each person."""
    points, faces = _surfaces(result, options)
    people, count = points.shape[:2]
    # Packed as the header says.
    vertices = np.zeros((people, count), [("place", "<f4", 3), ("normal", "<f4", 3), ("colour", "u1", 3)])
    triangles = np.zeros((people, len(faces)), [("count", "u1"), ("corners", "<i4", 3)])
    vertices["place"], triangles["count"] = points, 3
    vertices["colour"] = np.rint(255 * colours(people))[:, None]
    for person in range(people):
        vertices["normal"][person] = vertex_normals(points[person], faces)
        triangles["corners"][person] = faces + person * count
    header = _PLY.format(units=options.units, up=options.up, vertices=vertices.size, triangles=triangles.size)
    Path(path).write_bytes(header.encode() + vertices.tobytes() + triangles.tobytes())


def _surfaces(result: Result, options: FileOptions) -> tuple[Float[np.ndarray, "P V 3"], Int[np.ndarray, "F 3"]]:
    vertices = exact(result.bodies.vertices).numpy() * np.array([1.0, -1.0, -1.0])
    vertices[..., 1] += options.lift(result.body, result.pose)
    if options.up == "z":
        vertices = vertices @ Y_TO_Z.T
    return options.scale * vertices, np.asarray(result.bodies.faces, dtype=np.int64)
