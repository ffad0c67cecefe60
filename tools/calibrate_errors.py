"""Fits the three numbers of the lifter's expected errors (`_OWN`, `_FLOOR_M`, `_DOUBT_M` of methods/lifter.py).

    python tools/calibrate_errors.py FOLDER

FOLDER: labelled photos (docs/benchmarks.md). Maximum likelihood on the sets that `CALIBRATED_ON` names, of errors that
are Student's t in space with 5 degrees of freedom; then the share of joints within the 68 and 95 % ranges, by set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.progress import track
from scipy.optimize import minimize

from humesh.evaluation.real import WITHIN, read_labels, scored
from humesh.media.photo import Photo
from humesh.methods import lifter
from humesh.recover import Recoverer

CALIBRATED_ON = ("pose2sim_single", "ufes_4cam")
FREEDOM, MEAN = 5, 1.898  # of Student's t in space of scale 1


def main() -> None:
    """Measures, fits and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    recoverer = Recoverer()
    rows: list[tuple[str, float, float, float]] = []  # set, error, own, doubt: metres
    photos = [p for p in read_labels(parser.parse_args().folder) if any(np.isfinite(e.metres).any() for e in p.labels)]
    for photo in track(photos):
        pixels = Photo.read(photo.path)
        people, parts = recoverer.finder(pixels), []
        for numbers in ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)):
            lifter._OWN, lifter._FLOOR_M, lifter._DOUBT_M = numbers
            parts.append(scored(photo, recoverer(pixels, people)))
        for own, doubt in zip(*parts, strict=True):
            if own.expected_mm is not None and own.errors_mm is not None and doubt.expected_mm is not None:
                columns = (own.errors_mm / 1000, own.expected_mm / 1000, doubt.expected_mm / 1000)
                rows += [(photo.set, *numbers) for numbers in zip(*columns, strict=True)]
    sets = np.array([row[0] for row in rows])
    error, own, doubt = np.array([row[1:] for row in rows]).T

    def expected(logs: np.ndarray) -> np.ndarray:
        factor, floor, share = np.exp(logs)
        return np.sqrt((factor * own) ** 2 + floor**2 + (share * doubt) ** 2)

    def cost(logs: np.ndarray) -> float:
        scale = expected(logs)[used] / MEAN
        return float(np.mean(3 * np.log(scale) + (FREEDOM + 3) / 2 * np.log1p((error[used] / scale) ** 2 / FREEDOM)))

    used = np.isin(sets, CALIBRATED_ON)
    found = minimize(cost, np.log([0.4, 0.05, 0.4]), method="Nelder-Mead").x
    print("_OWN, _FLOOR_M, _DOUBT_M =", ", ".join(f"{number:.3g}" for number in np.exp(found)))
    held_out = sorted(set(sets) - set(CALIBRATED_ON))
    for name, some in [(s, sets == s) for s in dict.fromkeys(sets)] + [("held out", np.isin(sets, held_out))]:
        shares = [100 * (error[some] < x * expected(found)[some]).mean() for x in WITHIN.values()]
        print(f"{name:16} {some.sum():5} joints, within the 68 and 95 % ranges: {shares[0]:.1f} and {shares[1]:.1f} %")


if __name__ == "__main__":
    main()
