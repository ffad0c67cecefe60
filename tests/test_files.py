"""Files are written whole or not at all, and read within limits."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from humesh.errors import HumeshError, printable
from humesh.files import Array, locked, parse_json, read_arrays, read_json, read_text, write_arrays, write_text, writing


def read(source: object, layout: dict[str, Array] | None = None, **more: int) -> dict[str, np.ndarray]:
    return read_arrays(source, layout, what="arrays", error=HumeshError, **more)  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def interrupted() -> None:
        with writing(target) as draft:
            draft.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_drafts_of_killed_runs_are_removed_but_not_those_of_live_ones_or_other_files(tmp_path: Path) -> None:
    for name, age in ((".humesh-a.1.txt", 4000), (".humesh-a.2.txt", 10), (".humesh-b.3.npz", 4000), ("b.txt", 4000)):
        draft = tmp_path / name
        draft.write_text("half")
        os.utime(draft, (time.time() - age,) * 2)
    write_text(tmp_path / "a.txt", "whole")
    assert names(tmp_path) == [".humesh-a.2.txt", "a.txt", "b.txt"]


def test_a_link_at_the_target_is_replaced_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "a.txt").symlink_to(victim)
    write_text(tmp_path / "a.txt", "new")
    assert victim.read_text() == "precious"
    assert (tmp_path / "a.txt").read_text() == "new"


def test_names_near_the_limit_of_file_systems_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / ("\N{SNOWMAN}" * 83 + ".json")  # 254 bytes
    write_text(target, "{}")
    assert target.read_text() == "{}"


@given(
    st.dictionaries(
        st.text("abc/_", min_size=1, max_size=6).filter(lambda n: n.strip("/") == n and "//" not in n),
        arrays_of.arrays(
            st.sampled_from([np.float32, np.int64, np.bool_, np.uint8, np.dtype(">f8"), np.dtype("U3")]),
            arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        ),
        max_size=4,
    ),
    st.booleans(),
)
def test_arrays_come_back_as_they_were(arrays: dict[str, np.ndarray], fortran: bool) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, **{k: np.asfortranarray(v) if fortran and v.ndim else v for k, v in arrays.items()})
    stream.seek(0)
    back = read(stream)
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(back[name], array, equal_nan=array.dtype.kind == "f")
        assert back[name].shape == array.shape
        assert back[name].dtype == array.dtype.newbyteorder("=")
        assert back[name].flags.c_contiguous
        assert back[name].flags.writeable


def test_a_single_npy_file_is_read_too(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(3))
    assert np.array_equal(read(tmp_path / "a.npy")[""], [0, 1, 2])


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "member",
    [
        b"",
        b"\x93NUMPY",
        b"no array",
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}") + bytes(8),
        header("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}") + bytes(8),
        header("{'descr': '<f8', 'shape': (1,)}") + bytes(8),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}") + bytes(8),
        header("(" * 5000),
        header("{'a': "),
        header("'" + "a" * 20),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1, " * 70 + ")}") + bytes(8),
        header("{'descr': '<U1', 'fortran_order': False, 'shape': (1,)}") + b"\xff\xff\xff\x7f",
        header("{'descr': '<U0', 'fortran_order': False, 'shape': (1,)}"),
    ],
)
def test_damaged_arrays_are_one_sentence(member: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", member)
    with pytest.raises(HumeshError, match="expected arrays, it cannot be read as one"):
        read(tmp_path / "a.npz")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    write_arrays(tmp_path / "bomb.npz", {"x": np.zeros(2**22, np.uint8), "y": np.zeros(2**20, np.uint8)})
    with pytest.raises(HumeshError, match="too much memory"):
        read(tmp_path / "bomb.npz", most_bytes=2**22)


def test_a_file_unpacks_to_a_few_times_its_size_or_is_refused_before(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(100))
    claimed = buffer.getvalue().replace((100).to_bytes(4, "little"), (2**30).to_bytes(4, "little"))
    with pytest.raises(HumeshError, match="too much memory"):
        read(io.BytesIO(claimed))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", bytes(10))
    with pytest.raises(HumeshError, match="another way than NumPy"):
        read(tmp_path / "a.npz")


def test_an_array_of_several_pieces_comes_back_whole(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2**60, 2**18 + 5)  # 2 MiB and a bit
    write_arrays(tmp_path / "a.npz", {"x": values})
    assert np.array_equal(read(tmp_path / "a.npz")["x"], values)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{}], dtype=object))
    with pytest.raises(HumeshError, match="expected numbers or texts"):
        read(tmp_path / "a.npz")


def test_floats_that_torch_lacks_are_refused() -> None:
    header = b"{'descr': '<f16', 'fortran_order': False, 'shape': (1,)}\n"
    with pytest.raises(HumeshError, match="expected numbers or texts"):
        read(io.BytesIO(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + bytes(16)))


LAYOUT = {"points": Array(("N", 2)), "ids": Array(("N",), "integer"), "name": Array((), "text", optional=True)}
GOOD = {"points": np.zeros((3, 2)), "ids": np.arange(3), "name": np.array("x")}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, ""),
        ({"name": None}, ""),
        ({"ids": None}, "expected arrays with ids, found name, points"),
        ({"points": np.zeros((3, 3))}, "'points' of shape N = 3 x 2, got 3 x 3"),
        ({"ids": np.arange(4)}, "'ids' of shape N = 3, got 4"),
        ({"ids": np.arange(3.0)}, "'ids' to hold integers, got float64"),
        ({"name": np.array(["x"])}, "'name' of shape one value, got 1"),
        ({"points": np.full((3, 2), np.inf)}, "finite numbers in 'points'"),
    ],
)
def test_layouts(change: dict[str, np.ndarray | None], sentence: str, tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", {k: v for k, v in (GOOD | change).items() if v is not None})
    if not sentence:
        assert read(tmp_path / "a.npz", LAYOUT)
        return
    with pytest.raises(HumeshError, match=sentence):
        read(tmp_path / "a.npz", LAYOUT)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "1" * 5000, "\ud800"])
def test_foreign_json_is_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(HumeshError, match="expected boxes, it cannot be read as JSON"):
        read_json(path, what="boxes", error=HumeshError)
    assert parse_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}  # Windows' editors begin so


def test_text_is_read_within_limits(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa\n")
    assert read_text(tmp_path / "a.txt", what="a list", error=HumeshError) == "a\n"
    with pytest.raises(HumeshError, match=r"expected a list, it cannot be read as text .it has more than 0 MiB"):
        read_text(tmp_path / "a.txt", what="a list", error=HumeshError, most_bytes=3)
    (tmp_path / "a.txt").write_bytes(b"\xff")
    with pytest.raises(HumeshError, match="expected a list, it cannot be read as text"):
        read_text(tmp_path / "a.txt", what="a list", error=HumeshError)
    with pytest.raises(HumeshError, match="no such file"):
        read_text(tmp_path, what="a list", error=HumeshError)


def test_what_is_missing_or_no_file_is_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(HumeshError, match="no such file"):
            read_json(path, what="boxes", error=HumeshError)
        with pytest.raises(HumeshError, match="no such file"):
            read(path)


def test_sentences_cannot_steer_a_terminal() -> None:
    assert str(HumeshError("a\x1b[31mb\x07\n\ud800é")) == "a\\x1b[31mb\\x07\n\\ud800é"
    assert len(printable("a" * 10**6)) < 2100


def hold(folder: Path) -> subprocess.Popen[str]:
    """A process that holds a folder until it is killed."""
    code = "import sys, time; from humesh.errors import *; from humesh.files import *\n"
    code += "with locked(sys.argv[1], 'training', HumeshError): print('held', flush=True); time.sleep(600)"
    other = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    return other


def test_a_folder_that_another_process_works_in_is_refused_until_that_is_killed(tmp_path: Path) -> None:
    other = hold(tmp_path / "run")
    try:
        with (
            pytest.raises(HumeshError, match=f"process {other.pid} is training in it; wait"),
            locked(tmp_path / "run", "training", HumeshError),
        ):
            pass
    finally:
        other.kill()
        other.communicate()
    with locked(tmp_path / "run", "training", HumeshError):
        assert (tmp_path / "run" / ".humesh.lock").read_text() == str(os.getpid())
    assert names(tmp_path / "run") == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_worker_that_outlives_its_killed_parent_does_not_hold_the_folder(tmp_path: Path) -> None:
    code = "import os, sys, time; from humesh.errors import HumeshError; from humesh.files import locked\n"
    code += "with locked(sys.argv[1], 'training', HumeshError):\n"
    code += "    if os.fork() == 0: print(os.getpid(), flush=True)\n"
    code += "    time.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    try:
        parent.kill()
        parent.wait()
        with locked(tmp_path, "training", HumeshError):
            os.kill(worker, 0)  # it lives
    finally:
        os.kill(worker, signal.SIGKILL)
        parent.stdout.close()


def test_a_folder_is_held_once_in_one_process_too_and_let_go_on_errors(tmp_path: Path) -> None:
    for _ in range(2):
        with (
            pytest.raises(HumeshError, match="expected nobody else"),
            locked(tmp_path, "training", HumeshError),
            locked(tmp_path, "training", HumeshError),
        ):
            pass


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_where_the_lock_should_be_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / ".humesh.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="lock"), locked(tmp_path, "training", HumeshError):
        pass
    assert (tmp_path / "victim").read_text() == "precious"
