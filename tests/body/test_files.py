"""Body files: SMPL's own formats come in, nothing that a file names is executed."""

import contextlib
import os
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from humesh.body.files import BodyFileError, read_body
from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose

VERTICES = 40


def smpl_arrays(seed: int = 0) -> dict[str, Any]:
    """A made-up body under SMPL's own keys."""
    generator = np.random.default_rng(seed)
    regressor, weights = generator.random((24, VERTICES)), generator.random((VERTICES, 24))
    parents = np.array(SMPL24.parents, dtype=np.int64)
    return {
        "v_template": generator.normal(size=(VERTICES, 3)),
        "shapedirs": generator.normal(size=(VERTICES, 3, 300)),
        "posedirs": generator.normal(size=(VERTICES, 3, 207)),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "f": generator.integers(0, VERTICES, (30, 3)).astype(np.uint32),
        "kintree_table": np.stack([parents.astype(np.uint32), np.arange(24, dtype=np.uint32)]),
    }


def _assert_same(path: Path, arrays: dict[str, Any]) -> None:
    data = read_body(path)
    assert np.array_equal(data.template, arrays["v_template"])
    assert np.array_equal(data.shape_directions, arrays["shapedirs"][..., :10])
    assert np.array_equal(data.pose_directions, arrays["posedirs"])
    assert np.allclose(data.joint_regressor, arrays["J_regressor"])
    assert np.array_equal(data.faces, arrays["f"])
    assert BodyModel(data)(BodyPose.rest(2)).vertices.shape == (2, VERTICES, 3)


def test_an_npz_is_read(tmp_path: Path) -> None:
    arrays = smpl_arrays()
    np.savez(tmp_path / "body.npz", **arrays)
    _assert_same(tmp_path / "body.npz", arrays)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("layout", ["csc", "csr", "coo", None])
def test_pickles_of_every_protocol_and_sparse_layout_are_read(
    tmp_path: Path, protocol: int, layout: str | None
) -> None:
    arrays = smpl_arrays()
    stored = {**arrays, "bs_style": "lbs", "bs_type": "lrotmin"}
    if layout:
        stored["J_regressor"] = getattr(scipy.sparse, f"{layout}_matrix")(arrays["J_regressor"])
    (tmp_path / "body.pkl").write_bytes(pickle.dumps(stored, protocol=protocol))
    _assert_same(tmp_path / "body.pkl", arrays)


@pytest.fixture
def chumpy(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Classes named like chumpy's, to make pickles like the original SMPL files; absent again when these are read."""
    package, ch, reordering = (
        types.ModuleType("chumpy"),
        types.ModuleType("chumpy.ch"),
        types.ModuleType("chumpy.reordering"),
    )
    for name, module in (("Ch", ch), ("Select", reordering)):
        kind = type(name, (), {"__module__": module.__name__})
        setattr(module, name, kind)
        setattr(package, name, kind)
    for module in (package, ch, reordering):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return package


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_chumpy_arrays_are_read_as_data_without_chumpy(
    tmp_path: Path, protocol: int, chumpy: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = smpl_arrays()
    plain, select, whole = chumpy.Ch(), chumpy.Select(), chumpy.Ch()
    plain.__dict__ |= {"x": arrays["v_template"], "_dirty_vars": {"x"}, "_itr": None}
    whole.__dict__ |= {"x": arrays["shapedirs"][:, :, ::-1].copy()}
    order = np.arange(arrays["shapedirs"].size).reshape(arrays["shapedirs"].shape)[:, :, ::-1].ravel()
    select.__dict__ |= {"a": whole, "idxs": order, "preferred_shape": arrays["shapedirs"].shape}
    content = pickle.dumps({**arrays, "v_template": plain, "shapedirs": select}, protocol=protocol)
    assert b"chumpy" in content
    for name in ("chumpy", "chumpy.ch", "chumpy.reordering"):
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "body.pkl").write_bytes(content)
    _assert_same(tmp_path / "body.pkl", arrays)
    assert "chumpy" not in sys.modules


class _Payload:
    """On unpickling, makes a file: what a malicious body file would do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


class _OpenPayload(_Payload):
    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


class _EvalPayload(_Payload):
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"open({str(self.path)!r}, 'w')",)


@pytest.mark.parametrize("payload", [_Payload, _OpenPayload, _EvalPayload])
@pytest.mark.parametrize("inside", ["alone", "dict", "object array", "npz"])
def test_a_malicious_file_is_refused_and_nothing_is_executed(
    tmp_path: Path, payload: type[_Payload], inside: str
) -> None:
    trap = tmp_path / "trap"
    evil = payload(trap)
    hidden = np.array([evil, evil], dtype=object)
    content = {"alone": evil, "dict": {**smpl_arrays(), "v_template": evil}, "object array": {"v_template": hidden}}
    path = tmp_path / "body.pkl"
    if inside == "npz":
        np.savez(path.with_suffix(".npz"), **{**smpl_arrays(), "v_template": hidden})
        path = path.with_suffix(".npz")
    else:
        path.write_bytes(pickle.dumps(content[inside]))
    with pytest.raises(BodyFileError):
        read_body(path)
    assert not trap.exists()
    if inside == "alone":
        pickle.loads(path.read_bytes())  # the trap does work on somebody who just loads the file
        assert trap.exists()


def test_numpy_functions_that_could_read_or_run_are_refused(tmp_path: Path) -> None:
    for module, name in [("numpy", "load"), ("numpy", "fromfile"), ("numpy.core.multiarray", "fromstring"),
                         ("scipy.sparse", "load_npz"), ("chumpy", "os.system"), ("builtins", "getattr")]:  # fmt: skip
        path = tmp_path / "body.pkl"
        path.write_bytes(f"c{module}\n{name}\n(S'x'\ntR.".encode())
        with pytest.raises(BodyFileError):
            read_body(path)


@given(st.binary(max_size=300), st.integers(0, 2**31))
def test_damaged_files_end_in_one_sentence(noise: bytes, seed: int) -> None:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"humesh_damaged_{os.getpid()}.pkl"
    whole = bytearray(pickle.dumps(smpl_arrays(), protocol=2))
    generator = np.random.default_rng(seed)
    for at in generator.integers(0, len(whole), 5):
        whole[at] = generator.integers(0, 256)
    try:
        for content in (noise, bytes(whole[: seed % len(whole)])):
            path.write_bytes(content)
            with pytest.raises(BodyFileError, match=r"body"):
                read_body(path)
        path.write_bytes(bytes(whole))
        with contextlib.suppress(BodyFileError):  # a changed number is still a number: that body is read
            read_body(path)
    finally:
        path.unlink(missing_ok=True)


def _without(arrays: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in arrays.items() if k != key}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: _without(a, "weights"), r"expected a body with weights, found J_regressor, f, "),
        (lambda a: {**a, "weights": a["weights"][:-1]}, r"expected 'weights' of shape V = 40 x 24, got 39 x 24"),
        (lambda a: {**a, "shapedirs": a["shapedirs"][0]}, r"expected 'shapedirs' of shape V = 40 x 3 x S, got 3 x 300"),
        (lambda a: {**a, "kintree_table": a["kintree_table"][:, :20]}, "expected SMPL's tree of 24 joints, got 20"),
        (lambda a: {**a, "v_template": a["v_template"] * np.nan}, "expected finite numbers"),
        (lambda a: {**a, "v_template": np.array(["a", "b"])}, "expected 'v_template' to hold numbers, got <U1"),
        (lambda a: list(a.values()), "expected a pickled dictionary of arrays, got list"),
        (lambda a: {**a, "f": a["f"] + 20}, "expected faces of vertices 0 to 39, got others"),
        (lambda a: {**a, "f": a["f"].astype(int) - 20}, "expected faces of vertices 0 to 39, got others"),
        (lambda a: {**a, "f": a["f"][:0]}, "expected faces of vertices 0 to 39, got others or none"),
        (lambda a: {**a, "f": a["f"].tolist()}, "expected numbers in 'f', got list"),
        (lambda a: {**a, "f": a["f"][:, :2]}, "expected 'f' of shape F = 30 x 3, got 30 x 2"),
        (lambda a: {**a, "kintree_table": 3}, "expected numbers in 'kintree_table', got int"),
        (lambda a: {**a, "kintree_table": a["kintree_table"][0]}, "expected 'kintree_table' of shape 2 x joints"),
        (lambda a: {**a, "kintree_table": a["kintree_table"][:0]}, "expected 'kintree_table' of shape 2 x joints"),
        (lambda a: {**a, "posedirs": a["posedirs"][..., :5]}, "expected 'posedirs' of shape V = 40 x 3 x 207, got"),
        (lambda a: {**a, "J_regressor": a["J_regressor"][:, 1:]}, "expected 'J_regressor' of shape 24 x V = 40, got"),
        (lambda a: {**a, "regressor_h36m17": np.ones((3, 3))}, "expected 'regressor_h36m17' of shape 17 x V = 40, got"),
        (
            lambda a: {**a, "regressor_h36m17": np.full((17, 40), np.inf)},
            "expected finite numbers in 'regressor_h36m17'",
        ),
    ],
)
def test_wrong_bodies_are_refused(tmp_path: Path, change: Any, sentence: str) -> None:
    path, changed = tmp_path / "body.pkl", change(smpl_arrays())
    path.write_bytes(pickle.dumps(changed))
    with pytest.raises(BodyFileError, match=sentence):
        read_body(path)
    if isinstance(changed, dict) and all(isinstance(part, np.ndarray) for part in changed.values()):
        np.savez(tmp_path / "body.npz", **changed)
        with pytest.raises(BodyFileError, match=sentence):
            read_body(tmp_path / "body.npz")


def test_a_body_takes_no_more_memory_than_it_has(tmp_path: Path) -> None:
    """What the file has besides, and the shapes that nobody asks for, are not kept."""
    arrays = smpl_arrays() | {"regressor_elsewhere": np.ones((2, 2)), "pose_training_info": [["x"]]}
    (tmp_path / "body.pkl").write_bytes(pickle.dumps(arrays))
    data = read_body(tmp_path / "body.pkl")
    assert data.shape_directions.base is None
    assert set(data.keypoint_regressors) == {"surface12"}


def test_a_missing_file_is_named_with_what_there_is() -> None:
    with pytest.raises(
        BodyFileError, match=r"'nowhere.pkl': expected open, open-low or an SMPL .pkl or .npz file, found no such"
    ):
        read_body("nowhere.pkl")


def test_our_own_assets_hold_no_pickles() -> None:
    import humesh

    for path in (Path(humesh.__file__).parent / "body" / "assets").glob("*.npz"):
        with np.load(path, allow_pickle=False) as archive:
            assert all(archive[key].dtype.kind in "fiuU" for key in archive.files)
