"""What the page shows of a photo's and a video's people, and the files that it gives."""

from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from skimage.data import camera

import humesh
from humesh.media.film import Film
from humesh.web.jobs import Job, Limits
from humesh.web.work import TooLongError, Worker, shown


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Two seconds of noise."""
    path, rng = tmp_path / "clip.mp4", np.random.default_rng(0)
    with Film(path, (64, 48), 4.0) as film:
        for frame in range(8):
            film.write(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8), frame / 4)
    return path


def _job(tmp_path: Path, name: str, data: bytes) -> Job:
    job = Job("somebody", name, tmp_path / "job")
    job.input.parent.mkdir(parents=True)
    job.input.write_bytes(data)
    return job


def test_a_result_is_shown_as_it_is(tmp_path: Path) -> None:
    result = humesh.recover(np.repeat(camera()[..., None], 3, axis=-1))
    about = shown(result, tmp_path / "man", ["jpg", "glb"], lambda *progress: None)
    assert (about["overlay"], about["scene"], about["picture"]) == ("man_overlay.jpg", "man.glb", "picture.jpg")
    assert all((tmp_path / name).is_file() for name in (*about["files"], about["picture"]))
    (line,) = about["people"]
    assert line["distance_m"] == pytest.approx(float(result.pose.translation[0, 2]), abs=0.01)
    assert result.expected_error_m is not None
    assert line["error_mm"] == pytest.approx(1000 * float(result.expected_error_m.mean()), abs=0.1)
    assert (
        shown(replace(result, expected_error_m=None), tmp_path / "b", ["glb"], print)["people"][0]["error_mm"] is None
    )


def test_too_long_a_video_is_refused_before_it_is_looked_at(tmp_path: Path, clip: Path) -> None:
    job = _job(tmp_path, "long.mp4", clip.read_bytes())
    with pytest.raises(TooLongError, match=r"long\.mp4: expected a video of at most 0\.01 minutes, got 0\.0; cut it"):
        Worker()(job, Limits(seconds=0.6))


def test_work_stops_when_nobody_waits_for_it(tmp_path: Path, clip: Path) -> None:
    job = _job(tmp_path, "clip.mp4", clip.read_bytes())
    job.cancelled = True
    with pytest.raises(CancelledError):
        Worker()(job, Limits())
    assert not job.result
