"""The linear recurrence whose decay differs by channel and token, element by element (RG-LRU, RWKV-4).

Shape letters: B batch rows, T tokens, D channels.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from lengthwise.scans.checks import check_dtypes, check_shapes


def elementwise_scan(decay_BTD: Tensor, x_BTD: Tensor, state_BD: Tensor) -> Tensor:
    """Run ``h_t = decay_t h_{t-1} + x_t`` over time, elementwise, and return every state.

    One operation a token forward and one backward: there is nothing between two tokens that a library of matrix
    products could do faster, and autograd would take ten times as many.

    Args:
        decay_BTD: decays of every token, in the dtype of all other arguments.
        x_BTD: what each token adds, T at least 1.
        state_BD: the state before the first token.

    Returns:
        [B, T, D] the states after each token. Differentiable any number of times in every argument.

    Raises:
        InputError: the shapes or dtypes do not go together, or there are no tokens.

    Source: De et al. 2024 (Griffin), section 2.4, the recurrence of equation 4.

    Example:
        >>> elementwise_scan(torch.rand(2, 5, 3), torch.randn(2, 5, 3), torch.zeros(2, 3)).shape
        torch.Size([2, 5, 3])
    """
    check_shapes(x_BTD=x_BTD, decay_BTD=decay_BTD, state_BD=state_BD)
    check_dtypes(x_BTD=x_BTD, decay_BTD=decay_BTD, state_BD=state_BD)
    # Time first, so that what is read and written for a token is one piece of memory.
    decay_TBD, x_TBD = (x.transpose(0, 1).contiguous() for x in (decay_BTD, x_BTD))
    return cast(Tensor, _Scan.apply(decay_TBD, x_TBD, state_BD)).transpose(0, 1)


class _Scan(torch.autograd.Function):
    """Backward it is the same recurrence, from the last token to the first."""

    @staticmethod
    def forward(ctx: Any, decay_TBD: Tensor, x_TBD: Tensor, state_BD: Tensor) -> Tensor:
        states_TBD = torch.empty_like(x_TBD)
        before_BD = state_BD
        for decay_BD, x_BD, after_BD in zip(decay_TBD.unbind(), x_TBD.unbind(), states_TBD.unbind(), strict=True):
            before_BD = torch.addcmul(x_BD, decay_BD, before_BD, out=after_BD)
        ctx.save_for_backward(decay_TBD, states_TBD, state_BD)
        return states_TBD

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (grad_TBD,) = grad_outputs
        decay_TBD, states_TBD, state_BD = cast(tuple[Tensor, ...], ctx.saved_tensors)
        next_TBD = torch.cat([decay_TBD[1:], torch.zeros_like(decay_TBD[:1])])
        reversed_TBD = _Scan.apply(next_TBD.flip(0), grad_TBD.flip(0), torch.zeros_like(state_BD))
        grad_x_TBD = cast(Tensor, reversed_TBD).flip(0)
        before_TBD = torch.cat([state_BD[None], states_TBD[:-1]])
        return grad_x_TBD * before_TBD, grad_x_TBD, grad_x_TBD[0] * decay_TBD[0]
