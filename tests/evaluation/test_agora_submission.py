"""AGORA's submission: everybody of every picture, in the owner's layout, or a sentence."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from humesh.body.label_bodies import BodyFiles
from humesh.body.pose import BodyPose
from humesh.commands.main import main
from humesh.evaluation.agora import submitted, write_submission
from humesh.evaluation.protocols import EvaluationError
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo
from humesh.people.person import Person
from humesh.scene.result import Result

from .fakes import pose_of, write_files


def _recovered(photo: Photo, bodies: BodyFiles, count: int) -> Result:
    poses = [pose_of(np.random.default_rng(i)) for i in range(count)]
    pose = BodyPose(*(torch.stack([getattr(p, f) for p in poses]) for f in ("rotations", "shape", "translation")))
    body, seen = bodies.predicted, torch.ones(count, 24)
    people = [Person(np.array([0.0, 0.0, 9.0, 9.0]), 1.0) for _ in range(count)]
    return Result(photo, people, pose, seen, seen.bool(), body, "made up")


def test_a_zip_holds_everybody(tmp_path: Path) -> None:
    bodies = BodyFiles(write_files(tmp_path))
    pictures = []
    for i in range(2):
        pictures.append(tmp_path / f"ag_test_{i}_1280x720.png")
        Image.new("RGB", (128, 72)).save(pictures[-1])
    done = write_submission(tmp_path / "s.zip", pictures, lambda photo: _recovered(photo, bodies, 2))
    assert done == (2, 4)
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        names = sorted(archive.namelist())
        assert names == [f"predictions/ag_test_{i}_personId_{k}.pkl" for i in range(2) for k in range(2)]
        person = pickle.loads(archive.read(names[1]))
    pose = pose_of(np.random.default_rng(1))
    shapes = {key: value.shape for key, value in person["params"].items()}
    assert shapes == {"transl": (1, 3), "betas": (1, 10), "global_orient": (1, 1, 3), "body_pose": (1, 23, 3)}
    vectors = np.concatenate([person["params"]["global_orient"], person["params"]["body_pose"]], axis=1)[0]
    assert torch.allclose(rotation_from_axis_angle(torch.from_numpy(vectors)), pose.rotations, atol=1e-5)
    with torch.no_grad():
        joints = bodies.predicted(pose.map(lambda t: t[None])).joints[0]
    expected = 30 * Camera.guess((128, 72)).project(joints.double())  # 2160 / 72
    assert np.allclose(person["joints"], expected, atol=0.05)
    assert not list(tmp_path.glob(".*"))


def test_what_cannot_be_submitted_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = Photo.of(np.zeros((72, 128, 3), np.uint8))
    with pytest.raises(EvaluationError, match="expected SMPL parameters, got those of body 'open-low'"):
        submitted(_recovered(photo, BodyFiles("open-low"), 1))
    for words, sentence in (
        (
            ("landmarks", "agora", "--root", tmp_path, "--submission", "s.zip"),
            "AGORA's test pictures (.png), found none",
        ),
        (("landmarks", "3dpw", "--root", tmp_path, "--submission", "s.zip"), "and the benchmark agora"),
    ):
        monkeypatch.setattr("sys.argv", ["humesh", "evaluate", *map(str, words)])
        with pytest.raises(SystemExit):
            main()
        assert sentence in capsys.readouterr().err
