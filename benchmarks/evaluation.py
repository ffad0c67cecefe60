"""How long scoring takes without the network: as many people as 3DPW's test has, on arrays made up here.

Run: OMP_NUM_THREADS=1 python benchmarks/evaluation.py [--people 35515]. The truth is skinned (6,890 vertices, 207 pose
correctives, as SMPL has), predictions are the same bodies moved a little. Prints seconds and processor seconds for a
tenth, a half and all of the people, which must grow in proportion, and the peak of memory.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace

import numpy as np
import torch

from humesh.body.joints import SMPL24
from humesh.body.label_bodies import BodyFiles
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.sample import LabelledPerson, Sample
from humesh.evaluation.errors import Ruler
from humesh.evaluation.predictions import Predictions
from humesh.evaluation.protocols import PROTOCOLS
from humesh.evaluation.run import run
from humesh.evaluation.summary import summary
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo
from humesh.people.person import Person

_VIDEO, _POSES = 1500, 64  # frames in a video; different poses that are gone through


class MadeUp:
    """Videos of one person, whose labels take turns between a few poses."""

    def __init__(self, count: int, body: BodyModel) -> None:
        self.count = count
        self.tracks = tuple(range(s, min(s + _VIDEO, count)) for s in range(0, count, _VIDEO))
        g = torch.Generator().manual_seed(0)
        rotations = rotation_from_axis_angle(0.3 * torch.randn(_POSES, len(SMPL24), 3, generator=g))
        place = torch.tensor([0.0, 0.0, 4.0]).repeat(_POSES, 1)
        self.pose = BodyPose(rotations, torch.randn(_POSES, 10, generator=g), place)
        with torch.no_grad():
            self.bodies = body(self.pose)
        self.photo = Photo.of(np.zeros((8, 8, 3), np.uint8))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        k, ones = index % _POSES, torch.ones(len(SMPL24))
        person = LabelledPerson(
            seen=Person(np.array([0.0, 0.0, 8.0, 8.0]), 1.0),
            identity=0,
            pose=self.pose.map(lambda tensor: tensor[k]),
            pose_weight=ones,
            shape_weight=torch.ones(()),
            translation_weight=torch.ones(()),
            joint_set=SMPL24,
            points3d=self.bodies.joints[k],
            points3d_weight=ones,
            points2d=torch.zeros(len(SMPL24), 2),
            points2d_weight=ones,
            visible=ones,
        )
        return Sample(self.photo, (person,), str(index), f"video_{index // _VIDEO:03d}", index % _VIDEO)

    def predict(self, sample: Sample, people: list[int]) -> Predictions:
        """The body of the next pose."""
        k = (int(sample.name) + 1) % _POSES
        vertices = self.bodies.vertices[k, None] + 0.001  # a new array, as a network's prediction is one
        translation = self.pose.translation[k, None]
        return Predictions(vertices, self.bodies.joints[k, None], translation, torch.zeros(1, 4), (0,))


def main() -> None:
    """Prints a line for each number of people."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=35_515)
    arguments = parser.parse_args()
    data = BodyModel.load("open").data
    bends = np.random.default_rng(0).normal(0, 1e-4, (len(data.template), 3, 207))
    body = BodyModel(replace(data, pose_directions=bends))
    ruler = Ruler(PROTOCOLS["3dpw"], _Only(body), body)
    for count in (arguments.people // 10, arguments.people // 2, arguments.people):
        made_up = MadeUp(count, body)
        wall, cpu = time.perf_counter(), time.process_time()
        records = run(made_up, ruler, made_up.predict)
        result = summary(ruler.protocol, records)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{result.people:6} people: {wall:.1f} s, {cpu:.1f} s of processor time, peak {memory:.2f} GB")


class _Only(BodyFiles):
    """One body for every label."""

    def __init__(self, body: BodyModel) -> None:
        super().__init__()
        self.body = body

    def __getitem__(self, name: str) -> BodyModel:
        return self.body


if __name__ == "__main__":
    main()
