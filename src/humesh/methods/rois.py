"""Several boxes around one person (Multi-RoI, ECCV 2024), and the vector of a box's place."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humesh.crops.crops import Box, CropSpec
from humesh.geometry.camera import Camera
from humesh.people.person import Person

ROI_COPIES = ((0.0, 0.0, 1.0), (0.1, 0.0, 1.5), (-0.1, 0.0, 1.25), (0.0, 0.1, 0.8), (0.0, -0.1, 0.65))
"""The paper's boxes: (shift x, shift y, scale), in units of the first one's height."""
_SEEN = 0.3  # confidence from which a keypoint is used; the labels of data sets are 0 or 1


def roi_copies(
    scheme: str, count: int, generator: torch.Generator | None = None
) -> tuple[tuple[float, float, float], ...]:
    """The boxes of a scheme of the paper's table: "both", "scale", "shift", "none" (equal boxes) or "random".

    Random ones are drawn from the generator, each training sample's anew, within the paper's largest shifts and scales;
    without one (at inference) they are the paper's.
    """
    if scheme == "random" and generator is not None:
        low, high = torch.tensor(ROI_COPIES).aminmax(dim=0)
        drawn = low + (high - low) * torch.rand(count - 1, 3, generator=generator)
        return (ROI_COPIES[0], *((dx, dy, scale) for dx, dy, scale in drawn.tolist()))
    shifted, scaled = scheme in ("both", "random", "shift"), scheme in ("both", "random", "scale")
    return tuple((dx * shifted, dy * shifted, s if scaled else 1.0) for dx, dy, s in ROI_COPIES[:count])


def roi_spec(size: tuple[int, int], copies: tuple[tuple[float, float, float], ...]) -> CropSpec:
    """Crops of (height, width) px of a person's boxes; the first is the keypoints', 1.2 times as large (authors)."""
    return CropSpec(size, "rois", len(copies), box=keypoint_box, margin=1.2, copies=copies)


def keypoint_box(person: Person, size: tuple[int, int]) -> Box:
    """The tight box (x0 y0 x1 y1 px) of the keypoints that are seen, else the person's own."""
    if person.keypoints is not None:
        seen = person.keypoints[person.keypoints[:, 2] > _SEEN, :2].astype(np.float64)
        if len(seen) and (np.ptp(seen, axis=0) > 0).all():
            return np.concatenate([seen.min(0), seen.max(0)])
    return np.asarray(person.box, dtype=np.float64)


def box_vectors(camera: Camera, size: tuple[int, int], unit_px: float = 1.0) -> Float[Tensor, "*g 3"]:
    """Where the crops of those cameras, (height, width) px, lie in their photos, as CLIFF normalises it (ECCV 2022).

    (2.8 (cx - W/2) / f, 2.8 (cy - H/2) / f, (b / f - 0.24) / 0.06) for a box of centre (cx, cy) and height b px. With
    `unit_px` 200, b is counted in 200 px: what the authors' code, whose data part is missing, may have done.
    """
    focal = camera.matrix[..., 0, 0, None]
    middle = torch.tensor([size[1] / 2, size[0] / 2]).to(focal)
    shift = (middle - camera.principal_point_px) / focal
    return torch.cat([2.8 * shift, (size[0] / focal / unit_px - 0.24) / 0.06], dim=-1)
