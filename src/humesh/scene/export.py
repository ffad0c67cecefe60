"""Files of a recovery: one writer for each format, each leaving a whole file or none."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from humesh.errors import ArgumentError
from humesh.files import writing
from humesh.scene.bvh import write_bvh
from humesh.scene.gltf import write_glb
from humesh.scene.meshes import write_obj, write_ply
from humesh.scene.options import PLAIN, FileOptions, OptionsError
from humesh.scene.overlay import contact_sheet, error_rings, overlay, turntable
from humesh.scene.record import write_json, write_npz
from humesh.scene.result import Result, VideoResult

Answer = TypeVar("Answer", Result, VideoResult)
Writer = Callable[[Answer, Path, str | Path, FileOptions], list[Path]]
"""(recovery, path to write, path of the image or video for the record, options) -> the paths written."""


def one_file(write: Callable[[Answer, Path, FileOptions], None]) -> Writer[Answer]:
    """A writer of one file that appears whole or not at all, from `write(recovery, path, options)`."""

    def whole(recovery: Answer, path: Path, _: str | Path, options: FileOptions = PLAIN) -> list[Path]:
        with writing(path) as draft:
            write(recovery, draft, options)
        return [path]

    return whole


def a_record(write: Callable[[Answer, str | Path, Path], None]) -> Writer[Answer]:
    """A writer of a record, which no options change, from `write(recovery, source_path, path)`."""

    def whole(recovery: Answer, path: Path, source_path: str | Path, _: FileOptions = PLAIN) -> list[Path]:
        write(recovery, source_path, path)
        return [path]

    return whole


def _bvh_files(recovery: Result, path: Path, _: str | Path, options: FileOptions = PLAIN) -> list[Path]:
    """A BVH file holds one skeleton: several people get `name_person0.bvh` and so on, nobody gets no file."""
    count = len(recovery.people)
    paths = [path] if count == 1 else [path.with_name(f"{path.stem}_person{k}{path.suffix}") for k in range(count)]
    for person, target in enumerate(paths):
        with writing(target) as draft:
            write_bvh(recovery, person, draft, options)
    return paths


def _save_jpg(picture: UInt8[np.ndarray, "H W 3"], path: Path) -> None:
    # 92 and no thinning of the colours: the thin coloured edges of a mesh stay clean.
    Image.fromarray(picture).save(path, format="JPEG", quality=92, subsampling=0)


WRITERS: dict[str, Writer[Result]] = {
    "jpg": one_file(lambda recovery, path, _: _save_jpg(overlay(recovery), path)),
    "views": one_file(lambda recovery, path, _: _save_jpg(contact_sheet(recovery), path)),
    "errors": one_file(lambda recovery, path, _: _save_jpg(error_rings(recovery), path)),
    "mp4": one_file(lambda recovery, path, _: turntable(recovery, path)),
    "glb": one_file(write_glb),
    "obj": one_file(write_obj),
    "ply": one_file(write_ply),
    "npz": a_record(write_npz),
    "bvh": _bvh_files,
    "json": a_record(write_json),
}
"""Every format that a recovery can be written in; JSON last, so that it tells that the others are there."""

_PICTURES = {"jpg": "_overlay.jpg", "views": "_views.jpg", "errors": "_errors.jpg"}
ENDINGS = {name: f".{name}" for name in WRITERS} | _PICTURES
"""What a file of each format is called after the photo's own name; no picture can take the place of its photo."""


DEFAULT_FORMATS = ("jpg", "glb", "json")
"""What is written of a photo where nothing else is asked for."""


def save(
    recovery: Result,
    path: str | Path,
    formats: str | Iterable[str] | None = None,
    image_path: str | Path = "",
    units: str = "m",
    floor: bool = False,
) -> list[Path]:
    """Writes path + ending for each format (default jpg, glb and json) and returns the files.

    `formats`: one name or several. A path whose ending names one of them ("jpeg" too) is that file itself; without
    `formats` it is written alone, and other endings of one to four letters are refused. `image_path`: what the record
    says of the photo, default where it was read from. `units`, `floor`: see `FileOptions`. Raises OptionsError,
    ArgumentError (a TypeError) for what is no recovery, and OSError where nothing can be written.
    """
    check_kind(recovery, Result, "save(recovery, path)")
    stem, wanted, endings = asked_for(path, formats, WRITERS, ENDINGS, DEFAULT_FORMATS)
    photo = recovery.photo.path
    if photo and any(_same(f"{stem}{endings[name]}", photo) for name in wanted):
        raise OptionsError(f"path {path}: expected another file than the photo itself; give another name.")
    options = FileOptions(units, floor)
    options.check(wanted)
    return write_formats(WRITERS, endings, recovery, stem, wanted, image_path or photo, options)


def check_kind(recovery: object, kind: type, call: str) -> None:
    """Raises ArgumentError for anything but such a recovery."""
    if not isinstance(recovery, kind):
        told = f"expected a {kind.__name__} first, got {type(recovery).__name__}"
        raise ArgumentError(f"{call}: {told}; save is for photos, save_video for videos.")


def asked_for(
    path: str | Path,
    formats: str | Iterable[str] | None,
    writers: Mapping[str, Any],
    endings: Mapping[str, str],
    default: tuple[str, ...],
) -> tuple[str, tuple[str, ...], dict[str, str]]:
    """The path to which endings are added, the wanted formats, and their endings; raises OptionsError."""
    if os.path.basename(path) in ("", os.curdir, os.pardir):
        raise OptionsError(f"path {str(path)!r}: expected the name of a file, got a folder's or none; add a name.")
    named = Path(path).suffix[1:].lower()
    named = "jpg" if named == "jpeg" else named
    if formats is None and named not in writers and re.fullmatch("[a-z]{1,4}", named):
        raise OptionsError(
            f"path {path}: expected no ending, or one of {', '.join(writers)}, got {named}; for a name with a dot "
            "in it give formats too."
        )
    if formats is None:
        formats = (named,) if named in writers else default
    wanted = (formats,) if isinstance(formats, str) else tuple(formats)
    if unknown := sorted({str(name) for name in wanted} - writers.keys()):
        raise OptionsError(f"formats: expected some of {', '.join(writers)}, got {', '.join(unknown)}.")
    if named not in wanted:
        return str(path), wanted, dict(endings)
    suffix = Path(path).suffix
    return str(path).removesuffix(suffix), wanted, {**endings, named: suffix}


def _same(one: str | Path, other: str | Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there
        return False


def write_formats(
    writers: Mapping[str, Writer[Answer]],
    endings: Mapping[str, str],
    recovery: Answer,
    path: str | Path,
    formats: Iterable[str],
    source_path: str | Path,
    options: FileOptions = PLAIN,
) -> list[Path]:
    """Writes path + ending for each wanted format, in the order of the writers, and returns the files."""
    wanted = set(formats)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # The ending is added to the name, not put in place of one: a photo may be called "holiday.2024".
    named = [(write, Path(f"{path}{endings[name]}")) for name, write in writers.items() if name in wanted]
    return [written for write, target in named for written in write(recovery, target, source_path, options)]
