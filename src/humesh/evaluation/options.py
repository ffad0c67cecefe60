"""The options of `humesh evaluate`, and which of them a benchmark uses."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro

REAL, SYNTHETIC, CLIPS = "real", "synthetic", "clips"
_USED = {
    SYNTHETIC: {"refine", "motion", "count", "detector", "seed"},
    CLIPS: {"refine", "motion", "count", "seed", "frames"},
    REAL: {"root", "detections"},
}
_USED_BY_OTHERS = {"root", "detections", "subset", "against", "refine", "frames", "stage"}
_USED_BY_ALL = {"what", "benchmark", "body", "device", "keep", "report", "out"}
_USED_BY_SUBMISSION = {"what", "benchmark", "body", "device", "root", "refine", "submission"}


@dataclass(frozen=True)
class Options:
    """What is scored, how, and what is written of it.

    Args:
        what: A method whose weights are shipped, a weights file (.safetensors), or anybody's predictions (.npz, see
            docs/benchmarks.md).
        benchmark: real, synthetic, clips, 3dpw, 3dpw-oc, h36m-p1, mupots, agora, ...; see --explain without a name.
        root: The dataset's folder.
        detections: People to give to the method instead of the benchmark's, as for `humesh predict`.
        subset: A list of sequences and frames instead of the benchmark's own, lines PREFIX or PREFIX FIRST STOP.
        body: "open", an SMPL file, or the folder of SMPL's files (neutral, male, female) that labels are for, with
            J_regressor_h36m_correct.npy beside them.
        explain: Print the protocol (of all benchmarks: their names) and do nothing.
        against: Whose published row to compare with (a part of its name), instead of the same method's.
        report: An .html file with worst cases as pictures, and errors by joint, sequence and occlusion.
        submission: Instead of scoring: write AGORA's test server's .zip of everybody in the pictures of --root.
        keep: Where finished sequences, and people found in real photos, are kept.
        device: Where networks run: cpu, cuda, cuda:1, mps; auto: a GPU where there is one.
        motion: Motion files that nothing was trained on (.npz with `poses`).
        count: How many photos or clips; default: 300, 64 clips.
        detector: Whose keypoints the method gets: simulated ones (the default), or the finder's on the rendered photo.
        refine: Fit a method's bodies to the keypoints afterwards, as `humesh predict --refine` does.
        frames: T, the frames that a temporal method sees together; default: the protocol's, or as it was trained.
        stage: Score an intermediate result: jotr's layer0, layer1, ...; ik_refine's skeleton or inverse_kinematics.
        seed: Another seed is another test set; default: 2026.
        out: A .json file for the numbers, or a .csv file with a row for each person.
    """

    what: tyro.conf.Positional[str] = ""
    benchmark: tyro.conf.Positional[str] = ""
    root: Path | None = None
    detections: Path | None = None
    subset: Path | None = None
    body: str = "open"
    explain: bool = False
    against: str = ""
    report: Path | None = None
    submission: Path | None = None
    keep: Path = Path("humesh_evaluation")
    device: str = "auto"
    motion: tuple[Path, ...] = ()
    count: int | None = None
    detector: Literal["simulated", "finder"] | None = None
    refine: bool = False
    frames: int | None = None
    stage: str = ""
    seed: int | None = None
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None

    def unused(self) -> list[str]:
        """The options that are given, but that this benchmark does not use."""
        used = _USED_BY_ALL | _USED.get(self.benchmark, _USED_BY_OTHERS)
        if self.submission is not None:
            used = _USED_BY_SUBMISSION
        given = [field.name for field in fields(self) if getattr(self, field.name) != field.default]
        return [f"--{name}" for name in given if name not in used]
