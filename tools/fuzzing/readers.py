"""The readers that get damaged files: how to make small valid ones, and how a user reads them."""

from __future__ import annotations

import json
import pickle
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image

from fuzzing.datasets import DATASET_READERS
from fuzzing.files import FileReader, made_up, small_body
from fuzzing.training import TRAINING_READERS
from humesh.body.model import BodyModel


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


# Bodies


def _make_bodies(folder: Path, ending: str) -> None:
    arrays = made_up("evaluation/fakes").smpl_arrays(0)
    arrays["shapedirs"], arrays["posedirs"] = arrays["shapedirs"][..., :10], arrays["posedirs"][..., :207]
    if ending == "npz":
        np.savez(folder / "body.npz", **arrays)
        np.savez_compressed(folder / "small.npz", **arrays)
        return
    import scipy.sparse

    for protocol in (0, 2, 4):
        regressor = scipy.sparse.csc_matrix(arrays["J_regressor"])
        stored = {**arrays, "J_regressor": regressor if protocol else arrays["J_regressor"], "bs_style": "lbs"}
        (folder / f"body{protocol}.pkl").write_bytes(pickle.dumps(stored, protocol=protocol))


def _read_body(_: Path, path: Path) -> None:
    from humesh.body.pose import BodyPose

    body = BodyModel.load(path)
    body(BodyPose.rest(1, shapes=body.shapes))


# Motion, people and results


def _make_motion(folder: Path) -> None:
    own = made_up("data/test_synthetic").made_up()
    np.savez(folder / "own.npz", **own)
    np.savez_compressed(folder / "amass.npz", poses=_rng().normal(0, 0.2, (5, 156)), trans=np.zeros((5, 3)),
                        betas=np.zeros(16), mocap_framerate=120.0, gender="neutral")  # fmt: skip


def _read_motion(_: Path, path: Path) -> None:
    from humesh.data.synthetic.motion import Motion

    Motion.read([path])


def _make_video_npz(folder: Path) -> None:
    from humesh.body.pose import BodyPose
    from humesh.geometry.camera import Camera
    from humesh.scene.record import write_npz
    from humesh.scene.result import Motion, VideoResult

    turns = torch.eye(3).repeat(3, 24, 1, 1)
    pose = BodyPose(turns, torch.zeros(3, 10), torch.tensor([[0.0, 0.0, 4.0]] * 3))
    motion = Motion(1, np.arange(3), pose, np.ones(3, bool), 0.8, torch.ones(3, 24))
    for name, motions in (("one", [motion]), ("nobody", [])):
        facts = (
            Camera.guess((160, 120)),
            "guessed",
            motions,
            small_body(),
            "made up",
            ("The focal length was guessed.",),
        )
        write_npz(VideoResult(np.arange(4) / 25, (160, 120), *facts, path="film.mp4"), folder / f"{name}.npz")


def _read_video_npz(_: Path, path: Path) -> None:
    from humesh.scene.record import load
    from humesh.scene.result import Result

    result = load(path)
    if isinstance(result, Result):
        return
    assert result.fps > 0
    for motion in result.tracks:
        result.body(motion.pose)


def _people() -> list[Any]:
    from humesh.body.joints import MEDIAPIPE33
    from humesh.people.person import Person

    points = _rng().uniform(0, 1, (33, 3))
    return [Person(np.array([1.0, 2.0, 30.0, 40.0]), 0.5, points, MEDIAPIPE33, points, 1),
            Person(np.array([9.0, 2.0, 30.0, 40.0]), 0.25, track=2)]  # fmt: skip


def _make_sightings(folder: Path) -> None:
    from humesh.people.person import VideoDetections

    VideoDetections([0.0, 0.04], [_people(), []]).save(folder / "two.npz", "made up")


def _read_sightings(_: Path, path: Path) -> None:
    from humesh.people.person import VideoDetections

    VideoDetections.load(path, "made up")


def _make_records(folder: Path) -> None:
    from humesh.evaluation.protocols import PROTOCOLS
    from humesh.evaluation.run import Records

    photo = {"sequence": "walk", "sample": 3, "extra": 1}
    who = {"name": "walk/3", "person": 0, "frame": 3, "identity": 0, "hidden": 0.5, "slices": "", "missed": False}
    protocol = PROTOCOLS["3dpw"]
    errors = dict.fromkeys(protocol.metrics, 1.0) | {"joints_mm": [1.0] * len(protocol.joints)}
    Records.of(protocol, [photo | who | errors] * 3, [photo]).save(folder / "part.npz")


def _read_records(_: Path, path: Path) -> None:
    from humesh.evaluation.protocols import PROTOCOLS
    from humesh.evaluation.run import Records

    records = Records.load(path, PROTOCOLS["3dpw"])
    if records is not None:
        Records.joined([records, records])


def _make_predictions(folder: Path) -> None:
    names = np.array(["a/0", "a/1"])
    turns = np.tile(np.eye(3), (2, 24, 1, 1))
    places = np.array([[0.0, 0, 4], [1, 0, 5]])
    np.savez(folder / "bodies.npz", name=names, rotations=turns, shape=np.zeros((2, 10)), translation=places)
    np.savez(folder / "points.npz", name=names, points=np.ones((2, 4, 3)), point_names=np.array(list("abcd")),
             box=np.ones((2, 4)), person=np.array([0, 0]))  # fmt: skip


def _read_predictions(_: Path, path: Path) -> None:
    from humesh.evaluation.predictions import PredictionsFile

    PredictionsFile(path, small_body())


def _make_detections(folder: Path) -> None:
    points = [[10.0 * i, 5.0 * i + 1, 0.5] for i in range(25)]
    flat = [v for point in points for v in point]
    one = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.9, "keypoints": flat[:51]}
    whole = {"images": [{"id": 1, "file_name": "000001.jpg"}], "annotations": [one]}
    (folder / "coco.json").write_text(json.dumps([one, {**one, "image_id": "000001"}]))
    (folder / "whole.json").write_text(json.dumps(whole))
    (folder / "boxes.json").write_text(json.dumps({"000001.jpg": [[0, 1, 20, 30]], "b.jpg": []}))
    (folder / "openpose").mkdir()
    openpose = {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": flat}]}
    (folder / "openpose" / "000001_keypoints.json").write_text(json.dumps(openpose))


def _read_detections(_: Path, path: Path) -> None:
    from humesh.people.given import GivenPeople

    GivenPeople(path.parent if path.parent.name == "openpose" else path).people("000001.jpg")


def _make_mot(folder: Path) -> None:
    lines = [f"{n},{track},1.00,2.00,29.00,38.00,0.5000,-1,-1,-1" for n in (1, 2, 3) for track in (1, 2)]
    (folder / "tracks.txt").write_text("\n".join(lines) + "\n")
    (folder / "spaces.txt").write_text("1 -1 3.5 4 20 30 0.9\n2 -1 3.5 4 20 30\n")


def _read_mot(_: Path, path: Path) -> None:
    from humesh.people.mot import read_mot

    read_mot(path)


def _make_subsets(folder: Path) -> None:
    (folder / "list.txt").write_text("# made up\nwalk_00 0 9\nsit\n")


def _read_subset(_: Path, path: Path) -> None:
    from humesh.evaluation.protocols import read_stretches

    read_stretches(path)


# Photos and videos


def _make_photos(folder: Path) -> None:
    pixels = np.linspace(0, 255, 24 * 16 * 3).reshape(16, 24, 3).astype(np.uint8)
    image = Image.fromarray(pixels)
    for ending in ("jpg", "png", "tiff", "webp", "gif", "bmp", "avif", "jp2", "ppm"):
        image.save(folder / f"photo.{ending}")
    image.convert("I;16").save(folder / "deep.png")
    image.convert("F").save(folder / "float.tiff")
    image.convert("P").save(folder / "palette.png")
    image.convert("CMYK").save(folder / "print.jpg")
    image.convert("RGBA").save(folder / "layer.tiff", compression="tiff_lzw")
    image.save(folder / "two.gif", save_all=True, append_images=[image])


def _make_exif(folder: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Make] = 6, "made up"
    inside = exif.get_ifd(ExifTags.IFD.Exif)
    inside |= {
        ExifTags.Base.FocalLength: 4.2,
        ExifTags.Base.FocalLengthIn35mmFilm: 28,
        ExifTags.Base.ExifImageWidth: 24,
    }
    inside |= {ExifTags.Base.FocalPlaneXResolution: 3000.0, ExifTags.Base.FocalPlaneResolutionUnit: 2}
    inside |= {ExifTags.Base.ExifImageHeight: 16, ExifTags.Base.UserComment: b"ASCII\0\0\0x"}
    for ending in ("jpg", "tiff", "webp", "png"):
        Image.new("RGB", (24, 16), "green").save(folder / f"photo.{ending}", exif=exif)


def _read_photo(_: Path, path: Path) -> None:
    from humesh.media.kinds import kind_of
    from humesh.media.photo import Photo

    kind_of(path)
    Photo.read(path)


def _make_videos(folder: Path) -> None:
    made = made_up("media/videos")
    pictures = [made.picture(number) for number in range(5)]
    made.make_video(folder / "film.mp4", pictures, sound="aac")
    made.make_video(folder / "film.avi", pictures, codec="mpeg4")
    made.make_video(folder / "film.mkv", pictures)
    made.make_video(folder / "film.webm", pictures, codec="libvpx")
    made.make_video(folder / "film.ts", pictures)
    made.make_video(folder / "film.mpg", pictures, codec="mpeg1video")
    images = [Image.fromarray(pixels) for pixels in pictures]
    for ending in ("gif", "png"):
        images[0].save(folder / f"film.{ending}", save_all=True, append_images=images[1:])


def _read_video(_: Path, path: Path) -> None:
    from humesh.media.kinds import kind_of
    from humesh.media.video import Video

    kind_of(path)
    for _frame in islice(Video(path), 30):
        pass


READERS: dict[str, FileReader] = {
    "body_pkl": FileReader(partial(_make_bodies, ending="pkl"), _read_body),
    "body_npz": FileReader(partial(_make_bodies, ending="npz"), _read_body),
    "motion_npz": FileReader(_make_motion, _read_motion),
    "video_npz": FileReader(_make_video_npz, _read_video_npz),
    "sightings": FileReader(_make_sightings, _read_sightings),
    "records": FileReader(_make_records, _read_records),
    "predictions": FileReader(_make_predictions, _read_predictions),
    "detections": FileReader(_make_detections, _read_detections),
    "mot": FileReader(_make_mot, _read_mot),
    "subsets": FileReader(_make_subsets, _read_subset),
    "photo": FileReader(_make_photos, _read_photo),
    "exif": FileReader(_make_exif, _read_photo),
    "video": FileReader(_make_videos, _read_video),
    **TRAINING_READERS,
    **DATASET_READERS,
}
