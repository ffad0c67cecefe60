"""What fitting to 2D keypoints gains, on mocap poses of the open body whose truth is known.

Run: python benchmarks/fitting.py POSES.npz [--count 400]. POSES.npz holds `poses`, N x 24 x 3 axis-angle in radians, y
up (the project's motion files). Bodies of random shape are turned to any side and put 4 to 7 m before a guessed camera.
The start is the truth disturbed as a network's prediction is; keypoints are the true ones with noise of 1.5 % of the
person's height and wrong ones. Errors over the 12 limb joints, mm.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from humesh.body.joints import LIMBS12, MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.body.pose_prior import PosePrior
from humesh.fitting.fit import FitSettings, fit
from humesh.geometry.align import procrustes
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle

LIMBS = SMPL24.indices(*LIMBS12.names)
HEIGHT_M = 1.7
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


def disturbed(truth: BodyPose, turn: float, root: float) -> BodyPose:
    """Rotation noise of `turn` rad per joint and axis (`root` at the pelvis), smaller shapes, another place."""
    noise = turn * torch.randn(*truth.rotations.shape[:-1]).double()
    noise[:, 0] *= root / turn
    for joint in ("spine1", "spine2", "spine3", "left_collar", "right_collar", "neck", "head"):
        noise[:, SMPL24.index(joint)] *= 0.4
    place = truth.translation * (1 + 0.15 * torch.randn(len(noise), 1)) + 0.05 * torch.randn(len(noise), 3)
    return BodyPose(truth.rotations @ rotation_from_axis_angle(noise), 0.5 * truth.shape, place)


def observed(pixels: Tensor, height: Tensor, noise: float, wrong: float, hidden: float) -> Tensor:
    """Keypoints with noise; some wrong by a fifth of the height, the hidden ones at 0.1 to 0.4 of confidence."""
    number = pixels.shape[:2]
    bad, lost = torch.rand(number) < wrong, torch.rand(number) < hidden
    spread = height[:, None] * torch.where(bad | lost, 0.2, noise)
    confidence = torch.where(lost, 0.1 + 0.3 * torch.rand(number), 0.8 + 0.2 * torch.rand(number))
    return torch.cat([pixels + spread[..., None] * torch.randn_like(pixels), confidence[..., None].double()], dim=-1)


def main() -> None:
    """Prints errors before and after for every kind of start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("poses")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--set", nargs="*", default=[], help="settings to try, such as prior=0.3")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    settings = replace(
        FitSettings(),
        **{k: type(getattr(FitSettings(), k))(float(v)) for k, v in (s.split("=") for s in arguments.set)},
    )
    body, camera, prior = BodyModel.load("open"), Camera.guess(SIZE), PosePrior.load()
    truth = people(arguments.poses, arguments.count)
    vertices = body(truth)
    points = body.keypoints(vertices.vertices, MEDIAPIPE33)
    pixels = camera.project(points)
    height = HEIGHT_M * camera.focal_px / vertices.joints[:, 0, 2]

    def errors(pose: BodyPose) -> tuple[float, float, float]:
        ours, theirs = body.joints(pose)[:, LIMBS], vertices.joints[:, LIMBS]
        shift = body.joints(pose)[:, :1] - vertices.joints[:, :1]
        pa = (procrustes(ours, theirs)(ours) - theirs).norm(dim=-1)
        off = (camera.project(ours) - camera.project(theirs)).norm(dim=-1) / height[:, None]
        return (
            1000 * float(pa.mean()),
            1000 * float((ours - shift - theirs).norm(dim=-1).mean()),
            100 * float(off.median()),
        )

    def report(name: str, start: BodyPose, keypoints: Tensor) -> None:
        begin = time.perf_counter()
        end = fit(body, prior, start, keypoints, MEDIAPIPE33, camera, settings)
        took = (time.perf_counter() - begin) / len(keypoints)
        texts = [f"PA {a:5.1f}  MPJPE {b:6.1f}  2D {c:4.1f} %" for a, b, c in (errors(start), errors(end))]
        print(f"{name:44} {texts[0]}  ->  {texts[1]}   {1000 * took:5.1f} ms a person", flush=True)

    print(f"{len(height)} people; 2D: median miss of the limb joints, % of {HEIGHT_M} m at their depth")
    for turn, root in ((0.03, 0.03), (0.15, 0.1), (0.25, 0.2), (0.35, 0.3)):
        for noise, wrong, hidden in ((0.0, 0.0, 0.0), (0.015, 0.0, 0.0), (0.015, 0.06, 0.15)):
            torch.manual_seed(1)
            start, keypoints = disturbed(truth, turn, root), observed(pixels, height, noise, wrong, hidden)
            report(f"turns off {turn} rad; 2D {noise}, wrong {wrong}, hidden {hidden}", start, keypoints)


if __name__ == "__main__":
    with torch.no_grad():
        main()
