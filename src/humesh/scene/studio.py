"""A place to look at people from anywhere: virtual cameras that frame them, and a light floor under them."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, UInt8

from humesh.geometry.camera import Camera
from humesh.scene.render import EDGE_RAYS, Stage, View

FIELD_OF_VIEW = math.radians(28)  # over the longer side: that of a portrait lens, which keeps bodies in proportion
MARGIN = 0.08  # of the picture's width and height left free on each side
BACKGROUND = np.array([246.0, 246.0, 244.0])
_LINE = np.array([196.0, 198.0, 200.0])
_SHADOW = np.array([120.0, 122.0, 128.0])
_CELL = 0.02  # metres; of the map of shadows
_GRID = 0.5  # metres between the floor's lines
_ELEVATION = 0.14  # radians that the orbit's camera is above the people
_CROWD = 2000  # points are enough to frame a group


class Studio:
    """The people of a stage on a floor at their lowest point; the camera frame's y axis is taken for the vertical.

    `room`: points that the floor and the views are made for instead, so that they stay while people move.
    """

    def __init__(self, stage: Stage, room: Float[np.ndarray, "K 3"] | None = None) -> None:
        self.stage, points = stage, stage.points
        room = points if room is None else room
        self.points = room[:: max(1, len(room) // (_CROWD * 4))]
        self.low, self.high = room.min(0), room.max(0)
        self.middle = (self.low + self.high) / 2
        self._shadow_from, self._shadow = _shadow_map(points, self.high[1])

    def picture(self, turn: Float[np.ndarray, "3 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
        """The people as large as they fit, seen by a camera whose axes are the columns of `turn`."""
        centre = framing(self.points, turn, *half_views(size))
        return self.seen(View(turn, centre), size)

    def around(self, angle: float, size: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
        """The people from an orbit that holds them from every side; angle 0: from the photo's side, radians."""
        turn = facing(angle, _ELEVATION)
        radius = np.hypot(*(self.points - self.middle)[:, [0, 2]].T)
        height = self.points[:, 1] - self.middle[1]
        # Whoever stands r from the axis comes by everywhere on a circle; 24 points of it are enough.
        turns = np.arange(24)[:, None] * (math.pi / 12)
        ring = np.stack(np.broadcast_arrays(radius * np.cos(turns), height, radius * np.sin(turns)), axis=-1)
        centre = framing(ring.reshape(-1, 3), facing(0.0, _ELEVATION), *half_views(size))
        # Half the rays: nobody sees the difference in a moving picture.
        return self.seen(View(turn, self.middle + facing(angle, 0.0) @ centre), size, EDGE_RAYS // 2)

    def seen(
        self, view: View, size: tuple[int, int], rays: int = EDGE_RAYS, floor: Floor | None = None
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The people over the floor and the light background; `floor`: that of this view, if it was made before."""
        ground = (floor or Floor(self, size, view)).shaded(self)
        return self.stage.render(studio_camera(size), size, view, rays).over(ground)

    def shadow_at(self, spot: Float[np.ndarray, "R 2"]) -> Float[np.ndarray, " R"]:
        """How dark the floor is at points (x, z), 0..1, between the cells of the map in proportion."""
        return _between(self._shadow, (spot - self._shadow_from) / _CELL)


class Floor:
    """The background with the floor's lines, which fade away from a studio's people, as one view sees it."""

    def __init__(self, studio: Studio, size: tuple[int, int], view: View) -> None:
        width, height, camera = *size, studio_camera(size)
        columns, rows = np.meshgrid(*(np.arange(length, dtype=np.float32) + 0.5 for length in size))
        focal, (x, y) = float(camera.focal_px), camera.principal_point_px.tolist()
        rays = np.stack([(columns - x) / focal, (rows - y) / focal, np.ones_like(rows)], axis=-1).reshape(-1, 3)
        rays = rays @ view.turn.T.astype(np.float32)
        pixels = np.flatnonzero(rays[:, 1] > 1e-3)
        far = (studio.high[1] - view.centre[1]).astype(np.float32) / rays[pixels, 1]
        spot = np.stack([view.centre[k] + far * rays[pixels, k] for k in (0, 2)]).astype(np.float32)  # x, z: metres
        reach = np.linalg.norm((studio.high - studio.low)[[0, 2]]) / 2
        away = np.hypot(spot[0] - studio.middle[0], spot[1] - studio.middle[2])
        fade = np.clip(1.6 - away / (reach + 0.8), 0, 1)
        seen = np.flatnonzero(fade)
        pixels, far, spot, fade = pixels[seen], far[seen], spot[:, seen], fade[seen]
        # A line is one pixel wide: a pixel spans far / focal metres across, and more along a slanting ray.
        lines = np.zeros_like(fade)
        for axis in (0, 1):
            span = far / focal * np.hypot(1, rays[pixels, 2 * axis] / rays[pixels, 1])
            off = np.abs(spot[axis] / _GRID - np.rint(spot[axis] / _GRID)) * _GRID
            lines = np.maximum(lines, np.clip(1.2 - off / span, 0, 1) * np.clip(_GRID / (6 * span), 0, 1))
        self.size, self.pixels, self.spots = size, pixels, spot.T
        self.picture = np.tile(BACKGROUND.astype(np.float32), (width * height, 1))
        self.picture[pixels] += (lines * fade)[:, None] * (_LINE - BACKGROUND).astype(np.float32)

    def shaded(self, studio: Studio) -> UInt8[np.ndarray, "H W 3"]:
        """The floor with soft shadows under a studio's bodies, which may have moved since the floor was made."""
        picture = self.picture.copy()
        shadow = studio.shadow_at(self.spots)
        dark = np.flatnonzero(shadow > 1e-3)
        picture[self.pixels[dark]] += shadow[dark, None] * (_SHADOW - picture[self.pixels[dark]])
        return np.rint(picture).astype(np.uint8).reshape(self.size[1], self.size[0], 3)


def facing(angle: float, elevation: float) -> Float[np.ndarray, "3 3"]:
    """The axes (columns) of a camera gone round by an angle and up by another, in radians; 0, 0: the photo's axes."""
    cos, sin, up, down = math.cos(angle), math.sin(angle), math.cos(elevation), math.sin(elevation)
    about = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    return about @ np.array([[1, 0, 0], [0, up, down], [0, -down, up]])


LOOKING_DOWN = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""The axes of a camera above: the photo's right stays right, what was far is above."""


def studio_camera(size: tuple[int, int]) -> Camera:
    """The camera of all views of the studio."""
    return Camera.virtual(max(size) / 2 / math.tan(FIELD_OF_VIEW / 2), size)


def framing(
    points: Float[np.ndarray, "K 3"], turn: Float[np.ndarray, "3 3"], across: float, along: float
) -> Float[np.ndarray, "3"]:
    """The centre of the nearest camera with axes `turn` that sees all points within |x| <= across z, |y| <= along z.

    In the camera's axes a centre (c, -d) holds a point (x, z) if x - across z <= c + across d, and likewise to the
    left, so the two outermost points of each axis give d and c at once.
    """
    seen = points @ turn
    ends = [
        [(sign * seen[:, axis] - slope * seen[:, 2]).max() for sign in (1, -1)]
        for axis, slope in ((0, across), (1, along))
    ]
    back = max(sum(pair) / (2 * slope) for pair, slope in zip(ends, (across, along), strict=True))
    near = seen[:, 2].min() - 0.1  # metres; and never closer to the nearest point than this
    return turn @ np.array([(ends[0][0] - ends[0][1]) / 2, (ends[1][0] - ends[1][1]) / 2, min(-back, near)])


def half_views(size: tuple[int, int]) -> tuple[float, float]:
    """The tangents of half the view across and along the picture, less the margin."""
    slope = math.tan(FIELD_OF_VIEW / 2) * (1 - 2 * MARGIN) / max(size)
    return slope * size[0], slope * size[1]


def _shadow_map(
    points: Float[np.ndarray, "K 3"], floor: float
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "x z"]]:
    """The corner (x, z) and the darkness 0..1 of the floor's cells under the bodies, darkest where they touch it."""
    spots = points[:, [0, 2]]
    start = spots.min(0) - 0.6
    cells = np.ceil((spots.max(0) + 0.6 - start) / _CELL).astype(int) + 2
    cells = np.minimum(cells, 4000)  # people a hundred metres apart lose their shadows, not the memory
    at = np.minimum(((spots - start) / _CELL).astype(int), cells - 1)
    dark = np.zeros(cells.prod())
    np.maximum.at(dark, at[:, 0] * cells[1] + at[:, 1], np.exp((points[:, 1] - floor) / 0.35))
    dark = dark.reshape(cells)
    for radius in (3, 5, 8):  # three running means are close to a Gaussian of 11 cm
        dark = _mean(dark, radius)
    return start, np.clip(1.6 * dark, 0, 0.75)


def _mean(cells: Float[np.ndarray, "X Z"], radius: int) -> Float[np.ndarray, "X Z"]:
    """The mean of the cells that are at most so many rows and columns away; there is nothing beyond the edges."""
    for _ in range(2):
        sums = np.pad(cells, ((radius + 1, radius), (0, 0))).cumsum(0)
        cells = ((sums[2 * radius + 1 :] - sums[: -2 * radius - 1]) / (2 * radius + 1)).T
    return cells


def _between(cells: Float[np.ndarray, "X Z"], spots: Float[np.ndarray, "R 2"]) -> Float[np.ndarray, " R"]:
    """The values at spots between cells, in proportion (bilinear); 0 beyond the outermost cells' middles."""
    (rows, columns), flat = cells.shape, cells.ravel()
    x, z = spots.T
    inside = np.flatnonzero((x >= 0) & (x <= rows - 1) & (z >= 0) & (z <= columns - 1))
    x, z = x[inside], z[inside]
    row, column = np.minimum(x.astype(int), rows - 2), np.minimum(z.astype(int), columns - 2)
    x, z, corner = x - row, z - column, row * columns + column
    near, far = (flat[at] + z * (flat[at + 1] - flat[at]) for at in (corner, corner + columns))
    values = np.zeros(len(spots))
    values[inside] = near + x * (far - near)
    return values
