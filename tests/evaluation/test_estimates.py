"""Who a method predicts, what a temporal one sees together, and which stage of it is scored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from humesh.body.joints import COCO17, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops, CropSpec, seconds_of
from humesh.data.drawn import DrawnPeople
from humesh.data.sample import Sample
from humesh.evaluation.predictions import Detections, MethodPredictor, Window
from humesh.evaluation.protocols import PROTOCOLS, EvaluationError
from humesh.media.photo import Photo
from humesh.methods.base import Method, Prediction
from humesh.methods.weights import build, save_weights
from humesh.people.given import DetectionsError
from humesh.people.person import Person
from humesh.recover import Recoverer

SMALL_JOTR = {"encoder": "resnet18", "size": 64, "width": 32, "heads": 2, "hidden": 32, "volume_hidden": 32}
SMALL_IK = {"encoder": "resnet18", "size": 64, "twist_width": 32, "width": 32, "depth": 1, "heads": 2, "hidden": 32}


def _spans(window: Window, count: int) -> list[tuple[list[int], int]]:
    return list(window.parts(count))


def test_windows_are_interleaved_and_reflected() -> None:
    """INT's evaluation at a small size: spans of 8, every second frame together; past the end the track goes back."""
    window = Window(4, 2)
    assert _spans(window, 8) == [([0, 2, 4, 6], 4), ([1, 3, 5, 7], 4)]
    assert _spans(window, 11)[2:] == [([8, 10, 8, 6], 2), ([9, 9, 7, 5], 1)]  # 8 9 10 | 9 8 7 6 5
    assert _spans(window, 1) == [([0, 0, 0, 0], 1)]
    for count in (1, 2, 3, 7, 8, 9, 23):
        first = [place for places, new in _spans(window, count) for place in places[:new]]
        assert sorted(first) == list(range(count))


class _Through(Method):
    """Predictions with the number of each crop's frame, got by its pixels, and with the mean number of the group."""

    def __init__(self) -> None:
        super().__init__(object(), BodyModel.load("open-low"))
        self.spec = CropSpec((8, 8), "frames", 4)
        self.seen: list[list[int]] = []
        self.steps: list[float] = []

    def forward(self, crops: Crops) -> Prediction:
        """Translations (frame number, mean of the group's, 2)."""
        number = (255 * crops.pixels.mean((-3, -2, -1))).round()
        self.seen += [row.int().tolist() for row in number]
        self.steps += seconds_of(crops).diff(dim=-1).flatten().tolist()
        place = torch.stack([number, number.mean(-1, keepdim=True).expand_as(number), 2 + 0 * number], dim=-1)
        rest = BodyPose.rest(number.numel()).map(lambda tensor: tensor.unflatten(0, number.shape))
        return Prediction(replace(rest, translation=place))


def _numbered(index: int, people: tuple[int, ...]) -> Sample:
    """A photo as bright as its number, of people who are known by their identities."""
    sample = DrawnPeople(1, people=1)[0]
    photo = Photo.of(np.full((60, 80, 3), index, np.uint8), sample.photo.camera)
    person = sample.people[0]
    box = Person(np.array([20.0, 20, 40, 40]), 1.0)
    return Sample(photo, tuple(replace(person, identity=who, seen=box) for who in people), f"a/{index}", "a", index)


def _temporal(monkeypatch: pytest.MonkeyPatch) -> tuple[Recoverer, _Through]:
    recoverer, network = Recoverer(BodyModel.load("open-low"), weights="lifter", refine=False), _Through()
    monkeypatch.setattr(recoverer, "network", network)
    return recoverer, network


def test_a_track_is_seen_in_windows_and_ends_with_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Person 7 is in frames 0-10, person 8 in 0, 1, 3 and 4; everybody has a prediction for just their frames."""
    recoverer, network = _temporal(monkeypatch)
    there = {frame: (7, 8) if frame in (0, 1, 3, 4) else (7,) for frame in range(11)}
    samples = [(frame, _numbered(frame, who), list(range(len(who)))) for frame, who in there.items()]
    found = list(MethodPredictor(recoverer, window=Window(4, 2, fps=10.0)).over(iter(samples)))
    assert set(np.round(network.steps, 6)) == {0.2}
    assert [number for number, *_ in found] == list(range(11))
    for number, sample, wanted, predictions in found:
        assert sample.photo.pixels.strides == (0, 0, 0)  # its pixels are gone
        assert predictions.people == tuple(wanted)
        assert predictions.translation[:, 0].tolist() == [number] * len(wanted)
    means = {(n, i): predictions.translation[i, 1].item() for n, _, wanted, predictions in found for i in wanted}
    assert means[2, 0] == 3  # of 0 2 4 6
    assert means[9, 0] == 7.5  # of 9 9 7 5
    assert (means[0, 1], means[1, 1]) == (0, 1)  # of 0 0 0 0 and 1 1 1 1: 0 1 | 0 1 0 1 0 1
    assert (means[3, 1], means[4, 1]) == (3, 4)
    assert all(len(row) == 4 for row in network.seen)


def test_detections_are_followed_as_the_people_they_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    recoverer, _ = _temporal(monkeypatch)

    class Found:
        def people(self, sample: Sample) -> list[Person]:
            far, near = Person(np.array([60.0, 0, 70, 9]), 1.0), Person(np.array([21.0, 20, 41, 40]), 1.0)
            return [far, near] if sample.frame != 1 else [far]

    estimates = MethodPredictor(recoverer, window=Window(2, 1))
    monkeypatch.setattr(estimates, "detections", Found())
    found = list(estimates.over((frame, _numbered(frame, (3,)), [0]) for frame in range(3)))
    assert [predictions.people for *_, predictions in found] == [(0,), (), (0,)]
    assert found[0][3].boxes.tolist() == [[21, 20, 41, 40]]


def test_detections_that_say_whose_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the place among the labelled people, wherever the boxes lie; of others' places nobody is asked for."""
    recoverer, _ = _temporal(monkeypatch)
    entries = [{"image_id": f"a/{i}", "bbox": [60, 0, 10, 9], "person": place} for i in range(2) for place in (1, 2)]
    (tmp_path / "d.json").write_text(json.dumps(entries))
    estimates = MethodPredictor(recoverer, Detections(tmp_path / "d.json"), window=Window(2, 1))
    sample = _numbered(1, (3, 4))
    assert estimates(sample, [0, 1]).people == (1,)
    found = list(estimates.over((frame, _numbered(frame, (3, 4)), [0, 1]) for frame in range(2)))
    assert [predictions.people for *_, predictions in found] == [(1,), (1,)]
    (tmp_path / "d.json").write_text(json.dumps([entries[0] | {"person": "1"}]))
    with pytest.raises(DetectionsError, match="expected a whole number from 0 in person, got '1'"):
        Detections(tmp_path / "d.json")


def test_windows_follow_the_protocol_the_option_or_the_training() -> None:
    network = _Through()
    assert Window.of(network, PROTOCOLS["3dpw-int"]) == Window(64, 2)
    assert Window.of(network, PROTOCOLS["3dpw-int"], 16) == Window(16, 8)
    assert Window.of(network, PROTOCOLS["3dpw"]) == Window(4, 1)
    network.config = type("Config", (), {"interval": 8})()
    assert Window.of(network, PROTOCOLS["3dpw"]) == Window(4, 8)
    with pytest.raises(EvaluationError, match="--frames 48: expected a divisor of the 128 frames"):
        Window.of(network, PROTOCOLS["3dpw-int"], 48)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load("open-low")


def _recoverer(folder: Path, method: str, config: dict[str, Any], body: BodyModel) -> Recoverer:
    torch.manual_seed(0)
    network = build(method, config, body)
    for parameter in network.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    save_weights(folder / "w.safetensors", method, network)
    return Recoverer(body, weights=folder / "w.safetensors", refine=False)


def test_layers_of_one_jotr_are_scored(tmp_path: Path, body: BodyModel) -> None:
    """Table 5: what the network says after each layer, of the very same weights; the last one is the default."""
    sample = DrawnPeople(1, people=2)[0]
    people = list(range(len(sample.people)))
    recoverer = _recoverer(tmp_path, "jotr", SMALL_JOTR, body)
    last = MethodPredictor(recoverer)(sample, people)
    network = recoverer.network
    crops = recoverer.crops(sample.photo, [person.seen for person in sample.people])
    with torch.no_grad():
        seen = (crops.keypoints[:, 0, :, 2] > 0.05).float()
        inside = ((crops.keypoints[:, 0, :, :2] >= 0) & (crops.keypoints[:, 0, :, :2] < 64)).all(-1)
        raw = network.network(crops.pixels[:, 0], crops.keypoints[:, 0, :, :2] / 4, seen * inside)
    for layer in range(4):
        predictions = MethodPredictor(recoverer, stage=f"layer{layer}")(sample, people)
        turns = network.rotations(raw.root[layer], raw.pose[layer])
        expected = body(BodyPose(turns, raw.shape[layer], predictions.translation))
        assert torch.allclose(predictions.vertices, expected.vertices, atol=1e-4)
        assert (layer == 3) == torch.allclose(predictions.vertices, last.vertices, atol=1e-4)
    with pytest.raises(EvaluationError, match="--stage skeleton: expected one of this method's: layer0, layer1"):
        MethodPredictor(recoverer, stage="skeleton")


def test_who_has_no_keypoints_gets_a_crop_around_the_box(tmp_path: Path, body: BodyModel) -> None:
    """JOTR's fallback: nobody is dropped, nothing is drawn into the heatmaps."""
    sample = DrawnPeople(1, people=1)[0]
    box = sample.people[0].seen.box
    unseen = Person(box, 1.0, np.zeros((17, 3)), COCO17)
    recoverer = _recoverer(tmp_path, "jotr", SMALL_JOTR, body)
    for seen in (Person(box, 1.0), unseen):
        alone = replace(sample, people=(replace(sample.people[0], seen=seen),))
        predictions = MethodPredictor(recoverer)(alone, [0])
        assert predictions.people == (0,)
        crops = recoverer.crops(sample.photo, [unseen])
        expected = body(recoverer.predict(crops).pose)
        assert torch.equal(predictions.vertices, expected.vertices)


def test_methods_of_keypoints_get_those_of_the_landmark_model(body: BodyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lifter needs keypoints: who has none gets the landmark model's, others keep theirs."""
    sample = DrawnPeople(1, people=2)[0]
    first, second = (replace(person, seen=replace(person.seen, landmarks3d=None)) for person in sample.people[:2])
    bare = replace(first, seen=Person(first.seen.box, 1.0))
    asked: list[np.ndarray] = []

    def landmarks(photo: Photo, boxes: np.ndarray) -> list[Person]:
        asked.append(boxes)
        return [first.seen]

    predictor = MethodPredictor(Recoverer(body, weights="lifter", refine=False))
    monkeypatch.setattr(predictor, "_finder", type("Finder", (), {"landmarks": staticmethod(landmarks)}))
    expected = predictor(replace(sample, people=(first, second)), [0, 1])
    assert not asked
    found = predictor(replace(sample, people=(bare, second)), [0, 1])
    assert [boxes.tolist() for boxes in asked] == [[bare.seen.box.tolist()]]
    assert torch.equal(found.vertices, expected.vertices)


def test_skeletons_and_bodies_before_the_refiner_are_scored(tmp_path: Path, body: BodyModel) -> None:
    sample = DrawnPeople(3, people=2)[1]
    people = list(range(len(sample.people)))
    recoverer = _recoverer(tmp_path, "ik_refine", SMALL_IK | {"head_gain": 1.0}, body)
    crops = recoverer.crops(sample.photo, [person.seen for person in sample.people])
    with torch.no_grad():
        prediction = recoverer.network(crops)
    refined = MethodPredictor(recoverer)(sample, people)
    first = MethodPredictor(recoverer, stage="inverse_kinematics")(sample, people)
    assert torch.allclose(first.joints, body(prediction.first_pose).joints[0], atol=1e-4)
    assert not torch.allclose(first.joints, refined.joints, atol=1e-3)
    skeleton = MethodPredictor(recoverer, stage="skeleton")(sample, people)
    assert skeleton.joint_names == SMPL24.names
    assert torch.equal(skeleton.joints, prediction.skeleton[0])
    assert not skeleton.vertices.numel()
