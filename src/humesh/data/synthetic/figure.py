"""A dressed figure: the body's mesh with clothes and hair as offsets, extra pieces (skirt, long hair, brim, bag).

The points of a figure keep their place on the mean body in the T-pose (`rest`): what is painted where is decided there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.random import Generator

from humesh.body.joints import JOINT_SETS, JOTR30, MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.data.synthetic.poses import joints_of

_J = {name: i for i, name in enumerate(SMPL24.names)}
_ENDS = JOTR30.names[len(SMPL24) :]
SKIN, HAIR, TOP, BOTTOM, SHOES, OTHER = range(6)
"""What a pixel of a person shows; bottoms are trousers or skirts, other things hats and bags."""
BODY, SKIRT, MANE, BRIM, BAG = range(5)
"""The pieces of a figure's mesh."""


@dataclass(frozen=True)
class Outfit:
    """Cut of clothes and hair, in metres of the mean body's T-pose (y up from the pelvis, arms along x)."""

    sleeve: float  # x to which sleeves reach; 0: none
    hem: float  # y of the top's lower edge
    neck: float  # y of the neckline at the side
    v_neck: float  # how far it comes down in front
    waist: float  # y of the upper edge of trousers or skirt
    trouser: float  # y to which trousers reach
    skirt: float | None  # y of a skirt's hem
    shoe: float  # y of the shoes' upper edge; below the sole: barefoot
    loose_top: float  # metres of air
    loose_bottom: float
    hair: float  # thickness, metres; 0: bald
    mane: float | None  # y to which long hair hangs
    brim: float  # radius of a hat's brim, 0: no hat with one
    cap: bool
    bag: bool
    open_front: float  # half width of an open jacket's gap
    bare: bool  # no top
    glove: bool

    @classmethod
    def draw(cls, g: Generator) -> Outfit:
        """A random outfit."""
        sleeve = float(
            g.choice([0.0, g.uniform(0.24, 0.4), g.uniform(0.4, 0.6), g.uniform(0.62, 0.7)], p=[0.12, 0.38, 0.1, 0.4])
        )
        skirt = g.random() < 0.16
        long_top = g.random() < 0.15
        trouser = float(
            g.choice(
                [g.uniform(-0.2, -0.1), g.uniform(-0.42, -0.22), g.uniform(-0.7, -0.5), g.uniform(-0.87, -0.78)],
                p=[0.07, 0.25, 0.08, 0.6],
            )
        )
        return cls(
            sleeve=sleeve,
            hem=float(
                g.uniform(-0.4, -0.15)
                if long_top
                else g.choice([g.uniform(-0.14, 0.0), g.uniform(0.03, 0.1)], p=[0.85, 0.15])
            ),
            neck=float(g.uniform(0.5, 0.55)),
            v_neck=float(max(0.0, g.normal(0.03, 0.06))),
            waist=float(g.uniform(-0.02, 0.09)),
            trouser=-0.1 if skirt and g.random() < 0.8 else trouser,
            skirt=float(g.uniform(-0.75, -0.2)) if skirt else None,
            shoe=float(g.choice([-2.0, g.uniform(-0.87, -0.8), g.uniform(-0.8, -0.5)], p=[0.12, 0.73, 0.15])),
            loose_top=float(min(abs(g.normal(0, 0.014)), 0.035) + 0.003),
            loose_bottom=float(min(abs(g.normal(0, 0.014)), 0.035) + 0.003),
            hair=float(g.choice([0.0, g.uniform(0.006, 0.02), g.uniform(0.02, 0.05)], p=[0.08, 0.5, 0.42])),
            mane=float(g.uniform(0.3, 0.56)) if g.random() < 0.3 else None,
            brim=float(g.uniform(0.13, 0.22)) if g.random() < 0.06 else 0.0,
            cap=bool(g.random() < 0.1),
            bag=bool(g.random() < 0.06),
            open_front=float(g.uniform(0.02, 0.09)) if g.random() < 0.15 else 0.0,
            bare=bool(g.random() < 0.05),
            glove=bool(g.random() < 0.04),
        )


def hairline(rest: Float[np.ndarray, "R 3"]) -> Float[np.ndarray, " R"]:
    """How far inside the hair a place of the head is, metres (negative: face, ears, neck)."""
    x, y, z = rest.T
    front = y - 0.715 - 0.25 * np.abs(x)  # above the forehead
    back = np.minimum(0.055 - z - 0.25 * (0.7 - y), y - 0.585)  # behind the ears, down to the nape
    return np.maximum(front, back)


@dataclass(frozen=True)
class Figure:
    """A mesh ready to be posed: rest points of the dressed person, their places on the mean body, skinning weights."""

    shaped: Float[np.ndarray, "N 3"]
    rest: Float[np.ndarray, "N 3"]
    weights: Float[np.ndarray, "N 24"]
    faces: Int[np.ndarray, "F 3"]
    piece: Int[np.ndarray, " F"]
    bare: Float[np.ndarray, "V 3"]  # the undressed body's surface
    joints: Float[np.ndarray, "24 3"]

    def posed(
        self, pose: Float[np.ndarray, "24 3 3"], points: Float[np.ndarray, "K V"]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mesh points (N 3), joints (24 3) and points on the undressed surface (K 3) of a pose, metres."""
        turns, at = joints_of(pose, self.joints)
        shift = at - (turns @ self.joints[:, :, None])[..., 0]
        blend = self.weights @ np.concatenate([turns.reshape(24, 9), shift], axis=1)
        turned, moved = blend[:, :9].reshape(-1, 3, 3), blend[:, 9:]
        mesh = np.einsum("nij,nj->ni", turned, self.shaped) + moved
        surface = np.einsum("nij,nj->ni", turned[: len(self.bare)], self.bare) + moved[: len(self.bare)]
        return mesh, at, points @ surface


class Wardrobe:
    """Dresses the body model's people; holds what is the same for all of them."""

    def __init__(self, body: BodyModel) -> None:
        zero = torch.zeros(body.shapes)
        self.body = body
        self.rest = body.rest_vertices(zero).numpy().astype(np.float64)
        self.joints = body.rest_joints(zero).numpy().astype(np.float64)
        self.weights = body.weights.T.numpy().astype(np.float64)
        self.faces = np.asarray(body.faces)
        self.normals = normals(self.rest, self.faces)
        self.directions = (
            body.shape_directions.numpy().reshape(body.shapes, 3, -1).transpose(0, 2, 1).astype(np.float64)
        )
        self.joint_directions = body.rest_directions.numpy().astype(np.float64)
        # JOTR30's points beyond the skeleton, from the sets that `body.points` takes them from, and MediaPipe's.
        sets = [JOINT_SETS[name] for name in body.keypoint_names]
        sources = [next(s for s in sets if name in s.names) for name in _ENDS] + [MEDIAPIPE33] * len(MEDIAPIPE33)
        rows = [
            body.get_buffer(f"regressor_{source.name}")[source.index(name)].numpy()
            for source, name in zip(sources, (*_ENDS, *MEDIAPIPE33.names), strict=True)
        ]
        self.surface_points = np.stack(rows).astype(np.float64)

    def dress(self, shape: Float[np.ndarray, " S"], outfit: Outfit, g: Generator) -> Figure:
        """The figure of a person of this shape in this outfit."""
        rest, joints = self.rest, self.joints
        bare = rest + np.einsum("s,svc->vc", shape, self.directions)
        joints = joints + np.einsum("s,sjc->jc", shape, self.joint_directions)
        shaped = bare + self._offsets(outfit, g)[:, None] * self.normals
        parts = [(shaped, rest, self.weights, self.faces, BODY)]
        pieces: list[tuple[int, _Piece]] = []
        if outfit.skirt is not None:
            pieces.append((SKIRT, _skirt(outfit, outfit.skirt, g)))
        if outfit.mane is not None and outfit.hair:
            pieces.append((MANE, _mane(outfit, outfit.mane, g)))
        if outfit.brim or outfit.cap:
            pieces.append((BRIM, _brim(outfit, g)))
        if outfit.bag:
            pieces.append((BAG, _bag(g)))
        for kind, (place, weights, faces) in pieces:
            parts.append((place + self._carry(shape, place), place, weights, faces, kind))
        starts = np.cumsum([0, *(len(p[0]) for p in parts)])[:-1]
        return Figure(
            np.concatenate([p[0] for p in parts]),
            np.concatenate([p[1] for p in parts]),
            np.concatenate([p[2] for p in parts]),
            np.concatenate([p[3] + start for p, start in zip(parts, starts, strict=True)]),
            np.concatenate([np.full(len(p[3]), p[4]) for p in parts]),
            bare,
            joints,
        )

    def _carry(self, shape: np.ndarray, place: np.ndarray) -> np.ndarray:
        """How a shape moves places near the body: as its nearest surface points do."""
        far = ((place[:, None] - self.rest[None]) ** 2).sum(-1)
        nearest = far.argmin(1)
        return np.einsum("s,svc->vc", shape, self.directions[:, nearest])

    def _offsets(self, o: Outfit, g: Generator) -> np.ndarray:
        """Metres outwards of each vertex."""
        x, y, _ = self.rest.T
        reach = np.abs(x)
        arm = (reach > 0.19) & (y > 0.35)
        lump = waves(self.rest, g, 6.0)
        head = (y > 0.57) & (reach < 0.12)
        top = ~head & np.where(arm, reach < o.sleeve + 0.01, (y > o.hem - 0.01) & (y < o.neck))
        top &= not o.bare
        leg = (y < o.waist) & ~arm & (reach < 0.25)
        bottom = leg & (y > o.trouser - 0.01)
        out = np.zeros(len(x))
        low = np.clip((o.waist - y) / 0.7, 0, 1)  # trousers widen downwards, or not
        wide = o.loose_bottom * (0.6 + 0.8 * low * g.random())
        out = np.where(bottom, np.maximum(out, wide * (1 + 0.5 * lump) + 0.002), out)
        hang = np.where(arm, 0.5 + 0.7 * np.clip((reach - 0.2) / 0.4, 0, 1), 0.5 + 0.7 * np.clip((0.4 - y) / 0.5, 0, 1))
        out = np.where(top, np.maximum(out, o.loose_top * hang * (1 + 0.5 * lump) + 0.003), out)
        shoe = (y < o.shoe) & (reach < 0.25)
        out = np.where(shoe, np.maximum(out, 0.008 + 0.003 * (y < -0.85)), out)
        inside = np.clip(hairline(self.rest) / 0.02, 0, 1) * head
        out = np.where(inside > 0, inside * (o.hair * (1 + 0.35 * waves(self.rest, g, 25.0)) + 0.01 * o.cap), out)
        return np.where((y < -0.89) & ~shoe, 0, out)


_Piece = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Places on the mean body (N 3), skinning weights (N 24), triangles."""


def _skirt(o: Outfit, hem: float, g: Generator) -> _Piece:
    rings, around = 7, 20
    t = np.linspace(0, 1, rings)[:, None]
    a = np.linspace(0, 2 * np.pi, around, endpoint=False)[None]
    y = o.waist + 0.02 + (hem - o.waist) * t + 0 * a
    flare = g.uniform(0.0, 0.2)
    folds = 1 + 0.06 * g.random() * t * np.sin(g.integers(4, 8) * a + g.uniform(0, 6))
    hips = 1 + 0.16 * np.sin(np.clip((0.08 - y) / 0.2, 0, 1) * np.pi / 2)
    across = (0.165 * hips + flare * t) * folds
    deep = (0.125 * hips + 0.9 * flare * t) * folds
    place = np.stack([across * np.cos(a), y, deep * np.sin(a) + 0.01], axis=-1).reshape(-1, 3)
    down = np.clip((0.0 - place[:, 1]) / 0.2, 0, 1) * 0.9
    left = np.clip(0.5 + place[:, 0] / 0.16, 0, 1)
    shin = np.clip((-0.42 - place[:, 1]) / 0.15, 0, 1) * 0.7
    weights = np.zeros((len(place), 24))
    weights[:, _J["pelvis"]] = 1 - down
    for side, share in (("left", left), ("right", 1 - left)):
        weights[:, _J[f"{side}_hip"]] = down * share * (1 - shin)
        weights[:, _J[f"{side}_knee"]] = down * share * shin
    return place, weights, tube(rings, around)


def _mane(o: Outfit, hem: float, g: Generator) -> _Piece:
    rings, around = 7, 14
    t = np.linspace(0, 1, rings)[:, None]
    open_front = g.uniform(0.9, 1.5)  # radians to each side of the face that stay free
    a = np.linspace(open_front, 2 * np.pi - open_front, around)[None]
    y = 0.74 + (hem - 0.74) * t + 0 * a
    wide = 0.085 + o.hair * 0.8 + 0.03 * t
    x, z = wide * np.sin(a), 0.035 + (wide + 0.015) * np.cos(a) - 0.02 * t
    place = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    place += 0.006 * waves(place, g, 30.0)[:, None]
    low = np.clip((0.6 - place[:, 1]) / 0.15, 0, 1)
    weights = np.zeros((len(place), 24))
    weights[:, _J["head"]], weights[:, _J["spine3"]] = 1 - low, low
    return place, weights, tube(rings, around, closed=False)


def _brim(o: Outfit, g: Generator) -> _Piece:
    around = 20
    a = np.linspace(0, 2 * np.pi, around, endpoint=False)
    if o.brim:
        outer = np.full(around, o.brim)
        droop = g.uniform(-0.02, 0.03)
    else:  # the peak of a cap
        outer = 0.095 + 0.09 * np.clip(np.cos(a - np.pi / 2) - 0.2, 0, 1) ** 0.5
        droop = 0.015
    circle = np.stack([np.cos(a), np.zeros(around), np.sin(a)], axis=-1)
    centre = np.array([0, 0.725, 0.04])
    inner = centre + 0.085 * circle * [1, 1, 1.2]
    place = np.concatenate([inner, centre + outer[:, None] * circle * [1, 1, 1.1] - [0, droop, 0]])
    weights = np.zeros((len(place), 24))
    weights[:, _J["head"]] = 1
    return place, weights, tube(2, around)


def _bag(g: Generator) -> _Piece:
    size = g.uniform([0.13, 0.17, 0.06], [0.18, 0.26, 0.12])
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
    place = corners * size + [0, 0.28, -0.1 - size[2]]
    weights = np.zeros((8, 24))
    weights[:, _J["spine3"]] = 1
    return place, weights, BOX


BOX = np.array([
    [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4],
    [1, 5, 7], [1, 7, 3],
])  # fmt: skip
"""Triangles of a box whose corners are ordered by x, then y, then z."""


def tube(rings: int, around: int, closed: bool = True) -> Int[np.ndarray, "F 3"]:
    """Triangles between neighbouring rings of points; a sheet where it is not closed."""
    faces = []
    for r in range(rings - 1):
        for k in range(around if closed else around - 1):
            a, b = r * around + k, r * around + (k + 1) % around
            faces += [[a, b, a + around], [b, b + around, a + around]]
    return np.array(faces)


def normals(points: Float[np.ndarray, "N 3"], faces: Int[np.ndarray, "F 3"]) -> Float[np.ndarray, "N 3"]:
    """Unit normals of the vertices, weighted by the triangles' areas."""
    corners = points[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat, count = faces.ravel(), len(points)
    sums = np.stack([np.bincount(flat, np.repeat(across[:, k], 3), count) for k in range(3)], axis=-1)
    return sums / np.maximum(np.linalg.norm(sums, axis=-1, keepdims=True), 1e-12)


def waves(points: Float[np.ndarray, "N 3"], g: Generator, frequency: float) -> Float[np.ndarray, " N"]:
    """Smooth noise in about [-1, 1]: three sine waves of random directions; frequency in radians a metre."""
    directions = g.normal(0, frequency, (3, 3))
    return np.sin(points @ directions.T + g.uniform(0, 2 * np.pi, 3)).sum(1) / 3**0.5
