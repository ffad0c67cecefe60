"""A trained network made ready to predict: what is constant by then is computed once."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


@torch.no_grad()
def fold(network: nn.Module) -> None:
    """Turns batch norms into a part of the convolutions right before them, and standardises weights for good.

    In place, and for prediction only: the same outputs but for rounding, a tenth to a fifth faster on a CPU. A norm is
    taken to follow a convolution if it is the next child of the same module and has as many channels, as timm's and our
    networks are built.
    """
    network.eval()
    for module in list(network.modules()):
        if freeze := getattr(module, "freeze", None):  # of `StandardisedConv`, whose import would bring all of timm
            freeze()
        for (name, conv), (next_name, norm) in pairwise(list(module.named_children())):
            if not (isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
                continue
            if norm.num_features == conv.out_channels:
                setattr(module, name, fuse_conv_bn_eval(conv, norm))
                setattr(module, next_name, getattr(norm, "act", nn.Identity()))  # timm's norms may hold an activation
