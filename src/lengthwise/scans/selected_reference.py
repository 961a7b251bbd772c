"""The slow twin of the selected scan: the definition itself, one token at a time.

Shape letters: B batch rows, T tokens, N states, K matrices of the dictionary.
"""

from __future__ import annotations

import torch
from torch import Tensor


def selected_reference(
    dictionary_KNN: Tensor, weight_BTK: Tensor, x_BTN: Tensor, state_BN: Tensor, *, norm: float = 1.2
) -> Tensor:
    """Return what `selected_scan` does: the states [B, T, N] after each token."""
    states = list[Tensor]()
    for weight_BK, x_BN in zip(weight_BTK.unbind(1), x_BTN.unbind(1), strict=True):
        blend_BNN = torch.einsum("bk,kij->bij", weight_BK, dictionary_KNN)
        transition_BNN = blend_BNN / blend_BNN.abs().pow(norm).sum(1, keepdim=True).pow(1 / norm)
        state_BN = torch.einsum("bij,bj->bi", transition_BNN, state_BN) + x_BN
        states.append(state_BN)
    return torch.stack(states, 1)
