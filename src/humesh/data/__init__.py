"""Photos with labelled people: made by ourselves, or read from other people's datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from humesh.body.model import BodyModel
    from humesh.data.datasets.download import Download
    from humesh.data.sample import Dataset


def _drawn(**options: Any) -> Dataset:
    from humesh.data.drawn import DrawnPeople

    return DrawnPeople(**options)


def _synthetic(folder: str | list[str] | None = None, **options: Any) -> Dataset:
    """Shards of folders (`humesh synth`), each time in another variation; else people rendered when asked for."""
    from humesh.data.synthetic.scenes import SyntheticPeople
    from humesh.data.synthetic.shards import ShardedPeople

    if folder is None:
        return SyntheticPeople(**options)
    return ShardedPeople(folder, **{"variations": 64, **options})


def _posed(motion: str = "", **options: Any) -> Dataset:
    """People without pictures, in the poses of a motion file."""
    from humesh.data.synthetic.posed import PosedPeople

    return PosedPeople([motion], **options)


def _posed_clips(motion: str = "", **options: Any) -> Dataset:
    """The same, moving: clips for methods that look through time."""
    from humesh.data.synthetic.posed_clips import PosedClips

    return PosedClips([motion], **options)


@dataclass(frozen=True)
class Reader:
    """A reader of somebody's dataset in `data/datasets/`: called with its options (`root` first) it makes one.

    Its module is imported when first used; `download_name` is the module's constant that tells what a download holds.
    `pseudo`: side files of EFT, NeuralAnnot or CLIFF that give people poses and shapes, of the weight `pseudo_weight`.
    `betas_within`, `within_m`: see `CheckedFits`; `bodies`: the user's, for readers and for these checks by their names
    in labels. `each_person`: one sample a person.
    """

    module: str
    class_name: str
    download_name: str = "DOWNLOAD"

    def __call__(
        self,
        pseudo: str | list[str] | None = None,
        pseudo_weight: float = 1.0,
        betas_within: float | None = None,
        within_m: float | None = None,
        bodies: Mapping[str, BodyModel] | None = None,
        each_person: bool = False,
        **options: Any,
    ) -> Dataset:
        from humesh.data.views import CheckedFits, EachPerson

        kind = getattr(self._module(), self.class_name)
        if bodies and "bodies" in signature(kind).parameters:
            options["bodies"] = bodies
        dataset: Dataset = kind(**options)
        if not len(dataset):
            from humesh.data.datasets import DatasetError

            raise DatasetError(
                f"{options.get('root')}: expected samples, the reader finds none; fetch what is missing."
            )
        if pseudo is not None:
            from humesh.data.datasets.pseudo_labels import WithFits

            dataset = WithFits(dataset, pseudo, pseudo_weight)
        if betas_within is not None or within_m is not None:
            dataset = CheckedFits(dataset, betas_within, within_m, bodies or {})
        return EachPerson(dataset) if each_person else dataset

    @property
    def download(self) -> Download:
        """What a download holds when it is whole, and where its owner offers it."""
        return getattr(self._module(), self.download_name)

    def _module(self) -> ModuleType:
        return import_module(f"humesh.data.datasets.{self.module}")


def _detected(folder: str | list[str] = "", **options: Any) -> Dataset:
    """The people of shards whom MediaPipe found, told by its points alone."""
    from humesh.data.synthetic.detected import DetectedPeople

    return DetectedPeople(folder, **options)


DATASETS: dict[str, Callable[..., Dataset]] = {
    "detected": _detected,
    "drawn": _drawn,
    "posed": _posed,
    "posed_clips": _posed_clips,
    "synthetic": _synthetic,
    "agora": Reader("agora", "Agora"),
    "bedlam": Reader("bedlam", "Bedlam"),
    "cmu_panoptic": Reader("cmu_panoptic", "CmuPanoptic"),
    "coco": Reader("coco", "Coco"),
    "crowdpose": Reader("crowdpose", "CrowdPose"),
    "emdb": Reader("emdb", "Emdb"),
    "human36m": Reader("human36m", "Human36M"),
    "insta_variety": Reader("insta_variety", "InstaVariety"),
    "lsp": Reader("lsp", "Lsp"),
    "lspet": Reader("lsp", "Lspet", "LSPET_DOWNLOAD"),
    "mpi_inf_3dhp": Reader("mpi_inf_3dhp", "MpiInf3dhp"),
    "mpii": Reader("mpii", "Mpii"),
    "muco": Reader("muco", "MuCo"),
    "mupots": Reader("mupots3d", "MuPoTS3D"),
    "penn_action": Reader("penn_action", "PennAction"),
    "posetrack": Reader("posetrack", "PoseTrack"),
    "surreal": Reader("surreal", "Surreal"),
    "threedoh": Reader("threedoh", "ThreeDOH"),
    "threedpw": Reader("threedpw", "ThreeDPW"),
}
"""The data sets that can be read, by the names that recipes call them; each makes one of its options."""
