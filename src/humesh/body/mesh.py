"""Triangle meshes: the normals of their vertices, and rays into them by Embree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from jaxtyping import Bool, Float, Int


def vertex_normals(points: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> Float[np.ndarray, "V 3"]:
    """Unit normals, each the mean over the triangles around it weighted by their area; +z where there are none."""
    a, b, c = (points[faces[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    sums = [np.bincount(faces.ravel(), np.repeat(across[:, k], 3), len(points)) for k in range(3)]
    normals = np.stack(sums, axis=-1)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.where(length > 1e-20, normals / np.maximum(length, 1e-20), (0.0, 0.0, 1.0))


@dataclass(frozen=True, eq=False)
class Hits:
    """The rays that hit something: their numbers, triangles, barycentric weights, and distances in ray lengths."""

    ray: Int[np.ndarray, " H"]
    face: Int[np.ndarray, " H"]
    weights: Float[np.ndarray, "H 3"]
    distance: Float[np.ndarray, " H"]


class RayCaster:
    """Triangles ready for rays, from several threads at once.

    `robust`: no ray slips through between two triangles; without, one in 10^5 does and all are three times as fast.
    """

    def __init__(self, points: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], robust: bool = False) -> None:
        self._scene = EmbreeScene(robust=robust)
        TriangleMesh(self._scene, points.astype(np.float32), faces.astype(np.int32))
        self._scene.run(np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32))  # builds the tree before threads

    def cast(
        self, origins: Float[np.ndarray, "R 3"], directions: Float[np.ndarray, "R 3"], reach: float = 1e37
    ) -> Hits:
        """What each ray meets first within `reach` times its direction; float32."""
        found = self._scene.run(origins, directions, dists=reach, output=1)
        ray = np.flatnonzero(found["primID"] >= 0)
        u, v = found["u"][ray], found["v"][ray]
        return Hits(ray, found["primID"][ray], np.stack([1 - u - v, u, v], axis=-1), found["tfar"][ray])

    def is_blocked(
        self, origins: Float[np.ndarray, "R 3"], directions: Float[np.ndarray, "R 3"]
    ) -> Bool[np.ndarray, " R"]:
        """Whether each ray meets anything; float32."""
        return self._scene.run(origins, directions, query="OCCLUDED") == 0
