"""The command for a GPU machine at debug size: rendering, training, a second call that goes on, weights in pieces."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from humesh.body.model import BodyModel
from humesh.methods.weights import load_method
from humesh.training.files import checkpoints

SCRIPT = Path(__file__).parents[2] / "tools" / "gpu_training.sh"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it needs bash and GNU's tools")


def call(folder: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    given = {"PYTHON": sys.executable, "WORK": folder / "work", "OUT": folder / "out", **settings}
    environment = os.environ | {name: str(value) for name, value in given.items()}
    return subprocess.run(["bash", SCRIPT], env=environment, capture_output=True, text=True, check=False)


def test_without_motion_it_says_what_it_needs(tmp_path: Path) -> None:
    done = call(tmp_path)
    assert done.returncode == 2
    assert "expected motion files in MOTION, got none" in done.stderr


@pytest.mark.slow
def test_it_trains_goes_on_and_gives_the_weights_in_pieces(tmp_path: Path) -> None:
    debug = {"DEBUG": 1, "MINUTES": 600, "SCENES": 64, "FIRST": 32, "CORES": 2}
    for steps in (3, 5):  # the second call goes on from the first one's checkpoint
        done = call(tmp_path, STEPS=steps, **debug)
        assert done.returncode == 0, done.stdout + done.stderr
        assert int(checkpoints(tmp_path / "work" / "synthetic-jotr")[-1].stem.rpartition("-")[2]) == steps
    assert "going on from step 3 of 5" in done.stdout
    pieces = sorted((tmp_path / "out").glob("synthetic-jotr.safetensors.part-*"))
    assert len(pieces) > 2
    assert max(piece.stat().st_size for piece in pieces) == 50_000
    joined = subprocess.run(["bash", tmp_path / "out" / "join.sh"], capture_output=True, text=True, check=True)
    assert joined.stdout == "synthetic-jotr.safetensors: OK\n"
    header, method = load_method(tmp_path / "out" / "synthetic-jotr.safetensors", BodyModel.load("open-low"))
    assert (header.method, header.notes["steps"], method.config.size) == ("jotr", "5", 64)
    assert int(float((tmp_path / "work" / "seconds").read_text())) > 0

    pieces[0].unlink()
    assert call(tmp_path, CALL_MINUTES=0, PIECES="00 02", **debug).returncode == 0  # writes, and trains no more
    assert [path.suffix for path in sorted((tmp_path / "out").glob("*.part-*"))] == [".part-00", ".part-02"]
