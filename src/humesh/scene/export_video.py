"""Files of a video's people: one writer for each format, each leaving whole files or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from humesh.files import writing
from humesh.scene.bvh import write_motion_bvh
from humesh.scene.export import Writer, a_record, asked_for, check_kind, one_file, write_formats
from humesh.scene.gltf_motion import write_moving_glb
from humesh.scene.motion_record import write_amass, write_motion_npz
from humesh.scene.options import PLAIN, FileOptions
from humesh.scene.rerun_file import write_rrd
from humesh.scene.result import Motion, VideoResult
from humesh.scene.usd import write_usd


def _each(write: Callable[[VideoResult, Motion, Path, FileOptions], None]) -> Writer[VideoResult]:
    """A writer of a file for each person, `name_person<track>.ending`; nobody gets no file."""

    def whole(recovery: VideoResult, path: Path, _: str | Path, options: FileOptions = PLAIN) -> list[Path]:
        paths: list[Path] = []
        for motion in recovery.tracks:
            paths.append(path.with_name(f"{path.stem}_person{motion.track}{path.suffix}"))
            with writing(paths[-1]) as draft:
                write(recovery, motion, draft, options)
        return paths

    return whole


VIDEO_WRITERS: dict[str, Writer[VideoResult]] = {
    "glb": one_file(write_moving_glb),
    "bvh": _each(write_motion_bvh),
    "amass": _each(write_amass),
    "usd": one_file(write_usd),
    "rrd": one_file(lambda recovery, path, _: write_rrd(recovery, path)),
    "npz": a_record(write_motion_npz),
}
"""Every format that a video's people can be written in; NPZ last, so that it tells that the others are there."""

VIDEO_ENDINGS = {name: f".{name}" for name in VIDEO_WRITERS} | {"amass": "_amass.npz"}
"""What a file of each format is called after the video's own name."""

PER_PERSON = ("bvh", "amass")
"""The formats of a file for each person: `name_person<track>.bvh`, `name_amass_person<track>.npz`."""


EXTRAS = {"usd": ("pxr", "usd"), "rrd": ("rerun", "view")}
"""Formats that need a package beyond humesh's own: its module, and the extra that installs it."""


def save_video(
    recovery: VideoResult,
    path: str | Path,
    formats: str | Iterable[str] | None = None,
    video_path: str | Path = "",
    units: str = "m",
    floor: bool = False,
    pad: bool = False,
) -> list[Path]:
    """Writes path + ending for each format (default glb and npz) and returns the files.

    `formats` and an ending that names one: as in `save`. `video_path`: what the NPZ says of the video. `units`,
    `floor`, `pad`: see `FileOptions`. Raises OptionsError, ArgumentError, and OSError where nothing can be written.
    """
    check_kind(recovery, VideoResult, "save_video(recovery, path)")
    stem, wanted, endings = asked_for(path, formats, VIDEO_WRITERS, VIDEO_ENDINGS, ("glb", "npz"))
    options = FileOptions(units, floor, pad)
    options.check(wanted)
    return write_formats(VIDEO_WRITERS, endings, recovery, stem, wanted, video_path, options)
