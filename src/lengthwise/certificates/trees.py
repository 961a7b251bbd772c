"""Balanced trees over a multiplication table: what they make of it, decided for all strings at once.

A balanced tree joins a block of ``2^k`` symbols with a rest of 1 to ``2^k``. What blocks and rests can be, as an
element of the table and a map of the task's states together, depends on the level before alone, and there are finitely
many sets of such pairs: once they repeat, every length has been seen.

Shape letters: N blocks of a level, U what is found up to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lengthwise.certificates.limits import ELEMENTS
from lengthwise.certificates.table import MultiplicationTable
from lengthwise.errors import InputError
from lengthwise.tasks.base import IGNORE, Ints
from lengthwise.tasks.regular.automaton import Automaton, Word

PRODUCTS = 50_000_000
"""Products of blocks and rests that are looked at, at most."""
LEVELS = 1_000
LONGEST = 1 << 16
"""Symbols of a string that is written out, at most."""


class _Level(NamedTuple):
    """What a level can be: each an element of the table and one of the task's monoid, as one number."""

    blocks_N: Ints
    """What strings of 2^k symbols are."""
    every_U: Ints
    """What strings of 1 to 2^k symbols are."""
    joined_NU: Ints
    """What blocks joined with rests are; -1 where they never stand side by side."""


def shortest_errors(table: MultiplicationTable, task: Automaton) -> Iterator[Word]:
    """Yield strings that balanced trees over a table answer wrong: the shortest first, one for each way to be wrong.

    Raises:
        InputError: there are too many products to look at, or the shortest such string is too long to be written.
    """
    trees = _Trees(table, task)
    wrong = trees.wrong()
    while len(wrong):
        word, code = trees.shortest(wrong)
        yield word
        wrong = wrong[wrong != code]


def trees_are_right(table: MultiplicationTable, task: Automaton) -> bool:
    """Return whether `shortest_errors` yields nothing; errors as there, but for strings, which are not written."""
    return not len(_Trees(table, task).wrong())


class _Trees:
    """The levels of all balanced trees over a table."""

    def __init__(self, table: MultiplicationTable, task: Automaton) -> None:
        self.table, self.task = table, task
        self.monoid = task.transition_monoid(max(ELEMENTS, 2 * table.size))
        self.products_EE, self.performed_MM = table.with_zero().astype(np.int32), self.monoid.product.astype(np.int32)
        self.looked = 0
        self.symbols = dict[int, int]()
        for symbol, (leaf, performed) in enumerate(zip(table.leaves_V, self.monoid.generators, strict=True)):
            if leaf >= 0:
                self.symbols.setdefault(int(leaf) * self.monoid.size + int(performed), symbol)
        self.levels = [*self._levels()]

    def wrong(self) -> Ints:
        """Return all that some string is, and that has another class than the task gives that string."""
        every_U = self.levels[-1].every_U if self.levels else np.array([], np.int64)
        elements_U, performed_U = np.divmod(every_U, self.monoid.size)
        truth_U = self.task.outputs_S[self.monoid.elements_MS[performed_U, self.task.start]]
        return every_U[(truth_U != IGNORE) & (truth_U != self.table.classes_E[elements_U])]

    def shortest(self, codes: Ints) -> tuple[Word, int]:
        """Return the shortest string that is one of some things, and which."""
        for code, symbol in self.symbols.items():
            if code in codes:
                return (symbol,), code
        place = next(place for place, level in enumerate(self.levels) if np.isin(level.joined_NU, codes).any())
        level = self.levels[place]
        hits_NU = np.isin(level.joined_NU, codes)
        rest, found = self.shortest(level.every_U[hits_NU.any(0)])
        column = int(np.searchsorted(level.every_U, found))
        row = int(hits_NU[:, column].argmax())
        if 2**place + len(rest) > LONGEST:
            raise InputError(f"the shortest string that is wrong has more than {LONGEST:,} symbols")
        return self._block(place, int(level.blocks_N[row])) + rest, int(level.joined_NU[row, column])

    def _block(self, place: int, code: int) -> Word:
        """Return a string of 2^k symbols that is something."""
        if not place:
            return (self.symbols[code],)
        level = self.levels[place - 1]
        columns = np.searchsorted(level.every_U, level.blocks_N)
        row, column = np.argwhere(level.joined_NU[:, columns] == code)[0]
        return self._block(place - 1, int(level.blocks_N[row])) + self._block(place - 1, int(level.blocks_N[column]))

    def _levels(self) -> Iterator[_Level]:
        blocks_N = every_U = np.array(sorted(self.symbols), np.int64)
        seen = set[tuple[bytes, bytes]]()
        while (key := (blocks_N.tobytes(), every_U.tobytes())) not in seen:
            seen.add(key)
            self.looked += blocks_N.size * every_U.size
            if self.looked > PRODUCTS or len(seen) > LEVELS:
                raise InputError(
                    f"trees over {self.table.size} elements have more than {PRODUCTS:,} products to look at"
                )
            joined_NU = self._join(blocks_N, every_U)
            yield _Level(blocks_N, every_U, joined_NU)
            joined = np.unique(joined_NU[:, np.searchsorted(every_U, blocks_N)])
            every_U = np.union1d(every_U, joined_NU[joined_NU >= 0])
            blocks_N = joined[joined >= 0]

    def _join(self, left_N: Ints, right_U: Ints) -> Ints:
        size = self.monoid.size
        elements = self.products_EE[np.ix_(left_N // size, right_U // size)]
        performed = self.performed_MM[np.ix_(left_N % size, right_U % size)]
        return np.where(elements < self.table.size, elements * size + performed, -1)
