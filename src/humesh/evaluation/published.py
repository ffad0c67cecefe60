"""What papers print: numbers with the table they stand in, and whether 3DPW's training set was used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One row of a paper's table, in the units of its benchmark's protocol.

    `method`: the name in humesh's zoo, or "" for a system that humesh does not hold. `source`: who printed the number,
    and in which table. `used_3dpw`: trained or fine-tuned on 3DPW's training set; None: our sources do not say. `note`:
    what is odd about the row.
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


_JOTR_3DPW = "Li et al., JOTR, ICCV 2023, table 3"
_JOTR = "Li et al., JOTR, ICCV 2023, tables 1 and 2"
_ROI = "Nie et al., Multi-RoI, ECCV 2024, table 1"
_INT = "Yang et al., INT, ICLR 2023, table 1"
_IK = "Cha et al., IK and refinement, ECCV 2022, table 1"
_IK_AGORA = "Cha et al., IK and refinement, ECCV 2022, table 2"
_IK_MUPOTS = "Cha et al., IK and refinement, ECCV 2022, table 3"
_OWN = "each of JOTR's four released checkpoints was picked on its own test set, so one model will be a little worse"

_PANOPTIC = {"haggling": 99.9, "mafia": 113.5, "ultimatum": 115.7, "pizza": 123.6, "mpjpe": 114.7}
_JOINTS_UNSAID = "the joint set is not stated; 14 joints by Human3.6M's regressor are usual for the table's other rows"

PUBLISHED: tuple[Published, ...] = (
    Published("3dpw", "jotr", "JOTR", _errors(76.4, 48.7, 92.6), _JOTR_3DPW, False, _OWN),
    Published("3dpw", "", "3DCrowdNet", _errors(81.7, 51.2, 98.3), _JOTR_3DPW, False),
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
        "panoptic", "jotr", "JOTR", _PANOPTIC, _JOTR, False,
        "the mean is the printed one; the plain mean of the four activities is 113.2",
    ),
    Published("panoptic", "", "3DCrowdNet", {"mpjpe": 127.6}, _JOTR, False),
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


def _ablation(
    benchmark: str, method: str, table: str, used_3dpw: bool, rows: dict[str, tuple[float, ...]]
) -> tuple[Published, ...]:
    """Rows of one of a method's own tables; INT's of two numbers are PA-MPJPE and the acceleration error."""
    names = ("pa_mpjpe", "accel") if method == "int" else ()
    return tuple(
        Published(
            benchmark, method, system,
            dict(zip(names, row, strict=True)) if len(row) == len(names) else _errors(*row), table, used_3dpw,
        )
        for system, row in rows.items()
    )  # fmt: skip


_ROI_COCO = "trained on COCO alone"
ABLATIONS: tuple[Published, ...] = (
    *_ablation("3dpw-oc", "jotr", "JOTR, table 4: what the decoder sees", False, {
        "JOTR, 2D sampled": (78.3, 54.2, 94.7),
        "JOTR, 2D flattened": (77.8, 53.2, 94.7),
        "JOTR, 2D sampled + 3D sampled": (77.4, 53.8, 94.6),
        "JOTR, 2D flattened + 3D sampled": (77.0, 53.6, 94.3),
    }),
    *_ablation("3dpw-oc", "jotr", "JOTR, table 5: layers of one model", False, {
        "JOTR, after layer 0": (276.5, 124.7, 308.8),
        "JOTR, after layer 1": (145.5, 103.2, 185.9),
        "JOTR, after layer 2": (109.8, 68.7, 131.6),
        "JOTR, after layer 3": (77.0, 53.6, 94.3),
    }),
    *_ablation("3dpw-oc", "jotr", "JOTR, table 6: what the SMPL heads read", False, {
        "JOTR, joint tokens pooled": (79.8, 54.0, 95.9),
        "JOTR, SMPL tokens": (77.0, 53.6, 94.3),
    }),
    *_ablation("3dpw-oc", "jotr", "JOTR, table 7: contrastive losses", False, {
        "JOTR, no contrast": (77.0, 53.6, 94.3),
        "JOTR, joint-to-non-joint": (75.9, 52.5, 93.0),
        "JOTR, joint-to-joint": (76.6, 52.2, 93.2),
        "JOTR, both contrasts": (75.7, 52.2, 92.6),
    }),
    *_ablation("3dpw-multi-roi", "multi_roi", f"Multi-RoI, table 2, {_ROI_COCO}", False, {
        "Multi-RoI, everything": (80.8, 51.9),
        "Multi-RoI, no fusion": (83.8, 54.8),
        "Multi-RoI, no camera consistency": (83.1, 52.0),
        "Multi-RoI, no contrast": (83.4, 53.3),
        "Multi-RoI, none of them": (87.0, 55.8),
    }),
    *_ablation("3dpw-multi-roi", "multi_roi", f"Multi-RoI's preprint, table 2, {_ROI_COCO}", False, {
        "Multi-RoI, none of them (preprint)": (84.6, 54.2),
    }),
    *_ablation("3dpw-multi-roi", "multi_roi", f"Multi-RoI, table 3 (the preprint's 5), {_ROI_COCO}", False, {
        "Multi-RoI, features alone": (98.7, 56.9),
        "Multi-RoI, own code": (87.6, 55.0),
        "Multi-RoI, 0 frequencies": (81.6, 52.9),
        "Multi-RoI, 32 frequencies": (80.8, 51.9),
        "Multi-RoI, 64 frequencies": (81.1, 52.3),
    }),
    *_ablation("3dpw-multi-roi", "multi_roi", f"Multi-RoI, table 4 (the preprint's 3), {_ROI_COCO}", False, {
        "Multi-RoI, 1 crop": (84.6, 54.2),
        "Multi-RoI, 2 crops": (82.9, 54.4),
        "Multi-RoI, 3 crops": (81.2, 52.3),
        "Multi-RoI, 4 crops": (82.2, 53.1),
        "Multi-RoI, 5 crops": (80.8, 51.9),
    }),
    *_ablation("3dpw-multi-roi", "multi_roi", f"Multi-RoI's preprint, table 4, {_ROI_COCO}", False, {
        "Multi-RoI, no shift, no scale": (83.6, 54.4),
        "Multi-RoI, scale only": (83.4, 53.3),
        "Multi-RoI, shift only": (83.1, 52.0),
        "Multi-RoI, shift and scale": (80.8, 51.9),
        "Multi-RoI, random boxes": (84.4, 54.1),
    }),
    *_ablation("3dpw-int", "int", "INT, table 2: what goes through time", True, {
        "INT, image only": (45.6, 23.5),
        "INT, whole-pose motion": (43.9, 19.1),
        "INT, per-joint motion": (42.0, 16.5),
        "INT, MAED's parallel space and time": (43.0, 19.4),
    }),
    *_ablation("3dpw-int", "int", "INT, table 3: the encoder", True, {
        "INT, ViT-B without a CNN": (51.6, 25.3),
    }),
    *_ablation("3dpw-int", "int", "INT, table 4: frames at test time", True, {
        "INT, T = 16": (76.6, 42.2, 88.8, 18.1),
        "INT, T = 32": (76.2, 42.5, 88.8, 18.5),
        "INT, T = 64": (75.9, 42.3, 88.5, 17.4),
        "INT, T = 128": (75.4, 42.2, 88.0, 15.1),
    }),
    *_ablation("3dpw-24", "ik_refine", "IK and refinement, table 4", False, {"IK, skeleton only": (71.8, 42.5)}),
    *_ablation("3dpw", "ik_refine", "IK and refinement, table 4", False, {
        "IK, no refiner": (67.3, 39.3, 77.5),
        "IK + refiner, positional embedding": (68.3, 39.4, 78.3),
        "IK + refiner, no masking": (67.1, 39.0, 76.6),
        "IK + refiner, N = 1": (66.9, 39.4, 77.0),
        "IK + refiner, N = 2": (66.7, 39.3, 76.7),
        "IK + refiner, N = 3": (66.0, 39.0, 76.3),
        "IK + refiner, N = 4": (66.6, 39.4, 77.2),
    }),
)  # fmt: skip
"""The papers' ablation tables, as far as our sources have them; docs/methods.md has each row's options."""


def published(benchmark: str, method: str = "", ablations: bool = False) -> list[Published]:
    """The rows of a benchmark, or those of one method of the zoo; both forms of Multi-RoI are the same paper's."""
    method = method.removesuffix("_authors")
    rows = (*PUBLISHED, *ABLATIONS) if ablations else PUBLISHED
    return [row for row in rows if row.benchmark == benchmark and method in ("", row.method)]
