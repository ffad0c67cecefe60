"""Scenes by number: people, camera, lights and furniture are drawn, and rendered into a layer with its labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.random import Generator, default_rng

from humesh.body.joints import JOTR30, LIMBS12, SMPL24
from humesh.body.model import BodyModel
from humesh.data.sample import Sample
from humesh.data.synthetic.backgrounds import Backgrounds
from humesh.data.synthetic.figure import Wardrobe
from humesh.data.synthetic.layer import REGIONS, Layer, Shot, Staging
from humesh.data.synthetic.motion import REFERENCE_LEG, Clip, Motion, MotionError, rotations
from humesh.data.synthetic.paint import Fabric, Lights, Look
from humesh.data.synthetic.poses import PoseSource, mirrored, turn
from humesh.data.synthetic.scenery import draw_focal, draw_turn, furniture, place_camera
from humesh.data.synthetic.variations import vary

_J = {name: i for i, name in enumerate(SMPL24.names)}
_LIMBS = JOTR30.indices(*LIMBS12.names)
_FEWEST = 4  # limb joints of somebody that must be seen, or another scene is drawn


class Stage:
    """Draws and renders scenes; the same seed and number give the same scene, bit for bit.

    `people`: the least and the greatest number of people. `size`: the photo's side in pixels.
    """

    def __init__(
        self, motion: Motion, *, people: tuple[int, int] = (1, 1), size: int = 256, seed: int = 0,
        body: BodyModel | None = None,
    ) -> None:  # fmt: skip
        self.wardrobe = Wardrobe(body or BodyModel.load("open-low"))
        self.source = PoseSource(motion, self.wardrobe.joints)
        self.motion, self.people, self.size, self.seed = motion, people, size, seed
        self._staged: tuple[tuple[int, int], Staging] | None = None

    def photo(self, number: int) -> Layer:
        """The layer of the scene of that number."""
        g = default_rng([self.seed, 1, number])
        count = int(g.integers(self.people[0], self.people[1] + 1))
        for _ in range(6):
            poses = np.stack([self._yawed(self.source.draw(g), g) for _ in range(count)])
            staging = self._staging(poses[None], np.zeros((1, count, 3)), g)
            shot = Shot(staging, 0, self.size, self.wardrobe)
            if shot.visible[:, _LIMBS].sum(1).max() >= _FEWEST:
                break
        return shot.layer(number * REGIONS)

    def video(self, number: int, frame: int, frames: int) -> Layer:
        """One frame of the video of that number; raises MotionError where the motion has no clips long enough."""
        if self._staged is None or self._staged[0] != (number, frames):
            self._staged = (number, frames), self._stage_video(number, frames)
        return Shot(self._staged[1], frame, self.size, self.wardrobe).layer(number * REGIONS)

    def _stage_video(self, number: int, frames: int) -> Staging:
        g = default_rng([self.seed, 2, number])
        long = [clip for clip in self.motion.clips if clip.length >= frames]
        if not long:
            raise MotionError(
                f"motion: expected clips of at least {frames} frames for videos, the files have none; "
                "use a file with longer clips (clips.npz) or fewer frames."
            )
        count = int(g.integers(self.people[0], self.people[1] + 1))
        played = [self._play(long[self._choose_clip(long, g)], frames, g) for _ in range(count)]
        poses, places = (np.stack(part, axis=1) for part in zip(*played, strict=True))
        return self._staging(poses, places, g)

    def _choose_clip(self, clips: Sequence[Clip], g: Generator) -> int:
        category = np.array([clip.category for clip in clips])
        present = np.unique(category)
        weights = self.source.weights[present]
        chosen = g.choice(present, p=weights / weights.sum())
        return int(g.choice(np.flatnonzero(category == chosen)))

    def _play(self, clip: Clip, frames: int, g: Generator) -> tuple[np.ndarray, np.ndarray]:
        """Poses (T 24 3 3) and places (T 3, metres, starting near 0) of a piece of a clip, turned anyhow."""
        step = max(1, round(clip.fps / g.choice([30.0, 30.0, 15.0])))
        while step > 1 and clip.length < step * (frames - 1) + 1:
            step -= 1
        first = clip.start + int(g.integers(clip.length - step * (frames - 1)))
        rows = slice(first, first + step * (frames - 1) + 1, step)
        poses = rotations(self.motion.poses[rows])
        places = self.motion.places[rows].astype(np.float64)
        places = (places - places[len(places) // 2]) * (-self.source.legs[1] / REFERENCE_LEG)
        if g.random() < 0.5:
            poses, places = mirrored(poses), places * [-1, 1, 1]
        poses = poses @ rotations(g.normal(0, 0.04, (24, 3)))
        yaw = turn("y", g.uniform(0, 2 * np.pi))
        poses[:, 0] = yaw @ poses[:, 0]
        return poses, places @ yaw.T

    def _yawed(self, pose: np.ndarray, g: Generator) -> np.ndarray:
        pose[0] = turn("y", g.uniform(0, 2 * np.pi)) @ pose[0]
        return pose

    def _staging(self, poses: np.ndarray, places: np.ndarray, g: Generator) -> Staging:
        """Dresses the people, puts them next to each other on the floor, and chooses camera, lights and furniture."""
        frames, count = poses.shape[:2]
        shapes = np.clip(g.normal(0, 1, (count, self.wardrobe.body.shapes)), -2.2, 2.2)
        looks = [Look.draw(g) for _ in range(count)]
        figures = [self.wardrobe.dress(s, look.outfit, g) for s, look in zip(shapes, looks, strict=True)]
        middle = frames // 2
        posed = [f.posed(poses[middle, p], self.wardrobe.surface_points) for p, f in enumerate(figures)]
        places = places + self._spots(count, g)[:, None].swapaxes(0, 1)
        places[..., 1] -= [mesh[:, 1].min() for mesh, _, _ in posed]  # everybody stands on y = 0
        meshes = [mesh + places[middle, p] for p, (mesh, _, _) in enumerate(posed)]
        points = np.stack(
            [
                np.concatenate([at, ends[: len(JOTR30) - 24]]) + places[middle, p]
                for p, (_, at, ends) in enumerate(posed)
            ]
        )
        boxes = [b for p in points for b in furniture(p[:24], 0.0, _J, g)]
        turned, focal = draw_turn(g), draw_focal(self.size, g)
        nearest = np.concatenate([*meshes, *([] if g.random() < 0.5 else boxes)])
        shift = place_camera(points, nearest, turned, focal, self.size, g)
        turns, shifts = np.tile(turned, (frames, 1, 1)), np.tile(shift, (frames, 1))
        if frames > 1 and g.random() < 0.6:  # a camera that pans and is carried along
            time = (np.arange(frames) - middle)[:, None] / 30
            swing = rotations(time * g.normal(0, [0.15, 0.25, 0.05]))
            turns = swing @ turns
            shifts = (swing @ shifts[..., None])[..., 0] + time * g.normal(0, [0.25, 0.1, 0.3])
        lights = Lights.draw(turned @ [0.0, 1.0, 0.0], g)
        fabrics = [Fabric.draw(g) for _ in boxes]
        return Staging(figures, looks, shapes, poses, places, turns, shifts, focal, lights, boxes, fabrics)

    def _spots(self, count: int, g: Generator) -> np.ndarray:
        """Places on the floor (P 3, metres), at least 0.45 m apart, close together."""
        spots = np.zeros((count, 3))
        wide = g.uniform(0.5, 1.0) * count**0.5
        for p in range(1, count):
            for _ in range(20):
                spots[p, [0, 2]] = g.uniform(-wide, wide, 2)
                if np.linalg.norm(spots[:p] - spots[p], axis=1).min() > 0.45:
                    break
        return spots


class SyntheticPeople:
    """Photos rendered when asked for: sample i is scene i; with `frames`, frame i % frames of video i // frames."""

    def __init__(
        self, motion: Sequence[str | Path], count: int, *, people: tuple[int, int] = (1, 1), size: int = 256,
        seed: int = 0, frames: int = 1, backgrounds: str | Path | None = None,
    ) -> None:  # fmt: skip
        self.count, self.seed, self.frames = count, seed, frames
        self.stage = Stage(Motion.read(motion), people=people, size=size, seed=seed)
        self.backgrounds = Backgrounds(backgrounds)
        self._kept: tuple[int, Layer] | None = None
        self.tracks = tuple(range(s, s + frames) for s in range(0, count, frames)) if frames > 1 else ()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        video, f = divmod(index, self.frames)
        if self.frames == 1:
            layer, first = self.stage.photo(index), None
        else:
            layer, first = self.stage.video(video, f, self.frames), self._first(video)
        scene, frame = default_rng([self.seed, 3, video]), default_rng([self.seed, 4, index])
        return vary(layer, self.backgrounds, scene, frame, f"scene {index}", first=first)

    def _first(self, video: int) -> Layer:
        """The first frame of a video; that of the last video asked for is kept."""
        if self._kept is None or self._kept[0] != video:
            self._kept = video, self.stage.video(video, 0, self.frames)
        return self._kept[1]
