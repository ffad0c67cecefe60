"""MediaPipe's full landmark model, the heavy one, and the heavy one with MoveNet's help, on rendered people.

Run: python benchmarks/landmark_models.py SHARDS [--people 400] [--first 768]. SHARDS: a folder of `humesh synth`.
Prints, of people looked for in the simulated detector's boxes: how many are found; of those whom all find, the errors
of the 12 limb joints inside the photo, in hundredths of the person's extent, and of the 3D landmarks; of everybody's
visible joints, how many lie within a tenth of the extent; and the time of a person, one thread.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from humesh.body.joints import LIMBS12, MEDIAPIPE33
from humesh.data.sample import LabelledPerson
from humesh.data.synthetic.shards import ShardedPeople
from humesh.evaluation.metrics import pa_mpjpe
from humesh.images.photo import Person
from humesh.people.finder import PeopleFinder
from humesh.people.regions import LandmarkModel

_MODELS: dict[str, tuple[LandmarkModel, bool]] = {
    "full": ("full", False),
    "heavy": ("heavy", False),
    "both": ("heavy", True),
}
_TOLD = MEDIAPIPE33.indices(*LIMBS12.names)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--first", type=int, default=768, help="scene to begin with")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scenes = ShardedPeople(arguments.shards)
    finders = {name: PeopleFinder(model=m, movenet=helped, workers=1) for name, (m, helped) in _MODELS.items()}
    spent = dict.fromkeys(_MODELS, 0.0)
    rows: list[tuple[LabelledPerson, np.ndarray, dict[str, Person | None]]] = []
    scene = arguments.first
    while len(rows) < arguments.people and scene < len(scenes):
        sample = scenes.simulated(scene)
        size = np.array(sample.photo.size)
        for person in sample.people:
            seen = {}
            for model, finder in finders.items():
                start = time.perf_counter()
                (seen[model],) = finder.settled(sample.photo, np.array(person.seen.box)[None])
                spent[model] += time.perf_counter() - start
            rows.append((person, size, seen))
        scene += 1
    both = [row for row in rows if all(told and told.landmarks3d is not None for told in row[2].values())]
    print(f"{len(rows)} people in {scene - arguments.first} scenes, {len(both)} found by all")
    print(
        "model   found   median, seen   mean, seen   mean, inside   3D, mm   all seen joints within 10 %   ms a person"
    )
    for model in _MODELS:
        found = sum(row[2][model] is not None for row in rows)
        errors, shown, inside, deep = (
            np.array(part) for part in zip(*(_errors(*row, model) for row in both), strict=True)
        )
        near, of_all = 0, 0
        for row in rows:
            apart, visible, *_ = _errors(*row, model)
            near, of_all = near + int((apart[visible] < 0.1).sum()), of_all + int(visible.sum())
        print(
            f"{model:7} {found:5} {100 * np.median(errors[shown]):14.2f} {100 * errors[shown].mean():12.2f}"
            f" {100 * errors[inside].mean():14.2f} {deep.mean():8.1f} {100 * near / of_all:28.1f} %"
            f" {1000 * spent[model] / len(rows):13.0f}"
        )


def _errors(
    person: LabelledPerson, size: np.ndarray, seen: dict[str, Person | None], model: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """The limb joints' distances in extents (infinite: not found), which can be seen, which are inside; 3D in mm."""
    limbs = person.joint_set.indices(*LIMBS12.names)
    true = person.points2d[limbs].numpy()
    inside = ((true > 0) & (true < size)).all(1)
    visible = inside & (person.visible[limbs].numpy() > 0)
    told = seen[model]
    if told is None or told.keypoints is None:
        return np.full(len(limbs), np.inf), visible, inside, np.inf
    apart = np.linalg.norm(told.keypoints[_TOLD, :2] - true, axis=1) / max(float(np.ptp(true, axis=0).max()), 1.0)
    if told.landmarks3d is None:
        return apart, visible, inside, np.inf
    deep = torch.as_tensor(told.landmarks3d[_TOLD], dtype=torch.float64)
    return apart, visible, inside, 1000 * float(pa_mpjpe(deep[None], person.points3d[limbs].double()[None]))


if __name__ == "__main__":
    main()
