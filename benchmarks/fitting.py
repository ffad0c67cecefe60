"""What fitting to 2D keypoints gains, on mocap poses of the open body whose truth is known.

Run: python benchmarks/fitting.py POSES.npz [--count 400]. Bodies as in landmark_ik.py; the start is the truth disturbed
as a network's answer is, or what the landmark form of ik_refine makes of noisy landmarks. Keypoints are the true ones
with noise of 1.5 % of the person's height and wrong ones. Errors over the 12 limb joints, mm.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch
from landmark_ik import SIZE, people
from torch import Tensor

from humesh.body.joints import LIMBS12, MEDIAPIPE33, SMPL24
from humesh.body.kinematics import swing
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.body.pose_prior import PosePrior
from humesh.fitting.fit import FitSettings, fit
from humesh.fitting.landmark_ik import LandmarkIK
from humesh.geometry.align import procrustes
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle

LIMBS = SMPL24.indices(*LIMBS12.names)
HEIGHT_M = 1.7


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
    middle = points.mean(-2)
    straight = (points - middle[:, None]) @ swing(torch.tensor([0.0, 0.0, 1.0]).double().expand_as(middle), middle)
    for noise, wrong, sideways, depth in ((0.0, 0.0, 0.0, 0.0), (0.015, 0.0, 0.025, 0.07), (0.015, 0.05, 0.03, 0.10)):
        torch.manual_seed(1)
        keypoints = observed(pixels, height, noise, wrong, 0.0)
        landmarks = straight + torch.tensor([sideways, sideways, depth]) * torch.randn_like(straight)
        start = LandmarkIK(body)(keypoints, landmarks, camera, SIZE).pose
        report(f"landmarks off {sideways}, {depth} m; 2D {noise}, wrong {wrong}", start, keypoints)


if __name__ == "__main__":
    with torch.no_grad():
        main()
