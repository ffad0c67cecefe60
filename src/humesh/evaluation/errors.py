"""One benchmark's errors of matched people, batch by batch, as its protocol defines them; unreduced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humesh.body.files import SHIPPED, BodyFileError
from humesh.body.joints import MPI_INF_3DHP17, SMPL24
from humesh.body.label_bodies import BodyFiles
from humesh.body.model import BodyModel
from humesh.body.pose import Bodies, BodyPose
from humesh.data.sample import LabelledPerson
from humesh.evaluation import mupots
from humesh.evaluation.answers import Answers
from humesh.evaluation.metrics import aligned, auc, pck, point_errors
from humesh.evaluation.protocols import Protocol
from humesh.evaluation.sources import Joints
from humesh.evaluation.subsets import EvaluationError

PCK_MM = 150.0  # Mehta et al., 3DV 2017
_FEWEST = 3  # known joints besides the root, where labels lack some


@dataclass(frozen=True)
class PersonErrors:
    """Errors of P people: by metric, by joint in mm (NaN: not labelled), and their points about the root in metres."""

    metrics: dict[str, Float[Tensor, " P"]]
    joints_mm: Float[Tensor, "P K"]
    predicted: Float[Tensor, "P K 3"]
    truth: Float[Tensor, "P K 3"]


class Ruler:
    """Measures recovered bodies against labels by a protocol; `body` is that of the predictions."""

    def __init__(self, protocol: Protocol, bodies: BodyFiles, body: BodyModel, regressors: Path | None = None) -> None:
        self.protocol, self.bodies, self.body = protocol, bodies, body
        names = dict.fromkeys((*protocol.joints, *protocol.root))
        self.names = MPI_INF_3DHP17.names if protocol.true_bone_lengths else tuple(names)
        self.joints = Joints(protocol.source, self.names, regressors)
        self._evaluated = [self.names.index(name) for name in protocol.joints]
        self._root = [self.names.index(name) for name in protocol.root]
        self.meshes = "pve" in protocol.metrics

    def evaluates(self, person: LabelledPerson) -> bool:
        """Whether the labels have what the protocol compares with, and the detector the keypoints that it may need."""
        if self.protocol.needs_keypoints and (person.seen.keypoints is None or not person.seen.keypoints[:, 2].any()):
            return False
        if self.protocol.truth != "annotated points":
            return _has_mesh(person)
        known = self._annotated(person)[1]
        fewest = len(self.names) if {"pck", "auc"} & set(self.protocol.metrics) else len(self._root) + _FEWEST
        return bool(known[self._root].all() and known.sum() >= fewest)

    def pixels(self, person: LabelledPerson, names: Sequence[str]) -> Float[Tensor, "K 2"]:
        """The labelled pixels of joints."""
        return person.points2d[self._rows(person, names)]

    def labelled_body(self, person: LabelledPerson) -> Bodies | None:
        """The body that somebody's labels speak of, in pose and shape; None where they know of none."""
        if not _has_mesh(person):
            return None
        body = self.bodies[self._truth_body(person.body)]
        with torch.no_grad():
            return body(person.pose.map(lambda tensor: tensor[None].float()))

    def points(self, answers: Answers) -> Float[Tensor, "P K 3"]:
        """The joints `names` of a photo's answers, in metres: their own points by name, or those of their bodies."""
        if answers.points is None:
            return self.joints(answers.bodies, self.body)
        missing = [name for name in self.names if name not in answers.point_names]
        if missing:
            raise EvaluationError(
                f"{self.protocol.name}: expected predicted points of {', '.join(missing)}, got only "
                f"{', '.join(answers.point_names)}."
            )
        return answers.points[:, [answers.point_names.index(name) for name in self.names]]

    def __call__(
        self,
        bodies: Bodies,
        points: Float[Tensor, "P K 3"],
        translation: Float[Tensor, "P 3"],
        people: list[LabelledPerson],
    ) -> PersonErrors:
        """The errors of bodies and their `points` (metres, camera frame), of which each is one labelled person's."""
        protocol, points = self.protocol, points.double()
        self.meshes = self.meshes and bodies.vertices.shape[1] > 0
        true_meshes: Tensor | None = None
        if protocol.truth == "annotated points":
            both = [self._annotated(person) for person in people]
            truth, known = torch.stack([b[0] for b in both]).double(), torch.stack([b[1] for b in both])
            meshes = [i for i, person in enumerate(people) if self.meshes and _has_mesh(person)]
            if meshes:
                try:
                    _, true_meshes = self._labelled([people[i] for i in meshes])
                except (BodyFileError, EvaluationError):  # the labels' body is not given: no vertex errors at all
                    self.meshes = False
        else:
            meshes = list(range(len(people)))
            truth, true_meshes = self._labelled(people)
            known = torch.ones(truth.shape[:-1], dtype=torch.bool)
        compared = mupots.with_bone_lengths(points, truth) if protocol.true_bone_lengths else points
        rooted, true = (p - p[:, self._root].mean(1, keepdim=True) for p in (compared, truth))
        predicted, true, known = rooted[:, self._evaluated], true[:, self._evaluated], known[:, self._evaluated]
        errors = 1000 * point_errors(predicted, true)
        found = {"mpjpe": _mean(errors, known)}
        if "pa_mpjpe" in protocol.metrics:
            found["pa_mpjpe"] = _mean(1000 * point_errors(aligned(predicted, true, known), true), known)
        if "pck" in protocol.metrics:
            found["pck"], found["auc"] = pck(errors, PCK_MM), auc(errors, PCK_MM)
        if self.meshes and true_meshes is not None:
            ours = self._rooted_mesh(bodies.vertices, points, translation, self.body)[meshes]
            found["pve"] = torch.full((len(people),), torch.nan, dtype=torch.float64)
            found["pve"][meshes] = 1000 * point_errors(ours, true_meshes).mean(-1)
        return PersonErrors(found, torch.where(known, errors, torch.nan), predicted, true)

    def _labelled(self, people: list[LabelledPerson]) -> tuple[Float[Tensor, "P K 3"], Float[Tensor, "P V 3"]]:
        """The labelled bodies' joints, and their meshes about the root (V = 0 where vertices are not compared)."""
        names = [self._truth_body(person.body) for person in people]
        models = {name: self.bodies[name] for name in names}
        self.meshes = self.meshes and all(self._alike(body) for body in models.values())
        order: list[int] = []
        joints, meshes = [], []
        for name, body in models.items():
            rows = [i for i, other in enumerate(names) if other == name]
            pose = BodyPose.stacked([people[i].pose for i in rows]).map(Tensor.float)
            with torch.no_grad():
                posed = body(pose)
            joints.append(self.joints(posed, body).double())
            rooted = self._rooted_mesh(posed.vertices, joints[-1], pose.translation, body)
            meshes.append(rooted if self.meshes else rooted[:, :0])
            order += rows
        back = torch.argsort(torch.tensor(order))
        return torch.cat(joints)[back], torch.cat(meshes)[back]

    def _alike(self, body: BodyModel) -> bool:
        """Whether a body's mesh is of the predictions' kind; vertices of others have nothing to do with each other."""
        same = body.name == self.body.name or not {body.name, self.body.name} & SHIPPED.keys()
        return same and len(body.data.template) == len(self.body.data.template)

    def _truth_body(self, labelled: str) -> str:
        if labelled.startswith("smplx"):
            raise EvaluationError(f"{self.protocol.name}: expected labels of SMPL's body, got {labelled!r}.")
        return "smpl-neutral" if self.protocol.truth == "neutral body" and labelled not in SHIPPED else labelled

    def _rooted_mesh(
        self,
        vertices: Float[Tensor, "P V 3"],
        points: Float[Tensor, "P K 3"],
        translation: Float[Tensor, "P 3"],
        body: BodyModel,
    ) -> Float[Tensor, "P V 3"]:
        """Meshes moved as the protocol says, with their joints `points` and where they stand, in metres, float64."""
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
                f"{self.protocol.name}: expected labels of {', '.join(missing)}, the data set has "
                f"{person.joint_set.name!r} ({', '.join(person.joint_set.names)})."
            )
        return person.joint_set.indices(*names)


def _has_mesh(person: LabelledPerson) -> bool:
    """Whether pose and shape are labelled for a body that we have; children's is mixed with another template."""
    return bool((person.pose_weight > 0).all() and person.shape_weight > 0) and not person.body.endswith("-kid")


def _mean(errors: Float[Tensor, "P K"], known: Bool[Tensor, "P K"]) -> Float[Tensor, " P"]:
    """The mean over the known joints."""
    return torch.where(known, errors, 0).sum(-1) / known.sum(-1)
