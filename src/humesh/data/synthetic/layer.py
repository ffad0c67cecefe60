"""A scene's moment rendered: the picture of its people and furniture without a background, and what is true of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from humesh.body.joints import JOTR30, MEDIAPIPE33
from humesh.data.synthetic.figure import BOX, Figure, Wardrobe, normals
from humesh.data.synthetic.paint import Fabric, Lights, Look
from humesh.data.synthetic.raycast import Caster, Hits

NOBODY, OBJECT, REGIONS = 0, 1, 8
"""The codes of a layer's pixels: nothing, furniture, and REGIONS * (1 + person) + region of the person."""

_RADII = {
    "hip": 0.15, "pelvis": 0.18, "spine": 0.18, "collar": 0.13, "shoulder": 0.11, "neck": 0.11, "head_top": 0.07,
    "head": 0.16, "knee": 0.09, "elbow": 0.07, "wrist": 0.06, "ankle": 0.08, "hand": 0.06, "foot": 0.07, "nose": 0.05,
    "eye": 0.05, "ear": 0.05, "mouth": 0.05, "pinky": 0.05, "index": 0.05, "thumb": 0.05, "heel": 0.06,
}  # fmt: skip
"""Metres from a point of the body to the skin before it, by a word in its name."""
_ROOM = np.array([
    next(radius for word, radius in _RADII.items() if word in name)
    for name in (*JOTR30.names, *MEDIAPIPE33.names)
])  # fmt: skip
_CLOTHES = 0.03  # metres more, for what is worn
_TILE = 8  # px
_EDGE = np.array([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]])  # rays of pixels on an edge


@dataclass(frozen=True)
class Layer:
    """Rendered people without a background, and what is true of them; all in the photo's camera frame and pixels.

    `rgb` is meaningful where `alpha` is above 0; `code` as by NOBODY, OBJECT and REGIONS. `visible`: 1 where a joint
    is inside the photo and neither other people, furniture nor the own body hide it. `landmarks3d`: MediaPipe's.
    """

    rgb: UInt8[np.ndarray, "H W 3"]
    alpha: UInt8[np.ndarray, "H W"]
    code: UInt8[np.ndarray, "H W"]
    camera: Float[np.ndarray, "3 3"]
    rotations: Float[np.ndarray, "P 24 3 3"]
    shape: Float[np.ndarray, "P S"]
    translation: Float[np.ndarray, "P 3"]
    points3d: Float[np.ndarray, "P 30 3"]
    visible: Float[np.ndarray, "P 30"]
    landmarks3d: Float[np.ndarray, "P 33 3"]
    landmarks_visible: Float[np.ndarray, "P 33"]
    identity: Int[np.ndarray, " P"]

    @property
    def points2d(self) -> Float[np.ndarray, "P 30 2"]:
        """Pixels of the joints; without meaning behind the camera."""
        return projected(self.camera, self.points3d)


@dataclass(frozen=True)
class Staging:
    """Everything of a scene before it is rendered: people through the frames, world to camera, lights, furniture."""

    figures: Sequence[Figure]
    looks: Sequence[Look]
    shapes: Float[np.ndarray, "P S"]
    poses: Float[np.ndarray, "T P 24 3 3"]  # world, y up
    places: Float[np.ndarray, "T P 3"]  # of the root's turning point
    turns: Float[np.ndarray, "T 3 3"]  # x_camera = turn x_world + shift
    shifts: Float[np.ndarray, "T 3"]
    focal: float
    lights: Lights
    boxes: Sequence[Float[np.ndarray, "8 3"]]
    fabrics: Sequence[Fabric]


class Shot:
    """One frame of a staging, made ready: where everything is and which joints can be seen, but no pixels yet."""

    def __init__(self, s: Staging, frame: int, size: int, wardrobe: Wardrobe) -> None:
        turned, shift = s.turns[frame], s.shifts[frame]
        meshes, joints, surface = zip(
            *(f.posed(s.poses[frame, p], wardrobe.surface_points) for p, f in enumerate(s.figures)), strict=True
        )
        place = s.places[frame]
        points = np.stack([np.concatenate([a, b]) for a, b in zip(joints, surface, strict=True)])
        self.points = (points + place[:, None]) @ turned.T + shift  # JOTR30, then MediaPipe's
        self.scene = _Scene(s, [(m + place[p]) @ turned.T + shift for p, m in enumerate(meshes)], turned, shift)
        self.camera = np.array([[s.focal, 0, size / 2], [0, s.focal, size / 2], [0, 0, 1]])
        within = inside(projected(self.camera, self.points), (size, size))
        self.visible = (self.scene.sees(self.points) & within).astype(np.float64)
        pelvis = np.stack([f.joints[0] for f in s.figures])
        self.translation = (pelvis + place) @ turned.T + shift - pelvis
        self.pose = s.poses[frame].copy()
        self.pose[:, 0] = turned @ self.pose[:, 0]
        self.shapes, self.size = s.shapes, size

    def layer(self, first_identity: int) -> Layer:
        """The picture with its labels."""
        body, landmarks = np.s_[:, : len(JOTR30)], np.s_[:, len(JOTR30) :]
        return Layer(
            *self.scene.picture(self.camera, self.size), self.camera, self.pose, self.shapes, self.translation,
            self.points[body], self.visible[body], self.points[landmarks], self.visible[landmarks],
            first_identity + np.arange(len(self.points)),
        )  # fmt: skip


def joint_depths() -> Float[np.ndarray, "63"]:
    """How far before a joint the skin and what is worn over it may lie, metres: JOTR30's, then MediaPipe's."""
    return _ROOM + _CLOTHES


def projected(camera: Float[np.ndarray, "3 3"], points: Float[np.ndarray, "*g 3"]) -> Float[np.ndarray, "*g 2"]:
    """Pixels of points; without meaning, but finite, behind the camera."""
    flat = points @ camera.T
    return flat[..., :2] / np.where(np.abs(flat[..., 2:]) < 1e-3, 1e-3, flat[..., 2:])


def near_view(
    pixels: Float[np.ndarray, "*g 2"], depth: Float[np.ndarray, "*g"], size: tuple[int, int] | np.ndarray
) -> Bool[np.ndarray, "*g"]:
    """Whether projected points say where a body is: ahead of the camera and within half a picture of the picture."""
    near = (np.abs(pixels / np.array(size) - 0.5) < 1.0).all(-1)
    return near & (depth > 0.1)


def inside(points: Float[np.ndarray, "*g 2"], size: tuple[int, int]) -> Bool[np.ndarray, "*g"]:
    """Whether pixels are in a picture of (width, height)."""
    answer: np.ndarray = np.all((points >= 0) & (points < size), axis=-1)
    return answer


class _Scene:
    """The triangles of one frame with what is needed to colour them."""

    def __init__(self, s: Staging, meshes: Sequence[np.ndarray], turned: np.ndarray, shift: np.ndarray) -> None:
        self.s = s
        boxes = [corners @ turned.T + shift for corners in s.boxes]
        starts = np.cumsum([0, *(len(points) for points in (*meshes, *boxes))])[:-1]
        parts = [*(f.faces for f in s.figures), *(BOX for _ in boxes)]
        self.faces = np.concatenate([part + start for part, start in zip(parts, starts, strict=True)])
        self.points = np.concatenate([*meshes, *boxes]).astype(np.float32)
        self.owner = np.concatenate([np.full(len(part), i) for i, part in enumerate(parts)])
        self.piece = np.concatenate([*(f.piece for f in s.figures), *(np.zeros(12, int) for _ in boxes)])
        rest = np.concatenate([*(f.rest for f in s.figures), *s.boxes])
        self.attributes = np.concatenate([normals(self.points, self.faces), rest], axis=1).astype(np.float32)
        self.flat = len(meshes)  # owners from here on are boxes, whose sides are flat
        self.caster = Caster(self.points, self.faces)

    def picture(self, camera: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colours, cover and codes."""
        rgb, alpha = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.uint8)
        code = np.zeros((size, size), np.uint8)
        pixels = np.flatnonzero(self._touched(camera, size))
        if not len(pixels):
            return rgb, alpha, code
        rays = np.ones((len(pixels), 3), np.float32)
        along = np.arange(size) + 0.5
        rays[:, 0] = ((along - camera[0, 2]) / camera[0, 0])[pixels % size]
        rays[:, 1] = ((along - camera[1, 2]) / camera[1, 1])[pixels // size]
        hits = self.caster.cast(rays)
        light, codes = self._colours(hits, rays[hits.ray])
        at = np.divmod(pixels[hits.ray], size)
        code[at], alpha[at], rgb[at] = codes, 255, _encoded(light)
        edge = np.argwhere(_edges(code))
        rays = _rays(camera, (edge[:, None, ::-1] + _EDGE).reshape(-1, 2))
        hits = self.caster.cast(rays)
        light, _ = self._colours(hits, rays[hits.ray])
        pixel = hits.ray // len(_EDGE)
        count = np.bincount(pixel, minlength=len(edge))
        total = np.stack([np.bincount(pixel, light[:, c], len(edge)) for c in range(3)], axis=-1)
        at = edge[:, 0], edge[:, 1]
        alpha[at], rgb[at] = np.rint(count * (255 / len(_EDGE))), _encoded(total / np.maximum(count, 1)[:, None])
        return rgb, alpha, code

    def _touched(self, camera: np.ndarray, size: int) -> Bool[np.ndarray, "S S"]:
        """The pixels in tiles that some triangle's bounding box touches."""
        if (self.points[:, 2] < 0.05).any():
            return np.ones((size, size), bool)
        flat = self.points @ camera.T.astype(np.float32)
        corners = (flat[:, :2] / flat[:, 2:])[self.faces]
        count = -(-size // _TILE)
        low = np.clip(np.floor((corners.min(1) - 1) / _TILE), 0, count).astype(np.int64)
        high = np.clip(np.floor((corners.max(1) + 1) / _TILE) + 1, 0, count).astype(np.int64)
        # Boxes are added up as the double sum of +1 and -1 at their corners; empty ones cancel out.
        total = np.zeros((count + 1) ** 2)
        for x, y, sign in ((low, low, 1), (high, high, 1), (low, high, -1), (high, low, -1)):
            total += sign * np.bincount(y[:, 1] * (count + 1) + x[:, 0], minlength=len(total))
        tiles = total.reshape(count + 1, count + 1).cumsum(0).cumsum(1)[:-1, :-1] > 0.5
        return tiles.repeat(_TILE, 0).repeat(_TILE, 1)[:size, :size]

    def _colours(self, hits: Hits, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Linear light and codes of hit points."""
        corners = self.faces[hits.face]
        mixed = np.einsum("rkc,rk->rc", self.attributes[corners], hits.weights.astype(np.float32))
        normal, rest = mixed[:, :3], mixed[:, 3:]
        owner, piece = self.owner[hits.face], self.piece[hits.face]
        paint, code = np.empty_like(rest), np.full(len(owner), OBJECT)
        for p, look in enumerate(self.s.looks):
            here = np.flatnonzero(owner == p)
            if len(here):
                paint[here], region = look.paint(rest[here], piece[here])
                code[here] = REGIONS * (1 + p) + region
        boxed = np.flatnonzero(owner >= self.flat)
        if len(boxed):
            triangle = self.points[corners[boxed]]
            normal[boxed] = np.cross(triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0])
            for b, fabric in enumerate(self.s.fabrics):
                here = boxed[owner[boxed] == self.flat + b]
                paint[here] = fabric.at(rest[here])
        normal /= np.sqrt(np.maximum(np.einsum("rc,rc->r", normal, normal), 1e-18))[:, None]
        facing = np.einsum("rc,rc->r", normal, rays)
        normal[facing > 0.3] *= -1  # the inside of a sheet
        shadow = None
        lights = self.s.lights
        if lights.hard:
            places = rays * (hits.far[:, None] * 0.999) + 0.012 * normal
            shadow = 1 - self.caster.blocked(places, lights.lamps[0]).astype(np.float32)
        return np.square(np.clip(paint, 0, 1)) * lights.on(normal, shadow), code

    def sees(self, points: Float[np.ndarray, "P 63 3"]) -> Bool[np.ndarray, "P 63"]:
        """Whether the ray to a joint ends on the person's own surface no farther before it than the limb is thick."""
        flat = points.reshape(-1, 3)
        ahead = flat[:, 2] > 0.05
        hits = self.caster.cast(flat / np.where(ahead, flat[:, 2], 1)[:, None])
        first, owner = np.full(len(flat), np.inf), np.full(len(flat), -1)
        first[hits.ray], owner[hits.ray] = hits.far, self.owner[hits.face]
        mine = np.repeat(np.arange(len(points)), points.shape[1])
        room = np.tile(joint_depths(), len(points)) * np.linalg.norm(flat, axis=1) / np.maximum(flat[:, 2], 0.05)
        hidden = (first < flat[:, 2] - room) | ((owner != mine) & (first < flat[:, 2]))
        return (ahead & ~hidden).reshape(points.shape[:2])


def _encoded(light: Float[np.ndarray, "R 3"]) -> UInt8[np.ndarray, "R 3"]:
    """Linear light as bytes, with a gamma of 2: near sRGB's, and a root is ten times as fast as a power."""
    return (255 * np.sqrt(np.clip(light, 0, 1)) + 0.5).astype(np.uint8)


def _rays(camera: Float[np.ndarray, "3 3"], pixels: Float[np.ndarray, "R 2"]) -> Float[np.ndarray, "R 3"]:
    """Directions (x, y, 1) of pixels, float32."""
    rays = np.ones((len(pixels), 3), np.float32)
    rays[:, :2] = (pixels - camera[:2, 2]) / camera[[0, 1], [0, 1]]
    return rays


def _edges(code: UInt8[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Pixels that differ from a neighbour."""
    edge = np.zeros(code.shape, bool)
    for a, b in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differ = code[a] != code[b]
        edge[a] |= differ
        edge[b] |= differ
    return edge
