"""`humesh evaluate MODEL BENCHMARK` through the whole command, on a tiny data set read as if it were 3DPW."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import humesh.data
from humesh.commands.main import main
from humesh.evaluation import benchmark
from humesh.evaluation.options import Options
from humesh.evaluation.protocols import PROTOCOLS
from humesh.evaluation.published import PUBLISHED, to_compare
from humesh.evaluation.run import Chained

from .fakes import FakePeople, write_files, write_predictions

NEEDED = ("--body", "smpl")


class Fake(FakePeople):
    """Takes a reader's options, and looks for its bodies where they were written."""

    def __init__(self, root: Path, **_: Any) -> None:
        super().__init__(Path(root) / "smpl")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the user's files and predictions: the truth, and the truth with 30 mm added to all but the root."""
    bodies = write_files(tmp_path)
    write_predictions(tmp_path / "truth.npz", FakePeople(bodies))
    write_predictions(tmp_path / "moved.npz", FakePeople(bodies), 0.03)
    monkeypatch.setitem(humesh.data.DATASETS, "threedpw", Fake)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The command's exit code."""
    monkeypatch.setattr("sys.argv", ["humesh", "evaluate", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_truth_scores_0_and_an_offset_itself(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, expected in (("truth", 0.0), ("moved", 30.0)):
        files = ("-o", f"{name}.json", "--report", f"{name}.html")
        assert run(monkeypatch, f"{name}.npz", "3dpw", "--root", place, *NEEDED, *files, "--against", "jotr") == 0
        got = json.loads((place / f"{name}.json").read_text())
        numbers = {number["name"]: number for number in got["numbers"]}
        assert numbers["mpjpe"]["ours"] == pytest.approx(expected, abs=1e-3)
        assert numbers["pa_mpjpe"]["ours"] == pytest.approx(0, abs=1e-3)
        assert numbers["mpjpe"]["paper"] == 76.4
        assert numbers["mpjpe"]["difference"] == pytest.approx(expected - 76.4, abs=1e-3)
        assert (got["people"], got["missed"], got["people_in_paper"]) == (16, 0, 35_515)
        assert got["fingerprint"] == PROTOCOLS["3dpw"].fingerprint
        table = capsys.readouterr().out
        assert f"| mpjpe, mm | {expected:.1f} | {expected:.1f} to {expected:.1f} | 76.4 | " in table
        assert PROTOCOLS["3dpw"].fingerprint in table
        page = (place / f"{name}.html").read_text()
        assert page.count("data:image/jpeg;base64,") == 24  # two people of each of four tracks, three views
        assert f"<tr><td>right ankle<td>{expected:.1f}<" in page
        for group in ("all", "courtyard_hug_00", "1 to 25 %"):  # every fourth point is hidden, or one less
            assert f"<tr><td>{group}<td>" in page
        assert "the network was fed: unknown (predictions of a file)" in page
        assert "src='http" not in page
    assert run(monkeypatch, "moved.npz", "3dpw", "--root", place, *NEEDED, "-o", "n.csv") == 0
    with (place / "n.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["mpjpe"]) for row in rows] == pytest.approx([30] * 16, abs=1e-3)
    assert [row["accel"] == "" for row in rows] == 2 * [True, True, False, False, False, False, True, True]
    assert run(monkeypatch, "moved.npz", "3dpw-crowd", "--root", place, *NEEDED) == 0
    with np.load(next(place.glob("humesh_evaluation/3dpw-crowd-*/people.npz"))) as kept:
        assert kept["people/mpjpe"] == pytest.approx(np.full(16, 30.0), abs=1e-3)
    assert not list(place.glob(".*")), "a draft was left"


def test_everybodys_errors_are_kept_and_a_second_run_only_reads_them(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("moved.npz", "3dpw", "--root", place, *NEEDED)
    assert run(monkeypatch, *words) == 0
    first = capsys.readouterr().out
    (people,) = place.glob("humesh_evaluation/3dpw-*/people.npz")
    with np.load(people) as kept:
        assert kept["people/mpjpe"] == pytest.approx(np.full(16, 30.0), abs=1e-3)

    def never(*_: object) -> None:
        raise AssertionError("a finished part was done again")

    monkeypatch.setattr("humesh.evaluation.run.scored", never)
    assert run(monkeypatch, *words) == 0
    assert capsys.readouterr().out == first
    assert run(monkeypatch, "truth.npz", *words[1:]) == 1  # another file of predictions is another run
    assert "AssertionError: a finished part was done again" in capsys.readouterr().err


def test_other_weights_of_a_shipped_name_are_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options("lifter", "3dpw", tmp_path, refine=True)
    monkeypatch.setattr(benchmark, "shipped", lambda: {"lifter": tmp_path / "lifter.safetensors"})
    keys = []
    for content in (b"one", b"one", b"another"):
        (tmp_path / "lifter.safetensors").write_bytes(content)
        keys.append(benchmark.fingerprint(options, PROTOCOLS["3dpw"], 8))
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("more", [["--refine"], ["--detections", "truth.npz"], ["--device", "cuda"]])
def test_predictions_of_a_file_take_no_options_of_methods(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    assert run(monkeypatch, "truth.npz", "3dpw", "--root", place, *NEEDED, *more) == 2
    got = f"{more[0]}: expected no such option for predictions of a file; leave it out."
    assert got in capsys.readouterr().err


def test_a_recoverer_is_asked_for_the_labelled_people_and_for_detections(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network of made-up weights that speaks of the open body: its own joints, no vertex errors, with notes."""
    from humesh.body.model import BodyModel
    from humesh.methods.weights import build, save_weights

    small = {"encoder": "test_resnet", "crop": (64, 64), "width": 48, "heads": 4, "depth": 1, "temporal": "none"}
    save_weights(place / "int.safetensors", "int", build("int", small, BodyModel.load("open-low")))
    assert run(monkeypatch, "int.safetensors", "3dpw", "--root", place, *NEEDED, "-o", "n.json") == 0
    got = json.loads((place / "n.json").read_text())
    assert (got["people"], got["missed"]) == (16, 0)
    assert {number["name"] for number in got["numbers"]} == {"mpjpe", "pa_mpjpe", "accel"}
    out = capsys.readouterr().out
    assert "joints of predictions by the regressor of body 'open'" in out
    assert "no vertex errors" in out
    assert "the paper of int is scored by the protocol 3dpw-int" in out
    assert run(monkeypatch, "int.safetensors", "3dpw", "--root", place, *NEEDED, "-o", "n.json") == 0
    assert capsys.readouterr().out == out  # notes too, although nothing was measured
    dataset = FakePeople(place / "smpl")
    found = place / "found.json"
    boxes = {f"{s.name}.jpg": [s.people[0].seen.box.tolist()] for s in (dataset[i] for i in range(8))}
    found.write_text(json.dumps(boxes))  # of the first person alone
    detected = ("--detections", found, "-o", "d.json")
    words = ("int.safetensors", "3dpw", "--root", place, *NEEDED)
    assert run(monkeypatch, *words, *detected) == 0
    got = json.loads((place / "d.json").read_text())
    assert (got["people"], got["missed"]) == (16, 8)
    found.write_text(json.dumps({name: [[900.0, 900.0, 999.0, 999.0]] for name in boxes}))
    assert run(monkeypatch, *words, *detected) == 2  # other detections in the same file are another run
    assert "nobody was matched; check that photos are named so" in capsys.readouterr().err


def test_a_temporal_method_sees_tracks(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """T changes what is predicted, the table's row of that T is compared with, and windows are got."""
    from humesh.body.model import BodyModel
    from humesh.methods.weights import build, save_weights

    small = {
        "encoder": "test_resnet",
        "crop": (64, 64),
        "width": 48,
        "heads": 4,
        "depth": 1,
        "frames": 4,
        "interval": 1,
    }
    save_weights(place / "int.safetensors", "int", build("int", small, BodyModel.load("open-low")))
    accel = []
    for words, window in (("3dpw", "4 frames, 1 apart"), ("3dpw --frames 1", "1 frames, 1 apart")):
        words = ("int.safetensors", *words.split(), "--root", place, *NEEDED, "-o", "n.json")
        assert run(monkeypatch, *words) == 0
        out = capsys.readouterr().out
        assert "note: the network was fed: the owner's OpenPose keypoints (none: fewer than six were found)" in out
        assert f"in windows of {window}" in out
        accel.append({n["name"]: n["ours"] for n in json.loads((place / "n.json").read_text())["numbers"]}["accel"])
    assert accel[0] != accel[1]
    assert run(monkeypatch, "int.safetensors", "3dpw-crowd", "--root", place, *NEEDED, "--against", "jotr") == 0
    out = capsys.readouterr().out
    assert "| 82.4 | - |" in out
    assert "note: no difference to JOTR: the paper feeds HigherHRNet's keypoints" in out
    row = to_compare("3dpw-int", "int", frames=16)
    assert row is not None
    assert row.values["accel"] == 18.1
    row = to_compare("3dpw-oc", "jotr", stage="layer1")
    assert row is not None
    assert row.values["mpjpe"] == 145.5
    assert run(monkeypatch, "lifter", "3dpw-24", "--root", place, "--frames", "8") == 2
    assert "--frames: expected a method that looks through time, got lifter" in capsys.readouterr().err
    monkeypatch.setitem(humesh.data.DATASETS, "mupots", Fake)
    assert run(monkeypatch, "int.safetensors", "mupots", "--root", place, *NEEDED, "--frames", "8") == 2
    assert "--frames: expected labelled people, in mupots they are found photo by photo" in capsys.readouterr().err


def test_what_is_wrong_is_named_in_one_sentence(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "damaged.npz").write_bytes(b"PK\x03\x04 no")
    np.savez(place / "short.npz", name=np.array(["a"]), rotations=np.zeros((2, 24, 3, 3)))
    other = dict(np.load(place / "truth.npz"))
    np.savez(place / "other.npz", **other | {"name": np.array([f"other/{i}" for i in range(16)])})
    np.savez(place / "far.npz", **other | {"translation": other["translation"] + [0, 0, 1000]})
    np.savez(place / "nan.npz", **other | {"translation": other["translation"] * np.nan})
    np.savez(place / "turned.npz", **other | {"rotations": other["rotations"][1:]})
    np.savez(place / "unnamed.npz", name=np.array(["a"]), points=np.zeros((1, 5, 3)))
    with (place / "array.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    (place / "empty").mkdir()
    for name in ("bare", "broken"):
        (place / name).mkdir()
        shutil.copy(place / "smpl" / "SMPL_NEUTRAL.npz", place / name)
    np.save(place / "broken" / "J_regressor_h36m.npy", np.zeros((17, 6890)))
    monkeypatch.setitem(humesh.data.DATASETS, "threedoh", lambda **_: Chained([]))
    root = ("--root", place)
    for words, sentence in (
        (("truth.npz", "3dwp", *root), "did you mean 3dpw"),
        (("truth.npz", "3dpw"), "expected the dataset's folder, got none; give it with --root"),
        (("truth.npz",), "expected a method and a benchmark"),
        (("truth.npz", "3dpw", *root, "-o", "n.txt"), "ends in .json or .csv"),
        (("truth.npz", "3dpw", *root, "--report", "n.pdf"), "ends in .html"),
        (("truth.npz", "3dpw-oc", *root, *NEEDED, "--subset", "no.txt"), "no.txt: expected lines `PREFIX` or"),
        (("truth.npz", "3dpw-oc", *root, *NEEDED), "3dpw-oc: expected people to evaluate, found none"),
        (("truth.npz", "3dpw", *root), "expected SMPL's file for 'smpl-neutral'"),
        (
            ("truth.npz", "3dpw", *root, "--body", "bare"),
            "--body: expected J_regressor_h36m_correct.npy or J_regressor_h36m.npy beside the SMPL files",
        ),
        (("truth.npz", "3dpw", *root, "--body", "broken"), "of shape 17 x 40, got 17 x 6890"),
        (("truth.npz", "3dpw", *root, "--body", "empty"), "expected SMPL's files (SMPL_NEUTRAL.pkl"),
        (("damaged.npz", "3dpw", *root, *NEEDED), "damaged.npz: expected a .npz file of predictions, it cannot be"),
        (("short.npz", "3dpw", *root, *NEEDED), "expected arrays as in docs/benchmarks.md with shape, translation"),
        (
            ("other.npz", "3dpw", *root, *NEEDED),
            "predictions for photos such as 'courtyard_hug_00/00000', got those for",
        ),
        (("far.npz", "3dpw", *root, *NEEDED), "nobody was matched; check that they are in metres in the camera's"),
        (("unnamed.npz", "3dpw", *root, *NEEDED), "docs/benchmarks.md with point_names, found name, points"),
        (("array.npz", "3dpw", *root, *NEEDED), "array.npz: expected arrays as in docs/benchmarks.md with name"),
        (("turned.npz", "3dpw", *root, *NEEDED), "expected 'rotations' of shape people = 16 x 24 x 3 x 3, got 15 x"),
        (("nan.npz", "3dpw", *root, *NEEDED), "expected finite numbers in 'translation', got NaN"),
        (("truth.npz", "3doh50k", *root, *NEEDED), "expected photos of 'threedoh', it has none"),
        (("no.safetensors", "3dpw", *root, *NEEDED), "found no such file"),
        (("truth.npz", "3dpw", *root, *NEEDED, "--against", "x"), "there are: JOTR, 3DCrowdNet"),
        (("--explain", "3dpx"), "did you mean 3dpw"),
    ):
        assert run(monkeypatch, *words) == 2, words
        got = capsys.readouterr().err.strip()
        assert sentence in got, got
        assert len(got.splitlines()) == 1


def test_protocols_are_explained(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--explain", "3dpw-oc") == 0
    words = " ".join(capsys.readouterr().out.split())
    assert " people 20,243 " in words
    assert "JOTR: mpjpe 75.7, pa_mpjpe 52.2, pve 92.6" in words
    assert run(monkeypatch, "--explain") == 0
    *got, own_photos = capsys.readouterr().out.splitlines()
    assert own_photos.startswith("real ")
    assert [line.split()[:2] for line in got] == [[p.name, p.fingerprint] for p in PROTOCOLS.values()]
    assert {row.benchmark for row in PUBLISHED} <= set(PROTOCOLS)
