"""The linear recurrence whose decay differs by channel and token, element by element (RG-LRU, RWKV-4).

Shape letters: B batch rows, T tokens, D channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lengthwise.scans.checks import check_dtypes, check_shapes
from lengthwise.scans.chunks import carry


def elementwise_scan(decay_BTD: Tensor, x_BTD: Tensor, state_BD: Tensor) -> Tensor:
    """Run ``h_t = decay_t h_{t-1} + x_t`` over time, elementwise, and return every state.

    One operation a token forward and one backward: there is nothing between two tokens that a library of matrix
    products could do faster.

    Args:
        decay_BTD: decays of every token, in the dtype of all other arguments.
        x_BTD: what each token adds, T at least 1.
        state_BD: the state before the first token.

    Returns:
        [B, T, D] the states after each token. Differentiable any number of times in every argument.

    Raises:
        InputError: the shapes or dtypes do not go together, or there are no tokens.

    Source: De et al. 2024 (Griffin), section 2.4, the recurrence of equation 4.

    Example:
        >>> elementwise_scan(torch.rand(2, 5, 3), torch.randn(2, 5, 3), torch.zeros(2, 3)).shape
        torch.Size([2, 5, 3])
    """
    check_shapes(x_BTD=x_BTD, decay_BTD=decay_BTD, state_BD=state_BD)
    check_dtypes(x_BTD=x_BTD, decay_BTD=decay_BTD, state_BD=state_BD)
    before_BTD, after_BD = carry(decay_BTD, x_BTD, state_BD)
    return torch.cat([before_BTD[:, 1:], after_BD[:, None]], 1)
