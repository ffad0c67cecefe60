"""Checkpoints of torch: both formats as torch reads them, NumPy's numbers too, and one sentence for all else."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from humesh.body.pickles import TENSORS, PickleError, RefusedError, read_pickle, read_tensors


def saved(content: Any, new: bool = True) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=new)
    return stream.getvalue()


def content() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(4, 6, generator=generator)
    module = torch.nn.BatchNorm1d(3)
    return {
        "state_dict": module.state_dict(),  # an OrderedDict with a state of its own
        "views": [shared, shared.T, shared[1:, ::2], shared[2, 3], shared[:0], shared[0].expand(5, 6)],
        "kinds": [torch.arange(5).to(kind) for kind in (torch.float16, torch.bfloat16, torch.int8, torch.uint8)],
        "truth": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "numpy": (np.float64(0.5), np.int32(3), np.arange(2.0)),
        "others": (torch.Size([1, 2]), torch.float32, {1, 2}, OrderedDict(a=1), None, "text"),
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other.detach())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return bool(one == other)


@pytest.mark.parametrize("new", [True, False])
def test_a_checkpoint_is_as_torch_reads_it(tmp_path: Path, new: bool) -> None:
    (tmp_path / "a.pt").write_bytes(saved(content(), new))
    assert same(read_tensors(tmp_path / "a.pt"), content())


def test_numpys_numbers_of_before_numpy_2_are_read(tmp_path: Path) -> None:
    def older(pickled: bytes) -> bytes:
        return pickled.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")

    (tmp_path / "a.pt").write_bytes(_changed("data.pkl", older, saved({"score": np.float64(0.5), "a": np.arange(3)})))
    assert same(read_tensors(tmp_path / "a.pt"), {"score": np.float64(0.5), "a": np.arange(3)})


@pytest.mark.parametrize("protocol", [2, 5])
def test_tensors_pickled_by_themselves_are_read(protocol: int) -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.nn.Parameter(torch.zeros(2))}
    assert same(read_pickle(pickle.dumps(tensors, protocol), TENSORS), tensors)
    with pytest.raises(RefusedError, match=r"torch\._utils"):
        read_pickle(pickle.dumps(tensors, protocol))


def _changed(name: str, change: Any, raw: bytes | None = None) -> bytes:
    """A checkpoint with one member changed (or left out: None)."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(raw or saved({"a": torch.arange(8.0)}))) as old,
        zipfile.ZipFile(stream, "w") as new,
    ):
        for member in old.namelist():
            data = change(old.read(member)) if member.endswith(name) else old.read(member)
            if data is not None:
                new.writestr(member, data)
    return stream.getvalue()


def _replaced(old: bytes, new: bytes, raw: bytes | None = None) -> bytes:
    """A checkpoint of eight numbers with one thing changed in its pickle."""

    def change(pickled: bytes) -> bytes:
        assert old in pickled
        return pickled.replace(old, new)

    return _changed("data.pkl", change, raw)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("executed",)


BAD = {
    "nothing": b"",
    "noise": b"\x80\x02" + bytes(range(256)),
    "a plain pickle": pickle.dumps({"a": 1}),
    "no zip": b"PK\3\4" + bytes(100),
    "cut": saved(content())[:-40],
    "the old format, cut": saved(content(), False)[:-40],
    "no pickle": _changed("data.pkl", lambda _: None),
    "a cut pickle": _changed("data.pkl", lambda raw: raw[:-9]),
    "no numbers": _changed("data/0", lambda _: None),
    "fewer numbers": _changed("data/0", lambda raw: raw[:-4]),
    "half a number": _changed("data/0", lambda raw: raw[:-3]),
    "more numbers": _changed("data/0", lambda _: bytes(10**7)),
    "a longer shape": _replaced(b"K\x08\x85q", b"K\x09\x85q"),
    "a negative offset": _replaced(b"QK\0", b"QJ\xff\xff\xff\xff"),
    "a negative stride": _replaced(b"K\x01\x85", b"J\xff\xff\xff\xff\x85"),
    "a storage of another kind": _replaced(b"FloatStorage", b"device"),
    "something else elsewhere": _replaced(b"storage", b"storing"),
    "no storage": _replaced(b"tq\x07Q", b"tq\x07"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_damaged_checkpoints_end_in_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.pt").write_bytes(BAD[name])
    with pytest.raises(PickleError, match=r"expected|refused") as error:
        read_tensors(tmp_path / "a.pt")
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("new", [True, False])
def test_code_is_named_and_not_run(tmp_path: Path, new: bool, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.pt").write_bytes(saved({"a": torch.zeros(1), "b": _Bomb()}, new))
    with pytest.raises(RefusedError, match=r"it names print;"):
        read_tensors(tmp_path / "a.pt")
    assert not capsys.readouterr().out
