"""Files whole in their format and wrong in what they say: drawn by hypothesis, each read or refused in a sentence."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humesh.body.model import BodyModel
from humesh.data.synthetic.motion import Motion
from humesh.errors import HumeshError
from humesh.evaluation.predictions import PredictionsFile
from humesh.evaluation.protocols import read_stretches
from humesh.people.given import GivenPeople

NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, 2**63, -(2**63)])
KEYS = st.sampled_from(["images", "annotations", "id", "image_id", "file_name", "bbox", "keypoints", "score", "a.jpg"])
BOXES = st.lists(NUMBERS, min_size=4, max_size=4)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=9) | BOXES | st.lists(BOXES, max_size=2)
TREES = st.recursive(LEAVES, lambda inside: st.lists(inside, max_size=4) | st.dictionaries(KEYS, inside, max_size=6))

DTYPES = st.sampled_from(["<f8", "<f4", ">i2", "<u8", "|b1", "<U5", "|S3", "<c16"])
LENGTHS = st.sampled_from([0, 1, 2, 3, 10, 24, 72, 156])


@st.composite
def arrays(draw: st.DrawFn, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Some of the names with arrays of any kind and shape, the first of which often agree in their first length."""
    rows, found = draw(LENGTHS), {}
    for name in draw(st.lists(st.sampled_from(names), unique=True)):
        shape = (*draw(st.sampled_from([(), (rows,)])), *draw(st.lists(LENGTHS, max_size=3)))
        if np.prod(shape, dtype=float) < 1e5:
            found[name] = np.full(shape, draw(st.sampled_from([0, 1, 7, 100]))).astype(draw(DTYPES))
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drawn")


@settings(max_examples=150)
@given(tree=TREES)
def test_json_of_any_structure(place: Path, tree: Any) -> None:
    path = place / "drawn.json"
    path.write_text(json.dumps(tree))
    for read in (lambda: GivenPeople(path).people("a.jpg"), lambda: read_stretches(path)):
        with contextlib.suppress(HumeshError):
            read()


@settings(max_examples=100)
@given(found=arrays(("poses", "trans", "mocap_framerate", "seq_category", "sequence_id", "clip_start", "clip_length",
                     "clip_fps", "clip_sequence", "frame_index", "seq_fps")))  # fmt: skip
def test_motion_of_any_arrays(place: Path, found: dict[str, np.ndarray]) -> None:
    np.savez(place / "motion.npz", **found)
    with contextlib.suppress(HumeshError):
        motion = Motion.read([place / "motion.npz"])
        assert len(motion.poses) == len(motion.places) == len(motion.category)


@settings(max_examples=100)
@given(found=arrays(("name", "rotations", "pose", "shape", "translation", "points", "point_names", "box", "person")))
def test_predictions_of_any_arrays(place: Path, open_body: BodyModel, found: dict[str, np.ndarray]) -> None:
    np.savez(place / "predictions.npz", **found)
    with contextlib.suppress(HumeshError):
        PredictionsFile(place / "predictions.npz", open_body)
