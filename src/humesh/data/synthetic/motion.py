"""Motion capture files: SMPL's joint rotations over time, from our npz files, AMASS-style npz files and BVH."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from humesh.body.bvh import BvhError, read_bvh
from humesh.body.joints import SMPL24
from humesh.body.kinematics import swing
from humesh.errors import HumeshError
from humesh.files import Array, check_arrays, read_arrays

REFERENCE_LEG = 0.83  # metres from hip to ankle of the skeleton that `places` belongs to
_Y_UP = Rotation.from_euler("x", -90, degrees=True)  # turns a z-up world
_BODY_JOINTS = 22  # the joints that SMPL-H and SMPL-X share with SMPL; their hands are left out
_FASTEST = 1e5  # frames a second
_MOST_BYTES = 2**30
_WHAT = "an .npz or .bvh file of motion"
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
        poses, places = (np.concatenate([getattr(part, name) for part in parts]) for name in ("poses", "places"))
        return cls(poses, places, np.concatenate(category), names, tuple(clips))


def rotations(vectors: Float[np.ndarray, "*g 3"]) -> Float[np.ndarray, "*g 3 3"]:
    """Matrices of rotation vectors (radians), float64."""
    return Rotation.from_rotvec(np.reshape(vectors, (-1, 3))).as_matrix().reshape(*vectors.shape, 3)


def axis_angles(matrices: Float[np.ndarray, "*g 3 3"]) -> Float[np.ndarray, "*g 3"]:
    """Rotation vectors (radians, at most pi long) of matrices."""
    return Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_rotvec().reshape(matrices.shape[:-1])


def _read(path: Path) -> Motion:
    if not path.is_file():
        raise MotionError(f"motion {path}: expected a file, found {'a folder' if path.is_dir() else 'nothing'}.")
    motion = _read_bvh(path) if path.suffix.lower() == ".bvh" else _read_npz(path)
    if not len(motion.poses):
        raise MotionError(f"motion {path}: expected poses, the file has none.")
    bad = ~(np.isfinite(motion.poses).all((1, 2)) & np.isfinite(motion.places).all(1))
    if bad.any():
        raise MotionError(
            f"motion {path}: expected finite numbers, {int(bad.sum())} of {len(bad)} poses have NaN or infinity "
            f"(the first is {int(bad.argmax())}); leave them out."
        )
    with np.errstate(over="ignore"):
        largest = float(np.linalg.norm(motion.poses.astype(np.float32), axis=-1).max())
    if largest > 2 * np.pi + 0.05:  # 0.05: rounding of half precision
        raise MotionError(
            f"motion {path}: expected rotation vectors in radians (at most 2 pi), the largest is {largest:.1f}; "
            "are they degrees?"
        )
    return motion


def _read_npz(path: Path) -> Motion:
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
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
        places = data.get("trans", np.zeros((len(poses), 3))).astype(np.float32)
        if is_amass:
            body = poses.reshape(len(poses), poses.shape[1] // 3, 3)[:, :_BODY_JOINTS]
            poses = np.concatenate([body, np.zeros_like(body[:, :2])], axis=1).astype(np.float32)
    if places.shape != (len(poses), 3):
        raise MotionError(f"motion {path}: expected trans of {len(poses)} x 3, got {places.shape}.")
    if is_amass and len(poses) and np.isfinite(poses).all() and np.isfinite(places).all():
        poses[:, 0] = (_Y_UP * Rotation.from_rotvec(poses[:, 0])).as_rotvec()
        places = _Y_UP.apply(places).astype(np.float32)
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
    if not clips and count and {"frame_index", "seq_fps"} <= data.keys():
        breaks = (np.diff(data["frame_index"]) != 1) | (np.diff(sequence) != 0)
        for frames in np.split(np.arange(count), np.flatnonzero(breaks) + 1):
            number = int(sequence[frames[0]])
            fps = float(data["seq_fps"][number])
            clips.append(clip(int(frames[0]), len(frames), fps, int(kinds[number]), number))
    return kinds[sequence], tuple(map(str, known)), tuple(clips)


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
_NEEDED = ("pelvis", "right_hip", "right_knee", "left_shoulder", "right_elbow")
_LIMB_BONES = {
    "hip": ("knee", (0, -1, 0)),
    "knee": ("ankle", (0, -1, 0)),
    "shoulder": ("elbow", (1, 0, 0)),
    "elbow": ("wrist", (1, 0, 0)),
}  # the bones whose rest directions differ between files: to which joint, and where SMPL's points (left side)


def _read_bvh(path: Path) -> Motion:
    """Places are in metres as far as the unit can be inferred from the legs."""
    try:
        clip = read_bvh(path)
    except BvhError as error:
        raise MotionError(str(error)) from None
    number = _smpl_joints(path, clip.names)
    turns, rest = clip.rotations.copy(), np.zeros((len(clip.names), 3))
    for joint, parent in enumerate(clip.parents):
        rest[joint] = clip.offsets[joint] + (rest[parent] if parent >= 0 else 0)
        if parent >= 0:
            turns[:, joint] = turns[:, parent] @ turns[:, joint]
    frames = np.tile(np.eye(3), (len(turns), len(SMPL24), 1, 1))
    local = frames.copy()
    for j, (name, parent) in enumerate(zip(SMPL24.names, SMPL24.parents, strict=True)):
        above = frames[:, parent] if parent >= 0 else np.eye(3)
        frames[:, j] = turns[:, number[name]] @ _rest_turn(name, number, rest) if name in number else above
        local[:, j] = np.swapaxes(above, -1, -2) @ frames[:, j]
    leg = 2 * float(np.linalg.norm(rest[number["right_knee"]] - rest[number["right_hip"]]))
    places = clip.positions[:, number["pelvis"]] * (REFERENCE_LEG / max(leg, 1e-6))
    poses, count = axis_angles(local).astype(np.float32), len(local)
    clips = (Clip(0, count, 1 / max(clip.frame_time, 1e-3), 0),)
    return Motion(poses, places.astype(np.float32), np.zeros(count, int), (path.stem,), clips)


def _smpl_joints(path: Path, names: Sequence[str]) -> dict[str, int]:
    """The numbers of a file's joints by SMPL's names."""
    found = {"".join(c for c in name.split(":")[-1].lower() if c.isalnum()): i for i, name in enumerate(names)}
    number: dict[str, int] = {}
    for name in SMPL24.names:
        known = _BVH_NAMES.get(name.replace("right", "left"), "").split()
        if name.startswith("right"):
            known = ["right" + k[4:] if k.startswith("left") else "r" + k[1:] for k in known]
        match = [k for k in [name.replace("_", ""), *known] if k in found and found[k] not in number.values()]
        if match:
            number[name] = found[match[0]]
    if missing := [name for name in _NEEDED if name not in number]:
        raise MotionError(
            f"motion {path}: expected a human skeleton of known joint names, found no {', '.join(missing)} among "
            f"{', '.join(names[:8])}, ...; rename its joints as SMPL's."
        )
    return number


def _rest_turn(name: str, number: dict[str, int], rest: Float[np.ndarray, "J 3"]) -> Float[np.ndarray, "3 3"]:
    """The rotation that takes SMPL's rest bone to the file's: global rotations start from there."""
    side, _, joint = name.partition("_")
    child, direction = _LIMB_BONES.get(joint, ("", (0, 0, 0)))
    if f"{side}_{child}" not in number:
        return np.eye(3)
    smpl = torch.tensor(direction).double() * torch.tensor([-1 if side == "right" else 1, 1, 1])
    return swing(smpl, torch.from_numpy(rest[number[f"{side}_{child}"]] - rest[number[name]])).numpy()
