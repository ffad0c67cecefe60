"""Every method of the zoo, unasked: shapes, gradients, absent crops, saving, overfitting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from humesh.body.model import BodyModel
from humesh.crops.crops import Crops
from humesh.methods import METHODS
from humesh.methods.base import Method
from humesh.methods.weights import build, load_method, save_weights

every_method = pytest.mark.parametrize("name", METHODS)


@pytest.fixture
def method(name: str, settings: dict[str, dict[str, Any]], small_body: BodyModel) -> Method:
    """A small form of the method of that name, untrained."""
    torch.manual_seed(0)
    return build(name, settings[name], small_body)


# Losses that cannot fall to zero, and how much they count here.
CONTRASTS = {"joint_to_joint": 1e-3, "joint_to_non_joint": 1e-3, "contrast": 1e-3, "norm": 1e-3}
COUNTS_LESS = {"shape": 0.1, "betas": 0.1, "smpl_shape": 0.1}


def _loss(method: Method, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """The method's own objective, weighed; and each loss by its name."""
    losses = method.objective(batch.crops, method(batch.crops), batch.targets)
    weights = COUNTS_LESS | CONTRASTS
    return sum(weights.get(name, 1.0) * loss for name, loss in losses.items()), losses


@every_method
def test_a_body_for_every_crop(
    name: str, method: Method, small_body: BodyModel, made_up_batch: Callable[..., Any]
) -> None:
    method.eval()
    batch = made_up_batch(method, name)
    groups, count = batch.crops.present.shape
    with torch.no_grad():
        pose = method(batch.crops).pose
    assert pose.rotations.shape == (groups, count, 24, 3, 3)
    assert torch.allclose(pose.rotations @ pose.rotations.mT, torch.eye(3), atol=1e-4)
    assert (torch.linalg.det(pose.rotations) > 0).all()
    assert pose.shape.shape == (groups, count, 10)
    assert (pose.translation[..., 2] > 0).all()
    assert all(parameter.requires_grad or "vposer" in key for key, parameter in method.named_parameters())


@every_method
def test_gradients_reach_every_parameter(
    name: str, method: Method, small_body: BodyModel, made_up_batch: Callable[..., Any]
) -> None:
    method.train()
    for parameter in method.parameters():  # queries and last layers that start at zero hold gradients back
        parameter.data += 0.02 * torch.randn_like(parameter)
    loss, means = _loss(method, made_up_batch(method, name, groups=3))
    assert torch.isfinite(loss), means
    loss.backward()
    untouched = [key for key, p in method.named_parameters() if p.grad is None or not p.grad.any()]
    assert not untouched
    assert all(torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None)


def without_last(crops: Crops) -> Crops:
    """The same crops, the last of each group absent."""
    present = crops.present.clone()
    present[:, -1] = False
    return replace(crops, present=present, wanted=crops.wanted & present)


@every_method
def test_absent_crops_change_nothing(
    name: str, method: Method, small_body: BodyModel, made_up_batch: Callable[..., Any]
) -> None:
    method.eval()
    crops = without_last(made_up_batch(method, name).crops)
    noise = {f: getattr(crops, f).clone() for f in ("pixels", "keypoints", "crop_from_photo")}
    noise["pixels"][:, -1] = torch.rand_like(noise["pixels"][:, -1])
    noise["keypoints"][:, -1] += 7.0
    noise["crop_from_photo"][:, -1, :, 2] += 30.0
    with torch.no_grad():
        plain, other = method(crops).pose, method(replace(crops, **noise)).pose
    for field in ("rotations", "shape", "translation"):
        a, b = (getattr(pose, field)[crops.present] for pose in (plain, other))
        assert torch.allclose(a, b, atol=1e-5), field
        assert torch.isfinite(getattr(other, field)).all()


@every_method
def test_people_do_not_mix(name: str, method: Method, small_body: BodyModel, made_up_batch: Callable[..., Any]) -> None:
    """What is in one group says nothing about another group."""
    method.eval()
    crops = made_up_batch(method, name).crops
    with torch.no_grad():
        together, alone = method(crops).pose, method(crops.map(lambda tensor: tensor[:1])).pose
    assert torch.allclose(together.rotations[:1], alone.rotations, atol=1e-5)
    assert torch.allclose(together.translation[:1], alone.translation, atol=1e-4)


@every_method
def test_saved_and_loaded_it_is_the_same(
    name: str, method: Method, small_body: BodyModel, made_up_batch: Callable[..., Any], tmp_path: Path
) -> None:
    method.eval()
    for parameter in method.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)
    crops = made_up_batch(method, name).crops
    save_weights(tmp_path / "w.safetensors", name, method, notes={"licence": "free"})
    header, loaded = load_method(tmp_path / "w.safetensors", small_body)
    assert header.method == name
    assert header.notes == {"licence": "free"}
    assert loaded.config == method.config
    with torch.no_grad():
        a, b = method(crops).pose, loaded(crops).pose
    assert torch.equal(a.rotations, b.rotations)
    assert torch.equal(a.translation, b.translation)
    assert not any("template" in key or "shape_directions" in key for key in method.state_dict())


@every_method
def test_one_batch_is_learned_by_heart(
    name: str, method: Method, small_body: BodyModel, made_up_batch: Callable[..., Any], counts: dict[str, int]
) -> None:
    """Four rendered people, or two groups: what can fall to zero of the loss falls to a tenth of what it was."""
    method.train()
    for module in method.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    if hasattr(method.config, "mask_share"):
        method.config = replace(method.config, mask_share=0.0)
    batch = made_up_batch(method, name, groups=2 if name in counts else 4)
    rate = 3e-4 if name in ("multi_roi", "ik_refine") else 1e-3  # the largest that does not diverge
    optimiser = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], lr=rate)
    first = last = None
    for step in range(500):
        optimiser.param_groups[0]["lr"] = rate * (1 - step / 600)  # smaller and smaller, or Adam's noise stays
        optimiser.zero_grad()
        loss, means = _loss(method, batch)
        last = sum(mean.item() for term, mean in means.items() if term not in CONTRASTS)
        first = last if first is None else first
        if last < 0.1 * first:
            break
        loss.backward()
        torch.nn.utils.clip_grad_norm_(method.parameters(), 1.0)
        optimiser.step()
    assert last < 0.1 * first, means
