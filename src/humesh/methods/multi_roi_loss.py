"""Multi-RoI's losses: SPIN's supervised ones with vertices, camera consistency, and contrast of the crops' features.

Supervised losses are as in the authors' code, for both forms of the method. Of camera consistency and contrast there
are the final paper's (ECCV 2024), the preprint's and the code's. All crops that are present count.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from humesh.body.model import BodyModel
from humesh.crops.crops import Crops
from humesh.losses.bodies import about_hips, body_pixels, labelled_about_hips, normalised
from humesh.losses.points import absolute, squared
from humesh.losses.targets import Targets
from humesh.losses.total import mean_of
from humesh.methods.base import Prediction


@dataclass(frozen=True)
class RoiEstimates:
    """What is compared of predicted people `*g`."""

    keypoints: Float[Tensor, "*g K 2"]  # in the crop, each axis from -1 to 1
    points: Float[Tensor, "*g K 3"]  # metres, from the middle of the hips
    rotations: Float[Tensor, "*g 24 3 3"]
    shape: Float[Tensor, "*g S"]
    vertices: Float[Tensor, "*g V 3"]  # metres, from the pelvis


@dataclass(frozen=True)
class RoiLabels(RoiEstimates):
    """The same labelled, with confidences; `in_3d`, `fitted`: who has 3D points, and who a fitted body."""

    confidence2d: Float[Tensor, "*g K"]
    confidence3d: Float[Tensor, "*g K"]
    in_3d: Bool[Tensor, "*g"]
    fitted: Bool[Tensor, "*g"]


def supervised_losses(made: RoiEstimates, true: RoiLabels, present: Bool[Tensor, "*g"]) -> dict[str, Float[Tensor, ""]]:
    """Confidence x squared error of points, over all points of those who have any; of fits over those who have one."""
    in_3d, fitted, one = true.in_3d & present, true.fitted & present, torch.ones(())
    confidence2d, confidence3d = true.confidence2d[..., None], true.confidence3d[..., None]
    return {
        "kp2d": mean_of(squared(made.keypoints, true.keypoints, confidence2d), present[..., None, None]),
        "kp3d": mean_of(squared(made.points, true.points, confidence3d), in_3d[..., None, None]),
        "vertices": mean_of(absolute(made.vertices, true.vertices, one), fitted[..., None, None]),
        "pose": mean_of(squared(made.rotations, true.rotations, one), fitted[..., None, None, None]),
        "betas": mean_of(squared(made.shape, true.shape, one), fitted[..., None]),
    }


def camera_consistency(
    translation: Float[Tensor, "*g N 3"], focal_px: Float[Tensor, "*g N"], present: Bool[Tensor, "*g N"]
) -> Float[Tensor, ""]:
    """Disagreement of N crops on where their person stands, summed over all pairs, mean over people (final paper).

    0.1 dX^2 + 0.1 dY^2 + 1e-4 dS^2 of translations (X, Y, Z) in the photo's camera, metres, and S = 2 f / Z, px for two
    metres.
    """
    views = _views(translation, focal_px)
    weights = torch.tensor([0.1, 0.1, 1e-4]).to(views)
    error = ((views[..., :, None, :] - views[..., None, :, :]).square() * weights).sum(-1)
    both = present[..., :, None] & present[..., None, :]
    pairs = torch.where(both, error, 0).sum((-2, -1)) / 2
    return mean_of((pairs, torch.ones_like(pairs)), present.any(-1))


def camera_consistency_authors(
    translation: Float[Tensor, "*g N 3"], focal_px: Float[Tensor, "*g N"], present: Bool[Tensor, "*g N"]
) -> Float[Tensor, ""]:
    """The mean of (dX + dY)^2 and of (1e-4 dS)^2 of each crop, the first too, against the first (authors' code).

    The differences in x and y are added before they are squared.
    """
    x, y, size = (_views(translation, focal_px) - _views(translation[..., :1, :], focal_px[..., :1])).unbind(-1)
    seen = present & present[..., :1]
    error = torch.where(seen, (x + y).square() + (1e-4 * size).square(), 0)
    return mean_of((error, torch.ones_like(error)), seen)


def _views(translation: Tensor, focal_px: Tensor) -> Float[Tensor, "*g N 3"]:
    """X, Y in metres and S = 2 f / Z in px: CLIFF's full-image camera before its depth is made of it."""
    return torch.cat([translation[..., :2], 2 * focal_px.to(translation)[..., None] / translation[..., 2:]], dim=-1)


def crop_contrast(
    z: Float[Tensor, "B N C"], present: Bool[Tensor, "B N"], below: str = "others", temperature: float = 0.5
) -> Float[Tensor, ""]:
    """-log(exp(z_i . z_p / t) / sum exp(z_i . z_n / t)), mean over the crops p of i's sample, then over the crops i.

    Features are made unit vectors (code): without a length the loss has no least value. The sum is over "others", the
    crops of other samples (final paper), or over "all" crops but i (preprint, SupCon: Khosla et al., NeurIPS 2020).
    Crops without another of their sample, or without others, do not count.
    """
    rows, there = normalize(z.flatten(0, 1), dim=-1), present.flatten()
    sample = torch.arange(len(z), device=z.device).repeat_interleave(z.shape[1])
    both = there[:, None] & there & ~torch.eye(len(there), dtype=torch.bool, device=z.device)
    positive = (sample[:, None] == sample) & both
    negative = both & ~positive if below == "others" else both
    likeness = rows @ rows.mT / temperature
    sums = likeness.masked_fill(~negative, torch.finfo(likeness.dtype).min).logsumexp(-1)
    pull = torch.where(positive, likeness, 0).sum(-1) / positive.sum(-1).clamp(min=1)
    usable = positive.any(-1) & negative.any(-1)
    return mean_of((torch.where(usable, sums - pull, 0), torch.ones_like(sums)), usable)


def crop_contrast_authors(
    z: Float[Tensor, "B N C"], present: Bool[Tensor, "B N"], temperature: float = 0.5
) -> Float[Tensor, ""]:
    """The contrast of the authors' code: the preprint's, times the temperature."""
    return temperature * crop_contrast(z, present, "all", temperature)


def roi_estimates(body: BodyModel, prediction: Prediction, targets: Targets, crops: Crops) -> RoiEstimates:
    """What a prediction is compared by, in the labels' joint set."""
    pose = prediction.pose.map(Tensor.float)
    bodies = body(pose)
    points = body.points(bodies, targets.joint_set)
    pixels, pelvis = normalised(body_pixels(points, crops.camera), crops.size), bodies.joints[..., :1, :]
    apart = about_hips(points, targets.joint_set), bodies.vertices - pelvis
    return RoiEstimates(pixels, apart[0], pose.rotations, pose.shape, apart[1])


@torch.no_grad()
def roi_labels(body: BodyModel, targets: Targets, crops: Crops) -> RoiLabels:
    """A batch's labels in the units of the estimates; 3D points count where both hips have labels."""
    bodies, (points, confidence3d) = body(targets.pose), labelled_about_hips(targets)
    return RoiLabels(
        keypoints=normalised(targets.points2d, crops.size),
        points=points,
        rotations=targets.pose.rotations,
        shape=targets.pose.shape,
        vertices=bodies.vertices - bodies.joints[..., :1, :],
        confidence2d=targets.points2d_weight,
        confidence3d=confidence3d,
        in_3d=confidence3d.any(-1),
        fitted=(targets.pose_weight.amin(-1) > 0) & (targets.shape_weight > 0),
    )
