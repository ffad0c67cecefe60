"""Each paper's own recipes: the data that it is trained on, as its data sets' `Source`s say, and how.

Their numbers are in `docs/methods.md`; [O] marks what no source says and we chose. Their losses are counted in other
units than ours, so weights are converted: JOTR's heatmaps have 64 cells a crop, we count in half crops and shares.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from humesh.data.augment import Augment
from humesh.training.recipe import SMPL, Adversarial, Recipe, Source


def _set(name: str, share: float, options: Mapping[str, Any] | None = None, labels: str = "", **more: Any) -> Source:
    """A data set's training split."""
    return Source(name, share, "train", options or {}, labels, **more)


_MEANS = "SPIN's mean parameters (smpl_mean_params.npz)"
_POSE_R50 = "a COCO-pose ResNet-50 (Xiao et al., ECCV 2018: pose_resnet_50_256x192.pth.tar)"
_EACH = {"each_person": True}
_PLAIN: dict[str, Any] = {"clip": math.inf, "ema": 0.0}  # neither clipped gradients nor a mean of weights

# JOTR: one sample a person of COCO and CrowdPose. All supervised losses are weighed by learning.
JOTR_LOSSES = dict.fromkeys(
    ("body_joint_cam", "body_joint_img", "body_joint_proj", "smpl_joint_img", "smpl_pose", "smpl_shape"), 1.0
)
JOTR_CONTRAST = {"joint_to_joint": 0.1, "joint_to_non_joint": 0.1}
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
    weights=JOTR_LOSSES, learned=tuple(JOTR_LOSSES), config={"contrast": ()}, pretrained=(_POSE_R50,),
    rate=1e-4, decay=1e-4, precision="float16", seed=42, **_PLAIN,
    augment=Augment(scale=0.25, mirror=0.5, roll=30.0, rolled=0.6, colour=0.2, keypoint_errors=1.0),
)  # fmt: skip
_JOTR_2 = replace(
    _JOTR_1, about="JOTR, second stage: with contrastive losses, from the first stage's weights",
    steps=10_000, batch=128, rate=5e-5, decay=1e-3,
    weights=JOTR_LOSSES | JOTR_CONTRAST, config={}, starts_from="jotr-stage1", pretrained=(),
)  # fmt: skip

# Multi-RoI's boxes are those of the keypoints, so people need some; CLIFF's labels are of the photos of 2014.
_ROI_PEOPLE = _EACH | {"least_points": 6}
_ROI_COCO = _ROI_PEOPLE | {"year": 2014}
# 60 x (5, 5, 1, 1, 0.001, 1, 0.1).
ROI_LOSSES = {
    "kp2d": 300.0, "kp3d": 300.0, "vertices": 60.0, "pose": 60.0, "betas": 0.06, "camera": 60.0, "contrast": 6.0,
}  # fmt: skip
_ROI_R50 = Recipe(
    "Multi-RoI with a ResNet-50", "multi_roi", body=SMPL,
    data=(  # [O]: no source has the shares, nor how few points a person may have
        _set("human36m", 0.5), _set("mpi_inf_3dhp", 0.1),
        _set("coco", 0.3, _ROI_COCO, "CLIFF"), _set("mpii", 0.1, _ROI_PEOPLE, "CLIFF"),
    ),
    steps=156_000, batch=48,  # 25 epochs of 300k
    weights=ROI_LOSSES, pretrained=(_POSE_R50, _MEANS),
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
    weights={name: weight for name, weight in ROI_LOSSES.items() if name != "kp3d"},  # COCO has no 3D points
)  # fmt: skip


def _on_3dpw(recipe: Recipe, start: str, steps: int) -> Recipe:
    about, data = f"{recipe.about}, fine-tuned on 3DPW", (_set("threedpw", 1.0, _EACH),)
    return replace(recipe, about=about, data=data, rate=1e-5, steps=steps, starts_from=start, pretrained=())


# INT. EFT's fits are of the photos of 2014.
_EFT_2014 = _EACH | {"year": 2014}
INT_LOSSES = {"kp_2d": 300.0, "kp_3d": 600.0, "pose": 60.0, "shape": 0.06, "norm": 1.0}
_INT_1 = Recipe(
    "INT, first phase: images", "int", body=SMPL, config={"temporal": "none"},
    data=(
        _set("coco", 0.3, _EFT_2014, "EFT"), _set("lspet", 0.05, {}, "EFT"), _set("mpii", 0.1, _EACH, "EFT"),
        _set("mpi_inf_3dhp", 0.25, {"every": 5}),
        _set("human36m", 0.3, note="the authors' table is MAED's; here SPIN's file, every fifth frame"),
    ),
    steps=100_000, batch=480,  # [O]: 100 epochs, of a length that no source has
    weights=INT_LOSSES, pretrained=("ImageNet-21k's vit_base_r50_s16_224 (timm)",),
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
    steps=40_000, batch=64, weights=INT_LOSSES | {"norm": 0.01, "velocity": 600.0},
    optimiser="sgd", decay=0.0, drops=(0.5, 0.75), starts_from="int-phase2",
)  # fmt: skip

IK_LOSSES = dict.fromkeys(
    (
        "skeleton_absolute", "skeleton_relative", "skeleton_2d", "skeleton_projected", "twist", "leaves",  # leaves: [O]
        "first_shape", "refined_pose", "refined_shape", "refined_3d", "refined_2d",
    ),
    1.0,
) | {"adversarial": 0.01}  # fmt: skip
_IK = Recipe(
    "IK-refine with its discriminators", "ik_refine", body=SMPL, joints_from_fits=True, discriminators=Adversarial(),
    data=(  # [O]: no source has the shares
        _set("human36m", 0.3), _set("mpi_inf_3dhp", 0.1), _set("lsp", 0.02), _set("lspet", 0.05),
        _set("coco", 0.2), _set("mpii", 0.07), _set("muco", 0.13, for_skeleton=True),
        _set("cmu_panoptic", 0.08, for_skeleton=True), _set("surreal", 0.05, for_skeleton=True),
    ),
    lacks="SAIL-VOS and AIST++, for which there is no reader; a set of real poses for the discriminators, which see "
    "the fits of the batch: motion capture's of Human3.6M and SURREAL, those to images of the others",
    steps=400_000, batch=21,  # [O]: 100 epochs of 256k people; of up to 3 people: 64
    weights=IK_LOSSES, delayed={"skeleton_absolute": 5000 / 400_000},  # MeTRAbs
    pretrained=("ImageNet's ResNet-50 (timm)",),  # [O]
    optimiser="adam", rate=1e-4, rates={"refiner": 0.5}, decay=0.0, **_PLAIN,
    schedule="step", drops=tuple(epoch / 100 for epoch in range(1, 100)), drop=0.9,
    augment=Augment(centre=0.05, scale=0.25, mirror=0.5, roll=10.0, colour=0.2, brightness=0.2, erase=0.5),  # MeTRAbs
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
"""On the data sets of their owners."""
