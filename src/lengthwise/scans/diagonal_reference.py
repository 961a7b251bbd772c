"""The slow twin of the diagonal scan: the definition itself, one token at a time.

Shape letters: B batch rows, T tokens, P states.
"""

from __future__ import annotations

import torch
from torch import Tensor


def diagonal_reference(decay_P: Tensor, x_BTP: Tensor, state_BP: Tensor) -> Tensor:
    """Return what `diagonal_scan` does: the states [B, T, P] after each token."""
    states = list[Tensor]()
    for x_BP in x_BTP.unbind(1):
        state_BP = decay_P * state_BP + x_BP
        states.append(state_BP)
    return torch.stack(states, 1)
