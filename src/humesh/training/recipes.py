"""The recipes: each paper's own, the same networks on synthetic people, the lifter's for a laptop, and a trial."""

from __future__ import annotations

from dataclasses import replace

from humesh.data.augment import Augment
from humesh.training.paper_recipes import IK_LOSSES, INT_LOSSES, JOTR_CONTRAST, JOTR_LOSSES, PUBLISHED, ROI_LOSSES
from humesh.training.recipe import Adversarial, Recipe, Source

# Ours. Absolute errors, as the measures are; what the papers' weights add up to, in their proportions.
_OURS = Augment(
    centre=0.05, scale=0.2, mirror=0.5, roll=15.0, rolled=0.5, colour=0.15, brightness=0.3, contrast=0.3, noise=0.04,
    erase=0.2,
)  # fmt: skip
_OUR_LIFTER = {"points3d": 10.0, "points2d": 1.0, "rotations": 2.0, "shape": 0.1}

# 25 minutes of one 80 GB GPU.
_SYNTHETIC_JOTR = Recipe(
    "JOTR on synthetic people: 25 minutes of an 80 GB GPU", "jotr", (Source("synthetic"),), steps=8000, batch=128,
    weights=JOTR_LOSSES | JOTR_CONTRAST, learned=tuple(JOTR_LOSSES), delayed=dict.fromkeys(JOTR_CONTRAST, 0.5),
    rate=2e-4, rates={"encoder": 0.5}, decay=1e-4, schedule="cosine", warm_up=500, precision="bfloat16",
    augment=_OURS, held_out=512,
)  # fmt: skip
_SYNTHETIC_ROI = replace(
    _SYNTHETIC_JOTR, about="Multi-RoI on synthetic people: 25 minutes of an 80 GB GPU", method="multi_roi",
    weights={name: weight / 60 for name, weight in ROI_LOSSES.items()}, learned=(), delayed={}, steps=6000, batch=64,
)  # fmt: skip
_SYNTHETIC_INT = replace(
    _SYNTHETIC_ROI, about="INT (single images) on synthetic people: 25 minutes of an 80 GB GPU", method="int",
    weights={name: weight / 60 for name, weight in INT_LOSSES.items()}, config={"temporal": "none"},
    rates={"patch_embed": 0.5}, batch=128,
)  # fmt: skip
_SYNTHETIC_IK = replace(
    _SYNTHETIC_ROI, about="IK-refine on synthetic people: 25 minutes of an 80 GB GPU", method="ik_refine",
    weights=IK_LOSSES, rates={"encoder": 0.5, "refiner": 0.5}, delayed={"skeleton_absolute": 0.16},
    discriminators=Adversarial(),
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
    weights=JOTR_LOSSES | JOTR_CONTRAST, learned=tuple(JOTR_LOSSES),
    config={
        "encoder": "test_resnet", "size": 64, "width": 32, "heads": 4, "hidden": 64, "volume_hidden": 64, "depth": 3,
        "encoder_layers": 1, "volume_layers": 1, "decoder_layers": 2,
    },
    rate=1e-3, schedule="cosine", warm_up=5,
    augment=_OURS, held_out=16, log_every=5, validate_every=20, save_every=10,
)  # fmt: skip

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
