"""How well landmarks become bodies: the first form of ik_refine on mocap poses of the open body, truth known.

Run: python benchmarks/landmark_ik.py POSES.npz [--count 600]. POSES.npz holds `poses`, N x 24 x 3 axis-angle in
radians, y up (the project's motion files). Bodies of random shape are turned to any side and put 4 to 7 m before a
guessed camera; their MediaPipe points, exact or with noise, go in. Errors are over the 12 limb joints, in millimetres:
PA after similarity alignment per person, MPJPE after moving the pelvis, PVE the same for all vertices.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from humesh.body.joints import LIMBS12, MEDIAPIPE33, SMPL24
from humesh.body.kinematics import swing
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.fitting.landmark_ik import LandmarkIK
from humesh.geometry.align import procrustes
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle

SIZE = (1280, 960)


def people(path: str, count: int) -> BodyPose:
    """Random mocap poses, sides, shapes and places; float64."""
    poses = np.load(path, allow_pickle=False)["poses"]
    chosen = np.random.default_rng(0).choice(len(poses), min(count, len(poses)), replace=False)
    rotations = rotation_from_axis_angle(torch.tensor(poses[chosen].astype(np.float64)))
    number, nothing = len(chosen), torch.zeros(len(chosen)).double()
    yaw = rotation_from_axis_angle(torch.stack([nothing, 6.28 * torch.rand(number).double(), nothing], dim=-1))
    pitch = rotation_from_axis_angle(torch.stack([0.8 * (torch.rand(number).double() - 0.3), nothing, nothing], dim=-1))
    upright = torch.diag(torch.tensor([1.0, -1.0, -1.0])).double()
    rotations[:, 0] = upright @ pitch @ yaw @ rotations[:, 0]
    sideways, upwards = 0.5 * torch.randn(number).clamp(-1, 1), 0.2 * torch.randn(number)
    place = torch.stack([sideways, upwards, 4 + 3 * torch.rand(number)], dim=-1).double()
    return BodyPose(rotations, torch.randn(number, 10).double(), place)


def main() -> None:
    """Prints a line for each kind of landmarks and each fall-back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("poses")
    parser.add_argument("--count", type=int, default=600)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    body, camera = BodyModel.load("open"), Camera.guess(SIZE)
    truth = people(arguments.poses, arguments.count)
    bodies = body(truth)
    points = body.keypoints(bodies.vertices, MEDIAPIPE33)
    pixels = camera.project(points)
    ray = points.mean(-2)
    landmarks = (points - ray[:, None]) @ swing(torch.tensor([0.0, 0.0, 1.0]).double().expand_as(ray), ray)
    height = (pixels.amax(-2) - pixels.amin(-2)).amax(-1)
    limbs = SMPL24.indices(*LIMBS12.names)

    def errors(method: LandmarkIK, noise_2d: float, noise_3d: tuple[float, float, float]) -> list[float]:
        torch.manual_seed(1)
        seen = pixels + noise_2d * height[:, None, None] * torch.randn_like(pixels)
        heard = landmarks + torch.tensor(noise_3d) * torch.randn_like(landmarks)
        keypoints = torch.cat([seen, torch.ones_like(seen[..., :1])], dim=-1)
        found = body(method(keypoints, heard, camera, SIZE).pose)
        ours, theirs = found.joints[:, limbs], bodies.joints[:, limbs]
        shift = found.joints[:, :1] - bodies.joints[:, :1]

        def mean_mm(difference: Tensor) -> float:
            return 1000 * float(difference.norm(dim=-1).mean())

        aligned = procrustes(ours, theirs)(ours)
        return [
            mean_mm(aligned - theirs),
            mean_mm(ours - shift - theirs),
            mean_mm(found.vertices - shift - bodies.vertices),
        ]

    print(f"{len(height)} people; noise: 2D in % of the person's height, 3D sideways / in depth in cm; errors in mm")
    for noise_2d, sideways, depth in ((0.0, 0.0, 0.0), (0.015, 0.025, 0.07), (0.02, 0.03, 0.10)):
        for fallback in (None, 0.015):
            method = replace(LandmarkIK(body), fallback_m=fallback)
            with torch.no_grad():
                pa, mpjpe, pve = errors(method, noise_2d, (sideways, sideways, depth))
            noise = f"{100 * noise_2d:.1f} %, {100 * sideways:.1f} / {100 * depth:.0f} cm"
            print(f"{noise:22} fall-back {fallback or 'none':>6}: PA {pa:5.1f}  MPJPE {mpjpe:5.1f}  PVE {pve:5.1f}")


if __name__ == "__main__":
    main()
