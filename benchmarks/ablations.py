"""Does each paper's idea help on rendered people too? The recipes `synthetic-*`, trained with and without it.

Run: python benchmarks/ablations.py METHOD [METHOD ...] -o RUNS --shards FOLDER [FOLDER ...]
    [--steps N] [--seeds 3] [--only ARM ...] [--options OPTION ...]
METHOD: jotr, multi_roi, ik_refine. FOLDER: shards of `humesh synth`. Each arm is `humesh train synthetic-METHOD` with
the settings below, the same data in the same order for the same seed; runs go on where they were stopped, finished ones
are not repeated. --options go to all of them, as `--set encoder=resnet18`.

Prints for each arm the errors on what the recipe holds out, mm over 12 limb joints (of JOTR also "body_joint_img", how
far the decoder's own joints are in the last hundred steps of training, a mean of shares of crop and 2 m of depth):
the mean over seeds, and how far the arm is from the first one, seed by seed, with half of the 95 % interval of that
mean (Student's t).
"""

from __future__ import annotations

import argparse
import csv
import math
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

ARMS: dict[str, dict[str, list[str]]] = {
    "jotr": {
        "as published": [],
        "without contrast": ["--set", "contrast="],
        "without 3D features": ["--set", "decoder_sees=flat2d", "--set", "contrast="],
    },
    "multi_roi": {
        "five boxes": [],
        "three boxes": ["--set", "rois=3"],
        "one box": ["--set", "rois=1"],
        "without camera consistency": ["--weights", "camera=0"],
    },
    "ik_refine": {
        "pairs of people": [],
        "each by themselves": ["--set", "people=1"],
        "without the refiner": ["--set", "refiner=none"],
    },
}
_DIGITS = {"body_joint_img": 4}
_T95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}  # Student's t for so many seeds


def trained(arguments: argparse.Namespace, method: str, arm: str, options: list[str], seed: int) -> dict[str, float]:
    """The errors of an arm on what was held out, trained now if it was not."""
    run = arguments.out / f"{method}-{arm.replace(' ', '_')}-{seed}"
    if not (run / "weights.safetensors").exists():
        humesh = Path(sys.executable).with_name("humesh")
        command = [str(humesh), "train", f"synthetic-{method}", "-o", str(run), "--seed", str(seed), *options]
        command += [part for folder in arguments.shards for part in ("--data", str(folder))]
        command += ["--steps", str(arguments.steps)] if arguments.steps else []
        subprocess.run([*command, *arguments.options], check=True, stdout=subprocess.DEVNULL)
    with (run / "validation.csv").open() as file:
        *_, last = csv.DictReader(file)
    with (run / "log.csv").open() as file:
        logged = list(csv.DictReader(file))
    scores = {name: float(value) for name, value in last.items() if name != "step"}
    if "body_joint_img" in logged[-1]:
        rows = [row for row in logged if int(row["step"]) > int(logged[-1]["step"]) - 100]
        scores["body_joint_img"] = mean(float(row["body_joint_img"]) for row in rows)
    return scores


def main() -> None:
    """Trains what is missing and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+", choices=sorted(ARMS), metavar="METHOD")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--shards", type=Path, nargs="+", required=True)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[])
    arguments = parser.parse_args()
    for method in arguments.methods:
        scores: dict[str, list[dict[str, float]]] = {}
        for seed in range(arguments.seeds):  # all arms first: a look after the first seed tells what to expect
            for arm, options in ARMS[method].items():
                if not arguments.only or arm in arguments.only:
                    scores.setdefault(arm, []).append(trained(arguments, method, arm, options, seed))
        table(method, scores, next(iter(ARMS[method])))


def table(method: str, scores: dict[str, list[dict[str, float]]], whole: str) -> None:
    """Prints what the arms of a method score, and how far they are from the whole method."""
    print(f"\n{method}")
    for arm, runs in scores.items():
        parts = []
        for name in runs[0]:
            part = f"{name} {mean(run[name] for run in runs):6.{_DIGITS.get(name, 2)}f}"
            if arm != whole and len(runs) > 1 and whole in scores:
                apart = [one[name] - other[name] for one, other in zip(runs, scores[whole], strict=True)]
                half = _T95[len(apart)] * stdev(apart) / math.sqrt(len(apart))
                part += f" ({mean(apart):+.{_DIGITS.get(name, 2)}f} ± {half:.{_DIGITS.get(name, 2)}f})"
            parts.append(part)
        print(f"  {arm:28} {', '.join(parts)}")


if __name__ == "__main__":
    main()
