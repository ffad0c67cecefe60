"""One benchmark's errors of matched people, as its protocol defines them; unreduced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humesh.body.files import H36M_FILES, SHIPPED, BodyFileError
from humesh.body.joints import H36M17, LIMBS12, MPI_INF_3DHP17, SMPL24
from humesh.body.label_bodies import NEUTRAL, BodyFiles
from humesh.body.model import BodyModel
from humesh.body.pose import Bodies, BodyPose
from humesh.data.sample import LabelledPerson, Sample
from humesh.evaluation.matching import by_overlap, match_agora, match_mupots, with_bone_lengths
from humesh.evaluation.metrics import aligned, auc, pck, point_errors
from humesh.evaluation.predictions import Predictions, boxes_of
from humesh.evaluation.protocols import EvaluationError, Protocol, Source

PCK_MM = 150.0  # Mehta et al., 3DV 2017
_FEWEST = 3  # known joints besides the root, where labels lack some
_H36M_NAMES = {"head": "jaw"}  # MPI-INF-3DHP's head is where Human3.6M has the jaw (SPIN's order of 17 joints)


def joints_of(bodies: Bodies, body: BodyModel, names: Sequence[str], source: Source) -> Float[Tensor, "*g K 3"]:
    """Joints by name of posed bodies, by a protocol's source; EvaluationError for a body without the regressor."""
    if source == "body joints":
        return bodies.joints[..., SMPL24.indices(*names), :]
    if H36M17.name not in body.keypoint_names:
        raise EvaluationError(
            f"--body: expected {' or '.join(H36M_FILES)} beside the SMPL files, found none; it comes with the data of "
            "SPIN (nkolot/SPIN) and of 3DCrowdNet (hongsukchoi/3DCrowdNet_RELEASE)."
        )
    regressed = body.keypoints(bodies.vertices, H36M17)
    points = []
    for name in names:
        if source != "h36m regressor" and name in LIMBS12.names:
            points.append(bodies.joints[..., SMPL24.index(name), :])
        else:
            points.append(regressed[..., H36M17.index(_H36M_NAMES.get(name, name)), :])
    return torch.stack(points, dim=-2)


@dataclass(frozen=True, eq=False)
class PersonErrors:
    """Errors of P people: by metric, by joint in mm (NaN: not labelled), and their joints about the root in metres."""

    metrics: dict[str, Float[Tensor, " P"]]
    joints_mm: Float[Tensor, "P K"]
    predicted: Float[Tensor, "P K 3"]
    truth: Float[Tensor, "P K 3"]


class Ruler:
    """Measures predictions against labels by a protocol; `body` is that of the predictions."""

    def __init__(self, protocol: Protocol, bodies: BodyFiles, body: BodyModel) -> None:
        self.protocol, self.bodies, self.body = protocol, bodies, body
        names = dict.fromkeys((*protocol.joints, *protocol.root))
        self.names = MPI_INF_3DHP17.names if protocol.true_bone_lengths else tuple(names)
        self._evaluated = [self.names.index(name) for name in protocol.joints]
        self._root = [self.names.index(name) for name in protocol.root]

    def evaluates(self, person: LabelledPerson) -> bool:
        """Whether the labels have what the protocol compares with, and the detector the keypoints that it may need."""
        if self.protocol.needs_keypoints and (person.seen.keypoints is None or not person.seen.keypoints[:, 2].any()):
            return False
        if self.protocol.truth != "annotated points":
            return _has_mesh(person)
        known = self._annotated(person)[1]
        fewest = len(self.names) if {"pck", "auc"} & set(self.protocol.metrics) else len(self._root) + _FEWEST
        return bool(known[self._root].all() and known.sum() >= fewest)

    def matched(self, sample: Sample, evaluated: list[int], predictions: Predictions) -> dict[int, int]:
        """The row of each matched person's prediction, by the person's place in the sample."""
        if self.protocol.matching == "given":
            if predictions.people is not None:
                return {i: row for row, i in enumerate(predictions.people) if i in evaluated}
            truths = boxes_of([sample.people[i].seen for i in evaluated])
            pairs = by_overlap(truths, predictions.boxes, self.protocol.least_iou)
            return {evaluated[i]: row for i, row in pairs.items()}
        is_mupots = self.protocol.matching == "mupots"
        tool, people = (MPI_INF_3DHP17, evaluated) if is_mupots else (SMPL24, list(range(len(sample.people))))
        pixels = [sample.people[i].points2d[self._rows(sample.people[i], tool.names)] for i in people]
        truth_px = torch.stack(pixels) if pixels else torch.zeros(0, len(tool), 2)
        predicted_px = sample.photo.camera.project(self.points(predictions))
        if is_mupots:
            rows = match_mupots(truth_px, predicted_px)
        else:
            valid = torch.tensor([i in evaluated for i in people], dtype=torch.bool)
            rows = match_agora(truth_px, valid, predicted_px)
        return {i: row for i, row in zip(people, rows.tolist(), strict=True) if row >= 0}

    def joints(self, bodies: Bodies, body: BodyModel) -> Float[Tensor, "*g K 3"]:
        """The joints `names` of posed bodies."""
        return joints_of(bodies, body, self.names, self.protocol.source)

    def points(self, predictions: Predictions) -> Float[Tensor, "P K 3"]:
        """The joints `names` of predictions in metres: those of their bodies, or their own by name."""
        if predictions.vertices.shape[1]:
            bodies = Bodies(predictions.vertices, predictions.joints, self.body.faces)
            return self.joints(bodies, self.body)
        missing = [name for name in self.names if name not in predictions.joint_names]
        if missing:
            raise EvaluationError(
                f"{self.protocol.name}: expected predicted points of {', '.join(missing)}, got only "
                f"{', '.join(predictions.joint_names)}; add them to the file's points."
            )
        return predictions.joints[:, [predictions.joint_names.index(name) for name in self.names]]

    def __call__(self, predictions: Predictions, people: list[LabelledPerson]) -> PersonErrors:
        """The errors of predictions, each of which is for one labelled person."""
        protocol, points = self.protocol, self.points(predictions).double()
        truth, known = torch.zeros_like(points), torch.ones(points.shape[:-1], dtype=torch.bool)
        annotated = protocol.truth == "annotated points"
        if annotated:
            for i, person in enumerate(people):
                truth[i], known[i] = self._annotated(person)
        pve = torch.full((len(people),), torch.nan, dtype=torch.float64)
        wants_mesh = "pve" in protocol.metrics and predictions.vertices.shape[1] > 0
        if wants_mesh or not annotated:
            try:
                for rows, posed, translation, body in self._labelled(people):
                    joints = self.joints(posed, body).double()
                    if not annotated:
                        truth[rows] = joints
                    if wants_mesh and self._comparable(body):
                        true = self._rooted(posed.vertices, joints, translation, body)
                        own = predictions.vertices[rows], points[rows], predictions.translation[rows]
                        pve[rows] = 1000 * point_errors(self._rooted(*own, self.body), true).mean(-1)
            except (BodyFileError, EvaluationError):  # the labels' body is not given: no vertex errors
                if not annotated:
                    raise
        if protocol.true_bone_lengths:
            points = with_bone_lengths(points, truth)
        rooted, true = (p - p[:, self._root].mean(1, keepdim=True) for p in (points, truth))
        predicted, true, known = rooted[:, self._evaluated], true[:, self._evaluated], known[:, self._evaluated]
        errors = 1000 * point_errors(predicted, true)
        metrics = {"mpjpe": _mean(errors, known)}
        if "pa_mpjpe" in protocol.metrics:
            metrics["pa_mpjpe"] = _mean(1000 * point_errors(aligned(predicted, true, known), true), known)
        if "pck" in protocol.metrics:
            metrics |= {"pck": pck(errors, PCK_MM), "auc": auc(errors, PCK_MM)}
        if pve.isfinite().any():
            metrics["pve"] = pve
        return PersonErrors(metrics, torch.where(known, errors, torch.nan), predicted, true)

    def _labelled(
        self, people: list[LabelledPerson]
    ) -> Iterator[tuple[list[int], Bodies, Float[Tensor, "n 3"], BodyModel]]:
        """The posed bodies of the labels, those of one model together: their places, bodies, translations, model."""
        names = [self._label_body(person) for person in people]
        for name in dict.fromkeys(name for name in names if name is not None):
            rows, body = [i for i, other in enumerate(names) if other == name], self.bodies[name]
            pose = BodyPose.stacked([people[i].pose for i in rows]).map(Tensor.float)
            with torch.no_grad():
                yield rows, body(pose), pose.translation, body

    def _label_body(self, person: LabelledPerson) -> str | None:
        """The name of the body that somebody's labels are for; None where they have no mesh."""
        if not _has_mesh(person):
            return None
        return NEUTRAL if self.protocol.truth == "neutral body" and person.body not in SHIPPED else person.body

    def _comparable(self, body: BodyModel) -> bool:
        """Whether a body's mesh is of the predictions' kind; vertices of others have nothing to do with each other."""
        same = body.name == self.body.name or not {body.name, self.body.name} & SHIPPED.keys()
        return same and len(body.data.template) == len(self.body.data.template)

    def _rooted(
        self,
        vertices: Float[Tensor, "P V 3"],
        points: Float[Tensor, "P K 3"],
        translation: Float[Tensor, "P 3"],
        body: BodyModel,
    ) -> Float[Tensor, "P V 3"]:
        """Meshes about the protocol's mesh root, in metres, float64."""
        if self.protocol.mesh_root == "translation":
            root = translation[:, None]
        elif self.protocol.mesh_root == "root of the joints":
            root = points[:, self._root].mean(1, keepdim=True)
        else:
            pelvis = torch.as_tensor(body.data.joint_regressor[SMPL24.index("pelvis")]).to(vertices)
            root = torch.einsum("v,pvc->pc", pelvis, vertices)[:, None]
        return vertices.double() - root.double()

    def _annotated(self, person: LabelledPerson) -> tuple[Float[Tensor, "K 3"], Bool[Tensor, " K"]]:
        rows = self._rows(person, self.names)
        return person.points3d[rows].float(), person.points3d_weight[rows] > 0

    def _rows(self, person: LabelledPerson, names: Sequence[str]) -> list[int]:
        missing = [name for name in names if name not in person.joint_set.names]
        if missing:
            raise EvaluationError(
                f"{self.protocol.name}: expected labels of {', '.join(missing)}, the dataset has "
                f"{person.joint_set.name!r} ({', '.join(person.joint_set.names)})."
            )
        return person.joint_set.indices(*names)


def _has_mesh(person: LabelledPerson) -> bool:
    """Whether pose and shape are labelled for a body that we have; children's is mixed with another template."""
    return bool((person.pose_weight > 0).all() and person.shape_weight > 0) and not person.body.endswith("-kid")


def _mean(errors: Float[Tensor, "P K"], known: Bool[Tensor, "P K"]) -> Float[Tensor, " P"]:
    """The mean over the known joints."""
    return torch.where(known, errors, 0).sum(-1) / known.sum(-1)
