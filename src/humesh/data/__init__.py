"""Photos with labelled people: made by ourselves, or read from other people's datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from humesh.body.model import BodyModel
    from humesh.data.datasets.reader import Download
    from humesh.data.sample import Dataset


@dataclass(frozen=True)
class Reader:
    """A reader of somebody's dataset, by its place in `data/datasets/`: called with its options it makes one.

    The options are its own (`root` and `split` first) and these. `pseudo`: side files of EFT, NeuralAnnot or CLIFF that
    give people poses and shapes, of the weight `pseudo_weight`. `betas_within`, `within_m`: see `checked_fits`.
    `bodies`: the user's, for readers and for these checks, by their names in labels. `each_person`: one sample a
    person. The module is imported when first used. DatasetError for options that it does not have, or no samples.
    """

    place: str

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
        from humesh.data.datasets import DatasetError
        from humesh.data.datasets.pseudo_labels import with_fits
        from humesh.data.views import EachPerson, checked_fits

        kind: Callable[..., Dataset] = _found(f"datasets.{self.place}")
        known = signature(kind).parameters
        if strange := sorted(options.keys() - known.keys()):
            raise DatasetError(f"{self.place}: expected options of {', '.join(known)}, got {', '.join(strange)}.")
        if bodies and "bodies" in known:
            options["bodies"] = bodies
        dataset = kind(**options)
        if not len(dataset):
            raise DatasetError(
                f"{options.get('root')}: expected samples, the reader finds none; fetch what is missing."
            )
        if pseudo is not None:
            dataset = with_fits(dataset, pseudo, pseudo_weight)
        if betas_within is not None or within_m is not None:
            dataset = checked_fits(dataset, betas_within, within_m, bodies or {})
        return EachPerson(dataset) if each_person else dataset

    @property
    def download(self) -> Download:
        """What a download holds when it is complete, and where its owner offers it."""
        return _found(f"datasets.{self.place}").download


def _found(place: str) -> Any:
    """A class by its module below this room and its name, imported when it is used."""
    module, _, name = place.rpartition(".")
    return getattr(import_module(f"humesh.data.{module}"), name)


def _drawn(**options: Any) -> Dataset:
    return _found("drawn.DrawnPeople")(**options)


def _synthetic(folder: str | list[str] | None = None, **options: Any) -> Dataset:
    """Shards of folders (`humesh synth`), each time in another variation; else people rendered when asked for."""
    if folder is None:
        return _found("synthetic.scenes.SyntheticPeople")(**options)
    return _found("synthetic.shards.ShardedPeople")(folder, **{"variations": 64, **options})


def _posed(motion: str = "", **options: Any) -> Dataset:
    """People without pictures, in the poses of a motion file."""
    return _found("synthetic.posed.PosedPeople")([motion], **options)


def _posed_clips(motion: str = "", **options: Any) -> Dataset:
    """The same, moving: clips for methods that look through time."""
    return _found("synthetic.posed_clips.PosedClips")([motion], **options)


DATASETS: dict[str, Callable[..., Dataset]] = {
    "drawn": _drawn,
    "posed": _posed,
    "posed_clips": _posed_clips,
    "synthetic": _synthetic,
    "agora": Reader("agora.Agora"),
    "bedlam": Reader("bedlam.Bedlam"),
    "cmu_panoptic": Reader("cmu_panoptic.CmuPanoptic"),
    "coco": Reader("coco.Coco"),
    "crowdpose": Reader("coco.CrowdPose"),
    "emdb": Reader("smpl_videos.Emdb"),
    "human36m": Reader("human36m.Human36M"),
    "insta_variety": Reader("insta_variety.InstaVariety"),
    "lsp": Reader("matlab_2d.Lsp"),
    "lspet": Reader("matlab_2d.Lspet"),
    "mpi_inf_3dhp": Reader("mpi_inf.MpiInf3dhp"),
    "mpii": Reader("matlab_2d.Mpii"),
    "muco": Reader("mpi_inf.MuCo"),
    "mupots": Reader("mpi_inf.MuPoTS3D"),
    "penn_action": Reader("matlab_2d.PennAction"),
    "posetrack": Reader("coco.PoseTrack"),
    "surreal": Reader("surreal.Surreal"),
    "threedoh": Reader("threedoh.ThreeDOH"),
    "threedpw": Reader("smpl_videos.ThreeDPW"),
}
"""The data sets that can be read, by the names that recipes call them; each makes one of its options."""
