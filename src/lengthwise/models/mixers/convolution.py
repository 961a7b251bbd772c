"""Short causal convolutions that carry their conv state.

Shape letters: B batch rows, T tokens, D channels, W taps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lengthwise.scans.convolution import depthwise_convolution


class ShortConvolution(nn.Module):
    """Causal depthwise convolution over the last few inputs, which are its state.

    Args:
        channels: D.
        taps: W, at least 1; the state holds the last W - 1 inputs.
        bias: whether a bias is added.

    Example:
        >>> convolution = ShortConvolution(channels=3, taps=4)
        >>> y_BTD, conv = convolution(torch.zeros(2, 5, 3), torch.zeros(2, 3, 3))
        >>> y_BTD.shape, conv.shape
        (torch.Size([2, 5, 3]), torch.Size([2, 3, 3]))
    """

    def __init__(self, channels: int, taps: int, bias: bool = True) -> None:
        super().__init__()
        bound = taps**-0.5
        self.weight = nn.Parameter(torch.empty(taps, channels).uniform_(-bound, bound))
        """[W, D]; row w weighs the input W - 1 - w tokens ago."""
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-bound, bound)) if bias else None

    def forward(self, x_BTD: Tensor, conv: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs [B, T, D] and the new conv state [B, W - 1, D], from the inputs and those just before."""
        context = torch.cat([conv, x_BTD], 1)
        return depthwise_convolution(context, self.weight, self.bias), context[:, x_BTD.shape[1] :]
