"""Causal depthwise convolution with channels last.

Shape letters: B batch rows, T tokens, D channels, W taps.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from lengthwise.errors import RunError


def depthwise_convolution(context_BXD: Tensor, weight_WD: Tensor, bias_D: Tensor | None = None) -> Tensor:
    """Weigh each token with those just before it, every channel by itself.

    Args:
        context_BXD: [B, W - 1 + T, D] the inputs, led by the W - 1 inputs before them.
        weight_WD: row w weighs the input W - 1 - w tokens ago.
        bias_D: added to the outputs; none by default.

    Returns:
        Outputs [B, T, D].

    Raises:
        RunError: a second derivative is asked for.

    Example:
        >>> depthwise_convolution(torch.arange(5.0)[None, :, None], torch.tensor([[1.0], [10.0]])).flatten().tolist()
        [10.0, 21.0, 32.0, 43.0]
    """
    return cast(Tensor, _Depthwise.apply(context_BXD, weight_WD, bias_D))


_BLOCK = 1 << 17
"""Elements taken at a time on a CPU, so that the sums over the taps stay in its cache."""


class _Depthwise(torch.autograd.Function):
    """Sums in place over blocks of rows; autograd would fill and add a whole tensor for every tap."""

    @staticmethod
    def forward(ctx: Any, context_BXD: Tensor, weight_WD: Tensor, bias_D: Tensor | None) -> Tensor:
        ctx.save_for_backward(context_BXD, weight_WD)
        length = context_BXD.shape[1] - len(weight_WD) + 1
        y_BTD = context_BXD.new_empty(len(context_BXD), length, context_BXD.shape[2])
        for rows in _blocks(y_BTD):
            y, context = y_BTD[rows], context_BXD[rows]
            torch.mul(context[:, :length], weight_WD[0], out=y)
            for tap in range(1, len(weight_WD)):
                y.addcmul_(context[:, tap : tap + length], weight_WD[tap])
            if bias_D is not None:
                y += bias_D
        return y_BTD

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        if torch.is_grad_enabled():
            raise RunError("the short convolution has no second derivatives: differentiate it without create_graph")
        context_BXD, weight_WD = ctx.saved_tensors
        (grad_BTD,) = grad_outputs
        length = grad_BTD.shape[1]
        grad_context, grad_weight = torch.zeros_like(context_BXD), torch.zeros_like(weight_WD)
        for rows in _blocks(grad_BTD):
            grad = grad_BTD[rows]
            for tap in range(len(weight_WD)):
                window = slice(tap, tap + length)
                grad_context[rows, window].addcmul_(grad, weight_WD[tap])
                grad_weight[tap] += (grad * context_BXD[rows, window]).sum((0, 1))
        return grad_context, grad_weight, grad_BTD.sum((0, 1)) if ctx.needs_input_grad[2] else None


def _blocks(x_BTD: Tensor) -> list[slice]:
    rows = max(1, _BLOCK // max(1, x_BTD.shape[1] * x_BTD.shape[2])) if x_BTD.device.type == "cpu" else len(x_BTD)
    return [slice(start, start + rows) for start in range(0, len(x_BTD), rows)]
