"""Damaged files: every reader ends in success or in one clear sentence; the fuzzer sees what does not."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
from fuzzing import processes
from fuzzing.files import FileReader
from fuzzing.mutations import mutated
from fuzzing.readers import READERS

from humesh.errors import HumeshError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each reader runs in a fork of the process")
ROOT = Path(__file__).parents[2]


def test_no_reader_leaks() -> None:
    """200 damaged files for each reader; `python tools/fuzz.py READER --count 10000` for more."""
    command = [sys.executable, str(ROOT / "tools" / "fuzz.py"), "all", "--count", "200"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in READERS:
        (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith(f"{name} ")]
        assert row[1] == "200"
        assert int(row[2]) > 0  # damage that nobody survives would test the first lines alone
    assert done.stdout.count("\n") == len(READERS) + 1


def _read(_: Path, path: Path) -> None:
    """A reader with every fault that there is, each told by the file's first byte; other files are refused."""
    match path.read_bytes()[:1]:
        case b"v" | b"r":
            return
        case b"k":
            raise KeyError("k")
        case b"c":
            ctypes.string_at(0)
        case b"m":
            np.ones(2 * processes.MEMORY_BYTES // 8).sum()
        case b"l":
            while True:
                pass
        case b"x":
            os.system("true")
        case b"t":
            raise HumeshError("file.npz: expected ten numbers\x1b[2J, got none.")
    raise HumeshError("file.npz: expected ten numbers, got none; the file is damaged.")


def _outcome(first: bytes, monkeypatch: pytest.MonkeyPatch) -> processes.Outcome:
    def damaged(name: str, case: int, files: list[Path], valid: dict[Path, bytes]) -> tuple[Path, bytes]:
        return files[0], first[case : case + 1]

    monkeypatch.setitem(READERS, "made_up", FileReader(lambda folder: (folder / "a").write_bytes(b"v"), _read))
    monkeypatch.setattr(processes, "damaged", damaged)
    monkeypatch.setattr(processes, "CPU_S", 0.5)
    return processes.run("made_up", range(len(first)))


def test_every_kind_of_fault_is_seen_and_the_other_cases_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = _outcome(b"skrclxs", monkeypatch)
    assert (outcome.read, outcome.refused, outcome.leaked) == (1, 2, 4)
    assert {key.split(" @ ")[0].split(" (")[0]: cases for key, cases in outcome.leaks.items()} == {
        "KeyError": [1], "killed by SIGSEGV": [3], "more than 0.5 s of work": [4],
        "code of the file ran: os.system": [5],
    }  # fmt: skip
    assert "python tools/fuzz.py made_up --case 3" in processes.table([outcome])


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux alone")
def test_hunger_for_memory_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [key.split(" @ ")[0] for key in _outcome(b"m", monkeypatch).leaks] in (
        ["MemoryError"],
        ["_ArrayMemoryError"],
    )


def test_a_sentence_that_steers_the_terminal_is_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HumeshError, "__str__", Exception.__str__)
    assert next(iter(_outcome(b"t", monkeypatch).leaks)).startswith("steers the terminal")


def test_valid_files_that_cannot_be_read_are_a_leak(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(folder: Path, path: Path) -> None:
        raise KeyError("no such entry")

    monkeypatch.setitem(READERS, "made_up", FileReader(lambda folder: (folder / "a").write_bytes(b""), read))
    assert processes.run("made_up", range(3)).leaks == {"its valid files cannot be read": [0]}
    assert "no such entry" in capsys.readouterr().err


def test_a_case_is_the_same_whenever_it_is_asked_for() -> None:
    data = bytes(range(256)) * 4
    first, again = ([mutated(Random(f"a {case}"), data, b"other") for case in range(50)] for _ in range(2))
    assert first == again
    assert len(set(first)) > 45
