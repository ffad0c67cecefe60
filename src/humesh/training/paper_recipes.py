"""Each paper's own recipes.

Their numbers are in `docs/methods.md`; [O] marks what no source says and we chose. Their losses are counted in other
units than ours, so weights are converted: JOTR's heatmaps have 64 cells a crop, we count in half crops and shares.
"""

from __future__ import annotations

import math
from dataclasses import replace

from humesh.data.augment import Augment
from humesh.training.recipe import Judges, Recipe, Source


def _mix(**shares: float) -> tuple[Source, ...]:
    return tuple(Source(name, share) for name, share in shares.items())


# JOTR: loss by loss in its authors' units times their factors, in ours. Heatmap cells / 64 are shares of the crop;
# projected joints in cells / 8 are 4 x half crops; metres x 5.
_JOTR_LOSSES = {"points3d": 5.0, "joint_img": 1.0, "points2d": 4.0, "rotations": 1.0, "shape": 1.0}
JOTR_CONTRAST = {"joint_to_joint": 0.1, "joint_to_non_joint": 0.1}
_JOTR_1 = Recipe(
    about="JOTR, first stage: no contrastive losses",
    method="jotr",
    data=_mix(human36m=0.35, muco=0.15, coco=0.43, crowdpose=0.07),  # 3D and 2D half and half, inside by size
    steps=46_000,  # 18 epochs of about 650k crops
    batch=256,
    weights=_JOTR_LOSSES,
    learned=tuple(_JOTR_LOSSES),
    error="absolute",
    config={"contrast": ()},
    rate=1e-4,
    decay=1e-4,
    clip=math.inf,
    ema=0.0,
    augment=Augment(scale=0.25, mirror=0.5, roll=30.0, rolled=0.6, colour=0.2),
    precision="float16",
    seed=42,
)
_JOTR_2 = replace(
    _JOTR_1,
    about="JOTR, second stage: with contrastive losses, from the first stage's weights",
    steps=10_000,
    batch=128,
    weights=_JOTR_LOSSES | JOTR_CONTRAST,
    config={},
    rate=5e-5,
    decay=1e-3,
    starts_from="jotr-stage1",
)

# Multi-RoI: 60 x (5, 5, 1, 1, 0.001, 1, 0.1); the authors' 2D is in half widths and half heights, ours in half heights.
_ROI_LOSSES = {
    "points2d": 300.0,
    "points3d": 300.0,
    "vertices": 60.0,
    "rotations": 60.0,
    "shape": 0.06,
    "camera_consistency": 60.0,
    "person_contrast": 6.0,
}
_ROI_R50 = Recipe(
    about="Multi-RoI with a ResNet-50",
    method="multi_roi",
    data=_mix(human36m=0.5, mpi_inf_3dhp=0.1, coco=0.3, mpii=0.1),  # [O]: no source has the shares
    steps=156_000,  # 25 epochs of 300k
    batch=48,
    weights=_ROI_LOSSES,
    optimiser="adam",
    rate=1e-4,
    decay=0.0,
    clip=math.inf,
    ema=0.0,
    augment=Augment(scale=0.125, mirror=0.5, roll=15.0, colour=0.4),  # up to 25 % and 30 degrees
    people=1,
)
_ROI_HR48 = replace(
    _ROI_R50,
    about="Multi-RoI with an HRNet-W48",
    config={"encoder": "hrnet_w48"},
    steps=225_000,
    batch=20,
    rate=5e-5,
)


def _on_3dpw(recipe: Recipe, start: str, steps: int) -> Recipe:
    about = f"{recipe.about}, fine-tuned on 3DPW"
    return replace(recipe, about=about, data=_mix(threedpw=1.0), rate=1e-5, steps=steps, starts_from=start)


_INT_LOSSES = {"points2d": 300.0, "points3d": 600.0, "rotations": 60.0, "shape": 0.06, "norm": 1.0}
_INT_1 = Recipe(
    about="INT, first phase: images",
    method="int",
    data=_mix(coco=0.3, lspet=0.05, mpii=0.1, mpi_inf_3dhp=0.25, human36m=0.3),
    steps=100_000,  # [O]: 100 epochs, of a length that no source has
    batch=480,
    weights=_INT_LOSSES,
    config={"temporal": "none", "pretrained": True},
    optimiser="adam",
    rate=1e-4,
    decay=1e-5,
    schedule="step",
    drops=(0.6, 0.9),
    clip=math.inf,
    ema=0.0,
    augment=Augment(scale=0.1, mirror=0.5),
)
_INT_2 = replace(
    _INT_1,
    about="INT, second phase: clips and images, from the first phase's weights",
    data=_mix(
        mpi_inf_3dhp=0.15, human36m=0.15, insta_variety=0.1, posetrack=0.05, penn_action=0.05, coco=0.4, mpii=0.1
    ),
    batch=112,
    config={"temporal": "per_joint"},
    stride=8,
    augment=Augment(scale=0.1, mirror=0.5, colour=0.3, brightness=0.3, contrast=0.3, erase=0.3),
    starts_from="int-phase1",
)
_INT_3 = replace(
    _INT_2,
    about="INT, third phase: 3DPW and Human3.6M clips, from the second phase's weights",
    data=_mix(threedpw=0.5, human36m=0.5),
    steps=40_000,
    batch=64,
    weights=_INT_LOSSES | {"norm": 0.01, "velocity": 600.0},
    optimiser="sgd",
    decay=0.0,
    drops=(0.5, 0.75),
    starts_from="int-phase2",
)

_IK_LOSSES = {
    "skeleton_absolute": 1.0,
    "skeleton_relative": 1.0,
    "skeleton_2d": 1.0,
    "skeleton_projected": 1.0,
    "twist": 1.0,
    "leaves": 1.0,  # [O]
    "first_shape": 1.0,
    "refined_pose": 1.0,
    "refined_shape": 1.0,
    "refined_3d": 1.0,
    "refined_2d": 1.0,
    "adversarial": 0.01,  # [O]
}
_IK = Recipe(
    about="IK-refine with its discriminators",
    method="ik_refine",
    data=_mix(human36m=0.35, mpi_inf_3dhp=0.1, lsp=0.03, coco=0.2, mpii=0.07, muco=0.15, cmu_panoptic=0.1),
    steps=400_000,  # [O]: 100 epochs of 256k people
    batch=21,  # of up to 3 people: 64
    weights=_IK_LOSSES,
    config={"pretrained": True},
    delayed={"skeleton_absolute": 5000 / 400_000},  # MeTRAbs
    judges=Judges(),
    optimiser="adam",
    rate=1e-4,
    rates={"refiner": 0.5},
    decay=0.0,
    schedule="step",
    drops=tuple(epoch / 100 for epoch in range(1, 100)),
    drop=0.9,
    clip=math.inf,
    ema=0.0,
    augment=Augment(centre=0.05, scale=0.125, mirror=0.5, roll=20.0, colour=0.2, brightness=0.2, erase=0.5),  # MeTRAbs
    people=3,
)

PUBLISHED: dict[str, Recipe] = {
    "jotr-stage1": _JOTR_1,
    "jotr-stage2": _JOTR_2,
    "multi_roi-r50": _ROI_R50,
    "multi_roi-hr48": _ROI_HR48,
    "multi_roi-coco": replace(_ROI_R50, about="Multi-RoI as in the paper's ablations", data=_mix(coco=1.0)),
    "multi_roi-r50-3dpw": _on_3dpw(_ROI_R50, "multi_roi-r50", 2400),  # 5 epochs of 3DPW's 22.7k people
    "multi_roi-hr48-3dpw": _on_3dpw(_ROI_HR48, "multi_roi-hr48", 5700),
    "int-phase1": _INT_1,
    "int-phase2": _INT_2,
    "int-phase3": _INT_3,
    "ik_refine": _IK,
}
"""On the data sets of their owners."""
