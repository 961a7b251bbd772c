"""The slow twin of the dense scan: the definition itself, one token of one row at a time.

Shape letters: B batch rows, T tokens, N states, U distinct matrices.
"""

from __future__ import annotations

import torch
from torch import Tensor


def dense_reference(table_UNN: Tensor, index_BT: Tensor, x_BTN: Tensor, state_BN: Tensor) -> Tensor:
    """Return what `dense_scan` does: the states [B, T, N] after each token."""
    rows = list[Tensor]()
    for index_T, x_TN, state_N in zip(index_BT, x_BTN, state_BN, strict=True):
        states = list[Tensor]()
        for index, x_N in zip(index_T.tolist(), x_TN, strict=True):
            state_N = table_UNN[index] @ state_N + x_N
            states.append(state_N)
        rows.append(torch.stack(states))
    return torch.stack(rows)
