"""Pictures of bodies by ray casting on the CPU: no display, no OpenGL.

Embree is called directly, not through trimesh: its own hit coordinates give depth and smooth normals without a second
intersection in NumPy (which is what trimesh's wrapper does), and its rays may keep the length that makes depth z.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from humesh.body.mesh import RayCaster, vertex_normals
from humesh.geometry.camera import Camera
from humesh.scene.result import ResultError
from humesh.scene.shading import encode, hemisphere, shade, tangents

_TILE = 8  # px; rays are cast in tiles that a triangle's bounding box touches
_CHUNK = 1 << 17  # rays at a time, 20 MB of them: bounds the memory for large photos, and is one thread's share
_NEAR = 1e-3  # metres; triangles that reach behind it have no bounding box in the picture
_CONTRAST = 20  # of 255 between neighbouring pixels: above it (folds, an arm before the trunk) a pixel is an edge too
EDGE_RAYS = 16  # for each pixel on an edge
_OPEN_RAYS, _OPEN_REACH = 16, 0.25  # from each vertex, and how far (metres) something there takes light away


@dataclass(frozen=True)
class Rendering:
    """A picture of bodies: colours with straight alpha, depth z in metres (inf: nothing), person index (-1: nobody)."""

    rgba: UInt8[np.ndarray, "H W 4"]
    depth: Float[np.ndarray, "H W"]
    person: Int[np.ndarray, "H W"]

    def over(self, background: UInt8[np.ndarray, "H W 3"], opacity: float = 1.0) -> UInt8[np.ndarray, "H W 3"]:
        """The bodies laid over a picture of the same size."""
        picture = background.copy()
        rows, columns = np.nonzero(self.rgba[..., 3])
        for part in _parts(len(rows)):
            at = rows[part], columns[part]
            paint = self.rgba[at].astype(np.float32)
            cover = paint[:, 3:] * (opacity / 255)
            picture[at] = np.rint(picture[at] * (1 - cover) + paint[:, :3] * cover)
        return picture


@dataclass(frozen=True)
class View:
    """Where a camera stands in the scene: the camera's axes as columns, its centre in metres (default: the photo's)."""

    turn: Float[np.ndarray, "3 3"]
    centre: Float[np.ndarray, "3"]

    def seen(self, points: Float[np.ndarray, "*g 3"]) -> Float[np.ndarray, "*g 3"]:
        """Points of the scene in the camera's frame."""
        return (points - self.centre) @ self.turn


PHOTO_VIEW = View(np.eye(3), np.zeros(3))


class Stage:
    """Bodies made ready once (search tree, normals) to be rendered from any number of cameras.

    Vertices in metres, camera frame; a colour for each person, sRGB 0..1.
    """

    def __init__(
        self,
        vertices: Float[np.ndarray, "P V 3"] | Float[torch.Tensor, "P V 3"],
        faces: Int[np.ndarray, "F 3"],
        colours: Float[np.ndarray, "P 3"],
    ) -> None:
        points = np.asarray(torch.as_tensor(vertices).detach().cpu(), dtype=np.float64).reshape(-1, 3)
        if not np.isfinite(points).all():
            raise ResultError(
                "render: expected finite vertices (metres), got NaN or infinity; check the recovered pose."
            )
        people, count = len(vertices), vertices.shape[1]
        self.points = points
        self.faces = (faces[None] + count * np.arange(people)[:, None, None]).reshape(-1, 3)
        self.faces_each = len(faces)
        self.normals = vertex_normals(points, self.faces).astype(np.float32)
        self.paint = np.asarray(colours, dtype=np.float32).reshape(-1, 3) ** 2.2  # light is added up linearly
        self.caster: RayCaster | None = None  # Embree takes no empty mesh
        if self.faces.size:
            self.caster = RayCaster(points, self.faces, robust=True)
            self.openness = self._openness()

    def render(
        self, camera: Camera, size: tuple[int, int], view: View = PHOTO_VIEW, rays: int = EDGE_RAYS
    ) -> Rendering:
        """A picture of (width, height) pixels; one ray a pixel, and `rays` (a power of 2) in pixels on an edge."""
        width, height = size
        rgba = np.zeros((height, width, 4), np.uint8)
        depth = np.full((height, width), np.inf, np.float32)
        person = np.full((height, width), -1, np.int16)
        tiles = np.argwhere(self._touched(camera, size, view))
        if len(tiles):
            self._first_pass(camera, view, tiles, rgba, depth, person)
            self._edges(camera, view, tiles, _spread(rays), rgba, person)
        return Rendering(rgba, depth, person)

    def _first_pass(
        self, camera: Camera, view: View, tiles: np.ndarray, rgba: np.ndarray, depth: np.ndarray, person: np.ndarray
    ) -> None:
        """Fills the pictures from the rays through the centres of the tiles' pixels."""
        inside = np.stack(np.divmod(np.arange(_TILE**2), _TILE), axis=-1)

        def cast(part: slice) -> None:
            pixels = (tiles[part, None] * _TILE + inside).reshape(-1, 2)
            pixels = pixels[(pixels < person.shape).all(-1)]
            hit, who, light, far = self._cast(camera, view, pixels[:, ::-1] + 0.5)
            at = tuple(pixels[hit].T)
            rgba[(*at, slice(3))], rgba[(*at, 3)], depth[at], person[at] = encode(light), 255, far, who

        _in_threads(cast, _parts(len(tiles), _CHUNK // _TILE**2))

    def _edges(
        self, camera: Camera, view: View, tiles: np.ndarray, spread: np.ndarray, rgba: np.ndarray, person: np.ndarray
    ) -> None:
        """Replaces colour and cover of the pixels on silhouettes, person boundaries and strong contrasts."""
        (top, left), (bottom, right) = tiles.min(0) * _TILE, (tiles.max(0) + 1) * _TILE
        window = slice(top, bottom), slice(left, right)
        edge = _uneven(person[window], 0) | _uneven(rgba[(*window, 1)].astype(np.int16), _CONTRAST)
        pixels = np.argwhere(edge) + np.array([top, left])

        def cast(part: slice) -> None:
            rays = (pixels[part, None, ::-1] + spread).reshape(-1, 2)
            hit, _, light, _ = self._cast(camera, view, rays)
            pixel, count = hit // len(spread), len(pixels[part])
            hits = np.bincount(pixel, minlength=count)
            total = np.stack([np.bincount(pixel, light[:, c], count) for c in range(3)], axis=-1)
            at = tuple(pixels[part].T)
            rgba[(*at, slice(3))] = encode(total / np.maximum(hits, 1)[:, None])
            rgba[(*at, 3)] = np.rint(hits * (255 / len(spread)))

        _in_threads(cast, _parts(len(pixels), _CHUNK // len(spread)))

    def _cast(
        self, camera: Camera, view: View, pixels: Float[np.ndarray, "R 2"]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of the rays that hit: their numbers, the person hit, the light that comes back (linear RGB), the depth."""
        # What camera.rays gives, with the inverse taken once: five times as fast for many pixels.
        back = np.linalg.inv(camera.matrix.detach().cpu().numpy().astype(np.float64))
        rays = pixels @ back[:, :2].T + back[:, 2]
        rays /= rays[:, 2:]
        assert self.caster is not None  # without faces no tile is touched
        origin = np.broadcast_to(view.centre.astype(np.float32), rays.shape)
        # Directions (x, y, 1) are left unnormalised: the distance that Embree counts in them is the depth z.
        hits = self.caster.cast(np.ascontiguousarray(origin), (rays @ view.turn.T).astype(np.float32))
        corners, (u, v, w) = self.faces[hits.face].T, hits.weights.T[..., None]
        a, b, c = self.normals[corners]
        normal = a * u + b * v + c * w
        who = hits.face // self.faces_each
        light = shade(normal @ view.turn.astype(np.float32), rays[hits.ray].astype(np.float32), self.paint[who])
        a, b, c = self.openness[corners, None]
        return hits.ray, who, light * (a * u + b * v + c * w), hits.distance

    def _openness(self) -> Float[np.ndarray, " K"]:
        """How much of the surroundings each vertex sees, 0..1: folds, armpits and the soles of feet are darker."""
        caster = self.caster
        assert caster is not None
        directions = hemisphere(_OPEN_RAYS)
        across, along = tangents(self.normals)
        start = self.points.astype(np.float32) + 1e-3 * self.normals  # 1 mm off the surface, not to meet it again
        open_part = np.zeros(len(start), np.float32)

        def cast(part: slice) -> None:
            frames = np.stack([across[part], along[part], self.normals[part]], axis=1)  # vertices, axes, 3
            rays = (directions @ frames).reshape(-1, 3)
            origins = np.repeat(start[part], _OPEN_RAYS, axis=0)
            hits = caster.cast(origins, rays, _OPEN_REACH)
            free = np.ones(len(rays))
            free[hits.ray] = hits.distance / _OPEN_REACH
            open_part[part] = free.reshape(-1, _OPEN_RAYS).mean(1)

        _in_threads(cast, _parts(len(start), _CHUNK // _OPEN_RAYS))
        return open_part

    def _touched(self, camera: Camera, size: tuple[int, int], view: View) -> Bool[np.ndarray, "h w"]:
        """The tiles of the picture that some triangle's bounding box touches."""
        columns, rows = (-(-length // _TILE) for length in size)
        seen = view.seen(self.points)
        # camera.project in NumPy: torch's threads take longer to wake up than this to do.
        flat = np.where(seen[:, 2:] > _NEAR, seen, (0.0, 0.0, 1.0)) @ camera.matrix.detach().cpu().double().numpy().T
        pixels = flat[:, :2] / flat[:, 2:]
        behind = (seen[:, 2] <= _NEAR)[self.faces].sum(-1)
        if ((behind > 0) & (behind < 3)).any():  # somebody stands in the camera's plane
            return np.ones((rows, columns), bool)
        corners = pixels[self.faces[behind == 0]]  # F 3 2
        limit = np.array([columns, rows])
        low = np.floor((corners.min(1) - 1) / _TILE).clip(-1, limit).astype(int)  # 1 px more against rounding
        high = np.floor((corners.max(1) + 1) / _TILE).clip(-1, limit).astype(int)
        there = ((high >= 0) & (low < limit)).all(-1)
        low, high = low[there].clip(0), high[there].clip(None, limit - 1) + 1
        # Boxes are added up as the double sum of +1 and -1 at their corners.
        count = np.zeros((rows + 1) * (columns + 1))
        for x, y, sign in ((low, low, 1), (high, low, -1), (low, high, -1), (high, high, 1)):
            count += sign * np.bincount(y[:, 1] * (columns + 1) + x[:, 0], minlength=len(count))
        return count.reshape(rows + 1, columns + 1).cumsum(0).cumsum(1)[:-1, :-1] > 0.5


def _spread(count: int) -> Float[np.ndarray, "R 2"]:
    """Hammersley's points in the unit square, for a power of 2: each strip of 1 / count, up and across, holds one."""
    bits = count.bit_length() - 1
    return np.array([[i + 0.5, int(f"{i:0{bits}b}"[::-1], 2) + 0.5] for i in range(count)]) / count


def _uneven(values: Int[np.ndarray, "h w"], step: int) -> Bool[np.ndarray, "h w"]:
    """Where the values in a pixel's 3 x 3 neighbourhood differ by more than the step."""
    high = low = np.pad(values, 1, mode="edge")
    high = np.maximum(np.maximum(high[:-2], high[1:-1]), high[2:])
    low = np.minimum(np.minimum(low[:-2], low[1:-1]), low[2:])
    high = np.maximum(np.maximum(high[:, :-2], high[:, 1:-1]), high[:, 2:])
    low = np.minimum(np.minimum(low[:, :-2], low[:, 1:-1]), low[:, 2:])
    return high - low > step


def _parts(count: int, size: int = _CHUNK) -> list[slice]:
    """The range of `count` things cut into slices of at most `size`."""
    return [slice(start, start + size) for start in range(0, count, size)]


def _in_threads(work: Callable[[slice], None], parts: list[slice]) -> None:
    """Does the work of all parts on all processors: Embree and most of NumPy let go of Python's lock."""
    if len(parts) == 1:
        return work(parts[0])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(work, parts):  # also raises what a part has raised
            pass
