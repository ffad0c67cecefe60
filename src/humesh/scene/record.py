"""The numbers of a result, one layout for JSON and NPZ: metres, camera frame; pixels; radians; seconds."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.files import SHIPPED
from humesh.body.joints import COCO17, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.files import Array, check_arrays, read_arrays, write_arrays
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle, rotation_to_axis_angle
from humesh.media.photo import MAX_MEGAPIXELS, Photo
from humesh.media.video import Video
from humesh.people.person import Person
from humesh.scene.result import Motion, Result, ResultError, VideoResult, exact, pixels_of

_MOST_BYTES = 2**30  # of a file: an hour of several people
_LARGEST = 1e9  # of all numbers
_LONGEST_S = 1e7  # four months
_J = len(SMPL24)
_TEXT, _WHOLE = Array((), "text"), Array((), "integer")
_ABOUT = {"method": _TEXT, "body": _TEXT, "camera/source": _TEXT, "notes": Array(("notes",), "text")}
_PHOTO = {
    **_ABOUT,
    "image/path": _TEXT, "image/width": _WHOLE, "image/height": _WHOLE,
    "camera/focal_px": Array(()),
    "camera/principal_point_px": Array((2,)),
    "camera/matrix": Array((3, 3), optional=True),  # not in files of version 0.1
    "id": Array(("people",), "integer"),
    "score": Array(("people",)),
    "box_xyxy": Array(("people", 4)),
    "translation_m": Array(("people", 3)),
    "pose_axis_angle": Array(("people", _J, 3)),
    "betas": Array(("people", "betas")),
    "joints/confidence": Array(("people", _J)),
    "joints/expected_error_m": Array(("people", _J), optional=True),
    "joints/seen": Array(("people", _J), "truth"),
}  # fmt: skip
_VIDEO = {
    **_ABOUT,
    "video/path": _TEXT, "video/width": _WHOLE, "video/height": _WHOLE,
    "camera/matrix": Array((3, 3)),
    "tracks": Array(("people",), "integer"),
    "times_s": Array(("frames",)),
}  # fmt: skip
_TRACK = {
    "frames": Array(("frames",), "integer"),
    "pose_axis_angle": Array(("frames", _J, 3)),
    "betas": Array(("betas",)),
    "translation_m": Array(("frames", 3)),
    "found": Array(("frames",), "truth"),
    "score": Array(()),
    "joints/confidence": Array(("frames", _J), optional=True),
}


def record(result: Result | VideoResult) -> dict[str, Any]:
    """A result as plain finite numbers and texts ready for JSON; of a video's people without their poses."""
    if isinstance(result, VideoResult):
        people = [
            {
                "id": motion.track,
                "score": round(float(motion.score), 6),
                "frames": [int(motion.frames[0]), int(motion.frames[-1])],
                "times_s": [round(float(result.times[frame]), 6) for frame in motion.frames[[0, -1]]],
            }
            for motion in result.tracks
        ]
    else:
        columns = _people_arrays(result)
        people = [
            _nested({name: column if name.endswith("names") else column[row] for name, column in columns.items()})
            for row in range(len(result.people))
        ]
    return _nested(_about(result)) | {"people": people, "notes": list(result.notes)}


def _about(result: Result | VideoResult) -> dict[str, Any]:
    kind, source = ("video", result) if isinstance(result, VideoResult) else ("image", result.photo)
    return {
        f"{kind}/path": source.path,
        f"{kind}/width": source.size[0],
        f"{kind}/height": source.size[1],
        **({"video/frames": len(result.times)} if isinstance(result, VideoResult) else {}),
        "camera/focal_px": round(float(source.camera.focal_px), 6),
        "camera/principal_point_px": _rounded(source.camera.principal_point_px),
        "camera/source": source.camera_source,
        "method": result.method,
        "body": result.body.name,
        "humesh_version": humesh_version(),
    }


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    """`joints/xyz_m` becomes `["joints"]["xyz_m"]`, arrays become lists."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        group, _, key = name.rpartition("/")
        place = tree.setdefault(group, {}) if group else tree
        place[key] = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return tree


def _people_arrays(result: Result) -> dict[str, np.ndarray]:
    """A photo's people as arrays, a row for each (names: one list for all), `/` between the levels of the JSON."""
    people, pose, camera = result.people, result.pose.map(exact), result.photo.camera
    joints = exact(result.bodies.joints)
    names, keypoints = _coco17(result, joints)
    expected = result.expected_error_m
    ids = [index if person.track is None else person.track for index, person in enumerate(people)]
    return {
        "id": np.array(ids, dtype=np.int64),
        "score": _rounded([person.score for person in people]),
        "box_xyxy": _rounded([person.box for person in people]).reshape(-1, 4),
        "translation_m": _rounded(pose.translation),
        "pose_axis_angle": _rounded(rotation_to_axis_angle(pose.rotations)),
        "betas": _rounded(pose.shape),
        "joints/names": np.array(SMPL24.names),
        "joints/xyz_m": _rounded(joints),
        "joints/xy_px": _rounded(pixels_of(camera, joints), 3),
        "joints/confidence": _rounded(result.confidence),
        **({} if expected is None else {"joints/expected_error_m": _rounded(expected)}),
        "joints/seen": result.visible.detach().cpu().numpy().astype(bool),
        "keypoints_coco17/names": np.array(names),
        "keypoints_coco17/xyz_m": _rounded(keypoints),
        "keypoints_coco17/xy_px": _rounded(pixels_of(camera, keypoints), 3),
    }


def _coco17(result: Result, joints: Tensor) -> tuple[list[str], Tensor]:
    """Names and places of COCO's keypoints; of a body without their regressor the joints of the same names."""
    if COCO17.name in result.body.keypoint_names:
        return list(COCO17.names), result.body.keypoints(exact(result.bodies.vertices), COCO17)
    here, there = SMPL24.map_to(COCO17)
    return [COCO17.names[k] for k in there], joints[:, here]


def json_text(content: dict[str, Any]) -> str:
    """JSON with a line for each vector instead of each number; raises ValueError for NaN and infinity."""
    text = json.dumps(content, allow_nan=False, ensure_ascii=False, indent=1)
    # In JSON a newline never lies inside a text.
    return re.sub(r"\[\n\s*([^\[\]{}]*?)\n\s*\]", lambda row: "[" + re.sub(r"\n\s*", " ", row[1]) + "]", text) + "\n"


def write_npz(result: Result | VideoResult, path: str | Path) -> None:
    """Writes arrays without pickles, from which `load` makes the result again.

    Of a photo: the record's columns (`joints/xyz_m`, ...), `vertices_m`, `faces`, `camera/matrix`. Of a video:
    `tracks`, `times_s`, `camera/matrix`, `video/...`, and of each person, after `person<track>/`: `frames` F (places
    in the video's `times_s`), `times_s` F, `pose_axis_angle` F x 24 x 3 (to the parent; the root's: in the camera
    frame), `betas`, `translation_m` F x 3, `joints/xyz_m` F x 24 x 3, `joints/confidence`, `found`, `score`.
    """
    camera = (result if isinstance(result, VideoResult) else result.photo).camera
    arrays = _about(result) | {"camera/matrix": exact(camera.matrix).numpy()}
    arrays["notes"] = np.array(result.notes, dtype=np.str_)
    if isinstance(result, VideoResult):
        arrays |= _tracks_arrays(result)
    else:
        arrays |= _people_arrays(result)
        arrays["vertices_m"] = result.bodies.vertices.detach().cpu().numpy().astype(np.float32)
        arrays["faces"] = np.asarray(result.bodies.faces, dtype=np.int32)
    write_arrays(path, arrays)


def _tracks_arrays(result: VideoResult) -> dict[str, Any]:
    tracks = np.array([motion.track for motion in result.tracks], dtype=np.int64)
    arrays = {"joints/names": SMPL24.names, "times_s": result.times.astype(np.float64), "tracks": tracks}
    for motion in result.tracks:
        pose = motion.pose.map(exact)
        person = {
            "frames": motion.frames.astype(np.int64),
            "times_s": result.times[motion.frames].astype(np.float64),
            "pose_axis_angle": _stored(rotation_to_axis_angle(pose.rotations)),
            "betas": _stored(pose.shape[0]),
            "translation_m": _stored(pose.translation),
            "joints/xyz_m": _stored(result.body.joints(pose)),
            "found": motion.found.astype(bool),
            "score": float(motion.score),
        }
        if len(motion.confidence):
            person["joints/confidence"] = _stored(exact(motion.confidence))
        arrays |= {f"person{motion.track}/{name}": array for name, array in person.items()}
    return arrays


def load(path: str | Path, source: Any = None, body: BodyModel | None = None) -> Result | VideoResult:
    """The result of a photo or a video that was saved as .npz.

    `source`: its photo or video, for pictures; without it a photo is white and a video has no `frames`, because files
    that a file names are never opened. `body`: needed where the file's is not shipped. Raises ResultError.
    """
    what = "an .npz of humesh"
    data = read_arrays(path, what=what, error=ResultError, most_bytes=_MOST_BYTES)
    kind = "image" if "pose_axis_angle" in data else "video"
    check = partial(check_arrays, what=what, error=ResultError)
    axes = check(data, _PHOTO if kind == "image" else _VIDEO, where=str(path))
    size = int(data[f"{kind}/width"]), int(data[f"{kind}/height"])
    camera = data.get("camera/matrix", np.eye(3)).astype(np.float64)
    if "camera/matrix" not in data:
        camera[[0, 1], [0, 1]], camera[:2, 2] = data["camera/focal_px"], data["camera/principal_point_px"]
    times, tracks = data.get("times_s", np.zeros(1)).astype(np.float64), data.get("tracks", np.zeros(0)).tolist()
    if (
        len(set(tracks)) < len(tracks)
        or not (min(size) > 0 and size[0] * size[1] <= 1e6 * MAX_MEGAPIXELS)
        or not (np.diff(times) > 0).all()
        or np.abs(times).max(initial=0) > _LONGEST_S
        or not (camera[[0, 1], [0, 1]] > 0).all()
        or np.abs(camera).max() > _LARGEST
    ):
        raise ResultError(f"{path}: expected {what}, its tracks, size, times or camera cannot be those of any {kind}.")
    if body is None:
        if (name := str(data["body"])) not in SHIPPED:
            raise ResultError(f"{path}: its body {name!r} is not shipped; give its file as body (--body).")
        body = BodyModel.load(name)
    facts: dict[str, Any] = {"body": body, "method": str(data["method"]), "notes": tuple(data["notes"].tolist())}
    lens = Camera(torch.from_numpy(camera))
    if kind == "image":
        check(data, {"betas": _PHOTO["betas"]}, where=str(path), axes={"betas": body.shapes})
        return _photo(data, str(path), size, lens, source, facts)
    motions = []
    for track in tracks:
        start = f"person{track}/"
        person = {name.removeprefix(start): array for name, array in data.items() if name.startswith(start)}
        check(person, _TRACK, where=f"{path}, {start}", axes={"betas": body.shapes})
        motions.append(_motion(person, track, axes["frames"], f"{path}, {start}"))
    film = source if isinstance(source, Video) or source is None else Video(source)
    facts |= {"path": str(data["video/path"]), "video": film}
    return VideoResult(times, size, lens, str(data["camera/source"]), motions, **facts)


def _photo(
    data: dict[str, np.ndarray], where: str, size: tuple[int, int], camera: Camera, source: Any, facts: dict[str, Any]
) -> Result:
    if source is None:
        source = np.full((size[1], size[0], 3), 255, np.uint8)
    photo = Photo.of(source, camera)
    if photo.size != size:
        raise ResultError(f"{where}: expected its photo of {size[0]} x {size[1]} pixels as source, got {photo.size}.")
    photo = replace(photo, path=str(data["image/path"]), camera_source=str(data["camera/source"]))
    rows = zip(data["box_xyxy"].astype(float), data["score"], data["id"], strict=True)
    people = [Person(box, float(score), track=int(track)) for box, score, track in rows]
    expected = data.get("joints/expected_error_m")
    return Result(
        photo,
        people,
        _pose(data, data["betas"], where),
        torch.from_numpy(data["joints/confidence"]).float(),
        torch.from_numpy(data["joints/seen"].astype(bool)),
        expected_error_m=None if expected is None else torch.from_numpy(expected).float(),
        **facts,
    )


def _motion(person: dict[str, np.ndarray], track: int, count: int, where: str) -> Motion:
    frames = person["frames"].astype(np.int64)
    if not len(frames) or frames[0] < 0 or frames[-1] >= count or not (np.diff(frames) > 0).all():
        raise ResultError(f"{where}: expected frames, increasing, of the video's {count}.")
    pose = _pose(person, np.tile(person["betas"], (len(frames), 1)), where)
    confidence = torch.from_numpy(person.get("joints/confidence", np.zeros((0, _J)))).float()
    return Motion(track, frames, pose, person["found"].astype(bool), float(person["score"]), confidence)


def _pose(arrays: dict[str, np.ndarray], betas: np.ndarray, where: str) -> BodyPose:
    numbers = [torch.from_numpy(array).float() for array in (arrays["pose_axis_angle"], betas, arrays["translation_m"])]
    if any(float(part.abs().max()) > _LARGEST for part in numbers if part.numel()):
        raise ResultError(f"{where}: expected a pose, got numbers above {_LARGEST:g}.")
    return BodyPose(rotation_from_axis_angle(numbers[0]), *numbers[1:])


def _rounded(values: Any, digits: int = 6) -> np.ndarray:
    """Numbers to micrometres or microradians (pixels: a thousandth), without the minus sign of a zero."""
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
    return array.round(digits) + 0.0


def _stored(tensor: Tensor) -> Float[np.ndarray, "*g"]:
    return tensor.numpy().astype(np.float32)  # 7 digits: micrometres at ten metres


def humesh_version() -> str:
    """The installed version, or that of a source tree."""
    try:
        return version("humesh")
    except PackageNotFoundError:
        return "0+source"
