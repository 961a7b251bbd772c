"""The linear recurrence with one complex decay a state, the same at every token (S5, linear recurrent units).

All chunks walk through their tokens side by side, then the states are carried from chunk to chunk: a sequence takes
about C + T / C steps. Only powers of the decay are formed, never quotients, so nothing overflows where its magnitude is
at most one.

Shape letters: B batch rows, T tokens, P states, N chunks, C tokens of a chunk.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from lengthwise.scans.checks import check_chunk, check_dtypes, check_shapes
from lengthwise.scans.chunks import carry_states, in_chunks

CHUNK = 64
"""Tokens of a chunk."""


def diagonal_scan(decay_P: Tensor, x_BTP: Tensor, state_BP: Tensor, *, chunk: int = CHUNK) -> Tensor:
    """Run ``h_t = decay h_{t-1} + x_t`` over time, elementwise, and return every state.

    Args:
        decay_P: decays, complex or real, of magnitude at most one; larger ones grow without bound.
        x_BTP: what each token adds, in the dtype of the decays, T at least 1.
        state_BP: the state before the first token.
        chunk: C, tokens walked through side by side; it changes the speed, and results by rounding only.

    Returns:
        [B, T, P] the states after each token. Differentiable any number of times in every argument.

    Raises:
        InputError: the shapes or dtypes do not go together, there are no tokens, or the chunk is empty.

    Source: Smith et al. 2023 (S5), section 2.2; chunks instead of their tree.

    Example:
        >>> decay_P = torch.polar(torch.full((3,), 0.9), torch.rand(3))
        >>> x_BTP, state_BP = torch.randn(2, 5, 3, dtype=torch.complex64), torch.zeros(2, 3, dtype=torch.complex64)
        >>> diagonal_scan(decay_P, x_BTP, state_BP).shape
        torch.Size([2, 5, 3])
    """
    check_shapes(x_BTP=x_BTP, decay_P=decay_P, state_BP=state_BP)
    check_dtypes(x_BTP=x_BTP, decay_P=decay_P, state_BP=state_BP)
    check_chunk(chunk)
    return cast(Tensor, _Scan.apply(decay_P, x_BTP, state_BP, chunk))


class _Scan(torch.autograd.Function):
    """Backward it is the same recurrence, from the last token to the first."""

    @staticmethod
    def forward(ctx: Any, decay_P: Tensor, x_BTP: Tensor, state_BP: Tensor, chunk: int) -> Tensor:
        states_BTP = _run(decay_P, x_BTP, state_BP, chunk)
        ctx.save_for_backward(decay_P, states_BTP, state_BP)
        ctx.chunk = chunk
        return states_BTP

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (grad_BTP,) = grad_outputs
        decay_P, states_BTP, state_BP = cast(tuple[Tensor, ...], ctx.saved_tensors)
        reversed_BTP = _Scan.apply(decay_P.conj(), grad_BTP.flip(1), torch.zeros_like(state_BP), ctx.chunk)
        grad_x_BTP = cast(Tensor, reversed_BTP).flip(1)
        first_BP = grad_x_BTP[:, 0]
        of_decay_P = (grad_x_BTP[:, 1:] * states_BTP[:, :-1].conj()).sum((0, 1)) + (first_BP * state_BP.conj()).sum(0)
        return of_decay_P, grad_x_BTP, first_BP * decay_P.conj(), None


def _run(decay_P: Tensor, x_BTP: Tensor, state_BP: Tensor, chunk: int) -> Tensor:
    T = x_BTP.shape[1]
    size = min(chunk, T)
    h_BNCP = in_chunks(x_BTP, size, x_BTP.dtype).clone(memory_format=torch.contiguous_format)
    for before, after in zip(h_BNCP.unbind(2), h_BNCP.unbind(2)[1:], strict=False):
        after.addcmul_(decay_P, before)
    powers_CP = decay_P.expand(size, -1).cumprod(0)
    chunks = h_BNCP.shape[1]
    start_BNP, _ = carry_states(powers_CP[-1].expand(1, chunks, -1), h_BNCP[:, :, -1], state_BP)
    return h_BNCP.addcmul_(powers_CP, start_BNP[:, :, None]).flatten(1, 2)[:, :T]
