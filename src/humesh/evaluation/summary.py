"""From every person's errors to a benchmark's numbers, each with a bootstrap confidence interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Shaped

from humesh.evaluation.protocols import UNITS, Protocol
from humesh.evaluation.records import Records

DRAWS = 1000
MISSED_MM = 250.0
"""What a missed person's error counts as where everyone is averaged (PCK and AUC: 0)."""
_FEWEST_SEQUENCES = 5  # of fewer an interval over sequences means nothing; it is then over photos
_MOST_CLUSTERS = 2000
Weights = Float[np.ndarray, "D C"]
"""How often each of C clusters (sequences or photos) is in each of D draws."""


@dataclass(frozen=True)
class Number:
    """One number of a benchmark and its 95 % interval (NaN where one cluster says nothing), beside a paper's.

    `ours`: over those who got a body; `everyone`: over the missed people too (NaN: the number has no such form).
    `compared`: whether a difference to the paper's number means anything.
    """

    name: str
    unit: str
    ours: float
    low: float
    high: float
    everyone: float = float("nan")
    paper: float | None = None
    compared: bool = True

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's, where both mean the same."""
        return None if self.paper is None or not self.compared else self.ours - self.paper


@dataclass(frozen=True)
class Summary:
    """A benchmark's numbers, with who they are over; `clusters`: what the intervals' bootstrap draws."""

    numbers: tuple[Number, ...]
    people: int
    missed: int
    extra: int
    clusters: str


def summary(
    protocol: Protocol, records: Records, paper: dict[str, float] | None = None, compared: bool = True
) -> Summary:
    """The numbers by a protocol. Intervals: percentiles of a bootstrap over clusters (Efron, 1979), fixed seed.

    People in frames of one sequence are much alike, so whole sequences are drawn, where there are at least five.
    """
    paper = paper or {}
    by_sequence = len(set(records.photo_sequence.tolist())) >= _FEWEST_SEQUENCES or protocol.average == "sequences"
    names, photos = np.unique(records.photo_sequence if by_sequence else records.photo, return_inverse=True)
    people = np.searchsorted(names, records.sequence if by_sequence else records.sample)
    if len(names) > _MOST_CLUSTERS:  # runs of photos, so that the draws fit into memory
        names, photos, people = (a * _MOST_CLUSTERS // len(names) for a in (np.arange(len(names)), photos, people))
        names = np.unique(names)
    drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), DRAWS)
    weights = np.concatenate([np.ones((1, len(names))), drawn])
    everyones: dict[str, float] = {}
    if protocol.matching == "given":  # the other benchmarks' tools count missed people in their own ways
        filled = _statistics(protocol, _with_missed(records), people, photos, weights[:1])
        everyones = {name: float(values[0]) for name, (_, values) in filled.items()}
    found = {}
    for name, (unit, values) in _statistics(protocol, records, people, photos, weights).items():
        low, high = interval(values[1:]) if len(names) > 1 else (np.nan, np.nan)
        everyone = everyones.get(name, float("nan"))
        found[name] = Number(name, unit, float(values[0]), low, high, everyone, paper.get(name), compared)
    return Summary(
        tuple(found.values()),
        len(records),
        int(records.missed.sum()),
        int(records.extra.sum()),
        f"{len(names)} {'sequences' if by_sequence else 'photos or runs of them'}",
    )


def _with_missed(records: Records) -> Records:
    """The records with an error of `MISSED_MM` (PCK and AUC: 0) for everybody who was missed."""
    metrics = {
        name: np.where(records.missed, 0.0 if name in ("pck", "auc") else MISSED_MM, values)
        for name, values in records.metrics.items()
        if name != "accel"  # of which there is none without neighbours
    }
    return replace(records, metrics=metrics)


def interval(values: Float[np.ndarray, " D"]) -> tuple[float, float]:
    """The 95 % interval of a number from its values in the draws, NaN where none of them is finite."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)


def _statistics(
    protocol: Protocol,
    records: Records,
    people: Shaped[np.ndarray, " P"],
    photos: Shaped[np.ndarray, " F"],
    weights: Weights,
) -> dict[str, tuple[str, Float[np.ndarray, " D"]]]:
    """Each number for each row of weights; `people` and `photos`: their clusters."""
    count = weights.shape[1]

    def sums(values: Float[np.ndarray, " P"], chosen: Shaped[np.ndarray, " P"]) -> Float[np.ndarray, " C"]:
        return np.bincount(people[chosen], values[chosen], count).astype(np.float64)

    def mean(metric: str, inside: Shaped[np.ndarray, " P"]) -> Float[np.ndarray, " D"]:
        chosen = inside & np.isfinite(records.metrics[metric])
        return ratio(weights @ sums(records.metrics[metric], chosen), weights @ sums(chosen.astype(float), chosen))

    everybody = np.ones(len(records), bool)
    metrics = [name for name in protocol.metrics if name in records.metrics]
    if protocol.matching == "agora":
        return _agora(records, weights, sums, {name: mean(name, everybody) for name in metrics}, photos)
    if protocol.average == "sequences":
        annotated = sums(np.ones(len(records)), everybody)
        found = {}
        for name in metrics:
            chosen = np.isfinite(records.metrics[name])
            total, matched = sums(records.metrics[name], chosen), sums(chosen.astype(float), chosen)
            if name not in ("pck", "auc"):
                found[name] = (UNITS[name], _of_sequences(weights, ratio(total, matched)))
                continue
            for kind, people_in in (("all", annotated), ("matched", matched)):
                found[f"{name}_{kind}"] = (UNITS[name], _of_sequences(weights, ratio(total, people_in)))
        return found
    if protocol.average == "groups":
        (name,) = protocol.metrics
        names = np.char.lower(records.sequence)
        parts = {group: mean(name, np.char.find(names, group) >= 0) for group in protocol.groups}
        parts[name] = np.mean(list(parts.values()), axis=0)
        return {label: (UNITS[name], values) for label, values in parts.items()}
    return {name: (UNITS[name], mean(name, everybody)) for name in metrics}


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part / whole`, NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _of_sequences(weights: Weights, values: Float[np.ndarray, " C"]) -> Float[np.ndarray, " D"]:
    """The plain mean of the drawn sequences, without those that have nobody to take it over."""
    there = np.isfinite(values)
    return ratio(weights[:, there] @ values[there], weights[:, there].sum(1))


def _agora(
    records: Records,
    weights: Weights,
    sums: Callable[[np.ndarray, np.ndarray], np.ndarray],
    errors: dict[str, np.ndarray],
    photos: Shaped[np.ndarray, " F"],
) -> dict[str, tuple[str, Float[np.ndarray, " D"]]]:
    """AGORA's numbers: F1 and what it divides, rounded where the benchmark's tool rounds."""
    hit = weights @ sums((~records.missed).astype(float), np.ones(len(records), bool))
    miss = weights @ sums(records.missed.astype(float), np.ones(len(records), bool))
    extra = weights @ np.bincount(photos, records.extra.astype(np.float64), weights.shape[1])
    f1 = np.round(ratio(2 * hit, 2 * hit + miss + extra), 2)
    found = {}
    for name, (plain, normal) in {"mpjpe": ("mpjpe", "nmje"), "pve": ("mve", "nmve")}.items():
        if name in errors:
            found[plain] = ("mm", errors[name])
            found[normal] = ("mm", np.round(ratio(np.round(errors[name], 1), f1), 1))
    return found | {
        "f1": ("", f1),
        "precision": ("", np.round(ratio(hit, hit + extra), 2)),
        "recall": ("", np.round(ratio(hit, hit + miss), 2)),
    }
