"""Photos with labelled people: made by ourselves, or read from other people's datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from humesh.body.model import BodyModel
    from humesh.data.datasets.reader import PhotoDataset
    from humesh.data.sample import Dataset


def _found(place: str) -> Any:
    """A class by its module below this room and its name, imported when it is used."""
    module, _, name = place.rpartition(".")
    return getattr(import_module(f"humesh.data.{module}"), name)


@dataclass(frozen=True)
class Reader:
    """A reader of somebody's dataset, by its place in `data/datasets/`: called with its options it makes one.

    The options are its own (`root` and `split` first) and these. `pseudo`: side files of EFT, NeuralAnnot or CLIFF that
    give people poses and shapes. `betas_within`, `within_m`: see `checked_fits`. `bodies`: the user's, for readers and
    for these checks, by their names in labels. `each_person`: one sample a person. DatasetError for options that it
    does not have, or no samples.
    """

    place: str

    def __call__(
        self, pseudo: str | list[str] | None = None, betas_within: float | None = None, within_m: float | None = None,
        bodies: Mapping[str, BodyModel] | None = None, each_person: bool = False, **options: Any,
    ) -> Dataset:  # fmt: skip
        from humesh.data.datasets.reader import DatasetError
        from humesh.data.views import EachPerson, checked_fits, with_fits

        known = signature(self.kind).parameters
        if strange := sorted(options.keys() - known.keys()):
            raise DatasetError(f"{self.place}: expected options of {', '.join(known)}, got {', '.join(strange)}.")
        if bodies and "bodies" in known:
            options["bodies"] = bodies
        kind: Callable[..., Dataset] = self.kind
        dataset = kind(**options)
        if not len(dataset):
            raise DatasetError(f"{options['root']}: expected samples, the reader finds none; fetch what is missing.")
        if pseudo is not None:
            dataset = with_fits(dataset, pseudo)
        if betas_within is not None or within_m is not None:
            dataset = checked_fits(dataset, betas_within, within_m, bodies or {})
        return EachPerson(dataset) if each_person else dataset

    @property
    def kind(self) -> type[PhotoDataset]:
        """The class that reads it."""
        return _found(f"datasets.{self.place}")


def _made(place: str, **options: Any) -> Dataset:
    return _found(place)(**options)


def _synthetic(folder: str | list[str] | None = None, **options: Any) -> Dataset:
    """Shards of folders (`humesh synth`), each time in another variation; else people rendered when asked for."""
    if folder is None:
        return _made("synthetic.scenes.SyntheticPeople", **options)
    return _made("synthetic.shards.ShardedPeople", folders=folder, variations=64, **options)


DATASETS: dict[str, Callable[..., Dataset]] = {
    "drawn": partial(_made, "drawn.DrawnPeople"),
    "posed": partial(_made, "synthetic.posed.PosedPeople"),
    "posed_clips": partial(_made, "synthetic.posed.PosedClips"),
    "synthetic": _synthetic,
    "agora": Reader("agora.Agora"),
    "bedlam": Reader("rendered.Bedlam"),
    "cmu_panoptic": Reader("cmu_panoptic.CmuPanoptic"),
    "coco": Reader("coco.Coco"),
    "crowdpose": Reader("coco.CrowdPose"),
    "emdb": Reader("smpl_fits.Emdb"),
    "human36m": Reader("smpl_fits.Human36M"),
    "insta_variety": Reader("insta_variety.InstaVariety"),
    "lsp": Reader("matlab_2d.Lsp"),
    "lspet": Reader("matlab_2d.Lspet"),
    "mpi_inf_3dhp": Reader("mpi_inf.MpiInf3dhp"),
    "mpii": Reader("matlab_2d.Mpii"),
    "muco": Reader("mpi_inf.MuCo"),
    "mupots": Reader("mpi_inf.MuPoTS3D"),
    "penn_action": Reader("matlab_2d.PennAction"),
    "posetrack": Reader("coco.PoseTrack"),
    "surreal": Reader("rendered.Surreal"),
    "threedoh": Reader("smpl_fits.ThreeDOH"),
    "threedpw": Reader("smpl_fits.ThreeDPW"),
}
"""The data sets that can be read, by the names that recipes call them; each makes one of its options."""
