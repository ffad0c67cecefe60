"""Dressed figures: the body's mesh with clothes and hair as offsets, and loose pieces (skirt, long hair, hat).

The points of a figure keep their place on the mean body in the T-pose (`rest`: y up from the pelvis, arms along x,
metres): what is worn and painted where is decided there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.random import Generator

from humesh.body.joints import SMPL24
from humesh.body.mesh import vertex_normals
from humesh.body.model import BodyModel
from humesh.data.synthetic.poses import joints_of

SKIN, HAIR, TOP, BOTTOM, SHOES, OTHER = range(6)
"""What a point of a person shows; bottoms are trousers or skirts, the others hats."""
_J = {name: i for i, name in enumerate(SMPL24.names)}


@dataclass(frozen=True)
class Outfit:
    """Cut of clothes and hair, in metres of the mean body's T-pose."""

    sleeve: float  # x to which sleeves reach; 0: none
    hem: float  # y of the top's lower edge
    neck: float  # y of the neckline
    waist: float  # y of the upper edge of trousers or skirt
    trouser: float  # y to which trousers reach
    skirt: float | None  # y of a skirt's hem
    shoe: float  # y of the shoes' upper edge; below the sole: barefoot
    loose_top: float  # metres of air
    loose_bottom: float
    hair: float  # thickness, metres; 0: bald
    mane: float | None  # y to which long hair hangs
    brim: float  # radius of a hat's brim, 0: no hat

    @classmethod
    def draw(cls, g: Generator) -> Outfit:
        """A random outfit."""

        def one_of(*ranges: tuple[float, float, float]) -> float:
            """A number from one of some ranges (how often, least, most)."""
            _, low, high = ranges[g.choice(len(ranges), p=[share for share, *_ in ranges])]
            return float(g.uniform(low, high))

        has_skirt = g.random() < 0.16
        trouser = one_of((0.07, -0.2, -0.1), (0.25, -0.42, -0.22), (0.08, -0.7, -0.5), (0.6, -0.87, -0.78))
        hair = one_of((0.08, 0.0, 0.0), (0.5, 0.006, 0.02), (0.42, 0.02, 0.05))
        return cls(
            sleeve=one_of((0.12, 0.0, 0.0), (0.38, 0.24, 0.4), (0.1, 0.4, 0.6), (0.4, 0.62, 0.7)),
            hem=one_of((0.15, -0.4, -0.15), (0.72, -0.14, 0.0), (0.13, 0.03, 0.1)),
            neck=one_of((0.8, 0.5, 0.55), (0.2, 0.4, 0.5)),
            waist=one_of((1.0, -0.02, 0.09)),
            trouser=-0.1 if has_skirt and g.random() < 0.8 else trouser,
            skirt=one_of((1.0, -0.75, -0.2)) if has_skirt else None,
            shoe=one_of((0.12, -2.0, -2.0), (0.73, -0.87, -0.8), (0.15, -0.8, -0.5)),
            loose_top=one_of((0.7, 0.003, 0.015), (0.3, 0.015, 0.038)),
            loose_bottom=one_of((0.7, 0.003, 0.015), (0.3, 0.015, 0.038)),
            hair=hair,
            mane=one_of((1.0, 0.3, 0.56)) if hair and g.random() < 0.3 else None,
            brim=one_of((0.9, 0.0, 0.0), (0.1, 0.1, 0.22)),
        )

    def regions(self, rest: Float[np.ndarray, "R 3"]) -> Int[np.ndarray, " R"]:
        """What points of the body show, by their places."""
        x, y, _ = rest.T
        reach = np.abs(x)
        arm, head = (reach > 0.19) & (y > 0.35), (y > 0.56) & (reach < 0.13)
        region = np.full(len(rest), SKIN)
        region[(y < self.waist) & (y > self.trouser) & ~arm & (reach < 0.25)] = BOTTOM
        region[~arm & ~head & (y < self.neck) & (y > self.hem) & ((reach < 0.165) | (self.sleeve > 0))] = TOP
        region[arm & (reach < self.sleeve)] = TOP
        region[(y < self.shoe) & (reach < 0.25)] = SHOES
        region[head & (hairline(rest) > 0) & (self.hair > 0)] = HAIR
        region[head & (y > 0.725) & (self.brim > 0)] = OTHER
        return region


def hairline(rest: Float[np.ndarray, "R 3"]) -> Float[np.ndarray, " R"]:
    """How far inside the hair a place of the head is, metres (negative: face, ears, neck)."""
    x, y, z = rest.T
    front = y - 0.715 - 0.25 * np.abs(x)  # above the forehead
    back = np.minimum(0.055 - z - 0.25 * (0.7 - y), y - 0.585)  # behind the ears, down to the nape
    return np.maximum(front, back)


@dataclass(frozen=True, eq=False)
class Figure:
    """A mesh ready to be posed: rest points of the dressed person, their places on the mean body, skinning weights.

    `piece`: what the triangles of a loose piece show, SKIN for those of the body.
    """

    shaped: Float[np.ndarray, "N 3"]
    rest: Float[np.ndarray, "N 3"]
    weights: Float[np.ndarray, "N 24"]
    faces: Int[np.ndarray, "F 3"]
    piece: Int[np.ndarray, " F"]
    joints: Float[np.ndarray, "24 3"]

    def posed(self, pose: Float[np.ndarray, "24 3 3"]) -> Float[np.ndarray, "N 3"]:
        """Mesh points of a pose, metres."""
        turns, at = joints_of(pose, self.joints)
        shift = at - (turns @ self.joints[:, :, None])[..., 0]
        blend = self.weights @ np.concatenate([turns.reshape(24, 9), shift], axis=1)
        return np.einsum("nij,nj->ni", blend[:, :9].reshape(-1, 3, 3), self.shaped) + blend[:, 9:]


class Wardrobe:
    """Dresses a body model's people; holds what is the same for all of them."""

    def __init__(self, body: BodyModel) -> None:
        self.body = body
        self.rest = body.rest_vertices(torch.zeros(body.shapes)).double().numpy()
        self.weights, self.faces = body.weights.T.double().numpy(), np.asarray(body.faces)
        self.normals = vertex_normals(self.rest, self.faces)

    def dress(self, shape: Float[np.ndarray, " S"], outfit: Outfit, g: Generator) -> Figure:
        """The figure of a person of this shape in this outfit."""
        betas = torch.from_numpy(shape).float()
        moved = self.body.rest_vertices(betas).double().numpy() - self.rest
        shaped = self.rest + moved + self._thickness(outfit, g)[:, None] * self.normals
        parts = [(shaped, self.rest, self.weights, self.faces, SKIN)]
        for place, weights, faces, shows in _pieces(outfit, g):
            nearest = ((place[:, None] - self.rest) ** 2).sum(-1).argmin(1)  # a piece is carried by the skin below it
            parts.append((place + moved[nearest], place, weights, faces, shows))
        points, rests, shares, triangles, pieces = zip(*parts, strict=True)
        starts = np.cumsum([0, *map(len, points)])
        faces = np.concatenate([part + start for part, start in zip(triangles, starts[:-1], strict=True)])
        shaped, rest, weights = map(np.concatenate, (points, rests, shares))
        joints = self.body.rest_joints(betas).double().numpy()
        return Figure(shaped, rest, weights, faces, np.repeat(pieces, list(map(len, triangles))), joints)

    def _thickness(self, outfit: Outfit, g: Generator) -> Float[np.ndarray, " V"]:
        """Metres outwards of each vertex."""
        region, height = outfit.regions(self.rest), self.rest[:, 1]
        thick = np.array([0, outfit.hair, outfit.loose_top, outfit.loose_bottom, 0.01, outfit.hair + 0.01])[region]
        wide = 0.6 + 0.8 * g.random() * np.clip((outfit.waist - height) / 0.7, 0, 1)  # trousers widen downwards, or not
        thick[region == BOTTOM] *= wide[region == BOTTOM]
        thick[region == HAIR] *= np.clip(hairline(self.rest[region == HAIR]) / 0.02, 0, 1)
        return thick * (1 + 0.4 * waves(self.rest, g, 8.0))


_Piece = tuple[np.ndarray, np.ndarray, np.ndarray, int]
"""Places on the mean body (N 3), skinning weights (N 24), triangles, and what they show."""


def _pieces(o: Outfit, g: Generator) -> list[_Piece]:
    """An outfit's loose pieces, each of rings around the body."""
    down, pieces = np.linspace(0, 1, 7)[:, None], list[_Piece]()
    if o.skirt is not None:
        around = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        flare, folds = g.uniform(0, 0.2) * down, 1 + 0.06 * g.random() * down * np.sin(g.integers(4, 8) * around)
        height = o.waist + 0.02 + (o.skirt - o.waist) * down
        hips = 1 + 0.16 * np.sin(np.clip((0.08 - height) / 0.2, 0, 1) * np.pi / 2)
        place, faces = _rings(
            (0.165 * hips + flare) * folds, height, (0.125 * hips + 0.9 * flare) * folds, 0.01, around
        )
        legs, left = np.clip(-place[:, 1] / 0.2, 0, 1) * 0.9, np.clip(0.5 + place[:, 0] / 0.16, 0, 1)
        shin = np.clip((-0.42 - place[:, 1]) / 0.15, 0, 1) * 0.7
        weights = {"pelvis": 1 - legs}
        for side, share in (("left", left), ("right", 1 - left)):
            weights |= {f"{side}_hip": legs * share * (1 - shin), f"{side}_knee": legs * share * shin}
        pieces.append((place, _weights(weights), faces, BOTTOM))
    if o.mane is not None:
        free = g.uniform(0.9, 1.5)  # radians to each side of the face
        wide = 0.085 + 0.8 * o.hair + 0.03 * down
        around = np.linspace(free, 2 * np.pi - free, 14)
        height = 0.74 + (o.mane - 0.74) * down
        place, faces = _rings(wide, height, wide + 0.015, 0.035 - 0.02 * down, around, closed=False)
        low = np.clip((0.6 - place[:, 1]) / 0.15, 0, 1)
        weights = {"head": 1 - low, "spine3": low}
        pieces.append((place + 0.006 * waves(place, g, 30.0)[:, None], _weights(weights), faces, HAIR))
    if o.brim:
        radius, height = np.array([[0.085], [max(o.brim, 0.1)]]), np.array([[0.725], [0.725 - g.uniform(-0.02, 0.03)]])
        place, faces = _rings(radius, height, 1.15 * radius, 0.04, np.linspace(0, 2 * np.pi, 20, endpoint=False))
        pieces.append((place, _weights({"head": np.ones(len(place))}), faces, OTHER))
    return pieces


def _rings(
    across: Float[np.ndarray, "R _"],
    height: Float[np.ndarray, "R _"],
    deep: Float[np.ndarray, "R _"],
    z: float | Float[np.ndarray, "R 1"],
    angles: Float[np.ndarray, " A"],
    closed: bool = True,
) -> tuple[Float[np.ndarray, "N 3"], Int[np.ndarray, "F 3"]]:
    """Points of rings about the upright, by half width, height, half depth and centre, and triangles between them."""
    rows = np.broadcast_arrays(across * np.sin(angles), height + 0 * angles, z + deep * np.cos(angles))
    number = np.arange(rows[0].size).reshape(rows[0].shape)
    if closed:
        number = np.concatenate([number, number[:, :1]], axis=1)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    faces = np.stack([np.stack([a, b, c], axis=-1), np.stack([b, d, c], axis=-1)], axis=2)
    return np.stack(rows, axis=-1).reshape(-1, 3), faces.reshape(-1, 3)


def _weights(by_joint: dict[str, np.ndarray]) -> Float[np.ndarray, "N 24"]:
    weights = np.zeros((len(next(iter(by_joint.values()))), len(SMPL24)))
    for name, weight in by_joint.items():
        weights[:, _J[name]] = weight
    return weights


def waves(points: Float[np.ndarray, "N 3"], g: Generator, frequency: float) -> Float[np.ndarray, " N"]:
    """Smooth noise in about [-1, 1]: three sine waves of random directions; frequency in radians a metre."""
    directions = g.normal(0, frequency, (3, 3))
    return np.sin(points @ directions.T + g.uniform(0, 2 * np.pi, 3)).sum(1) / 3**0.5
