"""AGORA's submission: everybody of every picture in the owner's layout, or a sentence."""

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
from humesh.evaluation.protocols import EvaluationError
from humesh.evaluation.submission import pictures_below, submitted, write_submission
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo
from humesh.people.person import Person
from humesh.recover import Recoverer
from humesh.scene.result import Result

from .fakes import pose_of, write_files
from .test_command import run


def _recovered(photo: Photo, bodies: BodyFiles, count: int) -> Result:
    pose = BodyPose.stacked([pose_of(np.random.default_rng(i)) for i in range(count)])
    people = [Person(np.array([0.0, 0.0, 9.0, 9.0]), 1.0) for _ in range(count)]
    confidence = torch.ones(count, 24)
    return Result(photo, people, pose, confidence, confidence.bool(), bodies.predicted, "made up")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with two of AGORA's pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(2):
        Image.new("RGB", (128, 72)).save(folder / f"ag_test_{i}_1280x720.png")
    return folder


def test_a_zip_holds_everybody(tmp_path: Path, pictures: Path) -> None:
    bodies = BodyFiles(write_files(tmp_path))
    found = pictures_below(pictures)
    assert write_submission(tmp_path / "s.zip", found, lambda photo: _recovered(photo, bodies, 2)) == 4
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        names = sorted(archive.namelist())
        assert names == [f"predictions/ag_test_{i}_personId_{k}.pkl" for i in range(2) for k in range(2)]
        pickled = archive.read(names[1])
    assert b"numpy._core" not in pickled, "NumPy 1 has no module of this name"
    person = pickle.loads(pickled)
    pose = pose_of(np.random.default_rng(1))
    shapes = {key: value.shape for key, value in person["params"].items()}
    assert shapes == {"transl": (1, 3), "betas": (1, 10), "global_orient": (1, 1, 3), "body_pose": (1, 23, 3)}
    assert np.array_equal(person["params"]["transl"][0], pose.translation)
    assert np.array_equal(person["params"]["betas"][0], pose.shape)
    vectors = np.concatenate([person["params"]["global_orient"], person["params"]["body_pose"]], axis=1)[0]
    assert torch.allclose(rotation_from_axis_angle(torch.from_numpy(vectors)), pose.rotations, atol=1e-5)
    with torch.no_grad():
        joints = bodies.predicted(pose.map(lambda t: t[None])).joints[0]
    expected = 30 * Camera.guess((128, 72)).project(joints.double())  # 2160 / 72
    assert np.allclose(person["joints"], expected, atol=0.05)
    assert not list(tmp_path.glob(".*")), "a draft was left"


def test_the_command_writes_it(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    bodies = BodyFiles(write_files(tmp_path))
    monkeypatch.setattr(Recoverer, "__call__", lambda _, photo: _recovered(photo, bodies, 1))
    assert run(monkeypatch, "lifter", "agora", "--root", pictures, "--submission", "to/s.zip") == 0
    assert "wrote to/s.zip: 2 people in 2 pictures" in capsys.readouterr().out
    assert len(zipfile.ZipFile("to/s.zip").namelist()) == 2


def test_what_cannot_be_submitted_is_one_sentence(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(EvaluationError, match="expected SMPL parameters, got those of body 'open-low'"):
        submitted(_recovered(Photo.of(np.zeros((72, 128, 3), np.uint8)), BodyFiles("open-low"), 1))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    twice = tmp_path / "twice"
    twice.mkdir()
    for name in ("a.png", "a_1280x720.png"):
        (twice / name).touch()
    zip_file = ("--submission", "s.zip")
    for words, sentence in (
        (("lifter", "agora", *zip_file), "--root (not given): expected a folder with AGORA's test pictures"),
        (("lifter", "agora", "--root", "empty", *zip_file), "--root empty: expected a folder with AGORA's test"),
        (("lifter", "agora", "--root", twice, *zip_file), "expected each of AGORA's pictures once"),
        (("lifter", "3dpw", "--root", pictures, *zip_file), "--submission: expected the benchmark agora, got 3dpw"),
        (("lifter", "agora", "--root", pictures, "--submission", "s.tar"), "expected a name that ends in .zip"),
        (("p.npz", "agora", "--root", pictures, *zip_file), "p.npz: expected a method or weights for --submission"),
        (
            ("lifter", "agora", "--root", pictures, *zip_file, "-o", "n.json", "--frames", 2),
            "--frames, --out: expected no such option for --submission",
        ),
    ):
        assert run(monkeypatch, *words) == 2, words
        got = capsys.readouterr().err.strip()
        assert sentence in got, got
        assert len(got.splitlines()) == 1
    assert not (tmp_path / "s.zip").exists()
