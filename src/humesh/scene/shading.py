"""How surfaces look: smooth normals, and the light that a matt body sends back from a few soft lamps."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

# Lights in the viewing camera's frame (x right, y down, z forward): directions towards them, and their strength.
_LIGHTS = (((-0.55, -0.75, -0.62), 0.78), ((0.85, -0.10, -0.45), 0.16))  # key above-left, fill from the right
_SKY, _GROUND = 0.33, 0.10  # ambient light from above and below
_RIM, _GLOSS = 0.10, 0.07


def shade(
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


def encode(light: Float[np.ndarray, "R 3"]) -> UInt8[np.ndarray, "R 3"]:
    """Linear light as sRGB bytes (by the power 1 / 2.2), too bright ones cut."""
    return np.rint(255 * np.clip(light, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def hemisphere(count: int) -> Float[np.ndarray, "R 3"]:
    """Directions about +z, as many to each part of the sky as a matt surface takes light from it (cosine)."""
    ring = np.sqrt((np.arange(count) + 0.5) / count)
    angle = np.arange(count) * (np.pi * (3 - 5**0.5))  # the golden angle spreads points on a disc evenly (Vogel 1979)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), np.sqrt(1 - ring**2)], axis=-1).astype(np.float32)


def tangents(normal: Float[np.ndarray, "R 3"]) -> tuple[Float[np.ndarray, "R 3"], Float[np.ndarray, "R 3"]]:
    """Two unit vectors at right angles to each unit normal and to each other (Duff et al., JCGT 2017)."""
    x, y, z = normal.T
    sign = np.copysign(np.ones_like(z), z)
    a = -1 / (sign + z)
    b = x * y * a
    return np.stack([1 + sign * x * x * a, sign * b, -sign * x], -1), np.stack([b, sign + y * y * a, -y], -1)
