"""Labels of a batch with their weights (0: no label), errors with theirs, and the ways from these to one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from humesh.body.joints import JointSet
from humesh.body.model import BodyModel, Rig
from humesh.body.pose import BodyPose
from humesh.geometry.camera import Camera

_HIPS = ("left_hip", "right_hip")
_NEAR_M = 0.2  # metres; points nearer to the camera are projected from there, so that no pixel runs away

Term = tuple[Tensor, Tensor]
"""Errors of any shape, unreduced, and their weights, which broadcast to it."""


@dataclass(frozen=True, eq=False)
class Targets:
    """What is known of the people in crops; `*g` is B groups of N crops.

    Rotations and points are in the axes of the crop's camera (a rolled crop has rolled labels), 3D in metres, 2D in
    crop pixels; `metric_weight`: 1 where the 3D points stand where the person stood, 0 where only their differences
    count; `body_weight`: 0 where a person teaches the skeleton alone (IK-refine's L_P), else 1. A person's `identity`
    is a number that all crops of the same person share.
    """

    pose: BodyPose
    pose_weight: Float[Tensor, "*g J"]
    shape_weight: Float[Tensor, "*g"]
    translation_weight: Float[Tensor, "*g"]
    joint_set: JointSet
    points3d: Float[Tensor, "*g K 3"]
    points3d_weight: Float[Tensor, "*g K"]
    points2d: Float[Tensor, "*g K 2"]
    points2d_weight: Float[Tensor, "*g K"]
    identity: Int[Tensor, "*g"]
    metric_weight: Float[Tensor, "*g"]
    body_weight: Float[Tensor, "*g"]

    def only(self, joint_set: JointSet) -> Targets:
        """The same labels with the points of another joint set, chosen by name; ValueError where one is missing."""
        at = self.joint_set.indices(*joint_set.names)
        return replace(
            self,
            joint_set=joint_set,
            points3d=self.points3d[..., at, :],
            points3d_weight=self.points3d_weight[..., at],
            points2d=self.points2d[..., at, :],
            points2d_weight=self.points2d_weight[..., at],
        )


def body_points(body: BodyModel, pose: BodyPose, joint_set: JointSet) -> Float[Tensor, "*g K 3"]:
    """The points of posed bodies, metres; without skinning the whole surface where the body allows it."""
    if body.data.pose_directions is not None:
        return body.points(body(pose), joint_set)
    rig = _rig(body, joint_set, pose.shape.dtype, pose.shape.device)
    group = pose.shape.shape[:-1]
    flat = BodyPose(pose.rotations.flatten(0, -4), pose.shape.flatten(0, -2), pose.translation.flatten(0, -2))
    return rig.points(body, flat)[0].unflatten(0, group)


@lru_cache(maxsize=8)
def _rig(body: BodyModel, joint_set: JointSet, dtype: torch.dtype, device: torch.device) -> Rig:
    body.data.check_has(joint_set)
    rig, _ = Rig.of(body, joint_set)
    return Rig(*(getattr(rig, field.name).to(device, dtype) for field in fields(Rig)))


def body_pixels(points: Float[Tensor, "*g K 3"], camera: Camera) -> Float[Tensor, "*g K 2"]:
    """Where points (metres, camera frame) are in the pictures of a camera, px; those at or behind it, 0.2 m before."""
    return camera.project(torch.cat([points[..., :2], points[..., 2:].clamp(min=_NEAR_M)], dim=-1))


def normalised(pixels: Float[Tensor, "*g K 2"], size: tuple[int, int]) -> Float[Tensor, "*g K 2"]:
    """Pixels of crops of (height, width), each axis from -1 to 1."""
    return pixels / (torch.tensor(size[::-1]).to(pixels) / 2) - 1


def about_hips(points: Float[Tensor, "*g K 3"], joint_set: JointSet) -> Float[Tensor, "*g K 3"]:
    """Points relative to the middle of the hips."""
    return centred(points, *joint_set.indices(*_HIPS))


def labelled_about_hips(targets: Targets) -> tuple[Float[Tensor, "*g K 3"], Float[Tensor, "*g K"]]:
    """Labelled 3D points relative to the middle of the hips, and their weights, 0 where a hip has no label."""
    hips = targets.points3d_weight[..., targets.joint_set.indices(*_HIPS)].amin(-1, keepdim=True)
    return about_hips(targets.points3d, targets.joint_set), targets.points3d_weight * (hips > 0)


def body_losses(
    body: BodyModel, pose: BodyPose, camera: Camera, size: tuple[int, int], targets: Targets
) -> dict[str, Float[Tensor, ""]]:
    """Means of absolute errors of posed bodies, by name; what has no label counts as 0.

    `camera` and `size` (height, width) are the crops'. "rotations": entries of matrices; "shape": betas; "points3d":
    metres, both sides about the mean of what is labelled; "points2d": in half crop heights.
    """
    points = body_points(body, pose, targets.joint_set)
    weight3d, weight2d = targets.points3d_weight[..., None], targets.points2d_weight[..., None]
    half = size[0] / 2
    terms = {
        "rotations": absolute(pose.rotations, targets.pose.rotations, targets.pose_weight[..., None, None]),
        "shape": absolute(pose.shape, targets.pose.shape, targets.shape_weight[..., None]),
        "points3d": absolute(_about_mean(points, weight3d), _about_mean(targets.points3d, weight3d), weight3d),
        "points2d": absolute(body_pixels(points, camera) / half, targets.points2d / half, weight2d),
    }
    return {name: reduced(term) for name, term in terms.items()}


def _about_mean(points: Tensor, weight: Tensor) -> Tensor:
    return points - (points * weight).sum(-2, keepdim=True) / weight.sum(-2, keepdim=True).clamp(min=1e-6)


def absolute(prediction: Tensor, target: Tensor, weight: Tensor) -> Term:
    """|prediction - target| entry by entry, with its weight."""
    return (prediction - target).abs(), weight


def squared(prediction: Tensor, target: Tensor, weight: Tensor) -> Term:
    """(prediction - target)^2 entry by entry, with its weight."""
    return (prediction - target).square(), weight


def velocity(
    prediction: Float[Tensor, "*g N K 3"], target: Float[Tensor, "*g N K 3"], weight: Float[Tensor, "*g N K"]
) -> tuple[Float[Tensor, "*g F K 3"], Float[Tensor, "*g F K 1"]]:
    """Squared errors of the F = N - 1 steps between neighbouring frames; a step's weight is its frames' product."""
    weight = weight[..., 1:, :] * weight[..., :-1, :]
    return squared(prediction.diff(dim=-3), target.diff(dim=-3), weight[..., None])


def centred(points: Float[Tensor, "*g K 3"], *centre: int) -> Float[Tensor, "*g K 3"]:
    """Points relative to the mean of the chosen ones."""
    return points - points[..., list(centre), :].mean(-2, keepdim=True)


def generator_term(scores: Float[Tensor, "*g D"], weight: Float[Tensor, "*#g"]) -> Term:
    """How far a discriminator's scores of predictions are from 1, summed (LSGAN, Mao et al., 2017, as HMR has it)."""
    return (scores - 1).square().sum(-1), weight


def discriminator_terms(
    real: Float[Tensor, "*r D"], predicted: Float[Tensor, "*g D"], real_weight: Tensor, predicted_weight: Tensor
) -> tuple[Term, Term]:
    """How far the scores of real bodies are from 1 and those of predicted ones (detach these) from 0, summed."""
    return generator_term(real, real_weight), (predicted.square().sum(-1), predicted_weight)


def reduced(term: Term) -> Float[Tensor, ""]:
    """Mean of weight x error over all elements; those of weight 0 count in the denominator."""
    error, weight = term
    return (error * weight).mean()


def mean_of(term: Term, counted: Tensor) -> Float[Tensor, ""]:
    """Sum of weight x error over the elements that are `counted` (1; 0 leaves them out), divided by their number.

    `counted` broadcasts to the error; 0 where nothing is counted. The weight itself counts in no denominator.
    """
    error, weight = term
    counted = counted.to(error).expand_as(error)
    return (error * weight * counted).sum() / counted.sum().clamp(min=1)


def mean_of_labelled(term: Term) -> Float[Tensor, ""]:
    """Mean of weight x error over the elements whose weight is not 0."""
    return mean_of(term, term[1] > 0)


class LearnedWeights(nn.Module):
    """A learned weight s for each named loss: 0.5 / s^2 * loss + ln(1 + s^2), s = 1 at first.

    Liebel and Koerner, 2018, after Kendall et al., CVPR 2018; used by JOTR. Train s without weight decay.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names
        self.scales = nn.Parameter(torch.ones(len(names)))

    def forward(self, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weighed losses by name, of those that are there."""
        squares = dict(zip(self.names, self.scales.square(), strict=True))
        return {name: 0.5 / s * means[name] + torch.log1p(s) for name, s in squares.items() if name in means}


class Label(NamedTuple):
    """What an estimate is compared with: its errors times the confidence are averaged over all that is `counted`.

    So do SPIN (Kolotouros et al., ICCV 2019) and its heirs Multi-RoI and INT in their authors' code.
    """

    value: Tensor
    confidence: Tensor
    counted: Tensor

    def loss(self, made: Tensor, error: Callable[[Tensor, Tensor, Tensor], Term] = squared) -> Float[Tensor, ""]:
        """The mean error of an estimate."""
        return mean_of(error(made, self.value, self.confidence), self.counted)


def spin_estimates(
    points: Float[Tensor, "*g K 3"], pose: BodyPose, joint_set: JointSet, camera: Camera, size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What posed bodies with these points, of the labels' joint set, are compared by.

    2D points in the crop, each axis from -1 to 1; 3D ones in metres, from the middle of the hips; rotations; shape.
    """
    pixels = normalised(body_pixels(points, camera), size)
    return pixels, about_hips(points, joint_set), pose.rotations, pose.shape


def spin_labels(
    targets: Targets,
    size: tuple[int, int],
    in_2d: Bool[Tensor, "*g"],
    in_3d: Bool[Tensor, "*g"],
    in_fits: Bool[Tensor, "*g"],
) -> tuple[Label, Label, Label, Label]:
    """A batch's labels of the people chosen for each kind, fits where they are; 3D points need both hips' labels."""
    points, confidence3d = labelled_about_hips(targets)
    pixels, one = normalised(targets.points2d, size), torch.ones_like(targets.shape_weight)
    fitted = (targets.pose_weight.amin(-1) > 0) & (targets.shape_weight > 0) & in_fits
    return (
        Label(pixels, targets.points2d_weight[..., None], in_2d[..., None, None]),
        Label(points, confidence3d[..., None], in_3d[..., None, None]),
        Label(targets.pose.rotations, one[..., None, None, None], fitted[..., None, None, None]),
        Label(targets.pose.shape, one[..., None], fitted[..., None]),
    )
