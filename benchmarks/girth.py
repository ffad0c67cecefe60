"""How well the girths of rendered people are known: chest, waist, hips and thigh, from one picture each.

Run: python benchmarks/girth.py MOTION.npz [--count 200] [--seed 1] [--fit]. People of random shapes in clothes are
rendered, found in their boxes by our finder, and recovered by the default method; printed are mean absolute errors, of
everybody and of those of whom nearly all joints are seen. As one picture with an unknown distance cannot tell how tall
anybody is, the errors of girths relative to stature (times the mean stature) are printed too. `--fit` prints what
`humesh.fitting.outline` holds, learned from these people: use other people for that than for judging.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import ConvexHull

from humesh.body.joints import MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.data.synthetic.scenes import SyntheticPeople
from humesh.fitting.outline import SLOPES, outline_widths, shapes_by_outline
from humesh.people.finder import PeopleFinder
from humesh.recover import Recoverer

PX, RIDGE, MOST_SEEN = 448, 30.0, 0.9
GIRTHS = {"chest": 0.75, "waist": 0.2, "hips": -0.05}  # shares of the way from pelvis to neck
TRUNK = ("pelvis", "spine1", "spine2", "spine3", "left_hip", "right_hip")
LIMBS = slice(MEDIAPIPE33.index("left_shoulder"), MEDIAPIPE33.index("left_heel"))


class Tailor:
    """Measures girths (m) and statures (m) of shapes on the open body at rest."""

    def __init__(self) -> None:
        self.body = BodyModel.load("open-low")
        part = self.body.weights.argmax(0).numpy()
        self.faces = np.asarray(self.body.faces)
        self.trunk, self.thigh = (
            np.isin(part, [SMPL24.index(name) for name in names])[self.faces].all(1)
            for names in (TRUNK, ("left_hip", "left_knee"))
        )

    def __call__(self, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Girths P 4 and statures P of shapes P S."""
        shape = torch.as_tensor(shapes).double()
        surfaces, joints = self.body.rest_vertices(shape).numpy(), self.body.rest_joints(shape).numpy()
        at = SMPL24.index
        girths = []
        for surface, joint in zip(surfaces, joints, strict=True):
            up = joint[at("neck"), 1] - joint[0, 1]
            heights = [(joint[0, 1] + share * up, self.trunk) for share in GIRTHS.values()]
            heights.append((0.6 * joint[at("left_hip"), 1] + 0.4 * joint[at("left_knee"), 1], self.thigh))
            girths.append([self._around(surface, y, faces) for y, faces in heights])
        return np.array(girths), np.ptp(surfaces[..., 1], axis=1)

    def _around(self, surface: np.ndarray, y: float, faces: np.ndarray) -> float:
        """The length of a tape around the slice at a height."""
        corners = surface[self.faces[faces]]
        one, other = corners.reshape(-1, 3), np.roll(corners, -1, axis=1).reshape(-1, 3)
        cut = (one[:, 1] - y) * (other[:, 1] - y) < 0
        one, other = one[cut], other[cut]
        way = ((y - one[:, 1]) / (other[:, 1] - one[:, 1]))[:, None]
        return float(ConvexHull((one + way * (other - one))[:, [0, 2]]).area)


@dataclass(frozen=True)
class Rendered:
    """A rendered person: shapes (true, the lifter's, by outline, after the fit), widths, share of joints seen."""

    truth: np.ndarray
    lifter: np.ndarray
    outline: np.ndarray
    fitted: np.ndarray
    widths: np.ndarray
    belief: float
    seen: float


def rendered(motion: str, count: int, seed: int) -> Iterator[Rendered]:
    """People one after the other, those left out of whom the finder makes nothing."""
    scenes = SyntheticPeople([motion], count, people=(1, 1), size=PX, seed=seed)
    finder, fitting, raw = PeopleFinder(workers=1), Recoverer(finder=lambda _: []), Recoverer(refine=False)
    for number in range(count):
        scene = scenes[number]
        photo, label = scene.photo, scene.people[0]
        found = finder.landmarks(photo, np.array([label.seen.box]))
        pose = raw(photo, found).pose
        if found[0].mask is None or not len(pose.shape):
            continue
        keypoints = found[0].keypoints
        assert keypoints is not None
        widths, belief = outline_widths(pose, found, photo.camera, photo.size)
        yield Rendered(
            label.pose.shape.double().numpy(),
            pose.shape[0].double().numpy(),
            shapes_by_outline(pose, found, photo.camera, photo.size)[0].double().numpy(),
            fitting(photo, found).pose.shape[0].double().numpy(),
            widths[0],
            belief[0],
            float((keypoints[LIMBS, 2] > 0.5).mean()),
        )


def learned(people: list[Rendered]) -> tuple[np.ndarray, np.ndarray]:
    """The mean widths and the ridge regression from them to shape coefficients."""
    widths, belief = np.stack([person.widths for person in people]), np.array([person.belief for person in people])
    mean = np.average(widths, axis=0, weights=belief)
    rows = belief[:, None] * (widths - mean)
    spread = rows.std(0)
    rows, shapes = rows / spread, np.stack([person.truth for person in people])[:, : SLOPES.shape[1]]
    slopes = np.linalg.solve(rows.T @ rows + RIDGE * np.eye(len(mean)), rows.T @ shapes) / spread[:, None]
    return mean, slopes


def compare(title: str, people: list[Rendered]) -> None:
    """Prints errors in mm, and how well the relative waists predicted and true correlate."""
    tailor = Tailor()
    truth = np.stack([person.truth for person in people])
    _, mean_stature = tailor(np.zeros((1, truth.shape[1])))
    girths, statures = tailor(truth)
    print(f"{title}: {len(people)} people")
    named = {name: np.stack([getattr(p, name) for p in people]) for name in ("lifter", "outline", "fitted")}
    for name, shapes in {"mean": np.zeros_like(truth), **named}.items():
        ours, tall = tailor(shapes)
        off = 1000 * np.abs(ours - girths).mean(0)
        relative = 1000 * mean_stature * np.abs(ours / tall[:, None] - girths / statures[:, None]).mean(0)
        waists = (ours / tall[:, None])[:, 1], (girths / statures[:, None])[:, 1]
        alike = f"{np.corrcoef(*waists)[0, 1]:.2f}" if np.ptp(waists[0]) else "-"
        table = [f"{row.mean():5.1f} mm ({' '.join(f'{x:5.1f}' for x in row)})" for row in (off, relative)]
        print(f"  {name:8} {table[0]}  relative {table[1]}  waists correlate {alike}")


def main() -> None:
    """Prints the tables, or what was learned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("motion")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fit", action="store_true")
    arguments = parser.parse_args()
    people = list(rendered(arguments.motion, arguments.count, arguments.seed))
    if arguments.fit:
        for name, numbers in zip(("MEAN", "SLOPES"), learned(people), strict=True):
            print(f"{name} = np.array({numbers.round(3).tolist()})")
    print(f"errors of {', '.join([*GIRTHS, 'thigh'])}")
    compare("everybody", people)
    compare("well seen", [person for person in people if person.seen > MOST_SEEN])


if __name__ == "__main__":
    main()
