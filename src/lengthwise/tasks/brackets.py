"""Brackets: strings of several kinds of brackets, nested as deep as they come, that match or do not.

Shape letters: B rows, T positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from lengthwise.errors import InputError
from lengthwise.spaces import Tokens
from lengthwise.tasks.base import Batch, Bools, Ints, Point, Stage, Task
from lengthwise.tasks.lengths import Length, TrainLengths, points_by_length
from lengthwise.tasks.nesting import Nesting, Value

_MATCHED, _BROKEN = "matched", "broken"
"""Values of pieces, beside those of brackets that are still open or alone."""
_EDITED, _RANDOM = 0.45, 0.1
"""Share of strings that have one or two symbols changed, and of those drawn evenly from all."""


class Brackets(Task):
    """Whether all brackets of a string match is asked at its end; nothing bounds how deep they are nested.

    Of kind k the symbol 2k opens and 2k + 1 closes; the symbols after those are neutral. With two kinds ``0 2 3 1`` is
    of class 1, and ``0 2 1 3`` of class 0.

    About half of the strings match. Each is drawn with a depth of its own, from one pair after another to all inside
    each other. The others are such strings with one or two symbols changed or swapped, and strings drawn evenly.
    """

    name: Literal["brackets"] = "brackets"
    diagnostics: ClassVar[tuple[str, ...]] = ("by_point", "floors")

    kinds: int = Field(default=3, ge=1, le=100)
    """Kinds of brackets."""
    neutral: int = Field(default=0, ge=0, le=100)
    """Symbols that are no brackets."""
    train: TrainLengths = TrainLengths()
    """Lengths that are trained on."""
    lengths: tuple[Length, ...] = (10, 20, 40, 100, 250, 1000)
    """Lengths that are measured."""
    samples: int = Field(default=256, ge=1)
    """Strings a length."""

    @property
    def inputs(self) -> Tokens:
        """The brackets and the neutral symbols."""
        return Tokens(2 * self.kinds + self.neutral)

    @property
    def outputs(self) -> Tokens:
        """Whether all match."""
        return Tokens(2)

    def points(self, stage: Stage) -> Sequence[Point]:
        """Return a point a length."""
        return points_by_length(stage, self.train, self.lengths, self.samples)

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        """Draw strings of one length."""
        if (length := point.length) is None:
            raise InputError(f"a string of brackets has a length; the point says {dict(point.axes)}")
        # Without neutral symbols strings that match have even lengths; one symbol is then cut off.
        odd = length % 2 if not self.neutral else 0
        tokens_BT = self._matched(rng, rows, length + odd)[:, odd:]
        kind_B = rng.random(rows)
        for more_B in (kind_B < _EDITED, kind_B < _EDITED / 2):
            self._edit(rng, tokens_BT, np.flatnonzero(more_B))
        even_B = kind_B > 1 - _RANDOM
        tokens_BT[even_B] = rng.integers(self.inputs.size, size=(int(even_B.sum()), length))
        return Batch.classified(tokens_BT, self._match(tokens_BT).astype(np.int64))

    def nesting(self, arguments: int | None = None) -> Nesting:
        """Return the task as what a pair makes of its items; there is nothing to be bounded."""
        del arguments
        brackets = range(2 * self.kinds)

        def leaf(symbol: int) -> Value:
            return symbol if symbol in brackets else _MATCHED

        def join(left: Value, right: Value) -> Value:
            opens = isinstance(left, int) and left % 2 == 0
            if right == _MATCHED and (opens or left == _MATCHED):
                return left
            return _MATCHED if opens and right == left + 1 else _BROKEN

        return Nesting(
            opening=tuple(brackets[::2]),
            closing=tuple(brackets[1::2]),
            symbols=self.inputs.size,
            leaf=leaf,
            join=join,
            answer=lambda value: int(value == _MATCHED),
        )

    def _matched(self, rng: np.random.Generator, rows: int, length: int) -> Ints:
        """Draw strings [B, T] that match."""
        tokens_BT, open_BT = np.empty((rows, length), dtype=np.int64), np.zeros((rows, length + 1), dtype=np.int64)
        height_B, row_B, deep_B = np.zeros(rows, dtype=np.int64), np.arange(rows), rng.uniform(0.3, 1, rows)
        for place in range(length):
            left = length - place
            opens_B = (height_B == 0) | (rng.random(rows) < deep_B)
            opens_B &= height_B < left - 1
            kind_B = rng.integers(self.kinds, size=rows)
            plain_B = height_B < left if self.neutral else np.zeros(rows, dtype=np.bool_)
            plain_B &= (rng.random(rows) < 0.2) | (~opens_B & (height_B == 0))
            opens_B &= ~plain_B
            open_BT[row_B[opens_B], height_B[opens_B]] = 2 * kind_B[opens_B]
            last_B = open_BT[row_B, height_B - 1] + 1
            tokens_BT[:, place] = np.where(opens_B, 2 * kind_B, last_B)
            tokens_BT[plain_B, place] = 2 * self.kinds + rng.integers(max(self.neutral, 1), size=int(plain_B.sum()))
            height_B += np.where(opens_B, 1, np.where(plain_B, 0, -1))
        return tokens_BT

    def _edit(self, rng: np.random.Generator, tokens_BT: Ints, rows_N: Ints) -> None:
        """Give some rows another symbol at a place, or that of another place."""
        length = tokens_BT.shape[1]
        here_N, there_N = rng.integers(length, size=(2, len(rows_N)))
        swaps_N = rng.random(len(rows_N)) < 0.5
        other_N, drawn_N = tokens_BT[rows_N, there_N], rng.integers(self.inputs.size, size=len(rows_N))
        tokens_BT[rows_N, there_N] = np.where(swaps_N, tokens_BT[rows_N, here_N], other_N)
        tokens_BT[rows_N, here_N] = np.where(swaps_N, other_N, drawn_N)

    def _match(self, tokens_BT: Ints) -> Bools:
        """Return [B] whether all brackets match."""
        rows, length = tokens_BT.shape
        open_BT, height_B = np.zeros((rows, length + 1), dtype=np.int64), np.zeros(rows, dtype=np.int64)
        good_B, row_B = np.ones(rows, dtype=np.bool_), np.arange(rows)
        for symbol_B in tokens_BT.T:
            bracket_B = symbol_B < 2 * self.kinds
            opens_B, closes_B = bracket_B & (symbol_B % 2 == 0), bracket_B & (symbol_B % 2 == 1)
            good_B &= ~closes_B | ((height_B > 0) & (open_BT[row_B, height_B - 1] == symbol_B - 1))
            open_BT[row_B[opens_B], height_B[opens_B]] = symbol_B[opens_B]
            height_B = np.maximum(height_B + opens_B - closes_B, 0)
        return good_B & (height_B == 0)
