"""The numbers of a recovery, in one layout for JSON and NPZ: metres, camera frame; pixels of the photo; radians."""

from __future__ import annotations

import json
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.joints import COCO17, SMPL24
from humesh.files import write_arrays, write_text
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_to_axis_angle
from humesh.scene.result import Result, VideoResult

_NEAREST = 1e-3  # metres; points nearer than this, or behind, are projected from there so that pixels stay finite


def record(recovery: Result, image_path: str | Path) -> dict[str, Any]:
    """All that is known about the people of a photo, as plain finite numbers and texts ready for JSON."""
    photo = recovery.photo
    width, height = photo.size
    tables = {name: column.tolist() for name, column in people_arrays(recovery).items()}
    return {
        "image": {"path": str(image_path), "width": width, "height": height},
        "camera": {
            "focal_px": round(float(photo.camera.focal_px), 6),
            "principal_point_px": _rounded(photo.camera.principal_point_px).tolist(),
            "source": photo.camera_source,
        },
        "method": recovery.method,
        "body": recovery.body.name,
        "humesh_version": humesh_version(),
        "people": [_person(tables, row) for row in range(len(recovery.people))],
        "notes": list(recovery.notes),
    }


def video_record(recovery: VideoResult, video_path: str | Path) -> dict[str, Any]:
    """What is known about a video's people without their poses: when each is there, in frames and seconds."""
    width, height = recovery.size
    people = [
        {
            "id": motion.track,
            "score": round(float(motion.score), 6),
            "frames": [int(motion.frames[0]), int(motion.frames[-1])],
            "times_s": [round(float(recovery.times[frame]), 6) for frame in motion.frames[[0, -1]]],
        }
        for motion in recovery.tracks
    ]
    return {
        "video": {"path": str(video_path), "width": width, "height": height, "frames": len(recovery.times)},
        "method": recovery.method,
        "body": recovery.body.name,
        "humesh_version": humesh_version(),
        "people": people,
        "notes": list(recovery.notes),
    }


def _person(tables: dict[str, list[Any]], row: int) -> dict[str, Any]:
    """One row of the arrays as a nested dictionary: `joints/xyz_m` becomes `["joints"]["xyz_m"]`."""
    person: dict[str, Any] = {}
    for name, column in tables.items():
        group, _, field = name.rpartition("/")
        place = person.setdefault(group, {}) if group else person
        place[field] = column if field == "names" else column[row]
    return person


def people_arrays(recovery: Result) -> dict[str, np.ndarray]:
    """The people as arrays, a row for each (names: one list for all), keyed as in the JSON with `/` between levels."""
    people, pose, camera = recovery.people, recovery.pose.map(exact), recovery.photo.camera
    joints = exact(recovery.bodies.joints)
    names, keypoints = _coco17(recovery, joints)
    expected = recovery.expected_error_m
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
        "joints/confidence": _rounded(recovery.confidence),
        **({} if expected is None else {"joints/expected_error_m": _rounded(expected)}),
        "joints/seen": recovery.visible.detach().cpu().numpy().astype(bool),
        "keypoints_coco17/names": np.array(names),
        "keypoints_coco17/xyz_m": _rounded(keypoints),
        "keypoints_coco17/xy_px": _rounded(pixels_of(camera, keypoints), 3),
    }


def write_json(recovery: Result, image_path: str | Path, path: str | Path) -> None:
    """Writes the record; raises ValueError for NaN and infinity, which JSON does not know."""
    write_text(path, json_text(record(recovery, image_path)))


def json_text(content: dict[str, Any]) -> str:
    """JSON with a line for each vector instead of each number; raises ValueError for NaN and infinity."""
    text = json.dumps(content, allow_nan=False, ensure_ascii=False, indent=1)
    # In JSON a newline never lies inside a text.
    return re.sub(r"\[\n\s*([^\[\]{}]*?)\n\s*\]", lambda row: "[" + re.sub(r"\n\s*", " ", row[1]) + "]", text) + "\n"


def write_npz(recovery: Result, image_path: str | Path, path: str | Path) -> None:
    """Writes the record as arrays (keys as `joints/xyz_m`, no pickles) with the vertices and faces."""
    told = record(recovery, image_path)
    plain = {key: told[key] for key in ("method", "body", "humesh_version")}
    nested = {f"{group}/{field}": value for group in ("image", "camera") for field, value in told[group].items()}
    arrays = {key: np.array(value) for key, value in (plain | nested).items()} | people_arrays(recovery)
    arrays["notes"] = np.array(told["notes"], dtype=np.str_)
    arrays["vertices_m"] = recovery.bodies.vertices.detach().cpu().numpy().astype(np.float32)
    arrays["faces"] = np.asarray(recovery.bodies.faces, dtype=np.int32)
    write_arrays(path, arrays)


def _coco17(recovery: Result, joints: Tensor) -> tuple[list[str], Tensor]:
    """Names and places of COCO's keypoints; of a body without their regressor the joints of the same names."""
    if COCO17.name in recovery.body.keypoint_names:
        return list(COCO17.names), recovery.body.keypoints(exact(recovery.bodies.vertices), COCO17)
    here, there = SMPL24.map_to(COCO17)
    return [COCO17.names[k] for k in there], joints[:, here]


def pixels_of(camera: Camera, points: Float[Tensor, "*g K 3"]) -> Float[Tensor, "*g K 2"]:
    """Finite pixels of points in metres, those in or behind the camera's plane included."""
    return camera.project(torch.cat([points[..., :2], points[..., 2:].clamp(min=_NEAREST)], dim=-1))


def exact(tensor: Tensor) -> Tensor:
    """The tensor's numbers as float64 on the CPU, as the files are made from."""
    return tensor.detach().cpu().double()


def _rounded(values: Any, digits: int = 6) -> np.ndarray:
    """Numbers to micrometres or microradians (pixels: a thousandth), without the minus sign of a zero."""
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
    return array.round(digits) + 0.0


def humesh_version() -> str:
    """The installed version, or that of a source tree."""
    try:
        return version("humesh")
    except PackageNotFoundError:
        return "0+source"
