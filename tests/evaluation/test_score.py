"""Scoring by protocols: truth scores 0, known offsets score themselves, whoever is missing is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity.ik_evaluation import Frame, Image, agora_scores, mupots_scores

from humesh.body.joints import MPI_INF_3DHP17, SMPL24
from humesh.body.label_bodies import BodyFiles
from humesh.data.sample import Sample
from humesh.evaluation.errors import Ruler
from humesh.evaluation.predictions import Detections, Predictions, PredictionsFile
from humesh.evaluation.protocols import PROTOCOLS, EvaluationError, Protocol, Stretch, read_stretches
from humesh.evaluation.report import benchmark_details
from humesh.evaluation.run import Chained, Records, check_complete, parts_of, run, scored
from humesh.evaluation.summary import Summary, summary

from .fakes import FakePeople, write_files, write_predictions

SCORED = [protocol for name, protocol in PROTOCOLS.items() if name not in ("synthetic", "panoptic")]
ACTIVITIES = replace(PROTOCOLS["panoptic"], groups=("hug", "dancing"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("files"))


@pytest.fixture
def score(files: Path, tmp_path: Path) -> Callable[..., Summary]:
    """The summary of a fake's truth, changed, as predictions under a protocol."""

    def score(protocol: Protocol, offset: float = 0.0, leave_out: int = 0, body: str = "smpl-neutral") -> Summary:
        dataset, bodies = FakePeople(files, body), BodyFiles(files)
        write_predictions(tmp_path / "p.npz", dataset, offset, leave_out)
        predictor = PredictionsFile(tmp_path / "p.npz", bodies.predicted)
        ruler = Ruler(replace(protocol, stretches=None), bodies, bodies.predicted)
        return summary(protocol, run(dataset, ruler, predictor))

    return score


def _numbers(result: Summary) -> dict[str, float]:
    return {number.name: number.ours for number in result.numbers}


@pytest.mark.parametrize("protocol", [*SCORED, ACTIVITIES], ids=lambda protocol: protocol.name)
def test_truth_scores_nothing_under_every_protocol(protocol: Protocol, score: Callable[..., Summary]) -> None:
    result = score(protocol)
    assert (result.people, result.missed, result.extra) == (16, 0, 0)
    perfect = {"pck": 100.0, "auc": 100 * 30 / 31, "f1": 1.0, "precision": 1.0, "recall": 1.0}
    for name, value in _numbers(result).items():
        assert value == pytest.approx(perfect.get(name.split("_")[0], 0.0), abs=1e-3), name


def test_an_offset_of_all_but_the_root_scores_itself(score: Callable[..., Summary]) -> None:
    for name in ("3dpw", "h36m-p1", "3dpw-multi-roi", "3doh50k"):
        found = _numbers(score(PROTOCOLS[name], offset=0.03))
        assert found["mpjpe"] == pytest.approx(30, abs=1e-3)
        assert found["pa_mpjpe"] == pytest.approx(0, abs=1e-3)
        if "pve" in found:
            assert found["pve"] == pytest.approx(30 * 39 / 40, abs=1e-3)  # the pelvis, one of 40 vertices, stays
    assert _numbers(score(ACTIVITIES, offset=0.03))["hug"] == pytest.approx(30, abs=1e-3)
    hips = _numbers(score(PROTOCOLS["3dpw-int"], offset=0.03))  # whose root moves too, but not the mesh's
    assert (hips["mpjpe"], hips["pve"]) == (pytest.approx(0, abs=1e-3), pytest.approx(30 * 39 / 40, abs=1e-3))


def test_truth_is_on_the_labelled_gender_unless_the_protocol_says_neutral(score: Callable[..., Summary]) -> None:
    assert _numbers(score(PROTOCOLS["3dpw"], body="smpl-female"))["mpjpe"] > 5  # the bodies differ
    assert _numbers(score(PROTOCOLS["3dpw-int"], body="smpl-female"))["mpjpe"] == pytest.approx(0, abs=1e-3)


def test_one_missing_is_counted_and_not_averaged(score: Callable[..., Summary]) -> None:
    result = score(PROTOCOLS["3dpw"], offset=0.02, leave_out=3)
    assert (result.people, result.missed) == (16, 3)
    assert _numbers(result)["mpjpe"] == pytest.approx(20, abs=1e-3)
    found = _numbers(score(PROTOCOLS["mupots"], leave_out=4))  # of the first video's eight people
    assert (found["pck_all"], found["pck_matched"]) == (pytest.approx((50 + 100) / 2), 100)
    found = _numbers(score(PROTOCOLS["agora"], leave_out=4))
    assert (found["recall"], found["precision"], found["f1"]) == (0.75, 1.0, 0.86)


def _predictions(sample: Sample, ruler: Ruler, copies: int, broken: bool = False) -> Predictions:
    """The truth, `copies` times, to be matched by boxes."""
    poses = [person.pose for person in sample.people] * copies
    with torch.no_grad():
        parts = [ruler.body(pose.map(lambda tensor: tensor[None])) for pose in poses]
    vertices = torch.cat([torch.zeros(0, len(ruler.body.data.template), 3), *(p.vertices for p in parts)])
    joints = torch.cat([torch.zeros(0, 24, 3), *(p.joints for p in parts)])
    if broken:
        vertices[0, 0, 0] = float("nan")
    boxes = torch.tensor(np.array([p.seen.box for p in sample.people] * copies).reshape(-1, 4)).float()
    return Predictions(vertices, joints, torch.zeros(len(poses), 3), boxes)


@pytest.mark.parametrize("name", ["3dpw", "mupots", "agora"])
def test_none_and_more_than_present_are_matched(name: str, files: Path) -> None:
    dataset, bodies = FakePeople(files), BodyFiles(files)
    ruler = Ruler(PROTOCOLS[name], bodies, bodies.predicted)
    nobody = run(dataset, ruler, lambda sample, _: _predictions(sample, ruler, 0))
    assert nobody.people["missed"].all()
    assert not nobody.photos["extra"].any()
    numbers = _numbers(summary(ruler.protocol, nobody))
    counted = {"pck_all", "auc_all", "f1", "recall"}  # who is missed counts; of errors there is no mean
    assert {metric for metric, value in numbers.items() if value == 0} == counted & set(numbers)
    assert np.isnan(numbers.get("mpjpe", numbers.get("pck_matched", 0)))
    assert len(numbers) >= 3
    twice = run(dataset, ruler, lambda sample, _: _predictions(sample, ruler, 2))
    assert not twice.people["missed"].any()
    assert twice.photos["extra"].tolist() == [2] * 8
    assert np.nanmax(twice.people["joints_mm"]) < 1e-3
    broken = run(dataset, ruler, lambda sample, _: _predictions(sample, ruler, 1, broken=True))
    assert broken.people["missed"].sum() == 8  # one of two in each photo is no body
    details = benchmark_details(broken, dataset, lambda sample, _: _predictions(sample, ruler, 1, broken=True), ruler)
    page = "".join(details)
    assert page.count("data:image/jpeg") == 3 * page.count("<figcaption>") >= 12  # of at least two people two photos
    assert "nan mm" not in page
    assert "<td>50.0<td>" in page  # of each sequence a half is found
    assert "courtyard_hug_00/0000" in page
    assert "By sequence" in page
    photos = replace(twice, people={**twice.people, "sequence": np.full(16, "")})
    changed = "".join(benchmark_details(photos, dataset, lambda sample, _: _predictions(sample, ruler, 0), ruler))
    assert changed.count("<figcaption>") == 12, "photos without sequences are not alike"
    assert changed.count("data:image/jpeg") == 24, "of who is not predicted again the labels are drawn"
    assert "By sequence" not in changed
    empty = "".join(benchmark_details(nobody, dataset, lambda sample, _: _predictions(sample, ruler, 0), ruler))
    assert "<figure>" not in empty
    assert "By joint" not in empty


@settings(max_examples=5)
@given(seed=st.integers(0, 10**6))
def test_mupots_and_agora_are_what_their_tools_say(seed: int, files: Path) -> None:
    """Random predictions, some missing, scored person by person and by functions that agree with the tools' arrays."""
    dataset, bodies = FakePeople(files), BodyFiles(files)
    for name in ("mupots", "agora"):
        g = torch.Generator().manual_seed(seed)
        ruler = Ruler(PROTOCOLS[name], bodies, bodies.predicted)
        known: dict[int, Predictions] = {}
        for number in range(len(dataset)):
            predictions = _predictions(dataset[number], ruler, 1)
            kept = torch.rand(len(predictions.boxes), generator=g) < 0.8
            noise = 0.05 * torch.randn(predictions.vertices[kept].shape, generator=g)
            changed = predictions.vertices[kept] + noise, predictions.joints[kept] + noise[:, :24]
            known[number] = Predictions(*changed, predictions.translation[kept], predictions.boxes[kept])
        numbers = {dataset[number].name: number for number in known}
        records = run(dataset, ruler, lambda s, _, numbers=numbers, known=known: known[numbers[s.name]])
        found = {n.name: n.ours for n in summary(ruler.protocol, records).numbers}
        tool = MPI_INF_3DHP17 if name == "mupots" else SMPL24
        rows = dataset[0].people[0].joint_set.indices(*tool.names)
        frames = []
        for number, predictions in known.items():
            people = dataset[number].people
            truth_px, truth = (torch.stack([getattr(p, f)[rows] for p in people]) for f in ("points2d", "points3d"))
            points = ruler.points(predictions)[:, : len(tool)]
            pixels = dataset[number].photo.camera.project(points)
            if name == "mupots":
                frames.append(Frame(truth_px, truth, pixels, points))
            else:
                meshes = torch.stack([bodies.predicted(p.pose.map(lambda t: t[None])).vertices[0] for p in people])
                valid = torch.ones(len(people), dtype=torch.bool)
                frames.append(Image(truth_px, truth, valid, pixels, points, meshes, predictions.vertices))
        if name == "mupots":
            scores, _ = mupots_scores([frames[:4], frames[4:]])
            for metric in ("pck_all", "pck_matched", "auc_all", "auc_matched"):
                assert found[metric] == pytest.approx(scores[metric].nanmean().item(), abs=1e-9), metric
            assert found["mpjpe"] == pytest.approx(scores["mpjpe14"].nanmean().item(), abs=1e-3)
        else:
            says = agora_scores(frames)
            assert all(found[name] == says[name] for name in ("f1", "precision", "recall"))
            assert found["mpjpe"] == pytest.approx(says["mpjpe"], abs=1e-3)
            assert found["mve"] == pytest.approx(says["mve"], abs=1e-3)
            assert found["nmje"] == pytest.approx(says["nmje"], abs=0.11)  # 0.05 mm either side of a rounding


def test_finished_parts_are_not_done_again_and_damaged_ones_are(files: Path, tmp_path: Path) -> None:
    dataset, bodies = FakePeople(files), BodyFiles(files)
    ruler = Ruler(PROTOCOLS["3dpw"], bodies, bodies.predicted)
    asked: list[str] = []

    def predict(sample: Sample, people: list[int]) -> Predictions:
        asked.append(sample.name)
        return _predictions(sample, ruler, 1)

    once = run(dataset, ruler, predict, tmp_path)
    assert len(asked) == 8
    again = run(dataset, ruler, predict, tmp_path)
    assert len(asked) == 8
    assert np.array_equal(once.people["joints_mm"], again.people["joints_mm"])
    for name in ruler.protocol.metrics:
        assert np.array_equal(once.people[name], again.people[name], equal_nan=True)
    first, *_ = sorted(tmp_path.glob("*.npz"))
    first.write_bytes(first.read_bytes()[:100])
    run(dataset, ruler, predict, tmp_path)
    assert len(asked) == 12
    assert Records.load(first, PROTOCOLS["3dpw-24"]) is None  # joints of another protocol
    whole = dict(np.load(first))
    one, floats = whole["people/person"][1:], whole["people/mpjpe"]
    for name, values in (("person", one), ("sample", floats), ("mpjpe", np.zeros(1))):
        np.savez(first, **whole | {f"people/{name}": values})
        assert Records.load(first, ruler.protocol) is None


def test_acceleration_is_that_of_neighbouring_frames_of_one_person(files: Path) -> None:
    dataset, bodies = FakePeople(files, frames=5), BodyFiles(files)
    ruler = Ruler(PROTOCOLS["3dpw"], bodies, bodies.predicted)

    def predict(sample: Sample, people: list[int]) -> Predictions:
        predictions = _predictions(sample, ruler, 1)
        if sample.frame == 1:
            return replace(predictions.of([1]), people=(1,))
        moved = predictions.vertices.clone()
        moved[:, 1:, 0] += 0.001 * sample.frame**2
        return replace(predictions, vertices=moved, people=(0, 1))

    records = scored(dataset, range(5), ruler, predict)
    accel = records.people["accel"].reshape(5, 2)
    assert np.isnan(accel[[0, 4]]).all()
    assert np.isnan(accel[1:3, 0]).all()  # frame 1 of the first person is missing
    assert accel[3] == pytest.approx([2, 2], abs=1e-3)  # the second difference of t² mm


def test_a_subset_is_what_its_list_says(files: Path, tmp_path: Path) -> None:
    (tmp_path / "pc.txt").write_text("# prefix first stop\ncourtyard_hug 1 3\n\n")
    assert read_stretches(tmp_path / "pc.txt") == (Stretch("courtyard_hug", 1, 3),)
    dataset, bodies = FakePeople(files), BodyFiles(files)
    listed = replace(PROTOCOLS["3dpw-pc"], stretches=read_stretches(tmp_path / "pc.txt"))
    ruler = Ruler(listed, bodies, bodies.predicted)
    records = run(dataset, ruler, lambda sample, _: _predictions(sample, ruler, 1))
    assert set(records.people["sequence"].tolist()) == {"courtyard_hug_00"}
    assert set(records.people["frame"].tolist()) == {1, 2}
    check_complete(listed, records)
    with pytest.raises(EvaluationError, match="expected a sequence 'nowhere', the dataset has none"):
        check_complete(replace(listed, stretches=(Stretch("nowhere"),)), records)
    for text, sentence in (
        ("", "the list is empty"),
        ("a b c", "expected lines `PREFIX`"),
        ("a 1 2 3", "got: "),
        ("a 5 5", "STOP is above FIRST and not included\\); got: 'a 5 5'"),
        ("a 1.5", "expected lines `PREFIX`"),
        ("a -1", "expected lines `PREFIX`"),
        ("a " + "9" * 5000, "expected lines `PREFIX`"),
    ):
        (tmp_path / "bad.txt").write_text(text)
        with pytest.raises(EvaluationError, match=sentence):
            read_stretches(tmp_path / "bad.txt")
    with pytest.raises(EvaluationError, match=r"none.txt: expected lines .*, found nothing"):
        read_stretches(tmp_path / "none.txt")


def test_subsets_leave_out_who_has_no_keypoints(files: Path) -> None:
    """As their owner's reader does; the whole test set evaluates everybody."""
    bodies, person = BodyFiles(files), FakePeople(files)[0].people[0]
    assert person.seen.keypoints is not None
    blind = replace(person, seen=replace(person.seen, keypoints=person.seen.keypoints * [1, 1, 0]))
    boxed = replace(person, seen=replace(person.seen, keypoints=None, keypoint_set=None))
    for name, evaluated in (("3dpw", True), ("3dpw-pc", False), ("3dpw-oc", False)):
        ruler = Ruler(PROTOCOLS[name], bodies, bodies.predicted)
        assert ruler.evaluates(person)
        assert [ruler.evaluates(other) for other in (blind, boxed)] == [evaluated] * 2


def test_nobody_to_evaluate_is_an_error(files: Path) -> None:
    dataset, bodies = FakePeople(files), BodyFiles(files)
    ruler = Ruler(replace(PROTOCOLS["3dpw"], stretches=(Stretch("nowhere"),)), bodies, bodies.predicted)
    records = run(dataset, ruler, lambda sample, _: _predictions(sample, ruler, 1))
    with pytest.raises(EvaluationError, match="3dpw: expected people to evaluate, found none"):
        check_complete(ruler.protocol, records)


def test_joints_that_labels_lack_are_left_out_or_named(files: Path) -> None:
    dataset, bodies = FakePeople(files), BodyFiles(files)
    person = dataset[0].people[0]
    ruler = Ruler(PROTOCOLS["h36m-p1"], bodies, bodies.predicted)
    weight = person.points3d_weight.clone()
    weight[person.joint_set.index("left_wrist")] = 0
    some = replace(person, points3d_weight=weight)
    assert ruler.evaluates(some)
    with torch.no_grad():
        body = bodies.predicted(person.pose.map(lambda t: t[None]))
    errors = ruler(Predictions(body.vertices, body.joints, torch.zeros(1, 3), torch.zeros(1, 4)), [some])
    assert errors.joints_mm.isnan().sum() == 1
    assert errors.metrics["mpjpe"].item() == pytest.approx(0, abs=1e-3)
    weight[person.joint_set.index("pelvis")] = 0
    assert not ruler.evaluates(replace(person, points3d_weight=weight))
    assert not Ruler(PROTOCOLS["mpi-inf-3dhp"], bodies, bodies.predicted).evaluates(some)  # PCK needs all
    with pytest.raises(EvaluationError, match=r"expected labels of .*head_top.*, the dataset has .smpl24."):
        ruler.evaluates(replace(person, joint_set=SMPL24))


def test_detections_of_one_file_are_distinguished_by_their_folders(files: Path, tmp_path: Path) -> None:
    dataset = FakePeople(files)
    samples = [dataset[i] for i in range(len(dataset))]
    assert len({sample.sequence for sample in samples}) > 1
    boxes = {f"{sample.name}.jpg": [[i, 0, i + 9, 9]] for i, sample in enumerate(samples)}
    (tmp_path / "all.json").write_text(json.dumps(boxes))
    detections = Detections(tmp_path / "all.json")
    assert [detections.people(sample)[0].box[0] for sample in samples] == [*range(len(samples))]
    (tmp_path / "bare.json").write_text(json.dumps({Path(name).name: people for name, people in boxes.items()}))
    detections = Detections(tmp_path / "bare.json")
    with pytest.raises(EvaluationError, match="photos of several sequences distinguished by the folders"):
        [detections.people(sample) for sample in samples]
    (tmp_path / "two.json").write_text(json.dumps({f"{part}/{Path(samples[0].name).name}.jpg": [] for part in "ab"}))
    with pytest.raises(EvaluationError, match="photos of several sequences distinguished by the folders"):
        Detections(tmp_path / "two.json").people(samples[0])


def test_every_sample_is_in_one_part() -> None:
    class Videos:
        tracks = (range(300, 310), range(310, 315), range(700, 701))

        def __len__(self) -> int:
            return 730

        def __getitem__(self, index: int) -> Sample:
            raise AssertionError("no photo is needed to cut a data set into parts")

    parts = parts_of(Videos())
    assert sorted(i for part in parts for i in part) == list(range(730))
    assert set(Videos.tracks) <= set(parts)
    chained = Chained([Videos(), Videos()])
    assert len(chained) == 1460
    assert chained.tracks[3] == range(1030, 1040)


def test_boxes_are_matched_from_the_largest_overlap(files: Path) -> None:
    dataset, bodies = FakePeople(files), BodyFiles(files)
    ruler, sample = Ruler(PROTOCOLS["3dpw"], bodies, bodies.predicted), dataset[0]
    predictions = _predictions(sample, ruler, 1)
    swapped = replace(predictions, boxes=predictions.boxes.flip(0))
    assert ruler.matched(sample, [0, 1], predictions) == {0: 0, 1: 1}
    assert ruler.matched(sample, [0, 1], swapped) == {0: 1, 1: 0}
    assert ruler.matched(sample, [0, 1], replace(predictions, boxes=predictions.boxes + 1e4)) == {}
    assert ruler.matched(sample, [1], replace(predictions, people=(1, 0))) == {1: 0}
