"""The recipes: each paper's own, the same networks on synthetic people, small ones for a laptop, and a trial.

Papers' numbers are in `docs/methods.md`; [O] marks what no source says and we chose. Their losses are counted in other
units than ours, so weights are converted: JOTR's heatmaps have 64 cells a crop, we count in half crops and shares.
"""

from __future__ import annotations

import math
from dataclasses import replace

from humesh.data.augment import Augment
from humesh.training.recipe import Judges, Recipe, Source


def _mix(**shares: float) -> tuple[Source, ...]:
    return tuple(Source(name, share) for name, share in shares.items())


_SYNTHETIC = (Source("synthetic"),)

# JOTR: loss by loss in its authors' units times their factors, in ours. Heatmap cells / 64 are shares of the crop;
# projected joints in cells / 8 are 4 x half crops; metres x 5.
_JOTR_LOSSES = {"points3d": 5.0, "joint_img": 1.0, "points2d": 4.0, "rotations": 1.0, "shape": 1.0}
_JOTR_CONTRAST = {"joint_to_joint": 0.1, "joint_to_non_joint": 0.1}
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
    weights=_JOTR_LOSSES | _JOTR_CONTRAST,
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
    delayed={"skeleton_absolute": 5000},  # MeTRAbs
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

# Ours. Absolute errors, as the measures are; what the papers' weights add up to, in their proportions.
_OURS = Augment(
    centre=0.05, scale=0.12, mirror=0.5, roll=15.0, rolled=0.5, colour=0.15, brightness=0.3, contrast=0.3, noise=0.04,
    erase=0.2,
)  # fmt: skip
_OUR_JOTR = {"joint_img": 2.0, "points3d": 10.0, "points2d": 2.0, "rotations": 2.0, "shape": 0.1}
_OUR_LIFTER = {"points3d": 10.0, "points2d": 1.0, "rotations": 2.0, "shape": 0.1}
_OUR_ROI = {
    "points2d": 2.0, "points3d": 10.0, "rotations": 2.0, "shape": 0.02, "camera_consistency": 0.1,
    "person_contrast": 0.01,
}  # fmt: skip
_OUR_INT = {"points2d": 2.0, "points3d": 10.0, "rotations": 2.0, "shape": 0.02, "norm": 0.01}
_OUR_IK = {
    "skeleton_absolute": 0.2, "skeleton_relative": 10.0, "skeleton_2d": 2.0, "skeleton_projected": 1.0, "twist": 0.5,
    "leaves": 0.2, "first_shape": 0.02, "refined_pose": 1.0, "refined_shape": 0.02, "refined_3d": 10.0,
    "refined_2d": 1.0, "points3d": 5.0, "points2d": 1.0, "adversarial": 0.01,
}  # fmt: skip

# 25 minutes of one 80 GB GPU.
_SYNTHETIC_JOTR = Recipe(
    about="JOTR on synthetic people: 25 minutes of an 80 GB GPU",
    method="jotr",
    data=_SYNTHETIC,
    steps=8000,
    batch=128,
    weights=_OUR_JOTR | _JOTR_CONTRAST,
    error="absolute",
    rate=2e-4,
    rates={"encoder": 0.5},
    decay=1e-4,
    schedule="cosine",
    warm_up=500,
    augment=_OURS,
    precision="bfloat16",
    delayed=dict.fromkeys(_JOTR_CONTRAST, 4000),
    held_out=512,
)
_SYNTHETIC_ROI = replace(
    _SYNTHETIC_JOTR,
    about="Multi-RoI on synthetic people: 25 minutes of an 80 GB GPU",
    method="multi_roi",
    weights=_OUR_ROI,
    steps=6000,
    batch=64,
    delayed={},
)
_SYNTHETIC_INT = replace(
    _SYNTHETIC_ROI,
    about="INT (single images) on synthetic people: 25 minutes of an 80 GB GPU",
    method="int",
    config={"temporal": "none"},
    weights=_OUR_INT,
    rates={"patch_embed": 0.5},
    batch=128,
)
_SYNTHETIC_IK = replace(
    _SYNTHETIC_ROI,
    about="IK-refine on synthetic people: 25 minutes of an 80 GB GPU",
    method="ik_refine",
    weights=_OUR_IK,
    rates={"encoder": 0.5, "refiner": 0.5},
    delayed={"skeleton_absolute": 1000},
    judges=Judges(),
    people=3,
)

# Two hours of two CPU cores.
_LITE = "tf_efficientnet_lite0"
_LIFTER_WIDTH = 1024
_LITE_JOTR = replace(
    _SYNTHETIC_JOTR,
    about="a small JOTR on synthetic people: two hours of two CPU cores",
    config={
        "encoder": "blazepose", "size": 192, "width": 192, "heads": 6, "hidden": 512, "volume_hidden": 384, "depth": 4,
        "encoder_layers": 1, "volume_layers": 1, "decoder_layers": 3, "lifter": _LIFTER_WIDTH, "added": True,
    },
    data=(Source("synthetic", options={"detected": True}),),
    starts_from="lite-lifter-2",
    # The lifter has seen more people than there are pictures of, the encoder more photographs.
    rates={"encoder": 0.0, "fusion": 0.0, "lifter": 0.0},
    steps=4000,
    batch=64,
    rate=4e-4,
    warm_up=300,
    delayed=dict.fromkeys(_JOTR_CONTRAST, 3000),
    precision="float32",
    encoder_start="mediapipe",
    held_out=256,
    log_every=20,
    validate_every=500,
    save_every=100,
)  # fmt: skip
# Points are cheap: an hour of two cores sees twelve million people, some hundred times as many as with pictures.
_LITE_LIFTER = Recipe(
    about="the perceptron that lite-jotr starts from, and is compared with: 2D keypoints alone",
    method="lifter",
    data=(Source("posed"),),
    config={"width": _LIFTER_WIDTH, "landmarks": False},
    weights=_OUR_LIFTER,
    error="absolute",
    steps=24000,
    batch=512,
    rate=1e-3,
    decay=1e-2,
    schedule="cosine",
    warm_up=300,
    augment=Augment(centre=0.02, scale=0.05),
    precision="bfloat16",
    held_out=1024,
    log_every=100,
    validate_every=1000,
    save_every=500,
)
# MediaPipe's mistakes are not independent as simulated ones are: how far its depths can be believed is learned from
# what it really says of rendered people.
_LITE_LIFTER_2 = replace(
    _LITE_LIFTER,
    about="lite-lifter, second stage, with landmarks: a third is what MediaPipe says of rendered people",
    config={"width": _LIFTER_WIDTH},
    data=(Source("detected", 0.34), Source("posed", 0.66)),
    steps=1000,
    batch=768,
    rate=3e-4,
    decay=5e-2,
    warm_up=50,
    augment=Augment(centre=0.02, scale=0.05, mirror=0.5, roll=15.0, rolled=0.6),
    held_out=1500,
    log_every=50,
    validate_every=250,
    starts_from="lite-lifter",
)
# The lifter's answers for the points in each box: what the boxes tell without pixels.
_LITE_ROI = replace(
    _LITE_JOTR,
    about="a small Multi-RoI of five regions on a detector's points: from the lifter's answers for each",
    encoder_start="none",
    method="multi_roi",
    config={"crop": (32, 32), "rois": 5, "hidden": (512, 512), "dropout": 0.1, "lifter": _LIFTER_WIDTH},
    weights=_OUR_ROI,
    rates={"lifter": 0.0},
    steps=1500,
    warm_up=100,
    delayed={},
)
# Clips of points: what a joint does over time needs no picture. Frame by frame the frozen lifter answers.
_LITE_INT = replace(
    _LITE_LIFTER,
    about="a small INT on a detector's points: clips without pictures, from the lifter's answer for each frame",
    method="int",
    data=(Source("posed_clips"),),
    config={"crop": (32, 32), "width": 128, "heads": 4, "depth": 1, "temporal_depth": 2, "lifter": _LIFTER_WIDTH},
    starts_from="lite-lifter-2",
    weights=_OUR_LIFTER | {"velocity": 10.0},
    rates={"lifter": 0.0},
    steps=1500,
    batch=48,
    rate=1e-3,
    warm_up=100,
    held_out=128,
    log_every=50,
    validate_every=250,
    save_every=250,
)
_LITE_IK = replace(
    _LITE_JOTR,
    about="a small IK-refine for pairs of people on a detector's points: from the lifter's skeletons",
    encoder_start="none",
    method="ik_refine",
    config={
        "size": 64, "twist_width": 256, "width": 256, "head_width": 64, "hidden": 512, "people": 2, "dropout": 0.1,
        "mask_share": 0.1, "lifter": _LIFTER_WIDTH,
    },
    weights=_OUR_IK,
    rates={"lifter": 0.0},
    steps=1500,
    batch=64,
    warm_up=100,
    delayed={"skeleton_absolute": 500},
    judges=Judges(),
    people=2,
)  # fmt: skip

_DEBUG = Recipe(
    about="a tiny JOTR on stick figures: tries everything in seconds",
    method="jotr",
    data=(Source("drawn", options={"count": 128}),),
    steps=40,
    batch=8,
    weights=_OUR_JOTR | _JOTR_CONTRAST,
    config={
        "encoder": "test_resnet", "size": 64, "width": 32, "heads": 4, "hidden": 64, "volume_hidden": 64, "depth": 3,
        "encoder_layers": 1, "volume_layers": 1, "decoder_layers": 2,
    },
    error="absolute",
    rate=1e-3,
    schedule="cosine",
    warm_up=5,
    augment=_OURS,
    held_out=16,
    log_every=5,
    validate_every=20,
    save_every=10,
)  # fmt: skip

RECIPES: dict[str, Recipe] = {
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
    "synthetic-jotr": _SYNTHETIC_JOTR,
    "synthetic-multi_roi": _SYNTHETIC_ROI,
    "synthetic-int": _SYNTHETIC_INT,
    "synthetic-ik_refine": _SYNTHETIC_IK,
    "lite-lifter": _LITE_LIFTER,
    "lite-lifter-2": _LITE_LIFTER_2,
    "lite-jotr": _LITE_JOTR,
    "lite-multi_roi": _LITE_ROI,
    "lite-int": _LITE_INT,
    "lite-ik_refine": _LITE_IK,
    "debug": _DEBUG,
}
"""Every training by its name."""
