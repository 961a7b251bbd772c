"""The linear recurrence with a decay a key channel, computed in chunks (GLA, RWKV-6).

The decay from token j to a later token i is factored through a boundary between them: the query decays from the
boundary, the key to the boundary, and both factors are at most one. Each level of a binary tree over the chunk serves
the pairs that its boundaries divide, with two multiplications; so no exponential of a positive number is ever formed,
and none of a difference of two sums.

Shape letters: B batch rows, T tokens, H heads, K key channels, V value channels, N chunks, C tokens of a chunk,
M blocks of L tokens in a chunk, P pairs of neighbouring blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lengthwise.scans.checks import check_chunk, check_shapes
from lengthwise.scans.chunks import carry, in_chunks, precision

CHUNK = 64
"""Tokens of a chunk: the fastest on a CPU at 256 tokens."""


def gated_linear_scan(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    log_decay_BTHK: Tensor,
    state_BHKV: Tensor | None = None,
    *,
    bonus_HK: Tensor | None = None,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """Run ``S_t = diag(exp(log_decay_t)) S_{t-1} + k_t^T v_t`` in each head.

    Without a bonus the state is read after it was written, ``y_t = q_t S_t`` (GLA); with one before, the token itself
    weighed by the bonus, ``y_t = q_t (S_{t-1} + diag(bonus) k_t^T v_t)`` (RWKV-6).

    Args:
        q_BTHK: queries (RWKV's receptance).
        k_BTHK: keys.
        v_BTHV: values.
        log_decay_BTHK: logarithms of the decays, at most 0; minus infinity clears a channel.
        state_BHKV: the state before the first token; zeros by default.
        bonus_HK: weight of a token's own key, see above.
        chunk: tokens computed together, a power of two; it changes the speed, not the result. Shorter inputs are one
            chunk.

    Returns:
        Outputs [B, T, H, V] in the dtype of the values, and the state [B, H, K, V] after the last token, in float32
        where the inputs are of lower precision.

    Raises:
        InputError: the shapes do not go together, there are no tokens, or the chunk is not a power of two.

    Source: Yang et al. 2023 (GLA), section 4.1; Peng et al. 2024 (RWKV-6), time mixing of Finch.

    Example:
        >>> q_BTHK, k_BTHK, v_BTHV = torch.randn(2, 7, 3, 4), torch.randn(2, 7, 3, 4), torch.randn(2, 7, 3, 5)
        >>> y_BTHV, state_BHKV = gated_linear_scan(q_BTHK, k_BTHK, v_BTHV, -torch.rand(2, 7, 3, 4))
        >>> y_BTHV.shape, state_BHKV.shape
        (torch.Size([2, 7, 3, 5]), torch.Size([2, 3, 4, 5]))
    """
    optional = {"state_BHKV": state_BHKV, "bonus_HK": bonus_HK}
    check_shapes(q_BTHK=q_BTHK, k_BTHK=k_BTHK, v_BTHV=v_BTHV, log_decay_BTHK=log_decay_BTHK, **optional)
    check_chunk(chunk, halved=True)
    B, T, H, K = q_BTHK.shape
    dtype, size = precision(q_BTHK, k_BTHK, v_BTHV), min(chunk, 1 << (T - 1).bit_length())
    state_BHKV = v_BTHV.new_zeros(B, H, K, v_BTHV.shape[3]) if state_BHKV is None else state_BHKV
    with torch.autocast(v_BTHV.device.type, enabled=False):
        q_BNHCK, k_BNHCK, v_BNHCV, log_BNHCK = (
            in_chunks(x, size, dtype).transpose(2, 3).contiguous() for x in (q_BTHK, k_BTHK, v_BTHV, log_decay_BTHK)
        )
        own_BNHCK, reading_BNHCK = q_BNHCK * k_BNHCK, q_BNHCK
        if bonus_HK is None:
            reading_BNHCK = q_BNHCK * log_BNHCK.exp()
        else:
            own_BNHCK = own_BNHCK * bonus_HK[:, None]
        weight_BNHCC, reading_BNHCK, writing_BNHCK, log_BNHK = weigh_within(
            own_BNHCK.sum(-1)[..., None, None], reading_BNHCK[..., None, :], k_BNHCK[..., None, :], log_BNHCK
        )
        written_BNHKV = writing_BNHCK.mT @ v_BNHCV
        before_BNHKV, after_BHKV = carry(log_BNHK.exp()[..., None], written_BNHKV, state_BHKV.to(dtype))
        y_BNHCV = weight_BNHCC @ v_BNHCV + reading_BNHCK @ before_BNHKV
    return y_BNHCV.transpose(2, 3).flatten(1, 2)[:, :T].to(v_BTHV.dtype), after_BHKV


def weigh_within(
    weight_M: Tensor, reading_M: Tensor, writing_M: Tensor, log_MK: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weigh the tokens of each chunk for each other, by halves of ever larger blocks.

    A token may read with several vectors, R, and write under several keys, W. Given are, for each of M = C tokens, the
    weights [B, N, H, C, R, W] of what it writes for what it reads itself, vectors [B, N, H, C, R, K] decayed from the
    end of the token before, keys [B, N, H, C, W, K] and log decays [B, N, H, C, K]; returned are weights
    [B, N, H, C R, C W], vectors [B, N, H, C R, K] decayed from the chunk's start, keys decayed to its end, and its
    log decay [B, N, H, K].
    """
    while log_MK.shape[3] > 1:
        early_weight, late_weight = _pairs(weight_M)
        early_r, late_r = _pairs(reading_M)
        early_w, late_w = _pairs(writing_M)
        early_log, late_log = _pairs(log_MK)
        across = late_r @ early_w.mT
        above = torch.cat([early_weight, torch.zeros_like(across)], -1)
        below = torch.cat([across, late_weight], -1)
        weight_M = torch.cat([above, below], -2)
        reading_M = torch.cat([early_r, late_r * early_log.exp()[..., None, :]], -2)
        writing_M = torch.cat([early_w * late_log.exp()[..., None, :], late_w], -2)
        log_MK = early_log + late_log
    return weight_M[:, :, :, 0], reading_M[:, :, :, 0], writing_M[:, :, :, 0], log_MK[:, :, :, 0]


def _pairs(blocks_M: Tensor) -> tuple[Tensor, Tensor]:
    """Return the earlier and the later of each two neighbouring blocks, which lie along dimension 3."""
    early, late = blocks_M.unflatten(3, (-1, 2)).unbind(4)
    return early, late
