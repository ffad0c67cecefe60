"""Encoders from timm, cut in two."""

import pytest
import timm
import torch

from humesh.networks.encoders import Encoder, imagenet_normalised


def test_both_halves_are_timms_network() -> None:
    name = "resnet18"
    encoder, pixels = Encoder(name).eval(), torch.randn(1, 3, 96, 64)
    network = timm.create_model(name, pretrained=False, num_classes=0).eval()
    missing, extra = network.load_state_dict(encoder.state_dict(), strict=False)
    assert not missing
    assert not extra
    with torch.no_grad():
        assert torch.allclose(encoder(pixels), network.forward_features(pixels), atol=1e-5)
        assert encoder.stem(pixels).shape == (1, encoder.stem_width, 24, 16)
        assert encoder(pixels).shape == (1, encoder.width, 3, 2)


def test_resnet_50_has_torchvisions_parameters() -> None:
    from torchvision.models import resnet50

    theirs = {key: value.shape for key, value in resnet50().state_dict().items() if not key.startswith("fc.")}
    assert {key: value.shape for key, value in Encoder("resnet50").state_dict().items()} == theirs


@pytest.mark.parametrize("name", ["resnet51", "vit_base_patch16_224", "mobilenetv3_small_100"])
def test_other_networks_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="encoder"):
        Encoder(name)


def test_colours_are_imagenets() -> None:
    pixels = torch.tensor([0.485, 0.456, 0.406])[:, None, None].expand(3, 2, 2)
    assert imagenet_normalised(pixels).abs().max() < 1e-6
    assert torch.allclose(imagenet_normalised(pixels + 0.225)[2], torch.ones(2, 2))
