"""The recipes: each paper's own, the same networks on synthetic people, the lifter's for a laptop, and a trial.

The papers' numbers are in `docs/methods.md`; [O] marks what no source states and we chose. Their losses are in other
units than ours, so weights are converted: JOTR's heatmaps have 64 cells a crop, we count in half crops and shares.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from humesh.data.augment import Augment
from humesh.training.recipe import SMPL, Recipe, Source


def _set(name: str, share: float, options: Mapping[str, Any] | None = None, labels: str = "", **more: Any) -> Source:
    """A data set's training split."""
    return Source(name, share, "train", options or {}, labels, **more)


_MEANS = "SPIN's mean parameters (smpl_mean_params.npz)"
_POSE_R50 = "a COCO-pose ResNet-50 (Xiao et al., ECCV 2018: pose_resnet_50_256x192.pth.tar)"
_EACH = {"each_person": True}
_PLAIN: dict[str, Any] = {"clip": math.inf, "ema": 0.0}  # neither clipped gradients nor a mean of weights

# JOTR: one sample a person of COCO and CrowdPose. All supervised losses are weighed by learning.
_JOTR_LOSSES = dict.fromkeys(
    ("body_joint_cam", "body_joint_img", "body_joint_proj", "smpl_joint_img", "smpl_pose", "smpl_shape"), 1.0
)
_JOTR_CONTRAST = {"joint_to_joint": 0.1, "joint_to_non_joint": 0.1}
_SMALL_BETAS = {"betas_within": 3.0}
_CHECKED = {"within_m": 0.025, **_SMALL_BETAS}
_JOTR_1 = Recipe(
    "JOTR, first stage: no contrastive losses", "jotr", body=SMPL,
    data=(  # 3D and 2D half and half, inside by size
        _set("human36m", 0.35, _CHECKED, note="the authors' fits are SMPLify-X's; here those of SPIN's file"),
        _set("muco", 0.15, {"nearest": True, "fits": True, **_CHECKED}),
        _set("coco", 0.43, _EACH | _SMALL_BETAS, "NeuralAnnot"),
        _set(
            "crowdpose", 0.07, _EACH | _SMALL_BETAS, "NeuralAnnot",
            note="the authors drop fits with stored errors BELOW 5, which looks inverted; here none is dropped",
        ),
    ),
    steps=46_000, batch=256,  # 18 epochs of about 650k crops
    weights=_JOTR_LOSSES, learned=tuple(_JOTR_LOSSES), config={"contrast": ()}, pretrained=(_POSE_R50,),
    rate=1e-4, decay=1e-4, precision="float16", seed=42, **_PLAIN,
    augment=Augment(scale=0.25, mirror=0.5, roll=30.0, rolled=0.6, colour=0.2, keypoint_errors=1.0),
)  # fmt: skip
_JOTR_2 = replace(
    _JOTR_1, about="JOTR, second stage: with contrastive losses, from the first stage's weights",
    steps=10_000, batch=128, rate=5e-5, decay=1e-3,
    weights=_JOTR_LOSSES | _JOTR_CONTRAST, config={}, starts_from="jotr-stage1", pretrained=(),
)  # fmt: skip

# Multi-RoI's boxes are those of the keypoints, so people need some; CLIFF's labels are of the photos of 2014.
_ROI_PEOPLE = _EACH | {"least_points": 6}
_ROI_COCO = _ROI_PEOPLE | {"year": 2014}
# 60 x (5, 5, 1, 1, 0.001, 1, 0.1).
_ROI_LOSSES = {
    "kp2d": 300.0, "kp3d": 300.0, "vertices": 60.0, "pose": 60.0, "betas": 0.06, "camera": 60.0, "contrast": 6.0,
}  # fmt: skip
_ROI_R50 = Recipe(
    "Multi-RoI with a ResNet-50", "multi_roi", body=SMPL,
    data=(  # [O]: no source has the shares, nor how few points a person may have
        _set("human36m", 0.5), _set("mpi_inf_3dhp", 0.1),
        _set("coco", 0.3, _ROI_COCO, "CLIFF"), _set("mpii", 0.1, _ROI_PEOPLE, "CLIFF"),
    ),
    steps=156_000, batch=48,  # 25 epochs of 300k
    weights=_ROI_LOSSES, pretrained=(_POSE_R50, _MEANS),
    optimiser="adam", rate=1e-4, decay=0.0, **_PLAIN,
    augment=Augment(scale=0.25, mirror=0.5, roll=15.0, colour=0.4),  # up to 25 % and 30 degrees
)  # fmt: skip
_ROI_HR48 = replace(
    _ROI_R50, about="Multi-RoI with an HRNet-W48", config={"encoder": "hrnet_w48"},
    pretrained=("a COCO-pose HRNet-W48 (Sun et al., CVPR 2019: pose_hrnet_w48_256x192.pth)", _MEANS),
    steps=225_000, batch=20, rate=5e-5,
)  # fmt: skip
_ROI_AUTHORS = replace(_ROI_R50, about="Multi-RoI's released network with a ResNet-50", method="multi_roi_authors")
_ROI_COCO_ALONE = replace(
    _ROI_R50, about="Multi-RoI as in the paper's ablations", data=(_set("coco", 1.0, _ROI_COCO, "CLIFF"),),
    weights={name: weight for name, weight in _ROI_LOSSES.items() if name != "kp3d"},  # COCO has no 3D points
)  # fmt: skip


def _on_3dpw(recipe: Recipe, start: str, steps: int) -> Recipe:
    about, data = f"{recipe.about}, fine-tuned on 3DPW", (_set("threedpw", 1.0, _EACH),)
    return replace(recipe, about=about, data=data, rate=1e-5, steps=steps, starts_from=start, pretrained=())


# INT. EFT's fits are of the photos of 2014.
_EFT_2014 = _EACH | {"year": 2014}
_INT_LOSSES = {"kp_2d": 300.0, "kp_3d": 600.0, "pose": 60.0, "shape": 0.06, "norm": 1.0}
_INT_1 = Recipe(
    "INT, first phase: images", "int", body=SMPL, config={"temporal": "none"},
    data=(
        _set("coco", 0.3, _EFT_2014, "EFT"), _set("lspet", 0.05, {}, "EFT"), _set("mpii", 0.1, _EACH, "EFT"),
        _set("mpi_inf_3dhp", 0.25, {"every": 5}),
        _set("human36m", 0.3, note="the authors' table is MAED's; here SPIN's file, every fifth frame"),
    ),
    steps=100_000, batch=480,  # [O]: 100 epochs, of a length that no source has
    weights=_INT_LOSSES, pretrained=("ImageNet-21k's vit_base_r50_s16_224 (timm)",),
    optimiser="adam", rate=1e-4, decay=1e-5, schedule="step", drops=(0.6, 0.9), **_PLAIN,
    augment=Augment(scale=0.2, mirror=0.5),
)  # fmt: skip
# The interval of 8 frames is of 25 a second [O]; SPIN's file has ten a second.
_INT_H36M = _set(
    "human36m", 2 / 14, stride=3, note="the authors' table is MAED's; here SPIN's file, ten frames a second"
)
_INT_2 = replace(
    _INT_1, about="INT, second phase: clips and images, from the first phase's weights",
    config={"temporal": "per_joint"}, stride=8, batch=224,  # 14 on each of 16 GPUs
    data=(  # four clips with 3D, three with 2D and seven photos in every 14; inside [O]
        _set("mpi_inf_3dhp", 2 / 14), _INT_H36M,
        _set("insta_variety", 1 / 14), _set("posetrack", 1 / 14), _set("penn_action", 1 / 14),
        _set("coco", 5 / 14, _EFT_2014, "EFT"), _set("lspet", 0.5 / 14, {}, "EFT"),
        _set("mpii", 1.5 / 14, _EACH, "EFT"),
    ),
    augment=Augment(scale=0.2, mirror=0.5, colour=0.3, brightness=0.3, contrast=0.3, erase=0.3),
    starts_from="int-phase1", pretrained=(),
)  # fmt: skip
_INT_3 = replace(
    _INT_2, about="INT, third phase: 3DPW and Human3.6M clips, from the second phase's weights",
    data=(_set("threedpw", 0.5), replace(_INT_H36M, share=0.5)),  # [O]
    steps=40_000, batch=64, weights=_INT_LOSSES | {"norm": 0.01, "velocity": 600.0},
    optimiser="sgd", decay=0.0, drops=(0.5, 0.75), starts_from="int-phase2",
)  # fmt: skip

_IK_LOSSES = dict.fromkeys(
    (
        "skeleton_absolute", "skeleton_relative", "skeleton_2d", "skeleton_projected", "twist", "leaves",  # leaves: [O]
        "first_shape", "refined_pose", "refined_shape", "refined_3d", "refined_2d",
    ),
    1.0,
) | {"adversarial": 0.01}  # fmt: skip
_IK = Recipe(
    "IK-refine with its discriminators", "ik_refine", body=SMPL, joints_from_fits=True, discriminators=True,
    data=(  # [O]: no source has the shares
        _set("human36m", 0.3), _set("mpi_inf_3dhp", 0.1), _set("lsp", 0.02), _set("lspet", 0.05),
        _set("coco", 0.2), _set("mpii", 0.07), _set("muco", 0.13, for_skeleton=True),
        _set("cmu_panoptic", 0.08, for_skeleton=True), _set("surreal", 0.05, for_skeleton=True),
    ),
    lacks="SAIL-VOS and AIST++, for which there is no reader; a set of real poses for the discriminators, which see "
    "the fits of the batch: motion capture's of Human3.6M and SURREAL, those to images of the others",
    steps=400_000, batch=21,  # [O]: 100 epochs of 256k people; of up to 3 people: 64
    weights=_IK_LOSSES, delayed={"skeleton_absolute": 5000 / 400_000},  # MeTRAbs
    pretrained=("ImageNet's ResNet-50 (timm)",),  # [O]
    optimiser="adam", rate=1e-4, rates={"refiner": 0.5}, decay=0.0, **_PLAIN,
    schedule="step", drops=tuple(epoch / 100 for epoch in range(1, 100)), drop=0.9,
    augment=Augment(centre=0.05, scale=0.25, mirror=0.5, roll=10.0, colour=0.2, brightness=0.2, erase=0.5),  # MeTRAbs
)  # fmt: skip

# Ours. Absolute errors, as the measures are; what the papers' weights add up to, in their proportions.
_OURS = Augment(
    centre=0.05, scale=0.2, mirror=0.5, roll=15.0, rolled=0.5, colour=0.15, brightness=0.3, contrast=0.3, noise=0.04,
    erase=0.2,
)  # fmt: skip
_OUR_LIFTER = {"points3d": 10.0, "points2d": 1.0, "rotations": 2.0, "shape": 0.1}

# 25 minutes of one 80 GB GPU.
_SYNTHETIC_JOTR = Recipe(
    "JOTR on synthetic people: 25 minutes of an 80 GB GPU", "jotr", (Source("synthetic"),), steps=8000, batch=128,
    weights=_JOTR_LOSSES | _JOTR_CONTRAST, learned=tuple(_JOTR_LOSSES), delayed=dict.fromkeys(_JOTR_CONTRAST, 0.5),
    rate=2e-4, rates={"encoder": 0.5}, decay=1e-4, schedule="cosine", warm_up=500, precision="bfloat16",
    augment=_OURS, held_out=512,
)  # fmt: skip
_SYNTHETIC_ROI = replace(
    _SYNTHETIC_JOTR, about="Multi-RoI on synthetic people: 25 minutes of an 80 GB GPU", method="multi_roi",
    weights={name: weight / 60 for name, weight in _ROI_LOSSES.items()}, learned=(), delayed={}, steps=6000, batch=64,
)  # fmt: skip
_SYNTHETIC_INT = replace(
    _SYNTHETIC_ROI, about="INT (single images) on synthetic people: 25 minutes of an 80 GB GPU", method="int",
    weights={name: weight / 60 for name, weight in _INT_LOSSES.items()}, config={"temporal": "none"},
    rates={"patch_embed": 0.5}, batch=128,
)  # fmt: skip
_SYNTHETIC_IK = replace(
    _SYNTHETIC_ROI, about="IK-refine on synthetic people: 25 minutes of an 80 GB GPU", method="ik_refine",
    weights=_IK_LOSSES, rates={"encoder": 0.5, "refiner": 0.5}, delayed={"skeleton_absolute": 0.16},
    discriminators=True,
)  # fmt: skip

# Two hours of two CPU cores. Points are cheap: an hour sees a hundred times as many people as with pictures.
_LIFTER_WIDTH = 1024
_LITE_LIFTER = Recipe(
    "the lifter, first stage: a perceptron on 2D keypoints alone", "lifter", (Source("posed"),), steps=24000, batch=512,
    config={"width": _LIFTER_WIDTH, "landmarks": False}, weights=_OUR_LIFTER | {"log_error": 0.02},
    rate=1e-3, decay=1e-2, schedule="cosine", warm_up=300, precision="bfloat16",
    augment=Augment(centre=0.02, scale=0.07), held_out=1024, log_every=100, validate_every=1000, save_every=500,
)  # fmt: skip
# Landmarks err with the keypoints of the same pass, and as the lifter itself does (`LifterMethod.as_detected`).
_LITE_LIFTER_2 = replace(
    _LITE_LIFTER, about="the lifter, second stage: with simulated 3D landmarks", config={"width": _LIFTER_WIDTH},
    steps=2500, rate=3e-4, warm_up=100, augment=Augment(centre=0.02, scale=0.07, focal=0.2), starts_from="lite-lifter",
)  # fmt: skip
# Clips of points: what a joint does over time needs no picture. The lifter stays as it is.
_LITE_VIDEO = replace(
    _LITE_LIFTER, about="the lifter through time: clips without pictures, from the lifter's estimate of each frame",
    method="lifter_video", data=(Source("posed_clips"),), steps=1200, batch=16,
    config={"lifter": _LIFTER_WIDTH}, starts_from="lite-lifter-2", rates={"lifter": 0.0},
    weights=_OUR_LIFTER | {"velocity": 0.5, "path": 1.0, "depth": 1.0, "log_error": 0.02},
    rate=1e-3, warm_up=50, ema=0.99, augment=Augment(), held_out=128, log_every=50, validate_every=250, save_every=250,
)  # fmt: skip

_DEBUG = Recipe(
    "a tiny JOTR on stick figures: tries everything in seconds", "jotr",
    (Source("drawn", options={"count": 128}),), steps=40, batch=8,
    weights=_JOTR_LOSSES | _JOTR_CONTRAST, learned=tuple(_JOTR_LOSSES),
    config={
        "encoder": "test_resnet", "size": 64, "width": 32, "heads": 4, "hidden": 64, "volume_hidden": 64, "depth": 3,
        "encoder_layers": 1, "volume_layers": 1, "decoder_layers": 2,
    },
    rate=1e-3, schedule="cosine", warm_up=5,
    augment=_OURS, held_out=16, log_every=5, validate_every=20, save_every=10,
)  # fmt: skip

PUBLISHED: dict[str, Recipe] = {
    "jotr-stage1": _JOTR_1,
    "jotr-stage2": _JOTR_2,
    "multi_roi-r50": _ROI_R50,
    "multi_roi-hr48": _ROI_HR48,
    "multi_roi_authors-r50": _ROI_AUTHORS,
    "multi_roi-coco": _ROI_COCO_ALONE,
    "multi_roi-r50-3dpw": _on_3dpw(_ROI_R50, "multi_roi-r50", 2400),  # 5 epochs of 3DPW's 22.7k people
    "multi_roi-hr48-3dpw": _on_3dpw(_ROI_HR48, "multi_roi-hr48", 5700),
    "int-phase1": _INT_1,
    "int-phase2": _INT_2,
    "int-phase3": _INT_3,
    "ik_refine": _IK,
}
"""The papers' own, on the data sets of their owners."""

RECIPES: dict[str, Recipe] = {
    **PUBLISHED,
    "synthetic-jotr": _SYNTHETIC_JOTR,
    "synthetic-multi_roi": _SYNTHETIC_ROI,
    "synthetic-int": _SYNTHETIC_INT,
    "synthetic-ik_refine": _SYNTHETIC_IK,
    "lite-lifter": _LITE_LIFTER,
    "lite-lifter-2": _LITE_LIFTER_2,
    "lite-lifter_video": _LITE_VIDEO,
    "debug": _DEBUG,
}
"""Every training by its name."""
