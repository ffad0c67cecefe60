"""Find the people of a photo with rtmlib's models (optional extra)."""

from __future__ import annotations

import numpy as np

from humesh.body.joints import HALPE26
from humesh.media.photo import Photo
from humesh.people.person import Person


class RtmlibPeople:
    """Finds people with rtmlib's YOLOX and RTMPose (26 points, feet included), whose models download on first use.

    `mode`: "lightweight", "balanced" or "performance"; `device`: "cpu" or "cuda". There are no 3D landmarks:
    `humesh.people.given.complete` adds those of `PeopleFinder.landmarks`.
    """

    def __init__(self, *, mode: str = "balanced", device: str = "cpu") -> None:
        try:
            from rtmlib import BodyWithFeet
        except ImportError as error:
            raise ImportError(f'rtmlib cannot be imported ({error}): pip install "humesh[rtmlib]".') from error
        self._models = BodyWithFeet(mode=mode, backend="onnxruntime", device=device)

    def __call__(self, photo: Photo) -> list[Person]:
        """The people of a photo, best score first; a score is the mean confidence of the points."""
        bgr = np.ascontiguousarray(photo.pixels[..., ::-1])
        boxes = np.asarray(self._models.det_model(bgr), dtype=np.float64).reshape(-1, 4)
        if not len(boxes):  # rtmlib's pose model would take the whole photo for a person
            return []
        points, scores = self._models.pose_model(bgr, bboxes=boxes)
        keypoints = np.concatenate([points, np.clip(scores, 0, 1)[..., None]], axis=-1).astype(np.float64)
        people = [Person(box, float(k[:, 2].mean()), k, HALPE26) for box, k in zip(boxes, keypoints, strict=True)]
        return sorted(people, key=lambda person: -person.score)
