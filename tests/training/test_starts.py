"""What networks start from: authors' files under their own names, strictly; nothing is ignored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from humesh.body.model import BodyModel
from humesh.methods.weights import build, save_weights
from humesh.networks.encoders import Encoder, HrNet
from humesh.training import prepare as preparing
from humesh.training.data import Given
from humesh.training.loop import Place
from humesh.training.prepare import prepare, start_learned, start_pretrained
from humesh.training.recipe import TrainingError
from humesh.training.recipes import RECIPES

# What pose_hrnet's last module, which gives its finest branch alone, does not have.
LAST_FUSIONS = tuple(f"stage4.2.fuse_layers.{i}." for i in (1, 2, 3))


class _Method(nn.Module):
    """As methods are to what loads their starts: a configuration that names the encoder, and the encoder."""

    def __init__(self, name: str, encoder: nn.Module) -> None:
        super().__init__()
        self.config, self.encoder = SimpleNamespace(encoder=name), encoder


def _numbered(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every tensor full of a number of its own."""
    return {key: torch.full_like(value, index % 250) for index, (key, value) in enumerate(state.items())}


def _saved(path: Path, state: dict[str, Any]) -> str:
    torch.save(state, path)
    return str(path)


@pytest.fixture(scope="module")
def resnet() -> dict[str, Tensor]:
    """A whole ResNet-18, as torchvision and timm name its tensors."""
    return _numbered(timm.create_model("resnet18").state_dict())


def test_imagenet_weights_are_taken_whole(resnet: dict[str, Tensor], tmp_path: Path) -> None:
    method = _Method("resnet18", Encoder("resnet18"))
    printed = start_pretrained(method, _saved(tmp_path / "resnet18.pth", resnet))
    for key, value in method.encoder.state_dict().items():
        assert key.endswith("num_batches_tracked") or torch.equal(value, resnet[key]), key
    assert "the encoder resnet18 starts from" in printed
    assert printed.endswith("all of 100 tensors; left out of the file: fc.")


def test_coco_pose_weights_come_in_wrappers_and_beside_heads(resnet: dict[str, Tensor], tmp_path: Path) -> None:
    """Xiao et al.'s files have deconvolutions; those of later authors prefixes and wrappers."""
    body = {f"module.backbone.{k}": v for k, v in resnet.items() if not k.startswith("fc.")}
    heads = {"module.backbone.deconv_layers.0.weight": torch.ones(2), "module.head.weight": torch.ones(3)}
    path = _saved(tmp_path / "snapshot_0.pth.tar", {"epoch": 3, "network": body | heads})
    method = _Method("resnet18", Encoder("resnet18"))
    printed = start_pretrained(method, path)
    assert torch.equal(method.encoder.get_submodule("layer4")[1].conv2.weight, resnet["layer4.1.conv2.weight"])
    assert "left out of the file: deconv_layers, head" in printed


def test_hrnets_of_pose_networks_lack_the_last_fusion(tmp_path: Path) -> None:
    method = _Method("hrnet_w18", HrNet("hrnet_w18"))
    state = _numbered(method.encoder.net.state_dict())
    pose = {key: value for key, value in state.items() if not key.startswith(LAST_FUSIONS)}
    printed = start_pretrained(method, _saved(tmp_path / "pose.pth", pose | {"final_layer.weight": torch.ones(1)}))
    assert "of the last fusion start anew" in printed
    assert "left out of the file: final_layer" in printed
    own = method.encoder.net.state_dict()
    assert all(torch.equal(own[key], pose[key]) for key in pose if not key.endswith("num_batches_tracked"))
    assert "fusion" not in start_pretrained(method, _saved(tmp_path / "whole.pth", state))
    cut = {k: v for k, v in state.items() if not k.startswith("stage4.1.fuse_layers.1.")}
    with pytest.raises(TrainingError, match=r"has no 'stage4\.1\.fuse_layers\.1"):
        start_pretrained(method, _saved(tmp_path / "cut.pth", cut))


def test_hybrid_transformers_take_the_blocks_that_they_have(tmp_path: Path, open_body: BodyModel) -> None:
    sizes = {"encoder": "vit_base_patch16_224", "depth": 1, "temporal": "none"}
    method = build("int", sizes, open_body)
    own = {
        k: v for k, v in method.state_dict().items() if k.startswith(("patch_embed", "blocks", "norm", "cls", "pos"))
    }
    state = _numbered(own) | {"blocks.1.norm1.weight": torch.ones(768), "head.weight": torch.ones(3)}
    printed = start_pretrained(method, _saved(tmp_path / "jx_vit.pth", state))
    assert all(torch.equal(method.state_dict()[key], state[key]) for key in own)
    assert f"all of {len(own)} tensors" in printed
    del state["pos_embed"]
    with pytest.raises(TrainingError, match=r"expected the \d+ tensors of vit_base_.*it has no 'pos_embed'"):
        start_pretrained(method, _saved(tmp_path / "jx_vit.pth", state))


def test_spins_mean_parameters(tmp_path: Path, open_body: BodyModel) -> None:
    method = build("multi_roi", {"encoder": "test_resnet", "crop": (64, 64), "hidden": (16, 16)}, open_body)
    means = {"pose": np.arange(144.0), "shape": np.arange(10.0), "cam": np.array([0.9, 0.1, 0.2])}
    np.savez(tmp_path / "smpl_mean_params.npz", **means)
    printed = start_pretrained(method, str(tmp_path / "smpl_mean_params.npz"))
    found = {name.rpartition("_")[2]: value for name, value in method.named_buffers() if "init_" in name}
    assert {name: value[0].tolist() for name, value in found.items()} == {
        name: pytest.approx(value.tolist()) for name, value in means.items()
    }
    assert "the regressor starts from" in printed
    np.savez(tmp_path / "short.npz", pose=np.zeros(72), shape=np.zeros(10), cam=np.zeros(3))
    with pytest.raises(TrainingError, match=r"short.npz: expected 'pose' of shape 144, got 72"):
        start_pretrained(method, str(tmp_path / "short.npz"))
    with pytest.raises(TrainingError, match="no mean parameters to start from"):
        start_pretrained(_Method("resnet18", Encoder("resnet18")), str(tmp_path / "smpl_mean_params.npz"))


def test_timm_fetches_the_named_encoder(monkeypatch: pytest.MonkeyPatch, resnet: dict[str, Tensor]) -> None:
    asked: list[Any] = []

    def create(name: str, pretrained: bool = False, **options: Any) -> Any:
        asked.append((name, pretrained, options))
        return SimpleNamespace(state_dict=lambda: resnet)

    method = _Method("resnet18", Encoder("resnet18"))
    monkeypatch.setattr(preparing.timm, "create_model", create)
    assert "starts from timm" in start_pretrained(method, "timm")
    assert asked == [("resnet18", True, {"num_classes": 0})]
    assert torch.equal(method.encoder.get_submodule("conv1").weight, resnet["conv1.weight"])

    def offline(*_: Any, **__: Any) -> Any:
        raise OSError("no\nconnection")

    monkeypatch.setattr(preparing.timm, "create_model", offline)
    with pytest.raises(TrainingError, match=r"cannot fetch the weights of resnet18 \(no connection\); give a file"):
        start_pretrained(method, "timm")


def test_nothing_wrong_is_ignored(resnet: dict[str, Tensor], tmp_path: Path) -> None:
    method = _Method("resnet18", Encoder("resnet18"))
    before = {key: value.clone() for key, value in method.state_dict().items()}
    wrong = resnet | {"layer1.0.conv1.weight": torch.ones(64, 64, 1, 1)}
    for given, sentence in (
        (str(tmp_path / "none.pth"), "none.pth"),
        (_saved(tmp_path / "a.pth", wrong), "its 'layer1.0.conv1.weight' has another shape"),
        (_saved(tmp_path / "b.pth", {k: v for k, v in resnet.items() if k != "conv1.weight"}), "has no 'conv1.weight'"),
    ):
        with pytest.raises(ValueError, match=sentence) as raised:
            start_pretrained(method, given)
        assert len(str(raised.value).splitlines()) == 1
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
    with pytest.raises(TrainingError, match="no encoder of pictures"):
        start_pretrained(nn.Linear(1, 1), _saved(tmp_path / "c.pth", resnet))


def test_learned_weights_of_losses_go_on(tmp_path: Path) -> None:
    """JOTR's second stage starts with the first one's weights of losses (authors)."""
    torch.set_num_threads(1)
    recipe, sentences = replace(RECIPES["debug"], batch=2, held_out=2), list[str]()
    first = prepare("debug", recipe, Place(tmp_path))
    assert first.learner.learned is not None
    first.learner.learned.scales.data = torch.linspace(0.5, 1.5, len(recipe.learned))
    first.save_weights()
    fewer = replace(recipe, learned=recipe.learned[1:])
    second = prepare(
        "debug", fewer, Place(tmp_path, say=sentences.append), Given(init=tmp_path / "weights.safetensors")
    )
    assert second.learner.learned is not None
    assert torch.equal(second.learner.learned.scales, first.learner.learned.scales[1:])
    assert f"learned weights of losses from {tmp_path / 'weights.safetensors'}: body_joint_img" in sentences[-1]
    method, path = first.learner.method, tmp_path / "other.safetensors"
    save_weights(path, "jotr", method)
    assert start_learned(second.learner.learned, path).endswith("none, all start at 1.")
    for learned in ("[1]", "{", '{"smpl_pose": -1}', '{"smpl_pose": NaN}', '{"smpl_pose": "x"}'):
        save_weights(path, "jotr", method, notes={"learned": learned})
        with pytest.raises(TrainingError, match=r"^--init .*other.safetensors: expected the learned weights of losses"):
            start_learned(second.learner.learned, path)
