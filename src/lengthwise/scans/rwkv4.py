"""The weighted mean of all earlier values that RWKV-4 has in place of attention.

The sums above and below the fraction are of terms ``exp(log weight)`` without a bound. They are stored divided by
``exp(maximum)``, where the maximum is the largest log weight of any term so far, so that every factor is at most one.

Shape letters: B batch rows, T tokens, D channels, 2 for numerators and denominators.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.scans.checks import check_shapes
from lengthwise.scans.chunks import carry, precision
from lengthwise.scans.xlstm import running_maximum


class WeightedMemory(NamedTuple):
    """State of `weighted_scan`; zeros with a maximum of -1e30 hold nothing."""

    numerator_BD: Tensor
    denominator_BD: Tensor
    maximum_BD: Tensor


def weighted_scan(
    k_BTD: Tensor, v_BTD: Tensor, log_decay_D: Tensor, bonus_D: Tensor, memory: WeightedMemory
) -> tuple[Tensor, WeightedMemory]:
    """Return for each token the mean of the values so far, weighted by ``exp(k_j + (t - 1 - j) log_decay)``.

    The token's own weight is ``exp(k_t + bonus)``. A mean does not depend on what its two sums were divided by, so the
    maxima are constants to the gradient of the outputs; that of the last memory goes through its maximum as well.

    Args:
        k_BTD: log weights, T at least 1.
        v_BTD: values.
        log_decay_D: what a token adds to all earlier log weights, at most 0; minus infinity forgets them.
        bonus_D: what is added to a token's own log weight while it is read.
        memory: the memory before the first token.

    Returns:
        Outputs [B, T, D] in the dtype of the values, and the memory after the last token, in float32 at least.

    Raises:
        InputError: the shapes do not go together, or there are no tokens.

    Source: Peng et al. 2023 (RWKV), equation 16, stabilised as in its appendix D.

    Example:
        >>> memory = WeightedMemory(torch.zeros(2, 3), torch.zeros(2, 3), torch.full((2, 3), -1e30))
        >>> k_BTD, v_BTD = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
        >>> y_BTD, memory = weighted_scan(k_BTD, v_BTD, -torch.ones(3), torch.ones(3), memory)
        >>> y_BTD.shape, memory.maximum_BD.shape
        (torch.Size([2, 5, 3]), torch.Size([2, 3]))
    """
    check_shapes(k_BTD=k_BTD, v_BTD=v_BTD, log_decay_D=log_decay_D, bonus_D=bonus_D, **memory._asdict())
    dtype, T = precision(k_BTD, v_BTD, log_decay_D, bonus_D, *memory), k_BTD.shape[1]
    k_BTD, value_BTD, log_decay_D, bonus_D = (x.to(dtype) for x in (k_BTD, v_BTD, log_decay_D, bonus_D))
    numerator_BD, denominator_BD, maximum_BD = (entry.to(dtype) for entry in memory)
    after_BTD = running_maximum(k_BTD.detach(), log_decay_D.detach().expand_as(k_BTD), maximum_BD.detach())
    before_BTD = torch.cat([maximum_BD[:, None], after_BTD[:, :-1]], 1)

    decay_BTD, own_BTD = (before_BTD + log_decay_D - after_BTD).exp(), (k_BTD - after_BTD).exp()
    own_BT2D, start_B2D = torch.stack([own_BTD * value_BTD, own_BTD], 2), torch.stack([numerator_BD, denominator_BD], 1)
    earlier_BT2D, sums_B2D = carry(decay_BTD[:, :, None], own_BT2D, start_B2D)

    read_BTD = k_BTD + bonus_D
    top_BTD = torch.maximum(before_BTD, read_BTD).detach()
    old_BTD, own_BTD = (before_BTD - top_BTD).exp(), (read_BTD - top_BTD).exp()
    above_BTD, below_BTD = earlier_BT2D.unbind(2)
    y_BTD = torch.addcmul(old_BTD * above_BTD, own_BTD, value_BTD) / torch.addcmul(own_BTD, old_BTD, below_BTD)

    ages_T = torch.arange(T - 1, -1, -1, dtype=dtype, device=k_BTD.device)
    # The last token has not decayed yet, and zero times the logarithm of a decay of zero is not zero.
    aged_TD = F.pad(ages_T[:-1, None] * log_decay_D, (0, 0, 0, 1))
    last_BD = torch.maximum(maximum_BD + T * log_decay_D, (k_BTD + aged_TD).amax(1))
    numerator_BD, denominator_BD = (sums_B2D * (after_BTD[:, -1] - last_BD).exp()[:, None]).unbind(1)
    return y_BTD.to(v_BTD.dtype), WeightedMemory(numerator_BD, denominator_BD, last_BD)
