"""The slow twin of the chunked delta rule: the recurrence itself, one token at a time.

Shape letters: B batch rows, T tokens, H heads, K key channels, V value channels.
"""

from __future__ import annotations

import torch
from torch import Tensor


def delta_scan_reference(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    beta_BTH: Tensor,
    log_decay_BTH: Tensor | None = None,
    state_BHKV: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return what `delta_scan` returns: decay the state, read what the key holds, write the difference, query.

    Args:
        q_BTHK: [B, T, H, K] queries.
        k_BTHK: [B, T, H, K] keys.
        v_BTHV: [B, T, H, V] values.
        beta_BTH: [B, T, H] step sizes.
        log_decay_BTH: [B, T, H] logarithms of the decays; no decay by default.
        state_BHKV: [B, H, K, V] the state before the first token; zeros by default.

    Returns:
        [B, T, H, V] outputs and the state after the last token.
    """
    B, T, H, K = k_BTHK.shape
    state = v_BTHV.new_zeros(B, H, K, v_BTHV.shape[-1]) if state_BHKV is None else state_BHKV
    outputs: list[Tensor] = []
    for t in range(T):
        q, k, v, beta = q_BTHK[:, t], k_BTHK[:, t], v_BTHV[:, t], beta_BTH[:, t]
        if log_decay_BTH is not None:
            state = state * log_decay_BTH[:, t, :, None, None].exp()
        held = torch.einsum("bhk,bhkv->bhv", k, state)
        state = state + torch.einsum("bh,bhk,bhv->bhkv", beta, k, v - held)
        outputs.append(torch.einsum("bhk,bhkv->bhv", q, state))
    return torch.stack(outputs, 1), state
