"""Multi-person inverse kinematics (Cha, Saqlain, Kim, Shin, Baek, ECCV 2022) without weights: `ik_refine`'s first form.

The idea in six lines: a detector's metric 3D landmarks stand in for the paper's skeleton estimator; an absolute pose
solve puts them into the photo's camera, where 2D decides x and y and 3D the depth (section 3.1; MeTRAbs); landmarks
become SMPL's 24 joints; bone lengths give the shape; analytic inverse kinematics gives the rotations (section 3.3);
the body's joints are then put onto the 2D points. The trained form (skeleton, twists, refiner) is `ik_refine.py`.

Ours, where the paper has nothing: twists come from the planes in which elbows and knees bend and from hands, feet and
face; joints that are not seen take a rest-like rotation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from humesh.body.joints import MEDIAPIPE33, SMPL24, JointSet
from humesh.body.kinematics import Sides, forward_kinematics, inverse_kinematics, swing
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.geometry.align import translation_onto_pixels
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import nearest_rotation, rotation_about, slerp
from humesh.methods.base import SkeletonPrediction

Points = dict[str, Tensor]  # by joint or landmark name: `P 3` metres, or `P` confidences; of the resting guide just `3`

_LEFT_RIGHT = ("left", "right")
_LIMBS = (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"))
_HIPS, _SHOULDERS, _EARS = (("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"), ("left_ear", "right_ear"))
_SPINE = ("pelvis", "spine1", "spine2", "spine3")
_X, _Y, _Z = torch.eye(3, dtype=torch.float64)  # of a T-posed body: its left, up, forward
_ELBOW_AXIS = torch.tensor([0.0, 0.9, -0.44]).double()  # of the right one; 26 degrees off up: median of the CMU mocap

_LENGTHS = {("hip", "knee"): 0.97, ("knee", "ankle"): 0.92, ("shoulder", "elbow"): 0.93, ("elbow", "wrist"): 0.89}
_SEGMENTS: tuple[tuple[tuple[str, ...], tuple[str, ...], float], ...] = (
    *(((f"{s}_{a}",), (f"{s}_{b}",), ratio) for (a, b), ratio in _LENGTHS.items() for s in _LEFT_RIGHT),
    (_HIPS, _SHOULDERS, 0.98),
    (_SHOULDERS[:1], _SHOULDERS[1:], 0.97),
    (_HIPS[:1], _HIPS[1:], 1.10),
)
"""Bones whose lengths tell the shape (two names: the middle between them), and the ratio of MediaPipe's metric lengths
to the open body's on renderings of it (median); a person's ratios all vary together by the spread below, as much as
people's heights do, so they hardly tell a height. Measured by tools/measure_landmarks.py."""
_COMMON_SD = 0.055

_LANDMARKS_OF = {
    **{f"{s}_{joint}": (f"{s}_{joint}",) for limb in _LIMBS for joint in limb for s in _LEFT_RIGHT},
    **{f"{s}_foot": (f"{s}_heel", f"{s}_foot_index") for s in _LEFT_RIGHT},
    **{f"{s}_hand": (f"{s}_pinky", f"{s}_index") for s in _LEFT_RIGHT},
    **dict.fromkeys(("pelvis", "spine1"), _HIPS),
    **dict.fromkeys(("spine2", "spine3"), (*_HIPS, *_SHOULDERS)),
    **dict.fromkeys(("neck", "left_collar", "right_collar"), _SHOULDERS),
    "head": ("nose", *_EARS),
}  # from which landmarks each of the 24 joints is made, and takes its confidence (their mean)

SEEN_ABOVE = 0.3
"""Confidence from which a landmark is used."""


@dataclass(frozen=True)
class LandmarkIK:
    """MediaPipe's 33 points of each person, 2D and 3D, to posed bodies.

    `seen_above`: confidence from which a landmark is used. `length_sd_m`: spread of the landmarks' bone lengths about
    the body's, against betas of spread 1. `rounds`: how often placing and posing are repeated (each needs the other).
    """

    body: BodyModel
    seen_above: float = SEEN_ABOVE
    length_sd_m: float = 0.04
    rounds: int = 3
    fallback_m: float | None = None  # the authors' 0.015 makes errors larger here: benchmarks/landmark_ik.py

    def __call__(
        self,
        keypoints: Float[Tensor, "P 33 3"],
        landmarks: Float[Tensor, "P 33 3"],
        camera: Camera,
        size: tuple[int, int],
    ) -> SkeletonPrediction:
        """Bodies from 2D points (x, y px, confidence) and 3D landmarks (metres) in a photo of (width, height) px."""
        pixels, landmarks = keypoints[..., :2].double(), landmarks.double()
        confidence = believed(keypoints, size, self.seen_above)
        used = confidence >= self.seen_above
        weights = self._weights(confidence)
        rays = camera.rays(pixels)
        # The landmark model sees a crop as if its camera looked straight at the person: turn its answer to that ray.
        middle = (rays * weights[..., None]).sum(-2) / weights.sum(-1)[..., None]
        landmarks = landmarks @ swing(_Z.expand_as(middle), middle).mT

        trust = _by_name(confidence, MEDIAPIPE33, -1)
        joint_confidence = confidence_of_joints(keypoints, size, self.seen_above)
        seen = joint_confidence >= self.seen_above
        joint_weights = self._weights(joint_confidence)
        offset = translation_onto_pixels(landmarks, pixels, weights, camera, steps=3)
        for _ in range(self.rounds):
            ahead = landmarks + offset[..., None, :]
            from_2d = used[..., None] & (ahead[..., 2:] > 0.1)  # 0.1 m: nothing nearer to the camera is believed
            placed = _by_name(torch.where(from_2d, rays * ahead[..., 2:], ahead), MEDIAPIPE33, -2)
            shape = self._shape(placed, trust)
            skeleton, sides, turn = _skeleton(placed, trust)
            share = (joint_confidence / self.seen_above).clamp(max=1)
            fixed, share = _rest_like(_by_name(share, SMPL24, -1), turn["pelvis"])
            rest = self.body.rest_joints(shape)
            rotations, by_landmarks = (
                inverse_kinematics(
                    skeleton, rest, given_rotations=fixed, given=given, sides=sides, fallback_m=self.fallback_m
                )
                for given in (share < 1, share < 0)
            )
            # Doubtful limbs lie between a rest pose and where the landmarks have them.
            rotations = slerp(rotations, by_landmarks, share)
            rotations = _with_head(rotations, turn["head"], seen[..., SMPL24.index("head")])
            joints = self.body.joints(BodyPose(rotations, shape, torch.zeros_like(offset)))
            translation = translation_onto_pixels(joints, camera.project(skeleton), joint_weights, camera, steps=5)
            # The body is not as large as the landmarks say: move these to the depth at which the body fits the photo.
            deeper = ((joints + translation[..., None, :] - skeleton) * joint_weights[..., None]).sum(-2)
            offset = offset + _Z * deeper / joint_weights.sum(-1)[..., None]
        return SkeletonPrediction(BodyPose(rotations, shape, translation), joint_confidence, seen)

    def _weights(self, confidence: Tensor) -> Tensor:
        """Confidences as weights: what is not seen hardly counts, but somebody barely seen still gets a place."""
        return torch.where(confidence >= self.seen_above, confidence, 1e-4 * confidence + 1e-8)

    def _shape(self, placed: Points, trust: Points) -> Float[Tensor, "P S"]:
        """Betas from bone lengths, by linear least squares about the mean body with the prior N(0, 1)."""
        rest = _by_name(self.body.rest_template.double(), SMPL24, -2)
        slopes = _by_name(self.body.rest_directions.double(), SMPL24, -2)  # S 3
        guide_joints, guide_points = _guide()
        gradients, lengths, misses, weights = [], [], [], []
        for a, b, ratio in _SEGMENTS:
            bone = _middle(rest, b) - _middle(rest, a)
            gradients.append((_middle(slopes, b) - _middle(slopes, a)) @ normalize(bone, dim=-1))
            # A landmark is not quite the joint: the guide body tells how much longer the joints' distance is.
            factor = _distance(guide_joints, a, b) / _distance(guide_points, a, b) / ratio
            lengths.append(bone.norm())
            misses.append(_distance(placed, a, b) * factor - lengths[-1])
            both = torch.minimum(_middle(trust, a), _middle(trust, b))
            weights.append(torch.where(both >= self.seen_above, both, torch.zeros_like(both)))
        # One unknown more: how much too large or small this person's landmarks are as a whole.
        common = _COMMON_SD * torch.stack(lengths)[:, None]
        gradient, weight = torch.cat([torch.stack(gradients), common], dim=-1), torch.stack(weights, dim=-1)
        normal = gradient.mT @ (weight[..., None] * gradient) + self.length_sd_m**2 * torch.eye(gradient.shape[-1])
        solved = torch.linalg.solve(normal, (gradient.mT @ (weight * torch.stack(misses, dim=-1))[..., None])[..., 0])
        return solved[..., :-1]


def confidence_of_joints(
    keypoints: Float[Tensor, "P 33 3"], size: tuple[int, int], seen_above: float = SEEN_ABOVE
) -> Float[Tensor, "P 24"]:
    """How well SMPL's 24 joints are seen in a photo of (width, height), from MediaPipe's 33 points in its pixels."""
    trust = _by_name(believed(keypoints, size, seen_above), MEDIAPIPE33, -1)
    return torch.stack([_middle(trust, _LANDMARKS_OF[joint]) for joint in SMPL24.names], dim=-1)


def believed(
    keypoints: Float[Tensor, "P 33 3"], size: tuple[int, int], seen_above: float = SEEN_ABOVE
) -> Float[Tensor, "P 33"]:
    """The confidences, 0 outside of the photo and for knees below 0.7 whose ankles are not seen.

    Of people cut off at the hips the landmark model guesses knees somewhere inside the photo, at up to 0.6.
    """
    pixels = keypoints[..., :2].double()
    confidence = keypoints[..., 2].double() * ((pixels >= 0) & (pixels <= torch.tensor(size))).all(-1)
    for s in _LEFT_RIGHT:
        knee, ankle = MEDIAPIPE33.indices(f"{s}_knee", f"{s}_ankle")
        guessed = (confidence[..., knee] < 0.7) & (confidence[..., ankle] < seen_above)
        confidence[..., knee] = torch.where(guessed, 0.0, confidence[..., knee])
    return confidence


@cache
def _guide() -> tuple[Points, Points]:
    """Where the 24 joints and the 33 landmarks, as MediaPipe sees them, lie on the resting open body, metres."""
    body = BodyModel.load("open")
    nobody = torch.zeros(body.shapes, dtype=torch.float64)
    points = body.keypoints(body.rest_vertices(nobody), MEDIAPIPE33)
    return _by_name(body.rest_joints(nobody), SMPL24, -2), _by_name(points, MEDIAPIPE33, -2)


def _by_name(values: Tensor, joint_set: JointSet, dim: int) -> Points:
    return dict(zip(joint_set.names, values.unbind(dim), strict=True))


def _middle(points: Points, names: tuple[str, ...]) -> Tensor:
    return torch.stack([points[name] for name in names]).mean(0)


def _distance(points: Points, a: tuple[str, ...], b: tuple[str, ...]) -> Tensor:
    return (_middle(points, b) - _middle(points, a)).norm(dim=-1)


def _axes(along: Tensor, beside: Tensor) -> Float[Tensor, "*g 3 3"]:
    """The frame whose first column is `along` and whose second one is the part of `beside` at right angles to it."""
    first = normalize(along, dim=-1)
    third = normalize(torch.linalg.cross(first, beside), dim=-1)
    return nearest_rotation(
        torch.stack([first, torch.linalg.cross(third, first), third], dim=-1)
    )  # points may coincide


def _part_axes(points: Points) -> Points:
    """Frames `3 3` of pelvis, thorax, head, hands and feet, made alike on the guide at rest and on a person."""
    up = _middle(points, _SHOULDERS) - _middle(points, _HIPS)
    axes = {
        "pelvis": _axes(up, points["left_hip"] - points["right_hip"]),
        "thorax": _axes(up, points["left_shoulder"] - points["right_shoulder"]),
        "head": _axes(points["left_ear"] - points["right_ear"], points["nose"] - _middle(points, _EARS)),
    }
    for s in _LEFT_RIGHT:
        pinky, index, wrist = points[f"{s}_pinky"], points[f"{s}_index"], points[f"{s}_wrist"]
        axes[f"{s}_hand"] = _axes((pinky + index) / 2 - wrist, index - pinky)
        heel, toe, ankle = points[f"{s}_heel"], points[f"{s}_foot_index"], points[f"{s}_ankle"]
        axes[f"{s}_foot"] = _axes(toe - heel, ankle - heel)
    return axes


def _skeleton(placed: Points, trust: Points) -> tuple[Float[Tensor, "P 24 3"], Sides, Points]:
    """SMPL's 24 joints from the 33 landmarks, the evidence for twists, and the parts' turns `P 3 3` from the T-pose.

    Limb joints are the landmarks, hips and shoulders moved by the guide body's distance between joint and landmark.
    Pelvis to spine3 lie between the middles of hips and shoulders as on the guide, turning evenly from the hips' line
    to the shoulders'; neck and collars go with the shoulders, hands and feet with their own three points, the head with
    ears and nose.
    """
    rest_joints, rest_points = _guide()
    rest_axes = _part_axes(rest_points)
    turn = {part: axes @ rest_axes[part].mT for part, axes in _part_axes(placed).items()}
    size = (_distance(placed, _HIPS, _SHOULDERS) / _distance(rest_points, _HIPS, _SHOULDERS))[..., None]
    joints: Points = {}
    sideways: dict[str, tuple[Tensor, Tensor]] = {}  # joint -> rest direction, direction now times its weight

    def put(joint: str, anchor: tuple[str, ...], rotation: Tensor) -> None:
        joints[joint] = _middle(placed, anchor) + size * _turned(
            rotation, rest_joints[joint] - _middle(rest_points, anchor)
        )

    low, high = _middle(placed, _HIPS), _middle(placed, _SHOULDERS)
    rest_low, rest_high = _middle(rest_points, _HIPS), _middle(rest_points, _SHOULDERS)
    for i, joint in enumerate(_SPINE):
        # The trunk's turn is spread evenly over its four joints; each one's twist shows in where its left side points.
        rotation = roma.rotmat_slerp(turn["pelvis"], turn["thorax"], torch.tensor([i / 3], dtype=torch.float64))[0]
        share = ((rest_joints[joint] - rest_low) @ (rest_high - rest_low)) / (rest_high - rest_low).square().sum()
        off = rest_joints[joint] - rest_low - share * (rest_high - rest_low)
        joints[joint] = low + share * (high - low) + size * _turned(rotation, off)
        sideways[joint] = (_X, rotation[..., 0])
    for joint in ("neck", "left_collar", "right_collar"):
        put(joint, _SHOULDERS, turn["thorax"])
    put("head", _EARS, turn["head"])
    sideways["neck"] = (_X, 0.5 * turn["head"][..., 0])  # 0.5: neck and head share the head's turn
    for s in _LEFT_RIGHT:
        put(f"{s}_hip", (f"{s}_hip",), turn["pelvis"])
        put(f"{s}_shoulder", (f"{s}_shoulder",), turn["thorax"])
        for joint in ("elbow", "wrist", "knee", "ankle"):
            joints[f"{s}_{joint}"] = placed[f"{s}_{joint}"]
        hand, foot = turn[f"{s}_hand"], turn[f"{s}_foot"]
        put(f"{s}_hand", (f"{s}_wrist",), hand)
        put(f"{s}_foot", (f"{s}_ankle",), foot)
        in_hand = _middle(trust, _LANDMARKS_OF[f"{s}_hand"])[..., None]
        in_foot = _middle(trust, _LANDMARKS_OF[f"{s}_foot"])[..., None]
        half = 0.5 * in_hand * hand[..., 2]  # of the forearm's turn shows at the wrist
        sideways[f"{s}_elbow"] = (_Z, half)
        sideways[f"{s}_wrist"] = (_Z, in_hand * hand[..., 2])
        sideways[f"{s}_ankle"] = (_X, in_foot * foot[..., 0])
        # A knee bends backwards about the body's left; an elbow forwards and a little up.
        unbent = 0.5 * in_foot * foot[..., 0]  # a straight leg turns with its foot
        sideways[f"{s}_hip"] = (_X, _hinge(joints, s, _LIMBS[0], turn["pelvis"], -_Y, _X, unbent))
        arm, axis = (_X, -_ELBOW_AXIS) if s == "left" else (-_X, _ELBOW_AXIS)
        sideways[f"{s}_shoulder"] = (
            axis,
            _hinge(joints, s, _LIMBS[1], turn["thorax"], arm, axis, torch.zeros_like(unbent)),
        )
    nothing = torch.zeros_like(low)
    sides = [sideways.get(joint, (_X, nothing)) for joint in SMPL24.names]
    evidence = Sides(torch.stack([rest for rest, _ in sides]), torch.stack([now for _, now in sides], dim=-2))
    return torch.stack([joints[joint] for joint in SMPL24.names], dim=-2), evidence, turn


def _hinge(
    joints: Points,
    side: str,
    limb: tuple[str, ...],
    trunk: Tensor,
    rest_bone: Tensor,
    rest_axis: Tensor,
    unbent: Tensor,
) -> Float[Tensor, "P 3"]:
    """Where a limb's hinge axis points, as far as its bend shows it (weight: sine of the bend), else `unbent`.

    An axis far from where the untwisted limb has it is an error of depth and not heard: beyond 134 degrees for a limb
    bent at a right angle, beyond 73 for a straight one.
    """
    first, second, third = (joints[f"{side}_{joint}"] for joint in limb)
    upper, lower = normalize(second - first, dim=-1), normalize(third - second, dim=-1)
    axis = torch.linalg.cross(upper, lower)  # as long as the sine of the bend
    untwisted = _turned(trunk @ swing(rest_bone.expand_as(upper), _turned(trunk.mT, upper)), rest_axis)
    bend = axis.norm(dim=-1, keepdim=True)
    agreement = (normalize(axis, dim=-1) * untwisted).sum(-1, keepdim=True)
    heard = torch.where(agreement > 0.3 - bend, (1.5 * bend).clamp(max=1.0), torch.zeros_like(bend))
    return heard * normalize(axis, dim=-1) + (1 - heard) * unbent


def _turned(rotation: Tensor, vector: Tensor) -> Tensor:
    return (rotation @ vector[..., None])[..., 0]


def _rest_like(seen: Points, pelvis: Float[Tensor, "P 3 3"]) -> tuple[Float[Tensor, "P 24 3 3"], Float[Tensor, "P 24"]]:
    """Rotations for what is not seen, and how far (0..1) each joint's rotation is seen: that of a bone's lesser end.

    Arms hang beside the trunk, elbows just bent. Legs hang down the photo, as those of somebody who stands and bends,
    up to 80 degrees from the trunk's line; for people who lie or hang upside down they go on along the trunk.
    """
    fixed: Points = {joint: torch.eye(3).to(pelvis).expand_as(pelvis) for joint in SMPL24.names}
    share: Points = {joint: torch.ones_like(seen["pelvis"]) for joint in SMPL24.names}
    down = pelvis[..., 1, :]  # the camera's y, in the pelvis' frame
    upright = -down[..., 1] > math.cos(math.radians(80))
    hanging = torch.where(upright[..., None, None], swing(-_Y.expand_as(down), down), fixed["pelvis"])
    for s, sign in zip(_LEFT_RIGHT, (-1.0, 1.0), strict=True):
        lowered, bent = torch.tensor(sign * 1.2).double(), torch.tensor(0.25).double()  # radians
        fixed[f"{s}_shoulder"] = rotation_about(_Z, lowered.cos(), lowered.sin()).expand_as(pelvis)
        fixed[f"{s}_elbow"] = rotation_about(sign * _Y, bent.cos(), bent.sin()).expand_as(pelvis)
        fixed[f"{s}_hip"] = hanging
        for limb, end in zip(_LIMBS, ("foot", "hand"), strict=True):
            for joint, child in pairwise((*limb, end)):
                end_seen = seen[f"{s}_{child}"]
                share[f"{s}_{joint}"] = end_seen if joint == limb[0] else torch.minimum(seen[f"{s}_{joint}"], end_seen)
    share["neck"] = seen["head"]
    return (
        torch.stack([fixed[joint] for joint in SMPL24.names], dim=-3),
        torch.stack([share[joint] for joint in SMPL24.names], dim=-1),
    )


def _with_head(rotations: Tensor, head: Float[Tensor, "P 3 3"], seen: Bool[Tensor, " P"]) -> Float[Tensor, "P 24 3 3"]:
    """The rotations with the head's, a leaf, set so that it is turned as the face is."""
    turns, _ = forward_kinematics(rotations, torch.zeros_like(rotations[..., 0]))
    local = turns[..., SMPL24.index("neck"), :, :].mT @ head
    at = SMPL24.index("head")
    local = torch.where(seen[..., None, None], local, rotations[..., at, :, :])
    return torch.cat([rotations[..., :at, :, :], local[..., None, :, :], rotations[..., at + 1 :, :, :]], dim=-3)
