"""The colours of people: skin, hair, face, clothes and their patterns, decided at each point seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.random import Generator

from humesh.data.synthetic.figure import (
    BAG,
    BODY,
    BOTTOM,
    BRIM,
    HAIR,
    MANE,
    OTHER,
    SHOES,
    SKIN,
    SKIRT,
    TOP,
    Outfit,
    hairline,
)

_SKINS = np.array([
    [255, 222, 200], [241, 194, 165], [224, 172, 135], [198, 140, 100], [160, 105, 70], [120, 76, 50], [85, 53, 36],
    [56, 36, 27],
]) / 255  # sRGB, from the lightest to the darkest skin of the Fitzpatrick and Monk scales  # fmt: skip
_HAIRS = np.array([
    [20, 16, 14], [35, 25, 20], [60, 40, 28], [95, 62, 38], [140, 98, 55], [205, 170, 110], [120, 50, 30],
    [150, 150, 150], [225, 222, 215],
]) / 255  # fmt: skip


@dataclass(frozen=True)
class Fabric:
    """Two colours (sRGB 0..1) in a pattern over the places of the T-pose."""

    one: Float[np.ndarray, "3"]
    two: Float[np.ndarray, "3"]
    kind: str
    axis: Float[np.ndarray, "3 3"]  # directions times radians a metre
    phase: Float[np.ndarray, "3"]
    share: float

    @classmethod
    def draw(cls, g: Generator) -> Fabric:
        """A random fabric: half of them plain."""
        kind = str(g.choice(["plain", "stripes", "bars", "checks", "blobs", "camouflage", "logo"],
                            p=[0.5, 0.1, 0.08, 0.08, 0.08, 0.04, 0.12]))  # fmt: skip
        frequency = g.uniform(40, 260) if kind != "camouflage" else g.uniform(20, 60)
        axis = g.normal(0, 0.6 * frequency, (3, 3))
        if kind in ("stripes", "bars", "checks"):
            tilt = g.choice([0.0, 0.0, g.uniform(-1, 1)])
            axis = frequency * np.array([[np.sin(tilt), np.cos(tilt), 0], [np.cos(tilt), -np.sin(tilt), 0], [0, 0, 1]])
        return cls(colour(g), colour(g), kind, axis, g.uniform(0, 6.3, 3), float(g.uniform(-0.5, 0.7)))

    def at(self, place: Float[np.ndarray, "R 3"]) -> Float[np.ndarray, "R 3"]:
        """Its colour at places of the T-pose."""
        if self.kind == "plain":
            return np.broadcast_to(self.one, place.shape)
        if self.kind == "logo":
            x, y, z = (place - [0.0, 0.33, 0]).T
            mark = (z > 0) & (((x / 0.09) ** 2 + (y / 0.06) ** 2 < 1) ^ (np.abs(x * 0.7 + y) < 0.02))
        else:
            a, b, c = np.sin(place @ self.axis.T.astype(np.float32) + self.phase.astype(np.float32)).T
            mark = {
                "stripes": a > self.share,
                "bars": b > self.share,
                "checks": (a > 0) ^ (b > 0),
                "blobs": a + b + c > 1 + self.share,
                "camouflage": a + b * c > 0.3 * self.share,
            }[self.kind]
        return np.stack([self.one, self.two]).astype(np.float32)[mark.astype(np.int8)]


def colour(g: Generator) -> Float[np.ndarray, "3"]:
    """A colour as things have them, sRGB 0..1: often grey, black, white or blue."""
    kind = g.random()
    if kind < 0.35:
        return np.clip(np.full(3, g.beta(0.8, 0.8)) + g.normal(0, 0.02, 3), 0.02, 0.98)
    if kind < 0.5:  # denim and navy
        return np.clip(np.array([0.25, 0.33, 0.48]) * g.uniform(0.3, 1.7) + g.normal(0, 0.03, 3), 0.02, 0.98)
    value, saturation, hue = g.uniform(0.15, 0.95), g.beta(1.5, 1.5), g.uniform(0, 6.3)
    wave = 0.5 + 0.5 * np.cos(hue + np.array([0.0, 2.1, 4.2]))
    return np.clip(value * (1 - saturation * wave), 0.02, 0.98)


@dataclass(frozen=True)
class Look:
    """All the colours of one person."""

    outfit: Outfit
    skin: Float[np.ndarray, "3"]
    hair: Float[np.ndarray, "3"]
    top: Fabric
    inner: Float[np.ndarray, "3"]  # under an open jacket
    bottom: Fabric
    shoes: Float[np.ndarray, "3"]
    other: Fabric
    beard: bool
    glasses: bool
    folds: Float[np.ndarray, "4 3"]  # wave vectors of wrinkles, radians a metre

    @classmethod
    def draw(cls, g: Generator) -> Look:
        """A random person's."""
        tone = g.uniform(0, len(_SKINS) - 1)
        skin = _between(_SKINS, tone) * (1 + g.normal(0, 0.04, 3))
        dark = tone > 3.5
        hair = _HAIRS[g.integers(3) if dark and g.random() < 0.85 else g.integers(len(_HAIRS))]
        if g.random() < 0.04:
            hair = colour(g)
        top = Fabric.draw(g)
        return cls(
            Outfit.draw(g),
            np.clip(skin, 0.03, 1),
            np.clip(hair * g.uniform(0.7, 1.25), 0.02, 1),
            top,
            colour(g),
            top if g.random() < 0.15 else Fabric.draw(g),
            colour(g),
            Fabric.draw(g),
            bool(g.random() < 0.2),
            bool(g.random() < 0.15),
            g.normal(0, 40.0, (4, 3)),
        )

    def paint(
        self, place: Float[np.ndarray, "R 3"], piece: Int[np.ndarray, " R"]
    ) -> tuple[Float[np.ndarray, "R 3"], Int[np.ndarray, " R"]]:
        """Colours (sRGB 0..1) and regions of points, by their places in the T-pose and their pieces of the mesh."""
        o = self.outfit
        x, y, z = place.T
        reach = np.abs(x)
        body = piece == BODY
        region = np.zeros(len(x), dtype=np.int64)
        arm = (reach > 0.19) & (y > 0.35)
        head = (y > 0.56) & (reach < 0.13) & body
        below = y < o.neck - o.v_neck * np.clip(1 - reach / 0.08, 0, 1) * (z > 0.02)
        trunk = body & ~arm & ~head & (y > -0.45)
        region[body & (y < o.waist) & (y > o.trouser) & (reach < 0.25)] = BOTTOM
        if not o.bare:
            region[trunk & below & (y > o.hem) & ((reach < 0.165) | (o.sleeve > 0))] = TOP
            region[body & arm & (reach < o.sleeve)] = TOP
        if o.glove:
            region[body & (reach > 0.66)] = OTHER
        region[body & (y < o.shoe) & (reach < 0.25)] = SHOES
        if o.hair:
            region[head & (hairline(place) > 0)] = HAIR
        if o.cap or o.brim:
            region[head & (y > 0.725 + 0.1 * np.clip(z - 0.05, -0.05, 0.05))] = OTHER
        for kind, what in ((SKIRT, BOTTOM), (MANE, HAIR), (BRIM, OTHER), (BAG, OTHER)):
            region[piece == kind] = what
        colours = np.empty((len(x), 3), np.float32)
        colours[:] = self.skin
        for what, fabric in ((TOP, self.top), (BOTTOM, self.bottom), (OTHER, self.other)):
            here = region == what
            if here.any():
                colours[here] = fabric.at(place[here])
        colours[region == HAIR] = self.hair
        colours[region == SHOES] = self.shoes
        if o.shoe > -1:
            colours[(region == SHOES) & (y < -0.89)] = self.inner  # soles
        if o.open_front:
            colours[(region == TOP) & (reach < o.open_front) & (z > 0) & body] = self.inner
        face = np.flatnonzero(head & (z > 0.05) & (region == SKIN))
        colours[face] = self._face(place[face], colours[face])
        wrinkles = np.sin(place @ self.folds.T.astype(np.float32) + 1).sum(1)
        amount = np.array([0.01, 0.05, 0.04, 0.04, 0.02, 0.03], np.float32)[region]
        return colours * (1 + amount * wrinkles)[:, None], region

    def _face(self, place: np.ndarray, skin: np.ndarray) -> np.ndarray:
        """Eyes, brows, mouth, beard, glasses at the places of the open body's face."""
        x, y, _ = place.T
        reach = np.abs(x)
        out = skin.copy()
        if self.beard:
            out[(y < 0.63) & ((y < 0.605) | (reach > 0.025))] = self.hair * 0.9 + skin[:1] * 0.1
        out[((reach - 0.03) / 0.016) ** 2 + ((y - 0.687) / 0.008) ** 2 < 1] = 0.85
        out[((reach - 0.03) / 0.0075) ** 2 + ((y - 0.687) / 0.0075) ** 2 < 1] = 0.08
        out[(np.abs(reach - 0.032) < 0.02) & (np.abs(y - 0.706) < 0.004)] = self.hair * 0.7
        out[(reach / 0.024) ** 2 + ((y - 0.614) / 0.009) ** 2 < 1] *= np.array([0.85, 0.55, 0.55])
        out[(np.abs(reach - 0.009) < 0.005) & (np.abs(y - 0.643) < 0.004)] *= 0.5
        if self.glasses:
            ring = ((reach - 0.033) / 0.024) ** 2 + ((y - 0.685) / 0.019) ** 2
            out[(ring < 1.25) & (ring > 0.75)] = 0.1
        return out


def _between(table: np.ndarray, position: float) -> np.ndarray:
    low = min(int(position), len(table) - 2)
    return table[low] + (table[low + 1] - table[low]) * (position - low)


@dataclass(frozen=True)
class Lights:
    """A sky and a ground that shine softly, and lamps; directions towards them in the camera's frame, linear RGB."""

    up: Float[np.ndarray, "3"]
    sky: Float[np.ndarray, "3"]
    ground: Float[np.ndarray, "3"]
    lamps: Float[np.ndarray, "L 3"]
    strengths: Float[np.ndarray, "L 3"]
    wrap: float
    hard: bool  # whether the first lamp casts shadows

    @classmethod
    def draw(cls, up: Float[np.ndarray, "3"], g: Generator) -> Lights:
        """Random lights: mostly one strong lamp above and one or two weaker ones."""
        count = int(g.integers(1, 4))
        directions = g.normal(0, 1, (count, 3)) + up * g.uniform(0, 2, (count, 1)) + [0, 0, -0.6]
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        warmth = g.normal(0, 0.12, (count, 1)) * np.array([1.0, 0.1, -1.0])
        strengths = g.uniform(0.2, 1.0, (count, 1)) * np.array([[1.0], [0.45], [0.3]])[:count] * (1 + warmth)
        ambient = g.uniform(0.15, 0.7)
        tint = 1 + g.normal(0, 0.06, 3)
        return cls(
            up, ambient * tint, ambient * g.uniform(0.2, 0.8) * tint, directions, strengths,
            float(g.uniform(0, 0.5)), bool(g.random() < 0.5),
        )  # fmt: skip

    def on(
        self, normal: Float[np.ndarray, "R 3"], shadow: Float[np.ndarray, " R"] | None = None
    ) -> Float[np.ndarray, "R 3"]:
        """Light that falls on surfaces, linear RGB; `shadow`: 0 where the first lamp is hidden."""
        above = (0.5 + 0.5 * (normal @ self.up.astype(np.float32)))[:, None]
        light = (self.ground + (self.sky - self.ground) * above).astype(np.float32)
        for i, (direction, strength) in enumerate(zip(self.lamps, self.strengths, strict=True)):
            share = np.clip((normal @ direction.astype(np.float32) + self.wrap) / (1 + self.wrap), 0, None)
            if i == 0 and shadow is not None:
                share = share * shadow
            light += share[:, None].astype(np.float32) * strength.astype(np.float32)
        return light
