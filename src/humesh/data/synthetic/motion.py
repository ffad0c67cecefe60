"""Motion files: joint rotations over time, from our own npz files, AMASS-style npz files and BVH."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import roma
import torch
from jaxtyping import Float, Int

from humesh.body.bvh import BvhError, read_bvh
from humesh.body.joints import SMPL24
from humesh.errors import HumeshError
from humesh.files import Array, check_arrays, read_arrays

REFERENCE_LEG = 0.83  # metres from hip to ankle of the skeleton that `places` belongs to
_Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # turns a z-up world y-up
_BODY_JOINTS = 22  # of SMPL-H's and SMPL-X's joints the first 22 are SMPL's; their hands are left out

_FASTEST = 1e5  # frames a second
_MOST_BYTES = 2**30  # of a file
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
    """Frames that follow each other in a motion's arrays."""

    start: int
    length: int
    fps: float
    category: int
    sequence: int = 0  # of its file


@dataclass(frozen=True)
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
    def read(cls, paths: Sequence[str | Path]) -> Motion:
        """All files as one motion; raises MotionError."""
        if not paths:
            raise MotionError("motion: expected at least one file (.npz or .bvh), got none; give one with --motion.")
        parts = [_read(Path(path)) for path in paths]
        names = tuple(sorted({name for part in parts for name in part.categories}))
        clips, category, start = [], [], 0
        for part in parts:
            number = np.array([names.index(name) for name in part.categories])
            category.append(number[part.category])
            clips += [replace(c, start=c.start + start, category=int(number[c.category])) for c in part.clips]
            start += len(part.poses)
        return cls(
            np.concatenate([part.poses for part in parts]),
            np.concatenate([part.places for part in parts]),
            np.concatenate(category),
            names,
            tuple(clips),
        )


def _read(path: Path) -> Motion:
    if not path.is_file():
        raise MotionError(f"motion {path}: expected a file, found {'a folder' if path.is_dir() else 'nothing'}.")
    if path.suffix.lower() == ".bvh":
        poses, places, fps = _bvh(path)
        category = np.zeros(len(poses), int)
        names: tuple[str, ...] = (path.stem,)
        clips: tuple[Clip, ...] = (Clip(0, len(poses), fps, 0),)
    else:
        data = _load(path)
        poses, places = _arrays(path, data)
        category, names, clips = _order(path, data, len(poses))
    _check(path, poses, places)
    return Motion(poses, places, category, names, clips)


def _load(path: Path) -> dict[str, np.ndarray]:
    what = "an .npz or .bvh file of motion"
    data = read_arrays(path, what=what, error=MotionError, only=_LAYOUT | _CLIPS, most_bytes=_MOST_BYTES)
    if "poses" not in data:
        found = read_arrays(path, what=what, error=MotionError, most_bytes=_MOST_BYTES)
        raise MotionError(f"motion {path}: expected an array 'poses', found {', '.join(sorted(found)) or 'nothing'}.")
    layout = _LAYOUT | (_CLIPS if "clip_start" in data else {})
    check_arrays(data, layout, where=f"motion {path}", what=what, error=MotionError)
    return data


def _arrays(path: Path, data: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    poses = data["poses"]
    if poses.ndim == 3 and poses.shape[1:] == (len(SMPL24), 3):
        turned = None
    elif poses.ndim == 2 and poses.shape[1] in (72, 156, 165):  # SMPL, SMPL-H, SMPL-X as AMASS has them: z up
        body = poses.reshape(len(poses), poses.shape[1] // 3, 3)[:, :_BODY_JOINTS]
        poses = np.concatenate([body, np.zeros_like(body[:, :2])], axis=1)
        turned = _Z_UP
    else:
        raise MotionError(
            f"motion {path}: expected poses of N x 24 x 3 (or AMASS's N x 72, 156 or 165), got "
            f"{' x '.join(map(str, poses.shape))}; bring it to SMPL's 24 joints."
        )
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
        places = data.get("trans", np.zeros((len(poses), 3))).astype(np.float32)
        poses = poses if turned is None else poses.astype(np.float32)
    if places.shape != (len(poses), 3):
        raise MotionError(f"motion {path}: expected trans of {len(poses)} x 3, got {places.shape}.")
    if turned is not None and np.isfinite(poses).all() and np.isfinite(places).all():
        poses[:, 0] = axis_angles(turned @ rotations(poses[:, 0]))
        places = places @ turned.T.astype(np.float32)
    return poses, places


def _order(path: Path, data: dict[str, np.ndarray], count: int) -> tuple[np.ndarray, tuple[str, ...], tuple[Clip, ...]]:
    """The category of each pose, the categories' names, the clips."""
    names, sequence = data.get("seq_category"), data.get("sequence_id")
    if names is None:
        rate = data.get("mocap_framerate", data.get("mocap_frame_rate", np.full(1, 30.0)))
        fps = float(rate.flat[0]) if rate.size else 0.0
        return np.zeros(count, int), (path.stem,), (_clip(path, 0, count, fps, 0, 0, count),)
    known, of_sequence = np.unique(names, return_inverse=True)
    clips: tuple[Clip, ...] = ()
    if "clip_start" in data:
        numbers, lengths = data["clip_sequence"], data["clip_length"]
        if ((numbers < 0) | (numbers >= len(names))).any():
            raise MotionError(f"motion {path}: expected clip_sequence to number its {len(names)} sequences.")
        columns = (data["clip_start"], lengths, data["clip_fps"].astype(float), of_sequence[numbers], numbers)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        clips = tuple(_clip(path, start, length, fps, kind, number, count) for start, length, fps, kind, number in rows)
        if sequence is None and sum(clip.length for clip in clips) == count:
            sequence = np.repeat(numbers, lengths)
    wrong = sequence is None or len(sequence) != count
    if sequence is None or wrong or ((sequence < 0) | (sequence >= len(names))).any():
        raise MotionError(f"motion {path}: expected a sequence number for each of its {count} poses.")
    if not clips and {"frame_index", "seq_fps"} <= data.keys() and len(data["frame_index"]) == count:
        breaks = (np.diff(data["frame_index"]) != 1) | (np.diff(sequence) != 0)
        ends = [0, *(np.flatnonzero(breaks) + 1).tolist(), count]
        rates, kinds = data["seq_fps"][sequence].astype(float).tolist(), of_sequence[sequence].tolist()
        clips = tuple(
            _clip(path, start, end - start, rates[start], kinds[start], int(sequence[start]), count)
            for start, end in pairwise(ends)
            if end > start
        )
    return of_sequence[sequence], tuple(map(str, known)), clips


def _clip(path: Path, start: int, length: int, fps: float, category: int, sequence: int, count: int) -> Clip:
    if min(start, length) < 0 or start + length > count or not 0 < fps <= _FASTEST:
        raise MotionError(
            f"motion {path}: expected clips among its {count} poses and frames a second above 0, got {length} frames "
            f"from {start} on at {fps:g} a second."
        )
    return Clip(start, length, fps, category, sequence)


def _check(path: Path, poses: np.ndarray, places: np.ndarray) -> None:
    if not len(poses):
        raise MotionError(f"motion {path}: expected poses, the file has none.")
    bad = ~(np.isfinite(poses).all((1, 2)) & np.isfinite(places).all(1))
    if bad.any():
        raise MotionError(
            f"motion {path}: expected finite numbers, {int(bad.sum())} of {len(poses)} poses have NaN or infinity "
            f"(the first is {int(bad.argmax())}); leave them out."
        )
    with np.errstate(over="ignore"):
        largest = float(np.linalg.norm(poses.astype(np.float32), axis=-1).max())
    if largest > 2 * np.pi + 0.05:  # 0.05: rounding of half precision
        raise MotionError(
            f"motion {path}: expected rotation vectors in radians (at most 2 pi), the largest is {largest:.1f}; "
            "are they degrees?"
        )


_BVH_NAMES = {
    "pelvis": "hips hip root pelvis",
    "left_hip": "leftupleg lefthip lthigh leftthigh lhipjoint",
    "left_knee": "leftleg leftknee lshin leftshin",
    "left_ankle": "leftfoot leftankle lfoot",
    "left_foot": "lefttoebase lefttoe lefttoes ltoe",
    "spine1": "spine lowerback chest spine1 abdomen",
    "spine2": "spine1 chest2 spine2",
    "spine3": "spine2 chest3 spine3 upperchest",
    "neck": "neck neck1",
    "head": "head",
    "left_collar": "leftshoulder leftcollar lcollar",
    "left_shoulder": "leftarm lshldr leftupperarm leftshoulder",
    "left_elbow": "leftforearm leftelbow lforearm leftlowerarm",
    "left_wrist": "lefthand leftwrist lhand",
}  # names of common BVH files (Mixamo, CMU by MotionBuilder, Biovision), lower case, without prefixes and signs


def _bvh(path: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Rotation vectors, pelvis places (metres, as far as the unit can be told from the legs) and frames a second."""
    try:
        clip = read_bvh(path)
    except BvhError as error:
        raise MotionError(str(error)) from None
    found = {"".join(c for c in name.split(":")[-1].lower() if c.isalnum()): i for i, name in enumerate(clip.names)}
    here: dict[str, int] = {}
    for name in SMPL24.names:
        side = name.partition("_")[0]
        known = _BVH_NAMES.get(name.replace("right", "left"), "").split()
        if side == "right":
            known = ["right" + k[4:] if k.startswith("left") else "r" + k[1:] for k in known]
        match = [k for k in [name.replace("_", ""), *known] if k in found and found[k] not in here.values()]
        if match:
            here[name] = found[match[0]]
    missing = [
        name for name in ("pelvis", "right_hip", "right_knee", "left_shoulder", "right_elbow") if name not in here
    ]
    if missing:
        raise MotionError(
            f"motion {path}: expected a human skeleton of known joint names, found no {', '.join(missing)} among "
            f"{', '.join(clip.names[:8])}, ...; rename its joints as SMPL's."
        )
    turns = clip.rotations.copy()
    rest = np.zeros((len(clip.names), 3))
    for joint, parent in enumerate(clip.parents):
        rest[joint] = clip.offsets[joint] + (rest[parent] if parent >= 0 else 0)
        if parent >= 0:
            turns[:, joint] = turns[:, parent] @ turns[:, joint]
    # A file's rest bones may lie otherwise than our T-pose: its global rotations start from there.
    frames = np.tile(np.eye(3), (len(turns), len(SMPL24), 1, 1))
    local = frames.copy()
    for j, (name, parent) in enumerate(zip(SMPL24.names, SMPL24.parents, strict=True)):
        above = frames[:, parent] if parent >= 0 else np.eye(3)
        frames[:, j] = turns[:, here[name]] @ _rest_turn(name, here, rest) if name in here else above
        local[:, j] = np.swapaxes(above, -1, -2) @ frames[:, j]
    leg = np.linalg.norm(rest[here["right_knee"]] - rest[here["right_hip"]]) * 2
    places = clip.positions[:, here["pelvis"]] * (REFERENCE_LEG / max(float(leg), 1e-6))
    return axis_angles(local).astype(np.float32), places.astype(np.float32), 1 / max(clip.frame_time, 1e-3)


_BONES = {
    "hip": ("knee", (0, -1, 0)),
    "knee": ("ankle", (0, -1, 0)),
    "shoulder": ("elbow", (1, 0, 0)),
    "elbow": ("wrist", (1, 0, 0)),
}  # the limb bones whose rest directions differ between files: to which joint, and where ours points (left side)


def _rest_turn(name: str, here: dict[str, int], rest: np.ndarray) -> np.ndarray:
    """The rotation that takes our rest bone to the file's (identity where they agree)."""
    side, _, joint = name.partition("_")
    if joint not in _BONES or f"{side}_{_BONES[joint][0]}" not in here:
        return np.eye(3)
    child, ours = _BONES[joint]
    a = np.array(ours, dtype=np.float64) * ((-1 if side == "right" else 1), 1, 1)
    b = rest[here[f"{side}_{child}"]] - rest[here[name]]
    b = b / max(float(np.linalg.norm(b)), 1e-9)
    axis, cos = np.cross(a, b), float(a @ b)
    if cos < -0.99 or np.linalg.norm(b) < 0.5:
        return np.eye(3)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + k + k @ k / (1 + cos)


def rotations(vectors: Float[np.ndarray, "*g 3"]) -> Float[np.ndarray, "*g 3 3"]:
    """Matrices of rotation vectors (radians), float64, by Rodrigues' formula."""
    v = np.asarray(vectors, dtype=np.float64)
    angle = np.sqrt((v * v).sum(-1))[..., None, None]
    x, y, z = np.moveaxis(v, -1, 0)
    zero = np.zeros_like(x)
    k = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*v.shape[:-1], 3, 3)
    small = angle < 1e-6
    safe = np.where(small, 1, angle)
    a = np.where(small, 1, np.sin(safe) / safe)
    b = np.where(small, 0.5, (1 - np.cos(safe)) / safe**2)
    return np.eye(3) + a * k + b * (k @ k)


def axis_angles(matrices: Float[np.ndarray, "*g 3 3"]) -> Float[np.ndarray, "*g 3"]:
    """Rotation vectors (radians, at most pi long) of matrices."""
    return roma.rotmat_to_rotvec(torch.from_numpy(np.ascontiguousarray(matrices, dtype=np.float64))).numpy()
