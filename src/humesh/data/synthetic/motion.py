"""Motion capture files: SMPL's joint rotations over time, from our .npz files and AMASS-style ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from humesh.body.joints import SMPL24
from humesh.errors import HumeshError
from humesh.files import Array, check_arrays, read_arrays

Files = str | Path | Sequence[str | Path]
REFERENCE_LEG = 0.83  # metres from hip to ankle of the skeleton that `places` belongs to
_Y_UP = Rotation.from_euler("x", -90, degrees=True)  # turns a z-up world
_BODY_JOINTS = 22  # the joints that SMPL-H and SMPL-X share with SMPL; their hands are left out
_FASTEST = 1e5  # frames a second
_MOST_BYTES = 2**30
_WHAT = "an .npz file of motion"
_LAYOUT = {
    "poses": Array(("...",), "float"),
    "trans": Array(("...",), "float", optional=True),
    "mocap_framerate": Array(("...",), optional=True),
    "mocap_frame_rate": Array(("...",), optional=True),
    "sequence_id": Array(("poses",), "integer", optional=True),
    "frame_index": Array(("poses",), "integer", optional=True),
    "seq_category": Array(("sequences",), "text", optional=True),
    "seq_fps": Array(("sequences",), optional=True),
}
_CLIPS = {
    "clip_start": Array(("clips",), "integer"),
    "clip_length": Array(("clips",), "integer"),
    "clip_sequence": Array(("clips",), "integer"),
    "clip_fps": Array(("clips",)),
}


class MotionError(HumeshError, ValueError):
    """A motion file that cannot be used; the sentence says which, what was expected and what was found."""


@dataclass(frozen=True)
class Clip:
    """Consecutive frames in a motion's arrays."""

    start: int
    length: int
    fps: float
    category: int
    sequence: int = 0  # of its file


@dataclass(frozen=True, eq=False)
class Motion:
    """Poses of SMPL's 24 joints, axis-angle in radians, world y up; `places` of the pelvis in metres.

    `category` numbers `categories`. `clips`: the stretches that are continuous in time.
    """

    poses: Float[np.ndarray, "N 24 3"]
    places: Float[np.ndarray, "N 3"]
    category: Int[np.ndarray, " N"]
    categories: tuple[str, ...]
    clips: tuple[Clip, ...] = ()

    @classmethod
    def read(cls, paths: Files) -> Motion:
        """All files as one motion; raises MotionError."""
        paths = [paths] if isinstance(paths, str | Path) else paths
        if not paths:
            raise MotionError("motion: expected at least one file (.npz), got none; give one with --motion.")
        parts = [_read(Path(path)) for path in paths]
        names = tuple(sorted({name for part in parts for name in part.categories}))
        clips, category, start = [], [], 0
        for part in parts:
            number = np.array([names.index(name) for name in part.categories])
            category.append(number[part.category])
            clips += [replace(c, start=c.start + start, category=int(number[c.category])) for c in part.clips]
            start += len(part.poses)
        poses, places = (np.concatenate([getattr(part, name) for part in parts]) for name in ("poses", "places"))
        return cls(poses, places, np.concatenate(category), names, tuple(clips))


def rotations(vectors: Float[np.ndarray, "*g 3"]) -> Float[np.ndarray, "*g 3 3"]:
    """Matrices of rotation vectors (radians), float64."""
    return Rotation.from_rotvec(np.reshape(vectors, (-1, 3))).as_matrix().reshape(*vectors.shape, 3)


def _read(path: Path) -> Motion:
    if not path.is_file():
        raise MotionError(f"motion {path}: expected a file, found {'a folder' if path.is_dir() else 'nothing'}.")
    data = read_arrays(path, what=_WHAT, error=MotionError, only=_LAYOUT | _CLIPS, most_bytes=_MOST_BYTES)
    if "poses" not in data:
        found = ", ".join(sorted(getattr(np.load(path), "files", []))) or "nothing"
        raise MotionError(f"motion {path}: expected an array 'poses', found {found}.")
    layout = _LAYOUT | (_CLIPS if "clip_start" in data else {})
    check_arrays(data, layout, where=f"motion {path}", what=_WHAT, error=MotionError)
    poses = data["poses"]
    is_amass = poses.ndim == 2 and poses.shape[1] in (72, 156, 165)  # SMPL, SMPL-H, SMPL-X
    if not is_amass and (poses.ndim != 3 or poses.shape[1:] != (len(SMPL24), 3)):
        raise MotionError(
            f"motion {path}: expected poses of N x 24 x 3 (or AMASS's N x 72, 156 or 165), got "
            f"{' x '.join(map(str, poses.shape))}; bring it to SMPL's 24 joints."
        )
    if not len(poses):
        raise MotionError(f"motion {path}: expected poses, the file has none.")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
        places = data.get("trans", np.zeros((len(poses), 3))).astype(np.float32)
        if is_amass:
            body = poses.reshape(len(poses), poses.shape[1] // 3, 3)[:, :_BODY_JOINTS]
            poses = np.concatenate([body, np.zeros_like(body[:, :2])], axis=1).astype(np.float32)
    if places.shape != (len(poses), 3):
        raise MotionError(f"motion {path}: expected trans of {len(poses)} x 3, got {places.shape}.")
    bad = ~(np.isfinite(poses).all((1, 2)) & np.isfinite(places).all(1))
    if bad.any():
        raise MotionError(
            f"motion {path}: expected finite numbers, {int(bad.sum())} of {len(bad)} poses have NaN or infinity "
            f"(the first is {int(bad.argmax())}); leave them out."
        )
    if is_amass:
        poses[:, 0] = (_Y_UP * Rotation.from_rotvec(poses[:, 0])).as_rotvec()
        places = _Y_UP.apply(places).astype(np.float32)
    with np.errstate(over="ignore"):
        largest = float(np.linalg.norm(poses.astype(np.float32), axis=-1).max())
    if largest > 2 * np.pi + 0.05:  # 0.05: rounding of half precision
        raise MotionError(
            f"motion {path}: expected rotation vectors in radians (at most 2 pi), the largest is {largest:.1f}; "
            "are they degrees?"
        )
    return Motion(poses, places, *_sequences(path, data, len(poses)))


def _sequences(
    path: Path, data: dict[str, np.ndarray], count: int
) -> tuple[np.ndarray, tuple[str, ...], tuple[Clip, ...]]:
    """The category of each pose, the categories' names, the clips."""

    def clip(start: int, length: int, fps: float, category: int, sequence: int) -> Clip:
        if min(start, length) < 0 or start + length > count or not 0 < fps <= _FASTEST:
            raise MotionError(
                f"motion {path}: expected clips among its {count} poses and frames a second above 0, got {length} "
                f"frames from {start} on at {fps:g} a second."
            )
        return Clip(start, length, fps, category, sequence)

    names, sequence, clips = data.get("seq_category"), data.get("sequence_id"), list[Clip]()
    if names is None:  # one take, as in AMASS
        rate = data.get("mocap_framerate", data.get("mocap_frame_rate", np.full(1, 30.0)))
        fps = float(rate.flat[0]) if rate.size else 0.0
        return np.zeros(count, int), (path.stem,), (clip(0, count, fps, 0, 0),)
    known, kinds = np.unique(names, return_inverse=True)
    if "clip_start" in data:
        starts, lengths, numbers, rates = (data[name].tolist() for name in _CLIPS)
        if not all(0 <= number < len(names) for number in numbers):
            raise MotionError(f"motion {path}: expected clip_sequence to number its {len(names)} sequences.")
        rows = zip(starts, lengths, map(float, rates), kinds[numbers].tolist(), numbers, strict=True)
        clips = [clip(*row) for row in rows]
        if sequence is None and sum(lengths) == count:
            sequence = np.repeat(numbers, lengths)
    if sequence is None or len(sequence) != count or not ((sequence >= 0) & (sequence < len(names))).all():
        raise MotionError(f"motion {path}: expected a sequence number for each of its {count} poses.")
    if not clips and {"frame_index", "seq_fps"} <= data.keys():
        breaks = (np.diff(data["frame_index"]) != 1) | (np.diff(sequence) != 0)
        for frames in np.split(np.arange(count), np.flatnonzero(breaks) + 1):
            number = int(sequence[frames[0]])
            fps = float(data["seq_fps"][number])
            clips.append(clip(int(frames[0]), len(frames), fps, int(kinds[number]), number))
    return kinds[sequence], tuple(map(str, known)), tuple(clips)
