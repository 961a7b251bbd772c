"""Word problems of finite groups: a string of elements is read, and its class is their product.

A group is written as ``C6`` (cyclic; ``Z6`` is the same), ``D4`` (the 8 symmetries of a square), ``S5`` (all
permutations of five), ``A5`` (the even ones), or a direct product of these such as ``C2xC4``. The symbols are all of
its elements, or after a stroke so many of them that generate it: ``S5/32``.

Shape letters: G elements, P points that they permute, K symbols.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

from lengthwise.errors import InputError
from lengthwise.tasks.regular.automaton import Automaton
from lengthwise.tasks.regular.described import whole_number
from lengthwise.tasks.regular.language import Language, Sampling
from lengthwise.tasks.regular.search import Search

Permutation = tuple[int, ...]
"""The point that each point goes to."""

MOST_ELEMENTS = 400
MOST_CYCLES = 9
"""Points of elements that are written in cycles; those of larger groups are written by their numbers."""
DRAWS = 1_000
"""Choices of elements that are tried, at most, for one that generates the group."""


def group_language(name: str) -> Language:
    """Return the word problem of a group; see the head of this module.

    Args:
        name: a group, and after a stroke the number of elements that strings are made of; all by default.

    Returns:
        The language, named ``group:`` and the name. A class is the number of an element in the order of its
        permutation, the identity being 0; factors act from left to right. Which elements are drawn depends on the
        name alone.

    Raises:
        InputError: it is no group, it is too large, or so few elements do not generate it.

    Example:
        >>> import numpy as np
        >>> group_language("C6").label(np.array([[1, 5, 4, 3]])).tolist()
        [1]
        >>> group_language("S5/2").vocabulary, group_language("S5/2").classes
        (2, 120)
    """
    group, stroke, count = name.partition("/")
    elements = sorted(_closure(_generators(group)))
    symbols = _drawn(elements, count, group) if stroke else elements
    number = {element: place for place, element in enumerate(elements)}
    products_GK = np.array([[number[_then(one, symbol)] for symbol in symbols] for one in elements])
    rule = f"the product of the elements of {group}, from left to right, by their number among its {len(elements)}"
    names = [_cycles(one) if len(one) <= MOST_CYCLES else str(number[one]) for one in symbols]
    automaton = Automaton(products_GK, 0, np.arange(len(elements)))
    return Language(f"group:{name}", rule, {}, automaton, Sampling.UNIFORM, symbols=tuple(names))


def _generators(group: str) -> list[Permutation]:
    """Return permutations that generate a group, factor by factor on points of their own."""
    found, points, order = list[list[int]](), 0, 1
    for factor in group.split("x"):
        if not (match := re.fullmatch(r"([CZDSA])([1-9]\d{0,3})", factor, re.ASCII)):
            raise InputError(
                f"{group!r} is no group that is known here: C6, Z6, D4, S5, A5 and products such as C2xC4 are, and "
                "S5/32 for 32 elements of one"
            )
        kind, size = match[1], int(match[2])
        permutations = math.factorial(min(size, 9))
        order *= {"D": 2 * size, "S": permutations, "A": max(permutations // 2, 1)}.get(kind, size)
        if order > MOST_ELEMENTS:
            raise InputError(f"{group[:20]} has more than {MOST_ELEMENTS} elements, the most of a group here")
        if kind == "D" and size < 3:
            raise InputError(f"{factor} has no polygon: D3 is the smallest; C2 and C2xC2 are what it would be")
        found = [one + [len(one) + place for place in range(size)] for one in found]
        found += [[*range(points), *(points + place for place in own)] for own in _factor(kind, size)]
        points += size
    return [tuple(one) for one in found]


def _factor(kind: str, size: int) -> Iterable[list[int]]:
    """Return what generates a cyclic, dihedral, symmetric or alternating group of so many points."""
    turn = [*range(1, size), 0]
    if kind in "CZ":
        return [turn]
    if kind == "D":
        return [turn, [*reversed(range(size))]]
    if kind == "S":
        return [turn, [1, 0, *range(2, size)]] if size > 1 else [turn]
    # Cycles of the first two points and each other one.
    return [[1, third, *range(2, third), 0, *range(third + 1, size)] for third in range(2, size)] or [[*range(size)]]


def _closure(generators: Sequence[Permutation]) -> set[Permutation]:
    """Return all products of permutations."""
    identity = tuple(range(len(generators[0])))
    return {*Search(identity, lambda one: (_then(one, generator) for generator in generators), MOST_ELEMENTS)}


def _drawn(elements: list[Permutation], count: str, group: str) -> list[Permutation]:
    """Return so many elements that generate the group, in their order, drawn evenly by its name alone."""
    if not (size := whole_number(count, len(elements))):
        raise InputError(f"{group} has {len(elements)} elements; after the stroke stands how many, not {count!r}")
    rng = np.random.default_rng([*map(ord, f"{group}/{count}")])
    for _ in range(DRAWS):
        chosen = [elements[place] for place in np.sort(rng.permutation(len(elements))[:size])]
        if len(_closure(chosen)) == len(elements):
            return chosen
    raise InputError(f"{count} elements of {group} do not generate it ({DRAWS:,} choices were tried); take more")


def _then(first: Permutation, second: Permutation) -> Permutation:
    return tuple([second[point] for point in first])


def _cycles(element: Permutation) -> str:
    """Return a permutation in cycles, its points counted from 1."""
    written, seen = "", set[int]()
    for start in range(len(element)):
        cycle, point = list[int](), start
        while point not in seen:
            seen.add(point)
            cycle.append(point + 1)
            point = element[point]
        if len(cycle) > 1:
            written += f"({' '.join(map(str, cycle))})"
    return written or "()"
