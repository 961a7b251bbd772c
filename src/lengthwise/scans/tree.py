"""Reductions over a balanced binary tree, for any binary operator on tensors.

Nothing here needs the operator to be associative, so the brackets are part of each contract:

- `tree_reduce` pairs neighbours level by level. With the lone last element of an odd level carried up,
  it folds the dyadic blocks of the length from the *right*: seven elements are (0123)((45)6).
- `tree_scan`, in `online`, folds the same blocks from the *left*: the seventh prefix is ((0123)(45))6. That is
  what makes all prefixes cost two applications an element, and what an online counter can follow. The two
  agree where the length has at most two set bits.

Shape letters: B batch rows, T elements in time, M pairs, N lengths asked for, D... any shape of one element.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor

from lengthwise.errors import InputError

Operator = Callable[[Tensor, Tensor], Tensor]
"""left [B, M, D...], right [B, M, D...] -> [B, M, D...], each pair on its own."""


class Columns(Protocol):
    """Nodes of a level, [B, M, D...], from which columns can be taken."""

    def __getitem__(self, key: tuple[slice, slice | Tensor], /) -> Tensor:
        """Return the chosen columns of all rows as a tensor."""
        ...


@runtime_checkable
class NeighbourOperator(Protocol):
    """An operator that can also read neighbours where they lie, which spares a copy of each side."""

    def neighbours(self, x_BTD: Tensor) -> Tensor:
        """Join elements 0 and 1, 2 and 3 and so on: [B, 2M, D...] -> [B, M, D...]."""
        ...


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
    remaining_B = None if lengths_B is None else _checked_lengths(lengths_B, x_BTD)
    level = 0
    while x_BTD.shape[1] > 1:
        first = int(level < len(carry_first) and carry_first[level] and x_BTD.shape[1] > 2)
        x_BTD, remaining_B = _ascend(operator, x_BTD, remaining_B, odd, pad_D, first)
        if pad_D is not None:
            pad_D = join_pads(operator, pad_D)
        level += 1
    return x_BTD[:, 0]


def _ascend(
    operator: Operator, x_BTD: Tensor, remaining_B: Tensor | None, odd: Odd, pad_D: Tensor | None, first: int
) -> tuple[Tensor, Tensor | None]:
    """One level: elements before `first` go up, the rest is paired, a lone last one does as `odd` says."""
    pairs = (x_BTD.shape[1] - first) // 2
    paired = first + 2 * pairs
    if remaining_B is None:
        joined = [join_neighbours(operator, x_BTD[:, first:paired])]
    else:
        left, right = x_BTD[:, first:paired:2], x_BTD[:, first + 1 : paired : 2]
        joined = [_join_ragged(operator, left, right, remaining_B - first, odd, pad_D)]
    if paired < x_BTD.shape[1]:
        lone = x_BTD[:, paired:]
        raised = raise_lone(operator, lone, odd, pad_D)
        if remaining_B is not None:
            finished = _over_elements(remaining_B - first <= 1, lone)
            raised = torch.where(finished, lone, raised)
        joined.append(raised)
    if first:
        joined.insert(0, x_BTD[:, :first])
    if remaining_B is not None:
        remaining_B = first + torch.div(remaining_B - first + 1, 2, rounding_mode="floor")
    return (joined[0] if len(joined) == 1 else torch.cat(joined, 1)), remaining_B


def _join_ragged(
    operator: Operator, left: Tensor, right: Tensor, count_B: Tensor, odd: Odd, pad_D: Tensor | None
) -> Tensor:
    """Join pairs where row b has only ``count_B[b]`` elements; padding never reaches a valid result."""
    index_M = torch.arange(left.shape[1], device=left.device)
    lone_BM = 2 * index_M == count_B[:, None] - 1
    lone = _over_elements(lone_BM, left)
    finished = _over_elements(lone_BM & (count_B[:, None] == 1), left)
    if odd == "zero":
        operands = torch.where(lone, torch.zeros_like(left), left), torch.where(lone, left, right)
    elif odd == "pad" and pad_D is not None:
        operands = left, torch.where(lone, pad_D.expand_as(right), right)
    else:
        operands, finished = (left, torch.where(lone, left, right)), lone
    return torch.where(finished, left, operator(*operands))


def join_neighbours(operator: Operator, x_BTD: Tensor) -> Tensor:
    """Join [B, 2M, D...] elements 0 and 1, 2 and 3 and so on to [B, M, D...]."""
    if isinstance(operator, NeighbourOperator):
        return operator.neighbours(x_BTD)
    return operator(x_BTD[:, 0::2], x_BTD[:, 1::2])


def tree_reduce_prefixes(
    operator: Operator,
    x_BTD: Tensor,
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
        x_BTD: [B, T, D...] elements.
        lengths: the prefixes asked for, each in 1..T.
        odd: what becomes of the lone last element of an odd level.
        pad_D: [D...] the padding element, for ``odd="pad"`` only.

    Returns:
        [B, N, D...] the root of each prefix, in the order of `lengths`.

    Raises:
        InputError: a length is outside 1..T, or the padding element is missing.
    """
    check_elements(x_BTD, odd, pad_D)
    wanted_N = torch.as_tensor(lengths, dtype=torch.int64, device=x_BTD.device)
    if wanted_N.numel() == 0 or int(wanted_N.min()) < 1 or int(wanted_N.max()) > x_BTD.shape[1]:
        raise InputError(f"prefix lengths must lie in 1..{x_BTD.shape[1]}; got {list(lengths)[:8]}")
    fold = RightFold(operator, wanted_N, odd, pad_D)
    blocks = x_BTD
    while not fold.finished:
        fold.ascend(blocks)
        paired = blocks[:, : blocks.shape[1] // 2 * 2]
        blocks = join_neighbours(operator, paired) if paired.shape[1] else paired
    return fold.value_BND


class RightFold:
    """Folds dyadic blocks from the right for many lengths at once, level by level from the leaves.

    Args:
        operator: joins left and right values.
        lengths_N: [N] the lengths, each at least 1.
        odd: what becomes of the lone last element of an odd level.
        pad_D: [D...] the padding element, for ``odd="pad"`` only.
    """

    def __init__(self, operator: Operator, lengths_N: Tensor, odd: Odd, pad_D: Tensor | None) -> None:
        self.operator = operator
        self.odd: Odd = odd
        self.pad_D = pad_D
        self.lengths_N = lengths_N
        self.blocks_N = lengths_N.clone()
        self.started_N = torch.zeros_like(lengths_N, dtype=torch.bool)
        self.value: Tensor | None = None

    @property
    def finished(self) -> bool:
        """Whether every length has reached its root."""
        return bool((self.started_N & (self.blocks_N == 0)).all())

    @property
    def value_BND(self) -> Tensor:  # noqa: N802
        """[B, N, D...] the values folded so far."""
        if self.value is None:
            raise InputError("nothing was folded yet")
        return self.value

    def ascend(self, blocks_BMD: Columns) -> None:
        """Fold in the last block of this level where a length has one: index ``blocks - 1`` if that is even.

        Args:
            blocks_BMD: [B, M, D...] all dyadic blocks of the level that are complete in the longest prefix.
        """
        everything = slice(None)
        last_N = self.blocks_N % 2 == 1
        if self.value is None:
            like = blocks_BMD[everything, slice(1)]
            self.value = like.new_zeros(like.shape[0], len(self.lengths_N), *like.shape[2:])
        alone_N = self.blocks_N + self.started_N == 1
        join_N = last_N & self.started_N
        if join_N.any():
            block = blocks_BMD[everything, self.blocks_N[join_N] - 1]
            self._set(join_N, self.operator(block, self.value[:, join_N]))
        start_N = last_N & ~self.started_N
        if start_N.any():
            self._set(start_N, blocks_BMD[everything, self.blocks_N[start_N] - 1])
        raise_N = (start_N | (~last_N & self.started_N)) & ~alone_N
        if self.odd != "carry" and raise_N.any():
            self._set(raise_N, raise_lone(self.operator, self.value[:, raise_N], self.odd, self.pad_D))
        if self.pad_D is not None:
            self.pad_D = join_pads(self.operator, self.pad_D)
        self.started_N = self.started_N | last_N
        self.blocks_N = self.blocks_N // 2

    def _set(self, where_N: Tensor, values: Tensor) -> None:
        index = where_N.nonzero().flatten()
        self.value = self.value_BND.index_copy(1, index, values)


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


def _checked_lengths(lengths_B: Tensor, x_BTD: Tensor) -> Tensor:
    rows, limit = x_BTD.shape[:2]
    if lengths_B.shape != (rows,) or int(lengths_B.min()) < 1 or int(lengths_B.max()) > limit:
        raise InputError(f"expected {rows} lengths in 1..{limit}, got {lengths_B.tolist()[:8]}")
    return lengths_B.to(x_BTD.device)


def _over_elements(mask: Tensor, like: Tensor) -> Tensor:
    """Give a mask over [B] or [B, M] the trailing dimensions that broadcast it over elements."""
    return mask.reshape(*mask.shape, *([1] * (like.ndim - mask.ndim)))
