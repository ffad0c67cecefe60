"""Rendered people and furniture without a background, and what is true of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from humesh.body.joints import JOTR30, MEDIAPIPE33
from humesh.body.mesh import RayCaster, vertex_normals
from humesh.body.pose import BodyPose
from humesh.data.synthetic.figure import SKIN, Figure
from humesh.data.synthetic.paint import Fabric, Lights, Look
from humesh.data.synthetic.poses import mirrored

OBJECT, REGIONS = 1, 8
"""The codes of a layer's pixels: 0 nothing, 1 furniture, and REGIONS * (1 + person) + region of the person."""
_MIRROR = [*JOTR30.mirror, *(len(JOTR30) + joint for joint in MEDIAPIPE33.mirror)]
_RADII = {
    "hip": 0.15, "pelvis": 0.18, "spine": 0.18, "collar": 0.13, "shoulder": 0.11, "neck": 0.11, "head_top": 0.07,
    "head": 0.16, "knee": 0.09, "elbow": 0.07, "wrist": 0.06, "ankle": 0.08, "hand": 0.06, "foot": 0.07, "nose": 0.05,
    "eye": 0.05, "ear": 0.05, "mouth": 0.05, "pinky": 0.05, "index": 0.05, "thumb": 0.05, "heel": 0.06,
}  # fmt: skip
"""Metres from a point of the body to the skin before it, by a word in its name."""
_CLOTHES_M = 0.03  # more, for what is worn
_ROOM = _CLOTHES_M + np.array([
    next(radius for word, radius in _RADII.items() if word in name) for name in (*JOTR30.names, *MEDIAPIPE33.names)
])  # fmt: skip
_NEAR_M = 0.05
_SPREAD = np.array([[0.25, 0.75, 0.25, 0.75], [0.25, 0.25, 0.75, 0.75]])  # x and y of the rays of pixels on an edge
_BOX = np.array([
    [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4],
    [1, 5, 7], [1, 7, 3],
])  # fmt: skip
"""Triangles of a box whose corners are ordered by x, then y, then z."""


@dataclass(frozen=True, eq=False)
class Layer:
    """Rendered people without a background, and what is true of them; all in the photo's camera frame and pixels.

    `rgb` is meaningful where `alpha` is above 0; `code` as by OBJECT and REGIONS. `points`: JOTR's 30, then
    MediaPipe's 33; `visible`: 1 where such a point is inside the photo and neither other people, furniture nor the own
    body hide it.
    """

    rgb: UInt8[np.ndarray, "H W 3"]
    alpha: UInt8[np.ndarray, "H W"]
    code: UInt8[np.ndarray, "H W"]
    camera: Float[np.ndarray, "3 3"]
    rotations: Float[np.ndarray, "P 24 3 3"]
    shape: Float[np.ndarray, "P S"]
    translation: Float[np.ndarray, "P 3"]
    points: Float[np.ndarray, "P 63 3"]
    visible: Float[np.ndarray, "P 63"]
    identity: Int[np.ndarray, " P"]

    @property
    def pixels(self) -> Float[np.ndarray, "P 63 2"]:
        """Where the points are in the photo; without meaning, but finite, behind the camera."""
        return projected(self.camera, self.points)

    def mirrored(self) -> Layer:
        """The layer in a mirror; its people, camera and pixels."""
        flip, camera = np.array([-1.0, 1.0, 1.0]), self.camera.copy()
        camera[0, 2] = self.code.shape[1] - camera[0, 2]
        return replace(
            self, rgb=self.rgb[:, ::-1], alpha=self.alpha[:, ::-1], code=self.code[:, ::-1], camera=camera,
            rotations=mirrored(self.rotations), translation=self.translation * flip,
            points=self.points[:, _MIRROR] * flip, visible=self.visible[:, _MIRROR],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that is rendered, in the camera's frame: people through T frames, furniture and lights."""

    figures: Sequence[Figure]
    looks: Sequence[Look]
    pose: BodyPose  # T P
    points: Float[torch.Tensor, "T P 63 3"]
    boxes: Float[np.ndarray, "T B 8 3"]  # the corners of furniture
    boxes_rest: Float[np.ndarray, "B 8 3"]  # in the world, where their fabrics lie
    fabrics: Sequence[Fabric]
    lights: Lights
    focal: float


def projected(camera: Float[np.ndarray, "3 3"], points: Float[np.ndarray, "*g 3"]) -> Float[np.ndarray, "*g 2"]:
    """Pixels of points; without meaning, but finite, behind the camera."""
    flat = points @ camera.T.astype(points.dtype)
    return flat[..., :2] / np.where(np.abs(flat[..., 2:]) < 1e-3, 1e-3, flat[..., 2:])


def is_inside(pixels: Float[np.ndarray, "*g 2"], size: tuple[int, int]) -> Bool[np.ndarray, "*g"]:
    """Whether pixels are in a picture of (width, height)."""
    return np.asarray(((pixels >= 0) & (pixels < size)).all(-1))


class Frame:
    """One frame of a scene in a photo of `size` x `size` pixels: what is visible, and its picture when asked for."""

    def __init__(self, scene: Scene, number: int, size: int) -> None:
        self.scene, self.size, self.pose = scene, size, scene.pose.map(lambda tensor: tensor[number].double())
        self.camera = np.array([[scene.focal, 0, size / 2], [0, scene.focal, size / 2], [0, 0, 1]])
        self.points63 = scene.points[number].double().numpy()
        boxes, (turns, _, shifts) = scene.boxes[number], (part.numpy() for part in vars(self.pose).values())
        meshes = [f.posed(turn) + shift for f, turn, shift in zip(scene.figures, turns, shifts, strict=True)]
        faces = [*(figure.faces for figure in scene.figures), *([_BOX] * len(boxes))]
        starts = np.cumsum([0, *(len(points) for points in (*meshes, *boxes))])
        self.faces = np.concatenate([part + start for part, start in zip(faces, starts[:-1], strict=True)])
        self.points = np.concatenate([*meshes, *boxes]).astype(np.float32)
        self.owner = np.repeat(np.arange(len(faces)), list(map(len, faces)))  # people, then boxes
        self.piece = np.concatenate([*(f.piece for f in scene.figures), np.full(len(_BOX) * len(boxes), SKIN)])
        rest = np.concatenate([*(figure.rest for figure in scene.figures), *scene.boxes_rest])
        self.attributes = np.concatenate([vertex_normals(self.points, self.faces), rest], axis=1).astype(np.float32)
        self.caster = RayCaster(self.points, self.faces)
        self.visible = self._sees(self.points63) & is_inside(projected(self.camera, self.points63), (size, size))

    def layer(self, identity: int) -> Layer:
        """The picture with its labels; people are numbered from `identity` on."""
        rotations, shape, translation = (part.numpy() for part in vars(self.pose).values())
        return Layer(
            *self._picture(), self.camera, rotations, shape, translation, self.points63,
            self.visible.astype(np.float64), identity + np.arange(len(shape)),
        )  # fmt: skip

    def _picture(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colours, cover and codes: one ray a pixel and several on edges."""
        rgb = np.zeros((self.size, self.size, 3), np.uint8)
        alpha, code = np.zeros_like(rgb[..., 0]), np.zeros_like(rgb[..., 0])
        low, high = np.zeros(2, int), np.full(2, self.size)
        if (self.points[:, 2] > _NEAR_M).all():
            flat = projected(self.camera, self.points)
            low, high = (np.clip(limit, 0, self.size).astype(int) for limit in (flat.min(0) - 1, flat.max(0) + 2))
        x, y = (np.arange(*limits) for limits in zip(low, high, strict=True))
        ray, light, codes = self._trace(_rays(self.camera, *np.meshgrid(x + 0.5, y + 0.5)))
        at = y[ray // len(x)], x[ray % len(x)]
        code[at], alpha[at], rgb[at] = codes, 255, _encoded(light)
        edge = np.zeros(code.shape, bool)
        for a, b in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
            differs = code[a] != code[b]
            edge[a] |= differs
            edge[b] |= differs
        y, x = np.nonzero(edge)
        ray, light, _ = self._trace(_rays(self.camera, x[:, None] + _SPREAD[0], y[:, None] + _SPREAD[1]))
        pixel = ray // _SPREAD.shape[1]
        count = np.bincount(pixel, minlength=len(x))
        total = np.stack([np.bincount(pixel, light[:, c], len(x)) for c in range(3)], axis=-1)
        alpha[edge] = np.rint(count * (255 / _SPREAD.shape[1]))
        rgb[edge] = _encoded(total / np.maximum(count, 1)[:, None])
        return rgb, alpha, code

    def _trace(self, rays: Float[np.ndarray, "R 3"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the rays that hit something: their numbers, linear light, codes."""
        hits = self.caster.cast(np.zeros_like(rays), rays)
        corners, owner, rays = self.faces[hits.face], self.owner[hits.face], rays[hits.ray]
        normal, rest = np.split(np.einsum("rkc,rk->rc", self.attributes[corners], hits.weights), 2, axis=1)
        colour, code = np.empty_like(rest), np.full(len(owner), OBJECT)
        people = len(self.scene.looks)
        for number in np.unique(owner).tolist():
            here = np.flatnonzero(owner == number)
            if number < people:
                colour[here], region = self.scene.looks[number].paint(rest[here], self.piece[hits.face[here]])
                code[here] = REGIONS * (1 + number) + region
            else:  # the sides of boxes are flat
                a, b, c = self.points[corners[here]].swapaxes(0, 1)
                normal[here] = np.cross(b - a, c - a)
                colour[here] = self.scene.fabrics[number - people].at(rest[here])
        normal /= np.sqrt(np.maximum(np.einsum("rc,rc->r", normal, normal), 1e-18))[:, None]
        normal[np.einsum("rc,rc->r", normal, rays) > 0.3] *= -1  # the inside of a sheet
        lights, lit = self.scene.lights, None
        if lights.has_shadows:
            places = rays * (hits.distance[:, None] * 0.999) + 0.012 * normal
            lit = ~self.caster.is_blocked(places, np.tile(lights.lamps[:1], (len(places), 1)))
        return hits.ray, np.square(np.clip(colour, 0, 1)) * lights.on(normal, lit), code

    def _sees(self, points: Float[np.ndarray, "P 63 3"]) -> Bool[np.ndarray, "P 63"]:
        """Whether the ray to a point ends on the person's own surface no farther before it than the limb is thick."""
        flat = points.reshape(-1, 3)
        depth = flat[:, 2]
        ahead = depth > _NEAR_M
        rays = (flat / np.where(ahead, depth, 1)[:, None]).astype(np.float32)
        hits = self.caster.cast(np.zeros_like(rays), rays)
        first, owner = np.full(len(flat), np.inf), np.full(len(flat), -1)
        first[hits.ray], owner[hits.ray] = hits.distance, self.owner[hits.face]
        room = np.tile(_ROOM, len(points)) * np.linalg.norm(flat, axis=1) / np.maximum(depth, _NEAR_M)
        is_other = owner != np.repeat(np.arange(len(points)), points.shape[1])
        hidden = (first < depth - room) | (is_other & (first < depth))
        return (ahead & ~hidden).reshape(points.shape[:2])


def _rays(camera: np.ndarray, x: Float[np.ndarray, "*g"], y: Float[np.ndarray, "*g"]) -> Float[np.ndarray, "R 3"]:
    """Directions (x, y, 1) of pixels, float32."""
    rays = np.ones((x.size, 3), np.float32)
    rays[:, 0], rays[:, 1] = (x.ravel() - camera[0, 2]) / camera[0, 0], (y.ravel() - camera[1, 2]) / camera[1, 1]
    return rays


def _encoded(light: Float[np.ndarray, "R 3"]) -> UInt8[np.ndarray, "R 3"]:
    """Linear light as bytes, with a gamma of 2: near sRGB's, and a root is ten times as fast as a power."""
    return (255 * np.sqrt(np.clip(light, 0, 1)) + 0.5).astype(np.uint8)
