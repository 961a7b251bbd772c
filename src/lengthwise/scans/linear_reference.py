"""The slow twins of the linear recurrences with decay: the definitions themselves, one token at a time.

Shape letters: B batch rows, T tokens, H heads, G groups of heads, K key channels, V value channels.
"""

from __future__ import annotations

import torch
from torch import Tensor


def linear_reference(
    q_BTGK: Tensor, k_BTGK: Tensor, v_BTHV: Tensor, log_decay_BTH: Tensor, state_BHKV: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return what `linear_scan` does: outputs [B, T, H, V] and the final state [B, H, K, V]."""
    heads = v_BTHV.shape[2]
    return gated_linear_reference(
        q_BTGK.repeat_interleave(heads // q_BTGK.shape[2], 2),
        k_BTGK.repeat_interleave(heads // k_BTGK.shape[2], 2),
        v_BTHV,
        log_decay_BTH[..., None].expand(*log_decay_BTH.shape, q_BTGK.shape[-1]),
        state_BHKV,
    )


def gated_linear_reference(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    log_decay_BTHK: Tensor,
    state_BHKV: Tensor | None = None,
    *,
    bonus_HK: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return what `gated_linear_scan` does: outputs [B, T, H, V] and the final state [B, H, K, V]."""
    batch_size, length, heads, keys = q_BTHK.shape
    state = v_BTHV.new_zeros(batch_size, heads, keys, v_BTHV.shape[-1]) if state_BHKV is None else state_BHKV
    outputs = list[Tensor]()
    for t in range(length):
        written = k_BTHK[:, t, :, :, None] * v_BTHV[:, t, :, None, :]
        decayed = log_decay_BTHK[:, t, :, :, None].exp() * state
        read = decayed + written if bonus_HK is None else state + bonus_HK[..., None] * written
        outputs.append((q_BTHK[:, t, :, :, None] * read).sum(2))
        state = decayed + written
    return torch.stack(outputs, 1), state
