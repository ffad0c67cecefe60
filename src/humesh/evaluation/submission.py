"""The zip file of predictions that AGORA's test server scores (Patel et al., CVPR 2021): its test set has no labels.

It holds a pickle for each person, in the layout of the owner's page `docs/prediction_format.md`
(pixelite1201/agora_evaluation): neutral SMPL with 10 betas, axis-angle, joints in pixels of images of 3840 x 2160.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from humesh.body.files import SHIPPED
from humesh.evaluation.protocols import EvaluationError
from humesh.files import writing
from humesh.geometry.rotations import rotation_to_axis_angle
from humesh.media.photo import Photo
from humesh.scene.result import Result

_HEIGHT = 2160.0  # px; of the images that the server's truth is in


def pictures_below(folder: Path | None) -> dict[str, Path]:
    """AGORA's test pictures by the names that the server knows them by; EvaluationError where there are none."""
    found = sorted(path for path in folder.rglob("*.png") if not path.name.startswith(".")) if folder else []
    if not found:
        where = folder or "(not given)"
        raise EvaluationError(f"--root {where}: expected a folder with AGORA's test pictures (.png), found none.")
    pictures = {path.stem.removesuffix("_1280x720"): path for path in found}
    if len(pictures) < len(found):
        raise EvaluationError(f"--root {folder}: expected each of AGORA's pictures once; give one size's folder.")
    return pictures


def write_submission(path: Path, pictures: dict[str, Path], recover: Callable[[Photo], Result]) -> int:
    """Writes the zip of everybody found in the pictures, atomically; returns the number of people."""
    people = 0
    with writing(path) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, picture in pictures.items():
            for number, person in enumerate(submitted(recover(Photo.read(picture)))):
                # NumPy 2 writes the name of its own module; the server may have NumPy 1. Both read the old name.
                pickled = pickle.dumps(person, protocol=2).replace(b"cnumpy._core.", b"cnumpy.core.")
                archive.writestr(f"predictions/{name}_personId_{number}.pkl", pickled)
                people += 1
    return people


def submitted(result: Result) -> list[dict[str, object]]:
    """What is submitted of each person in a picture; EvaluationError for bodies that the server does not know."""
    if result.body.name in SHIPPED:
        raise EvaluationError(
            f"--submission: expected SMPL parameters, got those of body {result.body.name!r}; use weights for SMPL's "
            "body, with --body SMPL_NEUTRAL.pkl."
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
