"""Measures where MediaPipe sees its 33 landmarks on the open body, against the body's own `mediapipe33` regressor.

Renders people in random poses from random sides, runs the landmark model on them, and solves for one offset per
landmark (metres, in the frame of the body part that carries it, at rest) which best explains the distances on the
pictures, by least squares over all of them; left and right are tied as mirror images. Prints what is left to
add to the table SEEN_BY_MEDIAPIPE_MM of tools/build_open_body.py.

Run: python tools/measure_landmarks.py [--people 150] [--seed 0]
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from humesh.body.joints import MEDIAPIPE33, SMPL24, mirrored_name
from humesh.body.kinematics import forward_kinematics
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo
from humesh.people.finder import PeopleFinder
from humesh.scene.render import Stage

SIZE = (600, 800)
PART = {"hip": "pelvis", "shoulder": "spine3", "elbow": "shoulder", "wrist": "elbow", "knee": "hip", "ankle": "knee",
        "heel": "ankle", "index": "wrist", "pinky": "wrist", "thumb": "wrist"}  # fmt: skip
SPREAD = {"hip": 0.35, "knee": 0.0, "shoulder": 0.5, "elbow": 0.3, "spine1": 0.12, "spine2": 0.1, "spine3": 0.1,
          "neck": 0.2, "head": 0.2, "wrist": 0.25, "ankle": 0.15, "collar": 0.08}  # fmt: skip

LENGTHS = [
    ("hip", "knee"),
    ("knee", "ankle"),
    ("shoulder", "elbow"),
    ("elbow", "wrist"),
    ("middle_hip", "middle_shoulder"),
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
]


def part_of(landmark: str) -> str:
    """The joint whose rotation carries a landmark."""
    side = next((s for s in ("left", "right") if s in landmark.split("_")), "")
    bare = landmark.replace(f"{side}_", "", 1)
    if bare == "foot_index":
        return f"{side}_ankle"
    if bare not in PART:
        return "head"
    part = PART[bare]
    return part if part in ("pelvis", "spine3") else f"{side}_{part}"


def random_person(generator: torch.Generator) -> BodyPose:
    """Somebody near standing, arms anywhere, knees bent or not, turned to any side."""
    vectors = torch.zeros(24, 3)
    for row, joint in enumerate(SMPL24.names):
        vectors[row] = SPREAD.get(joint.split("_")[-1], 0.0) * torch.randn(3, generator=generator)
    for side, sign in (("left", -1.0), ("right", 1.0)):
        vectors[SMPL24.index(f"{side}_shoulder"), 2] += sign * (0.3 + 0.9 * float(torch.rand(1, generator=generator)))
        vectors[SMPL24.index(f"{side}_elbow"), 1] += sign * 1.6 * float(torch.rand(1, generator=generator))
        bend = 1.2 * float(torch.rand(1, generator=generator))
        vectors[SMPL24.index(f"{side}_knee"), 0] += bend
        vectors[SMPL24.index(f"{side}_hip"), 0] -= 0.6 * bend
    rotations = rotation_from_axis_angle(vectors)
    yaw = torch.tensor([0.0, 2 * torch.pi * float(torch.rand(1, generator=generator)), 0.0])
    rotations[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ rotation_from_axis_angle(yaw)
    shape = torch.randn(10, generator=generator)
    return BodyPose(rotations[None], shape[None], torch.tensor([[0.0, 0.0, 3.4]]))


def _lengths(points: np.ndarray) -> np.ndarray:
    """Distances between landmarks, `LENGTHS`; of a pair both sides' mean, of "middle" ends the middles'."""
    at = {name: points[k] for k, name in enumerate(MEDIAPIPE33.names)}
    for joint in ("hip", "shoulder"):
        at[f"middle_{joint}"] = (at[f"left_{joint}"] + at[f"right_{joint}"]) / 2
    sides = [("left_", "left_"), ("right_", "right_")]
    return np.array([
        np.mean([np.linalg.norm(at[s + a] - at[t + b]) for s, t in (sides if "_" not in a else [("", "")])])
        for a, b in LENGTHS
    ])  # fmt: skip


def measure(people: int, seed: int) -> dict[str, np.ndarray]:
    """Offset of each landmark in metres, by name."""
    body, camera, finder = BodyModel.load("open"), Camera.guess(SIZE), PeopleFinder()
    generator, colours = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    rows: dict[str, list[np.ndarray]] = {name: [] for name in MEDIAPIPE33.names}
    rights: dict[str, list[np.ndarray]] = {name: [] for name in MEDIAPIPE33.names}
    ratios: list[np.ndarray] = []
    for _ in range(people):
        pose = random_person(generator)
        with torch.no_grad():
            bodies = body(pose)
            turns, _ = forward_kinematics(pose.rotations, body.rest_joints(pose.shape))
            points = body.keypoints(bodies.vertices, MEDIAPIPE33)[0].double()
        skin = np.array([[0.8, 0.58, 0.46]]) * colours.uniform(0.5, 1.1)
        ground = np.full((SIZE[1], SIZE[0], 3), colours.integers(90, 220, 3), np.uint8)
        picture = Stage(bodies.vertices.numpy(), bodies.faces, skin).render(camera, SIZE).over(ground)
        found = finder(Photo.of(picture, camera))
        if len(found) != 1 or found[0].keypoints is None:
            continue
        pixels, focal = camera.project(points), float(camera.focal_px)
        assert found[0].landmarks3d is not None
        ratios.append(_lengths(found[0].landmarks3d) / _lengths(points.numpy()))
        for k, name in enumerate(MEDIAPIPE33.names):
            u, v, confidence = found[0].keypoints[k]
            miss = np.array([u, v]) - pixels[k].numpy()
            if confidence < 0.9 or np.linalg.norm(miss) > 40:
                continue
            x, y, z = points[k].tolist()
            jacobian = focal * np.array([[1 / z, 0, -x / z**2], [0, 1 / z, -y / z**2]])
            rows[name].append(jacobian @ turns[0, SMPL24.index(part_of(name))].double().numpy())
            rights[name].append(miss)
    flip = np.array([-1.0, 1.0, 1.0])
    offsets = {}
    for name in MEDIAPIPE33.names:
        other = mirrored_name(name)
        system = np.concatenate(rows[name] + [r * flip for r in rows[other]])
        right = np.concatenate(rights[name] + rights[other])
        # A ridge of one centimetre against landmarks seen from few sides; residuals are about 5 px.
        ridge = 5.0 / 0.01
        offset = np.linalg.solve(system.T @ system + ridge * np.eye(3), system.T @ right)
        offsets[name] = offset * (flip == 1) if name == other else offset
    lengths = np.array(ratios)
    print(f"MediaPipe's metric lengths by the body's, spread of the person's median {np.median(lengths, 1).std():.3f}:")
    for (a, b), ratio in zip(LENGTHS, np.median(lengths, 0), strict=True):
        print(f"  {a} to {b}: {ratio:.2f}")
    return offsets


def main() -> None:
    """Prints the offsets of one side and of the middle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name, offset in measure(arguments.people, arguments.seed).items():
        if "right" not in name.split("_"):
            x, y, z = (1000 * offset).round().astype(int)
            print(f"{name:18} {x:5d} {y:5d} {z:5d} mm (left, up, forward)")


if __name__ == "__main__":
    main()
