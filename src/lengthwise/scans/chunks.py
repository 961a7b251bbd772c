"""Chunks of a recurrence: inputs cut into chunks, and states carried across them.

Shape letters: B batch rows, T tokens, N chunks, C tokens of a chunk, D... any further shape.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def precision(*tensors: Tensor) -> torch.dtype:
    """Return the dtype to compute in: that of the tensors, and at least float32."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def smallest_logarithm(dtype: torch.dtype) -> float:
    """Return the logarithm below which an exponential underflows, which takes 30 times as long on a CPU.

    In float32 the exponential of it is 1e-37.
    """
    return math.log(torch.finfo(dtype).tiny) + 2


def in_chunks(x: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Return [B, T, D...] as [B, N, C, D...] in a dtype; the last chunk is filled up with zeros."""
    missing = -x.shape[1] % size
    padded = F.pad(x, (0, 0) * (x.ndim - 2) + (0, missing)) if missing else x
    return padded.to(dtype).unflatten(1, (-1, size))


def carry(decay: Tensor, written: Tensor, state: Tensor, *, reverse: bool = False) -> tuple[Tensor, Tensor]:
    """Return the states before the chunks, [B, N, D...], and after the last: each decays, then `written` is added.

    If asked for it goes from the last chunk to the first. Differentiable any number of times in every argument.
    """
    before, after = cast(tuple[Tensor, Tensor], _Carry.apply(decay, written, state, reverse))
    return before, after


def carry_states(decay: Tensor, written: Tensor, state: Tensor, *, reverse: bool = False) -> tuple[Tensor, Tensor]:
    """Do what `carry` does, without a gradient."""
    before, after = torch.empty_like(written), torch.empty_like(state)
    decays, added, places = (x.unbind(1)[:: -1 if reverse else 1] for x in (decay, written, before))
    places[0].copy_(state)
    for decay_n, added_n, here, there in zip(decays, added, places, (*places[1:], after), strict=True):
        torch.addcmul(added_n, decay_n, here, out=there)
    return before, after


class _Carry(torch.autograd.Function):
    """One operation a chunk; autograd would take ten. Backward it is the same, in reverse."""

    @staticmethod
    def forward(ctx: Any, decay: Tensor, written: Tensor, state: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
        before, after = carry_states(decay, written, state, reverse=reverse)
        ctx.save_for_backward(decay, before)
        ctx.reverse = reverse
        return before, after

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        decay, before = ctx.saved_tensors
        grad_written, grad_state = carry(decay, *grad_outputs, reverse=not ctx.reverse)
        return (grad_written * before).sum_to_size(decay.shape), grad_written, grad_state, None
