"""A person's poses through time: gaps bridged, one shape for all, smoothed, and moved so that resting feet stay.

Contact and ground are in the frame of a camera that stands still, in metres and seconds; of a moving one they mean
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import itemgetter

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.linalg import solveh_banded
from scipy.ndimage import minimum_filter1d
from torch import Tensor
from torch.nn.functional import normalize

from humesh.body.joints import SMPL24, JointSet
from humesh.body.model import BodyModel, Rig
from humesh.body.pose import BodyPose
from humesh.geometry.align import Plane, plane_under
from humesh.geometry.rotations import slerp
from humesh.geometry.smoothing import smoothed, smoothed_rotations

_NAMES = ("heel", "ankle", "big_toe", "foot")  # a foot's two ends: a body without the first (third) has the next one
_POINTS = JointSet("feet", tuple(f"{side}_{name}" for side in ("left", "right") for name in _NAMES))
_LOOK_S = 0.5  # frames within so long tell of the ground as much as one
_NEAR_M = 0.1  # no body is nearer to the camera
_LEAST_STEPS = 8  # two feet's heels and toes, twice

# A foot's end (heel, toe) is believed to rest where it is low and slow. In clean motion capture resting ends go less
# than 0.3 m/s, swinging ones 1 to 6 m/s, few between.
_LOW_M, _LOW_WIDTH_M = 0.1, 0.02  # at this height above the person's own ground an end rests as likely as not
_SLOW_M_S, _SLOW_WIDTH_M_S = 0.6, 0.15  # and at this speed
_SPEED_S = 0.1  # speeds are differences over so long
_DEEP = 0.5  # speed along the viewing ray counts half: limbs' errors are about twice as large there
_DEPTH_S = 0.5  # the person's depth is smoothed by so much before speeds are taken
_DRIFT_S = 1.0  # the ground is what was lowest within so long: depth's slow errors lift and sink it
_LEAST_S = 0.1  # shorter contacts are none

# How a motion gives way to feet that rest: standard deviations.
_ACROSS_SD_M = 0.003  # of how far a person may go in the picture, where it is seen, at its depth
_DEPTH_SD = 0.03  # and along its ray, in shares of its depth; so much does its size in the picture change
_STILL_SD_M_S = 0.1  # of resting feet's speed: clean mocap's is 0.08 to 0.2
_PUSH_SD_M_S2 = 5.0  # of the correction's change of speed


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


@dataclass(frozen=True)
class FootContact:
    """A person's joints and ends of feet (left heel, left toe, right heel, right toe), metres, and how they touch."""

    joints: Float[Tensor, "F 24 3"]
    ends: Float[Tensor, "F 4 3"]
    touch: Float[Tensor, "F 4"]  # 0..1: how surely an end rests on the ground
    up: Float[Tensor, "3"]  # from the ground, as far as the person tells

    @property
    def feet(self) -> Float[Tensor, "F 2"]:
        """How surely the left and the right foot rest, by either end, in [0, 1]."""
        return self.touch.unflatten(-1, (2, 2)).amax(-1)

    def moved(self, by: Float[Tensor, "F 3"]) -> FootContact:
        """The same contacts of a motion that is moved, metres."""
        by = by.to(self.ends)[:, None]
        return replace(self, joints=self.joints + by, ends=self.ends + by)


def foot_contact(
    pose: BodyPose,
    times: Float[np.ndarray, " F"],
    body: BodyModel,
    trust: Float[Tensor, "F 24"] | None = None,
) -> FootContact:
    """When a person's feet rest on its own ground, by their height and speed; one frame alone tells of no contact.

    `times` in seconds, increasing; `trust`: how surely the joints are seen, 0..1; feet out of sight do not touch.
    """
    rig, kept = Rig.of(body, _POINTS)
    choice = [next(kept.index(2 * end + k) for k in (0, 1) if 2 * end + k in kept) for end in range(4)]
    pose = pose.map(lambda tensor: tensor.detach().double().cpu())
    points, joints = rig.points(body, pose)
    ends, up = points[:, choice], torch.tensor([0.0, -1.0, 0.0]).to(points)
    lasting = torch.zeros_like(ends[..., 0])
    if len(times) < 2:
        return FootContact(joints, ends, lasting, up)
    spine = normalize(normalize(joints[:, SMPL24.index("neck")] - ends.mean(1), dim=-1).median(0).values, dim=0)
    up = spine if spine @ up > 0.5 else up  # 60 degrees: people who lie tell less of up than the camera
    depth = joints[:, SMPL24.index("pelvis"), 2].clamp(min=_NEAR_M).log()
    smooth = smoothed(depth, torch.from_numpy(times).to(depth), _DEPTH_S, torch.ones_like(depth))
    steady = ends + (smooth - depth).expm1()[:, None, None] * joints[:, SMPL24.indices("pelvis")]
    still, _ = rig.points(body, replace(BodyPose.rest(1, dtype=ends.dtype), shape=pose.shape[:1]))
    sole = still[0, choice, 1] - still[0, choice, 1].min()  # a flat foot's heel point is a little above the toe's
    high = _height(steady, sole, times, up)
    slow = (_SLOW_M_S - _speed(steady, times)) / _SLOW_WIDTH_M_S
    touch = torch.sigmoid((_LOW_M - high) / _LOW_WIDTH_M) * slow.sigmoid()
    if trust is not None:
        touch = touch * trust[:, SMPL24.indices("left_ankle", "right_ankle")].to(touch).repeat_interleave(2, dim=1)
    for end, rows in _runs(touch > 0.25):  # hysteresis: a contact that was likely once holds until it is unlikely
        if times[rows][-1] - times[rows][0] >= _LEAST_S and touch[rows, end].max() > 0.5:
            lasting[rows, end] = touch[rows, end]
    return FootContact(joints, ends, lasting, up)


def _height(
    ends: Float[Tensor, "F 4 3"], sole: Float[Tensor, "4"], times: np.ndarray, up: Tensor
) -> Float[Tensor, "F 4"]:
    """Metres above the person's own ground: a plane under the lowest ends, and under those shortly before and after."""
    lowest = (ends @ up - sole).argmin(1)
    under = ends[torch.arange(len(ends)), lowest] - sole[lowest, None] * up
    looks = (1 + (times[-1] - times[0]) / _LOOK_S) / len(under)
    high = plane_under(under, torch.full_like(under[:, 0], looks), up).height(ends) - sole
    window = max(round(2 * _DRIFT_S / float(np.median(np.diff(times)))), 1)
    return high - torch.from_numpy(minimum_filter1d(high.amin(1).numpy(), window, mode="nearest"))[:, None]


def _speed(points: Float[Tensor, "F 4 3"], times: np.ndarray) -> Float[Tensor, "F 4"]:
    """How fast points move, m/s; along the ray that they are seen on it counts less."""
    begin = np.maximum(times - _SPEED_S / 2, times[0])
    end = np.minimum(times + _SPEED_S / 2, times[-1])
    way = np.stack([np.interp(end, times, p) - np.interp(begin, times, p) for p in points.flatten(1).numpy().T], axis=1)
    velocity = torch.from_numpy(way / (end - begin)[:, None]).view_as(points)
    ray = normalize(points, dim=-1)
    return (velocity - (1 - _DEEP) * (velocity * ray).sum(-1, keepdim=True) * ray).norm(dim=-1)


def _runs(true: Bool[Tensor, "F 4"]) -> Iterator[tuple[int, slice]]:
    """Column and rows of every stretch of rows that are true."""
    for end, column in enumerate(true.T.numpy()):
        edges = np.flatnonzero(np.diff(column, prepend=False, append=False)).tolist()
        yield from ((end, slice(*pair)) for pair in zip(edges[::2], edges[1::2], strict=True))


def ground_plane(contacts: list[FootContact]) -> Plane | None:
    """The ground that all people of a video walk on, under the points of their feet; None if too little is known.

    Each rest of a foot's end is one point. Needed: eight of them near the plane that tell its tilt to 2 degrees in all
    directions (who stands or walks straight does not), 20 degrees at most between its normal and the bodies' spines.
    """
    steps = [(c, end, rows) for c in contacts for end, rows in _runs(c.touch > 0)]
    if len(steps) < _LEAST_STEPS:
        return None
    points = torch.stack([c.touch[rows, end] @ c.ends[rows, end] / c.touch[rows, end].sum() for c, end, rows in steps])
    up = normalize(torch.stack([c.up for c, _, _ in steps]).mean(0), dim=0)
    plane = plane_under(points, torch.ones_like(points[:, 0]), up)
    sure = len(plane.near(points)) >= _LEAST_STEPS and plane.tilt_sd(points) < math.radians(2)
    return plane if sure and plane.normal @ up > math.cos(math.radians(20)) else None


def sliding(contact: FootContact, times: Float[np.ndarray, " F"]) -> float:
    """How fast resting feet move, m/s: the mean over the frames and ends that rest; 0 where none does."""
    rests, way = _resting(contact)
    speed = way.norm(dim=-1) / torch.from_numpy(np.diff(times))[:, None]
    return float((rests * speed).sum() / rests.sum().clamp(min=1e-9))


def _resting(contact: FootContact) -> tuple[Float[Tensor, "G 4"], Float[Tensor, "G 4 3"]]:
    """How surely each end rests in a frame and in the next one, and how far it goes between them."""
    return torch.minimum(contact.touch[1:], contact.touch[:-1]), contact.ends.diff(dim=0)


def grounded(pose: BodyPose, times: Float[np.ndarray, " F"], contact: FootContact) -> BodyPose:
    """The motion moved as a whole, smoothly, so that resting feet stay where they are; rotations stay.

    Least squares: resting ends keep still, the person stays where it is seen (but may go along its viewing ray), the
    correction changes its speed slowly. Terms are integrals over time, so that the frame rate makes no difference.
    """
    count, step = len(times), np.diff(times)
    if count < 3 or not contact.touch.any():
        return pose
    place, (rests, way) = contact.joints.mean(1), _resting(contact)
    square = place.square().sum(-1)[:, None, None].clamp(min=_NEAR_M**2)  # of the distance
    along = place[:, :, None] * place[:, None] / square
    seen = (torch.eye(3) - along) / _ACROSS_SD_M**2 + along / _DEPTH_SD**2 / square
    held = seen.numpy() * np.gradient(times)[:, None, None]
    still = 1 / step / _STILL_SD_M_S**2  # speed squared, times the step
    slid = (rests[..., None] * way).sum(1).numpy() * still[:, None]
    ties = _ties(still * rests.sum(1).numpy(), step)
    moved = _correction(ties, held, np.diff(slid, axis=0, prepend=0, append=0))
    return replace(pose, translation=pose.translation + torch.from_numpy(moved).to(pose.translation))


def _ties(still: Float[np.ndarray, " G"], step: Float[np.ndarray, " G"]) -> Float[np.ndarray, "3 F"]:
    """What ties a correction's frames to themselves, to the next and to the second next ones; 0 beyond the end.

    These are the diagonals of a symmetric matrix: speeds squared times `still`, and squares of how speeds change.
    """
    bands = np.zeros((3, len(step) + 1))
    push = 2 / (step[1:] + step[:-1]) / _PUSH_SD_M_S2**2
    for weight, terms in ((still, (-1.0, 1.0)), (push, (1 / step[:-1], -1 / step[:-1] - 1 / step[1:], 1 / step[1:]))):
        for here, one in enumerate(terms):
            for apart, other in enumerate(terms[here:]):
                bands[apart, here : here + len(weight)] += weight * one * other
    return bands


def _correction(
    bands: Float[np.ndarray, "3 F"], held: Float[np.ndarray, "F 3 3"], right: Float[np.ndarray, "F 3"]
) -> Float[np.ndarray, "F 3"]:
    """The x of F frames that are tied by `bands`, alike along each axis, and held at zero by a matrix each."""
    lower = np.zeros((9, *right.shape))  # diagonals of the symmetric matrix: the main one first, by frame and axis
    lower[::3][:3] += bands[..., None]
    for axis in range(3):
        for other in range(axis, 3):
            lower[other - axis, :, axis] += held[:, other, axis]
    solved: np.ndarray = solveh_banded(lower.reshape(9, -1), right.ravel(), lower=True)
    return solved.reshape(right.shape)
