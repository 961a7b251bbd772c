"""ListOps: nested operations on lists of digits, whose value is asked at the end.

Shape letters: B rows, T positions, L + 1 sizes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from statistics import median
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from lengthwise.errors import InputError
from lengthwise.spaces import Tokens
from lengthwise.tasks.base import Batch, Bools, Ints, Point, Stage, Task
from lengthwise.tasks.lengths import Length, TrainLengths

TOKENS = (*"0123456789", "[MAX", "[MIN", "[MED", "[SM", "]")
"""The standard ones, in the order of their numbers; the parentheses of the published files say nothing more."""


OPERATORS: tuple[Callable[[list[int]], int], ...] = (
    max,
    min,
    lambda values: int(median(values)),
    lambda values: sum(values) % 10,
)
"""Largest, smallest, median rounded down, and sum modulo 10, in the order of their tokens."""


class ListOps(Task):
    """An expression of exactly so many tokens is read, and the digit that it comes to is asked at its end.

    Every operation has 2 arguments or more, up to ``arguments`` of the point, and operations are nested at most
    ``depth`` deep. Two examples: ``[MAX 2 9 [MIN 4 7 ] 0 ]`` is 9, and ``[SM 8 [MED 1 5 6 ] ]`` is 3.

    Source: Nangia and Bowman 2018. Expressions of exact lengths are our choice: the number of arguments is drawn evenly
    from those that can be, then the size of each argument.
    """

    name: Literal["listops"] = "listops"

    train: TrainLengths = TrainLengths(minimum=4, maximum=40)
    """Tokens of the expressions that are trained on; lengths at which there are none are left out."""
    arguments: int = Field(default=5, ge=2)
    """The most arguments of an operation in training."""
    depth: int = Field(default=4, ge=1)
    """How deep operations are nested at most in training."""
    lengths: tuple[Length, ...] = (10, 20, 40, 80, 160)
    """Tokens that are measured, each with every number of arguments and every depth below, where there are any."""
    test_arguments: tuple[Annotated[int, Field(ge=2)], ...] = (5, 10)
    """The most arguments that are measured."""
    test_depths: tuple[Annotated[int, Field(ge=1)], ...] = (4, 8)
    """The depths that are measured."""
    samples: int = Field(default=256, ge=1)
    """Expressions a point."""

    @property
    def inputs(self) -> Tokens:
        """The symbols of `TOKENS`."""
        return Tokens(len(TOKENS))

    @property
    def outputs(self) -> Tokens:
        """The digits."""
        return Tokens(10)

    def points(self, stage: Stage) -> Sequence[Point]:
        """Return a point for each length, number of arguments and depth that there are expressions of."""
        lengths, arguments, depths = sorted(set(self.lengths)), self.test_arguments, self.test_depths
        if stage != "test":
            arguments, depths = (self.arguments,), (self.depth,)
        if stage == "train":
            lengths = self.train.lengths
        found = [
            Point({"length": n, "arguments": most, "depth": depth}, self.samples)
            for n, most, depth in itertools.product(lengths, arguments, depths)
            if n > 1 and _sizes(n, most, depth)[depth][1][n]
        ]
        if not found:
            raise InputError(f"no expression has {', '.join(map(str, lengths))} tokens with these arguments and depths")
        return found

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        """Draw expressions, every operation and digit alike."""
        length, most, depth = (int(point.axes.get(name, 0)) for name in ("length", "arguments", "depth"))
        if length < 2 or most < 2 or depth < 1 or not _sizes(length, most, depth)[depth][1][length]:
            raise InputError(f"there is no expression at {dict(point.axes)}")
        tokens_BT, values_B = np.empty((rows, length), dtype=np.int64), np.empty(rows, dtype=np.int64)
        for row in range(rows):
            tokens = list[int]()
            values_B[row] = _grow(_chance(rng), _sizes(length, most, depth), length, depth, tokens)
            tokens_BT[row] = tokens
        return Batch.classified(tokens_BT, values_B)


@cache
def _sizes(length: int, most: int, depth: int) -> list[list[Bools]]:
    """Return for each depth and number of arguments which sizes [L + 1] they can have together, up to a length."""
    digit = np.arange(length + 1) == 1
    tables = list[list[Bools]]()
    for _ in range(depth + 1):
        one = digit.copy()
        for sums in tables[-1:]:
            one[2:] |= np.any([sums[count][: max(length - 1, 0)] for count in range(2, most + 1)], axis=0)
        sums = [np.arange(length + 1) == 0]
        for _ in range(most):
            sums.append(np.convolve(sums[-1], one)[: length + 1] > 0)
        tables.append(sums)
    return tables


def _grow(chance: Iterator[float], sizes: list[list[Bools]], size: int, depth: int, tokens: list[int]) -> int:
    """Append an expression of a size and return its value."""
    if size == 1:
        tokens.append(int(next(chance) * 10))
        return tokens[-1]
    below, left, parts = sizes[depth - 1], size - 2, list[int]()
    counts = [count for count in range(2, len(below)) if below[count][left]]
    for others in reversed(range(_pick(chance, counts))):
        # What this argument can take of the tokens that are left, so that the others can have the rest.
        possible: Ints = np.flatnonzero(below[1][: left + 1] & below[others][left::-1])
        parts.append(int(_pick(chance, possible)))
        left -= parts[-1]
    operator = int(next(chance) * len(OPERATORS))
    tokens.append(10 + operator)
    # The first sizes that were drawn are the largest on average.
    order = np.argsort([next(chance) for _ in parts])
    value = OPERATORS[operator]([_grow(chance, sizes, parts[place], depth - 1, tokens) for place in order])
    tokens.append(len(TOKENS) - 1)
    return value


def _pick(chance: Iterator[float], choices: Sequence[int] | Ints) -> int:
    return choices[int(next(chance) * len(choices))]


def _chance(rng: np.random.Generator) -> Iterator[float]:
    """Yield numbers in [0, 1), drawn many at a time."""
    while True:
        yield from rng.random(256).tolist()
