"""Files of a recovery: one writer for each format, each leaving a whole file or none."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from humesh.scene.bvh import write_bvh
from humesh.scene.gltf import write_glb
from humesh.scene.meshes import write_obj, write_ply
from humesh.scene.overlay import contact_sheet, overlay, turntable
from humesh.scene.record import record, write_json, write_npz
from humesh.scene.recovery import Recovery

__all__ = ["ENDINGS", "WRITERS", "Writer", "record", "save", "written_whole"]

Writer = Callable[[Recovery, Path, str | Path], list[Path]]
"""(recovery, path to write, path of the image for the record) -> the paths written."""


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A temporary name beside the path, of the same ending: takes the path's place at the end, removed on an error."""
    path = Path(path)
    temporary = path.with_name(f".{path.stem[:80]}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:  # an interrupt by the user, too, must not leave half a file
        temporary.unlink(missing_ok=True)
        raise


def _one(write: Callable[[Recovery, Path, str | Path], None]) -> Writer:
    """A writer of one file that appears whole or not at all."""

    def whole(recovery: Recovery, path: Path, image_path: str | Path = "") -> list[Path]:
        with written_whole(path) as temporary:
            write(recovery, temporary, image_path)
        return [Path(path)]

    return whole


def _bvh_files(recovery: Recovery, path: Path, image_path: str | Path = "") -> list[Path]:
    """A BVH file holds one skeleton: several people get `name_person0.bvh` and so on, nobody gets no file."""
    path, count = Path(path), len(recovery.people)
    paths = [path] if count == 1 else [path.with_name(f"{path.stem}_person{k}{path.suffix}") for k in range(count)]
    for person, target in enumerate(paths):
        with written_whole(target) as temporary:
            write_bvh(recovery, person, temporary)
    return paths


def _save_jpg(picture: UInt8[np.ndarray, "H W 3"], path: Path) -> None:
    # 92 and no thinning of the colours: the thin coloured edges of a mesh stay clean.
    Image.fromarray(picture).save(path, format="JPEG", quality=92, subsampling=0)


WRITERS: dict[str, Writer] = {
    "jpg": _one(lambda recovery, path, _: _save_jpg(overlay(recovery), path)),
    "views": _one(lambda recovery, path, _: _save_jpg(contact_sheet(recovery), path)),
    "mp4": _one(lambda recovery, path, _: turntable(recovery, path)),
    "glb": _one(lambda recovery, path, _: write_glb(recovery, path)),
    "obj": _one(lambda recovery, path, _: write_obj(recovery, path)),
    "ply": _one(lambda recovery, path, _: write_ply(recovery, path)),
    "npz": _one(lambda recovery, path, image: write_npz(recovery, image, path)),
    "bvh": _bvh_files,
    "json": _one(lambda recovery, path, image: write_json(recovery, image, path)),
}
"""Every format that a recovery can be written in; JSON last, so that it tells that the others are there."""

ENDINGS = {name: f".{name}" for name in WRITERS} | {"jpg": "_overlay.jpg", "views": "_views.jpg"}
"""What a file of each format is called after the photo's own name; no picture can take the place of its photo."""


def save(
    recovery: Recovery, path: str | Path, formats: Iterable[str] = ("jpg", "glb", "json"), image_path: str | Path = ""
) -> list[Path]:
    """Writes path + ending for each format and answers the files; `image_path` is what the record says of the photo."""
    wanted = set(formats)
    if unknown := sorted(wanted - WRITERS.keys()):
        raise ValueError(f"formats: expected some of {', '.join(WRITERS)}, got {', '.join(unknown)}.")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # The ending is added to the name, not put in place of one: a photo may be called "holiday.2024".
    named = [(write, Path(f"{path}{ENDINGS[name]}")) for name, write in WRITERS.items() if name in wanted]
    return [written for write, target in named for written in write(recovery, target, image_path)]
