"""Prefix scans and online reductions: elements come in one by one or in chunks, the prefix value is there at any time.

The state is a binary counter. After t elements it holds one partial reduction for each set bit of t: the
dyadic blocks of the prefix, the largest first in time. Folded from the left they give `tree_scan`'s value of
the prefix, folded from the right `tree_reduce`'s. A push of a chunk works level by level, so its depth is
logarithmic and what it computes does not depend on how the stream was cut.

Shape letters: B batch rows, T elements in time, D... any shape of one element.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.scans.tree import Odd, Operator, check_elements, join_blocks, join_pads, raise_lone


class OnlineReduction:
    """A reduction whose elements arrive over time, with O(log t) state.

    Args:
        operator: joins left and right values, each [B, M, D...].
        partials: level -> [B, D...] the partial reduction of 2^level elements, for each set bit of `count`.
        count: how many elements were pushed before.
        initial_BD: [B, D...] a left operand of every value; none by default.

    Raises:
        InputError: the partial reductions do not match the set bits of the count.

    Example:
        >>> import torch
        >>> online = OnlineReduction(torch.add)
        >>> online.push(torch.ones(1, 5, 1)); online.push(torch.ones(1, 2, 1))
        >>> online.count, online.value().item()
        (7, 7.0)
    """

    def __init__(
        self,
        operator: Operator,
        partials: Mapping[int, Tensor] | None = None,
        count: int = 0,
        initial_BD: Tensor | None = None,
    ) -> None:
        self.operator = operator
        self.partials = dict(partials or {})
        self.count = count
        self.initial_BD = initial_BD
        levels = [level for level in range(count.bit_length()) if count >> level & 1]
        if sorted(self.partials) != levels:
            raise InputError(
                f"{count} elements leave partial reductions at levels {levels}, got {sorted(self.partials)}"
            )

    def push(self, x_BTD: Tensor, level: int = 0) -> None:
        """Take in elements; amortised one application each.

        Args:
            x_BTD: [B, T, D...] elements, or whole blocks of ``2^level`` elements each.
            level: how many levels were reduced already; the count so far must be a multiple of ``2^level``.

        Raises:
            InputError: there is no element, or blocks do not line up with what was pushed before.
        """
        check_elements(x_BTD, "carry", None)
        if self.count % (1 << level):
            raise InputError(f"blocks of {1 << level} elements cannot follow {self.count} elements")
        self.count += x_BTD.shape[1] << level
        while x_BTD.shape[1]:
            x_BTD = self._with_pending(x_BTD, level)
            x_BTD = self._pair(x_BTD, level)
            level += 1

    def scan(self, x_BTD: Tensor) -> Tensor:
        """Take in [B, T, D...] elements and return the value after each of them, [B, T, D...].

        The values are those of `tree_scan` over everything pushed so far.
        """
        check_elements(x_BTD, "carry", None)
        values, _ = self._scan(x_BTD, 0, self.count)
        self.count += x_BTD.shape[1]
        return values

    def _scan(self, x_BTD: Tensor, level: int, count: int) -> tuple[Tensor, Tensor | None]:
        """Values after each new element of a level, and the value before the first of them."""
        pending = self.partials.get(level)
        if not x_BTD.shape[1] and not count:
            return x_BTD, self.initial_BD
        sequence = self._with_pending(x_BTD, level)
        after_pairs, before_BD = self._scan(self._pair(sequence, level), level + 1, count >> 1)
        even = sequence[:, 0::2]
        known = after_pairs[:, : max(even.shape[1] - 1, 0)]
        if before_BD is not None and even.shape[1]:
            after_even = self.operator(torch.cat([before_BD[:, None], known], 1), even)
        elif before_BD is None and even.shape[1] > 1:
            after_even = torch.cat([even[:, :1], self.operator(known, even[:, 1:])], 1)
        else:
            after_even = even
        values = after_even.new_empty(len(sequence), sequence.shape[1], *sequence.shape[2:])
        values[:, 0::2], values[:, 1::2] = after_even, after_pairs
        if pending is None:
            return values, before_BD
        return values[:, 1:], values[:, 0]

    def _with_pending(self, x_BTD: Tensor, level: int) -> Tensor:
        pending = self.partials.pop(level, None)
        return x_BTD if pending is None else torch.cat([pending[:, None], x_BTD], 1)

    def _pair(self, x_BTD: Tensor, level: int) -> Tensor:
        """Join neighbours of a level and keep a lone last element as its partial reduction."""
        if x_BTD.shape[1] % 2:
            self.partials[level] = x_BTD[:, -1]
        return join_blocks(self.operator, x_BTD)

    def value(self) -> Tensor:
        """Return [B, D...] the value of everything pushed so far, with the brackets of `tree_scan`.

        Raises:
            InputError: nothing was pushed and there is no initial operand.
        """
        value = None if self.initial_BD is None else self.initial_BD[:, None]
        for level in sorted(self.partials, reverse=True):
            block = self.partials[level][:, None]
            value = block if value is None else self.operator(value, block)
        if value is None:
            raise InputError("an empty reduction has no value; push an element first")
        return value[:, 0]

    def reduced(self, odd: Odd = "carry", pad_D: Tensor | None = None) -> Tensor:
        """Return [B, D...] the value of everything pushed so far, with the brackets of `tree_reduce`.

        An initial operand is joined last, on the left.

        Args:
            odd: what becomes of the lone last element of an odd level.
            pad_D: [D...] the padding element, for ``odd="pad"`` only.

        Raises:
            InputError: nothing was pushed.
        """
        if not self.count:
            raise InputError("an empty reduction has no value; push an element first")
        value = None
        for level in range(self.count.bit_length()):
            block = self.partials.get(level)
            whole = self.count >> level
            if value is not None and block is not None:
                value = self.operator(block[:, None], value)
            elif block is not None:
                lone = block[:, None]
                value = lone if whole == 1 else raise_lone(self.operator, lone, odd, pad_D)
            elif value is not None:
                value = raise_lone(self.operator, value, odd, pad_D)
            pad_D = None if pad_D is None else join_pads(self.operator, pad_D)
        assert value is not None  # a positive count has a set bit
        if self.initial_BD is not None:
            value = self.operator(self.initial_BD[:, None], value)
        return value[:, 0]


def tree_scan(operator: Operator, x_BTD: Tensor, *, initial_BD: Tensor | None = None) -> Tensor:
    """Return the value of every prefix with linear work and logarithmic depth.

    The value of prefix t folds the dyadic blocks of t from the left: ``((b_high . ...) . b_low)``; see the
    head of `tree` for how this differs from `tree_reduce`.

    Args:
        operator: joins left and right values.
        x_BTD: [B, T, D...] elements.
        initial_BD: [B, D...] a left operand of every prefix; none by default.

    Returns:
        [B, T, D...] entry t is the value of the first t + 1 elements.

    Raises:
        InputError: there is no element.

    Source: up-sweep and down-sweep after Blelloch 1990; brackets as in arXiv 2506.10918.
    """
    return OnlineReduction(operator, initial_BD=initial_BD).scan(x_BTD)
