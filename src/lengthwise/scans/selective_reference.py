"""The slow twin of the selective scan: the recurrence itself, one token at a time.

Shape letters: B batch rows, T tokens, D channels, N states of a channel.
"""

from __future__ import annotations

import torch
from torch import Tensor


def selective_scan_reference(
    u_BTD: Tensor,
    dt_BTD: Tensor,
    A_DN: Tensor,
    B_BTN: Tensor,
    C_BTN: Tensor,
    skip_D: Tensor | None = None,
    state_BDN: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return what `selective_scan` returns: decay the state, write the input, read.

    Args:
        u_BTD: [B, T, D] inputs.
        dt_BTD: [B, T, D] positive step sizes.
        A_DN: [D, N] negative rates.
        B_BTN: [B, T, N] how an input is written.
        C_BTN: [B, T, N] how the state is read.
        skip_D: [D] weight of the input in the output; none by default.
        state_BDN: [B, D, N] the state before the first token; zeros by default.

    Returns:
        [B, T, D] outputs and the state after the last token.
    """
    state = u_BTD.new_zeros(len(u_BTD), *A_DN.shape) if state_BDN is None else state_BDN
    outputs: list[Tensor] = []
    for u_BD, dt_BD, B_BN, C_BN in zip(*(x.unbind(1) for x in (u_BTD, dt_BTD, B_BTN, C_BTN)), strict=True):
        state = (dt_BD[..., None] * A_DN).exp() * state + (dt_BD * u_BD)[..., None] * B_BN[:, None]
        outputs.append((state @ C_BN[..., None])[..., 0] + (0 if skip_D is None else skip_D * u_BD))
    return torch.stack(outputs, 1), state
