"""The linear recurrence with one decay a head, computed in chunks (Mamba-2, retention, linear attention).

Every exponential is taken of a sum of log decays, never of a difference of two such sums: nothing overflows, nothing
cancels, and a log decay of minus infinity clears the state.

Shape letters: B batch rows, T tokens, H heads, G groups of heads, R heads of a group, K key channels, V value
channels, N chunks, C tokens of a chunk (i reads, j was written).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError, RunError
from lengthwise.scans.checks import check_chunk, check_shapes
from lengthwise.scans.chunks import carry_states, in_chunks, precision

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
        RunError: a second derivative is asked for.

    Source: Dao and Gu 2024 (Mamba-2), section 6.

    Example:
        >>> q_BTGK, k_BTGK, v_BTHV = torch.randn(2, 7, 1, 4), torch.randn(2, 7, 1, 4), torch.randn(2, 7, 3, 5)
        >>> y_BTHV, state_BHKV = linear_scan(q_BTGK, k_BTGK, v_BTHV, -torch.rand(2, 7, 3))
        >>> y_BTHV.shape, state_BHKV.shape
        (torch.Size([2, 7, 3, 5]), torch.Size([2, 3, 4, 5]))
    """
    inputs = {"q_BTGK": q_BTGK, "k_BTGK": k_BTGK, "log_decay_BTH": log_decay_BTH, "state_BHKV": state_BHKV}
    check_shapes(v_BTHV=v_BTHV, **inputs)
    check_chunk(chunk)
    B, T, H, V = v_BTHV.shape
    G, K = q_BTGK.shape[2:]
    if not G or H % G:
        raise InputError(f"{H} heads cannot share the queries and keys of {G} groups; the groups must divide the heads")
    heads, size, dtype = (G, H // G), min(chunk, T), precision(q_BTGK, k_BTGK, v_BTHV)
    start_BGKRV = v_BTHV.new_zeros(B, G, K, H // G, V, dtype=dtype)
    if state_BHKV is not None:
        start_BGKRV = state_BHKV.to(dtype).unflatten(1, heads).transpose(2, 3)
    q_BNGCK, k_BNGCK = (in_chunks(x, size, dtype).transpose(2, 3) for x in (q_BTGK, k_BTGK))
    v_BNGCRV = in_chunks(v_BTHV, size, dtype).unflatten(3, heads).transpose(2, 3)
    log_BNGCR = in_chunks(log_decay_BTH, size, dtype).unflatten(3, heads).transpose(2, 3)
    with torch.autocast(v_BTHV.device.type, enabled=False):
        y_BNGCRV, after_BGKRV = cast(
            tuple[Tensor, Tensor], _ChunkedScan.apply(q_BNGCK, k_BNGCK, v_BNGCRV, log_BNGCR, start_BGKRV)
        )
    y_BTHV = y_BNGCRV.transpose(2, 3).flatten(3, 4).flatten(1, 2)[:, :T]
    return y_BTHV.to(v_BTHV.dtype), after_BGKRV.transpose(2, 3).flatten(1, 2)


class _ChunkedScan(torch.autograd.Function):
    """The scan over chunks, with its gradient written out: autograd takes a sixth longer, in copies and sums.

    Within it the M chunks of all rows and groups lie along one dimension.
    """

    @staticmethod
    def forward(
        ctx: Any, q_BNGCK: Tensor, k_BNGCK: Tensor, v_BNGCRV: Tensor, log_BNGCR: Tensor, start_BGKRV: Tensor
    ) -> tuple[Tensor, Tensor]:
        q, k, v, log = (x.flatten(0, 2) for x in (q_BNGCK, k_BNGCK, v_BNGCRV, log_BNGCR))
        rows, shape = v_BNGCRV.shape[:3], (*v_BNGCRV.shape[:3], k.shape[2], *v.shape[2:])
        decays = pairwise_decays(log.mT)
        from_start = log.cumsum(1).exp()
        # For each token the sum over the later tokens of its chunk.
        to_end = F.pad(log[:, 1:], (0, 0, 0, 1)).flip(1).cumsum(1).flip(1).exp()
        scores = k @ q.mT
        weights = scores[:, None] * decays
        written = k.mT @ (v * to_end[..., None]).flatten(2)
        total = from_start[:, -1].view(*rows, 1, -1, 1)
        before, after_BGKRV = carry_states(total, written.view(shape), start_BGKRV)
        earlier = (q @ before.flatten(4).flatten(0, 2)).view_as(v)
        y = earlier * from_start[..., None]
        for head in range(v.shape[2]):
            y[:, :, head].baddbmm_(weights[:, head].mT, v[:, :, head])
        ctx.save_for_backward(q, k, v, decays, from_start, to_end, scores, weights, before, earlier)
        return y.view(v_BNGCRV.shape), after_BGKRV

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, ...]:
        if torch.is_grad_enabled():
            raise RunError("the linear scan has no second derivatives: differentiate it without create_graph")
        q, k, v, decays, from_start, to_end, scores, weights, before, earlier = ctx.saved_tensors
        rows, heads = before.shape[:3], range(v.shape[2])
        dy = grad_outputs[0].flatten(0, 2)

        d_earlier = (dy * from_start[..., None]).flatten(2)
        d_from_start = (dy * earlier).sum(3)
        d_before = (q.mT @ d_earlier).view_as(before)
        total = from_start[:, -1].view(*rows, 1, -1, 1)
        d_written, d_start = carry_states(total, d_before, grad_outputs[1], reverse=True)
        d_from_start[:, -1] += (d_written * before).sum((3, 5)).flatten(0, 2)
        d_written = d_written.flatten(4).flatten(0, 2)

        d_values = (k @ d_written).view_as(v)
        d_to_end = (d_values * v).sum(3)
        dv = d_values.mul_(to_end[..., None])
        d_weights = torch.empty_like(weights)
        for head in heads:
            dv[:, :, head].baddbmm_(weights[:, head], dy[:, :, head])
            torch.bmm(v[:, :, head], dy[:, :, head].mT, out=d_weights[:, head])
        d_scored = d_weights.mul_(decays)
        d_scores = d_scored.sum(1)
        dq = torch.baddbmm(d_earlier @ before.flatten(4).flatten(0, 2).mT, d_scores.mT, k)
        dk = torch.baddbmm((v * to_end[..., None]).flatten(2) @ d_written.mT, d_scores, q)

        d_spans = d_scored.mul_(scores[:, None])
        # From one token's log decay to the next, the pairs read at the token are lost and those written at it gained.
        d_log = (d_spans.sum(2) - d_spans.sum(3)).mT + d_from_start * from_start
        d_log = d_log.flip(1).cumsum(1).flip(1)
        ended = (d_to_end * to_end).cumsum(1)
        d_log[:, 1:] += ended[:, :-1]
        return (*(x.unflatten(0, rows) for x in (dq, dk, dv, d_log)), d_start)


def pairwise_decays(log_decay_C: Tensor) -> Tensor:
    """Return [..., C, C] the decay of what token j wrote when token i reads it, at row j and column i, else zero."""
    square_CC = log_decay_C[..., None, :].expand(*log_decay_C.shape, log_decay_C.shape[-1]).triu(1)
    return square_CC.cumsum_(-1).exp_().triu_()
