"""Reductions over a balanced binary tree, for any binary operator on tensors.

Nothing here needs the operator to be associative, so the brackets are part of each contract:

- `tree_reduce` pairs neighbours level by level. With the lone last element of an odd level carried up,
  it folds the dyadic blocks of the length from the *right*: seven elements are (0123)((45)6).
- `tree_scan`, in `online`, folds the same blocks from the *left*: the seventh prefix is ((0123)(45))6. That is
  what makes all prefixes cost two applications an element, and what an online counter can follow. The two
  agree where the length has at most two set bits.

Shape letters: B batch rows, T elements in time, M pairs, or nodes of a level, P pairs of one, N lengths asked for, or
elements of all rows, D... any shape of one element.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

from lengthwise.errors import InputError

if TYPE_CHECKING:
    from lengthwise.scans.shared import SharedNodes

Operator = Callable[[Tensor, Tensor], Tensor]
"""left [B, M, D...], right [B, M, D...] -> [B, M, D...], each pair on its own.

An operator with a method ``neighbours``, [B, 2M, D...] -> [B, M, D...], joins elements where they lie, 0 and 1, 2 and 3
and so on, which spares a copy of each side.
"""

Odd = Literal["carry", "zero", "pad"]
"""What becomes of the lone last element of an odd level.

``carry``: it goes up unchanged, so n elements cost exactly n - 1 applications. ``zero``: it is joined with a
zero on its left. ``pad``: the sequence is padded on its right to a power of two with a given element.
"""


def random_bracketing(length: int, generator: torch.Generator, probability: float = 0.5) -> list[bool]:
    """Draw for each level whether its first element is carried up unpaired.

    Training over such brackets biases an operator towards associativity.

    Args:
        length: number of elements to reduce.
        generator: source of randomness, on the CPU.
        probability: chance that a level carries its first element.

    Returns:
        One flag a level; as many levels as the reduction will have.
    """
    flags: list[bool] = []
    count = length
    while count > 1:
        draw = float(torch.rand((), generator=generator))
        flags.append(count > 2 and draw < probability)
        count = count // 2 + 1 if flags[-1] else (count + 1) // 2
    return flags


def tree_reduce(
    operator: Operator,
    x_BTD: Tensor,
    *,
    lengths_B: Tensor | None = None,
    odd: Odd = "carry",
    pad_D: Tensor | None = None,
    carry_first: Sequence[bool] = (),
) -> Tensor:
    """Reduce each row to one element over a balanced binary tree of depth ceil(log2 T).

    Args:
        operator: joins left and right neighbours; the same at every level.
        x_BTD: [B, T, D...] elements, T at least 1.
        lengths_B: [B] integers; row b holds ``lengths_B[b]`` elements and padding of any finite value. The
            result is that of the row alone. All T by default.
        odd: what becomes of the lone last element of an odd level.
        pad_D: [D...] the element that pads to a power of two; needed for ``odd="pad"`` only.
        carry_first: for each level, from the leaves up, whether its first element goes up unpaired
            (see `random_bracketing`); levels beyond the end of the sequence pair from the start.

    Returns:
        [B, D...] the value at the root.

    Raises:
        InputError: there is no element, a length is outside 1..T, or the padding element is missing.

    Source: Pert, Alrajeh, Russo 2026 (log-depth recurrent unit); the reading ``carry`` is ours.

    Example:
        >>> import torch
        >>> tree_reduce(torch.add, torch.arange(7.0).view(1, 7, 1)).item()
        21.0
    """
    check_elements(x_BTD, odd, pad_D)
    if lengths_B is not None:
        leaves_ND, counts_B = packed(x_BTD, lengths_B), lengths_B.to(x_BTD.device)
        levels = ragged_levels(operator, leaves_ND, counts_B, odd=odd, pad_D=pad_D, carry_first=carry_first)
        return deque(levels, maxlen=1)[0][0]
    flags = chain(carry_first, repeat(False))
    while x_BTD.shape[1] > 1:
        first = int(next(flags) and x_BTD.shape[1] > 2)
        paired = first + (x_BTD.shape[1] - first) // 2 * 2
        joined = [x_BTD[:, :first], join_neighbours(operator, x_BTD[:, first:paired])]
        if paired < x_BTD.shape[1]:
            joined.append(raise_lone(operator, x_BTD[:, paired:], odd, pad_D))
        x_BTD = torch.cat(joined, 1) if first or len(joined) > 2 else joined[1]
        if pad_D is not None:
            pad_D = join_pads(operator, pad_D)
    return x_BTD[:, 0]


def ragged_levels(
    operator: Operator,
    x_ND: Tensor,
    counts_B: Tensor,
    *,
    odd: Odd = "carry",
    pad_D: Tensor | None = None,
    carry_first: Sequence[bool] = (),
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the levels of the trees over rows of different lengths, from the leaves to the roots.

    The nodes of all rows lie one after the other, so that no row is padded to the longest.

    Args:
        operator: joins left and right neighbours.
        x_ND: [N, D...] the elements of the first row, then those of the second, and so on.
        counts_B: [B] how many elements each row has, at least 1.
        odd: as in `tree_reduce`.
        pad_D: as in `tree_reduce`.
        carry_first: as in `tree_reduce`.

    Yields:
        The nodes [M, D...] of a level, and how many of them are each row's, [B].
    """
    flags, rows_B = chain(carry_first, repeat(False)), torch.arange(len(counts_B), device=counts_B.device)
    yield x_ND, counts_B
    while int(counts_B.max()) > 1:
        first_B = ((counts_B > 2) & next(flags)).long()
        above_B = first_B + (counts_B - first_B + 1) // 2
        row_M = rows_B.repeat_interleave(above_B)
        place_M = torch.arange(len(row_M), device=row_M.device) - (above_B.cumsum(0) - above_B)[row_M]
        left_M, count_M = (2 * place_M - first_B[row_M]).clamp(min=0), counts_B[row_M]
        carried_M = (count_M == 1) | ((first_B[row_M] == 1) & (place_M == 0))
        paired_M = ~carried_M & (left_M + 1 < count_M)
        left_M += (counts_B.cumsum(0) - counts_B)[row_M]
        pairs_P = left_M[paired_M]
        sides_ND = x_ND.index_select(0, torch.stack([pairs_P, pairs_P + 1], 1).flatten())
        others_ND = x_ND.index_select(0, left_M[~paired_M])
        if odd != "carry" and bool((lone := ~carried_M[~paired_M]).any()):
            raised = raise_lone(operator, others_ND[lone][None], odd, pad_D)[0]
            others_ND = others_ND.index_copy(0, lone.nonzero()[:, 0], raised)
        # Where each node of the new level stands among those that were joined, and then the others.
        order_M = torch.where(paired_M, paired_M.cumsum(0) - 1, (~paired_M).cumsum(0) - 1 + len(pairs_P))
        joined_PD = join_neighbours(operator, sides_ND[None])[0]
        x_ND, counts_B = torch.cat([joined_PD, others_ND]).index_select(0, order_M), above_B
        if pad_D is not None:
            pad_D = join_pads(operator, pad_D)
        yield x_ND, counts_B


def packed(x_BTD: Tensor, lengths_B: Tensor) -> Tensor:
    """Return the elements [N, D...] of rows [B, T, D...] of different lengths, one row after the other.

    Raises:
        InputError: a length is outside 1..T.
    """
    rows, limit = x_BTD.shape[:2]
    if lengths_B.shape != (rows,) or int(lengths_B.min()) < 1 or int(lengths_B.max()) > limit:
        raise InputError(f"expected {rows} lengths in 1..{limit}, got {lengths_B.tolist()[:8]}")
    return x_BTD[torch.arange(limit, device=x_BTD.device) < lengths_B.to(x_BTD.device)[:, None]]


def join_neighbours(operator: Operator, x_BTD: Tensor) -> Tensor:
    """Join [B, 2M, D...] elements 0 and 1, 2 and 3 and so on to [B, M, D...]."""
    if neighbours := getattr(operator, "neighbours", None):
        return neighbours(x_BTD)
    return operator(x_BTD[:, 0::2], x_BTD[:, 1::2])


def join_blocks(operator: Operator, x_BTD: Tensor) -> Tensor:
    """Join neighbours as `join_neighbours` does, of any number of elements; a lone last one is left out."""
    pairs = x_BTD.shape[1] // 2
    return join_neighbours(operator, x_BTD[:, : 2 * pairs]) if pairs else x_BTD[:, :0]


def tree_reduce_prefixes(
    operator: Operator,
    x_BTD: Tensor | SharedNodes,
    lengths: Sequence[int],
    *,
    odd: Odd = "carry",
    pad_D: Tensor | None = None,
) -> Tensor:
    """Return `tree_reduce` of many prefixes at once, sharing their dyadic blocks.

    The blocks cost T - 1 applications once; each length then adds only its own right-hand joins, at most
    one a level.

    Args:
        operator: joins left and right values.
        x_BTD: [B, T, D...] elements, as a tensor or as `SharedNodes`.
        lengths: the prefixes asked for, each in 1..T.
        odd: what becomes of the lone last element of an odd level.
        pad_D: [D...] the padding element, for ``odd="pad"`` only.

    Returns:
        [B, N, D...] the root of each prefix, in the order of `lengths`.

    Raises:
        InputError: a length is outside 1..T, or the padding element is missing.
    """
    first_B1D = x_BTD[:, :1]
    check_elements(first_B1D, odd, pad_D)
    left_N = torch.as_tensor(lengths, dtype=torch.int64, device=first_B1D.device)
    if left_N.numel() == 0 or int(left_N.min()) < 1 or int(left_N.max()) > x_BTD.shape[1]:
        raise InputError(f"prefix lengths must lie in 1..{x_BTD.shape[1]}; got {list(lengths)[:8]}")
    # From the leaves up, each length folds in the last of its blocks where there is an odd number of them.
    started_N = torch.zeros_like(left_N, dtype=torch.bool)
    value_BND = first_B1D.new_zeros(len(first_B1D), len(left_N), *first_B1D.shape[2:])
    blocks = x_BTD
    while not bool((started_N & (left_N == 0)).all()):
        last_N = left_N % 2 == 1
        join_N, start_N = last_N & started_N, last_N & ~started_N
        raise_N = (start_N | (~last_N & started_N)) & (left_N + started_N != 1)
        if join_N.any():
            block = blocks[:, left_N[join_N] - 1]
            value_BND = _put(value_BND, join_N, operator(block, value_BND[:, join_N]))
        if start_N.any():
            value_BND = _put(value_BND, start_N, blocks[:, left_N[start_N] - 1])
        if odd != "carry" and raise_N.any():
            value_BND = _put(value_BND, raise_N, raise_lone(operator, value_BND[:, raise_N], odd, pad_D))
        if pad_D is not None:
            pad_D = join_pads(operator, pad_D)
        started_N, left_N = started_N | last_N, left_N // 2
        blocks = join_blocks(operator, blocks) if isinstance(blocks, Tensor) else blocks.blocks(operator)
    return value_BND


def _put(value_BND: Tensor, where_N: Tensor, values: Tensor) -> Tensor:
    return value_BND.index_copy(1, where_N.nonzero().flatten(), values)


def raise_lone(operator: Operator, lone: Tensor, odd: Odd, pad_D: Tensor | None) -> Tensor:
    """Take lone elements [B, M, D...] up one level in the chosen reading."""
    if odd == "zero":
        return operator(torch.zeros_like(lone), lone)
    if odd == "pad" and pad_D is not None:
        return operator(lone, pad_D.expand_as(lone))
    return lone


def join_pads(operator: Operator, pad_D: Tensor) -> Tensor:
    """Return the padding element of the next level: two of this one, joined."""
    pad = pad_D[None, None]
    return operator(pad, pad)[0, 0]


def check_elements(x_BTD: Tensor, odd: Odd, pad_D: Tensor | None) -> None:
    """Refuse what cannot be reduced.

    Raises:
        InputError: there is no element, an unknown reading of odd levels, or no padding element for it.
    """
    if x_BTD.ndim < 2 or x_BTD.shape[1] == 0:
        raise InputError(f"expected elements of shape [B, T, ...] with T at least 1, got {list(x_BTD.shape)}")
    if odd not in get_args(Odd):
        raise InputError(f"unknown reading of odd levels {odd!r}; known: {', '.join(get_args(Odd))}")
    if (odd == "pad") != (pad_D is not None):
        raise InputError("give a padding element with odd='pad', and only then")
