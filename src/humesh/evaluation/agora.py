"""AGORA (Patel et al., CVPR 2021) for SMPL bodies: its matching of people in an image, its test server's zip file.

The zip holds a pickle for each person, in the layout of the owner's page `docs/prediction_format.md`
(pixelite1201/agora_evaluation): neutral SMPL with 10 betas, axis-angle, joints in pixels of images of 3840 x 2160.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from humesh.body.files import SHIPPED
from humesh.evaluation.protocols import EvaluationError
from humesh.files import writing
from humesh.geometry.boxes import box_around, box_iou
from humesh.geometry.rotations import rotation_to_axis_angle
from humesh.media.photo import Photo
from humesh.scene.result import Result

MISSED, INVALID = -1, -2
"""In a matching: nobody was predicted for this person; the person is not evaluated."""
_HEIGHT = 2160.0  # px; of the images that the server's truth is in


def match(
    truth_px: Float[Tensor, "G 24 2"],
    valid: Bool[Tensor, " G"],
    predicted_px: Float[Tensor, "P 24 2"],
    least_iou: float = 0.1,
) -> Int[Tensor, " G"]:
    """Each annotated person's prediction, or `MISSED`, or `INVALID` (also when nobody was predicted there).

    All pairs are gone through from the closest on; the distance is the largest singular value of the 24 x 2 pixel
    differences. A pair whose boxes overlap by less than `least_iou` is rejected, whether its people are free or not.
    Any other pair of free people is a match, or, where the person is invalid, takes the person out and leaves the
    prediction free. It ends when matches and rejected pairs are as many as the predictions, so rejected pairs can
    cost a later pair its match. 0.1 and the rules: the benchmark's tool.
    """
    for name, pixels in (("truth_px", truth_px), ("predicted_px", predicted_px)):
        if not pixels.isfinite().all():
            raise EvaluationError(f"agora.match: expected finite {name}, got NaN or infinity; leave such people out.")
    truth, predicted = truth_px.double(), predicted_px.double()
    distance = torch.linalg.matrix_norm(predicted[:, None] - truth, ord=2)
    overlap = box_iou(_box(predicted)[:, None], _box(truth)[None]).tolist()
    found = [MISSED if is_valid else INVALID for is_valid in valid.tolist()]
    free_truths, free_predictions, closed = set(range(len(truth))), set(range(len(predicted))), 0
    for pair in distance.flatten().sort(stable=True).indices.tolist():
        if closed >= len(predicted):
            break
        p, g = divmod(pair, len(truth))
        if overlap[p][g] < least_iou:
            closed += 1
        elif p in free_predictions and g in free_truths:
            free_truths.remove(g)
            if found[g] != INVALID:
                found[g], closed = p, closed + 1
                free_predictions.remove(p)
    return torch.tensor(found, dtype=torch.int64)


def _box(points: Float[Tensor, "n 24 2"]) -> Float[Tensor, "n 4"]:
    """The box around the joints, its last pixel included: a side is max - min + 1, as the benchmark's tool has it."""
    return box_around(points) + torch.tensor([0, 0, 1, 1]).to(points)


def write_submission(path: Path, photos: Iterable[Path], recover: Callable[[Photo], Result]) -> tuple[int, int]:
    """Writes the zip of everybody found in the photos, atomically; returns the numbers of photos and of people."""
    count = people = 0
    with writing(path) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for photo in photos:
            for number, person in enumerate(submitted(recover(Photo.read(photo)))):
                name = f"predictions/{photo.stem.removesuffix('_1280x720')}_personId_{number}.pkl"
                archive.writestr(name, pickle.dumps(person, protocol=4))
                people += 1
            count += 1
    return count, people


def submitted(result: Result) -> list[dict[str, object]]:
    """The dictionaries of a photo's people; EvaluationError for bodies that the server does not know."""
    if result.body.name in SHIPPED:
        raise EvaluationError(
            f"AGORA's server: expected SMPL parameters, got those of body {result.body.name!r}; use "
            "weights for SMPL's body, with --body SMPL_NEUTRAL.pkl."
        )
    vectors = rotation_to_axis_angle(result.pose.rotations.double()).numpy().astype(np.float32)
    pixels = result.photo.camera.project(result.bodies.joints.double()).numpy() * _HEIGHT / result.photo.size[1]
    shapes, places = result.pose.shape.numpy(), result.pose.translation.numpy()
    return [
        {
            "pose2rot": True,
            "joints": pixels[k].astype(np.float32),
            "params": {
                "transl": places[k, None].astype(np.float32),
                "betas": shapes[k, None, :10].astype(np.float32),
                "global_orient": vectors[k, None, :1],
                "body_pose": vectors[k, None, 1:],
            },
        }
        for k in range(len(result.people))
    ]
