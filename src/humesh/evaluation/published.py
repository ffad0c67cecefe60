"""What papers print: numbers with the table they stand in, and whether 3DPW's training set was used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One row of a paper's table, in the units of its benchmark's protocol.

    `method`: the name in humesh's zoo, or "" for a system that humesh does not hold. `source`: who printed the number,
    and where; "table ?" where our fact sheet has no table number. `used_3dpw`: trained or fine-tuned on 3DPW's training
    set; None: our sources do not say. `note`: what is odd about the row.
    """

    benchmark: str
    method: str
    system: str
    values: dict[str, float]
    source: str
    used_3dpw: bool | None
    note: str = ""


def _errors(*values: float) -> dict[str, float]:
    """Millimetres in the order in which papers print them; 3DPW's fourth is the acceleration error, mm/frame²."""
    return dict(zip(("mpjpe", "pa_mpjpe", "pve", "accel")[: len(values)], values, strict=True))


_JOTR = "Li et al., JOTR, ICCV 2023, tables 1 and 2"
_JOTR_PANOPTIC = "Li et al., JOTR, ICCV 2023, table ? (CMU-Panoptic)"
_ROI = "Nie et al., Multi-RoI, ECCV 2024, table ? (main results)"
_INT = "Yang et al., INT, ICLR 2023, table ? (main results)"
_IK = "Cha et al., IK and refinement, ECCV 2022, table 1"
_IK_MUPOTS = "Cha et al., IK and refinement, ECCV 2022, table 3"
_IK_AGORA = "Cha et al., IK and refinement, ECCV 2022, table ? (AGORA)"
_OWN = "each of JOTR's four released checkpoints was picked on its own test set, so one model will be a little worse"

_PANOPTIC = {"haggling": 99.9, "mafia": 113.5, "ultimatum": 115.7, "pizza": 123.6, "mpjpe": 114.7}
_JOINTS_UNSAID = "the joint set is not stated; 14 joints by Human3.6M's regressor are usual for the table's other rows"

PUBLISHED: tuple[Published, ...] = (
    Published("3dpw", "jotr", "JOTR", _errors(76.4, 48.7, 92.6), _JOTR, False, _OWN),
    Published("3dpw", "", "3DCrowdNet", _errors(81.7, 51.2, 98.3), _JOTR, False),
    Published("3dpw", "ik_refine", "IK + refiner", _errors(66.0, 39.0, 76.3), _IK, False, _JOINTS_UNSAID),
    Published("3dpw", "", "3DCrowdNet", _errors(82.8, 52.2, 100.2), _IK, None),
    Published("3dpw", "", "HybrIK", _errors(80.0, 48.8, 94.5), _IK, None),
    Published("3dpw", "", "METRO", _errors(77.1, 47.9, 88.2), _IK, None),
    Published("3dpw", "", "Mesh Graphormer", _errors(74.7, 45.6, 87.7), _IK, None),
    Published("3dpw-oc", "jotr", "JOTR", _errors(75.7, 52.2, 92.6), _JOTR, False, _OWN),
    Published("3dpw-oc", "", "3DCrowdNet", _errors(83.5, 57.1, 101.5), _JOTR, False),
    Published(
        "3dpw-pc", "jotr", "JOTR", _errors(86.5, 58.3, 109.7), _JOTR, False,
        f"the paper's text says 58.8 for PA-MPJPE, its table 58.3; {_OWN}",
    ),
    Published("3dpw-pc", "", "3DCrowdNet", _errors(90.9, 64.4, 114.8), _JOTR, False),
    Published(
        "3dpw-crowd", "jotr", "JOTR", _errors(82.4, 52.0, 103.4), _JOTR, False,
        f"with OpenPose's keypoints if the authors' script made all test sets in its order; {_OWN}",
    ),
    Published("3dpw-crowd", "", "3DCrowdNet", _errors(85.8, 55.8, 108.5), _JOTR, False),
    Published("3doh50k", "jotr", "JOTR", _errors(98.7, 59.3, 104.8), _JOTR, False),
    Published("3doh50k", "", "3DCrowdNet", _errors(102.8, 61.6, 111.8), _JOTR, False),
    Published(
        "panoptic", "jotr", "JOTR", _PANOPTIC, _JOTR_PANOPTIC, False,
        "the mean is the printed one; the plain mean of the four activities is 113.2",
    ),
    Published("panoptic", "", "3DCrowdNet", {"mpjpe": 127.6}, _JOTR_PANOPTIC, False),
    Published("3dpw-multi-roi", "multi_roi", "Multi-RoI, HRNet-W48", _errors(64.1, 40.4, 78.6), _ROI, True),
    Published("3dpw-multi-roi", "multi_roi", "Multi-RoI, ResNet-50", _errors(68.2, 43.2, 81.9), _ROI, True),
    Published("3dpw-multi-roi", "", "CLIFF, HRNet-W48", _errors(69.0, 43.0, 81.2), _ROI, True),
    Published("3dpw-multi-roi", "", "CLIFF, ResNet-50", _errors(71.4, 45.4, 84.2), _ROI, True),
    Published("h36m-multi-roi", "multi_roi", "Multi-RoI, HRNet-W48", _errors(42.2, 30.7), _ROI, None),
    Published("h36m-multi-roi", "multi_roi", "Multi-RoI, ResNet-50", _errors(45.4, 33.0), _ROI, None),
    Published("h36m-multi-roi", "", "CLIFF, HRNet-W48", _errors(47.1, 32.7), _ROI, None),
    Published("h36m-multi-roi", "", "CLIFF, ResNet-50", _errors(50.2, 35.9), _ROI, None),
    Published("3dpw-int", "int", "INT-2", _errors(75.6, 42.0, 87.9, 16.5), _INT, True, "clips of 64 frames"),
    Published("3dpw-int", "int", "INT-1", _errors(90.0, 49.7, 105.1, 23.5), _INT, False),
    Published("h36m-int", "int", "INT-2", _errors(54.9, 38.4), _INT, True),
    Published("h36m-int", "int", "INT-1", _errors(57.1, 39.1), _INT, False),
    Published(
        "mupots", "ik_refine", "IK + refiner", {"pck_all": 89.9, "pck_matched": 91.7}, _IK_MUPOTS, False,
        "in S3, S4, S6, S10 and S17 matched is below all, which one set of predictions cannot give: +-1 a sequence",
    ),
    Published("mupots", "", "MeTRAbs", {"pck_all": 83.3, "pck_matched": 87.5}, _IK_MUPOTS, None),
    Published(
        "agora", "ik_refine", "IK + refiner",
        {"nmve": 104.5, "nmje": 110.4, "mve": 86.7, "mpjpe": 91.6, "f1": 0.83}, _IK_AGORA, False,
        "which part of AGORA is not in our fact sheet; F1 follows from MVE / NMVE",
    ),
    Published("agora", "", "SPEC", {"nmve": 126.8, "nmje": 133.7, "mve": 106.5, "mpjpe": 112.3}, _IK_AGORA, None),
)  # fmt: skip
"""What the four papers print, their own rows and those that they compare with."""


def published(benchmark: str, method: str = "") -> list[Published]:
    """The rows of a benchmark, or those of one method of the zoo; both forms of Multi-RoI are the same paper's."""
    method = method.removesuffix("_authors")
    return [row for row in PUBLISHED if row.benchmark == benchmark and method in ("", row.method)]
