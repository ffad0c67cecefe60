"""A person's poses through time: gaps bridged, one shape for all, and smoothed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from operator import itemgetter

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.geometry.rotations import slerp
from humesh.geometry.smoothing import smoothed, smoothed_rotations


def bridged(
    frames: Int[np.ndarray, " F"], times: Float[np.ndarray, " T"], pose: BodyPose, seconds: float
) -> tuple[Int[np.ndarray, " G"], BodyPose, Bool[np.ndarray, " G"]]:
    """Frames put in where a motion has none for at most `seconds`; False in the last array marks them.

    Rotations go the shortest way from the last pose to the next, the pelvis goes straight. Longer gaps stay.
    """
    inside = [np.arange(a, b) if times[b] - times[a] <= seconds else [a] for a, b in pairwise(frames.tolist())]
    everywhere = np.concatenate([*inside, frames[-1:]]).astype(frames.dtype)
    after = np.searchsorted(frames, everywhere)
    found = frames[after] == everywhere
    whole, gap = pose.map(itemgetter(after)), torch.from_numpy(~found)
    if found.all():
        return everywhere, whole, found
    ends = [pose.map(itemgetter(rows)) for rows in (after[~found] - 1, after[~found])]
    began, ended = (times[frames[rows]] for rows in (after[~found] - 1, after[~found]))
    share = torch.from_numpy((times[everywhere[~found]] - began) / (ended - began)).to(pose.translation)
    whole.rotations[gap] = slerp(ends[0].rotations, ends[1].rotations, share[:, None].expand(-1, len(SMPL24)))
    for name in ("shape", "translation"):
        one, other = (getattr(end, name) for end in ends)
        getattr(whole, name)[gap] = torch.lerp(one, other, share[:, None])
    return everywhere, whole, found


def with_one_shape(pose: BodyPose, body: BodyModel) -> BodyPose:
    """All frames with the median of their shapes, each as far away as keeps its size in the picture.

    A body k times as large is put k times as far from the camera: what the camera sees of it stays nearly the same.
    """
    if not len(pose.shape):
        return pose
    shape = pose.shape.median(dim=0).values.expand_as(pose.shape)
    sizes, pelvises = [], []
    for betas in (pose.shape, shape):
        rest = body.rest_joints(betas)
        parents = torch.tensor([max(parent, 0) for parent in SMPL24.parents])
        sizes.append((rest - rest[:, parents]).norm(dim=-1).sum(-1, keepdim=True))
        pelvises.append(rest[:, 0])
    place = (pose.translation + pelvises[0]) * sizes[1] / sizes[0]
    return BodyPose(pose.rotations, shape, place - pelvises[1])


def smoothed_pose(
    pose: BodyPose, times: Float[np.ndarray, " F"], trust: Float[Tensor, "F J"], seconds: float
) -> BodyPose:
    """The motion smoothed (see `geometry.smoothing`); joints count as much as they are trusted, depth on a log scale.

    The place is smoothed as its direction and the logarithm of its depth: errors of a far person's depth are as large
    as the depth, those of its direction are a few pixels.
    """
    if seconds <= 0 or len(times) < 2:
        return pose
    when = torch.from_numpy(np.asarray(times)).to(pose.rotations)
    trust = trust.to(pose.rotations)
    rotations = smoothed_rotations(pose.rotations, when, seconds, trust)
    depth = pose.translation[:, 2:]
    if (depth <= 0).any():  # behind the camera: nothing is seen to be smoothed by
        return replace(pose, rotations=rotations)
    place = torch.cat([pose.translation[:, :2] / depth, depth.log()], dim=-1)
    place = smoothed(place, when, seconds, trust[:, :1])
    depth = place[:, 2:].exp()
    return BodyPose(rotations, pose.shape, torch.cat([place[:, :2] * depth, depth], dim=-1))
