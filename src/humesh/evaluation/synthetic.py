"""The synthetic test: how well bodies are recovered from our own rendered people, whole and by difficulty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from humesh.body.joints import JOTR30, LIMBS12
from humesh.body.pose_prior import PosePrior
from humesh.data.sample import LabelledPerson, Sample
from humesh.evaluation.answers import Answer
from humesh.evaluation.errors import Ruler
from humesh.evaluation.score import answered
from humesh.evaluation.summary import DRAWS

_LIMBS = JOTR30.indices(*LIMBS12.names)
_UNUSUAL_NATS = -1.0  # of the pose prior; a quarter of the test's poses have more
_STEEP = 0.5  # sine of 30 degrees: seen from that far above or below


@dataclass(frozen=True)
class Score:
    """One person's errors in millimetres over 12 limb joints; None where the method gave no body.

    `slices`: which difficulties the person has.
    """

    name: str
    pa_mpjpe: float | None
    mpjpe: float | None
    slices: frozenset[str]


def scores(ruler: Ruler, answer: Answer, samples: Iterable[Sample]) -> Iterator[Score]:
    """Every labelled person's score by the protocol of `ruler`."""
    for sample in samples:
        everybody = list(range(len(sample.people)))
        answers, found = answered(ruler, sample, everybody, answer)
        errors: dict[int, tuple[float | None, float | None]] = {}
        if found:
            theirs, people = answers.of(list(found.values())), [sample.people[i] for i in found]
            metrics = ruler(theirs.bodies, ruler.points(theirs), theirs.translation, people).metrics
            both = zip(metrics["pa_mpjpe"].tolist(), metrics["mpjpe"].tolist(), strict=True)
            errors = dict(zip(found, both, strict=True))
        for i, person in enumerate(sample.people):
            aligned, plain = errors.get(i, (None, None))
            yield Score(sample.name, aligned, plain, slices_of(sample, person))


def slices_of(sample: Sample, person: LabelledPerson) -> frozenset[str]:
    """What makes a person difficult: by limb joints outside of the photo or hidden, company, pose, view, distance."""
    width, height = sample.photo.size
    pixels, hidden = person.points2d[_LIMBS], 1 - person.visible[_LIMBS]
    inside = ((pixels >= 0) & (pixels < torch.tensor([width, height]))).all(-1)
    up = person.pose.rotations[0, :, 1] if len(person.pose.rotations) else torch.zeros(3)
    towards = person.points3d[JOTR30.index("pelvis")]
    steep = abs(float(up @ (towards / towards.norm()))) > _STEEP
    size = float((person.seen.box[2:] - person.seen.box[:2]).max()) / max(width, height)
    is_ = {
        "truncated": bool((~inside).any()),
        "occluded": float(hidden[inside].mean() if inside.any() else 1.0) > 1 / 2,
        "crowded": len(sample.people) > 1,
        "unusual pose": float(PosePrior.load().energy(person.pose.rotations.double())) > _UNUSUAL_NATS,
        "extreme view": steep,
        "small": size < 0.4,
        "near": float(towards[2]) < 2.0,
    }
    hard = frozenset(name for name, value in is_.items() if value)
    return hard or frozenset({"easy"})


def summary(found: list[Score]) -> list[tuple[str, int, float, float, float, float]]:
    """Rows of (slice, people, missed share, PA-MPJPE, half of its 95 % interval, MPJPE), "all" first; mm.

    Means over the people with a body; the interval is a bootstrap over people (Efron, 1979) with a fixed seed.
    """
    rows = []
    generator = np.random.default_rng(0)
    names = sorted({name for score in found for name in score.slices})
    for name in ["all", *names]:
        chosen = [score for score in found if name == "all" or name in score.slices]
        errors = np.array([[s.pa_mpjpe, s.mpjpe] for s in chosen if s.pa_mpjpe is not None], dtype=np.float64)
        if not len(errors):
            rows.append((name, len(chosen), 1.0, float("nan"), float("nan"), float("nan")))
            continue
        means = errors[generator.integers(0, len(errors), (DRAWS, len(errors))), 0].mean(1)
        low, high = np.percentile(means, [2.5, 97.5])
        missed = 1 - len(errors) / len(chosen)
        aligned, plain = errors.mean(0).tolist()
        rows.append((name, len(chosen), missed, aligned, float(high - low) / 2, plain))
    return rows
