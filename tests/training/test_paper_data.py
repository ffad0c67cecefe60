"""Each paper's recipe on fake downloads in their owners' layouts: what it reads, which labels arrive, that it trains.

Every download also holds what benchmarks measure on; none of that may be read.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from humesh.body.files import read_body
from humesh.body.label_bodies import BodyFiles
from humesh.body.model import BodyModel
from humesh.commands.describe import census, unfed
from humesh.data import DATASETS
from humesh.data.sample import Dataset
from humesh.training.data import Given, sources
from humesh.training.loop import Place
from humesh.training.prepare import prepare
from humesh.training.recipe import Recipe, Source, TrainingError
from humesh.training.recipes import PUBLISHED

_TESTS = Path(__file__).parents[1]

READ = {
    "cmu_panoptic": r"160906_band1/00_(03|06|12|13|23)/",
    "coco": r"00000000000[359]\.jpg",
    "crowdpose": r"100000\.jpg",
    "human36m": r"S[16]_",
    "insta_variety": r"instavariety_00_0000/",
    "lsp": r"im000[12]\.jpg",
    "lspet": r"im0000[134]\.jpg",
    "mpi_inf_3dhp": r"S2/Seq1/",
    "mpii": r"00000000[15]\.jpg",
    "muco": r"unaugmented_set/",
    "penn_action": r"frames/0001/",
    "posetrack": r"images/train/",
    "surreal": r"/01_01_c0001/",
    "threedpw": r"walk_00/",
}
"""The names of the samples of a training split, as the fake downloads have them."""


def _module(name: str) -> ModuleType:
    """A module of the readers' tests, which write the fake downloads."""
    spec = importlib.util.spec_from_file_location(f"papers_{name}", _TESTS / "data" / "datasets" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _made(module: ModuleType, folder: Path, body: BodyModel, name: str = "download", param: object = None) -> None:
    """Has a fixture of a module write its download into a folder."""
    known: dict[str, Any] = {"tmp_path": folder, "request": SimpleNamespace(param=param), "open_body": body}
    shared = _module("conftest")

    def called(wanted: str) -> Any:
        if wanted not in known:
            definition = getattr(module, wanted, None) or getattr(shared, wanted)
            function = getattr(definition, "_fixture_function", None) or inspect.unwrap(definition)
            known[wanted] = function(*map(called, inspect.signature(function).parameters))
        return known[wanted]

    folder.mkdir(parents=True, exist_ok=True)
    called(name)


def _coco(root: Path) -> None:
    module = _module("test_coco")
    module.write_coco(root)
    labels = json.loads((root / "annotations/person_keypoints_train2017.json").read_text())
    labels["annotations"].append(module.annotation(60, 9, module.true_points(1, module.COCO17), [2] * 17))
    content = json.dumps(labels)
    (root / "train2017").rename(root / "train2014")
    for year in (2014, 2017):
        (root / f"train{year}").exists() or shutil.copytree(root / "train2014", root / f"train{year}")
        shutil.copytree(root / "train2014", root / f"val{year}")
        (root / f"annotations/person_keypoints_train{year}.json").write_text(content)
        renamed = content.replace("0000000000", "9999999999")
        (root / f"annotations/person_keypoints_val{year}.json").write_text(renamed)


def _human36m(root: Path, body: BodyModel) -> None:
    """With a video of subject 6 besides those of 1, 9 and 11 in the file to train on."""
    _made(_module("test_human36m"), root, body)
    labels = dict(np.load(root / "h36m_train.npz"))
    name = "S6_Eating.60457274_000001.jpg"
    shutil.copy(root / "images" / str(labels["imgname"][-1]), root / "images" / name)
    more = {key: np.concatenate([values, values[-1:]]) for key, values in labels.items()}
    np.savez(root / "h36m_train.npz", **{**more, "imgname": np.array([*labels["imgname"], name])})


def _crowdpose(root: Path) -> None:
    module = _module("test_coco")
    module.picture(root / "images/100000.jpg", 1)
    points = module.true_points(1, module.CROWDPOSE14)
    for split, number in (("train", 100000), ("val", 100001), ("test", 100002)):
        images = [{"id": number, "file_name": f"{number}.jpg", "crowdIndex": 0.3}]
        people = [module.annotation(1, number, points, [2] * 14)]
        (root / f"crowdpose_{split}.json").write_text(json.dumps({"images": images, "annotations": people}))


def _lspet(root: Path) -> None:
    module = _module("test_mpii_lsp")
    known = np.ones((4, 14, 1))
    known[1] = 0
    joints = np.concatenate([module.POINTS[:, :14] * known, known], axis=-1)
    module.pictures(root / "images", [f"im{i + 1:05d}.jpg" for i in range(4)])
    savemat(root / "joints.mat", {"joints": joints.transpose(1, 2, 0)})


def _posetrack(root: Path) -> None:
    root.mkdir()
    _module("test_coco").write_posetrack(root)
    shutil.copytree(root / "annotations/train", root / "annotations/val")
    for path in (root / "annotations/val").iterdir():
        path.write_text(path.read_text().replace("images/train", "images/val"))


def _penn_action(root: Path) -> None:
    write = _module("test_penn_action").write
    for video, train in (("0001", 1), ("0002", -1)):
        write(root, video, train, np.ones((5, 13), dtype=np.uint8), 5)


def _insta_variety(root: Path) -> None:
    _module("test_insta_variety").write(root)
    shutil.copytree(root / "train", root / "test")
    next((root / "test").iterdir()).rename(root / "test/instavariety_test.tfrecord")


def _surreal(root: Path, body: BodyModel) -> None:
    write = _module("test_surreal").write
    for split, sequence in (("train", "01_01"), ("val", "02_02"), ("test", "03_03")):
        for run in range(3 if split == "train" else 1):
            write(root / f"cmu/{split}/run{run}/{sequence}", f"{sequence}_c0001", 2, body)


def _cmu_panoptic(root: Path, body: BodyModel) -> None:
    module = _module("test_cmu_panoptic")
    _made(module, root, body, param=0.0)
    shutil.copytree(root / module.NAME, root / "160906_band1")
    path = root / "160906_band1" / f"calibration_{module.NAME}.json"
    content = json.loads(path.read_text())
    (camera,) = (c for c in content["cameras"] if c["type"] == "hd")
    names = [f"00_{number:02d}" for number in (3, 6, 12, 13, 23)]
    content["cameras"] += [{**camera, "name": name} for name in names]
    path.with_name("calibration_160906_band1.json").write_text(json.dumps(content))
    path.unlink()
    images = root / "160906_band1/hdImgs"
    for name in names:
        for image in sorted((images / "00_16").iterdir()):
            (images / name).mkdir(exist_ok=True)
            shutil.copy(image, images / name / image.name.replace("00_16", name))


def _threedpw(root: Path, body: BodyModel) -> None:
    _made(_module("test_threedpw"), root, body)
    for split in ("validation", "test"):
        (root / f"sequenceFiles/{split}/walk_00.pkl").rename(root / f"sequenceFiles/{split}/{split}_00.pkl")


def _mpi_inf_3dhp(root: Path, body: BodyModel) -> None:
    _made(_module("test_mpi_inf_3dhp"), root, body, "training")
    (root / "TS1/imageSequence").mkdir(parents=True)
    (root / "TS1/annot_data.mat").write_bytes(b"not to be read")


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory, open_body: BodyModel) -> Mapping[str, Path]:
    """A fake download of every data set that the papers train on, by name."""
    root, leeds = tmp_path_factory.mktemp("downloads"), _module("test_mpii_lsp")
    makers: dict[str, Callable[[Path], Any]] = {
        "cmu_panoptic": lambda folder: _cmu_panoptic(folder, open_body),
        "coco": _coco,
        "crowdpose": _crowdpose,
        "human36m": lambda folder: _human36m(folder, open_body),
        "insta_variety": _insta_variety,
        "lsp": leeds.write_lsp,
        "lspet": _lspet,
        "mpi_inf_3dhp": lambda folder: _mpi_inf_3dhp(folder, open_body),
        "mpii": lambda folder: (folder.mkdir(), leeds.write_mpii(folder)),
        "muco": lambda folder: _made(_module("test_muco"), folder, open_body),
        "penn_action": _penn_action,
        "posetrack": _posetrack,
        "surreal": lambda folder: _surreal(folder, open_body),
        "threedpw": lambda folder: _threedpw(folder, open_body),
    }
    for name, make in makers.items():
        make(root / name)
    return {name: root / name for name in makers}


@pytest.fixture(scope="module")
def smpl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of SMPL's three files, which hold the small open body."""
    folder, data = tmp_path_factory.mktemp("smpl"), read_body("open-low")
    for gender in ("NEUTRAL", "MALE", "FEMALE"):
        np.savez(
            folder / f"SMPL_{gender}.npz", v_template=data.template, shapedirs=data.shape_directions,
            J_regressor=data.joint_regressor, weights=data.weights, f=data.faces,
            posedirs=np.zeros((len(data.template), 3, 207)),
            kintree_table=np.array([[-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21],
                                    range(24)]),
        )  # fmt: skip
    np.save(folder / "J_regressor_h36m.npy", data.keypoint_regressors["h36m17"])
    return folder


def _labels(source: Source, root: Path, folder: Path) -> Path:
    """A file of the pseudo labels that a recipe wants, with a fit for everybody of a data set."""
    plain = {key: value for key, value in source.options.items() if key == "year"}
    dataset = DATASETS[source.name](root=root, split=source.split, **plain)
    everybody = [(s.name, p) for s in map(dataset.__getitem__, range(len(dataset))) for p in s.people]
    names = [name for name, _ in everybody]
    middles = [((p.seen.box[:2] + p.seen.box[2:]) / 2).tolist() for _, p in everybody]
    path = folder / f"{source.name}_{source.labels}"
    count, shape = len(everybody), [0.1] * 10
    if source.labels == "CLIFF":
        np.savez(
            path, imgname=np.array(names), pose=np.full((count, 72), 0.1), shape=np.tile(shape, (count, 1)),
            center=np.array(middles), global_t=np.tile([0.1, 0.2, 5.0], (count, 1)), focal_l=np.full(count, 300.0),
        )  # fmt: skip
        return path.with_name(f"{path.name}.npz")
    content: Any = {str(p.identity): {"smpl_param": {"pose": [0.1] * 72, "shape": shape}} for _, p in everybody}
    if source.labels == "EFT":
        turns = np.tile(np.eye(3), (24, 1, 1)).tolist()
        content = {
            "data": [
                {"parm_pose": turns, "parm_shape": shape, "bbox_center": middle, "imageName": name, "annotId": ""}
                for name, middle in zip(names, middles, strict=True)
            ]
        }
    path = path.with_name(f"{path.name}.json")
    path.write_text(json.dumps(content))
    return path


Opened = tuple[Recipe, dict[str, list[Path]], dict[str, list[Path]]]


@pytest.fixture
def opened(request: pytest.FixtureRequest, downloads: Mapping[str, Path], tmp_path: Path) -> Opened:
    """A recipe, --data and --labels for all of it."""
    recipe = PUBLISHED[request.param]
    given = {source.name: [downloads[source.name]] for source in recipe.data}
    labels = {s.name: [_labels(s, downloads[s.name], tmp_path)] for s in recipe.data if s.labels}
    return recipe, given, labels


every_recipe = pytest.mark.parametrize("opened", PUBLISHED, indirect=True)


def _read(opened: Opened, smpl: Path) -> dict[str, Dataset]:
    recipe, given, labels = opened
    made = sources(recipe, Given(given, labels), BodyFiles(smpl).smpl)
    return dict(zip([source.name for source in recipe.data], made, strict=True))


@every_recipe
def test_only_training_subjects_are_read_and_every_loss_is_fed(opened: Opened, smpl: Path) -> None:
    recipe, _, labels = opened
    found = _read(opened, smpl)
    for name, dataset in found.items():
        samples = [dataset[i] for i in range(len(dataset))]
        strange = {sample.name for sample in samples if not re.search(READ[name], sample.name)}
        assert samples
        assert not strange, f"{name}: {strange}"
    counted = {name: census(dataset) for name, dataset in found.items()}
    assert unfed(recipe, list(counted.values())) == {}
    for name in labels:
        assert counted[name].shares["pose"] == counted[name].shares["shape"] > 0.6  # two at one place share a fit
    for name in [source.name for source in recipe.data if source.options.get("each_person")]:
        assert all(len(found[name][i].people) == 1 for i in range(len(found[name])))


@pytest.mark.parametrize("opened", ["multi_roi-coco"], indirect=True)
def test_losses_that_no_label_feeds_are_known(opened: Opened, smpl: Path) -> None:
    recipe, given, _ = opened
    (dataset,) = sources(recipe, Given(given, {"coco": [Path("none")]}), BodyFiles(smpl).smpl)
    lacking = unfed(recipe, [census(dataset)])
    assert lacking == {"vertices": "pose", "pose": "pose", "betas": "shape"}
    with pytest.raises(TrainingError, match=r"people have pseudo labels: --labels coco=FILE of CLIFF; or coco=none"):
        sources(recipe, Given(given))


@pytest.mark.parametrize("split", ["test", "val", "validation", "all", ""])
def test_recipes_that_train_on_what_is_measured_on_are_refused(split: str) -> None:
    recipe = PUBLISHED["multi_roi-r50-3dpw"]
    sentence = f"data threedpw: expected a split to train on .train or trainval., got {split!r}"
    with pytest.raises(TrainingError, match=sentence):
        replace(recipe, data=(Source("threedpw", split=split),))


SIZES: dict[str, dict[str, Any]] = {
    "jotr": {
        "encoder": "test_resnet", "size": 64, "width": 16, "heads": 2, "hidden": 16, "volume_hidden": 16, "depth": 2,
        "encoder_layers": 1, "volume_layers": 1, "decoder_layers": 2,
    },
    "multi_roi": {"encoder": "test_resnet", "crop": (64, 64), "hidden": (16, 16)},
    "int": {"encoder": "test_resnet", "crop": (64, 64), "width": 16, "heads": 2, "depth": 2, "frames": 2},
    "ik_refine": {
        "encoder": "test_resnet", "size": 64, "twist_width": 16, "width": 16, "heads": 2, "head_width": 8, "hidden": 16,
    },
}  # fmt: skip
SIZES["multi_roi_authors"] = SIZES["multi_roi"]


@every_recipe
def test_a_step_of_it_has_every_loss(opened: Opened, smpl: Path, tmp_path: Path) -> None:
    """At debug size: every weighted term is finite and, with labels of all data sets in the batch, not 0."""
    torch.set_num_threads(1)
    recipe, given, labels = opened
    config = {**recipe.config, **SIZES[recipe.method]}
    changed = replace(
        recipe,
        data=tuple(replace(source, stride=None) for source in recipe.data),
        stride=1,
        config=config,
        body=str(smpl),
        batch=24,
        held_out=1,
        precision="float32",
        delayed={},
        steps=10,
    )
    training = prepare("debug", changed, Place(tmp_path / "run"), Given(given, labels))
    batch = next(training.batches(0))
    means = training.one_step(batch)
    assert all(torch.isfinite(mean) for mean in means.values())
    assert {name for name in recipe.weights if means[name] == 0} == set()
    if recipe.method == "ik_refine":
        known = batch.targets.points3d_weight[..., :24].amax((0, 1))
        assert known.all(), "each of the 24 joints has a label"
