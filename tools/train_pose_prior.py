"""Trains the pose prior on motion data: python tools/train_pose_prior.py MOTION.npz [-o OUT.npz] [--test TEST.npz].

MOTION.npz holds `poses` (N x 24 x 3 axis-angle, radians, SMPL's joints), `sequence_id`, and `seq_category` by sequence.
Poses are drawn by category, every category alike as far as it has poses, half of them mirrored. A mixture of Student's
t distributions is fitted by expectation-maximisation (Peel and McLachlan, 2000), with one wide component more, whose
joints are independent: it stands for poses that nobody captured. The same seed gives the same file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import roma
import torch
from rich.progress import track
from torch import Tensor

from humesh.body.joints import SMPL24
from humesh.body.pose import BodyPose
from humesh.body.pose_prior import PRIOR_JOINTS, PosePrior
from humesh.geometry.rotations import nearest_rotation, rotation_from_axis_angle, rotation_to_axis_angle

OUT = Path(__file__).resolve().parent.parent / "src/humesh/body/assets/pose_prior.npz"
ACKNOWLEDGEMENT = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from NSF "
    "EIA-0196217. Further poses, CC0: Quaternius, Mesh2Motion, Kay Lousberg."
)
TAIL = 8.0  # degrees of freedom: the mixture's shape hardly changes between 5 and 20
FLOOR_SD = 0.08  # rad, added to every number's spread: marker noise and what the motion data holds too still (toes)
WIDE, WIDE_SHARE = 1.3, 0.1  # the wide component: its spread against the data's, and its weight
REPEATS = 8  # a pose is drawn this often at most, so that a category of a hundred poses does not count like the rest


def balanced(path: Path, count: int, random: np.random.Generator) -> Tensor:
    """Rotations `count 24 3 3` drawn by category, every second one mirrored; float64."""
    with np.load(path, allow_pickle=False) as motion:
        poses, category = motion["poses"], motion["seq_category"][motion["sequence_id"]]
    if not np.isfinite(poses).all() or np.abs(poses).max() > 2 * np.pi:
        sys.exit(f"{path}: expected rotation vectors in radians below 2 pi, got NaN or larger ones.")
    names, sizes = np.unique(category, return_counts=True)
    share = count / len(names)
    for _ in range(50):  # what small categories cannot give, the others do
        taken = np.minimum(share, REPEATS * sizes)
        share *= count / taken.sum()
    rows = np.concatenate(
        [
            random.choice(np.flatnonzero(category == name), int(number), replace=int(number) > size)
            for name, number, size in zip(names, taken, sizes, strict=True)
        ]
    )
    rotations = rotation_from_axis_angle(torch.tensor(poses[random.permutation(rows)].astype(np.float64)))
    half = BodyPose(rotations[1::2], torch.zeros(len(rotations) // 2, 10), torch.zeros(len(rotations) // 2, 3))
    rotations[1::2] = half.mirrored().rotations
    return rotations


def fit_mixture(x: Tensor, components: int, rounds: int, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Weights `M`, means `M D` and spreads `M D D` of a mixture of t distributions on the rows of x `N D`."""
    dims, floor = x.shape[1], FLOOR_SD**2 * torch.eye(x.shape[1]).double()
    seeds = [int(random.integers(len(x)))]
    for _ in range(components - 1):  # k-means++
        far = torch.cdist(x, x[seeds]).amin(-1).square().numpy()
        seeds.append(int(random.choice(len(x), p=far / far.sum())))
    mean, spread = x[seeds], (x.T.cov() / 4 + floor).repeat(components, 1, 1)
    weight = torch.full((components,), 1 / components, dtype=torch.float64)
    for _ in track(range(rounds), "expectation-maximisation"):
        factor = torch.linalg.cholesky(spread)
        square = torch.stack(
            [
                torch.linalg.solve_triangular(f, (x - m).T, upper=False).square().sum(0)
                for f, m in zip(factor, mean, strict=True)
            ],
            dim=-1,
        )
        logs = weight.log() - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        part = (logs - (TAIL + dims) / 2 * torch.log1p(square / TAIL)).softmax(-1)  # N M
        heard = part * (TAIL + dims) / (TAIL + square)
        weight = part.mean(0)
        mean = heard.T @ x / heard.sum(0)[:, None]
        spread = torch.stack(
            [
                ((x - m) * h[:, None]).T @ (x - m) / p.sum() + floor
                for m, h, p in zip(mean, heard.T, part.T, strict=True)
            ]
        )
    return weight, mean, spread


def train(path: Path, count: int, components: int, rounds: int, seed: int) -> dict[str, np.ndarray]:
    """The asset's arrays."""
    random = np.random.default_rng(seed)
    rotations = balanced(path, count, random)[:, SMPL24.indices(*PRIOR_JOINTS)]
    centre = nearest_rotation(rotations.mean(0))
    x = rotation_to_axis_angle(centre.mT @ rotations).flatten(-2)
    weight, mean, spread = fit_mixture(x, components, rounds, random)
    alone = torch.block_diag(*torch.ones(len(PRIOR_JOINTS), 3, 3)).double()  # joint by joint
    everything = WIDE**2 * x.T.cov() * alone + FLOOR_SD**2 * torch.eye(x.shape[1]).double()
    weight = torch.cat([(1 - WIDE_SHARE) * weight, torch.tensor([WIDE_SHARE]).double()])
    mean, spread = torch.cat([mean, x.mean(0)[None]]), torch.cat([spread, everything[None]])
    whiten = torch.linalg.inv(torch.linalg.cholesky(spread)).tril()
    ends = torch.quantile(x[:, :], torch.tensor([0.0005, 0.9995]).double(), dim=0)
    about = {
        "what": f"mixture of {components} + 1 Student's t distributions over joint rotations",
        "tail": TAIL,
        "poses": f"{count} drawn by category from {path.name}",
        "seed": seed,
        "rounds": rounds,
        "joints": PRIOR_JOINTS,
        "licence": "free for any use",
        "acknowledgement": ACKNOWLEDGEMENT,
    }
    arrays = {"centre": centre, "weight": weight, "mean": mean, "whiten": whiten, "low": ends[0], "high": ends[1]}
    return {
        **{name: tensor.numpy().astype(np.float32) for name, tensor in arrays.items()},
        "about": np.array(json.dumps(about)),
    }


def main() -> None:
    """Trains, writes the asset, and says how likely other poses are under it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("motion", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=OUT)
    parser.add_argument("--test", type=Path, help="motion to report the energy of, in nats a pose")
    parser.add_argument("--count", type=int, default=80_000)
    parser.add_argument("--components", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums over threads would depend on how many there are
    arrays = train(arguments.motion, arguments.count, arguments.components, arguments.rounds, arguments.seed)
    part = arguments.out.with_name(f".{arguments.out.name}.part")
    with part.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
    part.replace(arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e3:.0f} kB")
    if arguments.test and arguments.out.resolve() == OUT.resolve():
        for name, path in (("training", arguments.motion), ("test", arguments.test)):
            rotations = balanced(path, 5000, np.random.default_rng(1))
            wild = roma.random_rotmat(1000 * 24, dtype=torch.float64).unflatten(0, (1000, 24))
            prior = PosePrior.load()
            print(f"{name}: {prior.energy(rotations).mean():.1f} nats; wild: {prior.energy(wild).mean():.1f}")


if __name__ == "__main__":
    main()
