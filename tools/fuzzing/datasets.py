"""Readers of data sets: their owners' downloads as the tests make them up, our shards, and files of pseudo-labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.files import FileReader, fixture, made_up, small_body

# Data sets, as their owners lay them out


def _read_dataset(name: str, options: dict[str, Any], folder: Path, _: Path) -> None:
    from humesh.data import DATASETS

    dataset = DATASETS[name](root=folder, **options)
    for number in {0, len(dataset) - 1} - {-1}:
        dataset[number]


def _dataset(name: str, make: Callable[[Path], object], **options: Any) -> FileReader:
    return FileReader(make, partial(_read_dataset, name, options))


def _download(module: str, name: str = "download", param: object = None) -> Callable[[Path], object]:
    return lambda folder: fixture(module, name, folder, param)


def _written(module: str, function: str, *more: object) -> Callable[[Path], object]:
    return lambda folder: getattr(made_up(f"data/datasets/{module}"), function)(folder, *more)


def _make_lspet(folder: Path) -> None:
    from scipy.io import savemat

    module = made_up("data/datasets/test_mpii_lsp")
    joints = np.concatenate([module.POINTS[:, :14], np.ones((4, 14, 1))], axis=-1)
    savemat(folder / "joints.mat", {"joints": joints.transpose(1, 2, 0)})
    module.pictures(folder / "images", [f"im{i + 1:05d}.jpg" for i in range(4)])


def _make_crowdpose(folder: Path) -> None:
    module = made_up("data/datasets/test_coco")
    module.picture(folder / "images/100000.jpg", 1)
    people = [module.annotation(1, 100000, module.true_points(1, module.CROWDPOSE14), [2] * 14)]
    content = {"images": [{"id": 100000, "file_name": "100000.jpg", "crowdIndex": 0.3}], "annotations": people}
    (folder / "crowdpose_train.json").write_text(json.dumps(content))


def _make_pseudo_labels(folder: Path) -> None:
    module = made_up("data/datasets/test_pseudo_labels")
    module.eft(folder / "eft.json"), module.neuralannot(folder / "neuralannot.json"), module.cliff(folder / "cliff.npz")


def _read_pseudo_labels(_: Path, path: Path) -> None:
    from humesh.data.views import with_fits

    labelled = made_up("data/datasets/test_pseudo_labels").Labelled2D()
    with_fits(labelled, path)[0]


def _make_penn_action(folder: Path) -> None:
    write = made_up("data/datasets/test_penn_action").write
    write(folder, "0001", 1, np.ones((5, 13), dtype=np.uint8), 2)
    write(folder, "0002", 1, np.ones((5, 13), dtype=np.uint8), 5)


def _make_surreal(folder: Path) -> None:
    write = made_up("data/datasets/test_surreal").write
    write(folder / "SURREAL/data/cmu/train/run0/01_01", "01_01_c0001", 3, small_body())


def _make_shards(folder: Path) -> None:
    from humesh.data.synthetic.shards import Plan, write_shards

    motion = folder.parent / "motion.npz"
    np.savez(motion, **made_up("data/test_synthetic").made_up())
    list(write_shards(folder, Plan((str(motion),), 2, (1, 2), 48, 1)))


def _read_shards(folder: Path, _: Path) -> None:
    from humesh.data.synthetic.shards import ShardedPeople

    people = ShardedPeople(folder)
    for number in range(min(2, len(people))):
        people[number]


DATASET_READERS: dict[str, FileReader] = {
    "shards": FileReader(_make_shards, _read_shards),
    "pseudo_labels": FileReader(_make_pseudo_labels, _read_pseudo_labels),
    "agora": _dataset("agora", _download("test_agora", param="pandas 1.5"), split="validation"),
    "bedlam": _dataset("bedlam", lambda folder: _written("test_bedlam", "write", small_body())(folder), split="train"),
    "cmu_panoptic": _dataset(
        "cmu_panoptic", _download("test_cmu_panoptic", param=0.0), split="test", activity="pizza", cameras=(16,)
    ),
    "coco": _dataset("coco", _written("test_coco", "write_coco"), split="train"),
    "crowdpose": _dataset("crowdpose", _make_crowdpose, split="train"),
    "emdb": _dataset("emdb", _download("test_emdb"), split="emdb1"),
    "human36m": _dataset("human36m", _download("test_human36m"), split="test", protocol=1),
    "insta_variety": _dataset("insta_variety", _written("test_insta_variety", "write"), split="train"),
    "lsp": _dataset("lsp", _written("test_mpii_lsp", "write_lsp"), split="train"),
    "lspet": _dataset("lspet", _make_lspet, split="train"),
    "mpi_inf_3dhp": _dataset("mpi_inf_3dhp", _download("test_mpi_inf_3dhp", "training"), split="train"),
    "mpi_inf_3dhp_test": _dataset("mpi_inf_3dhp", _download("test_mpi_inf_3dhp", "test_set", "npz"), split="test"),
    "mpii": _dataset("mpii", _written("test_mpii_lsp", "write_mpii"), split="train"),
    "muco": _dataset("muco", _download("test_muco"), fits=True, split="train"),
    "mupots": _dataset("mupots", _download("test_mupots3d"), sequences=(1, 2), split="test"),
    "penn_action": _dataset("penn_action", _make_penn_action, split="train"),
    "posetrack": _dataset("posetrack", _written("test_coco", "write_posetrack"), split="train"),
    "surreal": _dataset("surreal", _make_surreal, split="train"),
    "threedoh": _dataset("threedoh", _download("test_threedoh"), split="test"),
    "threedpw": _dataset("threedpw", _download("test_threedpw"), split="test"),
}
