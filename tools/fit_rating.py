"""Fits the rating of finds in `images/people.py`: what tells a body from something else, for one model.

    python tools/fit_rating.py heavy|full|movenet --scenes SHARDS --empty PHOTOS [--followed]

SHARDS: a folder of `humesh synth`, whose people are known; PHOTOS: a folder of photos without people. A candidate is a
body if its limb joints that can be seen lie near a known person's, something else if it lies beside everybody.
"movenet" rates MoveNet's finds by themselves: there a body is what covers half of a person's box. --followed: the
rating of who is followed in a video, from two looks.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from humesh.body.joints import LIMBS12, MEDIAPIPE33
from humesh.data.sample import Sample
from humesh.data.synthetic.shards import ShardedPeople
from humesh.geometry.boxes import box_iou
from humesh.people.regions import LandmarkModel, Pose, Pyramid
from humesh.people.finder import PeopleFinder, evidence, followed_evidence, told_evidence
from humesh.images.photo import Photo
from humesh.people.same_body import box_around_points

LIMBS = MEDIAPIPE33.indices(*LIMBS12.names)
NEAR = 0.12  # of the person's extent, mean of the joints that can be seen: a body is found
LIMIT = 0.35  # the rating from which the finder takes a find,
WRONG = {"heavy": 20, "full": 20, "movenet": 10}  # and how many of the others may reach it,
WRONG_FOLLOWED = 40  # of those who are followed more, as they were found before
APART = 0.1  # least overlap of a candidate's box with a person's: less is something else; what is neither is left out


class Recording(PeopleFinder):
    """The finder, keeping every candidate's evidence."""

    def __init__(self, model: LandmarkModel | None, followed: bool) -> None:
        super().__init__(min_score=0.0, model=model, movenet=False)
        self.followed = followed
        self.told: list[tuple[tuple[float, ...], Pose]] = []

    def _agreed(self, looks: tuple[Pose, Pose, Pose], photo_size: Sequence[int]) -> Pose:
        pose = super()._agreed(looks, photo_size)
        told = followed_evidence(looks[:2], photo_size) if self.followed else evidence(looks, photo_size)
        self.told.append((told, pose))
        return pose


class RecordingMoveNet(PeopleFinder):
    """MoveNet's finds alone, keeping their evidence."""

    def __init__(self) -> None:
        super().__init__(movenet=True)
        self.told: list[tuple[tuple[float, ...], Pose]] = []

    def search(self, photo: Photo, known: Sequence[Pose] = ()) -> list[Pose]:
        pyramid = Pyramid(photo.pixels)
        for pose in self._suspects(pyramid, beside=bool(known)):
            self._told(pyramid, box_around_points(pose.points, *photo.size))
        return []

    def _rated(self, first: Pose, look: Pose) -> Pose:
        pose = super()._rated(first, look)
        self.told.append((told_evidence(first, look), pose))
        return pose


def body_or_not(pose: Pose, sample: Sample) -> float | None:
    """1: a person's body; 0: something else; None: a person, badly seen."""
    boxes = np.array([person.seen.box for person in sample.people]).reshape(-1, 4)
    width, height = sample.photo.size
    box = box_around_points(pose.points, width, height)
    for person in sample.people:
        limbs = person.joint_set.indices(*LIMBS12.names)
        true, seen = person.points2d[limbs].numpy(), person.visible[limbs].numpy() > 0
        extent = max(float(np.ptp(true, axis=0).max()), 1.0)
        apart = np.linalg.norm(pose.points[LIMBS, :2] - true, axis=1)[seen] / extent
        if len(apart) >= 4 and apart.mean() < NEAR:
            return 1.0
    alike = box_iou(torch.from_numpy(box), torch.from_numpy(boxes))
    if pose.landmarks3d is None and (alike > 0.5).any():
        return 1.0
    return 0.0 if (alike < APART).all() else None


def fitted(given: torch.Tensor, body: torch.Tensor, decay: float = 1e-3) -> torch.Tensor:
    """Logistic regression by Newton's method; bodies and the rest weigh the same together."""
    weight = torch.where(body > 0, 0.5 / body.mean(), 0.5 / (1 - body.mean()))
    answer = torch.zeros(given.shape[1], dtype=given.dtype)
    for _ in range(50):
        told = torch.sigmoid(given @ answer)
        slope = given.T @ (weight * (told - body)) / len(body) + decay * answer
        bend = (given.T * (weight * told * (1 - told))) @ given / len(body)
        answer = answer - torch.linalg.solve(bend + decay * torch.eye(len(answer), dtype=given.dtype), slope)
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", choices=["heavy", "full", "movenet"])
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--empty", type=Path, required=True)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--followed", action="store_true")
    parser.add_argument("--kept", type=Path, help="file that keeps the evidence")
    options = parser.parse_args()
    scenes = ShardedPeople(options.scenes)
    rows, labels = list[tuple[float, ...]](), list[float]()
    finder = RecordingMoveNet() if options.model == "movenet" else Recording(options.model, options.followed)
    with finder:
        for number in track(range(options.count), "scenes"):
            sample = scenes.simulated(number * (len(scenes) // options.count))
            finder.told.clear()
            finder.search(sample.photo)
            for told, pose in finder.told:
                label = body_or_not(pose, sample)
                if label is not None:
                    rows.append(told)
                    labels.append(label)
        for path in track(sorted(options.empty.iterdir()), "photos without people"):
            finder.told.clear()
            finder.search(Photo.read(path))
            rows += [told for told, _ in finder.told]
            labels += [0.0] * len(finder.told)
    given, body = torch.tensor(rows, dtype=torch.float64), torch.tensor(labels, dtype=torch.float64)
    if options.kept:
        np.savez(options.kept, given=given, body=body)
    answer = fitted(given, body)
    others = (given @ answer)[body == 0].sort(descending=True).values
    # What is no body is far commoner in photos.
    wrong = WRONG_FOLLOWED if options.followed else WRONG[options.model]
    answer[0] += math.log(LIMIT / (1 - LIMIT)) - float(others[wrong])
    print(f"{int(body.sum())} bodies, {int((1 - body).sum())} others")
    print("rating:", tuple(round(number, 2) for number in answer.tolist()))
    rated = torch.sigmoid(given @ answer)
    for limit in (0.2, 0.3, 0.35, 0.5, 0.7):
        kept, wrong = (rated[body > 0] > limit).double().mean(), int((rated[body == 0] > limit).sum())
        print(f"from {limit} on: {100 * float(kept):.1f} % of the bodies, {wrong} others")


if __name__ == "__main__":
    main()
