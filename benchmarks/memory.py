"""Peak memory of one training step on the CPU: forward, all losses, backward, AdamW.

    python benchmarks/memory.py [--method jotr] [--batch 8]

Prints the largest resident size of the process in GB, that of Python with torch loaded, and their difference.
"""

from __future__ import annotations

import argparse
import resource

import torch

from humesh.body.joints import JOTR30
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.losses import Targets
from humesh.methods.deploy import example_crops
from humesh.methods.weights import build


def peak_gb() -> float:
    """The largest resident size of this process so far, GB (10^9 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    """Runs two steps, so that the optimiser's own memory is there, and prints the peak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="jotr")
    parser.add_argument("--batch", type=int, default=8)
    given = parser.parse_args()
    torch.manual_seed(0)
    body = BodyModel.load("open")
    before = peak_gb()
    method = build(given.method, {}, body).train()
    crops = example_crops(method, given.batch)
    group = crops.present.shape
    pose = BodyPose.rest(*group)
    pose = BodyPose(pose.rotations, pose.shape, pose.translation + torch.tensor([0.0, 0.0, 4.0]))
    points = body.points(body(pose), JOTR30)
    one, each = torch.ones(group), torch.ones(*group, len(JOTR30))
    targets = Targets(
        pose, torch.ones(*group, 24), one, one, JOTR30, points, each, crops.camera.project(points), each,
        torch.arange(group.numel()).reshape(group), one, one,
    )  # fmt: skip
    optimiser = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=1e-4)
    for _ in range(2):
        losses = method.objective(crops, method(crops), targets)
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
    size, step = " x ".join(map(str, crops.size)), peak_gb() - before
    print(f"{given.method}, batch {given.batch} x {group[1]} crops of {size} px: peak {peak_gb():.2f} GB, of which")
    print(f"{before:.2f} GB before the network is built and {step:.2f} GB for it and the step")


if __name__ == "__main__":
    main()
