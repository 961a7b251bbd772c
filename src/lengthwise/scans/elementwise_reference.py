"""The slow twins of the elementwise scans: the definitions themselves, one token at a time.

Shape letters: B batch rows, T tokens, D channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lengthwise.scans.weighted import WeightedMemory


def elementwise_reference(decay_BTD: Tensor, x_BTD: Tensor, state_BD: Tensor) -> Tensor:
    """Return what `elementwise_scan` does: the states [B, T, D] after each token."""
    states = list[Tensor]()
    for decay_BD, x_BD in zip(decay_BTD.unbind(1), x_BTD.unbind(1), strict=True):
        state_BD = decay_BD * state_BD + x_BD
        states.append(state_BD)
    return torch.stack(states, 1)


def weighted_reference(
    k_BTD: Tensor, v_BTD: Tensor, log_decay_D: Tensor, bonus_D: Tensor, memory: WeightedMemory
) -> tuple[Tensor, WeightedMemory]:
    """Return what `weighted_scan` does, with the sums divided anew by the largest term after each token."""
    numerator, denominator, maximum = memory
    outputs = list[Tensor]()
    for k_BD, v_BD in zip(k_BTD.unbind(1), v_BTD.unbind(1), strict=True):
        top = torch.maximum(maximum, k_BD + bonus_D)
        old, own = (maximum - top).exp(), (k_BD + bonus_D - top).exp()
        outputs.append((old * numerator + own * v_BD) / (old * denominator + own))
        top = torch.maximum(maximum + log_decay_D, k_BD)
        old, own = (maximum + log_decay_D - top).exp(), (k_BD - top).exp()
        numerator, denominator, maximum = old * numerator + own * v_BD, old * denominator + own, top
    return torch.stack(outputs, 1), WeightedMemory(numerator, denominator, maximum)
