"""A user's SMPL files from end to end: a network is trained on them, saved, and scored with vertex errors on 3DPW.

The files are made up: the low-poly open body under SMPL's keys, without humesh's regressors and with pose correctives,
another shape and another place of the rest pelvis for each gender.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from humesh.body.files import read_body
from humesh.body.joints import SMPL24
from humesh.body.label_bodies import BodyFiles
from humesh.body.model import BodyModel
from humesh.commands.main import main
from humesh.crops.crops import CropSpec
from humesh.data import DATASETS
from humesh.data.augment import Augment
from humesh.data.batch import Batch, DataError
from humesh.data.drawn import DrawnPeople
from humesh.data.sample import Sample
from humesh.data.views import on_trained_body
from humesh.methods.weights import read_weights

from .test_downloads import figures, matrix, threedpw, write_photo

__all__ = ["figures", "matrix", "threedpw", "write_photo"]

_BETAS = {"NEUTRAL": (), "MALE": (1.0, -0.5), "FEMALE": (-1.0, 0.5, 0.5)}
_PELVIS = {"NEUTRAL": (0.0, -0.22, 0.03), "MALE": (0.01, -0.24, 0.0), "FEMALE": (0.0, -0.2, 0.02)}


@pytest.fixture
def smpl(tmp_path: Path) -> Path:
    """A folder of SMPL's three files and Human3.6M's regressor, as users have them."""
    folder, data = tmp_path / "smpl", read_body("open-low")
    folder.mkdir()
    for gender, betas in _BETAS.items():
        arrays = {
            "v_template": data.template + data.shape_directions[..., : len(betas)] @ np.array(betas) + _PELVIS[gender],
            "shapedirs": data.shape_directions,
            "posedirs": 1e-3 * np.random.default_rng(1).normal(size=(len(data.template), 3, 207)),
            "J_regressor": data.joint_regressor,
            "weights": data.weights,
            "f": data.faces,
            "kintree_table": np.array([[-1, *SMPL24.parents[1:]], range(24)]),
        }
        (folder / f"SMPL_{gender}.pkl").write_bytes(pickle.dumps(arrays))
    np.save(folder / "J_regressor_h36m.npy", data.keypoint_regressors["h36m17"])
    return folder


def _humesh(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["humesh", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def _numbers(path: Path) -> dict[str, float]:
    return {number["name"]: number["ours"] for number in json.loads(path.read_text())["numbers"]}


def test_trained_saved_and_scored_with_vertex_errors(
    smpl: Path, threedpw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    train = ("train", "debug", "-o", "run", "--steps", 2, "--batch", 2, "--workers", 0, "--device", "cpu")
    assert _humesh(monkeypatch, *train, "--body", "smpl") == 0
    header, _ = read_weights(tmp_path / "run" / "weights.safetensors")
    assert header.body == "smpl"
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["body"] == "smpl"
    assert "PA-MPJPE" in (tmp_path / "run" / "validation.csv").read_text()
    capsys.readouterr()
    score = ("evaluate", "run/weights.safetensors", "3dpw", "--root", ".", "--keep", "kept")
    assert _humesh(monkeypatch, *score, "--body", "smpl", "-o", "n.json") == 0
    table = capsys.readouterr().out
    assert "| pve, mm |" in table
    assert "no vertex errors" not in table
    assert "the regressor of body" not in table
    assert _numbers(tmp_path / "n.json")["pve"] > 1
    assert _humesh(monkeypatch, *score) == 2, "the open body is not that of the weights"
    assert "the weights are for SMPL's body; give your SMPL file with --body" in " ".join(
        capsys.readouterr().err.split()
    )


def test_the_labels_themselves_score_0(
    smpl: Path, threedpw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As predictions of the neutral body, to which the trained labels are converted: what is left is the shape's."""
    monkeypatch.chdir(tmp_path)
    raw = DATASETS["threedpw"](root=tmp_path, split="test", bodies=BodyFiles(smpl).smpl)
    converted = on_trained_body(raw, BodyFiles(smpl))
    rows = [(s.name, i, p.pose) for s in map(converted.__getitem__, range(len(raw))) for i, p in enumerate(s.people)]
    arrays: dict[str, Any] = {
        field: np.stack([getattr(pose, field).numpy() for *_, pose in rows])
        for field in ("rotations", "shape", "translation")
    }
    arrays |= {"name": np.array([row[0] for row in rows]), "person": np.array([row[1] for row in rows])}
    np.savez(tmp_path / "truth.npz", **arrays)
    score = ("evaluate", "truth.npz", "3dpw", "--root", ".", "--body", "smpl", "--keep", "kept", "-o", "n.json")
    assert _humesh(monkeypatch, *score) == 0
    numbers = _numbers(tmp_path / "n.json")
    assert [numbers[name] for name in ("mpjpe", "pa_mpjpe", "pve")] == pytest.approx([0, 0, 0], abs=2e-3)


def test_a_paper_recipe_trains_on_gendered_labels(
    smpl: Path, threedpw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = ("train", "multi_roi-r50-3dpw", "-o", "run", "--steps", 1, "--batch", 2, "--workers", 0, "--device", "cpu")
    small = ("--set", "encoder=test_resnet", "--set", "crop=(64, 64)", "--set", "hidden=(16, 16)", "--init", "none")
    words = (*recipe, *small, "--data", "threedpw=.", "--held-out", 2)  # of five people
    assert _humesh(monkeypatch, *words) == 2
    assert "this recipe trains SMPL's body: expected your file" in " ".join(capsys.readouterr().err.split())
    assert _humesh(monkeypatch, *words, "--body", "smpl/SMPL_NEUTRAL.pkl") == 2
    assert "expected SMPL's file for 'smpl-male'" in " ".join(capsys.readouterr().err.split())
    assert _humesh(monkeypatch, *words, "--body", "open-low") == 2
    assert "expected the trained body 'open-low', got 'smpl-male'" in " ".join(capsys.readouterr().err.split())
    assert _humesh(monkeypatch, *words, "--body", "smpl") == 0
    header, _ = read_weights(tmp_path / "run" / "weights.safetensors")
    assert header.body == "smpl"
    losses = (tmp_path / "run" / "log.csv").read_text().splitlines()
    found = dict(zip(losses[0].split(","), losses[-1].split(","), strict=True))
    assert all(float(found[term]) > 0 for term in ("vertices", "pose", "betas"))


def test_labels_of_a_gender_become_neutral_ones(smpl: Path, threedpw: Any, tmp_path: Path) -> None:
    """The same rotations and the same surface: the made-up genders are shapes that the neutral body has, too."""
    files = BodyFiles(smpl)
    raw = DATASETS["threedpw"](root=tmp_path, split="train", bodies=files.smpl)
    neutral = on_trained_body(raw, files)
    assert neutral.tracks == raw.tracks
    for before, after in zip(raw[2].people, neutral[2].people, strict=True):
        gender = before.body.removeprefix("smpl-").upper()
        assert (before.body, after.body) == (f"smpl-{gender.lower()}", "smpl-neutral")
        assert torch.equal(after.pose.rotations, before.pose.rotations)
        wanted = before.pose.shape.numpy() + np.pad(np.array(_BETAS[gender]), (0, 10 - len(_BETAS[gender])))
        assert np.allclose(after.pose.shape, wanted, atol=1e-3)
        bodies = files[before.body](before.pose), files["smpl-neutral"](after.pose)
        assert torch.allclose(bodies[0].vertices, bodies[1].vertices, atol=1e-4)
        assert after.translation_weight == before.translation_weight == 1


def test_labels_of_other_bodies_are_refused(smpl: Path) -> None:
    for given, people, sentence in (
        (smpl, DrawnPeople(2), "expected the trained body 'SMPL_NEUTRAL', got 'open'; take a data set"),
        ("open-low", DrawnPeople(2, body=BodyFiles(smpl).predicted), "got 'smpl-neutral'; give your SMPL files with"),
    ):
        with pytest.raises(DataError, match=sentence):
            on_trained_body(people, BodyFiles(given))[0]
    assert on_trained_body(DrawnPeople(2), BodyFiles("open-low"))[0].people[0].body == "open"
    with pytest.raises(DataError, match="expected the trained body 'SMPL_NEUTRAL', got 'open'"):
        on_trained_body(_Whole(), BodyFiles(smpl))  # whose labels nobody sees one by one
    mine = on_trained_body(DrawnPeople(2, body=BodyFiles(smpl).predicted), BodyFiles(smpl))[0].people[0]
    assert (mine.body, float(mine.shape_weight)) == ("smpl-neutral", 1)


class _Whole(DrawnPeople):
    """Makes batches at once, of people of the open body."""

    body = BodyFiles("open-low").predicted

    def batch(self, numbers: Sequence[int], spec: CropSpec, augment: Augment, g: np.random.Generator) -> Batch:
        raise NotImplementedError


class _Edited(DrawnPeople):
    """People whose labels are for another body, or for none."""

    def __init__(self, drawn: BodyModel, **labels: Any) -> None:
        super().__init__(2, body=drawn)
        self.labels = labels

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        return replace(sample, people=tuple(replace(person, **self.labels) for person in sample.people))


def test_a_childs_shape_is_left_out_and_points_alone_are_anybodys(smpl: Path) -> None:
    files = BodyFiles(smpl)
    (child, *_) = on_trained_body(_Edited(files.predicted, body="smpl-neutral-kid"), files)[0].people
    assert (child.body, child.pose_weight.sum()) == ("smpl-neutral", 24)
    assert (child.shape_weight, child.translation_weight) == (0, 0)
    nothing = torch.zeros(())
    points = {"pose_weight": torch.zeros(24), "shape_weight": nothing, "translation_weight": nothing}
    (person, *_) = on_trained_body(_Edited(files.predicted, body="open", **points), files)[0].people
    assert person.points3d_weight.all()
    with pytest.raises(DataError, match="got 'smplx-neutral'; take a data set, or fits, of SMPL's body"):
        on_trained_body(_Edited(files.predicted, body="smplx-neutral"), files)[0]
