"""The linear recurrence with one decay a head, computed in chunks (Mamba-2, retention, linear attention).

Every exponential is taken of a sum of log decays, never of a difference of two such sums: nothing overflows, nothing
cancels, and a log decay of minus infinity clears the state.

Shape letters: B batch rows, T tokens, H heads, G groups of heads, R heads of a group, K key channels, V value
channels, N chunks, C tokens of a chunk (i reads, j was written).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.scans.chunks import carry, check_recurrence, in_chunks, precision

CHUNK = 64
"""Tokens of a chunk: the fastest on a CPU at 256 tokens."""


def linear_scan(
    q_BTGK: Tensor,
    k_BTGK: Tensor,
    v_BTHV: Tensor,
    log_decay_BTH: Tensor,
    state_BHKV: Tensor | None = None,
    *,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """Run ``S_t = exp(log_decay_t) S_{t-1} + k_t^T v_t``, ``y_t = q_t S_t`` in each head.

    Args:
        q_BTGK: queries; G divides H, and each group of H / G neighbouring heads shares its queries and keys.
        k_BTGK: keys.
        v_BTHV: values.
        log_decay_BTH: logarithms of the decays, at most 0; minus infinity clears the state.
        state_BHKV: the state before the first token; zeros by default.
        chunk: tokens computed together; it changes the speed, not the result. Shorter inputs are one chunk.

    Returns:
        Outputs [B, T, H, V] in the dtype of the values, and the state [B, H, K, V] after the last token, in float32
        where the inputs are of lower precision.

    Raises:
        InputError: the shapes do not go together, or there are no tokens.

    Source: Dao and Gu 2024 (Mamba-2), section 6.

    Example:
        >>> q_BTGK, k_BTGK, v_BTHV = torch.randn(2, 7, 1, 4), torch.randn(2, 7, 1, 4), torch.randn(2, 7, 3, 5)
        >>> y_BTHV, state_BHKV = linear_scan(q_BTGK, k_BTGK, v_BTHV, -torch.rand(2, 7, 3))
        >>> y_BTHV.shape, state_BHKV.shape
        (torch.Size([2, 7, 3, 5]), torch.Size([2, 3, 4, 5]))
    """
    check_recurrence(q_BTGK, k_BTGK, v_BTHV, log_decay_BTH, state_BHKV, per_channel=False, chunk=chunk)
    with torch.autocast(v_BTHV.device.type, enabled=False):
        return _scan(q_BTGK, k_BTGK, v_BTHV, log_decay_BTH, state_BHKV, chunk)


def _scan(
    q_BTGK: Tensor, k_BTGK: Tensor, v_BTHV: Tensor, log_decay_BTH: Tensor, state_BHKV: Tensor | None, chunk: int
) -> tuple[Tensor, Tensor]:
    B, T, H, V = v_BTHV.shape
    G, K = q_BTGK.shape[2:]
    heads, size, dtype = (G, H // G), min(chunk, T), precision(q_BTGK, k_BTGK, v_BTHV)
    q_BNGCK, k_BNGCK = (in_chunks(x, size, dtype).transpose(2, 3) for x in (q_BTGK, k_BTGK))
    v_BNCGRV = in_chunks(v_BTHV, size, dtype).unflatten(3, heads)
    log_BNGRC = in_chunks(log_decay_BTH, size, dtype).movedim(2, 3).unflatten(2, heads)
    start_BGKRV = v_BTHV.new_zeros(B, G, K, H // G, V, dtype=dtype)
    if state_BHKV is not None:
        start_BGKRV = state_BHKV.to(dtype).unflatten(1, heads).transpose(2, 3)

    decay_BNGRCC = pairwise_decays(log_BNGRC)
    weight_BNGRCC = (k_BNGCK @ q_BNGCK.mT)[:, :, :, None] * decay_BNGRCC
    within_BNGRCV = weight_BNGRCC.mT @ v_BNCGRV.permute(0, 1, 3, 4, 2, 5)

    to_end_BNCGR = F.pad(log_BNGRC[..., 1:], (0, 1)).flip(-1).cumsum(-1).flip(-1).exp().movedim(4, 2)
    from_start_BNGRC = log_BNGRC.cumsum(-1).exp()
    values_BNGCX = (v_BNCGRV * to_end_BNCGR[..., None]).transpose(2, 3).flatten(4)
    written_BNGKRV = (k_BNGCK.mT @ values_BNGCX).unflatten(4, (-1, V))
    total_BNG1R1 = from_start_BNGRC[..., None, :, -1:]
    before_BNGKRV, after_BGKRV = carry(total_BNG1R1, written_BNGKRV, start_BGKRV)
    earlier_BNGCRV = (q_BNGCK @ before_BNGKRV.flatten(4)).unflatten(4, (-1, V))

    decay_BNGCR1 = from_start_BNGRC.mT[..., None]
    y_BNGCRV = within_BNGRCV.transpose(3, 4).addcmul(decay_BNGCR1, earlier_BNGCRV)
    y_BTHV = y_BNGCRV.transpose(2, 3).flatten(3, 4).flatten(1, 2)[:, :T]
    return y_BTHV.to(v_BTHV.dtype), after_BGKRV.transpose(2, 3).flatten(1, 2)


def pairwise_decays(log_decay_C: Tensor) -> Tensor:
    """Return the decay from every token to every later one.

    Args:
        log_decay_C: [..., C] log decays.

    Returns:
        [..., C, C] the decay of what token j wrote when token i reads it, at row j and column i; zero where i < j.
    """
    decays = _PairwiseDecays.apply(log_decay_C)
    assert isinstance(decays, Tensor)
    return decays


class _PairwiseDecays(torch.autograd.Function):
    """One square in memory forward and two sums of it backward, where autograd would keep five."""

    @staticmethod
    def forward(ctx: Any, log_decay_C: Tensor) -> Tensor:
        size = log_decay_C.shape[-1]
        square_CC = log_decay_C[..., None, :].expand(*log_decay_C.shape, size).triu(1)
        decay_CC = square_CC.cumsum_(-1).exp_().triu_()
        ctx.save_for_backward(decay_CC)
        return decay_CC

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (decay_CC,) = ctx.saved_tensors
        weighted_CC = grad_outputs[0] * decay_CC
        # From one token's log decay to the next, the pairs read at the token are lost and those written at it gained.
        return (weighted_CC.sum(-2) - weighted_CC.sum(-1)).flip(-1).cumsum(-1).flip(-1)
