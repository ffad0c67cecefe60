"""Multi-RoI's losses: SPIN's supervised ones with vertices, camera consistency, and contrast of the crops' features.

Supervised losses are as in the authors' code, for both forms of the method. Of camera consistency and contrast there
are the final paper's (ECCV 2024), the preprint's and the code's. All crops that are present count.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from humesh.body.model import BodyModel
from humesh.crops.crops import Crops
from humesh.losses import Label, Targets, absolute, labelled_about_hips, mean_of, spin_estimates, spin_labels, squared
from humesh.methods.base import Prediction

_NAMES = ("kp2d", "kp3d", "pose", "betas")


def supervised_losses(made: Mapping[str, Tensor], true: Mapping[str, Label]) -> dict[str, Float[Tensor, ""]]:
    """Squared errors of SPIN's estimates and absolute ones of vertices, each a mean over the people with a label."""
    return {name: label.loss(made[name], absolute if name == "vertices" else squared) for name, label in true.items()}


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
    both = present & present[..., :1]
    error = torch.where(both, (x + y).square() + (1e-4 * size).square(), 0)
    return mean_of((error, torch.ones_like(error)), both)


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
    similarity = rows @ rows.mT / temperature
    sums = similarity.masked_fill(~negative, torch.finfo(similarity.dtype).min).logsumexp(-1)
    pull = torch.where(positive, similarity, 0).sum(-1) / positive.sum(-1).clamp(min=1)
    usable = positive.any(-1) & negative.any(-1)
    return mean_of((torch.where(usable, sums - pull, 0), torch.ones_like(sums)), usable)


def crop_contrast_authors(
    z: Float[Tensor, "B N C"], present: Bool[Tensor, "B N"], temperature: float = 0.5
) -> Float[Tensor, ""]:
    """The contrast of the authors' code: the preprint's, times the temperature."""
    return temperature * crop_contrast(z, present, "all", temperature)


def roi_estimates(body: BodyModel, prediction: Prediction, targets: Targets, crops: Crops) -> dict[str, Tensor]:
    """What a prediction is compared by, in the labels' joint set; vertices in metres from the pelvis."""
    pose = prediction.pose.map(Tensor.float)
    bodies = body(pose)
    points = body.points(bodies, targets.joint_set)
    made = dict(zip(_NAMES, spin_estimates(points, pose, targets.joint_set, crops.camera, crops.size), strict=True))
    return made | {"vertices": bodies.vertices - bodies.joints[..., :1, :]}


@torch.no_grad()
def roi_labels(body: BodyModel, targets: Targets, crops: Crops) -> dict[str, Label]:
    """A batch's labels in the units of the estimates."""
    present, bodies = crops.present, body(targets.pose)
    in_3d = labelled_about_hips(targets)[1].any(-1) & present
    true = dict(zip(_NAMES, spin_labels(targets, crops.size, present, in_3d, present), strict=True))
    vertices = bodies.vertices - bodies.joints[..., :1, :]
    return true | {
        "vertices": Label(vertices, torch.ones_like(vertices[..., :1, :1]), true["betas"].counted[..., None])
    }
