"""AGORA's protocol against the tool's numbers, a plain twin on made-up people, and cases done by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from parity import ik_evaluation
from parity.arrays import Arrays
from parity.ik_evaluation import Image, agora_scores

from humesh.evaluation.matching import INVALID, MISSED, match_agora

PARITY = Path(__file__).parents[1] / "data/parity/ik_refine/eval_agora.npz"
FACTS = ("nmje_mm", "match_image_gt_pred", "count_miss_fp", "precision_recall_f1", "mpjpe_mm")


def _check(path: Path) -> Arrays:
    arrays = Arrays(path)
    ik_evaluation.check({"eval_agora": arrays}, path.parent, "public", None)
    assert arrays.leftover() == []
    assert all(result.holds for result in arrays.results), [r for r in arrays.results if not r.holds]
    return arrays


def test_the_tools_numbers_are_reproduced() -> None:
    assert {result.name for result in _check(PARITY).results} == set(FACTS)


def _made_up(seed: int) -> dict[str, np.ndarray]:
    """People in the layout of the parity data: crowds, missed, false and invalid people, images without any."""
    rng = np.random.default_rng(seed)
    out: dict[str, list] = {k: [] for k in ("gt_image", "gt2d", "gt3d", "gt_valid", "pred_image", "pred2d", "pred3d")}
    for image in range(12):
        people = int(rng.integers(0, 6))
        truth2d = rng.normal(size=(people, 24, 2)) * 40 + rng.normal(size=(people, 1, 2)) * 150 + 600
        truth3d = rng.normal(size=(people, 24, 3)) * 0.3 + [0, 0, 6]
        kept = rng.permutation(people)[: int(rng.integers(0, people + 1))]
        false = int(rng.integers(0, 3))
        seen2d = np.concatenate([truth2d[kept], rng.normal(size=(false, 24, 2)) * 30 + 700])
        seen3d = np.concatenate([truth3d[kept], rng.normal(size=(false, 24, 3)) * 0.3])
        seen2d += rng.normal(size=(len(seen2d), 1, 2)) * 60 + rng.normal(size=seen2d.shape) * 10
        seen3d += rng.normal(size=seen3d.shape) * 0.05 + 1
        out["gt_valid"] += list(rng.random(people) < 0.75)
        for side, xy, xyz in (("gt", truth2d, truth3d), ("pred", seen2d, seen3d)):
            out[f"{side}_image"] += [image] * len(xy)
            out[f"{side}2d"] += list(xy)
            out[f"{side}3d"] += list(xyz)
    return {name: np.array(rows) for name, rows in out.items()}


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of the boxes around two people, pixels counted with both ends."""
    sides = []
    for axis in range(2):
        low, high = max(a[:, axis].min(), b[:, axis].min()), min(a[:, axis].max(), b[:, axis].max())
        sides.append(max(high - low + 1, 0))
    areas = [np.prod([np.ptp(points[:, axis]) + 1 for axis in range(2)]) for points in (a, b)]
    return sides[0] * sides[1] / (sum(areas) - sides[0] * sides[1])


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest singular value of the difference, from the eigenvalues of its 2 x 2 square."""
    return float(np.sqrt(np.linalg.eigvalsh((a - b).T @ (a - b))[-1]))


def _twin(data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The protocol written out: again and again the closest pair that was not looked at yet."""
    rows, errors = [], []
    for image in sorted({*data["gt_image"].tolist(), *data["pred_image"].tolist()}):
        truths, predictions = (np.flatnonzero(data[f"{side}_image"] == image) for side in ("gt", "pred"))
        left = {
            (_distance(data["pred2d"][p], data["gt2d"][t]), i, j): (t, p)
            for i, p in enumerate(predictions)
            for j, t in enumerate(truths)
        }
        who: dict[int, int] = {}
        out: set[int] = set()
        rejected = 0
        while left and len(who) + rejected < len(predictions):
            closest = min(left)
            t, p = left.pop(closest)
            if _overlap(data["pred2d"][p], data["gt2d"][t]) < 0.1:
                rejected += 1
            elif t not in who and t not in out and p not in who.values():
                if data["gt_valid"][t]:
                    who[t] = p
                else:
                    out.add(t)
        for j, t in enumerate(truths):
            if t in who:
                rows.append((image, j, list(predictions).index(who[t])))
                target, seen = data["gt3d"][t], data["pred3d"][who[t]]
                difference = (target - (target[1] + target[2]) / 2) - (seen - (seen[1] + seen[2]) / 2)
                errors.append(np.sqrt((difference**2).sum(-1)).mean())
            else:
                rows.append((image, j, -1 if data["gt_valid"][t] else -2))
    people, right, predicted = int(data["gt_valid"].sum()), len(errors), len(data["pred_image"])
    f1 = round(2 * right / (people + predicted), 2)
    return {
        "match_image_gt_pred": np.array(rows),
        "count_miss_fp": np.array([people, people - right, predicted - right]),
        "precision_recall_f1": np.array([round(right / predicted, 2), round(right / people, 2), f1]),
        "mpjpe_mm": np.array(1000 * np.mean(errors)),
        "nmje_mm": np.array(round(round(1000 * np.mean(errors), 1) / f1, 1)),
    }


@pytest.mark.parametrize("seed", range(6))
def test_a_plain_twin_on_made_up_people(seed: int, tmp_path: Path) -> None:
    data = _made_up(seed)
    np.savez(tmp_path / "eval_agora.npz", **data, **_twin(data))
    _check(tmp_path / "eval_agora.npz")


def _image(count: int) -> Image:
    """People 300 px and 1 m apart, all valid, all predicted perfectly."""
    side = torch.arange(count)[:, None, None] * torch.tensor([1.0, 0.0])
    pixels = 100 * torch.rand(count, 24, 2, dtype=torch.float64) + 300 * side
    places = torch.rand(count, 24, 3, dtype=torch.float64) + torch.nn.functional.pad(side, (0, 1))
    return Image(pixels, places, torch.ones(count, dtype=torch.bool), pixels, places)


def _match(image: Image, least_iou: float = 0.1) -> torch.Tensor:
    return match_agora(image.truth_px, image.valid, image.predicted_px, least_iou)


def test_perfect_people_in_another_order_and_place() -> None:
    image = _image(2)
    image = image._replace(predicted_px=image.predicted_px.flip(0), predicted=image.predicted.flip(0) + 5)
    assert _match(image).tolist() == [1, 0]
    scores = agora_scores([image, image])
    assert (scores["people"], scores["misses"], scores["false_positives"]) == (4, 0, 0)
    assert (scores["precision"], scores["recall"], scores["f1"]) == (1.0, 1.0, 1.0)
    assert scores["mpjpe"] == pytest.approx(0, abs=1e-9)
    assert "mve" not in scores


def test_misses_and_false_positives_normalise_the_error() -> None:
    image = _image(3)
    moved = image.predicted[1:].clone()
    moved[:, 20] += torch.tensor([0.0, 0.0, 0.24])  # one of 24 joints off by 240 mm: 10 mm
    missed = image._replace(predicted_px=image.predicted_px[1:], predicted=moved)
    scores = agora_scores([missed])
    assert _match(missed).tolist() == [MISSED, 0, 1]
    assert (scores["people"], scores["misses"], scores["false_positives"]) == (3, 1, 0)
    assert (scores["precision"], scores["recall"], scores["f1"]) == (1.0, 0.67, 0.8)  # 2 / (2 + 0.5)
    assert scores["mpjpe"] == pytest.approx(10)
    assert scores["nmje"] == 12.5
    false = image._replace(truth_px=image.truth_px[:2], truth=image.truth[:2], valid=image.valid[:2])
    scores = agora_scores([false])
    assert (scores["misses"], scores["false_positives"], scores["precision"], scores["f1"]) == (0, 1, 0.67, 0.8)


def test_an_invalid_person_is_taken_out_and_the_prediction_stays_free() -> None:
    image = _image(1)
    two = image._replace(
        truth_px=torch.cat([image.truth_px, image.truth_px + 5]),
        truth=image.truth.repeat(2, 1, 1),
        valid=torch.tensor([False, True]),
    )
    assert _match(two).tolist() == [INVALID, 0]
    scores = agora_scores([two])
    assert (scores["people"], scores["misses"], scores["false_positives"], scores["f1"]) == (1, 0, 0, 1.0)
    alone = agora_scores([image._replace(valid=torch.tensor([False]))])
    assert (alone["people"], alone["misses"], alone["false_positives"], alone["f1"]) == (0, 0, 1, 0.0)


def test_a_rejected_pair_can_end_the_matching_early() -> None:
    corners = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).double().repeat(12, 1)
    wide, small = 2000 * corners, 450 + 100 * corners
    seen = 1000 * corners  # a quarter of the wide person's box; the small one is closer, but lies in 1 % of it
    image = _image(1)._replace(truth_px=wide[None], predicted_px=seen[None])
    assert _match(image).tolist() == [0]
    both = _image(2)._replace(
        truth_px=torch.stack([wide, small]), predicted_px=image.predicted_px, predicted=image.predicted
    )
    assert _match(both).tolist() == [MISSED, MISSED]
    assert _match(both, least_iou=0.005).tolist() == [MISSED, 0]
    # The small person is found: the pair of them and the wide prediction is rejected all the same, and ends it.
    found = both._replace(predicted_px=torch.stack([seen, small]), predicted=both.truth)
    assert _match(found).tolist() == [MISSED, 1]


def test_boxes_count_the_pixels_of_both_ends() -> None:
    line = torch.stack([torch.linspace(0, 99, 24), torch.full((24,), 7.0)], dim=-1)[None]  # 100 px x 1 px
    image = _image(1)._replace(truth_px=line, predicted_px=line + torch.tensor([81.0, 0.0]))
    assert _match(image).tolist() == [0]  # 19 of 181 px
    assert _match(image._replace(predicted_px=line + torch.tensor([82.0, 0.0]))).tolist() == [MISSED]  # 18


def test_nobody_predicted_or_annotated() -> None:
    image = _image(2)
    nobody = image._replace(predicted_px=image.predicted_px[:0], predicted=image.predicted[:0])
    assert _match(nobody).tolist() == [MISSED] * 2
    scores = agora_scores([nobody])
    assert (scores["people"], scores["misses"], scores["false_positives"]) == (2, 2, 0)
    assert (scores["precision"], scores["recall"], scores["f1"]) == (0.0, 0.0, 0.0)
    assert np.isnan([scores["mpjpe"], scores["nmje"]]).all()
    empty = image._replace(truth_px=image.truth_px[:0], truth=image.truth[:0], valid=image.valid[:0])
    assert _match(empty).shape == (0,)
    assert agora_scores([empty])["false_positives"] == 2
    mixed = agora_scores([nobody, empty, image])
    assert (mixed["people"], mixed["misses"], mixed["false_positives"], mixed["f1"]) == (4, 2, 2, 0.5)


def test_vertices_are_moved_with_the_mid_hip_of_the_joints() -> None:
    image, vertices = _image(2), torch.rand(2, 50, 3).double()
    shift = torch.tensor([0.3, -0.2, 4.0])
    same = image._replace(
        truth_vertices=vertices, predicted=image.predicted + shift, predicted_vertices=vertices + shift
    )
    assert agora_scores([same])["mve"] == pytest.approx(0, abs=1e-9)
    off = same._replace(predicted_vertices=vertices + shift + torch.tensor([0.0, 0.03, 0.04]))
    scores = agora_scores([off])
    assert scores["mve"] == pytest.approx(50)
    assert scores["nmve"] == 50.0


def test_people_at_no_place_are_refused() -> None:
    image = _image(2)
    with pytest.raises(ValueError, match="finite predicted_px"):
        _match(image._replace(predicted_px=image.predicted_px * float("nan")))
    with pytest.raises(ValueError, match="finite truth_px"):
        _match(image._replace(truth_px=image.truth_px * float("inf")))
