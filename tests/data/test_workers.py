"""Workers end with the process that they work for, and folders of shards stay as that left them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from humesh.data.synthetic.shards import Plan, ShardedPeople, write_shards
from humesh.data.synthetic.workers import ShardError, in_processes
from humesh.files import locked

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ends processes by signals")


def test_every_item_is_done() -> None:
    assert list(in_processes(abs, [-3, 1, -2, 7, 5], 1)) == [3, 1, 2, 7, 5]
    assert sorted(in_processes(abs, [-3, 1, -2, 7, 5], 2)) == [1, 2, 3, 5, 7]
    assert list(in_processes(abs, [], 2)) == []


def running(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition: object, seconds: float = 60) -> bool:
    """Waits for something to become true."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.02)
    return bool(condition())  # type: ignore[operator]


JOBS = """
import os, sys, time
from pathlib import Path
from humesh.data.synthetic.workers import in_processes

def work(number):
    Path(sys.argv[1], f"worker{os.getpid()}").touch()
    time.sleep(number)

if __name__ == "__main__":
    list(in_processes(work, [600, 600], 2))
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    (tmp_path / "started").mkdir()
    parent = subprocess.Popen([sys.executable, str(tmp_path / "jobs.py"), str(tmp_path / "started")])
    try:
        assert until(lambda: len(list((tmp_path / "started").iterdir())) == 2)
    finally:
        parent.kill()
        parent.wait()
    workers = [int(path.name.removeprefix("worker")) for path in (tmp_path / "started").iterdir()]
    assert until(lambda: not any(map(running, workers)), 20)


def children(process: int) -> list[int]:
    """The processes that a process started."""
    found = Path(f"/proc/{process}/task/{process}/children")
    return [int(number) for number in found.read_text().split()] if found.exists() else []


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    np.savez(tmp_path / "poses.npz", poses=np.random.default_rng(0).normal(0, 0.15, (50, 24, 3)))
    return Plan((str(tmp_path / "poses.npz"),), 4, (1, 2), 192, 1)


@pytest.mark.skipif(not children(os.getppid()), reason="looks for processes in /proc")
def test_a_killed_synth_leaves_no_worker_and_goes_on(plan: Plan, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--count", "4", "--people", "1", "2", "--size", "192", "--seed", "1", "--workers", "2"]
    command = ["-c", "from humesh.commands.main import main; main()", "synth", "--motion", *plan.motion, "-o", str(out)]
    synth = subprocess.Popen([sys.executable, *command, *options], stdout=subprocess.DEVNULL)
    try:
        assert until(lambda: len(children(synth.pid)) > 1)
        workers = children(synth.pid)
    finally:
        synth.send_signal(signal.SIGKILL)
        synth.wait()
    assert until(lambda: not any(map(running, workers)), 20)
    assert not list(out.glob("*people*"))
    assert list(write_shards(out, plan)) == [0, 4]
    assert sorted(path.name for path in out.iterdir()) == ["people-00000.npz", "synthetic.json"]


def test_two_do_not_write_into_one_folder(plan: Plan, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        locked(out, "writing shards", ShardError),
        pytest.raises(ShardError, match=f"process {os.getpid()} is writing shards in it; wait"),
    ):
        list(write_shards(out, plan))
    assert list(write_shards(out, plan))[-1] == len(ShardedPeople(out)) == 4
