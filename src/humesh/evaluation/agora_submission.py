"""AGORA's test server takes a zip of pickles, one a person: SMPL parameters, and 24 joints to match people by.

The layout is that of the owner's page `docs/prediction_format.md` (pixelite1201/agora_evaluation): neutral SMPL with 10
betas, rotation vectors, joints in pixels of pictures of 3840 x 2160.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from humesh.body.files import SHIPPED
from humesh.evaluation.subsets import EvaluationError
from humesh.files import writing
from humesh.geometry.rotations import rotation_to_axis_angle
from humesh.media.photo import Photo
from humesh.scene.result import Result

_HEIGHT = 2160.0  # px; of the pictures that the server's truth is in


def write_submission(path: Path, photos: Iterable[Path], recover: Callable[[Photo], Result]) -> tuple[int, int]:
    """Writes the zip of everybody found in the photos, whole or not at all; the numbers of photos and people."""
    done = people = 0
    with writing(path) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for photo in photos:
            for number, person in enumerate(submitted(recover(Photo.read(photo)))):
                name = f"predictions/{photo.stem.removesuffix('_1280x720')}_personId_{number}.pkl"
                archive.writestr(name, pickle.dumps(person, protocol=4))
                people += 1
            done += 1
    return done, people


def submitted(recovery: Result) -> list[dict[str, object]]:
    """The dictionaries of a photo's people; EvaluationError for bodies that the server does not know."""
    if recovery.body.name in SHIPPED:
        raise EvaluationError(
            f"AGORA's server: expected SMPL parameters, got those of body {recovery.body.name!r}; use "
            "weights that speak of SMPL's body, with --body SMPL_NEUTRAL.pkl."
        )
    vectors = rotation_to_axis_angle(recovery.pose.rotations.double()).numpy().astype(np.float32)
    pixels = recovery.photo.camera.project(recovery.bodies.joints.double()).numpy() * _HEIGHT / recovery.photo.size[1]
    shapes, places = recovery.pose.shape.numpy(), recovery.pose.translation.numpy()
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
        for k in range(len(recovery.people))
    ]
