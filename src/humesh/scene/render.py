"""Pictures of bodies by ray casting on the CPU: no display, no OpenGL."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import maximum_filter, minimum_filter

from humesh.body.mesh import RayCaster, vertex_normals
from humesh.geometry.camera import Camera
from humesh.scene.result import ResultError

_LIGHT_SCHEME = ("77AADD", "EE8866", "EEDD88", "44BB99", "FFAABB", "BBCC33", "99DDFF", "DDDDDD")
PALETTE = np.array([[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in _LIGHT_SCHEME])
"""Eight sRGB colours 0..1 for people: Paul Tol's "light" scheme (personal.sron.nl/~pault), made to be distinguished by
colour-blind viewers; ordered so that the first ones differ most."""

EDGE_RAYS = 16  # for each pixel on an edge
_CHUNK = 1 << 17  # rays at a time, 20 MB of them: bounds the memory for large photos, and is one thread's share
_NEAR = 1e-3  # metres; where a body reaches behind it, its box in the picture is unknown
_CONTRAST = 20  # of 255 between neighbouring pixels: above it (folds, an arm before the trunk) a pixel is an edge too
_OPEN_RAYS, _OPEN_REACH = 16, 0.25  # from each vertex, and how far (metres) something there takes light away

# Lights in the viewing camera's frame (x right, y down, z forward): directions towards them, and their strength.
_LIGHTS = (((-0.55, -0.75, -0.62), 0.78), ((0.85, -0.10, -0.45), 0.16))  # key above-left, fill from the right
_SKY, _GROUND = 0.33, 0.10  # ambient light from above and below
_RIM, _GLOSS = 0.10, 0.07


def colours(count: int) -> Float[np.ndarray, "P 3"]:
    """The colours of people, in the order of the palette, from its start again when it is used up."""
    return PALETTE[np.arange(count) % len(PALETTE)]


@dataclass(frozen=True, eq=False)
class Rendering:
    """A picture of bodies: colours with straight alpha, depth z in metres (inf: nothing), person index (-1: nobody)."""

    rgba: UInt8[np.ndarray, "H W 4"]
    depth: Float[np.ndarray, "H W"]
    person: Int[np.ndarray, "H W"]

    def over(self, background: UInt8[np.ndarray, "H W 3"], opacity: float = 1.0) -> UInt8[np.ndarray, "H W 3"]:
        """The bodies laid over a picture of the same size."""
        picture = background.copy()
        at = np.nonzero(self.rgba[..., 3])
        paint = self.rgba[at].astype(np.float32)
        cover = paint[:, 3:] * (opacity / 255)
        picture[at] = np.rint(picture[at] * (1 - cover) + paint[:, :3] * cover)
        return picture


@dataclass(frozen=True, eq=False)
class View:
    """Where a camera stands in the scene: the camera's axes as columns, its centre in metres (default: the photo's)."""

    turn: Float[np.ndarray, "3 3"]
    centre: Float[np.ndarray, "3"]

    def from_world(self, points: Float[np.ndarray, "*g 3"]) -> Float[np.ndarray, "*g 3"]:
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
        self.bodies = np.asarray(torch.as_tensor(vertices).detach().cpu(), dtype=np.float64)
        if not np.isfinite(self.bodies).all():
            raise ResultError("render: expected finite vertices (metres), got NaN or infinity; check the pose.")
        people, count = self.bodies.shape[:2]
        self.points = self.bodies.reshape(-1, 3)
        self.faces = (faces[None] + count * np.arange(people)[:, None, None]).reshape(-1, 3)
        self._faces_each = len(faces)
        self._normals = vertex_normals(self.points, self.faces).astype(np.float32)
        self._paint = np.asarray(colours, dtype=np.float32).reshape(-1, 3) ** 2.2  # light is added up linearly
        if self.faces.size:  # Embree takes no empty mesh
            self._caster = RayCaster(self.points, self.faces, robust=True)
            self.openness = self._openness()

    def render(
        self, camera: Camera, size: tuple[int, int], view: View = PHOTO_VIEW, rays: int = EDGE_RAYS
    ) -> Rendering:
        """A picture of (width, height) pixels; one ray a pixel, and `rays` (a power of 2) in pixels on an edge."""
        width, height = size
        rgba = np.zeros((height, width, 4), np.uint8)
        depth = np.full((height, width), np.inf, np.float32)
        person = np.full((height, width), -1, np.int16)
        area = self._area(camera, size, view)

        def cast(pixels: np.ndarray) -> None:
            hit, number, light, far = self._cast(camera, view, pixels[:, ::-1] + 0.5)
            at = tuple(pixels[hit].T)
            rgba[(*at, slice(3))], rgba[(*at, 3)], depth[at], person[at] = _encode(light), 255, far, number

        def smooth(pixels: np.ndarray) -> None:
            hit, _, light, _ = self._cast(camera, view, (pixels[:, None, ::-1] + spread).reshape(-1, 2))
            pixel, count = hit // rays, len(pixels)
            hits = np.bincount(pixel, minlength=count)
            total = np.stack([np.bincount(pixel, light[:, c], count) for c in range(3)], axis=-1)
            at = tuple(pixels.T)
            rgba[(*at, slice(3))] = _encode(total / np.maximum(hits, 1)[:, None])
            rgba[(*at, 3)] = np.rint(hits * (255 / rays))

        _in_threads(cast, np.argwhere(area), _CHUNK)
        if area.any():
            rows, columns, spread = np.flatnonzero(area.any(1)), np.flatnonzero(area.any(0)), _spread(rays)
            part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            edges = np.argwhere(_uneven(person[part], 0) | _uneven(rgba[(*part, 1)], _CONTRAST))
            _in_threads(smooth, edges + np.array([rows[0], columns[0]]), _CHUNK // rays)
        return Rendering(rgba, depth, person)

    def _cast(
        self, camera: Camera, view: View, pixels: Float[np.ndarray, "R 2"]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of the rays that hit: their numbers, the person hit, the light that comes back (linear RGB), the depth."""
        # What camera.rays gives, with the inverse taken once: five times as fast for many pixels.
        back = np.linalg.inv(camera.matrix.detach().cpu().numpy().astype(np.float64))
        rays = pixels @ back[:, :2].T + back[:, 2]
        rays /= rays[:, 2:]
        origins = np.ascontiguousarray(np.broadcast_to(view.centre.astype(np.float32), rays.shape))
        # Directions (x, y, 1) are left unnormalised: the distance that is counted in them is the depth z.
        hits = self._caster.cast(origins, (rays @ view.turn.T).astype(np.float32))
        corners, weights = self.faces[hits.face], hits.weights[..., None].astype(np.float32)
        normal = (self._normals[corners] * weights).sum(1) @ view.turn.astype(np.float32)
        openness = (self.openness[corners] * weights[..., 0]).sum(1, keepdims=True)
        number = hits.face // self._faces_each
        light = _shade(normal, rays[hits.ray].astype(np.float32), self._paint[number])
        return hits.ray, number, light * openness, hits.distance

    def _openness(self) -> Float[np.ndarray, " K"]:
        """How much of the surroundings each vertex sees, 0..1: folds, armpits and the soles of feet are darker."""
        k = np.arange(_OPEN_RAYS)[:, None] + 0.5
        z, angle = 1 - 2 * k / _OPEN_RAYS, k * np.pi * (3 - 5**0.5)  # the golden angle spreads points evenly
        sphere = np.concatenate([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], axis=1)
        start = self.points.astype(np.float32) + 1e-3 * self._normals  # 1 mm off, not to meet the surface again
        openness = np.zeros(len(start), np.float32)

        def cast(part: np.ndarray) -> None:
            # A unit vector plus points of the unit sphere: as many directions as a matt surface takes light from.
            rays = _unit((self._normals[part, None] + sphere.astype(np.float32)).reshape(-1, 3))
            hits = self._caster.cast(np.repeat(start[part], _OPEN_RAYS, axis=0), rays, _OPEN_REACH)
            free = np.ones(len(rays), np.float32)
            free[hits.ray] = hits.distance / _OPEN_REACH
            openness[part] = free.reshape(-1, _OPEN_RAYS).mean(1)

        _in_threads(cast, np.arange(len(start)), _CHUNK // _OPEN_RAYS)
        return openness

    def _area(self, camera: Camera, size: tuple[int, int], view: View) -> Bool[np.ndarray, "H W"]:
        """The pixels in which a body's bounding box lies; all of them where it stands in the camera's plane."""
        area = np.zeros(size[::-1], bool)
        for body in view.from_world(self.bodies):
            ahead = body[:, 2] > _NEAR
            if not ahead.any() or not self.faces.size:
                continue
            if not ahead.all():
                return np.ones(size[::-1], bool)
            flat = body @ camera.matrix.detach().cpu().double().numpy().T
            pixels = flat[:, :2] / flat[:, 2:]
            low = np.floor(pixels.min(0) - 1).clip(0, size).astype(int)  # 1 px more against rounding
            high = np.ceil(pixels.max(0) + 1).clip(0, size).astype(int)
            area[low[1] : high[1], low[0] : high[0]] = True
        return area


def _shade(
    normal: Float[np.ndarray, "R 3"], ray: Float[np.ndarray, "R 3"], paint: Float[np.ndarray, "R 3"]
) -> Float[np.ndarray, "R 3"]:
    """Light from matt surfaces towards the camera, linear RGB: sky and ground, two lamps, a little gloss and rim."""
    view, normal = -_unit(ray), _unit(normal)
    facing = _dot(normal, view)
    # Turned towards the camera where an open mesh is seen from its inside; smooth normals on an outline may point a
    # little away, and turning those would leave dark specks.
    normal = np.where(facing[:, None] < -0.4, -normal, normal)
    above = 0.5 - 0.5 * normal[:, 1]
    matt, shine = _GROUND + (_SKY - _GROUND) * above, np.zeros_like(above)
    for direction, strength in _LIGHTS:
        towards = _unit(np.array([direction], np.float32))[0]
        # Wrapped by a quarter, as from a lamp with a large soft screen.
        matt += strength * np.clip((normal @ towards + 0.25) / 1.25, 0, None)
        shine += strength * np.clip(_dot(normal, _unit(view + towards)), 0, None) ** 24
    rim = _RIM * (1 - np.clip(np.abs(facing), 0, 1)) ** 3 * above
    return paint * matt[:, None] + (_GLOSS * shine + rim)[:, None]


def _dot(a: Float[np.ndarray, "R 3"], b: Float[np.ndarray, "R 3"]) -> Float[np.ndarray, " R"]:
    return np.einsum("rc,rc->r", a, b)  # three times as fast as a sum over the short axis


def _unit(vectors: Float[np.ndarray, "R 3"]) -> Float[np.ndarray, "R 3"]:
    return vectors / np.sqrt(np.maximum(_dot(vectors, vectors), 1e-20))[:, None]


def _encode(light: Float[np.ndarray, "R 3"]) -> UInt8[np.ndarray, "R 3"]:
    """Linear light as sRGB bytes (by the power 1 / 2.2), too bright ones cut."""
    return np.rint(255 * np.clip(light, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def _spread(count: int) -> Float[np.ndarray, "R 2"]:
    """Hammersley's points in the unit square, for a power of 2: each strip of 1 / count, up and across, holds one."""
    bits = count.bit_length() - 1
    return np.array([[i + 0.5, int(f"{i:0{bits}b}"[::-1], 2) + 0.5] for i in range(count)]) / count


def _uneven(values: Int[np.ndarray, "h w"] | UInt8[np.ndarray, "h w"], step: int) -> Bool[np.ndarray, "h w"]:
    """Where the values in a pixel's 3 x 3 neighbourhood differ by more than the step."""
    return maximum_filter(values, 3, mode="nearest") - minimum_filter(values, 3, mode="nearest") > step


def _in_threads(work: Callable[[np.ndarray], None], items: np.ndarray, size: int) -> None:
    """Does the work on parts of the items on all processors: Embree and most of NumPy let go of Python's lock."""
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(work, parts))  # also raises what a part has raised
