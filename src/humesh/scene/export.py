"""Files of results: every format of a photo's and of a video's, each complete or not there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from humesh.body.mesh import vertex_normals
from humesh.errors import ArgumentError
from humesh.files import write_text, writing
from humesh.scene.gltf import write_glb, write_rigged_glb
from humesh.scene.mocap import write_amass, write_bvh
from humesh.scene.pictures import contact_sheet, error_rings, overlay, write_film, write_turntable
from humesh.scene.record import json_text, record, write_npz
from humesh.scene.render import colours
from humesh.scene.result import PLAIN, Y_TO_Z, FileOptions, OptionsError, Result, VideoResult, exact
from humesh.scene.usd import write_usd


@dataclass(frozen=True)
class Format:
    """A file's ending, and what writes it: `write(result, path, options)`, or `write(result, person, path, options)`.

    `needs`: a module beyond humesh's own packages, and the extra that installs it. `rigged`: what writes a file for
    each person where the options name a rig of another program.
    """

    ending: str
    write: Callable[..., object]
    per_person: bool = False
    needs: tuple[str, str] | None = None
    rigged: Callable[..., object] | None = None

    def laid_out(self, options: FileOptions) -> Format:
        """The format as the options ask for it."""
        if options.rig == PLAIN.rig or self.rigged is None:
            return self
        return replace(self, write=self.rigged, per_person=True)


def _picture(draw: Callable[[Result], UInt8[np.ndarray, "H W 3"]]) -> Callable[..., None]:
    def write(result: Result, path: Path, _: FileOptions) -> None:
        # 92 and no thinning of the colours: the thin coloured edges of a mesh stay clean.
        Image.fromarray(draw(result)).save(path, format="JPEG", quality=92, subsampling=0)

    return write


def _write_obj(result: Result, path: Path, options: FileOptions) -> None:
    """Writes one object and group for each person (person0, person1, ...), with normals, y up or z up, as text."""
    turned = "turned by diag(1, -1, -1)" if options.up == "y" else "as x, z, -y"
    lines = [f"# humesh: {options.units}, {options.up} up; camera frame {turned}"]
    vertices, faces = _surfaces(result, options)
    for person, points in enumerate(vertices):
        corners = (faces + 1 + person * len(points)).tolist()  # OBJ counts from 1 over all objects
        lines += [f"o person{person}", f"g person{person}"]
        lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in points.tolist()]
        lines += [f"vn {x:.4f} {y:.4f} {z:.4f}" for x, y, z in vertex_normals(points, faces).tolist()]
        lines += [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in corners]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


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


def _write_ply(result: Result, path: Path, options: FileOptions) -> None:
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
    path.write_bytes(header.encode() + vertices.tobytes() + triangles.tobytes())


def _surfaces(result: Result, options: FileOptions) -> tuple[Float[np.ndarray, "P V 3"], Int[np.ndarray, "F 3"]]:
    vertices = exact(result.bodies.vertices).numpy() * np.array([1.0, -1.0, -1.0])
    vertices[..., 1] += options.lift(result.body, result.pose)
    if options.up == "z":
        vertices = vertices @ Y_TO_Z.T
    return options.scale * vertices, np.asarray(result.bodies.faces, dtype=np.int64)


PHOTO_FORMATS = {
    "jpg": Format("_overlay.jpg", _picture(overlay)),
    "views": Format("_views.jpg", _picture(contact_sheet)),
    "errors": Format("_errors.jpg", _picture(error_rings)),
    "mp4": Format(".mp4", lambda result, path, _: write_turntable(result, path)),
    "glb": Format(".glb", write_glb, rigged=write_rigged_glb),
    "obj": Format(".obj", _write_obj),
    "ply": Format(".ply", _write_ply),
    "npz": Format(".npz", lambda result, path, _: write_npz(result, path)),
    "bvh": Format(".bvh", write_bvh, per_person=True),
    "json": Format(".json", lambda result, path, _: write_text(path, json_text(record(result)))),
}
"""The formats of a photo; no picture can take the place of its photo. JSON last: where it is, the others are."""

VIDEO_FORMATS = {
    "mp4": Format("_overlay.mp4", lambda result, path, _: write_film(result, path)),
    "glb": Format(".glb", write_glb, rigged=write_rigged_glb),
    "bvh": Format(".bvh", write_bvh, per_person=True),
    "amass": Format("_amass.npz", write_amass, per_person=True),
    "usd": Format(".usd", write_usd, needs=("pxr", "usd")),
    "npz": Format(".npz", lambda result, path, _: write_npz(result, path)),
}
"""The formats of a video; NPZ last: where it is, the others are."""


def save(
    result: Result | VideoResult,
    path: str | Path,
    formats: str | Iterable[str] | None = None,
    options: FileOptions = PLAIN,
) -> list[Path]:
    """Writes path + ending for each format, one name or several, and returns the files.

    A path whose ending names one of the formats is that file itself; without `formats` it is written alone. A path
    without an ending gets overlay, GLB and JSON of a photo, GLB and NPZ of a video. A format with a file for each
    person writes `name_person0.bvh` and so on; one person of a photo gets `name.bvh`. Raises OptionsError, also for an
    option that changes none of the files, ArgumentError (a TypeError), and OSError.
    """
    if not isinstance(result, Result | VideoResult):
        raise ArgumentError(f"save: expected a Result or a VideoResult, got {type(result).__name__}.")
    if isinstance(result, Result):
        kind, source, known, usual = "photo", result.photo.path, PHOTO_FORMATS, "jpg glb json"
    else:
        kind, source, known, usual = "video", result.path, VIDEO_FORMATS, "glb npz"
    targets = _targets(path, formats, known, tuple(usual.split()))
    if any(_same(target, source) for target in targets.values()):
        raise OptionsError(f"path {path}: expected another file than the {kind} itself; give another name.")
    options.check(*((targets, ()) if kind == "photo" else ((), targets)))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return [file for name, target in targets.items() for file in write(result, known[name], target, options)]


def write(result: Result | VideoResult, format: Format, path: Path, options: FileOptions = PLAIN) -> list[Path]:
    """Writes a format's file or files; returns them, none where a format of people has nobody."""
    format = format.laid_out(options)
    if not format.per_person:
        with writing(path) as draft:
            format.write(result, draft, options)
        return [path]
    photo = isinstance(result, Result)
    names = range(len(result.people)) if isinstance(result, Result) else [motion.track for motion in result.tracks]
    paths = [path.with_name(f"{path.stem}_person{name}{path.suffix}") for name in names]
    if photo and len(paths) == 1:
        paths = [path]
    for person, target in enumerate(paths):
        with writing(target) as draft:
            format.write(result, person, draft, options)
    return paths


def _targets(
    path: str | Path, formats: str | Iterable[str] | None, known: dict[str, Format], usual: tuple[str, ...]
) -> dict[str, Path]:
    """The file of each wanted format, in the order of the known ones; raises OptionsError."""
    if os.path.basename(path) in ("", os.curdir, os.pardir):
        raise OptionsError(f"path {str(path)!r}: expected the name of a file, got a folder's or none; add a name.")
    suffix = Path(path).suffix
    special = [name for name, format in known.items() if "_" in format.ending and str(path).endswith(format.ending)]
    named = special[0] if special else {".jpeg": "jpg"}.get(suffix.lower(), suffix[1:].lower())
    if formats is None and named not in known and re.fullmatch("[a-z]{1,4}", named):
        raise OptionsError(
            f"path {path}: expected no ending, or one of {', '.join(known)}, got {named}; for a name with a dot in it "
            "give formats too."
        )
    if formats is None:
        formats = (named,) if named in known else usual
    wanted = (formats,) if isinstance(formats, str) else tuple(formats)
    if unknown := sorted({str(name) for name in wanted} - known.keys()):
        raise OptionsError(f"formats: expected some of {', '.join(known)}, got {', '.join(unknown)}.")
    # An ending is added to the name, not put in place of one: a photo may be called "holiday.2024".
    stem = str(path).removesuffix(known[named].ending if special else suffix) if named in wanted else str(path)
    targets = {name: Path(f"{stem}{format.ending}") for name, format in known.items() if name in wanted}
    return targets | ({named: Path(path)} if named in wanted else {})


def _same(one: str | Path, other: str | Path) -> bool:
    try:
        return bool(other) and os.path.samefile(one, other)
    except OSError:  # one of them is not there
        return False
