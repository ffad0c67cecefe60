"""From every person's errors to a benchmark's numbers, each with a bootstrap confidence interval, and their table."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int, Shaped

from humesh.evaluation.protocols import UNITS, Protocol
from humesh.evaluation.run import Records, taken

DRAWS = 1000
MISSED_MM = 250.0
"""What a missed person's error counts as where everyone is averaged (PCK and AUC: 0)."""
_FEWEST_SEQUENCES = 5  # of fewer an interval over sequences means nothing; it is then over photos
_MOST_CLUSTERS = 2000
_PERCENT = ("pck", "auc")
_SHARES = ("f1", "precision", "recall")
Weights = Float[np.ndarray, "D C"]
"""How often each of C clusters (sequences or photos) counts: once, then as drawn with replacement."""


@dataclass(frozen=True)
class Number:
    """One number of a benchmark and its 95 % interval (NaN where there is a single cluster), beside a paper's.

    `ours`: over those who got a body; `everyone`: over the missed people too (NaN: the number has no such form).
    `difference`: ours minus the paper's; None where they do not mean the same.
    """

    name: str
    unit: str
    ours: float
    low: float
    high: float
    everyone: float = float("nan")
    paper: float | None = None
    difference: float | None = None

    def text(self) -> str:
        """Ours with its interval."""
        if not math.isfinite(self.ours):
            return "-"
        digits = 1 if self.unit else 2
        between = f" ({self.low:.{digits}f} to {self.high:.{digits}f})" if math.isfinite(self.low) else ""
        return f"{self.ours:.{digits}f}{between}"


@dataclass(frozen=True)
class Row:
    """The numbers of one group of people."""

    name: str
    people: int
    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class Summary:
    """A benchmark's numbers, with who they are over; `intervals_over`: what the intervals' bootstrap draws."""

    numbers: tuple[Number, ...]
    people: int
    missed: int
    extra: int
    intervals_over: str


def resampled(clusters: int, generator: np.random.Generator) -> Weights:
    """The weights of a bootstrap over clusters (Efron, 1979), after those of the clusters as they are."""
    draws = generator.multinomial(clusters, np.full(clusters, 1 / clusters), DRAWS)
    return np.concatenate([np.ones((1, clusters)), draws])


def interval(values: Float[np.ndarray, " D"]) -> tuple[float, float]:
    """The 95 % interval of a number from its values in the draws, NaN where none of them is finite."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)


def ratio(part: np.ndarray, total: np.ndarray) -> np.ndarray:
    """`part / total`, NaN where the total is 0."""
    return np.divide(part, total, out=np.full(part.shape, np.nan), where=total > 0)


def summary(
    protocol: Protocol, records: Records, paper: Mapping[str, float] | None = None, compared: bool = True
) -> Summary:
    """The numbers by a protocol. Intervals: percentiles of a bootstrap over clusters, fixed seed.

    People in frames of one sequence are much alike, so whole sequences are drawn, where there are at least five.
    """
    paper, missed = paper or {}, records.people["missed"]
    by_sequence = len({*records.photos["sequence"].tolist()}) >= _FEWEST_SEQUENCES or protocol.average == "sequences"
    key = "sequence" if by_sequence else "sample"
    names, photos = np.unique(records.photos[key], return_inverse=True)
    people = np.searchsorted(names, records.people[key])
    if len(names) > _MOST_CLUSTERS:  # runs of photos, so that the draws fit into memory
        names, photos, people = (a * _MOST_CLUSTERS // len(names) for a in (np.arange(len(names)), photos, people))
        names = np.unique(names)
    weights = resampled(len(names), np.random.default_rng(0))
    everyones: dict[str, np.ndarray] = {}
    if protocol.matching == "given":  # the other benchmarks' tools count missed people in their own ways
        filled = {
            name: np.where(missed, 0.0 if name in _PERCENT else MISSED_MM, records.people[name])
            for name in protocol.metrics
            if name != "accel"  # of which there is none without neighbours
        }
        known = replace(records, people={**records.people, "accel": np.full(len(records), np.nan), **filled})
        everyones = _statistics(protocol, known, people, photos, weights[:1])
    numbers = []
    for name, values in _statistics(protocol, records, people, photos, weights).items():
        unit = "" if name in _SHARES else UNITS.get(name.removesuffix("_all").removesuffix("_matched"), "mm")
        low, high = interval(values[1:]) if len(names) > 1 else (np.nan, np.nan)
        ours, everyone, theirs = float(values[0]), float(everyones.get(name, [np.nan])[0]), paper.get(name)
        difference = None if theirs is None or not compared else ours - theirs
        numbers.append(Number(name, unit, ours, low, high, everyone, theirs, difference))
    clusters = f"{len(names)} {'sequences' if by_sequence else 'photos or runs of them'}"
    return Summary(tuple(numbers), len(records), int(missed.sum()), int(records.photos["extra"].sum()), clusters)


def _statistics(
    protocol: Protocol,
    records: Records,
    people: Int[np.ndarray, " P"],
    photos: Int[np.ndarray, " F"],
    weights: Weights,
) -> dict[str, Float[np.ndarray, " D"]]:
    """Each number for each row of weights; `people` and `photos`: their clusters."""
    metrics, missed = {name: records.people[name] for name in protocol.metrics}, records.people["missed"]
    if not np.isfinite(metrics.get("pve", [0.0])).any() and not missed.all():
        del metrics["pve"]  # the predictions have no mesh of the labels' kind

    def sums(values: Float[np.ndarray, " P"], inside: Shaped[np.ndarray, " P"]) -> Float[np.ndarray, " C"]:
        return np.bincount(people[inside], values[inside], weights.shape[1]).astype(np.float64)

    def mean(values: Float[np.ndarray, " P"], inside: Shaped[np.ndarray, " P"] | bool = True) -> np.ndarray:
        known = inside & np.isfinite(values)
        return ratio(weights @ sums(values, known), weights @ sums(np.ones(len(values)), known))

    if protocol.matching == "agora":
        extra = np.bincount(photos, records.photos["extra"].astype(np.float64), weights.shape[1])
        counts = [weights @ sums(np.ones(len(records)), mask) for mask in (~missed, missed)]
        return _agora(counts[0], counts[1], weights @ extra, {name: mean(values) for name, values in metrics.items()})
    if protocol.average == "groups":
        (name,), sequences = protocol.metrics, np.char.lower(records.people["sequence"])
        groups = {group: mean(metrics[name], np.char.find(sequences, group) >= 0) for group in protocol.groups}
        return groups | {name: np.mean(list(groups.values()), axis=0)}
    if protocol.average == "people":
        return {name: mean(values) for name, values in metrics.items()}
    numbers = {}
    annotated = sums(np.ones(len(records)), np.ones(len(records), bool))
    for name, values in metrics.items():
        known = np.isfinite(values)
        total, matched = sums(values, known), sums(np.ones(len(values)), known)
        if name in _PERCENT:
            numbers[f"{name}_all"] = _of_sequences(weights, ratio(total, annotated))
        numbers[f"{name}_matched" if name in _PERCENT else name] = _of_sequences(weights, ratio(total, matched))
    return numbers


def _of_sequences(weights: Weights, values: Float[np.ndarray, " C"]) -> Float[np.ndarray, " D"]:
    """The plain mean of the drawn sequences, without those that have nobody to take it over."""
    known = np.isfinite(values)
    return ratio(weights[:, known] @ values[known], weights[:, known].sum(1))


def _agora(
    hit: np.ndarray, miss: np.ndarray, extra: np.ndarray, errors: dict[str, np.ndarray]
) -> dict[str, Float[np.ndarray, " D"]]:
    """AGORA's numbers: F1 and what it divides, rounded where the benchmark's tool rounds."""
    f1 = np.round(ratio(2 * hit, 2 * hit + miss + extra), 2)
    numbers = {}
    for name, plain, normalised in (("mpjpe", "mpjpe", "nmje"), ("pve", "mve", "nmve")):
        if name in errors:
            numbers[plain] = errors[name]
            numbers[normalised] = np.round(ratio(np.round(errors[name], 1), f1), 1)
    shares = {"precision": ratio(hit, hit + extra), "recall": ratio(hit, hit + miss)}
    return numbers | {"f1": f1, **{name: np.round(values, 2) for name, values in shares.items()}}


def grouped(protocol: Protocol, records: Records, groups: Sequence[Collection[str]]) -> list[Row]:
    """A row for all people and one for each group: the share who got a body, and the means over these people.

    `groups`: of each person the names of those that they are in.
    """
    protocol, rows = replace(protocol, matching="given", average="people"), []
    for name in ("all", *sorted({name for some in groups for name in some})):
        inside = np.array([name == "all" or name in some for some in groups], dtype=bool)
        some = replace(records, people=taken(records.people, inside))
        found = Number("found", "%", 100 * float(1 - some.people["missed"].mean()), np.nan, np.nan)
        rows.append(Row(name, len(some), (found, *summary(protocol, some).numbers)))
    return rows


def table(rows: Sequence[Row], head: str) -> list[list[str]]:
    """Rows as text, the head (with `head` over their names) first, without the numbers that no row has."""
    known = [i for i in range(len(rows[0].numbers)) if any(math.isfinite(row.numbers[i].ours) for row in rows)]
    names = [f"{number.name} {number.unit}".strip() for number in (rows[0].numbers[i] for i in known)]
    lines = [[row.name, f"{row.people}", *(row.numbers[i].text() for i in known)] for row in rows]
    return [[head, "people", *names], *lines]


def comparison(result: Summary, paper: str) -> list[list[str]]:
    """The numbers beside a paper's as text, the head first."""
    everyone = [f"all, missed as {MISSED_MM:g} mm"] if result.missed else []
    lines = [["number", "ours", "95 % interval", *everyone, paper, "difference"]]
    for n in result.numbers:
        digits = 1 if n.unit else 2
        ours, low, high, every, theirs = (
            "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"
            for value in (n.ours, n.low, n.high, n.everyone, n.paper)
        )
        between = "-" if low == "-" else f"{low} to {high}"
        difference = "-" if n.difference is None or math.isnan(n.difference) else f"{n.difference:+.{digits}f}"
        name = f"{n.name}, {n.unit}" if n.unit else n.name
        lines.append([name, ours, between, *([every] if everyone else []), theirs, difference])
    return lines
