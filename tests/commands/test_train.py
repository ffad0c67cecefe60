"""`humesh train` as a user meets it: what no training can have is one sentence, before anything is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from humesh.commands.main import main
from humesh.commands.train import train
from humesh.data.datasets.labels import only_2d
from humesh.data.drawn import DrawnPeople
from humesh.data.sample import Sample
from humesh.errors import HumeshError
from humesh.files import locked
from humesh.training import prepare as preparing
from humesh.training.recipe import TrainingError
from humesh.training.recipes import RECIPES

WRONG = {
    "seed": ({"seed": -1}, "seed: expected a number from 0 to 4,294,967,295, got -1"),
    "batch": ({"batch": 10**9}, "batch: expected a number from 1 to 16,384, got 1,000,000,000"),
    "no batch": ({"batch": 0}, "batch: expected a number from 1 to 16,384, got 0"),
    "nobody held out": ({"held_out": 0}, "held_out: expected a number from 1 to 1,000,000, got 0"),
    "steps": ({"steps": 10**10}, "steps: expected a number from 1 to 1,000,000,000"),
    "NaN": ({"rate": float("nan")}, "rate: expected a number from 1e-12 to 100.0, got nan"),
    "infinite": ({"rate": float("inf")}, "rate: expected a number from 1e-12 to 100.0, got inf"),
    "workers": ({"workers": -1}, "--workers: expected a number from 0 to 256, got -1"),
    "a weight": ({"weights": ("points3d=nan",)}, "loss weights: expected numbers from 0 up, got points3d=nan"),
    "a setting": ({"settings": ("heads=0",)}, "jotr cannot have these settings"),
    "a wide one": ({"settings": ("width=-5",)}, "expected width to be a whole number from 0 to 8192, got -5"),
    "an enormous one": (
        {"settings": ("width=8192", "hidden=8192", "decoder_layers=99")},
        r"--set: expected a network of up to 4e\+09 bytes",
    ),
    "a device": ({"device": "cuda:99"}, "device 'cuda:99': expected auto, cpu, or a GPU that is present"),
    "a recipe": ({"recipe": "debugg"}, "recipe: there is no 'debugg'; did you mean debug"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_no_training_can_have_is_named(tmp_path: Path, name: str) -> None:
    options, sentence = WRONG[name]
    with pytest.raises(HumeshError, match=sentence) as raised:
        train(**{"recipe": "debug", "out": tmp_path / "run", "workers": 0, **options})
    assert len(str(raised.value).splitlines()) == 1
    assert not any(tmp_path.rglob("*.*"))


def test_folders_that_cannot_be_written_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for out, sentence in ((tmp_path / ("x" * 300), "File name too long"), (tmp_path / "file", "File exists")):
        monkeypatch.setattr("sys.argv", ["humesh", "train", "debug", "-o", str(out), "--workers", "0"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert f"{out}: {sentence}; check the path, or give another." in capsys.readouterr().err
    with (
        locked(tmp_path / "run", "training", TrainingError),
        pytest.raises(HumeshError, match="is training in it; wait"),
    ):
        train("debug", tmp_path / "run", workers=0, steps=1)


def test_a_fault_of_ours_is_not_told_as_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object) -> None:
        raise ValueError("shapes do not match")

    monkeypatch.setattr(preparing, "sources", fault)
    with pytest.raises(ValueError, match="shapes do not match") as raised:
        train("debug", tmp_path, workers=0)
    assert not isinstance(raised.value, HumeshError)


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "debug"])
def test_a_dry_run_prints_the_whole_recipe_without_data(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also those of the papers, which want SMPL's file, float16 and data sets that nobody here has."""
    recipe = RECIPES[name]
    assert train(name, dry_run=True) == 0
    printed = capsys.readouterr().out
    for source in recipe.data:
        assert f"  {source.name}, {source.share:.1%} of the samples" in printed
        assert not source.split or f"split {source.split}" in printed
        assert all(f"{key} {value}" in printed for key, value in source.options.items())
        assert f"pseudo labels of {source.labels} (--labels)" in printed or not source.labels
    for start in recipe.pretrained:
        assert start in printed
        assert "NOT GIVEN, it would start from nothing" in printed
    assert all(f"  {term}: {weight:g}" in printed for term, weight in recipe.weights.items())
    assert f"  rate: {recipe.rate}" in printed
    assert f"  the weights of {recipe.starts_from} (--init): NOT GIVEN" in printed or not recipe.starts_from
    assert f"body: {recipe.body}" in printed


def test_a_dry_run_with_data_counts_labels_and_warns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Flat(DrawnPeople):
        """Figures that only have labels of points in the photo."""

        def __getitem__(self, index: int) -> Sample:
            sample = super().__getitem__(index)
            return replace(sample, people=tuple(map(only_2d, sample.people)))

    monkeypatch.setattr("humesh.data.drawn.DrawnPeople", Flat)
    assert train("debug", dry_run=True, precision="float16") == 0
    printed = capsys.readouterr().out
    assert "drawn: 128 samples; pose 0%, shape 0%, 3D 0%, 2D 100%, camera-frame 3D 0%" in printed
    assert "WARNING: the loss body_joint_cam has a weight, but nobody in the data has a label of 3D." in printed
    assert "WARNING: the loss smpl_pose has a weight, but nobody in the data has a label of pose." in printed
    assert "loss body_joint_proj" not in printed
    assert printed.endswith("a step: 8 groups of 1 x 3 x 64 x 64, 30 keypoints each\n")


def test_what_a_start_needs_is_named(tmp_path: Path) -> None:
    for options, sentence in (
        ({"recipe": "debug", "out": None}, "expected a folder for the run; give it with -o"),
        (
            {"recipe": "lite-lifter-2"},
            "lite-lifter-2 goes on from the weights of lite-lifter: give them with --init FILE",
        ),
        ({"recipe": "debug", "pretrained": (str(tmp_path / "none.pth"),)}, "none.pth"),
        (
            {"recipe": "debug", "labels": ("eft.json",)},
            "--labels eft.json: expected NAME=PATH, as the recipe",
        ),
        ({"recipe": "debug", "labels": ("coco=eft.json",)}, r"--labels coco=\.\.\.: this recipe trains on drawn"),
        ({"recipe": "debug", "labels": ("drawn=eft.json",)}, "the people of this data set have labels of their own"),
    ):
        with pytest.raises(HumeshError, match=sentence) as raised:
            train(**{"out": tmp_path / "run", "workers": 0, **options})
        assert len(str(raised.value).splitlines()) == 1
