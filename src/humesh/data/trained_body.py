"""Labels of pose and shape for the body that is trained: converted or refused, never mixed."""

from __future__ import annotations

from dataclasses import replace

import torch

from humesh.body.label_bodies import NEUTRAL, BodyFiles, label_of, onto
from humesh.body.model import BodyModel
from humesh.data.batch import DataError, WholeBatches, stored
from humesh.data.sample import Dataset, LabelledPerson, Sample

_CHILD = "-kid"


class OnTrainedBody:
    """A dataset whose poses and shapes are those of the body that `bodies` predicts; DataError where they cannot be.

    SMPL's male and female labels are converted to the neutral body (`onto`) with the user's files of them. A child's
    shape is of a template of its own, so that only its pose counts. Labels without pose and shape pass.
    """

    def __init__(self, dataset: Dataset, bodies: BodyFiles) -> None:
        self.dataset, self.bodies = dataset, bodies
        self.tracks, self.stored = dataset.tracks, stored(dataset)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        return replace(sample, people=tuple(self._person(person) for person in sample.people))

    def _person(self, person: LabelledPerson) -> LabelledPerson:
        label, body = person.body.removesuffix(_CHILD), self.bodies.predicted
        labelled = person.pose_weight.any() or person.shape_weight > 0 or person.translation_weight > 0
        if not labelled or person.body == label_of(body):
            return person
        if label not in (NEUTRAL, "smpl-male", "smpl-female") or label_of(body) != NEUTRAL:
            raise _other(person.body, body)
        if label != person.body:
            nothing = torch.zeros(())
            return replace(person, body=NEUTRAL, shape_weight=nothing, translation_weight=nothing)
        return replace(person, body=NEUTRAL, pose=onto(person.pose, self.bodies[label], body))


def on_trained_body(dataset: Dataset, bodies: BodyFiles) -> Dataset:
    """The dataset with labels for the trained body; DataError where it makes people of another one."""
    if not isinstance(dataset, WholeBatches):
        return OnTrainedBody(dataset, bodies)
    body = getattr(dataset, "body", None)  # that of the people whom it makes
    if isinstance(body, BodyModel) and label_of(body) != label_of(bodies.predicted):
        raise _other(label_of(body), bodies.predicted)
    return dataset


def _other(label: str, body: BodyModel) -> DataError:
    if label_of(body) == NEUTRAL:
        advice = "take a data set, or fits, of SMPL's body"
    elif label.startswith("smpl-"):
        advice = "give your SMPL files with --body"
    else:
        advice = "take a data set of humesh's own people"
    return DataError(f"pose and shape labels: expected the trained body {body.name!r}, got {label!r}; {advice}.")
