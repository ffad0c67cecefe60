"""Scenes by number: people, camera, lights and furniture are drawn, and rendered into a layer with its labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.random import Generator, default_rng

from humesh.body.joints import JOTR30, LIMBS12, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.synthetic.cameras import as_tensor, draw_camera_motion, draw_cameras, draw_turns
from humesh.data.synthetic.figure import Wardrobe
from humesh.data.synthetic.layer import REGIONS, Frame, Layer, Scene
from humesh.data.synthetic.motion import Files, Motion, MotionError
from humesh.data.synthetic.paint import Fabric, Lights, Look
from humesh.data.synthetic.posed import FEWEST, rig_of
from humesh.data.synthetic.poses import ClipSampler, PoseSampler, draw_shapes, turn
from humesh.data.synthetic.variations import VariedLayers

_LIMBS = JOTR30.indices(*LIMBS12.names)
_FPS = (15.0, 30.0)  # of videos


class SceneSampler:
    """Draws and renders scenes; the same seed and number give the same layer, bit for bit.

    `people`: the least and the greatest number of people. `size`: the photo's side in pixels. `frames`: of each video,
    1 for photos; layer i is frame i % frames of scene i // frames.
    """

    def __init__(
        self, motion: Motion, *, people: tuple[int, int] = (1, 1), size: int = 256, seed: int = 0, frames: int = 1,
        body: BodyModel | None = None,
    ) -> None:  # fmt: skip
        self.body = body or BodyModel.load("open-low")
        self.wardrobe, self.rig = Wardrobe(self.body), rig_of(self.body)
        self.poses = PoseSampler(motion, self.body)
        self.motion, self.people, self.size, self.seed, self.frames = motion, people, size, seed, frames
        self._last: tuple[int, Scene] | None = None

    def layer(self, number: int) -> Layer:
        """The layer of that number; raises MotionError where the motion has no clips long enough for videos."""
        scene, frame = divmod(number, self.frames)
        if self.frames == 1:
            return self._photo(scene).layer(scene * REGIONS)
        if self._last is None or self._last[0] != scene:
            self._last = scene, self._video(scene)
        return Frame(self._last[1], frame, self.size).layer(scene * REGIONS)

    def _photo(self, number: int) -> Frame:
        g = default_rng([self.seed, 1, number])
        count = self._count(g)
        for _ in range(6):
            poses = np.stack([self.poses.draw(g) for _ in range(count)])
            frame = Frame(self._scene(poses[None], np.zeros((1, count, 3)), g), 0, self.size)
            if frame.visible[:, _LIMBS].sum(1).max() >= FEWEST:
                break
        return frame

    def _video(self, number: int) -> Scene:
        g = default_rng([self.seed, 2, number])
        long = [clip for clip in self.motion.clips if clip.length >= self.frames]
        if not long:
            raise MotionError(
                f"motion: expected clips of at least {self.frames} frames for videos, the files have none; "
                "use a file with longer clips (clips.npz) or fewer frames."
            )
        sampler = ClipSampler(self.motion, long, self.body)
        poses, places, _ = sampler.play([sampler.choose(g) for _ in range(self._count(g))], self.frames, _FPS, g)
        return self._scene(poses.swapaxes(0, 1), places.swapaxes(0, 1), g)

    def _count(self, g: Generator) -> int:
        return int(g.integers(self.people[0], self.people[1] + 1))

    def _scene(self, poses: Float[np.ndarray, "T P 24 3 3"], places: Float[np.ndarray, "T P 3"], g: Generator) -> Scene:
        """Dresses the people, puts them next to each other on the floor, and chooses camera, lights and furniture."""
        frames, count = poses.shape[:2]
        middle = frames // 2
        shapes, looks = draw_shapes(count, self.body, g), [Look.draw(g) for _ in range(count)]
        figures = [self.wardrobe.dress(shape, look.outfit, g) for shape, look in zip(shapes, looks, strict=True)]
        for person in range(count):
            yaw = turn("y", g.uniform(0, 2 * np.pi))
            poses[:, person, 0], places[:, person] = yaw @ poses[:, person, 0], places[:, person] @ yaw.T
        meshes = [figure.posed(pose) for figure, pose in zip(figures, poses[middle], strict=True)]
        places = places + _spots(count, g)
        places[..., 1] -= [mesh[:, 1].min() for mesh in meshes]  # everybody stands on y = 0
        meshes = [mesh + place for mesh, place in zip(meshes, places[middle], strict=True)]
        world = BodyPose(as_tensor(poses), as_tensor(shapes).expand(frames, -1, -1), as_tensor(places))
        everything = self.rig.points(self.body, world.map(lambda tensor: tensor.flatten(0, 1)))
        points, joints = (part.unflatten(0, (frames, count)) for part in everything)
        rotation = draw_turns(1, g)[0]
        boxes = [box for person in joints[middle].double().numpy() for box in _furniture(person, -rotation[2], g)]
        touchable = np.concatenate([*meshes, *([] if g.random() < 0.5 else boxes)])
        turned = points[middle, :, : len(JOTR30)].reshape(1, -1, 3) @ as_tensor(rotation).T
        if count > 1 and g.random() < 0.3:  # about one of them
            turned = turned[:, : len(JOTR30)]
        nearest = torch.tensor([(touchable @ rotation[2]).min()]).float()
        focal, shift = draw_cameras(turned, nearest, self.size, g)
        turns, shifts = as_tensor(rotation).repeat(frames, 1, 1), shift.repeat(frames, 1)
        if frames > 1:
            swing, carried = draw_camera_motion((torch.arange(frames) - middle)[None] / 30, g)
            turns, shifts = swing[0] @ turns, (swing[0] @ shifts[..., None])[..., 0] + carried[0]
        pelvis = self.body.rest_joints(world.shape)[:, :, 0]  # the root turns about it
        root = turns[:, None] @ world.rotations[:, :, 0]
        rotations = torch.cat([root[:, :, None], world.rotations[:, :, 1:]], dim=2)
        translation = (world.translation + pelvis) @ turns.mT + shifts[:, None] - pelvis
        points = points @ turns[:, None].mT + shifts[:, None, None]
        rest = np.array(boxes).reshape(-1, 8, 3)
        turned_boxes = rest @ turns[:, None].mT.double().numpy() + shifts[:, None, None].double().numpy()
        pose, fabrics = BodyPose(rotations, world.shape, translation), [Fabric.draw(g) for _ in boxes]
        lights = Lights.draw(rotation[:, 1], g)
        return Scene(figures, looks, pose, points, turned_boxes, rest, fabrics, lights, float(focal))


def _spots(count: int, g: Generator) -> Float[np.ndarray, "P 3"]:
    """Places on the floor, at least 0.45 m apart where there is room, close together."""
    spots = np.zeros((count, 3))
    wide = g.uniform(0.5, 1.0) * count**0.5
    for person in range(1, count):
        for _ in range(20):
            spots[person, [0, 2]] = g.uniform(-wide, wide, 2)
            if np.linalg.norm(spots[:person] - spots[person], axis=1).min() > 0.45:
                break
    return spots


def _furniture(
    joints: Float[np.ndarray, "24 3"], camera: Float[np.ndarray, "3"], g: Generator
) -> list[Float[np.ndarray, "8 3"]]:
    """Boxes in the world: a seat under who sits, a table or something else between them and the camera (direction)."""
    found = []
    pelvis, knees = joints[0], joints[list(SMPL24.indices("left_knee", "right_knee"))].mean(0)
    ahead = knees - pelvis
    if abs(ahead[1]) < 0.2 and pelvis[1] > 0.3 and g.random() < 0.7:
        half, yaw = g.uniform([0.2, 0.04, 0.2], [0.7, 0.25, 0.35]), float(np.arctan2(ahead[0], ahead[2]))
        found.append(_box(pelvis + 0.25 * ahead * [1, 0, 1] - [0, 0.13 + half[1], 0], half, yaw))
        if g.random() < 0.5:  # a back
            away = ahead * [1, 0, 1] / (np.linalg.norm(ahead[[0, 2]]) + 1e-6)
            found.append(_box(pelvis - 0.28 * away + [0, 0.1, 0], np.array([half[0], g.uniform(0.2, 0.4), 0.04]), yaw))
    if g.random() < 0.2:  # a table, a counter, a box
        half, yaw = g.uniform([0.2, 0.02, 0.1], [0.9, 0.4, 0.3]), float(np.arctan2(camera[0], camera[2]))
        top, beside = g.uniform(0.4, 1.0), g.normal(0, 0.4) * np.array([np.cos(yaw), 0, -np.sin(yaw)])
        place = pelvis + g.uniform(0.35, 0.9) * np.array([np.sin(yaw), 0, np.cos(yaw)]) + beside
        found.append(_box(np.array([place[0], top - half[1], place[2]]), half, yaw + float(g.normal(0, 0.5))))
    return found


def _box(centre: Float[np.ndarray, "3"], half: Float[np.ndarray, "3"], yaw: float) -> Float[np.ndarray, "8 3"]:
    """Corners of an upright box, ordered by x, y, z."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    return corners * half @ turn("y", yaw).T + centre


class SyntheticPeople(VariedLayers):
    """Photos rendered when asked for: sample i is scene i; with `frames`, frame i % frames of video i // frames."""

    def __init__(
        self, motion: Files, count: int, *, people: tuple[int, int] = (1, 1), size: int = 256,
        seed: int = 0, frames: int = 1, backgrounds: str | Path | None = None,
    ) -> None:  # fmt: skip
        scenes = SceneSampler(Motion.read(motion), people=people, size=size, seed=seed, frames=frames)
        super().__init__(scenes.layer, count, backgrounds=backgrounds, seed=seed, frames=frames)
