"""Scores on labelled photographs: numbers by hand and by a naive twin, labels of both formats, the command."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from humesh.body.joints import COCO17, LIMBS12, MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.commands.main import main
from humesh.crops.crops import GroupError
from humesh.evaluation.protocols import EvaluationError
from humesh.evaluation.real import UNITS, WITHIN, Label, LabelledPhoto, Score, by_set, read_labels, run, scored
from humesh.media.photo import Photo
from humesh.people.given import GivenPeople
from humesh.people.person import Mask, Person
from humesh.recover import Recoverer
from humesh.scene.result import Result
from humesh.training.loop import Place
from humesh.training.prepare import prepare
from humesh.training.recipe import Source
from humesh.training.recipes import RECIPES
from humesh.training.validation import real_errors

LIMBS = SMPL24.indices(*LIMBS12.names)
SIZE = (240, 320)


def standing(count: int, body: BodyModel | None = None) -> Result:
    """People side by side, three metres away, arms and legs as at rest, in a grey photo."""
    body = body or BodyModel.load("open-low")
    upright = torch.eye(3).repeat(count, 24, 1, 1)
    upright[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    place = torch.tensor([[1.5 * k - 0.75 * (count - 1), 0.2, 3.0 + k] for k in range(count)]).reshape(-1, 3)
    pose = BodyPose(upright, torch.zeros(count, 10), place)
    photo = Photo.of(np.full((SIZE[1], SIZE[0], 3), 90, np.uint8))
    people = [Person(np.array([0.0, 0.0, 9.0, 9.0]), 1.0) for _ in range(count)]
    whole = torch.ones(count, 24)
    return Result(photo, people, pose, whole, whole.bool(), body, "none")


def limbs(recovery: Result) -> tuple[np.ndarray, np.ndarray]:
    """Everybody's limb joints in pixels and metres."""
    joints = recovery.bodies.joints[:, LIMBS].double()
    return recovery.photo.camera.project(joints).numpy(), joints.numpy()


def naive_errors(made: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Distances in mm after the best similarity (Umeyama, 1991), written out."""
    a, b = made - made.mean(0), true - true.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a / len(a))
    turn = np.diag([1, 1, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    scale = np.trace(np.diag(s) @ turn) / (a**2).sum(1).mean()
    return np.array([1000 * np.linalg.norm(scale * (u @ turn @ vt) @ p - q) for p, q in zip(a, b, strict=True)])


def one_photo(*labels: Label, group: str = "set") -> LabelledPhoto:
    return LabelledPhoto(Path("photo.jpg"), group, labels)


def test_errors_of_somebody_found_are_those_of_the_labelled_joints() -> None:
    recovery = standing(1)
    (pixels,), (metres,) = limbs(recovery)
    size = 1.2 * float(np.ptp(pixels, axis=0).max())
    flat, deep = pixels.copy(), 2 * metres + 1  # scale and place do not count
    flat[:4] += [0.07 * size, 0]
    flat[4] = np.nan
    size_of_known = 1.2 * float(np.nanmax(np.nanmax(flat, axis=0) - np.nanmin(flat, axis=0)))
    deep[0] += [0.3, 0, 0]
    deep[1] = np.nan
    (score,) = scored(one_photo(Label(flat, deep)), recovery)
    shifted = 0.07 * size / size_of_known
    assert score.row == 0
    assert score.errors == pytest.approx([shifted] * 4 + [0] * 7, abs=1e-4)
    known = np.arange(12) != 1
    assert score.errors_mm == pytest.approx(naive_errors(metres[known], deep[known]), rel=1e-4)
    assert score.expected_mm is None
    flat[5:] = np.nan  # 4 joints of 11 remain, and 7 labels in 3D are too few
    deep[2:6] = np.nan
    (score,) = scored(one_photo(Label(flat, deep)), recovery)
    assert score.errors_mm is None


def test_pairs_are_the_nearest_and_whoever_is_far_is_missed() -> None:
    recovery = standing(3)
    pixels, metres = limbs(recovery)
    far = pixels[2] + [5 * SIZE[0], 0]
    labels = [Label(pixels[2], metres[2]), Label(far, metres[2]), Label(pixels[0] + 1, metres[0])]
    scores = scored(one_photo(*labels), recovery)
    assert [score.row for score in scores] == [2, None, 0]
    assert scores[1].errors.tolist() == [9.0] * 12
    assert scores[1].pa_mpjpe == 250
    assert [scores[i].pa_mpjpe for i in (0, 2)] == pytest.approx([0, 0], abs=1e-3)
    nobody = scored(one_photo(*labels), standing(0))
    assert [(score.row, score.pa_mpjpe) for score in nobody] == [(None, 250)] * 3


def test_somebody_within_half_a_size_is_found() -> None:
    recovery = standing(1)
    (pixels,), (metres,) = limbs(recovery)
    size = 1.2 * float(np.ptp(pixels, axis=0).max())
    for share, found in ((0.49, True), (0.51, False)):
        (score,) = scored(one_photo(Label(pixels + np.array([share * size, 0]), metres)), recovery)
        assert (score.row is not None) == found


def test_expected_errors_are_compared_with_the_errors() -> None:
    recovery = standing(1)
    (pixels,), (metres,) = limbs(recovery)
    deep = metres + np.random.default_rng(0).normal(0, 0.05, metres.shape)
    errors = naive_errors(metres, deep)
    expected = torch.full((1, 24), 9.0)
    expected[0, LIMBS] = torch.from_numpy(errors / 1000 / 1.5).float()  # every error is one and a half times it
    scores = scored(one_photo(Label(pixels, deep)), replace(recovery, expected_error_m=expected))
    (row,) = by_set(scores)
    ours = {number.name: number.ours for number in row.numbers}
    assert ours["error_ratio"] == pytest.approx(1.5, rel=1e-4)
    assert (ours["within_68"], ours["within_95"]) == (0, 100)


def test_ranges_are_those_of_students_distribution_in_space() -> None:
    g = np.random.default_rng(0)
    lengths = np.linalg.norm(g.normal(size=(400_000, 3)), axis=1) * np.sqrt(5 / g.chisquare(5, 400_000))
    for share, times_mean in WITHIN.items():
        assert (lengths < times_mean * lengths.mean()).mean() == pytest.approx(share / 100, abs=0.003)


def _score(photo: LabelledPhoto, error: float, mm: float | None, found: bool = True) -> Score:
    errors_mm = None if mm is None else np.full(12, mm)
    return Score(photo, photo.labels[0], [], 0 if found else None, np.full(12, error), errors_mm)


def test_numbers_of_sets_their_mean_and_intervals() -> None:
    label = Label(np.zeros((12, 2)), np.full((12, 3), np.nan))
    photos = [one_photo(label, group=name) for name in ("a", "a", "b", "c")]
    scores = [
        _score(photos[0], 0.01, 40.0),
        _score(photos[0], 0.07, 60.0),
        _score(photos[1], 9.0, 250.0, found=False),
        _score(photos[2], 0.04, 80.0),
        _score(photos[3], 0.2, None),
    ]
    rows = {row.name: row for row in by_set(scores)}
    assert list(rows) == ["a", "b", "c", "together", "mean of the sets"]
    assert [row.people for row in rows.values()] == [3, 1, 1, 5, 5]
    ours = {name: {n.name: n.ours for n in row.numbers} for name, row in rows.items()}
    assert list(ours["a"]) == list(UNITS)
    assert ours["a"]["found"] == pytest.approx(200 / 3)
    assert ours["a"]["pa_mpjpe_found"] == pytest.approx(50)
    assert ours["a"]["pa_mpjpe"] == pytest.approx(350 / 3)
    assert ours["a"]["pck@0.05"] == pytest.approx(100 / 3)
    assert ours["a"]["pck@0.1"] == pytest.approx(200 / 3)
    assert np.isnan(ours["c"]["pa_mpjpe"])
    assert ours["together"]["pa_mpjpe"] == pytest.approx(430 / 4)
    assert ours["mean of the sets"]["pa_mpjpe"] == pytest.approx((350 / 3 + 80) / 2)  # c has no 3D labels
    assert ours["mean of the sets"]["pck@0.05"] == pytest.approx((100 / 3 + 100 + 0) / 3)
    assert np.isnan(ours["mean of the sets"]["error_ratio"])
    # Of two photos a quarter of the draws has the first twice, and a quarter the second.
    bounds = {n.name: (n.low, n.high) for n in rows["a"].numbers}
    assert bounds["pa_mpjpe"] == pytest.approx((50, 250))
    assert bounds["pck@0.1"] == pytest.approx((0, 100))
    assert np.isnan(rows["b"].numbers[0].low), "a single photo has no interval"
    assert [row.name for row in by_set(scores[:3])] == ["a"], "one set needs no mean"
    drawn = np.random.default_rng(0).normal(100, 10, 100)
    (row,) = by_set([_score(one_photo(label), 0.01, mm) for mm in drawn.tolist()])
    number = row.numbers[list(UNITS).index("pa_mpjpe")]
    assert (number.high - number.low) / 2 == pytest.approx(1.96 * drawn.std() / 10, rel=0.15)


def picture(folder: Path, *names: str) -> None:
    for name in names:
        Image.new("RGB", SIZE, (90, 90, 90)).save(folder / name)


def test_both_formats_of_labels_are_read(tmp_path: Path) -> None:
    picture(tmp_path, "one.png", "two.png")
    flat = {name: [10.0 * k, 5.0] for k, name in enumerate(LIMBS12.names)}
    few = dict(list(flat.items())[:5])
    deep = {"left_knee": [0.1, 0.2, 3.0]}
    people = [{"joints2d_px": flat | {"nose": [1, 1]}, "joints3d_m": deep}, {"joints2d_px": few}, {}]
    own = [{"image": "one.png", "set": "mine", "K": None, "people": people}, {"image": "none.png", "people": []}]
    (tmp_path / "labels.json").write_text(json.dumps(own))
    (photo,) = read_labels(tmp_path)
    assert (photo.path, photo.set, len(photo.labels)) == (tmp_path / "one.png", "mine", 1)
    assert photo.labels[0].pixels == pytest.approx(np.array(list(flat.values())))
    known = np.isfinite(photo.labels[0].metres).all(-1)
    assert [name for name, is_known in zip(LIMBS12.names, known, strict=True) if is_known] == ["left_knee"]
    assert photo.labels[0].size == pytest.approx(1.2 * 110)

    points = np.array([[k, 2 * k, 1 + k % 2] for k in range(17)], dtype=float)
    points[COCO17.index("left_wrist")] = 0
    backwards = {"id": 7, "keypoints": list(COCO17.names)[::-1]}
    annotation = {"image_id": 2, "category_id": 1, "keypoints": points.ravel().tolist(), "iscrowd": 0}
    coco: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "one.png"}, {"id": 2, "file_name": "two.png"}],
        "categories": [{"id": 1, "keypoints": list(COCO17.names)}, backwards, {"id": 3}],
        "annotations": [
            annotation,
            annotation | {"category_id": 7, "keypoints": points[::-1].ravel().tolist()},
            annotation | {"iscrowd": 1},
            {"image_id": 1, "category_id": 1},
        ],
    }
    (tmp_path / "labels.json").write_text(json.dumps(coco))
    (photo,) = read_labels(tmp_path)
    assert (photo.path.name, photo.set, len(photo.labels)) == ("two.png", tmp_path.name, 2)
    expected = points[COCO17.indices(*LIMBS12.names), :2] + 0.5
    expected[LIMBS12.index("left_wrist")] = np.nan
    for label in photo.labels:
        np.testing.assert_allclose(label.pixels, expected)
    coco["annotations"][0]["keypoints"] = [1.0] * 6
    (tmp_path / "labels.json").write_text(json.dumps(coco))
    with pytest.raises(EvaluationError, match=r"annotations\[0\].keypoints: expected 17 keypoints"):
        read_labels(tmp_path)


def test_the_format_is_as_documented(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    (tmp_path / "shots").mkdir()
    picture(tmp_path, "shots/0001.jpg")
    (tmp_path / "labels.json").write_text(example)
    (photo,) = read_labels(tmp_path)
    assert (photo.set, np.isfinite(photo.labels[0].pixels[:, 0]).sum()) == ("sports", 6)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "labels.json: expected labels of photos as docs/benchmarks.md describes them, found nothing"),
        ("[{", "it cannot be read as JSON"),
        ("3", "labels.json: expected a list, got 3"),
        ("{}", "it has no images, annotations"),
        ('[{"image": "one.png"}]', "[0]: expected an entry 'people'"),
        ('[{"people": []}]', "[0]: expected an entry 'image'"),
        ('[{"image": "one.png", "people": []}]', "expected people with 6 or more labelled limb joints, found none"),
        ('[{"image": "../one.png", "people": []}]', "expected the name of a file inside the dataset's folder"),
        (
            '[{"image": "gone.png", "people": [PERSON]}]',
            "gone.png: expected a photo that labels.json names, found none",
        ),
        ('[{"image": "one.png", "people": [{"joints2d_px": {"left_hip": [1]}}]}]', ".left_hip: expected 2 finite"),
        ('[{"image": "one.png", "people": [{"joints2d_px": {"left_hip": [1, NaN]}}]}]', ".left_hip: expected 2 finite"),
        ('[{"image": "one.png", "set": 5, "people": []}]', "[0].set: expected a text, got 5"),
    ],
)
def test_broken_labels_are_one_sentence(tmp_path: Path, content: str | None, sentence: str) -> None:
    picture(tmp_path, "one.png")
    person = json.dumps({"joints2d_px": {name: [3, k] for k, name in enumerate(LIMBS12.names)}})
    if content is not None:
        (tmp_path / "labels.json").write_text(content.replace("PERSON", person))
    with pytest.raises(EvaluationError) as got:
        read_labels(tmp_path)
    assert sentence in str(got.value)
    assert "fetch it anew" not in str(got.value)
    assert len(str(got.value).splitlines()) == 1


def test_people_are_found_once_and_kept(tmp_path: Path) -> None:
    picture(tmp_path, "0.png", "1.png", "2.png")
    recovery = standing(1)
    (pixels,), (metres,) = limbs(recovery)
    photos = [LabelledPhoto(tmp_path / f"{i}.png", "set", (Label(pixels, metres),)) for i in range(3)]
    points = np.random.default_rng(0).random((33, 3))
    mask = Mask.of(np.eye(128, dtype=bool), np.eye(2, 3))
    person = Person(np.array([1.0, 2.0, 30.0, 40.0]), 0.5, points, MEDIAPIPE33, points - 1, mask=mask)
    looked: list[str] = []
    given: list[list[Person]] = []

    def find(photo: Photo) -> list[Person]:
        if len(looked) == 2 and photo.path.endswith("2.png"):
            looked.append("stopped")
            raise KeyboardInterrupt
        looked.append(Path(photo.path).name)
        return [person]

    def recover(photo: Photo, people: list[Person]) -> Result:
        given.append(people)
        return recovery

    with pytest.raises(KeyboardInterrupt):
        run(photos, recover, find, tmp_path / "kept")
    done: list[int] = []
    scores = run(photos, recover, find, tmp_path / "kept", done.append)
    assert looked == ["0.png", "1.png", "stopped", "2.png"]
    assert len(done) == len(scores) == 3
    for (again,) in given:
        np.testing.assert_array_equal(again.box, person.box)
        np.testing.assert_array_equal(again.keypoints, points)
        np.testing.assert_array_equal(again.landmarks3d, points - 1)
        assert again.mask is not None
        np.testing.assert_array_equal(again.mask.region, mask.region)
    run(photos, recover, find, tmp_path / "kept")
    assert len(looked) == 4
    Image.new("RGB", SIZE).save(tmp_path / "1.png")  # another photo of the same name
    run(photos, recover, find, tmp_path / "kept")
    assert len(looked) == 5


@pytest.fixture
def labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two sets of drawn photos; the detections are their limb joints exactly, the labels some pixels beside."""
    monkeypatch.chdir(tmp_path)
    picture(tmp_path, "a.png", "b.png")
    recovery = standing(2, BodyModel.load("open"))
    pixels, metres = limbs(recovery)
    entries, detections = [], []
    for number, (name, shift) in enumerate((("a.png", 1.0), ("b.png", 4.0))):
        people = [
            {
                "joints2d_px": dict(zip(LIMBS12.names, (flat + shift).tolist(), strict=True)),
                "joints3d_m": dict(zip(LIMBS12.names, deep.tolist(), strict=True)),
            }
            for flat, deep in zip(pixels, metres, strict=True)
        ]
        entries.append({"image": name, "set": f"set {number}", "people": people})
        for flat in pixels[number:]:  # of the second photo only the second person
            keypoints = np.zeros((17, 3))
            keypoints[COCO17.indices(*LIMBS12.names)] = np.column_stack([flat, np.ones(12)])
            detections.append({"image_id": name, "category_id": 1, "keypoints": keypoints.ravel().tolist(), "score": 1})
    (tmp_path / "labels.json").write_text(json.dumps(entries))
    (tmp_path / "found.json").write_text(json.dumps(detections))
    return tmp_path


def evaluate(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The command's exit code."""
    monkeypatch.setattr("sys.argv", ["humesh", "evaluate", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_command_scores_what_a_recoverer_gives(
    labelled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("lifter", "real", "--root", labelled, "--detections", "found.json")
    assert evaluate(monkeypatch, *words, "-o", "n.json", "--report", "n.html") == 0
    out = capsys.readouterr().out
    got = json.loads((labelled / "n.json").read_text())
    rows = {row["set"]: row for row in got["sets"]}
    assert list(rows) == ["set 0", "set 1", "together", "mean of the sets"]
    assert [person["found"] for person in got["people"]] == [True, True, False, True]
    assert got["people"][2]["pa_mpjpe_mm"] == 250
    recoverer = Recoverer(weights="lifter")
    labels = json.loads((labelled / "labels.json").read_text())[0]["people"]
    photo = Photo.read("a.png")
    recovery = recoverer(photo, GivenPeople("found.json").on(photo, "a.png")[0])
    pixels, metres = limbs(recovery)
    for label, flat, deep, person in zip(labels, pixels, metres, got["people"], strict=False):
        true = np.array([label["joints2d_px"][name] for name in LIMBS12.names])
        size = 1.2 * float(np.ptp(true, axis=0).max())
        assert person["size_px"] == pytest.approx(size, abs=0.1)
        assert person["error_2d"] == pytest.approx(np.linalg.norm(flat - true, axis=1).mean() / size, abs=2e-5)
        true = np.array([label["joints3d_m"][name] for name in LIMBS12.names])
        assert person["pa_mpjpe_mm"] == pytest.approx(naive_errors(deep, true).mean(), abs=0.006)
    first = np.mean([person["pa_mpjpe_mm"] for person in got["people"][:2]])
    second = np.mean([person["pa_mpjpe_mm"] for person in got["people"][2:]])
    assert rows["set 0"]["pa_mpjpe"]["ours"] == pytest.approx(first, abs=0.01)
    assert rows["mean of the sets"]["pa_mpjpe"]["ours"] == pytest.approx((first + second) / 2, abs=0.01)
    assert f"| set 0 | 2 | 100.0 | {first:.1f} | {first:.1f} |" in out
    page = (labelled / "n.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2 + 2 * 3 + 2 * 3  # one who is missed, then both photos twice
    assert "set 1, b.png: missed" in page
    assert "the network was fed: the people of found.json" in page
    assert "http" not in page
    by_joint = re.findall(r"<tr><td>(\w+ \w+)<td>([\d.]+)<td>([\d.]+)(?=<tr>|</table>)", page)
    assert [name.replace(" ", "_") for name, *_ in by_joint] == list(LIMBS12.names)
    found = [person for person in got["people"] if person["found"]]
    for column, key, factor in ((1, "error_2d", 100), (2, "pa_mpjpe_mm", 1)):
        mean = factor * np.mean([person[key] for person in found])
        assert np.mean([float(row[column]) for row in by_joint]) == pytest.approx(mean, abs=0.05)
    assert evaluate(monkeypatch, *words, "-o", "n.csv") == 0
    with (labelled / "n.csv").open(newline="") as stream:
        rows_of_people = list(csv.DictReader(stream))
    assert [row["found"] for row in rows_of_people] == ["True", "True", "False", "True"]
    assert [float(row["error_2d"]) for row in rows_of_people] == [person["error_2d"] for person in got["people"]]


def test_what_is_wrong_is_named_in_one_sentence(
    labelled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ("--root", labelled)
    for words, sentence in (
        (("lifter", "real"), "expected a folder of labelled photos with labels.json, got none; give it with --root"),
        (("lifter", "real", "--root", "nowhere"), "nowhere/labels.json: expected labels of photos"),
        (("truth.npz", "real", *root), "truth.npz: expected a method or weights for the benchmark real"),
        (("lifter", "real", *root, "--refine"), "--refine: expected no such option for the benchmark real"),
        (
            ("lifter", "real", *root, "--count", 0, "--subset", "x", "--against", "x"),
            "--subset, --against, --count: expected no such option for the benchmark real",
        ),
        (("lifter", "synthetic", "--root", "x"), "--root: expected no such option for the benchmark synthetic"),
        (("lifter", "real", *root, "-o", "n.txt"), "ends in .json or .csv"),
    ):
        assert evaluate(monkeypatch, *words) == 2, words
        got = capsys.readouterr().err.strip()
        assert sentence in got, got
        assert len(got.splitlines()) == 1
    assert evaluate(monkeypatch, "--explain", "real") == 0
    assert "250 mm" in capsys.readouterr().out


def test_a_training_is_validated_on_real_photos(
    labelled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each validation has the numbers of the evaluate command; people are found once; training stays the same."""
    looked: list[str] = []

    def find(photo: Photo) -> list[Person]:
        looked.append(photo.path)
        return GivenPeople("found.json").on(photo, photo.path)[0]

    monkeypatch.setattr(Recoverer, "finder", property(lambda recoverer: find))
    config = {"decoder_layers": 1, "encoder_layers": 0, "width": 16, "hidden": 16}
    small = replace(
        RECIPES["debug"],
        steps=2,
        batch=2,
        data=(Source("drawn", options={"count": 6}),),
        config={**RECIPES["debug"].config, **config},
        held_out=2,
        validate_every=1,
    )
    said: list[str] = []
    scores = prepare("debug", small, Place(labelled / "run", say=said.append, real=labelled)).run()
    assert not [name for name in scores if name.startswith("real")], "they are not held-out samples"
    assert len(looked) == 2
    with (labelled / "run" / "validation.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows] == ["1", "2"]
    assert evaluate(monkeypatch, "run/weights.safetensors", "real", "--root", labelled, "-o", "n.json") == 0
    (means,) = (row for row in json.loads(Path("n.json").read_text())["sets"] if row["set"] == "mean of the sets")
    for name, key in (("PA-MPJPE", "pa_mpjpe"), ("PCK@0.05", "pck@0.05"), ("PCK@0.1", "pck@0.1")):
        assert float(rows[-1][f"real {name}"]) == pytest.approx(means[key]["ours"], rel=1e-6)
    last = next(sentence for sentence in said if sentence.startswith("step 2: "))
    assert f"real PA-MPJPE {means['pa_mpjpe']['ours']:.1f} mm" in last
    assert f"real PCK@0.1 {means['pck@0.1']['ours']:.1f} %" in last
    prepare("debug", small, Place(labelled / "without")).run()
    with_real, without = (load_file(labelled / run / "weights.safetensors") for run in ("run", "without"))
    assert all(torch.equal(with_real[name], without[name]) for name in {**with_real, **without})

    def too_many(*_: object) -> None:
        raise GroupError("expected at most 3 people in a group, got 4; give fewer boxes.")

    monkeypatch.setattr(Recoverer, "__call__", too_many)
    assert real_errors(labelled, labelled / "run" / "weights.safetensors", "open-low", "cpu", said.append) == {}
    assert said[-1].startswith("the real photos are not validated on: expected at most 3 people")
    (labelled / "labels.json").write_text("[]")
    monkeypatch.setattr("sys.argv", ["humesh", "train", "debug", "-o", "another", "--real", str(labelled)])
    with pytest.raises(SystemExit):
        main()
    assert "expected people with 6 or more labelled limb joints, found none" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not (labelled / "another").exists()
