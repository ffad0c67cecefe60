"""What is painted: skin, hair, face, fabrics with their patterns, the light on them, and the pictures behind people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy.random import Generator, default_rng
from PIL import Image, ImageDraw

from humesh.data.synthetic.figure import BOTTOM, HAIR, OTHER, SHOES, SKIN, TOP, Outfit
from humesh.errors import HumeshError
from humesh.media.photo import Photo, PhotoError

_SKINS = np.array([
    [255, 222, 200], [241, 194, 165], [224, 172, 135], [198, 140, 100], [160, 105, 70], [120, 76, 50], [85, 53, 36],
    [56, 36, 27],
]) / 255  # sRGB, from the lightest to the darkest skin of the Fitzpatrick and Monk scales  # fmt: skip
_HAIRS = np.array([
    [20, 16, 14], [35, 25, 20], [60, 40, 28], [95, 62, 38], [140, 98, 55], [205, 170, 110], [120, 50, 30],
    [150, 150, 150], [225, 222, 215],
]) / 255  # fmt: skip
_PATTERNS: dict[str, tuple[float, Callable[..., np.ndarray]]] = {
    "plain": (0.55, lambda a, b, c, level: a > 2),
    "stripes": (0.12, lambda a, b, c, level: a > level),
    "bars": (0.1, lambda a, b, c, level: b > level),
    "checks": (0.1, lambda a, b, c, level: (a > 0) ^ (b > 0)),
    "spots": (0.13, lambda a, b, c, level: a + b + c > 1 + level),
}
"""How often each is, and where a fabric has its second colour, by three waves over the T-pose."""
_SIDE = 288  # px of the stored pictures' shorter side
_DRAWN = 160  # drawn pictures that are kept and cut anew for each photo
_CACHE = 256  # photos kept decoded
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


def draw_colour(g: Generator) -> Float[np.ndarray, "3"]:
    """A colour as things have them, sRGB 0..1: often grey, black, white or blue."""
    kind = g.random()
    if kind < 0.35:
        return np.clip(np.full(3, g.beta(0.8, 0.8)) + g.normal(0, 0.02, 3), 0.02, 0.98)
    if kind < 0.5:  # denim and navy
        return np.clip(np.array([0.25, 0.33, 0.48]) * g.uniform(0.3, 1.7) + g.normal(0, 0.03, 3), 0.02, 0.98)
    value, saturation, hue = g.uniform(0.15, 0.95), g.beta(1.5, 1.5), g.uniform(0, 6.3)
    wave = 0.5 + 0.5 * np.cos(hue + np.array([0.0, 2.1, 4.2]))
    return np.clip(value * (1 - saturation * wave), 0.02, 0.98)


@dataclass(frozen=True, eq=False)
class Fabric:
    """Two colours (sRGB 0..1) in a pattern over the places of the T-pose."""

    colours: Float[np.ndarray, "2 3"]
    pattern: str
    axes: Float[np.ndarray, "3 3"]  # directions times radians a metre
    level: float

    @classmethod
    def draw(cls, g: Generator) -> Fabric:
        """A random fabric."""
        pattern = str(g.choice(list(_PATTERNS), p=[share for share, _ in _PATTERNS.values()]))
        frequency, tilt = g.uniform(40, 260), g.choice([0.0, g.uniform(-1, 1)])
        axes = frequency * np.array([[np.sin(tilt), np.cos(tilt), 0], [np.cos(tilt), -np.sin(tilt), 0], [0, 0, 1]])
        if pattern == "spots":
            axes = g.normal(0, 0.6 * frequency, (3, 3))
        return cls(np.stack([draw_colour(g), draw_colour(g)]), pattern, axes, float(g.uniform(-0.5, 0.7)))

    def at(self, place: Float[np.ndarray, "R 3"]) -> Float[np.ndarray, "R 3"]:
        """Its colour at places of the T-pose."""
        if self.pattern == "plain":
            return np.broadcast_to(self.colours[0], place.shape)
        waves = np.sin(place @ self.axes.T.astype(np.float32)).T
        return self.colours[_PATTERNS[self.pattern][1](*waves, self.level).astype(np.int8)]


@dataclass(frozen=True, eq=False)
class Look:
    """One person's outfit and colours."""

    outfit: Outfit
    skin: Float[np.ndarray, "3"]
    hair: Float[np.ndarray, "3"]
    fabrics: dict[int, Fabric]  # by region
    has_beard: bool
    folds: Float[np.ndarray, "4 3"]  # wave vectors of wrinkles, radians a metre

    @classmethod
    def draw(cls, g: Generator) -> Look:
        """A random person's."""
        tone = g.uniform(0, len(_SKINS) - 1)
        low = int(tone)
        skin = (_SKINS[low] * (low + 1 - tone) + _SKINS[low + 1] * (tone - low)) * (1 + g.normal(0, 0.04, 3))
        is_dark = tone > 3.5 and g.random() < 0.85
        hair = draw_colour(g) if g.random() < 0.04 else _HAIRS[g.integers(3 if is_dark else len(_HAIRS))]
        return cls(
            Outfit.draw(g),
            np.clip(skin, 0.03, 1),
            np.clip(hair * g.uniform(0.7, 1.25), 0.02, 1),
            {region: Fabric.draw(g) for region in (TOP, BOTTOM, SHOES, OTHER)},
            bool(g.random() < 0.2),
            g.normal(0, 40.0, (4, 3)),
        )

    def paint(
        self, place: Float[np.ndarray, "R 3"], piece: Int[np.ndarray, " R"]
    ) -> tuple[Float[np.ndarray, "R 3"], Int[np.ndarray, " R"]]:
        """Colours (sRGB 0..1) and regions of points, by their places in the T-pose and their pieces of the mesh."""
        region = np.where(piece == SKIN, self.outfit.regions(place), piece)
        colours = np.empty((len(place), 3), np.float32)
        colours[:], colours[region == HAIR] = self.skin, self.hair
        for what, fabric in self.fabrics.items():
            colours[region == what] = fabric.at(place[region == what])
        face = np.flatnonzero((region == SKIN) & (place[:, 1] > 0.56) & (place[:, 2] > 0.05))
        self._paint_face(place[face], colours, face)
        wrinkles = np.sin(place @ self.folds.T.astype(np.float32) + 1).sum(1)
        amount = np.array([0.01, 0.05, 0.04, 0.04, 0.02, 0.03], np.float32)[region]
        return colours * (1 + amount * wrinkles)[:, None], region

    def _paint_face(self, place: np.ndarray, colours: np.ndarray, face: np.ndarray) -> None:
        """Eyes, brows, mouth, nostrils and beard where the open body has them, in place."""
        reach, height = np.abs(place[:, 0]), place[:, 1]

        def ellipse(x: float, y: float, wide: float, high: float) -> np.ndarray:
            return face[((reach - x) / wide) ** 2 + ((height - y) / high) ** 2 < 1]

        if self.has_beard:
            colours[face[(height < 0.63) & ((height < 0.605) | (reach > 0.025))]] = self.hair
        colours[ellipse(0.03, 0.687, 0.016, 0.008)] = 0.85
        colours[ellipse(0.03, 0.687, 0.0075, 0.0075)] = 0.08
        colours[ellipse(0.032, 0.706, 0.02, 0.004)] = 0.7 * self.hair
        colours[ellipse(0.0, 0.614, 0.024, 0.009)] *= np.array([0.85, 0.55, 0.55], np.float32)
        colours[ellipse(0.009, 0.643, 0.005, 0.004)] *= 0.5


@dataclass(frozen=True, eq=False)
class Lights:
    """A sky and a ground that shine softly, and lamps; directions towards them in the camera's frame, linear RGB."""

    up: Float[np.ndarray, "3"]
    sky: Float[np.ndarray, "3"]
    ground: Float[np.ndarray, "3"]
    lamps: Float[np.ndarray, "L 3"]
    strengths: Float[np.ndarray, "L 3"]
    wrap: float
    has_shadows: bool  # of the first lamp

    @classmethod
    def draw(cls, up: Float[np.ndarray, "3"], g: Generator) -> Lights:
        """Random lights: mostly one strong lamp above and one or two weaker ones."""
        count = int(g.integers(1, 4))
        directions = g.normal(0, 1, (count, 3)) + up * g.uniform(0, 2, (count, 1)) + [0, 0, -0.6]
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        warmth = g.normal(0, 0.12, (count, 1)) * np.array([1.0, 0.1, -1.0])
        strengths = g.uniform(0.2, 1.0, (count, 1)) * np.array([[1.0], [0.45], [0.3]])[:count] * (1 + warmth)
        sky = g.uniform(0.15, 0.7) * (1 + g.normal(0, 0.06, 3))
        ground, wrap, has_shadows = g.uniform(0.2, 0.8) * sky, float(g.uniform(0, 0.5)), bool(g.random() < 0.5)
        arrays = [part.astype(np.float32) for part in (up, sky, ground, directions, strengths)]
        return cls(arrays[0], arrays[1], arrays[2], arrays[3], arrays[4], wrap, has_shadows)

    def on(self, normal: Float[np.ndarray, "R 3"], lit: Bool[np.ndarray, " R"] | None) -> Float[np.ndarray, "R 3"]:
        """Light that falls on surfaces, linear RGB; `lit`: whether the first lamp is seen."""
        above = (0.5 + 0.5 * (normal @ self.up))[:, None]
        light = self.ground + (self.sky - self.ground) * above
        for number, (direction, strength) in enumerate(zip(self.lamps, self.strengths, strict=True)):
            share = np.maximum((normal @ direction + self.wrap) / (1 + self.wrap), 0)
            light += (share if number or lit is None else share * lit)[:, None] * strength
        return light


class BackgroundError(HumeshError, ValueError):
    """A folder of backgrounds that cannot be used; the sentence says why."""


class Backgrounds:
    """Draws background pictures; with a folder, `photos` is the share of them that are its photos."""

    def __init__(self, folder: str | Path | None = None, photos: float = 0.6) -> None:
        self.files: list[Path] = []
        self.photos = photos if folder is not None else 0.0
        if folder is not None:
            folder = Path(folder)
            if not folder.is_dir():
                raise BackgroundError(f"backgrounds {folder}: expected a folder of photos, found no such folder.")
            self.files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
            if not self.files:
                raise BackgroundError(
                    f"backgrounds {folder}: expected photos ({', '.join(sorted(_SUFFIXES))}), found none; "
                    "give another folder, or none for drawn backgrounds."
                )

    def draw(self, g: Generator, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
        """A random cut of a random picture, (width, height) pixels, to be written into."""
        is_photo, number = g.random() < self.photos, int(g.integers(1 << 30))
        picture = _photo(self.files[number % len(self.files)]) if is_photo else _drawing(number % _DRAWN)
        cut, side = int(min(picture.shape[:2]) * g.uniform(0.45, 1.0)) + 1, max(size)
        top, left = (int(g.integers(0, length - min(cut, length) + 1)) for length in picture.shape[:2])
        part = picture[top : top + cut, left : left + cut][:, :: g.choice([1, -1])]
        scaled = Image.fromarray(np.ascontiguousarray(part)).resize((side, side), Image.Resampling.BILINEAR)
        return np.array(scaled)[: size[1], : size[0]]


@lru_cache(_CACHE)
def _photo(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    try:
        pixels = Photo.read(path).pixels
    except PhotoError as error:
        raise BackgroundError(f"backgrounds: {error}") from None
    photo = Image.fromarray(pixels)
    scale = _SIDE / min(photo.size)
    if scale < 1:
        photo = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BOX)
    return np.asarray(photo)


@lru_cache(_DRAWN)
def _drawing(number: int) -> UInt8[np.ndarray, "h w 3"]:
    return drawn_picture(default_rng([17, number]), _SIDE)


def drawn_picture(g: Generator, side: int) -> UInt8[np.ndarray, "S S 3"]:
    """A wall or a sky over a floor or ground, before it houses, furniture or clutter, all with texture."""
    down = np.arange(side)[:, None, None] / side
    horizon = int(side * g.uniform(0.3, 0.95))
    pixels = _surface(g, side) + g.uniform(-0.4, 0.4) * (down - 0.5)
    pixels[horizon:] = _floor(g, side)[: side - horizon]
    image = Image.fromarray(np.clip(255 * pixels, 0, 255).astype(np.uint8))
    brush = ImageDraw.Draw(image)
    for _ in range(int(g.integers(0, 9))):  # pictures, windows, doors, shelves, houses: they stand or hang
        wide, high = g.uniform(0.06, 0.45, 2) * side
        x, y = g.uniform(-0.1, 1) * side, horizon - high + g.choice([0.05, g.uniform(-0.5, 0)]) * side
        brush.rectangle((x, y, x + wide, y + high), fill=_rgb(g), outline=_rgb(g), width=int(g.integers(0, 5)))
        rows, columns = g.integers(1, 7, 2).tolist()
        colour = _rgb(g)
        for u, v in np.ndindex(columns, rows):
            left, top = x + wide * (u + 0.2) / columns, y + high * (v + 0.2) / rows
            brush.rectangle((left, top, left + 0.6 * wide / columns, top + 0.6 * high / rows), fill=colour)
    for _ in range(int(g.choice([0, 8, 16, 40]))):
        draw_shape(brush, g, g.uniform(-0.1, 1.1, 2) * side, g.uniform(0.02, 0.3) * side, _rgb(g))
    grain = 1 + g.uniform(0.02, 0.2) * noise(g, side, int(g.integers(60, side)))[..., None]
    return np.clip(np.asarray(image) * grain, 0, 255).astype(np.uint8)


def noise(g: Generator, side: int, cells: int) -> Float[np.ndarray, "S S"]:
    """Smooth noise in about [-1, 1], of `cells` cells across."""
    grid = Image.fromarray(g.uniform(-1, 1, (cells, cells)).astype(np.float32))
    return np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC))


def draw_shape(
    brush: ImageDraw.ImageDraw, g: Generator, at: Float[np.ndarray, "2"], size: float, fill: tuple[int, ...] | int
) -> None:
    """An ellipse, a rectangle, a polygon or a bar around a place."""
    kind, half = g.integers(4), size * g.uniform(0.2, 1, 2)
    corners = [*(at - half).tolist(), *(at + half).tolist()]
    if kind == 0:
        brush.ellipse(corners, fill=fill)
    elif kind == 1:
        brush.rectangle(corners, fill=fill)
    elif kind == 2:
        brush.polygon(g.normal(at, size, (int(g.integers(3, 9)), 2)).ravel().tolist(), fill=fill)
    else:
        way = g.normal(0, 4 * size, 2)
        brush.line(
            [*(at - way).tolist(), *(at + way).tolist()], fill=fill, width=max(1, int(size * g.uniform(0.1, 0.5)))
        )


def _rgb(g: Generator) -> tuple[int, ...]:
    return tuple((255 * draw_colour(g)).astype(int).tolist())


def _surface(g: Generator, side: int) -> Float[np.ndarray, "S S 3"]:
    """One colour with soft light, stains or leaves on it."""
    light = np.sum([noise(g, side, cells) / k for k, cells in enumerate((3, 7, 17, 40, 130), 1)], axis=0)
    tint = 1 + g.uniform(0.05, 0.5) * (1 + 0.2 * g.normal(0, 1, 3)) * light[..., None]
    return draw_colour(g) * tint


def _floor(g: Generator, side: int) -> Float[np.ndarray, "S S 3"]:
    """Tiles, planks or bare ground below a horizon, in perspective."""
    depth = 1 / np.arange(2.0, side + 2)[:, None]
    x = (np.arange(side) - side * g.uniform(0.2, 0.8)) * depth
    z, turn, scale = depth * side * g.uniform(0.3, 1.5) + 0 * x, g.uniform(-0.8, 0.8), g.uniform(1, 8)
    x, z = x * np.cos(turn) - z * np.sin(turn), x * np.sin(turn) + z * np.cos(turn)
    tiles = (np.floor(x * scale) + np.floor(z * scale)) % 2 > 0
    marked = (tiles, (x * scale) % 1 < 0.08, np.zeros_like(tiles))[g.integers(3)]
    return _surface(g, side) * np.where(marked[..., None], g.uniform(0.5, 0.95), 1.0)
