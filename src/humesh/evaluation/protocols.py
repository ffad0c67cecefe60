"""What a benchmark's number means: joints, root, alignment, truth, matching and filters, as data.

Facts are from the four papers' fact sheets (their evaluation sections) where a comment says nothing else; "from memory"
marks what no sheet says.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Literal

from humesh.body.joints import H36M17, LIMBS12, LSP14, MPI_INF_3DHP17, SMPL24
from humesh.evaluation.mupots import PCK_JOINTS
from humesh.evaluation.subsets import THREEDPW_OC, THREEDPW_PC, Stretch

UNITS = {"mpjpe": "mm", "pa_mpjpe": "mm", "pve": "mm", "accel": "mm/frame²", "pck": "%", "auc": "%"}
"""The metrics and what they are counted in; where they are computed: `humesh.evaluation.errors`."""

Reading = tuple[tuple[str, str | int | tuple[int, ...]], ...]
Source = Literal["h36m regressor", "body joints", "limbs of the body, rest by h36m regressor"]
Truth = Literal["gendered body", "neutral body", "annotated points"]
MeshRoot = Literal["pelvis of the body's regressor", "root of the joints", "translation"]


@dataclass(frozen=True)
class Protocol:
    """How one benchmark is scored.

    The data set is `dataset`, read with each of `readings` (options of its reader), one after the other. Errors are
    means over `joints`, of which those of the prediction come from its mesh or skeleton by `source`; both sides are
    first moved so that the mean of `root` is 0, meshes by `mesh_root`. `matching`: "given" predictions are for the
    people they were asked for, or, of people found in a photo, for those whose box is the nearest (`least_iou`);
    "mupots" and "agora" are these benchmarks' own tools. `average`: over people, or over `groups` (parts of sequence
    names) or sequences, each of these first by itself. `stretches`: the parts of sequences that are evaluated, None:
    all; `needs_keypoints`: only people of whom the owner's detector saw something.
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


_OPENPOSE = "the 2D keypoints are OpenPose's as 3DCrowdNet's annotation of 3DPW stores them, used above 0.05"
_OWNERS = "the owner's OpenPose keypoints (none: fewer than six were found) and the box of the projected joints"
_MEMORY = "the list is written from memory: compare the number of people with the paper's, or give yours with --subset"
_ALL_SPLITS = "taken from all three splits, as methods that train on none of them do (from memory)"
_3DPW = Protocol(
    name="3dpw",
    title="3DPW, test split (von Marcard et al., ECCV 2018), as JOTR, 3DCrowdNet and SPIN's line of work score it",
    dataset="threedpw",
    readings=((("split", "test"),),),
    fed=_OWNERS,
    fps=30.0,
    people=35_515,
    assumes=(_OPENPOSE, "predictions are on the neutral body, truth on the labelled gender's"),
)

_SPLITS: tuple[Reading, ...] = tuple((("split", split),) for split in ("train", "validation", "test"))
_LISTED = {
    "3dpw-oc": (20_243, "3DPW-OC, people hidden by objects (Zhang et al., CVPR 2020)", THREEDPW_OC),
    "3dpw-pc": (2_218, "3DPW-PC, people hidden by people (Sun et al., ROMP, ICCV 2021)", THREEDPW_PC),
}

_ACTIVITIES = ("haggling", "mafia", "ultimatum", "pizza")
_H36M = Protocol(
    name="h36m-p1",
    title="Human3.6M, protocol 1: subjects 9 and 11, all four cameras",
    dataset="human36m",
    readings=((("split", "test"), ("protocol", 1)),),
    truth="annotated points",
    metrics=("mpjpe", "pa_mpjpe"),
    assumes=("every fifth frame of 50 a second, as in SPIN's preparation (from memory)",),
)

_SYNTHETIC = Protocol(
    name="synthetic",
    title="people that humesh renders for it, from motion that nothing was trained on (--motion)",
    dataset="synthetic",
    joints=LIMBS12.names,
    source="body joints",
    truth="annotated points",
    metrics=("mpjpe", "pa_mpjpe"),
    fed="a simulated detector's keypoints, or those of humesh's finder (--detector)",
    assumes=(
        "the same options give the same people; another seed is another test set",
        "truth is the joints of body 'open-low', which lie up to 1 mm from those of 'open' in the same pose",
    ),
)

_ALL = (
    replace(_3DPW, metrics=(*_3DPW.metrics, "accel")),
    *(
        replace(
            _3DPW, name=name, title=title, readings=_SPLITS, stretches=stretches, needs_keypoints=True, people=people,
            assumes=(*_3DPW.assumes, _ALL_SPLITS, _MEMORY),
        )
        for name, (people, title, stretches) in _LISTED.items()
    ),
    replace(
        _3DPW,
        name="3dpw-crowd",
        title="3DPW-Crowd (Choi et al., 3DCrowdNet, CVPR 2022): two crowded sequences of the validation split",
        readings=((("split", "validation"),),),
        stretches=(Stretch("courtyard_hug_00"), Stretch("courtyard_dancing_00")),
        people=1_923,
        unlike_fed="the paper feeds HigherHRNet's keypoints, OpenPose's where these are missing",
        assumes=("the 2D keypoints are HigherHRNet's, OpenPose's where these are missing", _3DPW.assumes[1]),
    ),
    replace(
        _3DPW,
        name="3dpw-multi-roi",
        title="3DPW, test split, as Multi-RoI's code scores it: meshes are centred on Human3.6M's pelvis",
        mesh_root="root of the joints",
        assumes=("detected boxes; photos at half their size; the mesh of the first region", _3DPW.assumes[1]),
    ),
    replace(
        _3DPW,
        name="3dpw-int",
        title="3DPW, test split, as INT's code scores it: truth on the neutral body, hips as root, PVE unaligned",
        root=("left_hip", "right_hip"),
        mesh_root="translation",
        truth="neutral body",
        metrics=(*_3DPW.metrics, "accel"),
        clip_span=128,
        clip_length=64,
        assumes=(
            "boxes 1.1 times the tight ones, smoothed along the track (ours are not)",
            "the paper's acceleration also counts the frames where one sequence follows another; ours does not",
        ),
    ),
    replace(
        _3DPW,
        name="3dpw-24",
        title="3DPW, test split, SMPL's 24 joints as annotated: needs no body file and no regressor",
        joints=SMPL24.names,
        source="body joints",
        truth="annotated points",
        metrics=("mpjpe", "pa_mpjpe", "accel"),
        assumes=(
            "the paper of ik_refine can only mean these joints where it scores the skeleton alone; no other prints it",
            "for bodies other than SMPL, whose joints lie elsewhere, read PA-MPJPE",
        ),
    ),
    Protocol(
        name="3doh50k",
        title="3DOH50K, test split (Zhang et al., CVPR 2020): people hidden by objects",
        dataset="threedoh",
        readings=((("split", "test"),),),
        truth="neutral body",
        people=1_290,
        unlike_fed="JOTR feeds an HRNet detector's keypoints, here the labels' own points are fed",
    ),
    Protocol(
        name="panoptic",
        title="CMU-Panoptic, four activities, as Jiang et al. (CVPR 2020) and 3DCrowdNet score it",
        dataset="cmu_panoptic",
        readings=tuple((("split", "test"), ("activity", activity)) for activity in _ACTIVITIES),
        joints=(*LIMBS12.names, "neck"),
        truth="annotated points",
        metrics=("mpjpe",),
        average="groups",
        groups=_ACTIVITIES,
        unlike_fed="papers feed a detector's people, here the labels' own projected points are fed",
        assumes=(
            "no paper's loader is public: the 13 joints that Human3.6M and CMU-Panoptic share are our choice",
            "cameras 16 and 30 (from memory of Zanfir et al., 2018, whose selection later papers use)",
        ),
    ),
    _H36M,
    replace(
        _H36M,
        name="h36m-p2",
        title="Human3.6M, protocol 2: subjects 9 and 11, the frontal camera; its number is PA-MPJPE",
        readings=((("split", "test"), ("protocol", 2)),),
    ),
    replace(
        _H36M,
        name="h36m-int",
        title="Human3.6M as INT's code scores it: 17 joints, hips as root",
        joints=H36M17.names,
        root=("left_hip", "right_hip"),
        clip_span=128,
        clip_length=64,
        assumes=("the prepared validation table of the MAED project, which we do not have; protocol 1 stands for it",),
    ),
    replace(
        _H36M,
        name="h36m-multi-roi",
        title="Human3.6M as Multi-RoI's code scores it: truth on the labelled gender's body",
        truth="gendered body",
        assumes=(
            "the paper does not say which protocol; a checkpoint's name says protocol 1",
            "the label file has `pose`, `shape` and `gender` (m, f; else the neutral body), which SPIN's own has not",
        ),
    ),
    Protocol(
        name="mpi-inf-3dhp",
        title="MPI-INF-3DHP, test set (Mehta et al., 3DV 2017): 17 joints against annotated points",
        dataset="mpi_inf_3dhp",
        readings=((("split", "test"),),),
        joints=MPI_INF_3DHP17.names,
        truth="annotated points",
        metrics=("mpjpe", "pa_mpjpe", "pck", "auc"),
        people=2_929,
        assumes=(
            "2,929 valid frames of six subjects (from memory)",
            "PCK and AUC over all 17 joints up to 150 mm, unaligned, as SPIN's line of work does (from memory)",
        ),
    ),
    Protocol(
        name="mupots",
        title="MuPoTS-3D, 20 sequences (Mehta et al., 3DV 2018): 3DPCK at 150 mm of all and of matched people",
        dataset="mupots",
        readings=((("split", "test"),),),
        joints=PCK_JOINTS,
        source="limbs of the body, rest by h36m regressor",
        truth="annotated points",
        metrics=("pck", "auc", "mpjpe"),
        matching="mupots",
        true_bone_lengths=True,
        average="sequences",
        assumes=(
            "truth is the universal-height annotation of valid frames",
            "people are found by humesh's finder where the paper of ik_refine has boxes of the true skeletons",
            "how the paper takes 17 joints from SMPL is not published; the source above is our choice",
        ),
    ),
    Protocol(
        name="agora",
        title="AGORA, validation part (Patel et al., CVPR 2021): SMPL, 24 joints, F1 and what it normalises",
        dataset="agora",
        readings=((("split", "validation"),),),
        joints=SMPL24.names,
        source="body joints",
        root=("left_hip", "right_hip"),
        mesh_root="root of the joints",
        truth="annotated points",
        metrics=("mpjpe", "pve"),
        matching="agora",
        unlike="papers print the test server's numbers; these are of the validation part",
        assumes=(
            "people are found by humesh's finder where the paper of ik_refine has YOLOv4's boxes",
            "people are valid by the annotation's flag and an occlusion of 0 to 90 %; the others cost nothing",
            "children's bodies are mixed with another template, which we do not have: they have no vertex errors",
            "the benchmark's tool compares a part of SMPL's vertices for MVE; here all vertices count",
        ),
    ),
    Protocol(
        name="emdb-1",
        title="EMDB 1, 17 sequences (Kaufmann et al., ICCV 2023): SMPL's 24 joints, the labelled gender's body",
        dataset="emdb",
        readings=((("split", "emdb1"),),),
        joints=SMPL24.names,
        source="body joints",
        root=("left_hip", "right_hip"),
        mesh_root="root of the joints",
        metrics=("mpjpe", "pa_mpjpe", "pve", "accel"),
        fps=30.0,
        assumes=("24 joints about the middle of the hips, as WHAM's line of work scores it (from memory)",),
    ),
    _SYNTHETIC,
    replace(
        _SYNTHETIC,
        name="clips",
        title="clips of one person in motion that nothing was trained on (--motion), as keypoints without pictures",
        dataset="posed_clips",
        metrics=(*_SYNTHETIC.metrics, "accel"),
        fed="a simulated detector's keypoints, whose errors are alike from frame to frame",
    ),
)  # fmt: skip

PROTOCOLS = {protocol.name: protocol for protocol in _ALL}
"""The benchmarks by the names that `humesh evaluate` calls them."""
