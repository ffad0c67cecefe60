"""Fits what confidences of found people mean, `CURVES` and `_CALIBRATION` of people/finder.py, to labelled photographs.

    python tools/calibrate_points.py FOLDER [--empty PHOTOS] [--kept FILE] [--plot PNG]

FOLDER: photographs and their `labels.json`, a list of {"image", "set", "people": [{"joints2d_px": {name: [x, y]}}]};
numbers are fitted to the sets that `CALIBRATED_ON` names and measured on all. A labelled person of six limb joints or
more is matched with the find that lies nearest, one to one; a joint is right within a tenth of the person, 1.2 longer
sides of the box around the labelled joints. PHOTOS: photographs without people. FILE keeps all looks, so that a second
run only fits.
"""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from rich.progress import track
from scipy.optimize import linear_sum_assignment
from scipy.special import expit

from humesh.body.joints import LIMBS12, MEDIAPIPE33
from humesh.media.photo import Photo
from humesh.people import finder
from humesh.people.finder import LEAST_TURNED, PeopleFinder, log_odds, person_of
from humesh.people.networks import Pose, Pyramid, blazepose

CALIBRATED_ON = ("coco_mini", "pose2sim_single", "ufes_4cam")
NEAR, TENTH, FOUND = 0.05, 0.1, 0.5  # of the person
THRESHOLDS = (0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
LOOKS = {"MultiPose": "multipose", "Thunder": "thunder", "full": "full", "heavy": "heavy"}
BINS = 10


Labels = tuple[list[int], np.ndarray, float]
"""A labelled person: places of the joints in MEDIAPIPE33, their points, the size."""


class Candidate(NamedTuple):
    """All looks at one body, with the full landmark model's first for comparison; whether the photo was turned."""

    looks: list[Pose]
    full: Pose
    turned: bool


class Seen(NamedTuple):
    """A photo's candidates, and its labelled people."""

    set: str
    size: tuple[int, int]
    candidates: list[Candidate]
    people: list[Labels]


class Recording(PeopleFinder):
    """The finder to which nobody is good enough, so that it goes on to the turned photo; keeps all looks."""

    def __init__(self) -> None:
        super().__init__(min_score=2.0)
        self.kept: list[Candidate] = []
        self._turning = False

    def _turned(self, pyramid: Pyramid) -> list[Pose]:
        self._turning = True
        return super()._turned(pyramid)

    def _predictions(self, pyramid: Pyramid, starts: Sequence[Pose], quick: bool) -> list[list[Pose]]:
        looks = super()._predictions(pyramid, starts, quick)
        for start, some in zip(starts, looks, strict=True):
            full = blazepose(pyramid, start.next_roi, "full")
            self.kept.append(Candidate([start, *some], full, self._turning))
        return looks


def recorded(photos: Iterable[tuple[Path, dict[str, Any]]]) -> list[Seen]:
    """What the finder looks at in photos."""
    seen = []
    with Recording() as finder:
        for path, record in track(list(photos), "photographs"):
            photo = Photo.read(path)
            finder.kept, finder._turning = [], False
            finder.search(photo)
            people = []
            for person in record["people"]:
                named = {name: place for name, place in person["joints2d_px"].items() if name in LIMBS12.names}
                points = np.array(list(named.values()), dtype=np.float64).reshape(-1, 2)
                if len(points) >= 6:
                    size = 1.2 * max(float(np.ptp(points, axis=0).max()), 1.0)
                    people.append((MEDIAPIPE33.indices(*named), points, size))
            seen.append(Seen(record["set"], photo.size, finder.kept, people))
    return seen


class Replaying(PeopleFinder):
    """The finder on looks that were kept."""

    def __init__(self, candidates: list[Candidate]) -> None:
        self.fast, self._kept = False, [candidate.looks[1:] for candidate in candidates]

    def _predictions(self, pyramid: Pyramid, starts: Sequence[Pose], quick: bool) -> list[list[Pose]]:
        return self._kept


def finds(seen: Seen, least: float) -> list[tuple[Pose, Candidate]]:
    """The finder's answer with that `min_score`: points as users get them, and whence they come."""
    photo: Any = SimpleNamespace(width=seen.size[0], height=seen.size[1])
    for turned in (False, True):
        some = [candidate for candidate in seen.candidates if candidate.turned == turned]
        starts, limit = [candidate.looks[0] for candidate in some], max(least, LEAST_TURNED) if turned else least
        if found := Replaying(some)._separated(photo, starts, [], limit):
            break
    of = {id(look.next_roi): candidate for candidate in some for look in candidate.looks}
    kept = [(pose, of[id(pose.next_roi)]) for pose in found]
    return [(replace(pose, points=np.asarray(person_of(pose, *seen.size).keypoints)), c) for pose, c in kept]


def matched(away: list[list[float]]) -> list[tuple[int, int]]:
    """Which labelled person (row) is which find (column), one to one, by the mean errors between them."""
    if not away or not away[0]:
        return []
    pairs = zip(*linear_sum_assignment(np.minimum(away, 9)), strict=True)
    return [(int(person), int(pose)) for person, pose in pairs if away[person][pose] < FOUND]


def found(seen: Seen, answer: list[tuple[Pose, Candidate]]) -> list[tuple[int, int]]:
    """Which labelled person is which of the finder's people."""
    return matched([[mean_off([pose], person) for pose, _ in answer] for person in seen.people])


def mean_off(poses: Sequence[Pose], person: Labels) -> float:
    """The mean error of poses of one body."""
    return float(np.mean([off(pose, person) for pose in poses]))


def confidences(rows: Iterable[tuple[Pose, Labels]]) -> tuple[np.ndarray, np.ndarray]:
    """Confidences of labelled joints and which of them are right, without those that have no confidence."""
    rows = list(rows)
    confidence = np.concatenate([pose.points[person[0], 2] for pose, person in rows])
    right = np.concatenate([off(pose, person) < TENTH for pose, person in rows])
    return confidence[confidence > 0], right[confidence > 0]


def off(pose: Pose, person: Labels) -> np.ndarray:
    """The errors of a person's labelled joints in that person's size."""
    joints, points, size = person
    return np.linalg.norm(pose.points[joints, :2] - points, axis=-1) / size


def fitted(confidence: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Logistic regression on the logit of a confidence, by Newton's method: start and slope, two decimals."""
    given = np.stack([np.ones_like(confidence), log_odds(confidence)], axis=1)
    answer = np.zeros(2)
    for _ in range(50):
        expected = expit(given @ answer)
        bend = (given.T * (expected * (1 - expected))) @ given
        answer = answer - np.linalg.solve(bend + 1e-6 * np.eye(2), given.T @ (expected - right))
    return round(float(answer[0]), 2), round(float(answer[1]), 2)


def binned(confidence: np.ndarray, right: np.ndarray) -> list[tuple[int, float, float]]:
    """Ten bins of confidence: how many points, their mean confidence, and the share that is right."""
    number = np.minimum((confidence * BINS).astype(int), BINS - 1)
    chosen = [number == each for each in range(BINS)]
    return [
        (int(c.sum()), float(confidence[c].mean()), float(right[c].mean())) if c.any() else (0, 0.0, 0.0)
        for c in chosen
    ]


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error over ten bins."""
    bins = binned(confidence, right)
    return sum(count * abs(mean - share) for count, mean, share in bins) / max(len(confidence), 1)


def plot(bins: list[tuple[int, float, float]], path: Path) -> None:
    """A bar for each bin: the share that is right, over its mean confidence; the diagonal would be perfect."""
    side, edge, fine = 360, 48, 3
    picture = Image.new("RGB", (fine * (side + 2 * edge),) * 2, "white")
    draw = ImageDraw.Draw(picture)

    def at(x: float, y: float) -> tuple[float, float]:
        return fine * (edge + x * side), fine * (edge + (1 - y) * side)

    for number, (count, mean, share) in enumerate(bins):
        if count:
            draw.rectangle([*at((number + 0.08) / BINS, share), *at((number + 0.92) / BINS, 0)], fill="#9bb8d3")
            x, y = at(mean, share)
            draw.ellipse([x - 10, y - 10, x + 10, y + 10], fill="#1f4e79")
    draw.line([*at(0, 0), *at(1, 1)], fill="#888888", width=fine)
    draw.rectangle([*at(0, 1), *at(1, 0)], outline="black", width=fine)
    for tick in np.linspace(0, 1, 6):
        draw.text((at(tick, 0)[0], at(0, 0)[1] + 12), f"{tick:.1f}", "black", anchor="ma", font_size=36)
        draw.text((at(0, 0)[0] - 12, at(0, tick)[1]), f"{tick:.1f}", "black", anchor="rm", font_size=36)
    draw.text((at(0.5, 0)[0], at(0, 0)[1] + 66), "confidence", "black", anchor="ma", font_size=42)
    title = "share of limb joints within a tenth of the person"
    draw.text((at(0.5, 1)[0], at(0, 1)[1] - 60), title, "black", anchor="mm", font_size=42)
    small = picture.resize((side + 2 * edge,) * 2, Image.Resampling.LANCZOS)
    small.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table in Markdown."""
    print(f"\n| {' | '.join(head)} |\n| --- |{' ---: |' * (len(head) - 1)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")


def main() -> None:
    """Prints the fitted numbers and every table of docs/finding_people.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--empty", type=Path)
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    if options.kept and options.kept.exists():
        real, empty = pickle.loads(options.kept.read_bytes())
    else:
        records = json.loads((options.folder / "labels.json").read_text())
        real = recorded((options.folder / record["image"], record) for record in records)
        paths = sorted(options.empty.iterdir()) if options.empty else []
        empty = recorded((path, {"set": "empty", "people": []}) for path in paths)
        if options.kept:
            options.kept.write_bytes(pickle.dumps((real, empty)))
    least = PeopleFinder().min_score
    sets = list(dict.fromkeys(seen.set for seen in real))

    # Whose looks a body's are is decided without the numbers that are fitted here.
    chosen = list[tuple[Candidate, Labels]]()
    for seen in (seen for seen in real if seen.set in CALIBRATED_ON):
        upright = [candidate for candidate in seen.candidates if not candidate.turned]
        away = [[mean_off(candidate.looks, person) for candidate in upright] for person in seen.people]
        chosen += [(upright[i], seen.people[person]) for person, i in matched(away)]
    curves = {}
    for name in finder.CURVES:
        looks = [(look, person) for c, person in chosen for look in [*c.looks, c.full] if look.network == name]
        curves[name] = fitted(*confidences(looks))
    print(f"CURVES = {curves}\n(were: {finder.CURVES})")
    finder.CURVES.update(curves)
    confidence, right = confidences((finder.fused(c.looks), person) for c, person in chosen)
    start, slope = finder._CALIBRATION
    calibration = fitted(expit((np.log(confidence / (1 - confidence)) - start) / slope), right)
    print(f"_CALIBRATION = {calibration}\n(was: {finder._CALIBRATION})")
    finder._CALIBRATION = calibration

    answers = [finds(seen, least) for seen in real]
    rows = [
        (seen.set, *answer[pose], seen.people[person])
        for seen, answer in zip(real, answers, strict=True)
        for person, pose in found(seen, answer)
    ]
    table(
        ("set", "people found", "points", "right", "mean confidence", "calibration error"),
        (
            (name, len(some), len(c), f"{r.mean():.2f}", f"{c.mean():.2f}", f"{calibration_error(c, r):.3f}")
            for name in [*sets, "together"]
            for some in [[row for row in rows if name in (row[0], "together")]]
            for c, r in [confidences((pose, person) for _, pose, _, person in some)]
        ),
    )
    bins = binned(*confidences((pose, person) for _, pose, _, person in rows))
    table(
        ("confidence", "points", "mean", "right"),
        ((f"{i / BINS:.1f} to {(i + 1) / BINS:.1f}", n, f"{m:.2f}", f"{r:.2f}") for i, (n, m, r) in enumerate(bins)),
    )
    if options.plot:
        plot(bins, options.plot)

    def of_network(pose: Pose, candidate: Candidate, which: str) -> Pose:
        if which == "heavy, all":
            return finder.fused([look for look in candidate.looks if look.network == "heavy"])
        wanted = (look for look in [*candidate.looks, candidate.full] if look.network == LOOKS.get(which))
        return next(wanted, pose)

    shares = []
    for which in [*LOOKS, "heavy, all", "fused"]:
        errors: dict[str, list[np.ndarray]] = {name: [] for name in sets}
        for name, pose, candidate, person in rows:
            errors[name].append(off(of_network(pose, candidate, which), person))
        each = [
            *(np.concatenate(errors[name]) for name in sets),
            np.concatenate([e for some in errors.values() for e in some]),
        ]
        shares.append((which, *(f"{100 * (e < NEAR).mean():.1f} / {100 * (e < TENTH).mean():.1f}" for e in each)))
    table(("points of", *sets, "together"), shares)

    lines = []
    for least_score in THRESHOLDS:
        right_finds = [len(found(seen, finds(seen, least_score))) for seen in real]
        recall = {
            name: sum(n for n, seen in zip(right_finds, real, strict=True) if name in (seen.set, "together"))
            / sum(len(seen.people) for seen in real if name in (seen.set, "together"))
            for name in [*sets, "together"]
        }
        nobody = [len(finds(seen, least_score)) for seen in empty]
        false = f"{sum(nobody)} in {sum(count > 0 for count in nobody)} of {len(nobody)}"
        lines.append((f"{least_score:.2f}", *(f"{100 * share:.1f} %" for share in recall.values()), false))
    table(("min_score", *sets, "together", "false finds"), lines)


if __name__ == "__main__":
    main()
