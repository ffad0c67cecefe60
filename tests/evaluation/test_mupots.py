"""MuPoTS-3D's protocol against the tool's numbers, a plain twin on made-up people, and cases done by hand."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from parity import ik_evaluation
from parity.arrays import Arrays
from parity.ik_evaluation import Frame, mupots_scores

from humesh.body.joints import MPI_INF_3DHP17
from humesh.evaluation.matching import BONES as OURS
from humesh.evaluation.matching import MATCH_JOINTS, MISSED, match_mupots, with_bone_lengths
from humesh.evaluation.protocols import PCK_JOINTS

PARITY = Path(__file__).parents[1] / "data/parity/ik_refine/eval_mupots.npz"

# The benchmark's own numbers, which the library spells by name: (joint, parent), outwards from the pelvis.
BONES = [(15, 14), (1, 15), (0, 1), (16, 1), (2, 1), (3, 2), (4, 3), (5, 1), (6, 5), (7, 6), (8, 14), (9, 8), (10, 9),
         (11, 14), (12, 11), (13, 12)]  # fmt: skip
PELVIS = 14


def _check(path: Path) -> Arrays:
    arrays = Arrays(path)
    ik_evaluation.check({"eval_mupots": arrays}, path.parent, "public", None)
    assert arrays.leftover() == []
    assert all(result.holds for result in arrays.results), [r for r in arrays.results if not r.holds]
    return arrays


def test_the_tools_numbers_are_reproduced() -> None:
    assert len(_check(PARITY).results) == 2 + 8 * 7


def test_names_spell_the_benchmarks_numbers() -> None:
    assert [tuple(MPI_INF_3DHP17.indices(*bone)) for bone in OURS] == BONES
    assert MPI_INF_3DHP17.indices(*PCK_JOINTS) == list(range(14))
    assert MPI_INF_3DHP17.indices(*MATCH_JOINTS) == list(range(1, 14))


def _made_up(seed: int) -> dict[str, np.ndarray]:
    """People in the layout of the parity data: crowds, missed and false people, missing joints, empty frames."""
    rng = np.random.default_rng(seed)
    out: dict[str, list] = {k: [] for k in ("gt_seq_frame", "gt2d", "gt3d", "pred_seq_frame", "pred2d", "pred3d")}
    for sequence in (2, 5, 6, 11):
        for frame in rng.choice(50, 5, replace=False):
            people = rng.integers(0, 4) if sequence != 2 else 2
            crowd = rng.normal(size=(17, 2)) * 60 + 500
            truth2d = crowd + rng.normal(size=(people, 1, 2)) * 30
            truth3d = rng.normal(size=(people, 17, 3)) * 300 + [0, 0, 4000]
            kept = rng.permutation(people)[: rng.integers(0, people + 1)] if people else np.zeros(0, int)
            seen2d = truth2d[kept] + rng.normal(size=(len(kept), 17, 2)) * 25
            seen3d = truth3d[kept] * 1.1 + rng.normal(size=(len(kept), 17, 3)) * 60
            if frame % 2:  # somebody who is not there
                seen2d = np.concatenate([seen2d, crowd[None] + rng.normal(size=(1, 17, 2)) * 40])
                seen3d = np.concatenate([seen3d, rng.normal(size=(1, 17, 3)) * 300])
            seen2d[rng.random(seen2d.shape[:2]) < 0.2] = 0
            for side, xy, xyz in (("gt", truth2d, truth3d), ("pred", seen2d, seen3d)):
                out[f"{side}_seq_frame"] += [(sequence, frame)] * len(xy)
                out[f"{side}2d"] += list(xy)
                out[f"{side}3d"] += list(xyz)
    data = {name: np.array(rows) for name, rows in out.items()}
    data["gt3d_univ"] = data["gt3d"] * 0.93
    return data


def _twin(data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The protocol written out with loops over people and joints."""
    pairs, matches = [], []
    seq_frames = sorted({(int(s), int(f)) for s, f in data["gt_seq_frame"]})
    for place in seq_frames:
        truths = [i for i, p in enumerate(data["gt_seq_frame"]) if tuple(p) == place]
        free = [i for i, p in enumerate(data["pred_seq_frame"]) if tuple(p) == place]
        here = list(free)
        for number, t in enumerate(truths):
            most, who = 0, None
            for p in free:
                count = 0
                for joint in range(1, 14):
                    x, y = data["pred2d"][p, joint]
                    u, v = data["gt2d"][t, joint]
                    if not (x == 0 and y == 0) and abs(x - u) < 40 and abs(y - v) < 40:
                        count += 1
                if count > most:
                    most, who = count, p
            if who is not None:
                free.remove(who)
                pairs.append((place[0], t, who))
                matches.append((*place, number, here.index(who)))
    out = {
        "matches_seq_frame_gt_pred": np.array(matches),
        "recall": np.array(len(pairs) / len(data["gt_seq_frame"])),
    }
    for truth, root, scale in product(("univ", "nonuniv"), ("rootrel", "nonrootrel"), ("rescale", "norescale")):
        rows = []
        for sequence in sorted({s for s, _ in seq_frames}):
            errors = []
            for t, p in [(t, p) for s, t, p in pairs if s == sequence]:
                target, seen = data["gt3d_univ" if truth == "univ" else "gt3d"][t], data["pred3d"][p].copy()
                if scale == "rescale":
                    old = seen.copy()
                    for joint, parent in BONES:
                        bone = old[joint] - old[parent]
                        length = np.sqrt(((target[joint] - target[parent]) ** 2).sum())
                        seen[joint] = seen[parent] + bone / np.sqrt((bone**2).sum()) * length
                if root == "rootrel":
                    target, seen = target - target[PELVIS], seen - seen[PELVIS]
                errors.append([float(np.sqrt(((target[k] - seen[k]) ** 2).sum())) for k in range(17)])
            annotated = sum(s == sequence for s, _ in data["gt_seq_frame"])
            limbs = np.array([e[:14] for e in errors])
            below = [np.mean(limbs < threshold) for threshold in range(0, 151, 5)]
            values = {
                "mpjpe14": np.mean(limbs),
                "mpjpe16": np.mean([e[:14] + e[15:] for e in errors]),
                "mpjpe17": np.mean(errors),
                "pck_matched": 100 * below[-1],
                "auc_matched": 100 * np.mean(below),
            }
            values["pck_all_anno"] = values["pck_matched"] * len(errors) / annotated
            values["auc_all_anno"] = values["auc_matched"] * len(errors) / annotated
            rows.append(values)
        for metric in rows[0]:
            each = [row[metric] for row in rows]
            out[f"{truth}_{root}_{scale}/{metric}"] = np.array([*each, np.mean(each)])
    return out


@pytest.mark.parametrize("seed", range(6))
def test_a_plain_twin_on_made_up_people(seed: int, tmp_path: Path) -> None:
    data = _made_up(seed)
    np.savez(tmp_path / "eval_mupots.npz", **data, **_twin(data))
    _check(tmp_path / "eval_mupots.npz")


def _people(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """People 300 px and 1 m apart."""
    side = torch.arange(count)[:, None, None] * torch.tensor([1.0, 0.0])
    pixels = 50 + 40 * torch.rand(count, 17, 2, dtype=torch.float64) + 300 * side
    places = torch.rand(count, 17, 3, dtype=torch.float64) + torch.nn.functional.pad(side, (0, 1))
    return pixels, places


def test_perfect_people_in_another_order_score_full_marks() -> None:
    pixels, places = _people(2)
    frame = Frame(pixels, places, pixels.flip(0), places.flip(0))
    assert match_mupots(pixels, pixels.flip(0)).tolist() == [1, 0]
    scores, recall = mupots_scores([[frame], [frame, frame]])
    assert recall == 1.0
    for metric, values in scores.items():
        full = 0.0 if "mpjpe" in metric else 100.0 if "pck" in metric else 100 * 30 / 31  # below 0 mm nothing can be
        assert values.tolist() == pytest.approx([full, full], abs=1e-9), metric


def test_a_missed_person_counts_nothing_in_all_and_is_left_out_of_matched() -> None:
    pixels, places = _people(4)
    scores, recall = mupots_scores([[Frame(pixels, places, pixels[1:2], places[1:2])]])
    assert scores["pck_matched"].item() == pytest.approx(100)
    assert scores["pck_all"].item() == pytest.approx(25)
    assert scores["mpjpe17"].item() == pytest.approx(0, abs=1e-9)
    assert recall == 0.25


def test_nobody_predicted_or_annotated() -> None:
    pixels, places = _people(2)
    nobody = Frame(pixels, places, pixels[:0], places[:0])
    empty = Frame(pixels[:0], places[:0], pixels, places)
    perfect = Frame(pixels, places, pixels, places)
    assert match_mupots(pixels, pixels[:0]).tolist() == [MISSED] * 2
    assert match_mupots(pixels[:0], pixels).shape == (0,)
    scores, recall = mupots_scores([[nobody, empty], [empty], [], [perfect]])
    assert recall == 0.5
    assert scores["pck_all"].nan_to_num(-1).tolist() == pytest.approx([0, -1, -1, 100])
    assert scores["pck_matched"].nan_to_num(-1).tolist() == pytest.approx([-1, -1, -1, 100])
    assert mupots_scores([[nobody]])[0]["mpjpe14"].isnan()


def test_the_annotations_order_decides_and_40_px_are_too_far() -> None:
    pixels = torch.full((1, 17, 2), 100.0).double()
    near, far = pixels + torch.tensor([39.9, 39.9]), pixels + torch.tensor([40.0, 0.0])
    truth = torch.cat([pixels + 20, pixels])  # both are near the one prediction, the second is nearer
    assert match_mupots(truth, pixels).tolist() == [0, MISSED]
    assert match_mupots(pixels, torch.cat([far, near, near])).tolist() == [1]


def test_a_missing_joint_is_not_near_and_other_joints_do_not_match_people() -> None:
    pixels = torch.full((1, 17, 2), 10.0).double()
    seen = torch.zeros_like(pixels)
    for joint in ("head_top", "pelvis", "spine", "head"):
        seen[:, MPI_INF_3DHP17.index(joint)] = 10.0
    assert match_mupots(pixels, seen).tolist() == [MISSED]
    seen[:, MPI_INF_3DHP17.index("left_ankle"), 0] = 10.0  # (10, 0) is a pixel
    assert match_mupots(pixels, seen).tolist() == [0]


def test_rescaling_undoes_a_wrong_size_and_keeps_directions_and_the_pelvis() -> None:
    truth = torch.rand(3, 17, 3).double()
    rescaled = with_bone_lengths(1.7 * truth + 2, truth)
    pelvis = MPI_INF_3DHP17.index("pelvis")
    assert torch.allclose(rescaled[:, pelvis], 1.7 * truth[:, pelvis] + 2)
    moved = rescaled - rescaled[:, [pelvis]] + truth[:, [pelvis]]
    assert torch.allclose(moved, truth, atol=1e-12)
    assert with_bone_lengths(torch.zeros_like(truth), truth).isfinite().all()
