"""Where people stand, the camera that sees them, and furniture around them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from humesh.body.joints import JOTR30
from humesh.data.synthetic.poses import turn

TO_CAMERA = np.diag([1.0, -1.0, -1.0])  # a camera that looks along the world's -z, at people who face +z

_LIMBS = {
    "full": JOTR30.names,
    "knees": tuple(n for n in JOTR30.names if "ankle" not in n and "foot" not in n),
    "waist": tuple(n for n in JOTR30.names if not any(w in n for w in ("ankle", "foot", "knee", "hand"))),
    "chest": tuple(
        n for n in JOTR30.names if any(w in n for w in ("shoulder", "spine3", "eye", "ear", "head", "collar"))
    ),
    "legs": tuple(n for n in JOTR30.names if any(w in n for w in ("pelvis", "hip", "knee", "ankle", "foot"))),
}
FRAMINGS = {name: JOTR30.indices(*names) for name, names in _LIMBS.items()}


def draw_focal(size: int, g: Generator) -> float:
    """Focal length in pixels of a photo of this side: 25 to 90 degrees, most like those of phones."""
    degrees = g.uniform(25, 90) if g.random() < 0.5 else np.clip(g.normal(58, 10), 25, 90)
    return float(size / 2 / np.tan(np.radians(degrees) / 2))


def draw_turn(g: Generator) -> Float[np.ndarray, "3 3"]:
    """World to camera: mostly level, now and then from high above, from below or rolled."""
    pitch = np.radians(g.normal(6, 10) if g.random() < 0.8 else g.uniform(-40, 70))
    roll = np.radians(g.normal(0, 3) if g.random() < 0.88 else g.normal(0, 25))
    return turn("z", roll) @ turn("x", pitch) @ TO_CAMERA


def draw_framing(g: Generator, crowd: bool) -> tuple[str, float]:
    """Which part of a person is in the photo and how much of its side that part fills."""
    if crowd:
        return "full", float(g.uniform(0.6, 1.1))
    part = str(g.choice(["full", "knees", "waist", "chest", "legs"], p=[0.58, 0.14, 0.17, 0.08, 0.03]))
    fill = g.uniform(0.65, 0.98) if g.random() < 0.75 else g.uniform(0.3, 0.65)
    return part, float(fill if part == "full" else g.uniform(0.6, 1.1))


def place_camera(
    points: Float[np.ndarray, "P 30 3"],
    nearest: Float[np.ndarray, "N 3"],
    turned: Float[np.ndarray, "3 3"],
    focal: float,
    size: int,
    g: Generator,
) -> Float[np.ndarray, "3"]:
    """The shift t of x_camera = R x_world + t with which the wanted part of the people fills the photo.

    `nearest`: all of the surface, none of which may touch the camera.
    """
    part, fill = draw_framing(g, len(points) > 1)
    wanted = points if len(points) == 1 or g.random() < 0.7 else points[:1]
    seen = wanted[:, FRAMINGS[part]].reshape(-1, 3) @ turned.T
    middle = (seen.min(0) + seen.max(0)) / 2
    seen = seen - middle
    closest = 0.3 - float((nearest @ turned.T - middle)[:, 2].min())
    distance = max(3.0, closest)
    for _ in range(5):
        flat = focal * seen[:, :2] / np.maximum(seen[:, 2:] + distance, 0.1)
        span = float((flat.max(0) - flat.min(0)).max())
        distance = max(distance * max(span, 1.0) / (fill * size), closest)
    off = g.normal(0, (0.08, 0.04), 2) * size * (1 if g.random() < 0.85 else 3)  # heads are seldom cut off
    off = np.clip(off, -0.3 * size, 0.3 * size)
    return np.array([off[0] * distance / focal, off[1] * distance / focal, distance]) - middle


def box(low: Float[np.ndarray, "3"], high: Float[np.ndarray, "3"], yaw: float) -> Float[np.ndarray, "8 3"]:
    """Corners of an upright box, ordered by x, y, z, turned about its middle."""
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    middle = (low + high) / 2
    return (corners - middle) @ turn("y", yaw).T + middle


def furniture(
    joints: Float[np.ndarray, "24 3"], floor: float, names: dict[str, int], g: Generator
) -> list[Float[np.ndarray, "8 3"]]:
    """Boxes in the world: a seat under who sits, a table or something else between them and the camera (at +z)."""
    found = []
    pelvis = joints[names["pelvis"]]
    knees = (joints[names["left_knee"]] + joints[names["right_knee"]]) / 2
    if abs(knees[1] - pelvis[1]) < 0.2 and pelvis[1] - floor > 0.3 and g.random() < 0.7:
        wide = g.uniform([0.2, 0, 0.2], [0.7, 0, 0.35])
        middle = pelvis * 0.75 + knees * 0.25
        yaw = float(np.arctan2(knees[0] - pelvis[0], knees[2] - pelvis[2]))
        top = pelvis[1] - 0.13
        found.append(box(np.array([*(middle - wide)[:1], top - g.uniform(0.08, 0.5), (middle - wide)[2]]),
                         np.array([(middle + wide)[0], top, (middle + wide)[2]]), yaw))  # fmt: skip
        if g.random() < 0.5:  # a back
            behind = (pelvis - knees) * [1, 0, 1]
            behind /= np.linalg.norm(behind) + 1e-6
            at = pelvis + behind * 0.28
            low, high = np.array([-wide[0], -0.2, -0.04]), np.array([wide[0], g.uniform(0.2, 0.6), 0.04])
            found.append(box(at + low, at + high, yaw))
    if g.random() < 0.2:  # a table, a counter, a box
        ahead = g.uniform(0.35, 0.9)
        half = g.uniform([0.2, 0, 0.1], [0.9, 0, 0.3])
        top = floor + g.uniform(0.4, 1.0)
        at = np.array([pelvis[0] + g.normal(0, 0.4), top, pelvis[2] + ahead])
        thick = g.uniform(0.03, 0.08) if g.random() < 0.4 else top - floor
        found.append(box(at - half - [0, thick, 0], at + half, float(g.normal(0, 0.5))))
    return found
