"""The reader of pickles: what Python's gives for plain data of every protocol, and one sentence for all else."""

from __future__ import annotations

import contextlib
import math
import pickle
import struct
import sys
import types
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from humesh.body.pickles import PickleError, RefusedError, read_pickle

NAMES = st.one_of(st.text(max_size=9), st.integers(-(2**59), 2**59), st.booleans(), st.none())
KEYS = NAMES | st.binary(max_size=9)
PLAIN = st.one_of(KEYS, st.integers(), st.floats(), st.text(min_size=1100, max_size=1300), st.sets(KEYS))
DTYPES = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(endianness="?"),
    arrays.unsigned_integer_dtypes(endianness="?"),
    arrays.floating_dtypes(sizes=(16, 32, 64), endianness="?"),
    arrays.byte_string_dtypes(max_len=9),
    arrays.unicode_string_dtypes(max_len=9),
)
ARRAYS = arrays.arrays(DTYPES, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
SCALARS = arrays.arrays(DTYPES, ()).map(lambda a: a[()]).filter(lambda a: a.itemsize > 0)  # b"" is of no known type
ARRAYS = st.one_of(ARRAYS, ARRAYS.map(np.asfortranarray), SCALARS)
DATA = st.recursive(
    PLAIN | ARRAYS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(NAMES, inner, max_size=4),
        st.dictionaries(NAMES, inner, max_size=4).map(OrderedDict),
    ),
    max_leaves=12,
)


class Python2(pickle._Pickler):  # type: ignore[name-defined]
    """Pickles as Python 2 did: its byte strings, an array's bytes among them, are texts here."""

    dispatch = pickle._Pickler.dispatch.copy()  # type: ignore[attr-defined]

    def save_string(self, value: bytes | str) -> None:
        raw = value.encode("latin1") if isinstance(value, str) else value
        if not self.bin:
            self.write(b"S'" + raw.decode("latin1").encode("unicode_escape").replace(b"'", b"\\'") + b"'\n")
        elif len(raw) < 256:
            self.write(b"U" + bytes([len(raw)]) + raw)
        else:
            self.write(b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_string


def _python2(value: Any, protocol: int, folder: Path) -> bytes:
    with (folder / "stream").open("wb") as stream:
        Python2(stream, protocol).dump(value)
    return (folder / "stream").read_bytes()


def same(one: Any, other: Any) -> bool:
    """Whether two values are of one type and equal, NaN included; sets are read as lists, arrays as native ones."""
    if isinstance(other, set):
        one = set(one)
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        native = other.astype(other.dtype.newbyteorder("="))
        return one.flags.c_contiguous and one.dtype == native.dtype and one.tobytes() == native.tobytes()
    if isinstance(one, dict):
        return len(one) == len(other) and all(map(same, one.items(), other.items()))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.generic):
        return one.dtype == other.dtype and one.tobytes() == other.tobytes()
    return bool(one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other)))


@given(DATA, st.integers(0, 5))
def test_plain_data_is_as_python_reads_it(value: Any, protocol: int) -> None:
    content = pickle.dumps(value, protocol)
    assert same(read_pickle(content), pickle.loads(content))


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_what_python_2_wrote_is_as_python_reads_it(protocol: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    value = {
        "numbers": rng.normal(size=(300, 3)),
        "faces": np.arange(600, dtype=">u4").reshape(2, 300, order="F"),
        "names": ["a'b\\\n", "\xe9\xff", {"": 1.5, "x": -(2**70), "y": True}],
        "scalar": np.float32(2.5),
    }
    content = _python2(value, protocol, tmp_path)
    assert same(read_pickle(content), pickle.loads(content, encoding="latin1"))
    pairs = [["x", 1], ["y", 2]]  # as Python 2 keeps an OrderedDict
    content = b"ccollections\nOrderedDict\n(" + pickle.dumps(pairs, 0)[:-1] + b"tR."
    assert same(read_pickle(content), OrderedDict(x=1, y=2))


def test_arrays_are_writable_and_shared_values_stay_shared() -> None:
    array = np.arange(5.0)
    one, other = read_pickle(pickle.dumps([array, array]))
    one[0] = 7
    assert other is one
    across = np.arange(24.0).reshape(2, 3, 4).transpose(1, 2, 0)
    assert np.array_equal(read_pickle(pickle.dumps(across, 5)), across)


def test_only_some_of_a_dictionary(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": np.arange(3), "b": [[[1]]], 3: 4}))
    assert list(read_pickle(tmp_path / "a.pkl", only=["a", "c"])) == ["a"]


def _ndarray(shape: bytes, dtype: bytes, raw: bytes, state: bytes = b"N") -> bytes:
    """The opcodes of an array, from those of its parts."""
    kind = b"cnumpy\ndtype\n(" + dtype + b"I0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n"
        + shape
        + kind
        + b"I00\n"
        + raw
        + b"tb"
    )


def _chumpy(state: bytes) -> bytes:
    return b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nNtR" + state + b"b"


def _deep(start: bytes, layer: bytes, count: int) -> bytes:
    return start + layer * count + b"."


BILLION = b"(lp0\n" + b"".join(
    b"0(l" + b"g%d\na" % i * 10 + b"p%d\n" % (i + 1) for i in range(12)
)  # lists of ten times the list before
ARRAY = _ndarray(b"(I4\nt", b"S'f8'\n", b"S'" + b"0" * 32 + b"'\n")
BAD = {
    "nothing": b"",
    "cut": pickle.dumps(np.arange(9))[:-9],
    "a name": b"cos\nsystem\n(S'true'\ntR.",
    "a name as a value": b"cnumpy\nndarray\n.",
    "a name of numpy": b"cnumpy\nload\n(S'x'\ntR.",
    "a name of chumpy's module": b"cchumpy\nos.system\n(S'x'\ntR.",
    "a call of what is only named": b"cnumpy\nndarray\n((I1\ntS'O'\nS'AAAAAAAA'\ntR.",
    "ndarray of objects in a set": pickle.dumps({})[:-1] + b"c__builtin__\nset\n(cnumpy\nndarray\n((I1\ntS'O'\nC\x08"
    b"AAAAAAAAtRtR.",
    "a state for a function": b"\x80\x02c_codecs\nencode\nN}(U\x0c__defaults__(U\x04utf7tu\x86b.",
    "a call of a value": b"]))R.",
    "a state for a list": b"](dS'x'\nI1\nsb.",
    "two states": _chumpy(b"(dS'x'\nI1\ns") + b"(dS'x'\nI1\nsb.",
    "INST": b"(ios\nsystem\n.",
    "an extension's code": b"\x80\x02\x82\x01.",
    "a persistent id": b"S'x'\nQ.",
    "a persistent line": b"Px\n.",
    "a buffer elsewhere": b"\x80\x05\x97.",
    "keywords": b"\x80\x04cnumpy\ndtype\n)}\x92.",
    "protocol 9": b"\x80\x09N.",
    "an empty stack": b"0.",
    "below a mark": b"N(\x85.",
    "no mark": b"e.",
    "a memo that is not there": b"h\x07.",
    "a huge memo": b"\x80\x02Nr\xff\xff\xff\xff0h\x01.",
    "2**60 bytes": b"\x80\x04\x8e\x00\x00\x00\x00\x00\x00\x00\x10abc.",
    "a number of 5,000 digits": b"I" + b"9" * 5000 + b"\n.",
    "a number of 2,000 digits": b"I" + b"9" * 2000 + b"\n.",
    "a long of 2,000 bytes": b"\x80\x02\x8b\xd0\x07\x00\x00" + b"\x01" * 2000 + b".",
    "a long of 2 GB": b"\x80\x02\x8b\xff\xff\xff\x7fabc.",
    "a negative string": b"T\xff\xff\xff\xffabc.",
    "tuples in tuples": _deep(b")", b"\x85", 20_000),
    "lists in lists": b"(l" + b"(l" * 20_000 + b"a" * 20_000 + b".",
    "tuples in tuples, hashed": b"(d)" + b"\x85" * 100_000 + b"Ns.",
    "a list that holds itself": b"(lp0\ng0\na.",
    "a dictionary that holds itself": b"(dp0\nS'a'\ng0\ns.",
    "a list as a key": b"(d(lNs.",
    "an array as a key": b"(d" + ARRAY + b"Ns.",
    "a frozen set": pickle.dumps(frozenset([1]), 4),
    "half a dictionary": b"(dNS'x'\n(Nu.",
    "items of a tuple": b")N\x85(NNu.",
    "objects": _ndarray(b"(I1\nt", b"S'O8'\n", b"S'AAAAAAAA'\n") + b".",
    "fewer objects": pickle.dumps(np.array([1, "a"], dtype=object), 4).replace(b"K\x02\x85", b"K\x03\x85"),
    "records": pickle.dumps(np.zeros(2, [("a", "f8")])),
    "times": pickle.dumps(np.zeros(2, "M8[s]")),
    "complex": pickle.dumps(np.zeros(2, complex)),
    "a dtype of many": _ndarray(b"(I1\nt", b"S'f8,f8'\n", b"S'" + b"0" * 16 + b"'\n") + b".",
    "a wide dtype": _ndarray(b"(I0\nt", b"S'U999999999'\n", b"S''\n") + b".",
    "a dtype without width": _ndarray(b"(I4\nt", b"S'S0'\n", b"S''\n") + b".",
    "8 GB": _ndarray(b"(I1000000000\nt", b"S'f8'\n", b"S''\n") + b".",
    "a negative shape": _ndarray(b"(I-1\nI-4\nt", b"S'f8'\n", b"S'" + b"0" * 32 + b"'\n") + b".",
    "a shape of no numbers": _ndarray(b"(S'4'\nt", b"S'f8'\n", b"S'" + b"0" * 32 + b"'\n") + b".",
    "truth values of 7": _ndarray(b"(I1\nt", b"S'b1'\n", b"S'\\x07'\n") + b".",
    "no characters": _ndarray(b"(I1\nt", b"S'U1'\n", b"S'\\xff\\xff\\xff\\xff'\n") + b".",
    "an array without a state": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR.",
    "an array of a class": ARRAY.replace(b"cnumpy\nndarray\n", b"cnumpy\ndtype\n") + b".",
    "an array with items": ARRAY + b"NNs.",
    "numbers with fields": ARRAY.replace(b"S'<'\nNNN", b"S'<'\nN(S'a'\nt}") + b".",
    "an array within its shape": ARRAY.replace(b"S'b'\ntR", b"S'b'\ntRp0\n").replace(b"(I4\nt", b"g0\n") + b".",
    "another encoding": b"c_codecs\nencode\n(Vabc\nVutf7\ntR.",
    "empty bytes with an argument": b"c__builtin__\nbytes\n(I1000000000\ntR.",
    "an object of another kind": b"ccopy_reg\n_reconstructor\n(c__builtin__\nobject\nc__builtin__\nobject\nNtR.",
    "chumpy that is itself": _chumpy(b"(dS'x'\ng0\ns").replace(b"NtR", b"NtRp0\n") + b".",
    "chumpy without parts": _chumpy(b"I1\n") + b".",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_plain_data_is_refused(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PickleError) as error:
            read_pickle(BAD[name])
    assert len(str(error.value)) < 400


def test_the_sentence_says_what_was_named() -> None:
    with pytest.raises(RefusedError, match=r"it names posix\.system;") as error:
        read_pickle(b"cposix\nsystem\n(S'true'\ntR.")
    assert error.value.name == "posix.system"
    with pytest.raises(RefusedError) as error:
        read_pickle(b"\x80\x04X\x00\x02\x00\x00" + b"\n\x01" * 256 + b"X\x01\x00\x00\x00n\x93.")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 400


def test_arrays_of_objects_are_read_as_plain_values() -> None:
    array = np.array([1, "a", [2, 3], None], dtype=object)
    assert list(read_pickle(pickle.dumps(array))) == list(array)


@given(st.binary(max_size=200), st.integers(0, 2**31), st.integers(0, 5))
def test_damaged_bytes_end_in_one_sentence(noise: bytes, seed: int, protocol: int) -> None:
    content = {"a": np.arange(6.0), "b": [1, "two", b"3"], "s": scipy.sparse.csc_matrix(np.eye(3))}
    whole = bytearray(pickle.dumps(content, protocol))
    rng = np.random.default_rng(seed)
    for at in rng.integers(0, len(whole), 3):
        whole[at] = rng.integers(0, 256)
    for damaged in (noise, bytes(whole)):
        with contextlib.suppress(PickleError):  # a changed number is still a number
            read_pickle(damaged)


def _matrix(layout: str, **changed: Any) -> bytes:
    """A pickled sparse matrix, some of whose attributes are others."""
    matrix = getattr(scipy.sparse, f"{layout}_matrix")(np.array([[0, 2.0, 3.0], [4.0, 0, 0]]))
    assert np.array_equal(read_pickle(pickle.dumps(matrix)), matrix.toarray())
    matrix.__dict__ |= changed
    return pickle.dumps(matrix)


@pytest.mark.parametrize(
    ("layout", "changed"),
    [
        ("csc", {"_shape": (10**6, 10**6)}),
        ("csc", {"_shape": (-2, -3)}),
        ("csc", {"_shape": 6}),
        ("csc", {"data": None}),
        ("csc", {"data": np.zeros((3, 1))}),
        ("csc", {"indices": np.array([0, 1, 2])}),
        ("csr", {"indices": np.array([0, 1, -1])}),
        ("csc", {"indices": np.array([0, 1.5, 1])}),
        ("csc", {"data": np.zeros(2)}),
        ("csc", {"indptr": np.array([0, 10**9, 10**9, 3])}),
        ("csc", {"indptr": np.array([0, 10**9, 10**9, 10**9])}),
        ("csr", {"indptr": np.array([0, 3])}),
        ("csc", {"indptr": np.array([5, 6, 7, 8])}),
        ("csr", {"indptr": np.zeros(0, int)}),
        ("coo", {"coords": (np.zeros(3, int),)}),
        ("coo", {"coords": (np.zeros(3, int), np.full(3, 3))}),
    ],
)
def test_damaged_sparse_matrices_are_refused(layout: str, changed: dict[str, Any]) -> None:
    with pytest.raises(PickleError, match="expected "):
        read_pickle(_matrix(layout, **changed))


def test_entries_stored_twice_are_added() -> None:
    twice = scipy.sparse.coo_matrix((np.array([1.0, 2.0]), (np.array([0, 0]), np.array([1, 1]))), shape=(2, 2))
    assert read_pickle(pickle.dumps(twice))[0, 1] == 3


class Ch:
    """Pickled as chumpy's arrays are: a class of its module with a state."""

    def __init__(self, **state: Any) -> None:
        self.__dict__ |= state


Ch.__module__ = "chumpy.ch"


def _chumpy_pickle(state: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module := types.ModuleType("chumpy.ch"))
    module.Ch = Ch  # type: ignore[attr-defined]
    return pickle.dumps(Ch(**state))


def test_a_choice_of_chumpys_entries_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    content = _chumpy_pickle({"a": Ch(x=np.arange(3)), "idxs": np.array([2, 0])}, monkeypatch)
    assert np.array_equal(read_pickle(content), [2, 0])


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"x": 3},
        {"a": np.arange(3)},
        {"a": np.arange(3), "idxs": np.array([3])},
        {"a": np.arange(3), "idxs": np.array([-1])},
        {"a": np.arange(3), "idxs": np.array([0.5])},
        {"a": np.arange(3), "idxs": np.array([0, 1]), "preferred_shape": (3,)},
        {"a": np.arange(3), "idxs": np.array([0, 1]), "preferred_shape": (-1, -2)},
        {"a": np.arange(3), "idxs": np.array([0, 1]), "preferred_shape": (1,) * 99 + (2,)},
    ],
)
def test_damaged_chumpy_arrays_are_refused(state: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PickleError):
        read_pickle(_chumpy_pickle(state, monkeypatch))


def test_shapes_of_thousands_of_axes_are_refused() -> None:
    axes = b"(" + b"I99999999\n" * 10_000 + b"t"
    with pytest.raises(PickleError, match="other bytes than its shape needs"):
        read_pickle(_ndarray(axes, b"S'f8'\n", b"S'" + b"0" * 32 + b"'\n") + b".")
    with pytest.raises(PickleError, match="got dtype list"):
        read_pickle(b"cnumpy\ndtype\n(" + BILLION[:200] + b"I0\nI1\ntR.")
