"""What a benchmark's number means: joints, root, alignment, truth, matching and filters, as data.

Facts are from the four papers' evaluation sections; "from memory" marks what none of them states.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from humesh.body.joints import H36M17, LIMBS12, LSP14, MPI_INF_3DHP17, SMPL24
from humesh.errors import HumeshError
from humesh.files import read_text

UNITS = {"mpjpe": "mm", "pa_mpjpe": "mm", "pve": "mm", "accel": "mm/frame²", "pck": "%", "auc": "%"}
"""The metrics and what they are counted in; where they are computed: `humesh.evaluation.errors`."""

PCK_JOINTS = MPI_INF_3DHP17.names[: MPI_INF_3DHP17.index("left_ankle") + 1]
"""The 14 joints of MuPoTS-3D's metrics: all but pelvis, spine and head (whose top is in)."""

Reading = tuple[tuple[str, str | int | tuple[int, ...]], ...]
Source = Literal["h36m regressor", "body joints", "limbs of the body, rest by h36m regressor"]
Truth = Literal["gendered body", "neutral body", "annotated points"]
MeshRoot = Literal["pelvis of the body's regressor", "root of the joints", "translation"]


class EvaluationError(HumeshError, ValueError):
    """Something that keeps a benchmark from being scored; the sentence names what was expected and what to do."""


@dataclass(frozen=True)
class Stretch:
    """The sequences whose names start so, from the frame `first` up to but not including `stop` (None: to the end)."""

    prefix: str
    first: int = 0
    stop: int | None = None

    def __str__(self) -> str:
        if (self.first, self.stop) == (0, None):
            return self.prefix
        return f"{self.prefix}[{self.first}:{'' if self.stop is None else self.stop}]"

    def names(self, sequence: str) -> bool:
        """Whether the sequence is one of these."""
        return sequence.startswith(self.prefix)

    def holds(self, sequence: str, frame: int) -> bool:
        """Whether the frame of the sequence is in it."""
        return self.names(sequence) and self.first <= frame and (self.stop is None or frame < self.stop)


@dataclass(frozen=True)
class Protocol:
    """How one benchmark is scored.

    The dataset is `dataset`, read with each of `readings` (options of its reader), one after the other. Errors are
    means over `joints`, of which those of the prediction come from its mesh or skeleton by `source`; both sides are
    first moved so that the mean of `root` is 0, meshes by `mesh_root`. `matching`: "given" predictions are for the
    people they were asked for, or, of people found in a photo, for those whose box is the nearest (`least_iou`);
    "mupots" and "agora" are these benchmarks' own tools. `average`: over people, or over `groups` (parts of sequence
    names) or sequences, each of these first by itself. `stretches`: the parts of sequences that are evaluated, None:
    all; `needs_keypoints`: only people with keypoints of the owner's detector.
    `fed`: what the network gets of the people it is asked for; `unlike_fed`: why that makes a number no match for the
    printed ones; `unlike`: why none of ours is one, whatever is fed. `clip_span`: how many frames the windows of a
    temporal method span, `clip_length`: how many of these it sees together; None: as it was trained. `people`: how
    many the paper with the number evaluates. `assumes`: what the published number takes for granted, in sentences.
    """

    name: str
    title: str
    dataset: str
    readings: tuple[Reading, ...] = ((),)
    joints: tuple[str, ...] = LSP14.names
    source: Source = "h36m regressor"
    root: tuple[str, ...] = ("pelvis",)
    mesh_root: MeshRoot = "pelvis of the body's regressor"
    truth: Truth = "gendered body"
    metrics: tuple[str, ...] = ("mpjpe", "pa_mpjpe", "pve")
    matching: Literal["given", "mupots", "agora"] = "given"
    least_iou: float = 0.1
    true_bone_lengths: bool = False
    average: Literal["people", "sequences", "groups"] = "people"
    groups: tuple[str, ...] = ()
    stretches: tuple[Stretch, ...] | None = None
    needs_keypoints: bool = False
    fed: str = "the labels' own 2D points and the box around them"
    unlike_fed: str = ""
    unlike: str = ""
    clip_span: int | None = None
    clip_length: int | None = None
    fps: float | None = None
    people: int | None = None
    assumes: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that change with everything that can change a number; words for readers do not count."""
        words = ("title", "assumes", "people", "fed", "unlike_fed", "unlike")
        fields = {k: v for k, v in asdict(self).items() if k not in words}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:8]


_OC = (
    "courtyard_backpack", "courtyard_basketball", "courtyard_bodyScannerMotions", "courtyard_box", "courtyard_golf",
    "courtyard_jacket", "courtyard_laceShoe", "downtown_stairs", "flat_guitar", "flat_packBags", "outdoors_climbing",
    "outdoors_crosscountry", "outdoors_fencing", "outdoors_freestyle", "outdoors_golf", "outdoors_parcours",
    "outdoors_slalom",
)  # fmt: skip
THREEDPW_OC = tuple(map(Stretch, _OC))
"""3DPW-OC (Zhang et al., CVPR 2020): 17 prefixes; written from memory, to be checked against the 20,243 people."""

THREEDPW_PC = (
    Stretch("courtyard_basketball_00", 200, 280),
    Stretch("courtyard_captureSelfies_00", 500, 600),
    Stretch("courtyard_dancing_00", 60, 370),
    Stretch("courtyard_dancing_01", 60, 270),
    Stretch("courtyard_hug_00", 100, 500),
    Stretch("downtown_bus_00", 1620, 1900),
)
"""3DPW-PC (Sun et al., ICCV 2021): six half-open ranges; written from memory, to be checked against 2,218 people."""

_OPENPOSE = "the 2D keypoints are OpenPose's as 3DCrowdNet's annotation of 3DPW stores them, used above 0.05"
_NEUTRAL = "predictions are on the neutral body, truth on the labelled gender's"
_MEMORY = "the list is written from memory: compare the number of people with the paper's, or give yours with --subset"
_ALL_SPLITS = "taken from all three splits, as methods that train on none of them do (from memory)"
_SPLITS: tuple[Reading, ...] = tuple((("split", split),) for split in ("train", "validation", "test"))
_VALIDATION, _TEST = _SPLITS[1:2], _SPLITS[2:]
_POINTS = ("mpjpe", "pa_mpjpe")  # metrics without meshes
_HIPS = ("left_hip", "right_hip")
_ACTIVITIES = ("haggling", "mafia", "ultimatum", "pizza")

_3DPW = Protocol(
    name="3dpw", dataset="threedpw", readings=_TEST, fps=30.0, people=35_515,
    title="3DPW, test split (von Marcard et al., ECCV 2018), as JOTR, 3DCrowdNet and SPIN's line of work score it",
    fed="the owner's OpenPose keypoints (none: fewer than six were found) and the box of the projected joints",
    assumes=(_OPENPOSE, _NEUTRAL),
)  # fmt: skip
_LISTED = replace(
    _3DPW, readings=_SPLITS, needs_keypoints=True, assumes=(*_3DPW.assumes, _ALL_SPLITS, _MEMORY)
)  # fmt: skip
_H36M = Protocol(
    name="h36m-p1", dataset="human36m", readings=((("split", "test"), ("protocol", 1)),), truth="annotated points",
    title="Human3.6M, protocol 1: subjects 9 and 11, all four cameras", metrics=_POINTS,
    assumes=("every fifth frame of 50 a second, as in SPIN's preparation (from memory)",),
)  # fmt: skip
_SYNTHETIC = Protocol(
    name="synthetic", dataset="synthetic", joints=LIMBS12.names, source="body joints", truth="annotated points",
    title="people that humesh renders for it, from motion that nothing was trained on (--motion)", metrics=_POINTS,
    fed="a simulated detector's keypoints, or those of humesh's finder (--detector)",
    assumes=(
        "the same options give the same people; another seed is another test set",
        "truth is the joints of body 'open-low', which lie up to 1 mm from those of 'open' in the same pose",
    ),
)  # fmt: skip

_ALL = (
    replace(_3DPW, metrics=(*_3DPW.metrics, "accel")),
    replace(
        _LISTED, name="3dpw-oc", stretches=THREEDPW_OC, people=20_243,
        title="3DPW-OC, people hidden by objects (Zhang et al., CVPR 2020)",
    ),
    replace(
        _LISTED, name="3dpw-pc", stretches=THREEDPW_PC, people=2_218,
        title="3DPW-PC, people hidden by people (Sun et al., ROMP, ICCV 2021)",
    ),
    replace(
        _3DPW, name="3dpw-crowd", readings=_VALIDATION, people=1_923,
        title="3DPW-Crowd (Choi et al., 3DCrowdNet, CVPR 2022): two crowded sequences of the validation split",
        stretches=(Stretch("courtyard_hug_00"), Stretch("courtyard_dancing_00")),
        unlike_fed="the paper feeds HigherHRNet's keypoints, OpenPose's where these are missing",
        assumes=("the 2D keypoints are HigherHRNet's, OpenPose's where these are missing", _NEUTRAL),
    ),
    replace(
        _3DPW, name="3dpw-multi-roi", mesh_root="root of the joints",
        title="3DPW, test split, as Multi-RoI's code scores it: meshes are centred on Human3.6M's pelvis",
        assumes=("detected boxes; photos at half their size; the mesh of the first region", _NEUTRAL),
    ),
    replace(
        _3DPW, name="3dpw-int", root=_HIPS, mesh_root="translation", truth="neutral body", clip_span=128,
        title="3DPW, test split, as INT's code scores it: truth on the neutral body, hips as root, PVE unaligned",
        metrics=(*_3DPW.metrics, "accel"), clip_length=64,
        assumes=(
            "boxes 1.1 times the tight ones, smoothed along the track (ours are not)",
            "the paper's acceleration also counts the frames where one sequence follows another; ours does not",
        ),
    ),
    replace(
        _3DPW, name="3dpw-24", joints=SMPL24.names, source="body joints", truth="annotated points",
        title="3DPW, test split, SMPL's 24 joints as annotated: needs no body file and no regressor",
        metrics=(*_POINTS, "accel"),
        assumes=(
            "the paper of ik_refine can only mean these joints where it scores the skeleton alone; no other prints it",
            "for bodies other than SMPL, whose joints lie elsewhere, read PA-MPJPE",
        ),
    ),
    Protocol(
        name="3doh50k", dataset="threedoh", readings=_TEST, truth="neutral body", people=1_290,
        title="3DOH50K, test split (Zhang et al., CVPR 2020): people hidden by objects",
        unlike_fed="JOTR feeds an HRNet detector's keypoints, here the labels' own points are fed",
    ),
    Protocol(
        name="panoptic", dataset="cmu_panoptic", joints=(*LIMBS12.names, "neck"), truth="annotated points",
        title="CMU-Panoptic, four activities, as Jiang et al. (CVPR 2020) and 3DCrowdNet score it",
        readings=tuple((("split", "test"), ("activity", activity)) for activity in _ACTIVITIES),
        metrics=("mpjpe",), average="groups", groups=_ACTIVITIES,
        unlike_fed="papers feed a detector's people, here the labels' own projected points are fed",
        assumes=(
            "no paper's loader is public: the 13 joints that Human3.6M and CMU-Panoptic share are our choice",
            "cameras 16 and 30 (from memory of Zanfir et al., 2018, whose selection later papers use)",
        ),
    ),
    _H36M,
    replace(
        _H36M, name="h36m-p2", readings=((("split", "test"), ("protocol", 2)),),
        title="Human3.6M, protocol 2: subjects 9 and 11, the frontal camera; its number is PA-MPJPE",
    ),
    replace(
        _H36M, name="h36m-int", joints=H36M17.names, root=_HIPS, clip_span=128, clip_length=64,
        title="Human3.6M as INT's code scores it: 17 joints, hips as root",
        assumes=("the prepared validation table of the MAED project, which we do not have; protocol 1 stands for it",),
    ),
    replace(
        _H36M, name="h36m-multi-roi", truth="gendered body",
        title="Human3.6M as Multi-RoI's code scores it: truth on the labelled gender's body",
        assumes=(
            "the paper does not state the protocol; a checkpoint's name has protocol 1",
            "the label file has `pose`, `shape` and `gender` (m, f; else the neutral body), which SPIN's own has not",
        ),
    ),
    Protocol(
        name="mpi-inf-3dhp", dataset="mpi_inf_3dhp", readings=_TEST, joints=MPI_INF_3DHP17.names, people=2_929,
        title="MPI-INF-3DHP, test set (Mehta et al., 3DV 2017): 17 joints against annotated points",
        truth="annotated points", metrics=(*_POINTS, "pck", "auc"),
        assumes=(
            "2,929 valid frames of six subjects (from memory)",
            "PCK and AUC over all 17 joints up to 150 mm, unaligned, as SPIN's line of work does (from memory)",
        ),
    ),
    Protocol(
        name="mupots", dataset="mupots", readings=_TEST, joints=PCK_JOINTS, truth="annotated points",
        title="MuPoTS-3D, 20 sequences (Mehta et al., 3DV 2018): 3DPCK at 150 mm of all and of matched people",
        source="limbs of the body, rest by h36m regressor", metrics=("pck", "auc", "mpjpe"),
        matching="mupots", true_bone_lengths=True, average="sequences",
        assumes=(
            "truth is the universal-height annotation of valid frames",
            "people are found by humesh's finder where the paper of ik_refine has boxes of the true skeletons",
            "how the paper takes 17 joints from SMPL is not published; the source above is our choice",
        ),
    ),
    Protocol(
        name="agora", dataset="agora", readings=_VALIDATION, joints=SMPL24.names, source="body joints", root=_HIPS,
        title="AGORA, validation part (Patel et al., CVPR 2021): SMPL, 24 joints, F1 and what it normalises",
        mesh_root="root of the joints", truth="annotated points", metrics=("mpjpe", "pve"), matching="agora",
        unlike="papers print the test server's numbers (see --submission); these are of the validation part",
        assumes=(
            "people are found by humesh's finder where the paper of ik_refine has YOLOv4's boxes",
            "people are valid by the annotation's flag and an occlusion of 0 to 90 %; the others cost nothing",
            "children's bodies are mixed with another template, which we do not have: they have no vertex errors",
            "the benchmark's tool compares a part of SMPL's vertices for MVE; here all vertices count",
        ),
    ),
    Protocol(
        name="emdb-1", dataset="emdb", readings=((("split", "emdb1"),),), joints=SMPL24.names, source="body joints",
        title="EMDB 1, 17 sequences (Kaufmann et al., ICCV 2023): SMPL's 24 joints, the labelled gender's body",
        root=_HIPS, mesh_root="root of the joints", metrics=("mpjpe", "pa_mpjpe", "pve", "accel"), fps=30.0,
        assumes=("24 joints about the middle of the hips, as WHAM's line of work scores it (from memory)",),
    ),
    _SYNTHETIC,
    replace(
        _SYNTHETIC, name="clips", dataset="posed_clips", metrics=(*_POINTS, "accel"),
        title="clips of one person in motion that nothing was trained on (--motion), as keypoints without pictures",
        fed="a simulated detector's keypoints, whose errors are alike from frame to frame",
    ),
)  # fmt: skip

PROTOCOLS = {protocol.name: protocol for protocol in _ALL}
"""The benchmarks by the names that `humesh evaluate` has for them."""


def read_stretches(path: Path) -> tuple[Stretch, ...]:
    """The stretches of a list: lines `PREFIX` or `PREFIX FIRST STOP`; # starts a remark. Raises EvaluationError."""
    what = "lines `PREFIX` or `PREFIX FIRST STOP` (frames from 0 on, STOP is above FIRST and not included)"
    text = read_text(path, what=what, error=EvaluationError, most_bytes=2**24)
    stretches = []
    for line in text.splitlines():
        prefix, *frames = line.partition("#")[0].split() or [""]
        if not prefix:
            continue
        numbers = [int(frame) for frame in frames if len(frame) < 19 and frame.isdecimal()]
        if len(frames) > 2 or len(numbers) < len(frames) or (len(numbers) == 2 and numbers[1] <= numbers[0]):
            raise EvaluationError(f"{path}: expected {what}; got: {line.strip()[:80]!r}.")
        stretches.append(Stretch(prefix, *numbers))
    if not stretches:
        raise EvaluationError(f"{path}: expected at least one sequence, the list is empty.")
    return tuple(stretches)
