"""Pictures to stand before: drawn ones of many kinds, and the photos of a folder."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy.random import Generator, default_rng
from PIL import Image, ImageDraw

from humesh.data.synthetic.paint import colour
from humesh.errors import HumeshError
from humesh.media.photo import Photo, PhotoError

_SIDE = 288  # px of the stored pictures' shorter side
_BANK = 160  # drawn pictures that are kept and cut anew for each photo
_CACHE = 256  # photos kept decoded
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


class BackgroundError(HumeshError, ValueError):
    """A folder of backgrounds that cannot be used; the sentence says why."""


class Backgrounds:
    """Draws background pictures; with a folder, `photos` is the share of them that are its photos."""

    def __init__(self, folder: str | Path | None = None, photos: float = 0.6) -> None:
        self.files: list[Path] = []
        self.photos = photos if folder is not None else 0.0
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
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

    def draw(self, g: Generator, size: tuple[int, int], whole: bool = True) -> UInt8[np.ndarray, "h w 3"]:
        """A random cut of a random picture, of (width, height) pixels; in its own scale if not `whole` (faster)."""
        photo = g.random() < self.photos
        number, side = int(g.integers(1 << 30)), max(size)
        picture = self._picture(number % len(self.files) if photo else -1 - number % _BANK)
        share, short = g.uniform(0.45, 1.0), min(picture.shape[:2])
        cut = min(int(short * share) + 1, short)
        if not whole and short >= side:
            cut = side
        top, left = (int(g.integers(0, length - cut + 1)) for length in picture.shape[:2])
        part = picture[top : top + cut, left : left + cut]
        if g.random() < 0.5:
            part = part[:, ::-1]
        if cut == side:
            return np.ascontiguousarray(part[: size[1], : size[0]])
        scaled = Image.fromarray(np.ascontiguousarray(part)).resize((side, side), Image.Resampling.BILINEAR)
        return np.asarray(scaled)[: size[1], : size[0]]

    def _picture(self, number: int) -> np.ndarray:
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        if number < 0:
            picture = drawn(default_rng([17, -number]), _SIDE)
        else:
            picture = self._photo(self.files[number])
        self._kept[number] = picture
        if len(self._kept) > _BANK + _CACHE:
            self._kept.popitem(last=False)
        return picture

    def _photo(self, path: Path) -> np.ndarray:
        try:
            pixels = Photo.read(path).pixels
        except PhotoError as error:
            raise BackgroundError(f"backgrounds: {error}") from None
        height, width = pixels.shape[:2]
        scale = _SIDE / min(height, width)
        if scale >= 1:
            return pixels
        small = Image.fromarray(pixels).resize((round(width * scale), round(height * scale)), Image.Resampling.BOX)
        return np.asarray(small)


def drawn(g: Generator, side: int) -> UInt8[np.ndarray, "S S 3"]:
    """A drawn picture: a room, outdoors, clutter, or nothing but light and noise."""
    kind = g.choice(["room", "outside", "clutter", "haze"], p=[0.4, 0.3, 0.2, 0.1])
    base = _haze(g, side, 0.15 if kind != "haze" else 0.5)
    image = Image.fromarray(base)
    brush = ImageDraw.Draw(image)
    if kind == "room":
        _room(image, brush, g, side)
    elif kind == "outside":
        _outside(image, brush, g, side)
    if kind == "clutter" or g.random() < 0.4:
        for _ in range(int(g.integers(5, 60 if kind == "clutter" else 12))):
            _shape(brush, g, side, g.uniform(0.02, 0.3) * side)
    grain = noise(g, side, int(g.integers(60, side)))[..., None]
    fine = np.asarray(image).astype(np.float32) * (1 + g.uniform(0.02, 0.2) * grain)
    return np.clip(fine, 0, 255).astype(np.uint8)


def noise(g: Generator, side: int, cells: int) -> np.ndarray:
    """Smooth noise in about [-1, 1] of so many cells across, S S."""
    grid = Image.fromarray(g.uniform(-1, 1, (cells, cells)).astype(np.float32))
    return np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC))


def _rgb(g: Generator) -> tuple[int, int, int]:
    r, green, b = (255 * colour(g)).astype(int).tolist()
    return r, green, b


def _haze(g: Generator, side: int, strength: float) -> np.ndarray:
    down, across = np.mgrid[0:side, 0:side].astype(np.float32) / side
    a, b = colour(g), colour(g)
    mix = np.clip((down * g.uniform(-1, 1) + across * g.uniform(-1, 1)) + 0.5, 0, 1)[..., None]
    light = np.sum([noise(g, side, cells) / k for k, cells in enumerate((3, 7, 17, 40), 1)], axis=0)
    out = (a * (1 - mix) + b * mix) * (1 + strength * light[..., None] * (1 + 0.2 * g.normal(0, 1, 3)))
    return np.clip(255 * out, 0, 255).astype(np.uint8)


def _floor(image: Image.Image, g: Generator, side: int, horizon: float) -> None:
    """Tiles or planks below a line, in perspective."""
    one, two = np.array(_rgb(g)), np.array(_rgb(g))
    two = (one * g.uniform(0.5, 0.95)) if g.random() < 0.7 else two
    rows = np.arange(int(horizon), side)
    depth = 1 / np.maximum(rows - horizon + 2, 1.0)
    x = (np.arange(side)[None] - side * g.uniform(0.2, 0.8)) * depth[:, None]
    z = depth[:, None] * side * g.uniform(0.3, 1.5) + 0 * x
    turn = g.uniform(-0.8, 0.8)
    x, z = x * np.cos(turn) - z * np.sin(turn), x * np.sin(turn) + z * np.cos(turn)
    scale = g.uniform(1, 8)
    kind = g.random()
    if kind < 0.4:
        mark = (np.floor(x * scale) + np.floor(z * scale)) % 2 > 0
    elif kind < 0.75:
        mark = (x * scale) % 1 < 0.08
    else:
        mark = np.zeros_like(x, dtype=bool)
    pixels = np.asarray(image).copy()
    pixels[int(horizon) :] = np.where(mark[..., None], two, one).astype(np.uint8)
    image.paste(Image.fromarray(pixels))


def _room(image: Image.Image, brush: ImageDraw.ImageDraw, g: Generator, side: int) -> None:
    horizon = g.uniform(0.5, 0.9) * side
    if g.random() < 0.5:
        corner = g.uniform(0, side)
        brush.rectangle((corner, 0, side, horizon), fill=_rgb(g))
    _floor(image, g, side, horizon)
    brush.rectangle((0, horizon - g.uniform(1, 6), side, horizon + 1), fill=_rgb(g))
    for _ in range(int(g.integers(1, 9))):  # pictures, windows, doors, shelves, furniture
        wide, high = g.uniform(0.06, 0.45, 2) * side
        x, y = g.uniform(-0.1, 1) * side, g.uniform(-0.1, 0.6) * side
        if g.random() < 0.5:
            y = horizon - high + g.uniform(0, 0.2) * side
        brush.rectangle((x, y, x + wide, y + high), fill=_rgb(g), outline=_rgb(g), width=int(g.integers(0, 5)))
        for k in range(int(g.integers(0, 6))):
            line = y + high * k / 6
            brush.line((x, line, x + wide, line), fill=_rgb(g), width=int(g.integers(1, 4)))
        if g.random() < 0.3:
            for k in range(12):
                brush.rectangle(
                    (x + wide * k / 12, y + 0.1 * high, x + wide * (k + 0.7) / 12, y + high * 0.9), fill=_rgb(g)
                )


def _outside(image: Image.Image, brush: ImageDraw.ImageDraw, g: Generator, side: int) -> None:
    horizon = g.uniform(0.3, 0.7) * side
    sky = np.array([g.uniform(120, 230), g.uniform(150, 235), g.uniform(190, 255)])
    rows = np.linspace(0.7, 1.1, side)[:, None, None] * sky * (1 + 0.15 * noise(g, side, 8)[..., None])
    image.paste(Image.fromarray(np.clip(rows, 0, 255).astype(np.uint8)))
    ground = np.array([[90, 120, 60], [120, 110, 95], [110, 110, 112], [190, 175, 140]])[g.integers(4)]
    for _ in range(int(g.integers(0, 8))):  # houses
        x, wide, high = g.uniform(-0.1, 1) * side, g.uniform(0.1, 0.4) * side, g.uniform(0.1, 0.7) * side
        brush.rectangle((x, horizon - high, x + wide, horizon + 5), fill=_rgb(g))
        window, step = _rgb(g), g.uniform(0.03, 0.1) * side
        for u in np.arange(x + step / 2, x + wide - step / 2, step):
            for v in np.arange(horizon - high + step / 2, horizon - step / 2, step):
                brush.rectangle((u, v, u + step / 2, v + step / 2), fill=window)
    texture = ground * (1 + 0.15 * noise(g, side, 130)[..., None] + 0.2 * noise(g, side, 20)[..., None])
    pixels = np.asarray(image).copy()
    pixels[int(horizon) :] = np.clip(texture, 0, 255).astype(np.uint8)[int(horizon) :]
    leaves = noise(g, side, 50) + 1.5 * noise(g, side, 9) - 3 * np.abs(np.arange(side)[:, None] / horizon - 0.7)
    green = np.array([g.uniform(30, 90), g.uniform(70, 130), g.uniform(20, 70)]) * (
        1 + 0.5 * noise(g, side, 120)[..., None]
    )
    mask = leaves > g.uniform(-0.5, 2)
    pixels[mask] = np.clip(green, 0, 255).astype(np.uint8)[mask]
    image.paste(Image.fromarray(pixels))


def _shape(brush: ImageDraw.ImageDraw, g: Generator, side: int, size: float) -> None:
    x, y = g.uniform(-0.1, 1.1, 2) * side
    kind = g.integers(4)
    if kind == 0:
        corners = g.normal((x, y), size, (int(g.integers(3, 7)), 2)).ravel().tolist()
        brush.polygon(corners, fill=_rgb(g))
    elif kind == 1:
        w, h = size * g.uniform(0.3, 1, 2)
        brush.ellipse((x - w, y - h, x + w, y + h), fill=_rgb(g))
    elif kind == 2:
        w, h = size * g.uniform(0.1, 1, 2)
        brush.rectangle((x - w, y - h, x + w, y + h), fill=_rgb(g), outline=_rgb(g))
    else:
        ends = g.normal((x, y), 2 * size, (2, 2)).ravel().tolist()
        brush.line(ends, fill=_rgb(g), width=max(1, int(size * g.uniform(0.02, 0.3))))
