"""Makes the README's pictures: renders people with the open body, then runs humesh on that rendering as on any photo.

Run: python tools/make_pictures.py [-o docs/pictures]. No photograph is involved.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

import humesh
from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo
from humesh.scene.pictures import contact_sheet
from humesh.scene.render import Stage

SIZE = (1200, 900)
SKIN = np.array([[0.80, 0.58, 0.46], [0.45, 0.30, 0.22], [0.66, 0.45, 0.34]])

# Axis-angle in radians by joint, written by hand: somebody waving, a boxer, somebody in a lunge.
PEOPLE: tuple[dict[str, tuple[float, float, float]], ...] = (
    {
        "pelvis": (0, 0.35, 0),
        "left_shoulder": (0, 0, -1.25),
        "right_shoulder": (0, 0.2, -0.5),
        "right_elbow": (0, 0.6, -1.3),
        "left_elbow": (0, -0.3, 0),
    },
    {
        "pelvis": (0, -0.5, 0),
        "spine1": (0.15, 0, 0),
        "left_hip": (-0.35, 0, 0.15),
        "right_hip": (0.15, 0, -0.2),
        "left_knee": (0.5, 0, 0),
        "right_knee": (0.45, 0, 0),
        "left_shoulder": (0, -0.9, -0.7),
        "right_shoulder": (0, 0.6, 0.95),
        "left_elbow": (0, -1.2, 0),
        "right_elbow": (0, 2.0, 0),
    },
    {
        "pelvis": (0, -1.0, 0),
        "left_hip": (-1.25, 0, 0.1),
        "left_knee": (1.35, 0, 0),
        "right_hip": (0.35, 0, -0.1),
        "right_knee": (1.0, 0, 0),
        "right_ankle": (0.5, 0, 0),
        "left_shoulder": (0, 0, -1.1),
        "right_shoulder": (0, 0, 1.1),
        "left_elbow": (0, -1.0, 0),
        "right_elbow": (0, 1.0, 0),
    },
)
PLACES = ((-1.25, 0.15, 5.2), (0.05, 0.18, 4.8), (1.35, 0.45, 5.0))
SHAPES = ((0.8, -0.4), (-0.2, 0.6), (-0.8, -0.3))  # betas 0 and 1: height, weight


def people() -> BodyPose:
    """The three of them, in the camera's frame."""
    vectors = torch.zeros(len(PEOPLE), len(SMPL24), 3)
    for row, pose in enumerate(PEOPLE):
        for joint, vector in pose.items():
            vectors[row, SMPL24.index(joint)] = torch.tensor(vector)
    rotations = rotation_from_axis_angle(vectors)
    rotations[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ rotations[:, 0]
    shape = torch.zeros(len(PEOPLE), 10)
    shape[:, :2] = torch.tensor(SHAPES)
    return BodyPose(rotations, shape, torch.tensor(PLACES))


def backdrop(seed: int = 0) -> np.ndarray:
    """A blurred wall and floor of made-up colours."""
    generator = np.random.default_rng(seed)
    width, height = SIZE
    noise = generator.normal(size=(height // 60, width // 60, 3)) * 9
    rough = np.asarray(
        Image.fromarray((128 + noise).clip(0, 255).astype(np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
    )
    wall = np.array([168, 176, 182]) + (rough.astype(float) - 128)
    floor = np.array([128, 120, 112]) + (rough.astype(float) - 128)
    line = int(height * 0.62)
    rows = np.arange(height)[:, None, None]
    mixed = np.where(rows < line, wall - 0.03 * rows, floor - 0.05 * (rows - line))
    return np.asarray(Image.fromarray(mixed.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(2)))


def photograph() -> Photo:
    """The rendering that stands in for a photo."""
    body, camera = BodyModel.load("open"), Camera.guess(SIZE)
    bodies = body(people())
    picture = Stage(bodies.vertices.numpy(), bodies.faces, SKIN).render(camera, SIZE)
    return Photo.of(picture.over(backdrop()), camera)


def main() -> None:
    """Writes the rendering and what humesh makes of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/pictures"))
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    photo = photograph()
    recovery = humesh.Recoverer()(photo)
    print(f"{len(recovery.people)} of {len(PEOPLE)} people found")
    sheet = Image.fromarray(contact_sheet(recovery))
    sheet.thumbnail((1400, 1400))
    sheet.save(out / "recovered.jpg", quality=85)
    shot = Image.fromarray(photo.pixels)
    shot.thumbnail((700, 700))
    shot.save(out / "rendered.jpg", quality=85)


if __name__ == "__main__":
    main()
