"""Every benchmark on its data set's fake download, through the whole command: truth scores 0, an offset itself."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from humesh.body.label_bodies import BodyFiles
from humesh.body.pose import BodyPose
from humesh.commands.main import main
from humesh.data import DATASETS
from humesh.data.sample import LabelledPerson
from humesh.evaluation.errors import Ruler
from humesh.evaluation.protocols import PROTOCOLS, Protocol, Stretch
from humesh.evaluation.run import Chained

_READERS = Path(__file__).parents[1] / "data" / "datasets"


def _module(name: str) -> ModuleType:
    """A module of the readers' tests, which write the fake downloads."""
    spec = importlib.util.spec_from_file_location(f"readers_{name}", _READERS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_FIXTURES = _module("conftest")
figures, write_photo, matrix = _FIXTURES.figures, _FIXTURES.write_photo, _FIXTURES.matrix
agora, pandas = (lambda module: (module.download, module.pandas))(_module("test_agora"))
cmu_panoptic, emdb = _module("test_cmu_panoptic").download, _module("test_emdb").download
human36m, mupots = _module("test_human36m").download, _module("test_mupots3d").download
mpi_inf_3dhp = _module("test_mpi_inf_3dhp").test_set
threedoh, threedpw = _module("test_threedoh").download, _module("test_threedpw").download

SIMPLE = [
    "3dpw", "3dpw-int", "3dpw-24", "3dpw-multi-roi", "3doh50k", "h36m-p1", "h36m-p2", "h36m-int", "emdb-1",
]  # fmt: skip


@pytest.mark.parametrize("name", SIMPLE)
def test_benchmark(name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request.getfixturevalue(PROTOCOLS[name].dataset)
    _check(PROTOCOLS[name], tmp_path, monkeypatch)


@pytest.mark.parametrize("name", ["3dpw-oc", "3dpw-pc", "3dpw-crowd"])
def test_subset(name: str, threedpw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one split, as the fake sequence stands in all three; its first frame alone counts."""
    one = replace(PROTOCOLS[name], readings=((("split", "validation"),),), stretches=(Stretch("walk_00", 0, 1),))
    _check(one, tmp_path, monkeypatch, frames=range(1))


def test_agora(agora: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _check(PROTOCOLS["agora"], tmp_path, monkeypatch)


def test_mpi_inf_3dhp(mpi_inf_3dhp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _check(PROTOCOLS["mpi-inf-3dhp"], tmp_path, monkeypatch)


def test_h36m_multi_roi(human36m: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of labels with fits and genders, which SPIN's own file of that name lacks."""
    (tmp_path / "h36m_with_fits.npz").replace(tmp_path / "h36m_valid_protocol1.npz")
    _check(PROTOCOLS["h36m-multi-roi"], tmp_path, monkeypatch)


def test_panoptic(cmu_panoptic: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = replace(
        PROTOCOLS["panoptic"],
        readings=((("split", "test"), ("activity", "pizza"), ("cameras", (16,))),),
        groups=("pizza",),
    )
    _check(one, tmp_path, monkeypatch)


def test_mupots(mupots: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _check(replace(PROTOCOLS["mupots"], readings=((("split", "test"), ("sequences", (1, 2))),)), tmp_path, monkeypatch)


def _check(protocol: Protocol, root: Path, monkeypatch: pytest.MonkeyPatch, frames: range = range(2**31)) -> None:
    """The truth as predictions: of points, also moved, and of bodies. SMPL's files hold the open body here."""
    monkeypatch.setitem(PROTOCOLS, protocol.name, protocol)
    monkeypatch.chdir(root)
    (root / "smpl").mkdir()
    for gender in ("NEUTRAL", "MALE", "FEMALE"):
        with (files("humesh.body") / "assets" / "open_body.npz").open("rb") as asset:
            (root / "smpl" / f"SMPL_{gender}.npz").write_bytes(asset.read())
    dataset = Chained([DATASETS[protocol.dataset](root=root, **dict(r)) for r in protocol.readings])
    bodies = BodyFiles(root / "smpl")
    ruler = Ruler(protocol, bodies, bodies.predicted)
    samples = [sample for sample in (dataset[i] for i in range(len(dataset))) if sample.frame in frames]
    people = [(s.name, i, p) for s in samples for i, p in enumerate(s.people) if ruler.evaluates(p)]
    sequences = np.array([s.sequence for s in samples for p in s.people if ruler.evaluates(p)])
    assert people
    named = {"name": np.array([p[0] for p in people]), "person": np.array([p[1] for p in people])}
    truth = torch.cat([_points(ruler, bodies, person) for *_, person in people])
    score = _scorer(protocol, root, monkeypatch)
    share = sum(name not in protocol.root for name in protocol.joints) / len(protocol.joints)
    for offset in (0.0, 0.03):
        moved = truth.clone()
        moved[:, [k for k, name in enumerate(ruler.names) if name not in protocol.root], 0] += offset
        np.savez(root / "points.npz", **named, points=moved.numpy(), point_names=np.array(ruler.names))
        got, numbers = score("points.npz")
        assert (got["people"], got["missed"], got["extra"]) == (len(people), 0, 0)
        expected = 1000 * offset * share
        if protocol.true_bone_lengths:
            left = _left_of_an_offset(ruler, truth.double(), offset)
            expected = 1000 * np.mean([left[sequences == name].mean() for name in set(sequences.tolist())])
            assert (expected > 1) == (offset > 0)
        assert numbers["mpjpe"] == pytest.approx(expected, abs=2e-3)
        assert numbers.get("pck_all", 100) == numbers.get("f1", 1) * 100 == 100
    if protocol.truth != "annotated points":
        poses = [person.pose for *_, person in people]
        for field in ("rotations", "shape", "translation"):
            named[field] = torch.stack([getattr(pose, field) for pose in poses]).numpy()
        np.savez(root / "bodies.npz", **named)
        _, numbers = score("bodies.npz")
        assert ("pve" in numbers) == ("pve" in protocol.metrics)
        assert (numbers["mpjpe"], numbers.get("pve", 0)) == (pytest.approx(0, abs=2e-3), pytest.approx(0, abs=2e-3))
    shutil.rmtree(root / "smpl")  # 6 MB


def _scorer(protocol: Protocol, root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    def score(predictions: str) -> Any:
        words = (predictions, protocol.name, "--root", str(root), "--body", "smpl", "-o", "n.json", "--keep", "kept")
        monkeypatch.setattr("sys.argv", ["humesh", "evaluate", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        got = json.loads((root / "n.json").read_text())
        return got, {number["name"]: number["ours"] for number in got["numbers"]}

    return score


def _left_of_an_offset(ruler: Ruler, truth: torch.Tensor, offset: float) -> np.ndarray:
    """What bones of true lengths leave of an offset along x of all but the pelvis: everybody's mean, metres.

    The pelvis's three bones v become v + o, then |v| (v + o) / |v + o|, and carry all that hangs on them; other bones
    stay as they are. Of MuPoTS's 14 joints 8 (head and arms) hang on the spine and 3 on each hip.
    """
    total = torch.zeros(len(truth)).double()
    for joint, carried in {"spine": 8, "right_hip": 3, "left_hip": 3}.items():
        bone = truth[:, ruler.names.index(joint)] - truth[:, ruler.names.index("pelvis")]
        moved = bone + torch.tensor([offset, 0.0, 0.0])
        turned = moved * (bone.norm(dim=-1, keepdim=True) / moved.norm(dim=-1, keepdim=True))
        total += carried / 14 * (turned - bone).norm(dim=-1)
    return total.numpy()


def _points(ruler: Ruler, bodies: BodyFiles, person: LabelledPerson) -> torch.Tensor:
    """Where somebody's labels say that the protocol's joints are."""
    if ruler.protocol.truth == "annotated points":
        return person.points3d[person.joint_set.indices(*ruler.names)][None].float()
    neutral = ruler.protocol.truth == "neutral body"
    pose: BodyPose = person.pose.map(lambda tensor: tensor[None].float())
    body = bodies["smpl-neutral" if neutral else person.body]
    with torch.no_grad():
        return ruler.joints(body(pose), body)
