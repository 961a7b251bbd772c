"""The linear recurrence with a dense transition matrix a token, drawn from a table of distinct ones.

Shape letters: B batch rows, T tokens, N states, U distinct matrices.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.scans.tree import tree_scan

Method = Literal["loop", "tree"]
"""How time is walked: ``loop`` takes T steps of N x N work each, ``tree`` about 2 log2 T steps of N x N x N a token."""

FEW = 16
"""Up to so many distinct matrices, multiplying by all of them and choosing is cheaper than copying one for each row."""


def dense_scan(
    table_UNN: Tensor, index_BT: Tensor, x_BTN: Tensor, state_BN: Tensor, *, method: Method = "loop"
) -> Tensor:
    """Run ``h_t = A[index_t] h_{t-1} + x_t`` over time and return every state.

    Args:
        table_UNN: the distinct transition matrices.
        index_BT: which of them each token applies.
        x_BTN: what each token adds, T at least 1.
        state_BN: the state before the first token.
        method: how time is walked; results differ by rounding only. A tree holds B x T x N x N numbers.

    Returns:
        [B, T, N] the states after each token.

    Raises:
        InputError: the shapes do not go together, or there are no tokens.

    Example:
        >>> table_UNN, index_BT = torch.eye(3)[torch.randperm(3)][None], torch.zeros(2, 5, dtype=torch.int64)
        >>> dense_scan(table_UNN, index_BT, torch.randn(2, 5, 3), torch.zeros(2, 3)).shape
        torch.Size([2, 5, 3])
    """
    _check(table_UNN, index_BT, x_BTN, state_BN)
    if method == "tree":
        return _tree(table_UNN[index_BT], x_BTN, state_BN)
    if len(table_UNN) <= FEW:
        return _loop_over_few(table_UNN, index_BT, x_BTN, state_BN)
    return _loop(table_UNN[index_BT], x_BTN, state_BN)


def _check(table_UNN: Tensor, index_BT: Tensor, x_BTN: Tensor, state_BN: Tensor) -> None:
    if x_BTN.ndim != 3 or not x_BTN.shape[1]:
        raise InputError(f"expected x_BTN [B, T, N] with at least one token, got {list(x_BTN.shape)}")
    rows, tokens, states = x_BTN.shape
    expected = {
        "table_UNN": (table_UNN, (len(table_UNN), states, states)),
        "index_BT": (index_BT, (rows, tokens)),
        "state_BN": (state_BN, (rows, states)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor.shape != shape:
            raise InputError(f"{name} must be {list(shape)} beside x_BTN {list(x_BTN.shape)}, not {list(tensor.shape)}")


def _loop_over_few(table_UNN: Tensor, index_BT: Tensor, x_BTN: Tensor, state_BN: Tensor) -> Tensor:
    """Multiply each state by all matrices in one product and keep the one that was asked for."""
    B, _, N = x_BTN.shape
    all_NX = table_UNN.flatten(0, 1).t()
    # Where the U results of the rows lie one after another, this is the place of the chosen one.
    place_TB = (index_BT + len(table_UNN) * torch.arange(B, device=index_BT.device)[:, None]).t()
    states = list[Tensor]()
    for place_B, x_BN in zip(place_TB.contiguous(), x_BTN.unbind(1), strict=True):
        state_BN = (state_BN @ all_NX).view(-1, N).index_select(0, place_B) + x_BN
        states.append(state_BN)
    return torch.stack(states, 1)


def _loop(transition_BTNN: Tensor, x_BTN: Tensor, state_BN: Tensor) -> Tensor:
    states = list[Tensor]()
    for transition_BNN, x_BN in zip(transition_BTNN.unbind(1), x_BTN.unbind(1), strict=True):
        state_BN = torch.baddbmm(x_BN[..., None], transition_BNN, state_BN[..., None])[..., 0]
        states.append(state_BN)
    return torch.stack(states, 1)


def _tree(transition_BTNN: Tensor, x_BTN: Tensor, state_BN: Tensor) -> Tensor:
    """Compose the maps ``h -> A h + x``, written as [A x]; the start is the map that always gives it."""
    maps_BTNX = torch.cat([transition_BTNN, x_BTN[..., None]], -1)
    start_BNX = torch.cat([torch.zeros_like(transition_BTNN[:, 0]), state_BN[..., None]], -1)
    return tree_scan(_compose, maps_BTNX, initial_BD=start_BNX)[..., -1]


def _compose(first: Tensor, second: Tensor) -> Tensor:
    transition, added = second[..., :-1], second[..., -1:]
    product = transition @ first
    return torch.cat([product[..., :-1], product[..., -1:] + added], -1)
