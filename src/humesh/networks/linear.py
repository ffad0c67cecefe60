"""Linear layers over many tokens, as fast as the processor allows."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

_MANY = 128  # tokens; between 64 and 218 the two are equally fast with JOTR's and INT's layers


def token_linear(
    tokens: Float[Tensor, "*g C"], weight: Float[Tensor, "D C"], bias: Float[Tensor, " D"] | None
) -> Float[Tensor, "*g D"]:
    """What torch's `linear` computes; on a CPU as a 1x1 convolution, for which oneDNN has its own kernels.

    torch's linear calls MKL, which on AMD processors takes twice as long (223 x 768 -> 3072: 5.9 ms against 3.2 on two
    threads of an EPYC). For few tokens oneDNN's copying of the weights costs more than it gains, and inputs of up to
    20,480 numbers torch does not hand to it. Exported it stays a product.
    """
    many = tokens.numel() >= max(_MANY * tokens.shape[-1], 20481)
    if not many or tokens.device.type != "cpu" or tokens.dtype != torch.float32 or torch.compiler.is_exporting():
        return linear(tokens, weight, bias)
    # The tokens as a column of pixels, channels last.
    picture = tokens.contiguous().view(1, -1, 1, tokens.shape[-1]).permute(0, 3, 1, 2)
    product = conv2d(picture, weight[:, :, None, None], bias).permute(0, 2, 3, 1)
    return product.reshape(*tokens.shape[:-1], len(weight))


class TokenLinear(nn.Linear):
    """`nn.Linear` through `token_linear`."""

    def forward(self, input: Float[Tensor, "*g C"]) -> Float[Tensor, "*g D"]:
        return token_linear(input, self.weight, self.bias)
