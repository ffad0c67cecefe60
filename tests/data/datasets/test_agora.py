"""AGORA: pickled pandas frames of lists of people, fits of torch tensors, cameras in Unreal's axes by picture name."""

import math
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pickles import PickleError
from humesh.body.pose import BodyPose
from humesh.data.datasets.agora import Agora, read_frame
from humesh.data.datasets.reader import DatasetError
from humesh.geometry.rotations import rotation_from_axis_angle

WIDTH, HEIGHT = 320, 180
PICTURES = {  # picture: focal mm, camera in Unreal's axes (x forward, y right, z up; cm), yaw, pitch, ground
    "ag_validationset_axyz_10_15_ag2_00001.png": (28, (0, 0, 170), 0, 15, 0),
    "ag_validationset_3dpeople_bfh_hdri_50mm_5_10_00002.png": (50, (0, 0, 170), 0, 0, 0),
    "ag_validationset_3dpeople_bfh_archviz_5_10_cam02_00003.png": (18, (-490, 170, 265), -45, 30, 0),
    "ag_validationset_renderpeople_bfh_forest_5_10_00004.png": (28, (210, -40, 160), 25, 0, -1.7),
}


def _turned(axis: str, degrees: float, points: np.ndarray) -> np.ndarray:
    """Points turned about an axis, written out: not through the library."""
    a, c = math.radians(degrees), points.T.copy()
    u, v = {"x": (1, 2), "y": (2, 0)}[axis]
    c[u], c[v] = (
        math.cos(a) * points[:, u] - math.sin(a) * points[:, v],
        math.sin(a) * points[:, u] + math.cos(a) * points[:, v],
    )
    return c.T


@pytest.fixture(params=["pandas 1.1", "pandas 1.5"])
def pandas(request: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, list[Any]]], bytes]:
    """Makes pickles as pandas does, from classes of its names, which are gone when these are read."""
    names = ["pandas", "pandas.core", "pandas.core.frame", "pandas.core.internals", "pandas._libs",
             "pandas.core.internals.managers", "pandas.core.indexes", "pandas.core.indexes.base",
             "pandas.core.indexes.range", "pandas._libs.internals"]  # fmt: skip
    modules = {name: types.ModuleType(name) for name in names}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)

    def kind(module: str, name: str, **methods: Any) -> Any:
        made = type(name, (), {"__module__": module, **methods})
        setattr(modules[module], name, made)
        return made

    def function(module: str, name: str) -> Any:
        def made(*_: Any) -> None: ...

        made.__module__, made.__name__, made.__qualname__ = module, name, name
        setattr(modules[module], name, made)
        return made

    new_index = function("pandas.core.indexes.base", "_new_Index")
    unpickle = function("pandas._libs.internals", "_unpickle_block")
    index = kind("pandas.core.indexes.base", "Index", __reduce__=lambda s: (new_index, (type(s), s.said)))
    rows = kind("pandas.core.indexes.range", "RangeIndex", __reduce__=lambda s: (new_index, (type(s), s.said)))
    block = type("Block", (), {"__reduce__": lambda s: (unpickle, s.said)})
    new = request.param == "pandas 1.5"
    methods = (
        {"__reduce__": lambda s: (type(s), s.said)}
        if new
        else {"__getstate__": lambda s: s.said, "__setstate__": lambda s, said: None}
    )
    manager_kind = kind("pandas.core.internals.managers", "BlockManager", **methods)
    frame_kind = kind("pandas.core.frame", "DataFrame")

    def made(columns: dict[str, list[Any]]) -> bytes:
        count = len(next(iter(columns.values())))
        axes = [index(), rows()]
        axes[0].said = {"data": np.array(list(columns), dtype=object), "name": None}
        axes[1].said = {"name": None, "start": 0, "stop": count, "step": 1}
        # Two blocks, as pandas keeps numbers and objects apart; the second one's columns lie scattered.
        groups = [[i for i, v in enumerate(columns.values()) if isinstance(v[0], float) == number] for number in (1, 0)]
        blocks = []
        for places, dtype in zip(groups, (float, object), strict=True):
            values = np.empty((len(places), count), dtype=dtype)
            for at, place in enumerate(places):
                for row, value in enumerate(list(columns.values())[place]):
                    values[at, row] = value
            whole = slice(places[0], places[-1] + 1, 1)
            blocks.append((values, whole if places == list(range(*whole.indices(99))) else np.array(places)))
        manager, frame = manager_kind(), frame_kind()
        if new:
            manager.said = (tuple(block() for _ in blocks), axes)
            for one, (values, places) in zip(manager.said[0], blocks, strict=True):
                one.said = (values, places, 2)
        else:
            extra = {"axes": axes, "blocks": [{"values": v, "mgr_locs": p} for v, p in blocks]}
            manager.said = (axes, [], [], {"0.14.1": extra})
        frame.__dict__ |= {"_mgr": manager, "_typ": "dataframe", "_metadata": [], "attrs": {}}
        content = pickle.dumps(frame, protocol=5 if new else 4)
        for name in names:
            monkeypatch.delitem(sys.modules, name, raising=False)
        return content

    return made


@pytest.fixture
def download(tmp_path: Path, open_body: BodyModel, pandas: Any, write_photo: Any) -> Any:
    """Four pictures, one for each kind of camera, with three people each: the second a child, the third not valid."""
    rng = np.random.default_rng(0)
    keys = "imgPath X Y Z Yaw kid isValid gt_path_smpl camX camY camZ camYaw gt_joints_2d gt_joints_3d gt_verts"
    truth: list[Any] = []
    rows: dict[str, list[Any]] = {key: [] for key in keys.split()}
    for number, (name, (focal, eye, yaw, pitch, ground)) in enumerate(PICTURES.items()):
        picture: dict[str, list[Any]] = {key: [] for key in rows}
        for i in range(3):
            vectors, betas = 0.2 * rng.standard_normal((24, 3)), rng.standard_normal(10 + (i == 1))
            moved = 0.1 * rng.standard_normal(3)
            fit = {"root_pose": vectors[:1], "body_pose": vectors[1:], "betas": betas[None], "translation": moved[None]}
            path = f"smpl_gt/validationset/{number}_{i}.obj"
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            tensors = {key: torch.nn.Parameter(torch.tensor(value)[None]) for key, value in fit.items()}
            (tmp_path / path).with_suffix(".pkl").write_bytes(pickle.dumps(tensors if i else fit))
            pose = BodyPose(
                rotation_from_axis_angle(torch.tensor(vectors)), torch.tensor(betas[:10]), torch.tensor(moved)
            )
            place, turn = rng.uniform(-50, 50, 3) + np.array([500, 0, 0]), float(rng.uniform(0, 360))
            # The owner's way: half a turn about x, the scan's yaw, its place, the camera's place, yaw and pitch.
            points = _turned("y", turn - 90, open_body.joints(pose).numpy() * [1, -1, -1])
            points = points + np.array([place[1], -place[2], place[0]]) / 100
            points = points - np.array([eye[1] / 100, -eye[2] / 100 + ground, eye[0] / 100])
            points = _turned("x", pitch, _turned("y", -yaw, points))
            pixels = focal / 36 * 3840 * points[:, :2] / points[:, 2:] + np.array([1920, 1080])
            more = np.zeros((21, 3))  # the package smplx adds 21 points of the surface
            values = {"X": place[0], "Y": place[1], "Z": place[2], "Yaw": turn, "kid": i == 1, "isValid": i < 2,
                      "gt_path_smpl": path, "gt_verts": np.zeros((5, 3)),
                      "gt_joints_2d": np.concatenate([pixels, more[:, :2]]),
                      "gt_joints_3d": np.concatenate([points, more])}  # fmt: skip
            for key, value in values.items():
                picture[key].append(value)
            truth.append((points, pixels / 3840 * WIDTH))
        for key in rows:
            rows[key].append(picture[key])
        rows["imgPath"][-1] = name
        for key, value in zip(("camX", "camY", "camZ", "camYaw"), (*eye, yaw), strict=True):
            rows[key][-1] = float(value)
        write_photo(tmp_path / "images" / "validation" / name.replace(".png", "_1280x720.png"), (WIDTH, HEIGHT))
    (tmp_path / "CAM").mkdir()
    (tmp_path / "CAM" / "validation_0_withjv.pkl").write_bytes(pandas(rows))
    return tmp_path, truth


def test_the_truth_comes_back(download: Any, open_body: BodyModel) -> None:
    root, truth = download
    dataset = Agora(root, "validation", bodies={"smpl-neutral": open_body})
    assert "pandas" not in sys.modules
    assert [dataset[i].name for i in range(len(dataset))] == list(PICTURES)
    for number in range(4):
        sample = dataset[number]
        adult, child, hidden = sample.people
        assert hidden.points2d_weight.all()
        assert not any(w.any() for w in (hidden.pose_weight, hidden.points3d_weight, hidden.translation_weight))
        assert (adult.body, child.body) == ("smpl-neutral", "smpl-neutral-kid")
        for person, (points, pixels) in zip((adult, child), truth[3 * number :], strict=False):
            assert person.joint_set == SMPL24
            assert np.allclose(person.points3d, points, atol=1e-5)
            assert np.allclose(person.points2d, pixels, atol=1e-3)
            assert np.allclose(sample.photo.camera.project(person.points3d.double()), pixels, atol=1e-3)
            assert person.pose_weight.all()
        assert np.allclose(open_body.joints(adult.pose), truth[3 * number][0], atol=1e-5)
        assert (float(adult.translation_weight), float(child.translation_weight)) == (1, 0)
        turned = open_body.joints(child.pose) - child.pose.translation
        expected = truth[3 * number + 1][0]
        assert np.allclose(turned - turned[0], expected - expected[0], atol=1e-5)  # the rotations are exact without it
    assert len({person.identity for i in range(4) for person in dataset[i].people}) == 12


def test_wrong_downloads_are_refused(download: Any) -> None:
    root, _ = download
    with pytest.raises(DatasetError, match="AGORA: expected the split train or validation, got 'test'"):
        Agora(root, "test")
    with pytest.raises(DatasetError, match=r"expected \*\*/train_\*_withjv.pkl or .*found CAM, images, smpl_gt"):
        Agora(root, "train")
    (root / "smpl_gt" / "validationset" / "0_0.pkl").unlink()
    with pytest.raises(DatasetError, match=r"0_0.pkl: expected an SMPL fit, found nothing; fetch the SMPL fits"):
        Agora(root, "validation")[0]
    path = root / "CAM" / "validation_0_withjv.pkl"
    other = root / "CAM_SMPLX" / path.name
    other.parent.mkdir()
    other.write_bytes(path.read_bytes())
    with pytest.raises(DatasetError, match="expected camera frames in one folder, found CAM, CAM_SMPLX"):
        Agora(root, "validation")
    other.unlink()
    assert len(Agora(root, "validation")) == 4
    path.write_bytes(b"cpandas\nread_pickle\n(S'x'\ntR.")
    with pytest.raises(DatasetError, match=r"refused, it names pandas.read_pickle"):
        Agora(root, "validation")


def test_a_malicious_fit_is_refused_and_nothing_is_executed(download: Any) -> None:
    root, _ = download
    trap = root / "trap"
    evil = f"cposix\nsystem\n(S'touch {trap}'\ntR.".encode()
    path = root / "smpl_gt" / "validationset" / "0_0.pkl"
    inside = b"\x80\x04ctorch.storage\n_load_from_bytes\n(C" + bytes([len(evil)]) + evil + b"tR."
    for content in (evil, inside):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"0_0.pkl: expected an SMPL fit, could not read it"):
            Agora(root, "validation")[0]
        assert not trap.exists()


def test_frames_without_joints_need_the_body(tmp_path: Path, pandas: Any) -> None:
    path = tmp_path / "validation_0.pkl"
    path.write_bytes(pandas({"imgPath": ["a.png"], "X": [[1.0]], "camX": [1.0]}))
    assert {key: list(value) for key, value in read_frame(path).items()} == {
        "imgPath": ["a.png"], "X": [[1.0]], "camX": [1.0]}  # fmt: skip
    with pytest.raises(DatasetError, match="it has no Y, Z, Yaw"):
        Agora(tmp_path, "validation")
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(PickleError, match="expected a pandas DataFrame, got list"):
        read_frame(path)
