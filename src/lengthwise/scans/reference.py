"""The slow twins of the tree scans: the definitions themselves, one node at a time.

They share no code with the fast paths, which are compared with them in value and in gradient.

Shape letters: B batch rows, T elements in time, N lengths asked for, D... any shape of one element.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lengthwise.scans.tree import Odd, Operator


def reduce_reference(
    operator: Operator,
    x_BTD: Tensor,
    *,
    odd: Odd = "carry",
    pad_D: Tensor | None = None,
    carry_first: Sequence[bool] = (),
) -> Tensor:
    """Reduce each row as `tree_reduce` does, by recursion over levels, one application at a time.

    Args:
        operator: joins left and right values, each [B, 1, D...].
        x_BTD: [B, T, D...] elements, T at least 1.
        odd: what becomes of the lone last element of an odd level.
        pad_D: [D...] the padding element, for ``odd="pad"`` only.
        carry_first: for each level, from the leaves up, whether its first element goes up unpaired.

    Returns:
        [B, D...] the value at the root.
    """

    def ascend(nodes: list[Tensor], pad: Tensor | None, flags: Sequence[bool]) -> Tensor:
        if len(nodes) == 1:
            return nodes[0]
        above = [nodes.pop(0)] if flags and flags[0] and len(nodes) > 2 else []
        while len(nodes) > 1:
            above.append(operator(nodes.pop(0), nodes.pop(0)))
        for lone in nodes:
            if odd == "zero":
                lone = operator(torch.zeros_like(lone), lone)
            above.append(lone if pad is None else operator(lone, pad))
        return ascend(above, None if pad is None else operator(pad, pad), flags[1:])

    pad = None if pad_D is None else pad_D.expand_as(x_BTD[:, 0])[:, None]
    return ascend(list(x_BTD.split(1, 1)), pad, carry_first)[:, 0]


def reduce_prefixes_reference(
    operator: Operator,
    x_BTD: Tensor,
    lengths: Sequence[int],
    *,
    odd: Odd = "carry",
    pad_D: Tensor | None = None,
) -> Tensor:
    """Reduce each prefix on its own, as `tree_reduce_prefixes` does for all of them together.

    Args:
        operator: joins left and right values.
        x_BTD: [B, T, D...] elements.
        lengths: the prefixes asked for, each in 1..T.
        odd: what becomes of the lone last element of an odd level.
        pad_D: [D...] the padding element, for ``odd="pad"`` only.

    Returns:
        [B, N, D...] the root of each prefix, in the order of `lengths`.
    """
    return torch.stack([reduce_reference(operator, x_BTD[:, :n], odd=odd, pad_D=pad_D) for n in lengths], 1)


def scan_reference(operator: Operator, x_BTD: Tensor, *, initial_BD: Tensor | None = None) -> Tensor:
    """Return the value of every prefix as `tree_scan` does: a left fold of the prefix's dyadic blocks.

    Args:
        operator: joins left and right values, each [B, 1, D...].
        x_BTD: [B, T, D...] elements.
        initial_BD: [B, D...] a left operand of every prefix; none by default.

    Returns:
        [B, T, D...] entry t is the value of the first t + 1 elements.
    """

    def block(start: int, size: int) -> Tensor:
        if size == 1:
            return x_BTD[:, start : start + 1]
        return operator(block(start, size // 2), block(start + size // 2, size // 2))

    def prefix(length: int) -> Tensor:
        value = None if initial_BD is None else initial_BD[:, None]
        start = 0
        for level in reversed(range(length.bit_length())):
            if length >> level & 1:
                part = block(start, 1 << level)
                value = part if value is None else operator(value, part)
                start += 1 << level
        assert value is not None  # a positive length has a set bit
        return value

    return torch.cat([prefix(t + 1) for t in range(x_BTD.shape[1])], 1)
