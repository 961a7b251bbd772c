"""Nested reductions: sequences with brackets, of which no join crosses one that is not matched on its own side.

Shape letters: B rows, T positions, N items of one depth over all rows, S pairs of one depth, D... an element's shape.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.scans.tree import Operator

Inside: TypeAlias = Literal["left", "balanced"]
"""Brackets of the items of one pair: a left fold, as many joins deep as there are items, or a balanced tree."""


def nested_reduce(operator: Operator, x_BTD: Tensor, turn_BT: Tensor, inside: Inside = "left") -> Tensor:
    """Reduce each row to one value: first what is inside the innermost brackets, then what is around them.

    The items of a pair are its opening bracket, what stands directly inside it, values of inner pairs among that, and
    its closing bracket. An opening bracket that is never closed is closed by the end of the row; a closing bracket
    that was never opened is an item like any other. Kinds of brackets do not matter: ``[ )`` is a pair. A row of T
    elements takes T - 1 joins.

    Args:
        operator: joins left and right values [N, D...].
        x_BTD: [B, T, D...] elements, T at least 1.
        turn_BT: [B, T] 1 where an element opens a pair, -1 where it closes one, 0 elsewhere.
        inside: how the items of a pair are joined.

    Returns:
        [B, D...] the value of each row.

    Raises:
        InputError: there is no element, or ``inside`` is unknown.

    Example:
        >>> x = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> nested_reduce(lambda left, right: left - right, x, torch.tensor([[0, 1, 0, -1, 0]]))
        tensor([1.])
    """
    if x_BTD.ndim < 2 or not x_BTD.shape[1]:
        raise InputError(f"expected elements of shape [B, T, ...] with T at least 1, got {list(x_BTD.shape)}")
    if inside not in get_args(Inside):
        raise InputError(f"unknown order inside brackets {inside!r}; known: {', '.join(get_args(Inside))}")
    fold = _fold_left if inside == "left" else _fold_balanced
    depth, turn = item_depths(turn_BT).flatten(), turn_BT.flatten()
    elements, length = x_BTD.flatten(0, 1), x_BTD.shape[1]
    by_depth = depth.argsort(stable=True).split(depth.bincount().tolist())
    below_S, values = depth[:0], elements[:0]
    for level, own_N in reversed(list(enumerate(by_depth))):
        place_N, order_N = torch.cat([own_N, below_S]).sort()
        items = torch.cat([elements[own_N], values])[order_N]
        # The outermost items of a row are as those of a pair; any other pair begins with what opens it.
        opens_N, row_N = (order_N < len(own_N)) & (turn[place_N] == 1), place_N // length
        begins_N = opens_N if level else row_N.diff(prepend=row_N[:1] - 1) != 0
        first_S = begins_N.nonzero()[:, 0]
        size_S = torch.diff(first_S, append=first_S.new_tensor([len(place_N)]))
        values, below_S = fold(operator, items, first_S, size_S), place_N[first_S + size_S - 1]
    return values


def item_depths(turn_BT: Tensor) -> Tensor:
    """Return [B, T] how many pairs each element stands in, the one that it opens or closes among them."""
    count_BT = turn_BT.cumsum(1)
    inside_BT = count_BT - count_BT.cummin(1).values.clamp(max=0)
    before_BT = torch.nn.functional.pad(inside_BT, (1, -1))
    return torch.where(turn_BT < 0, before_BT, inside_BT)


def _fold_left(operator: Operator, items: Tensor, first_S: Tensor, size_S: Tensor) -> Tensor:
    """Return [S, D...] the left folds of runs of items [N, D...]."""
    size_S, order_S = size_S.sort(descending=True, stable=True)
    first_S = first_S[order_S]
    folded, ended = items[first_S], list[Tensor]()
    for place in range(1, int(size_S[0])):
        going = int((size_S > place).sum())
        ended.append(folded[going:])
        folded = operator(folded[:going], items[first_S[:going] + place])
    return torch.cat([folded, *reversed(ended)])[order_S.argsort()]


def _fold_balanced(operator: Operator, items: Tensor, first_S: Tensor, size_S: Tensor) -> Tensor:
    """Return [S, D...] the balanced reductions of runs of items [N, D...]; a lone last item is carried up."""
    while len(items) > len(size_S):
        within_N = torch.arange(len(items), device=items.device) - first_S.repeat_interleave(size_S)
        left = (within_N % 2 == 0).nonzero()[:, 0]
        paired = within_N[left] + 1 < size_S.repeat_interleave(size_S)[left]
        joined = operator(items[left[paired]], items[left[paired] + 1])
        items = items[left].index_copy(0, paired.nonzero()[:, 0], joined)
        size_S = (size_S + 1) // 2
        first_S = size_S.cumsum(0) - size_S
    return items
