"""Pictures of a recovery: on its photo, from beside, from above, all in one sheet, and a film that goes round."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from humesh.media.film import Film
from humesh.media.photo import Photo
from humesh.people.person import Person
from humesh.scene.render import EDGE_RAYS, Stage, View
from humesh.scene.result import Result, VideoResult
from humesh.scene.studio import BACKGROUND, LOOKING_DOWN, Floor, Studio, facing, framing, half_views

_LIGHT_SCHEME = ("77AADD", "EE8866", "EEDD88", "44BB99", "FFAABB", "BBCC33", "99DDFF", "DDDDDD")
PALETTE = np.array([[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in _LIGHT_SCHEME])
"""Eight sRGB colours 0..1 for people: Paul Tol's "light" scheme (personal.sron.nl/~pault), made to be told apart by
colour-blind viewers; ordered so that the first ones differ most."""

_OPACITY = 0.9  # of the meshes over the photo
_RED_M, _NEAREST_M = 0.15, 0.05
_FILM_RAYS = EDGE_RAYS // 4  # nobody sees the difference in a moving picture
SHEET_HEIGHT = 540  # px at most; a contact sheet is for a quick look, the overlay keeps the photo's size
_FROM_THE_SIDE = facing(math.pi / 2, math.radians(8))  # 8 degrees up: the floor shows who stands in front of whom


def colours(count: int) -> Float[np.ndarray, "P 3"]:
    """The colours of so many people, in the order of the palette, from its start again when it is used up."""
    return PALETTE[np.arange(count) % len(PALETTE)]


def overlay(recovery: Result) -> UInt8[np.ndarray, "H W 3"]:
    """The photo with everybody's mesh drawn over it, a little transparent."""
    photo = recovery.photo
    return _stage(recovery).render(photo.camera, photo.size).over(photo.pixels, _OPACITY)


def error_rings(recovery: Result) -> UInt8[np.ndarray, "H W 3"]:
    """The overlay with a ring around each joint, as large as its expected error, from green to red (150 mm or more).

    Without expected errors the picture says so.
    """
    image, camera, expected = Image.fromarray(overlay(recovery)), recovery.photo.camera, recovery.expected_error_m
    pen, letter = ImageDraw.Draw(image), max(11, image.height // 40)
    legend = "rings: expected error; red: 15 cm or more"
    if expected is None:
        legend = f"{recovery.method} estimates no errors"
    else:
        joints = recovery.bodies.joints.double()
        depth = joints[..., 2].clamp(min=_NEAREST_M)
        places = camera.project(torch.cat([joints[..., :2], depth[..., None]], dim=-1)).flatten(0, 1)
        radii = (expected.double() * camera.focal_px.double() / depth).flatten()
        reds = (expected / _RED_M).clamp(0, 1).flatten()
        for (x, y), radius, red in zip(places.tolist(), radii.tolist(), reds.tolist(), strict=True):
            radius = min(max(radius, 2.0), float(max(image.size)))
            colour = (int(255 * min(1, 2 * red)), int(220 * min(1, 2 - 2 * red)), 40)
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=max(2, letter // 8))
    pen.text(
        (letter / 2, letter / 2),
        legend,
        fill="white",
        font=ImageFont.load_default(letter),
        stroke_width=2,
        stroke_fill="black",
    )
    return np.asarray(image)


def contact_sheet(recovery: Result) -> UInt8[np.ndarray, "H W 3"]:
    """Overlay, side view and top view side by side, at most 540 px high.

    What is near the photo's camera is on the left in the view from the side, at the bottom in that from above.
    """
    stage, photo = _stage(recovery), _smaller(recovery.photo, SHEET_HEIGHT)
    front = stage.render(photo.camera, photo.size).over(photo.pixels, _OPACITY)
    height, studio = photo.size[1], Studio(stage) if recovery.people else None
    gap = np.full((height, max(2, height // 150), 3), 255, np.uint8)
    size = max(1, round(0.75 * height)), height
    side, top = (
        _empty(size) if studio is None else studio.picture(turn, size) for turn in (_FROM_THE_SIDE, LOOKING_DOWN)
    )
    return np.concatenate([front, gap, side, gap, top], axis=1)


class MotionPictures:
    """Pictures of a video's frames: everybody's mesh over the frame, their tracks' numbers, and the side view beside.

    People keep their colours, and the side view its camera, through the whole video.
    """

    def __init__(self, recovery: VideoResult, beside: bool = True) -> None:
        width, height = recovery.size
        tracks = [motion.track for motion in recovery.tracks]
        self.colours = dict(zip(tracks, colours(len(tracks)), strict=True))
        self._room = _room(recovery)
        self.side_size = (round(0.75 * height), height) if beside and len(self._room) else (0, height)
        self.size = (width + self.side_size[0], height)
        self._floor: Floor | None = None
        if self.side_size[0]:
            self._view = View(_FROM_THE_SIDE, framing(self._room, _FROM_THE_SIDE, *half_views(self.side_size)))

    def __call__(self, moment: Result) -> UInt8[np.ndarray, "H W 3"]:
        """The picture of one frame."""
        photo, people = moment.photo, moment.people
        picture, stage = photo.pixels, None
        if people:
            paint = np.array([self.colours[person.track or 0] for person in people])
            stage = Stage(moment.bodies.vertices, moment.bodies.faces, paint)
            picture = stage.render(photo.camera, photo.size, rays=_FILM_RAYS).over(picture, _OPACITY)
            picture = _numbered(picture, people, paint)
        if not self.side_size[0]:
            return picture
        beside = _empty(self.side_size)
        if stage is not None:
            studio = Studio(stage, self._room)
            if self._floor is None:
                self._floor = Floor(studio, self.side_size, self._view)
            beside = studio.seen(self._view, self.side_size, _FILM_RAYS, self._floor)
        return np.concatenate([picture, beside], axis=1)


def _room(recovery: VideoResult) -> Float[np.ndarray, "K 3"]:
    """Where the joints of all people ever are, and a hand's breadth around."""
    moving = [recovery.body.joints(motion.pose) for motion in recovery.tracks]
    if not moving:
        return np.zeros((0, 3))
    joints = torch.cat(moving).reshape(-1, 3).double().numpy()
    some = joints[:: max(1, len(joints) // 20000)]
    return np.concatenate([some + np.array([0.0, reach, 0.0]) for reach in (-0.2, 0.08)])


def _numbered(
    picture: UInt8[np.ndarray, "H W 3"], people: list[Person], paint: Float[np.ndarray, "P 3"]
) -> UInt8[np.ndarray, "H W 3"]:
    """Each person's track over the head, in its colour."""
    image = Image.fromarray(picture)
    pen, letter = ImageDraw.Draw(image), max(11, picture.shape[0] // 32)
    font = ImageFont.load_default(letter)
    for person, colour in zip(people, paint, strict=True):
        x, y = (person.box[0] + person.box[2]) / 2, max(person.box[1] - 0.3 * letter, 1.2 * letter)
        fill = tuple(int(255 * value) for value in colour)
        pen.text((x, y), str(person.track), fill=fill, font=font, anchor="ms", stroke_width=2, stroke_fill="black")
    return np.asarray(image)


def turntable(
    recovery: Result, path: str | Path, seconds: float = 4, fps: int = 25, size: tuple[int, int] = (640, 640)
) -> None:
    """Writes an MP4 (H.264) of a camera that goes once round the group."""
    frames = max(1, round(seconds * fps))
    studio = Studio(_stage(recovery)) if recovery.people else None
    angles = [2 * math.pi * k / frames for k in range(frames)]
    # Threads, because Embree and most of NumPy let go of Python's lock.
    with Film(path, size, fps) as film, ThreadPoolExecutor(os.cpu_count()) as pool:
        drawn = pool.map(lambda angle: _empty(size) if studio is None else studio.around(angle, size), angles)
        for number, picture in enumerate(drawn):
            film.write(picture, number / fps)


def _smaller(photo: Photo, height: int) -> Photo:
    """The photo at most so many pixels high: a scaled photo is a crop, and a crop is a camera."""
    scale = height / photo.size[1]
    if scale >= 1:
        return photo
    size = max(1, round(photo.size[0] * scale)), height
    pixels = np.asarray(Image.fromarray(photo.pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0))
    scaled = torch.tensor([[size[0] / photo.size[0], 0, 0], [0, scale, 0]], dtype=torch.float64)
    return replace(photo, pixels=pixels, camera=photo.camera.cropped(scaled))


def _stage(recovery: Result) -> Stage:
    return Stage(recovery.bodies.vertices, recovery.bodies.faces, colours(len(recovery.people)))


def _empty(size: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
    return np.tile(np.rint(BACKGROUND).astype(np.uint8), (size[1], size[0], 1))
