"""Pictures of results: on the photo, from beside, from above, all in one sheet, and films."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import map_coordinates, uniform_filter
from threadpoolctl import threadpool_limits

from humesh.body.model import BodyModel
from humesh.geometry.camera import Camera
from humesh.media.film import Film
from humesh.media.photo import Photo
from humesh.scene.render import EDGE_RAYS, Stage, View, colours
from humesh.scene.result import Result, ResultError, VideoResult, pixels_of
from humesh.threads import ahead

SHEET_HEIGHT = 540  # px at most; a contact sheet is for a quick look, the overlay keeps the photo's size
_OPACITY = 0.9  # of the meshes over the photo
_RED_M = 0.15  # the expected error from which a ring is red
_SMALL_PX = 720  # height of a film up to which 2,400 triangles a body look as 14,000 do
_FILM_RAYS = EDGE_RAYS // 4  # nobody sees the difference in a moving picture

_FIELD_OF_VIEW = math.radians(28)  # over the longer side: that of a portrait lens, which keeps bodies in proportion
_MARGIN = 0.08  # of the picture's width and height left free on each side
BACKGROUND = np.array([246.0, 246.0, 244.0])
_LINE = np.array([196.0, 198.0, 200.0])
_SHADOW = np.array([120.0, 122.0, 128.0])
_CELL = 0.02  # metres; of the map of shadows
_GRID = 0.5  # metres between the floor's lines
_ELEVATION = 0.14  # radians that the turntable's camera is above the people
_CROWD = 8000  # points are enough to frame a group


def facing(angle: float, elevation: float) -> Float[np.ndarray, "3 3"]:
    """The axes (columns) of a camera gone round by an angle and up by another, in radians; 0, 0: the photo's axes."""
    cos, sin, up, down = math.cos(angle), math.sin(angle), math.cos(elevation), math.sin(elevation)
    about = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    return about @ np.array([[1, 0, 0], [0, up, down], [0, -down, up]])


# Front and side 8 degrees up: the floor shows who stands in front. From the top what was far is above.
VIEWS = {
    "front": facing(0.0, math.radians(8)),
    "side": facing(math.pi / 2, math.radians(8)),
    "top": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
}
"""The axes of the cameras beside and above: near is left from the side, and below from the top."""


class FloorView:
    """A virtual camera that frames some points (metres), above a floor at the lowest of them; y is the vertical.

    `centre`: of the camera, instead of the nearest from which all is visible.
    """

    def __init__(
        self,
        points: Float[np.ndarray, "K 3"],
        turn: Float[np.ndarray, "3 3"],
        size: tuple[int, int],
        centre: Float[np.ndarray, "3"] | None = None,
    ) -> None:
        points = points[:: max(1, len(points) // _CROWD)]
        self.size, self.floor = size, points[:, 1].max()
        self.view = View(turn, framing(points, turn, *_half_views(size)) if centre is None else centre)
        self.camera = Camera.virtual(max(size) / 2 / math.tan(_FIELD_OF_VIEW / 2), size)
        columns, rows = np.meshgrid(*(np.arange(length, dtype=np.float32) + 0.5 for length in size))
        focal, (x, y) = float(self.camera.focal_px), self.camera.principal_point_px.tolist()
        rays = np.stack([(columns - x) / focal, (rows - y) / focal, np.ones_like(rows)], axis=-1).reshape(-1, 3)
        rays = rays @ turn.T.astype(np.float32)
        pixels = np.flatnonzero(rays[:, 1] > 1e-3)
        far = (self.floor - self.view.centre[1]) / rays[pixels, 1]
        spots = self.view.centre[[0, 2]] + far[:, None] * rays[pixels][:, [0, 2]]  # x, z: metres
        middle, reach = (points.min(0) + points.max(0)) / 2, np.linalg.norm(np.ptp(points[:, [0, 2]], axis=0)) / 2
        fade = np.clip(1.6 - np.hypot(*(spots - middle[[0, 2]]).T) / (reach + 0.8), 0, 1)
        near = np.flatnonzero(fade)
        self._pixels, self._spots = pixels[near], spots[near]
        # A line is one pixel wide: a pixel spans far / focal metres across, and more along a slanting ray.
        along = rays[self._pixels]
        span = (far[near] / focal)[:, None] * np.hypot(1, along[:, [0, 2]] / along[:, 1:2])
        off = np.abs(self._spots / _GRID - np.rint(self._spots / _GRID)) * _GRID
        lines = (np.clip(1.2 - off / span, 0, 1) * np.clip(_GRID / (6 * span), 0, 1)).max(1)
        self._ground = np.tile(BACKGROUND.astype(np.float32), (size[0] * size[1], 1))
        self._ground[self._pixels] += (lines * fade[near])[:, None] * (_LINE - BACKGROUND)

    def picture(self, stage: Stage, rays: int = EDGE_RAYS) -> UInt8[np.ndarray, "H W 3"]:
        """The bodies over the floor, with soft shadows under them."""
        ground = self._ground.copy()
        below, shadow = self._shadows(stage.points)
        ground[below] += shadow[:, None] * (_SHADOW - ground[below])
        background = np.rint(ground).astype(np.uint8).reshape(self.size[1], self.size[0], 3)
        return stage.render(self.camera, self.size, self.view, rays).over(background)

    def _shadows(self, points: Float[np.ndarray, "K 3"]) -> tuple[Int[np.ndarray, " R"], Float[np.ndarray, " R"]]:
        """The pixels that see the floor under bodies, and how dark it is there, 0..1: darkest where bodies touch it."""
        below = points[:, [0, 2]]
        start = below.min(0) - 0.6
        cells = np.ceil((below.max(0) + 0.6 - start) / _CELL).astype(int) + 2
        cells = np.minimum(cells, 4000)  # people a hundred metres apart lose their shadows, not the memory
        at = np.minimum(((below - start) / _CELL).astype(int), cells - 1)
        dark = np.zeros(cells)
        np.maximum.at(dark, tuple(at.T), np.exp((points[:, 1] - self.floor) / 0.35))
        for radius in (3, 5, 8):  # three running means are close to a Gaussian of 11 cm
            dark = uniform_filter(dark, 2 * radius + 1, mode="constant")
        dark = np.clip(1.6 * dark, 0, 0.75)
        spots = (self._spots - start) / _CELL
        inside = np.flatnonzero(((spots > 0) & (spots < cells - 1)).all(1))
        return self._pixels[inside], map_coordinates(dark, spots[inside].T, order=1)


def _half_views(size: tuple[int, int]) -> tuple[float, float]:
    """Half the width and half the height, at a distance of 1, of what a picture shows within its margins."""
    slope = math.tan(_FIELD_OF_VIEW / 2) * (1 - 2 * _MARGIN) / max(size)
    return slope * size[0], slope * size[1]


def framing(
    points: Float[np.ndarray, "K 3"], turn: Float[np.ndarray, "3 3"], across: float, along: float
) -> Float[np.ndarray, "3"]:
    """The centre of the nearest camera with axes `turn` that sees all points within |x| <= across z, |y| <= along z.

    In the camera's axes a centre (c, -d) holds a point (x, z) if x - across z <= c + across d, and likewise to the
    left, so the two outermost points of each axis give d and c at once.
    """
    moved = points @ turn
    ends = [
        [(sign * moved[:, axis] - slope * moved[:, 2]).max() for sign in (1, -1)]
        for axis, slope in ((0, across), (1, along))
    ]
    back = max(sum(pair) / (2 * slope) for pair, slope in zip(ends, (across, along), strict=True))
    near = moved[:, 2].min() - 0.1  # metres; and never closer to the nearest point than this
    return turn @ np.array([(ends[0][0] - ends[0][1]) / 2, (ends[1][0] - ends[1][1]) / 2, min(-back, near)])


def overlay(result: Result) -> UInt8[np.ndarray, "H W 3"]:
    """The photo with everybody's mesh over it, a little transparent."""
    return _over(_stage(result), result.photo)


def render(result: Result, view: str) -> UInt8[np.ndarray, "H W 3"]:
    """The overlay, or the people on a floor from one of VIEWS, as high as the photo; ResultError for other views."""
    if view == "overlay":
        return overlay(result)
    if view not in VIEWS:
        raise ResultError(f"view: expected overlay, {', '.join(VIEWS)}, got {view!r}.")
    return _from(view, _stage(result), result.photo.size[1])


def contact_sheet(result: Result) -> UInt8[np.ndarray, "H W 3"]:
    """Overlay, side view and top view side by side, at most 540 px high."""
    stage, photo = _stage(result), _smaller(result.photo, SHEET_HEIGHT)
    height = photo.size[1]
    gap = np.full((height, max(2, height // 150), 3), 255, np.uint8)
    parts = [_over(stage, photo), gap, _from("side", stage, height), gap, _from("top", stage, height)]
    return np.concatenate(parts, axis=1)


def error_rings(result: Result) -> UInt8[np.ndarray, "H W 3"]:
    """The overlay with a ring around each joint, as large as its expected error, from green to red (150 mm or more).

    Without expected errors the picture says so.
    """
    image, expected = Image.fromarray(overlay(result)), result.expected_error_m
    letter, pen = max(11, image.height // 40), ImageDraw.Draw(image)
    legend = f"{result.method} estimates no errors"
    if expected is not None:
        legend, camera = "rings: expected error; red: 15 cm or more", result.photo.camera
        joints = result.bodies.joints.double()
        places = pixels_of(camera, joints).flatten(0, 1).tolist()
        radii = expected.double() * camera.focal_px.double() / joints[..., 2].clamp(min=0.05)
        reds = (expected / _RED_M).clamp(0, 1).flatten().tolist()
        for (x, y), radius, red in zip(places, radii.clamp(2, max(image.size)).flatten().tolist(), reds, strict=True):
            colour = (int(255 * min(1, 2 * red)), int(220 * min(1, 2 - 2 * red)), 40)
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=max(2, letter // 8))
    _write(pen, (letter / 2, letter / 2), legend, letter)
    return np.asarray(image)


def write_turntable(
    result: Result, path: str | Path, seconds: float = 4, fps: int = 25, size: tuple[int, int] = (640, 640)
) -> None:
    """Writes an MP4 (H.264) of a camera that goes once round the group."""
    count, stage = max(1, round(seconds * fps)), _stage(result)
    low, high = (stage.points.min(0), stage.points.max(0)) if result.people else (np.zeros(3), np.zeros(3))
    middle, slope = (low + high) / 2, min(_half_views(size))
    radius = np.linalg.norm(stage.points - middle, axis=1).max(initial=0.0)
    away = radius * math.hypot(1, 1 / slope)  # from there a ball around everybody just fits

    def around(number: int) -> UInt8[np.ndarray, "H W 3"]:
        turn = facing(2 * math.pi * number / count, _ELEVATION)
        if not result.people:
            return _empty(size)
        return FloorView(stage.points, turn, size, middle - away * turn[:, 2]).picture(stage, EDGE_RAYS // 2)

    _write_frames(Film(path, size, fps), around, range(count), [number / fps for number in range(count)])


class MotionPictures:
    """Pictures of a video's frames: meshes with their tracks' numbers, and the view from one side through the video."""

    def __init__(self, result: VideoResult, beside: bool = True) -> None:
        width, height = result.size
        numbers = [motion.track for motion in result.tracks]
        self._colours = dict(zip(numbers, colours(len(numbers)), strict=True))
        self._side = (round(0.75 * height), height) if beside and numbers else (0, height)
        self.size = (width + self._side[0], height)
        if self._side[0]:
            joints = torch.cat([result.body.joints(motion.pose) for motion in result.tracks])
            points = joints.reshape(-1, 3).double().numpy()[:: max(1, joints.shape[0] * joints.shape[1] // 20_000)]
            around = [points + np.array([0.0, reach, 0.0]) for reach in (-0.2, 0.08)]  # a hand's breadth
            self._side_view = FloorView(np.concatenate(around), VIEWS["side"], self._side)

    def __call__(self, frame: Result) -> UInt8[np.ndarray, "H W 3"]:
        """The picture of one frame."""
        picture, people, beside = frame.photo.pixels, frame.people, _empty(self._side)
        if people:
            paint = np.array([self._colours[person.track or 0] for person in people])
            stage = Stage(frame.bodies.vertices, frame.bodies.faces, paint)
            picture = _tracked(stage, frame, paint)
            if self._side[0]:
                beside = self._side_view.picture(stage, _FILM_RAYS)
        return np.concatenate([picture, beside], axis=1)


class LivePictures:
    """Pictures of frames as they come: everybody's mesh, in the colour of their track and with its number."""

    def __init__(self, body: BodyModel, size: tuple[int, int]) -> None:
        self._body = _film_body(body, size)

    def __call__(self, frame: Result) -> UInt8[np.ndarray, "H W 3"]:
        """The picture of one frame."""
        if not frame.people:
            return frame.photo.pixels
        tracks = [person.track or 0 for person in frame.people]
        paint = colours(max(tracks) + 1)[tracks]
        bodies = replace(frame, body=self._body).bodies
        return _tracked(Stage(bodies.vertices, bodies.faces, paint), frame, paint)


def write_film(
    result: VideoResult, path: str | Path, beside: bool = True, progress: Callable[[int], None] | None = None
) -> list[str]:
    """Writes an MP4 of a video with everybody's mesh on it; returns sentences on what became of its sound.

    `progress` gets the number of frames done.
    """
    result = replace(result, body=_film_body(result.body, result.size))
    pictures = MotionPictures(result, beside)
    film = Film(path, pictures.size, result.fps, source=result.video)
    _write_frames(film, pictures, result.frames, result.times.tolist(), progress)
    return film.notes


def _write_frames(
    film: Film,
    draw: Callable[[Any], UInt8[np.ndarray, "H W 3"]],
    items: Iterable[Any],
    times: list[float],
    progress: Callable[[int], None] | None = None,
) -> None:
    """Writes the pictures of items in order, several drawn at a time."""
    # Small products of matrices wait longer for BLAS's own threads than they take: films twice as fast.
    with film, threadpool_limits(1, "blas"):
        for number, (picture, time_s) in enumerate(zip(ahead(draw, items), times, strict=True)):
            film.write(picture.result(), time_s)
            if progress is not None:
                progress(number + 1)


def _film_body(body: BodyModel, size: tuple[int, int]) -> BodyModel:
    """The body to draw in films of this size: with fewer triangles it is three times as fast."""
    return BodyModel.load("open-low") if body.name == "open" and size[1] <= _SMALL_PX else body


def _tracked(stage: Stage, frame: Result, paint: Float[np.ndarray, "P 3"]) -> UInt8[np.ndarray, "H W 3"]:
    image = Image.fromarray(_over(stage, frame.photo, _FILM_RAYS))
    letter, pen = max(11, image.height // 32), ImageDraw.Draw(image)
    for person, colour in zip(frame.people, paint, strict=True):
        x, y = (person.box[0] + person.box[2]) / 2, max(person.box[1] - 0.3 * letter, 1.2 * letter)
        _write(pen, (x, y), str(person.track), letter, tuple(int(255 * value) for value in colour), "ms")
    return np.asarray(image)


def _write(
    pen: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    letter: int,
    fill: Any = "white",
    anchor: str | None = None,
) -> None:
    pen.text(place, text, fill, ImageFont.load_default(letter), anchor, stroke_width=2, stroke_fill="black")


def _over(stage: Stage, photo: Photo, rays: int = EDGE_RAYS) -> UInt8[np.ndarray, "H W 3"]:
    return stage.render(photo.camera, photo.size, rays=rays).over(photo.pixels, _OPACITY)


def _from(view: str, stage: Stage, height: int) -> UInt8[np.ndarray, "H W 3"]:
    size = max(1, round(0.75 * height)), height
    return FloorView(stage.points, VIEWS[view], size).picture(stage) if len(stage.points) else _empty(size)


def _smaller(photo: Photo, height: int) -> Photo:
    """The photo at most that many pixels high: a scaled photo is a crop, and a crop is a camera."""
    scale = height / photo.size[1]
    if scale >= 1:
        return photo
    size = max(1, round(photo.size[0] * scale)), height
    pixels = np.asarray(Image.fromarray(photo.pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0))
    scaled = torch.tensor([[size[0] / photo.size[0], 0, 0], [0, scale, 0]], dtype=torch.float64)
    return replace(photo, pixels=pixels, camera=photo.camera.cropped(scaled))


def _stage(result: Result) -> Stage:
    return Stage(result.bodies.vertices, result.bodies.faces, colours(len(result.people)))


def _empty(size: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
    return np.tile(np.rint(BACKGROUND).astype(np.uint8), (size[1], size[0], 1))
