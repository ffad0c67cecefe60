"""Every recipe builds what it names, and weighs only what its method says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from humesh.commands.describe import FED_BY
from humesh.methods import METHODS
from humesh.training.data import Given, sources
from humesh.training.loop import Place
from humesh.training.prepare import prepare
from humesh.training.recipe import Source, TrainingError, overridden
from humesh.training.recipes import RECIPES

every_recipe = pytest.mark.parametrize("name", RECIPES)
SIZES: dict[str, dict[str, Any]] = {
    "jotr": {
        "encoder": "test_resnet", "size": 64, "width": 16, "heads": 2, "hidden": 16, "volume_hidden": 16, "depth": 2,
        "encoder_layers": 1, "volume_layers": 1, "decoder_layers": 2,
    },
    "lifter": {"width": 16, "blocks": 1},
    "lifter_video": {"width": 16, "heads": 2, "depth": 1, "frames": 2, "lifter": 16, "lifter_blocks": 1},
    "multi_roi": {"encoder": "test_resnet", "crop": (64, 64), "hidden": (16, 16)},
    "multi_roi_authors": {"encoder": "test_resnet", "crop": (64, 64), "hidden": (16, 16), "mixing": 16},
    "int": {"encoder": "test_resnet", "crop": (64, 64), "width": 16, "heads": 2, "depth": 2, "frames": 2},
    "ik_refine": {
        "encoder": "test_resnet", "size": 64, "twist_width": 16, "width": 16, "heads": 2, "head_width": 8, "hidden": 16,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ["", "drawn"])
def test_data_for_a_recipe_that_draws_its_own_is_refused(name: str) -> None:
    with pytest.raises(TrainingError, match=r"^--data shards: expected none, the people of this recipe are drawn"):
        sources(RECIPES["debug"], Given({name: [Path("shards")]}))


@every_recipe
def test_its_configuration_is_one_of_its_method(name: str) -> None:
    recipe = RECIPES[name]
    METHODS[recipe.method].network().config_type(**recipe.config)
    assert recipe.starts_from in ("", *RECIPES)
    assert recipe.about
    assert set(recipe.learned) <= set(recipe.weights)
    assert set(recipe.delayed) <= set(recipe.weights)
    assert sum(source.share for source in recipe.data) == pytest.approx(1.0)
    assert set(recipe.weights) <= set(FED_BY), "describe.py says which label feeds a loss term"


@every_recipe
def test_each_weight_is_of_a_term_that_there_is(name: str, tmp_path: Path) -> None:
    """At debug size, on stick figures, with everything else as the recipe has it."""
    torch.set_num_threads(1)
    recipe = RECIPES[name]
    moving = recipe.config.get("temporal") == "per_joint" or recipe.method == "lifter_video"
    clips = {"count": 32, "clip": 16 if moving else 1}
    changed = {
        "config": {key: v for key, v in {**recipe.config, **SIZES[recipe.method]}.items() if key != "pretrained"},
        "data": (Source("drawn", options=clips),),
        "batch": 2,
        "held_out": 2,
        "precision": "float32",
        "body": "open-low",
        "delayed": {},
    }
    training = prepare(name, replace(recipe, **changed), Place(tmp_path))
    means = training.one_step(next(training.batches(0)))
    assert set(means) >= set(recipe.weights)
    assert all(torch.isfinite(mean) for mean in means.values())


@every_recipe
def test_missing_data_is_one_sentence(name: str) -> None:
    if RECIPES[name].data[0].name == "drawn":
        return
    with pytest.raises(TrainingError, match=r"^this recipe trains on .*; give what is missing with --data\. .*F[OI]L"):
        sources(RECIPES[name], Given())
    with pytest.raises(TrainingError, match=r"--data nowhere=\.\.\.: this recipe trains on"):
        sources(RECIPES[name], Given({"nowhere": [Path("nowhere")]}))


def test_settings_are_read_as_their_fields_are() -> None:
    recipe = overridden(
        RECIPES["synthetic-jotr"],
        ["decoder_sees=flat2d", "contrast=()", "size=160", "dropout=0", "warped_contrast=true"],
        ["body_joint_cam=3", "joint_to_joint=0"],
    )
    assert recipe.config["decoder_sees"] == "flat2d"
    assert recipe.config["contrast"] == ()
    assert (recipe.config["size"], recipe.config["dropout"]) == (160, 0.0)
    assert recipe.config["warped_contrast"] is True
    assert (recipe.weights["body_joint_cam"], recipe.weights["joint_to_joint"]) == (3.0, 0.0)
    both = overridden(RECIPES["synthetic-jotr"], ["contrast=joint_to_joint,joint_to_non_joint"])
    assert both.config["contrast"] == ("joint_to_joint", "joint_to_non_joint")
    assert overridden(RECIPES["synthetic-multi_roi"], ["crop=(128, 96)"]).config["crop"] == (128, 96)
    refine = overridden(RECIPES["synthetic-ik_refine"], ["chain=naive", "fallback_m=none"]).config
    assert (refine["chain"], refine["fallback_m"]) == ("naive", None)
    assert overridden(RECIPES["synthetic-ik_refine"], ["fallback_m=0.02"]).config["fallback_m"] == 0.02


@pytest.mark.parametrize(
    ("name", "setting", "sentence"),
    [
        ("synthetic-jotr", "decoder_see=flat2d", r"jotr has no setting 'decoder_see'; did you mean decoder_sees"),
        ("synthetic-jotr", "size=big", "--set: expected size to be a whole number from 0 to 8192, got 'big'"),
        ("synthetic-jotr", "warped_contrast=yes", "expected warped_contrast to be bool, got 'yes'"),
        ("synthetic-jotr", "size", "expected key=value, got 'size'"),
        ("synthetic-multi_roi", "crop=128", r"expected crop to be tuple\[int, int\], got \(128,\)"),
        ("synthetic-ik_refine", "chain=naiv", r"expected chain to be .*naive.*, got 'naiv'"),
    ],
)
def test_wrong_settings_are_named(name: str, setting: str, sentence: str) -> None:
    with pytest.raises(TrainingError, match=sentence):
        overridden(RECIPES[name], [setting])


def test_vposer_is_not_trained_with_random_weights(tmp_path: Path) -> None:
    recipe = overridden(RECIPES["debug"], ["pose_decoder=vposer"])
    with pytest.raises(TrainingError, match="expected VPoser's own weights, which stay as they are, got none"):
        prepare("debug", recipe, Place(tmp_path))


def test_no_loss_of_multi_roi_drowns_the_others_at_the_features(tmp_path: Path) -> None:
    """Weighted gradients at step 1 within two orders of magnitude; pose and betas are small in the paper too."""
    torch.set_num_threads(1)
    sizes = {"encoder": "resnet18", "crop": (128, 96), "hidden": (256, 128)}
    recipe = replace(RECIPES["multi_roi-r50"], config=sizes, data=(Source("drawn", options={"count": 64}),))
    recipe = replace(recipe, batch=8, held_out=2, body="open-low")
    training = prepare("x", recipe, Place(tmp_path))
    batch, method, features = next(training.batches(0)), training.learner.method.train(), list[torch.Tensor]()
    method.encoder.register_forward_hook(lambda module, inputs, output: features.append(output))
    losses = method.objective(batch.crops, method(batch.crops), batch.targets)
    table = {
        name: float(torch.autograd.grad(weight * losses[name], features[0], retain_graph=True)[0].norm())
        for name, weight in recipe.weights.items()
    }
    print({name: f"{slope:.2g}" for name, slope in table.items()})
    large = [slope for name, slope in table.items() if name not in ("pose", "betas")]
    assert max(large) < 100 * min(large), table
    assert all(table.values())


def test_unknown_losses_are_named(tmp_path: Path) -> None:
    recipe = overridden(RECIPES["debug"], weights=["vertice=1"])
    training = prepare("debug", recipe, Place(tmp_path))
    with pytest.raises(TrainingError, match=r"loss weights vertice: jotr has no such terms here; it has .*smpl_pose"):
        training.one_step(next(training.batches(0)))
