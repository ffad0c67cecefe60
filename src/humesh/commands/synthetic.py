"""What `humesh evaluate` does for the synthetic test: people rendered for it, and a table by difficulty."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.progress import track

from humesh.body.label_bodies import BodyFiles
from humesh.commands.benchmark import Run, answers_of, predicted_body, write_text
from humesh.commands.errors import UserError
from humesh.data.sample import Sample
from humesh.data.synthetic.scenes import SyntheticPeople
from humesh.evaluation.answers import Answer, Answers, PredictionsFile
from humesh.evaluation.errors import Ruler
from humesh.evaluation.protocols import PROTOCOLS
from humesh.evaluation.synthetic import scores, summary
from humesh.people.finder import PeopleFinder
from humesh.recover import LANDMARKS


def run_synthetic(
    options: Run, motion: tuple[Path, ...], count: int, people: tuple[int, int], finder: bool, seed: int
) -> int:
    """Errors over 12 limb joints in millimetres: PA-MPJPE after the best similarity, MPJPE about the pelvis."""
    if not motion:
        raise UserError("synthetic: expected motion that nothing was trained on, got none; give --motion FILE.npz.")
    protocol, bodies = PROTOCOLS["synthetic"], BodyFiles(options.body)
    body = predicted_body(options, bodies)
    answer, _ = answers_of(options, protocol, body)
    samples = SyntheticPeople(motion, count, people=people, seed=seed)
    told = "simulated keypoints"
    if isinstance(answer, PredictionsFile):
        told = "predictions of a file"
    elif finder or options.what == LANDMARKS:
        answer, told = _seen_by_finder(answer), "the finder's keypoints"
    numbers = track(range(count), "evaluating", transient=True)
    found = list(scores(Ruler(protocol, bodies, body), answer, (samples[i] for i in numbers)))
    if isinstance(answer, PredictionsFile) and found and all(score.mpjpe is None for score in found):
        answer.tell_of_others(found[0].name)
    print(f"{options.what}{' --refine' * options.refine}, {told}: {count} photos, seed {seed}, body {body.name}")
    print("| slice | people | no body | PA-MPJPE, mm | MPJPE, mm |\n| --- | --- | --- | --- | --- |")
    for name, number, missed, pa, half, plain in summary(found):
        print(f"| {name} | {number} | {100 * missed:.0f} % | {pa:.1f} ± {half:.1f} | {plain:.1f} |")
    if options.out is not None:
        everybody = [{**vars(score), "slices": sorted(score.slices)} for score in found]
        write_text(options.out, json.dumps(everybody, indent=1))
    return 0


def _seen_by_finder(answer: Answer) -> Answer:
    """The same method, told of the people what the finder sees in their boxes."""
    finder = PeopleFinder()

    def asked(sample: Sample, people: list[int]) -> Answers:
        boxes = np.array([person.seen.box for person in sample.people]).reshape(-1, 4)
        told = zip(sample.people, finder.landmarks(sample.photo, boxes), strict=True)
        return answer(replace(sample, people=tuple(replace(person, seen=seen) for person, seen in told)), people)

    return asked
