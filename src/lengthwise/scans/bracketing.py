"""Bracketings: the order in which a tree joins neighbours, as rounds of joins.

A round lists the places of left operands, in increasing order; each is joined with the element after it, and everything
else goes up to the next round unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat

import torch

Rounds = list[list[int]]
"""The joins of each round, from the leaves to the root."""


def balanced_rounds(length: int, carry_first: Sequence[bool] = ()) -> Rounds:
    """Return the brackets of `tree_reduce`, a lone last element carried up.

    Args:
        length: number of elements to reduce.
        carry_first: for each level whether its first element goes up unpaired.
    """
    rounds, count = Rounds(), length
    flags = chain(carry_first, repeat(False))
    while count > 1:
        first = int(next(flags) and count > 2)
        rounds.append(list(range(first, count - 1, 2)))
        count -= len(rounds[-1])
    return rounds


def random_tree(length: int, generator: torch.Generator) -> Rounds:
    """Draw brackets of any shape between balanced and very deep.

    One probability is drawn for the tree, uniform in 0.1 .. 1; each round then joins neighbours that are still free
    with that probability, in random order. Over such trees a value's depth varies at every length, which no balanced
    tree shows.

    Args:
        length: number of elements to reduce.
        generator: source of randomness, on the CPU.
    """
    probability = 0.1 + 0.9 * float(torch.rand((), generator=generator))
    rounds, count = Rounds(), length
    while count > 1:
        order = torch.randperm(count - 1, generator=generator).tolist()
        wanted = (torch.rand(count - 1, generator=generator) < probability).tolist()
        lefts = set[int]()
        for place, chosen in zip(order, wanted, strict=True):
            if chosen and lefts.isdisjoint((place - 1, place + 1)):
                lefts.add(place)
        rounds.append(sorted(lefts or order[:1]))
        count -= len(rounds[-1])
    return rounds
