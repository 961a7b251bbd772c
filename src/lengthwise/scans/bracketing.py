"""Bracketings: the order in which a tree joins neighbours, as rounds of joins.

A round lists the places of left operands, in increasing order; each is joined with the element after it, and everything
else goes up to the next round unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

Rounds = list[list[int]]
"""The joins of each round, from the leaves to the root."""


def balanced_rounds(length: int, carry_first: Sequence[bool] = ()) -> Rounds:
    """Return the brackets of `tree_reduce`, a lone last element carried up.

    Args:
        length: number of elements to reduce.
        carry_first: for each level whether its first element goes up unpaired.
    """
    rounds: Rounds = []
    count = length
    while count > 1:
        first = int(len(rounds) < len(carry_first) and carry_first[len(rounds)] and count > 2)
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
    rounds: Rounds = []
    count = length
    while count > 1:
        order = torch.randperm(count - 1, generator=generator).tolist()
        wanted = (torch.rand(count - 1, generator=generator) < probability).tolist()
        lefts = _disjoint(place for place, chosen in zip(order, wanted, strict=True) if chosen) or order[:1]
        rounds.append(sorted(lefts))
        count -= len(lefts)
    return rounds


def _disjoint(places: Iterable[int]) -> list[int]:
    """Return the left operands whose pairs do not overlap with an earlier one's."""
    used: set[int] = set()
    lefts: list[int] = []
    for place in places:
        if used.isdisjoint((place, place + 1)):
            used |= {place, place + 1}
            lefts.append(place)
    return lefts
