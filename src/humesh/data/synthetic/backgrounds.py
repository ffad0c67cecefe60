"""Pictures to stand before: drawn rooms, streets and clutter, and the photos of a folder."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy.random import Generator, default_rng
from PIL import Image, ImageDraw

from humesh.data.synthetic.paint import draw_colour
from humesh.errors import HumeshError
from humesh.media.photo import Photo, PhotoError

_SIDE = 288  # px of the stored pictures' shorter side
_DRAWN = 160  # drawn pictures that are kept and cut anew for each photo
_CACHE = 256  # photos kept decoded
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


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
    """Smooth noise in about [-1, 1], of that many cells across."""
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
