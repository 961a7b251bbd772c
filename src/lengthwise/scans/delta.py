"""The delta rule and its gated form, computed in chunks with matrix products.

Shape letters: B batch rows, T tokens, H heads, K key channels, V value channels, C tokens in a chunk, M matrices
side by side (batch rows times heads).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lengthwise.errors import InputError
from lengthwise.scans.checks import check_chunk, check_shapes
from lengthwise.scans.chunks import precision, smallest_logarithm

CHUNK = 32
"""Tokens solved together: the fastest of 16, 32, 64 and 128 on a CPU for 256 tokens."""


def delta_scan(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    beta_BTH: Tensor,
    log_decay_BTH: Tensor | None = None,
    state_BHKV: Tensor | None = None,
    *,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """Run the (gated) delta rule over a sequence.

    ``S_t = a_t (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T`` and ``y_t = q_t S_t``: the state decays, and what
    it then holds under the key is replaced, by the fraction beta, with the value. Keys of length one and beta in
    [0, 2] give transitions with eigenvalues in [-1, 1].

    Within a chunk the corrections solve a triangular system (the UT transform); a loop over chunks carries the
    state. Only logarithms of decays that are at most zero are exponentiated, so that no decay overflows; one that
    underflows by itself clears the state exactly. Inputs of less than float32 are computed in float32. First
    derivatives exist of everything that is returned with respect to everything that is given; second derivatives do
    not.

    Args:
        q_BTHK: [B, T, H, K] queries, scaled by the caller.
        k_BTHK: [B, T, H, K] keys, normalised by the caller.
        v_BTHV: [B, T, H, V] values.
        beta_BTH: [B, T, H] step sizes.
        log_decay_BTH: [B, T, H] natural logarithms of the decays a, at most 0; minus infinity clears the state; no
            decay by default.
        state_BHKV: [B, H, K, V] the state before the first token; zeros by default.
        chunk: tokens that are solved together; changes speed, and results by rounding only.

    Returns:
        [B, T, H, V] outputs in the dtype of the values, and [B, H, K, V] the state after the last token, in at
        least float32.

    Raises:
        InputError: shapes do not fit together, there is no token, the chunk is empty, or a decay is above one.

    Source:
        Yang, Wang, Zhang, Shen, Kim, "Parallelizing Linear Transformers with the Delta Rule over Sequence Length"
        (2024), equations 8 to 11; with decay, Yang, Kautz, Hatamizadeh, "Gated Delta Networks" (2024), equation 10.

    Example:
        >>> import torch
        >>> key, value = torch.eye(2).reshape(1, 2, 1, 2), torch.tensor([3.0, 5.0]).reshape(1, 2, 1, 1)
        >>> y, state = delta_scan(key, key, value, torch.ones(1, 2, 1))
        >>> y.flatten().tolist(), state.flatten().tolist()
        ([3.0, 5.0], [3.0, 5.0])
    """
    optional = {"log_decay_BTH": log_decay_BTH, "state_BHKV": state_BHKV}
    check_shapes(q_BTHK=q_BTHK, k_BTHK=k_BTHK, v_BTHV=v_BTHV, beta_BTH=beta_BTH, **optional)
    check_chunk(chunk)
    B, _, H, K = q_BTHK.shape
    state = v_BTHV.new_zeros(B, H, K, v_BTHV.shape[-1]) if state_BHKV is None else state_BHKV
    log_decay = torch.zeros_like(beta_BTH) if log_decay_BTH is None else log_decay_BTH
    lowest, highest = map(float, log_decay.detach().aminmax())
    if highest > 0:
        raise InputError(f"a logarithm of a decay is {highest:g}, and decays are at most one: give values of at most 0")
    clears = lowest < smallest_logarithm(precision(v_BTHV))
    inputs = (q_BTHK, k_BTHK, v_BTHV, beta_BTH, log_decay)
    with torch.autocast(v_BTHV.device.type, enabled=False):
        scan = _ChunkedDelta.apply(chunk, torch.is_grad_enabled(), clears, state, *inputs)
    return cast("tuple[Tensor, Tensor]", scan)


class _ChunkedDelta(torch.autograd.Function):
    """The scan with its gradient, by hand: matrices that stay in cache take half of the time that autograd takes."""

    @staticmethod
    def forward(
        ctx: Any, chunk: int, differentiable: bool, clears: bool, state_BHKV: Tensor, *inputs: Tensor
    ) -> tuple[Tensor, Tensor]:
        v_BTHV = inputs[2]
        dtype = precision(v_BTHV)
        state_MKV = state_BHKV.to(dtype).flatten(0, 1).contiguous()
        y_BTHV = torch.empty_like(v_BTHV, memory_format=torch.contiguous_format)
        saved: list[Tensor] = []
        for y_BCHV, *given in zip(*(x.split(chunk, 1) for x in (y_BTHV, *inputs)), strict=True):
            q, k, v, beta, log_decay = (_matrices(x_BCHX, dtype) for x_BCHX in given)
            y_MCV, state_MKV, kept = _read(q, k, v, beta, log_decay, state_MKV, clears)
            y_BCHV.copy_(_tokens(y_MCV, y_BCHV))
            if differentiable:
                saved += kept
        ctx.save_for_backward(*saved)
        ctx.chunk, ctx.keys, ctx.dtypes = chunk, state_BHKV.shape[2], [x.dtype for x in (state_BHKV, *inputs)]
        return y_BTHV, state_MKV.view(state_BHKV.shape)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        dy_BTHV, d_state_BHKV = grad_outputs
        d_state_MKV = d_state_BHKV.flatten(0, 1).contiguous()
        # Once only: checkpointing computes them again, and refuses to do so twice.
        saved = ctx.saved_tensors
        kept = [saved[i : i + _KEPT] for i in range(0, len(saved), _KEPT)]
        B, T, H, V = dy_BTHV.shape
        channels = (ctx.keys, ctx.keys, V)
        d_inputs = [dy_BTHV.new_empty(B, T, H, X, dtype=t) for X, t in zip(channels, ctx.dtypes[1:], strict=False)]
        d_inputs += [dy_BTHV.new_empty(B, T, H, dtype=t) for t in ctx.dtypes[4:]]
        pieces = list(zip(*(x.split(ctx.chunk, 1) for x in (dy_BTHV, *d_inputs)), strict=True))
        for (dy_BCHV, *d_given), chunk in zip(reversed(pieces), reversed(kept), strict=True):
            *d_matrices, d_state_MKV = _read_gradient(chunk, _matrices(dy_BCHV, d_state_MKV.dtype), d_state_MKV)
            for d_BCHX, d_MCX in zip(d_given, d_matrices, strict=True):
                d_BCHX.copy_(_tokens(d_MCX, d_BCHX))
        return None, None, None, d_state_MKV.view(d_state_BHKV.shape).to(ctx.dtypes[0]), *d_inputs


def _matrices(x_BCHX: Tensor, dtype: torch.dtype) -> Tensor:
    """Return [M, C, X]: a matrix for each row and head; X is 1 where the input has no channels."""
    B, C, H = x_BCHX.shape[:3]
    return x_BCHX.to(dtype).transpose(1, 2).reshape(B * H, C, -1).contiguous()


def _tokens(x_MCX: Tensor, like: Tensor) -> Tensor:
    """Return [B, C, H, X], or [B, C, H] where that is what the other has."""
    x_BCHX = x_MCX.unflatten(0, (like.shape[0], like.shape[2])).transpose(1, 2)
    return x_BCHX.reshape(like.shape) if like.ndim == 3 else x_BCHX


_KEPT = 13
"""How many tensors the gradient of a chunk needs: those that `_read` returns last."""


def _read(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_decay: Tensor, state: Tensor, clears: bool
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Read a chunk: return its outputs [M, C, V], the state [M, K, V] after it, and what its gradient needs.

    With cumulative log decays g, the state S before and ``D_ij = exp(g_i - g_j)`` for i >= j:
    ``r_i = v_i - exp(g_i) k_i S``, ``u_i = beta_i (r_i - sum_{j<i} P_ij u_j)`` with ``P = D * (k k^T)``,
    ``y = exp(g) q S + (D * (q k^T)) u``, and the state after is ``exp(g_C) S + sum_j exp(g_C - g_j) k_j u_j``.
    """
    M, C, _ = k.shape
    smallest = smallest_logarithm(log_decay.dtype)
    cleared = log_decay < smallest if clears else None
    g = (log_decay if cleared is None else log_decay.masked_fill(cleared, 0)).cumsum(1)
    from_start, to_end, decay = (
        log_decays.clamp_(smallest, 0).exp_() for log_decays in (g.clone(), g[:, -1:] - g, g - g.mT)
    )
    decay.tril_()
    if cleared is not None:
        # Nothing passes a token that clears the state: a difference of sums with its logarithm in both would say less.
        part = cleared.cumsum(1)
        from_start.masked_fill_(part > 0, 0)
        to_end.masked_fill_(part != part[:, -1:], 0)
        decay.masked_fill_(part != part.mT, 0)
    overlap, attention = torch.bmm(k, k.mT).mul_(decay), torch.bmm(q, k.mT).mul_(decay)
    identity = torch.eye(C, dtype=g.dtype, device=g.device).expand(M, C, C)
    inverse = torch.linalg.solve_triangular(overlap * beta, identity, upper=False, unitriangular=True)
    residual = torch.baddbmm(v, k * from_start, state, alpha=-1)
    written = torch.bmm(inverse, residual * beta)
    y = torch.bmm(q * from_start, state).baddbmm_(attention, written)
    after = (state * from_start[:, -1:]).baddbmm_((k * to_end).mT, written)
    kept = (q, k, beta, from_start, to_end, decay, overlap, attention, inverse, residual, written, state, after)
    return y, after, kept


def _read_gradient(kept: Sequence[Tensor], dy: Tensor, d_after: Tensor) -> tuple[Tensor, ...]:
    """Return the gradients of the queries, keys, values, beta, log decays and state of a chunk."""
    q, k, beta, from_start, to_end, decay, overlap, attention, inverse, residual, written, state, after = kept
    d_written = torch.bmm(attention.mT, dy).baddbmm_(k * to_end, d_after)
    d_solved = torch.bmm(inverse.mT, d_written)
    d_residual = d_solved * beta
    d_state = (d_after * from_start[:, -1:]).baddbmm_((q * from_start).mT, dy)
    d_state.baddbmm_((k * from_start).mT, d_residual, alpha=-1)
    d_system = torch.bmm(d_solved, written.mT).tril_(-1)
    d_overlap = (d_system * beta).mul_(decay)
    d_beta = (d_solved * residual).sum(-1, keepdim=True).sub_(d_system.mul_(overlap).sum(-1, keepdim=True))
    d_attention = torch.bmm(dy, written.mT).mul_(decay)
    dq = torch.bmm(dy, state.mT).mul_(from_start).baddbmm_(d_attention, k)
    d_erasing = torch.bmm(d_residual, state.mT).mul_(from_start).baddbmm_(d_overlap, k)
    d_storing = torch.bmm(written, d_after.mT).mul_(to_end)
    d_storing.baddbmm_(d_overlap.mT, k, alpha=-1).baddbmm_(d_attention.mT, q)
    # Queries and erasing keys enter with exp(g), storing keys with exp(-g), and the state after with exp(g_C).
    dg = (q * dq).sub_((d_erasing + d_storing).mul_(k)).sum(-1, keepdim=True)
    dg[:, -1, 0] += (after * d_after).sum((-2, -1))
    d_log_decay = dg.flip(1).cumsum(1).flip(1)
    return dq, d_storing.sub_(d_erasing), d_residual, d_beta, d_log_decay, d_state
