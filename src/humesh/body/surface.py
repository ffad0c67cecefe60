"""Points of the face, the top of the head and the feet on SMPL-format bodies whose files have no regressor for them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from humesh.body.joints import SMPL24, SURFACE12

_SMPL_VERTICES = 6890
# Face: JOTR's; head top and big toes: HybrIK's; small toes and heels: those of SPIN's line of work, from memory.
_SMPL_NUMBERS = {
    "nose": 331, "left_eye": 2802, "right_eye": 6262, "left_ear": 3489, "right_ear": 3990, "head_top": 411,
    "left_big_toe": 3216, "left_small_toe": 3226, "left_heel": 3387, "right_big_toe": 6617, "right_small_toe": 6624,
    "right_heel": 6787,
}  # fmt: skip


def surface_vertices(
    template: Float[np.ndarray, "V 3"],
    weights: Float[np.ndarray, "V 24"],
    points: Float[np.ndarray, "12 3"],
    reference: Float[np.ndarray, "U 3"],
    reference_weights: Float[np.ndarray, "U 24"],
) -> list[int]:
    """The vertices at the points of SURFACE12, by number where the mesh is SMPL's, else by the shape of head and feet.

    A mesh counts as SMPL's if it has as many vertices and each numbered one hangs on the right part. On others the
    `points` of the T-posed `reference` are moved with the box around the head or foot, and the part's nearest vertices
    taken. Empty where a body has no such part.
    """
    parts = [_part(name, weights) for name in SURFACE12.names]
    numbers = [_SMPL_NUMBERS[name] for name in SURFACE12.names]
    if len(template) == _SMPL_VERTICES and all(n in part for n, part in zip(numbers, parts, strict=True)):
        return numbers
    if not all(map(len, parts)):
        return []
    found = []
    for name, point, part in zip(SURFACE12.names, points, parts, strict=True):
        place = _moved(name, point, reference[_part(name, reference_weights)], template[part])
        found.append(int(part[np.linalg.norm(template[part] - place, axis=-1).argmin()]))
    return found


def _part(name: str, weights: Float[np.ndarray, "V 24"]) -> Int[np.ndarray, " N"]:
    """The vertices that hang mostly on the joints of a point's part: the head, or a foot with its ankle."""
    side = name.partition("_")[0]
    foot = name.endswith(("toe", "heel"))
    joints = SMPL24.indices(*((f"{side}_ankle", f"{side}_foot") if foot else ("head",)))
    return np.flatnonzero(np.isin(weights.argmax(-1), joints))


def _moved(
    name: str, point: Float[np.ndarray, "3"], reference: Float[np.ndarray, "U 3"], part: Float[np.ndarray, "N 3"]
) -> Float[np.ndarray, "3"]:
    """A point of the reference's part on another body's: widths and depths fit, heights count from the free end."""
    (low, high), (low_ref, high_ref) = ((p.min(0), p.max(0)) for p in (part, reference))
    scale = (high - low) / np.maximum(high_ref - low_ref, 1e-9)
    scale[1] = (scale[0] + scale[2]) / 2  # where neck or shin begin, bodies differ
    here, there = (low + high) / 2, (low_ref + high_ref) / 2
    foot = name.endswith(("toe", "heel"))
    here[1], there[1] = (low[1], low_ref[1]) if foot else (high[1], high_ref[1])
    moved: np.ndarray = here + scale * (point - there)
    return moved
