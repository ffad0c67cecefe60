"""Stick figures: people as simple as can be, to try a training with in seconds."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw

from humesh.body.joints import COCO17, JOTR30, SMPL24
from humesh.body.label_bodies import label_of
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.sample import LabelledPerson, Sample
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo
from humesh.people.person import Person

_SIZE = (160, 128)  # width, height px
_COLOURS = {"left": (220, 90, 60), "right": (60, 120, 220)}


class DrawnPeople:
    """Photos of 1 to `people` standing figures, limbs as coloured lines, with true labels and true keypoints.

    `clip`: frames in which the same figures turn; 1: photos. `body`: whose, the low-poly open one if None.
    """

    def __init__(
        self, count: int = 64, seed: int = 0, people: int = 2, clip: int = 1, body: BodyModel | None = None
    ) -> None:
        self.count, self.seed, self.people, self.clip = count, seed, people, clip
        self.tracks = tuple(range(i, min(i + clip, count)) for i in range(0, count, clip)) if clip > 1 else ()
        self._body = body or BodyModel.load("open-low")

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(f"expected a sample below {self.count}, got {index}.")
        scene, frame = divmod(index, self.clip)
        rng = np.random.default_rng((self.seed, scene))
        count = int(rng.integers(1, self.people + 1))
        camera = Camera.virtual(float(rng.uniform(150, 250)), _SIZE)
        pose = _poses(count, frame, rng)
        with torch.no_grad():
            bodies = self._body(pose)
            points = self._body.points(bodies, JOTR30)
            keypoints = camera.project(self._body.points(bodies, COCO17)).double().numpy()
        pixels = camera.project(points)
        picture = Image.fromarray(rng.integers(0, 60, (_SIZE[1], _SIZE[0], 3), dtype=np.uint8))
        for person in np.argsort(-pose.translation[:, 2].numpy()):
            _draw(picture, camera.project(bodies.joints[person]).numpy(), rng.integers(0, 40, 3))
        inside = ((pixels >= 0) & (pixels < torch.tensor(_SIZE))).all(-1).float()
        people = []
        for i, places in enumerate(keypoints):
            box = np.concatenate([places.min(0) - 2, places.max(0) + 2])
            seen = Person(box, 1.0, np.concatenate([places, np.ones((len(COCO17), 1))], axis=1), COCO17)
            own = BodyPose(pose.rotations[i], pose.shape[i], pose.translation[i])
            facts = points[i], pixels[i], inside[i], torch.ones(len(JOTR30)), label_of(self._body)
            people.append(LabelledPerson.fully_labelled(seen, scene * self.people + i, own, *facts))
        return Sample(Photo(np.array(picture), camera, "given"), tuple(people), f"drawn {index}")


def _poses(count: int, frame: int, rng: np.random.Generator) -> BodyPose:
    turns = torch.from_numpy(0.2 * rng.standard_normal((count, len(SMPL24), 3))).float()
    rotations = rotation_from_axis_angle(turns)
    yaw = torch.from_numpy(rng.uniform(-0.5, 0.5, count)).float() + 0.1 * frame
    upright = rotation_from_axis_angle(torch.tensor([torch.pi, 0.0, 0.0]))  # the camera's y points down
    turned = rotation_from_axis_angle(torch.stack([0 * yaw, yaw, 0 * yaw], dim=-1))
    rotations[:, 0] = upright @ turned @ rotations[:, 0]
    across = np.linspace(-0.8, 0.8, count) if count > 1 else np.zeros(1)
    place = np.stack([across, rng.uniform(0, 0.3, count), rng.uniform(3, 4, count)], axis=-1)
    shape = torch.from_numpy(0.5 * rng.standard_normal((count, 10))).float()
    return BodyPose(rotations, shape, torch.from_numpy(place).float())


def _draw(picture: Image.Image, joints: np.ndarray, tint: np.ndarray) -> None:
    """Bones as lines: red on the left side, blue on the right, grey in the middle."""
    draw = ImageDraw.Draw(picture)
    for joint, parent in enumerate(SMPL24.parents):
        if parent >= 0:
            colour = _COLOURS.get(SMPL24.names[joint].partition("_")[0], (170, 170, 170))
            shade = tuple(int(c + t - 4 * (joint % 5)) for c, t in zip(colour, tint, strict=True))
            draw.line([*map(float, joints[parent]), *map(float, joints[joint])], fill=shade, width=4)
