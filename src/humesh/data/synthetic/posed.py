"""People without pictures, standing or moving: what a detector would find in their photos or videos.

For networks that are given points alone; hundreds are made at once. Poses and clips are those of the rendered scenes,
cameras too. What hides a joint is only roughly true: limbs as capsules, the photo's edge, and boxes held before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.random import Generator, default_rng
from torch import Tensor

from humesh.body.joints import JOTR30, LIMBS12, MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel, Rig
from humesh.body.pose import BodyPose
from humesh.crops.crops import ClipCrops, Crops, CropSpec, jotr_boxes, points_as
from humesh.data.augment import Augment
from humesh.data.batch import Batch
from humesh.data.detector_errors import LastingNoise, simulated_person
from humesh.data.landmark_errors import simulate_detection
from humesh.data.sample import LabelledPerson, Sample
from humesh.data.synthetic import cameras
from humesh.data.synthetic.cameras import as_tensor, is_near_photo
from humesh.data.synthetic.motion import Files, Motion, MotionError
from humesh.data.synthetic.poses import ClipSampler, PoseSampler, draw_shapes, mirrored
from humesh.geometry.boxes import affine_apply, crop_around
from humesh.geometry.camera import Camera
from humesh.losses import Targets
from humesh.media.photo import Photo

_COUNT, _SIZE = 10**8, 256  # samples, and px of the side of their photos
_CHUNK, _VIEWS = 512, 4  # people made at once, and views of each pose among them: poses are what takes time
_FPS = (7.5, 60.0)  # of the frames that are used: one to four of a camera's apart
_HELD_OUT = 10_000  # the last numbers play sequences that no other number plays: every tenth one
_NEAREST_M = 0.3  # of any joint to the camera
_FARTHEST_M = 3.0  # from the place that the camera looks at
_GUESSED, _GUESS_SD = 0.6, 0.2  # share of people whose focal length is not known; of clips, the sd of its logarithm
LIMBS33 = MEDIAPIPE33.indices(*LIMBS12.names)
FEWEST = 4  # of these that must be visible


class _Posed:
    """What both have: the same seed and number, the same person; `body`: whose, the low-poly open one if None."""

    tracks: tuple[range, ...] = ()

    def __init__(self, motion: Files, seed: int, body: BodyModel | None) -> None:
        self.motion, self.body, self.seed = Motion.read(motion), body or BodyModel.load("open-low"), seed
        self.rig = rig_of(self.body)

    def __len__(self) -> int:
        return _COUNT


class PosedPeople(_Posed):
    """One labelled person a sample, in a black photo of 256 x 256 pixels."""

    def __init__(self, motion: Files, *, seed: int = 0, body: BodyModel | None = None) -> None:
        super().__init__(motion, seed, body)
        self.poses = PoseSampler(self.motion, self.body)
        self._last: tuple[int, Points] | None = None

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < _COUNT:
            raise IndexError(f"expected a sample below {_COUNT}, got {index}.")
        return sample_of(self.people([index]), index, f"posed {index}")

    def batch(self, numbers: Sequence[int], spec: CropSpec, augment: Augment, g: Generator) -> Batch:
        """The people of some numbers at once; of the augmentation the box's changes and the focal length's alone."""
        return batch_of(self.people(numbers), numbers, spec, augment, g)

    def people(self, numbers: Sequence[int]) -> Points:
        """The people of some numbers, ordered by chunk."""
        parts = []
        for chunk in sorted({number // _CHUNK for number in numbers}):
            rows = torch.tensor([number % _CHUNK for number in numbers if number // _CHUNK == chunk])
            parts.append(self.chunk(chunk).rows(rows))
        return Points.joined(parts)

    def chunk(self, number: int) -> Points:
        """The people of numbers from `512 number` on; whoever shows too little is replaced by somebody else of it."""
        if self._last is None or self._last[0] != number:
            g = default_rng([self.seed, 7, number])
            drawn = np.stack([self.poses.draw(g) for _ in range(_CHUNK // _VIEWS)]).repeat(_VIEWS, 0)
            poses, flips = drawn[g.permutation(_CHUNK)], g.random(_CHUNK) < 0.5
            poses[flips] = mirrored(poses[flips])
            with torch.no_grad():
                at = torch.zeros(_CHUNK, 1, 3)
                people, enough = film(self.body, self.rig, as_tensor(poses)[:, None], at, at[..., 0], g)
            rows = enough.nonzero()[:, 0]
            self._last = number, people.rows(rows[torch.arange(_CHUNK) % len(rows)])
        return self._last[1]


class PosedClips(_Posed):
    """One person in some `frames` (fewest, most) of a black video of 256 x 256 pixels."""

    def __init__(
        self, motion: Files, *, frames: tuple[int, int] = (8, 64), seed: int = 0, body: BodyModel | None = None
    ) -> None:
        super().__init__(motion, seed, body)
        self.frames = frames
        long = [clip for clip in self.motion.clips if clip.length / clip.fps > frames[1] / _FPS[1]]
        if not long:
            raise MotionError(
                f"motion: expected clips of at least {frames[1]} frames at {_FPS[1]:g} a second, found none."
            )
        kept = [clip for clip in long if clip.sequence % 10 == 9], [clip for clip in long if clip.sequence % 10 != 9]
        self.held_out, self.clips = (
            ClipSampler(self.motion, clips, self.body) for clips in (kept if all(kept) else (long, long))
        )

    def __getitem__(self, index: int) -> Sample:
        """The first frame of a clip."""
        people, *_ = self.people([index], default_rng([self.seed, 8, index]))
        return sample_of(people.rows(torch.tensor([0])), index, f"posed clip {index}")

    def batch(self, numbers: Sequence[int], spec: CropSpec, augment: Augment, g: Generator) -> Batch:
        """The clips of some numbers, all of one length; drawn from the numbers, and varied enough as they are."""
        g = default_rng([self.seed, 8, *numbers])
        with torch.no_grad():
            people, present, seconds = self.people(numbers, g)
        n, frames = seconds.shape
        batch = batch_of(people, np.repeat(numbers, frames).tolist(), spec, replace(augment, centre=0.0, scale=0.0), g)
        batch = batch.map(lambda tensor: tensor[:, 0].unflatten(0, (n, frames)))
        present = present.unflatten(0, (n, frames))
        crops = ClipCrops(**vars(batch.crops) | {"present": present, "wanted": present}, seconds=seconds)
        weights = {name: value for name, value in vars(batch.targets).items() if name.endswith("_weight")}
        for name, weight in weights.items():
            weights[name] = torch.where(present.reshape(*present.shape, *[1] * (weight.dim() - 2)), weight, 0.0)
        return Batch(crops, replace(batch.targets, **weights))

    def people(self, numbers: Sequence[int], g: Generator) -> tuple[Points, Tensor, Float[Tensor, "n T"]]:
        """The clips' people in all frames, one after the other, in which of these enough is visible, and the times."""
        n, frames = len(numbers), int(np.exp(g.uniform(np.log(self.frames[0]), np.log(self.frames[1] + 1))))
        samplers = [self.held_out if number >= _COUNT - _HELD_OUT else self.clips for number in numbers]
        played = self.clips.play([sampler.choose(g) for sampler in samplers], frames, _FPS, g)
        rotations, moved, seconds = map(as_tensor, played)
        people, present = film(self.body, self.rig, rotations, moved, seconds, g, _GUESSED)
        # A clip in which nobody is ever visible teaches nothing, but a group must hold somebody.
        present = present.unflatten(0, (n, frames))
        return people, (present | ~present.any(1, keepdim=True)).flatten(), seconds


def film(
    body: BodyModel,
    rig: Rig,
    rotations: Float[Tensor, "n T 24 3 3"],
    moved: Float[Tensor, "n T 3"],
    seconds: Float[Tensor, "n T"],
    g: Generator,
    guessed: float = 0.0,
) -> tuple[Points, Bool[Tensor, " n*T"]]:
    """People of usual shapes before usual cameras, frame by frame, and in which frames enough of them is visible.

    The cameras stand still, turn or are carried along; a detector's error in one frame is much like that in the frame
    before. `guessed`: how often a focal length is not known: with a wrong one everybody seems nearer or farther, and as
    large in the picture.
    """
    (n, frames), count = seconds.shape, len(JOTR30)
    middle = frames // 2
    turn = as_tensor(cameras.draw_turns(n, g))
    rotations = torch.cat([turn[:, None, None] @ rotations[:, :, :1], rotations[:, :, 1:]], dim=2)
    moved = moved @ turn.mT
    shapes = as_tensor(draw_shapes(n, body, g))[:, None].expand(-1, frames, -1)
    pose = BodyPose(rotations, shapes, moved).map(lambda tensor: tensor.flatten(0, 1))
    points, joints = (part.unflatten(0, (n, frames)) for part in rig.points(body, pose))
    nearest = torch.cat([points[:, middle, :, 2], joints[:, middle, :, 2]], dim=1).amin(1)
    focal, shift = cameras.draw_cameras(points[:, middle, :count], nearest, _SIZE, g)
    swing, carried = cameras.draw_camera_motion(seconds - seconds[:, middle : middle + 1], g)
    # Who comes too near to the camera or goes far away stays in place, before a camera that does so too.
    deep = (swing @ (joints + shift[:, None, None]).mT).mT[..., 2].amin(-1) + carried[..., 2]
    away = (moved[..., 2] - moved[:, middle : middle + 1, 2] + carried[..., 2]).abs().amax(1)
    still = ((deep.amin(1) < _NEAREST_M) | (away > _FARTHEST_M))[:, None, None]
    shift = (shift[:, None] - torch.where(still, moved - moved[:, middle : middle + 1], 0.0)).flatten(0, 1)
    swing = torch.where(still[..., None], torch.eye(3), swing).flatten(0, 1)
    carried = torch.where(still, 0.0, carried).flatten(0, 1)
    pelvis = body.rest_joints(pose.shape)[:, 0]
    root = swing @ pose.rotations[:, 0]
    place = (swing @ (pose.translation + pelvis + shift)[..., None])[..., 0] + carried - pelvis
    rotations = torch.cat([root[:, None], pose.rotations[:, 1:]], dim=1)
    points, joints = ((part.flatten(0, 1) + shift[:, None]) @ swing.mT + carried[:, None] for part in (points, joints))
    focal = focal.repeat_interleave(frames)
    pixels, visible = cameras.project(points, joints, focal, _SIZE)
    of_clips = pixels.unflatten(0, (n, frames)).flatten(1, 2)
    visible &= ~cameras.is_behind_boxes(of_clips, _SIZE, g).unflatten(1, (frames, -1)).flatten(0, 1)
    noise = LastingNoise(g, seconds.double().numpy())
    points33, pixels33, visible33 = (part[:, count:] for part in (points, pixels, visible))
    keypoints, landmarks = simulate_detection(points33, pixels33, visible33, focal, (_SIZE, _SIZE), noise)
    present = (visible[:, count:][:, LIMBS33].sum(-1) >= FEWEST) & (joints[..., 2] > _NEAREST_M).all(-1)
    factor = np.where(g.random(n) < guessed, np.exp(g.normal(0, _GUESS_SD, n)), 1.0)
    wrong, farther = as_tensor(factor).repeat_interleave(frames), torch.zeros(n * frames, 3)
    farther[:, 2] = (wrong - 1) * (place + pelvis)[:, 2]
    camera = torch.eye(3).repeat(n * frames, 1, 1)
    camera[:, 0, 0] = camera[:, 1, 1] = focal * wrong
    camera[:, :2, 2] = _SIZE / 2
    people = Points(
        BodyPose(rotations, pose.shape, place + farther), points[:, :count] + farther[:, None], pixels[:, :count],
        visible[:, :count], keypoints, landmarks, camera,
    )  # fmt: skip
    return people, present


@dataclass(frozen=True, eq=False)
class Points:
    """n people, each alone in a photo of 256 x 256 px: JOTR30's points as they are, MediaPipe's as detected."""

    pose: BodyPose  # in the camera's frame
    points: Float[Tensor, "n 30 3"]
    pixels: Float[Tensor, "n 30 2"]
    visible: Bool[Tensor, "n 30"]
    keypoints: Float[Tensor, "n 33 3"]
    landmarks: Float[Tensor, "n 33 3"]
    camera: Float[Tensor, "n 3 3"]

    def rows(self, which: Tensor) -> Points:
        """Some of the people."""
        values = {f.name: getattr(self, f.name)[which] for f in fields(self) if f.name != "pose"}
        return Points(pose=self.pose.map(lambda tensor: tensor[which]), **values)

    @classmethod
    def joined(cls, parts: Sequence[Points]) -> Points:
        """The people of all parts, one after the other."""
        values = {f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(cls) if f.name != "pose"}
        return cls(pose=BodyPose.joined([part.pose for part in parts]), **values)


def rig_of(body: BodyModel) -> Rig:
    """Of JOTR's 30 points, then MediaPipe's 33."""
    rigs = [Rig.of(body, joint_set)[0] for joint_set in (JOTR30, MEDIAPIPE33)]
    offset, share = (torch.cat([getattr(rig, name) for rig in rigs]).float() for name in ("offset", "share"))
    return Rig(offset, torch.cat([rig.slope for rig in rigs], dim=1).float(), share)


def batch_of(people: Points, numbers: Sequence[int], spec: CropSpec, augment: Augment, g: Generator) -> Batch:
    """The people as groups of one crop around each one's keypoints; the pictures are empty.

    Of the augmentation the box's changes and a guessed focal length are drawn, from `g`.
    """
    n, camera = len(numbers), people.camera.clone()
    if augment.focal:  # not known of photos without EXIF
        factor = np.where(g.random(n) < _GUESSED, np.exp(augment.focal * g.normal(size=n)), 1.0)
        camera[:, [0, 1], [0, 1]] *= torch.from_numpy(factor).to(camera)[:, None]
    detected = people.keypoints.double().numpy()
    keypoints = points_as(detected, MEDIAPIPE33, JOTR30)
    around = np.concatenate([detected[..., :2].min(1), detected[..., :2].max(1)], axis=-1)
    boxes = jotr_boxes(keypoints, around, np.full((n, 2), float(_SIZE)))
    side, middle = boxes[:, 2] - boxes[:, 0], (boxes[:, :2] + boxes[:, 2:]) / 2
    middle = middle + augment.centre * side[:, None] * np.clip(g.normal(size=middle.shape), -2, 2)
    side = side * (1 + augment.scale * np.clip(g.normal(size=n), -1, 1))
    affine = crop_around(torch.from_numpy(middle[:, None]), torch.from_numpy(side[:, None]), spec.size)
    cropped = affine_apply(affine, torch.from_numpy(keypoints[:, None, :, :2]))
    hips = people.landmarks[:, MEDIAPIPE33.indices("left_hip", "right_hip")].mean(1, keepdim=True)
    landmarks = torch.cat([people.landmarks - hips, people.keypoints[..., 2:]], dim=-1)
    one, present = torch.ones(n, 1), torch.ones(n, 1, dtype=torch.bool)
    crops = Crops(
        pixels=torch.zeros(n, 1, 3, *spec.size),
        crop_from_photo=affine.float(),
        photo_camera=Camera(camera[:, None]),
        keypoints=torch.cat([cropped, torch.from_numpy(keypoints[:, None, :, 2:])], dim=-1).float(),
        present=present,
        wanted=present,
        landmarks=landmarks[:, None],
    )
    targets = Targets(
        pose=people.pose.map(lambda tensor: tensor[:, None]),
        pose_weight=torch.ones(n, 1, len(SMPL24)),
        shape_weight=one,
        translation_weight=one,
        joint_set=JOTR30,
        points3d=people.points[:, None],
        points3d_weight=torch.ones(n, 1, len(JOTR30)),
        points2d=affine_apply(affine.float(), people.pixels[:, None]),
        points2d_weight=_is_near(people).float()[:, None],
        identity=torch.tensor(numbers)[:, None],
        metric_weight=one,
        body_weight=one,
    )
    return Batch(crops, targets)


def sample_of(one: Points, number: int, name: str) -> Sample:
    """One person as a sample with a black photo."""
    keypoints, landmarks = (part[0].double().numpy() for part in (one.keypoints, one.landmarks))
    person = LabelledPerson.fully_labelled(
        simulated_person(keypoints, MEDIAPIPE33, (_SIZE, _SIZE), landmarks), number,
        one.pose.map(lambda tensor: tensor[0]), one.points[0], one.pixels[0], one.visible[0].float(),
        points2d_weight=_is_near(one)[0].float(),
    )  # fmt: skip
    black = np.broadcast_to(np.uint8(0), (_SIZE, _SIZE, 3))
    return Sample(Photo.of(black, Camera(one.camera[0].double())), (person,), name)


def _is_near(people: Points) -> Bool[Tensor, "n 30"]:
    return is_near_photo(people.pixels, people.points[..., 2], torch.full((2,), float(_SIZE)))
