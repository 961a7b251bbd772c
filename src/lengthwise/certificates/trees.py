"""Balanced trees over a multiplication table: what they make of it, decided for all strings at once.

A balanced tree joins blocks of ``2^k`` symbols with blocks as long or with a shorter rest. What blocks and rests of a
level can be, as elements of the table and as maps of the task's states together, depends on the level before alone, and
there are finitely many sets of such pairs: once they repeat, every length has been seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias, Union

from lengthwise.certificates.table import FREE, MultiplicationTable
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.automaton import Automaton, Word

_Pair = tuple[int, int]
"""An element of the table, and the element of the task's transition monoid that the same string performs."""


def tree_errors(table: MultiplicationTable, task: Automaton) -> Iterator[Word]:
    """Yield strings that balanced trees over a table answer wrongly, one for each way to be wrong at each level."""
    for tree in _Trees(table, task).errors():
        yield _word(tree)


def trees_are_right(table: MultiplicationTable, task: Automaton) -> bool:
    """Return whether `tree_errors` yields nothing, without writing out any string, which may be as long as 2^levels."""
    return next(_Trees(table, task).errors(), None) is None


_Tree: TypeAlias = Union[int, "tuple[_Tree, _Tree]"]
"""A symbol, or what was joined."""


class _Trees:
    """The pairs that strings can have, with a tree for each."""

    def __init__(self, table: MultiplicationTable, task: Automaton) -> None:
        monoid = task.transition_monoid()
        self.table, self.products = table.products_EE.tolist(), monoid.product.tolist()
        self.classes = table.classes_E.tolist()
        self.truth = task.outputs_S[monoid.elements_MS[:, task.start]].tolist()
        generators = zip(table.leaves_V.tolist(), monoid.generators.tolist(), strict=True)
        self.leaves = {pair: symbol for symbol, pair in reversed(list(enumerate(generators))) if pair[0] != FREE}

    def errors(self) -> Iterator[_Tree]:
        blocks: dict[_Pair, _Tree] = dict(self.leaves)
        rests: dict[_Pair, _Tree] = {}
        seen = set[tuple[frozenset[_Pair], frozenset[_Pair]]]()
        while (level := (frozenset(blocks), frozenset(rests))) not in seen:
            seen.add(level)
            for pair, tree in (rests | blocks).items():
                if self._wrong(pair):
                    yield tree
            rests, blocks = self._joined(blocks, rests) | blocks | rests, self._joined(blocks, blocks)

    def _wrong(self, pair: _Pair) -> bool:
        return self.truth[pair[1]] not in (IGNORE, self.classes[pair[0]])

    def _joined(self, lefts: dict[_Pair, _Tree], rights: dict[_Pair, _Tree]) -> dict[_Pair, _Tree]:
        found: dict[_Pair, _Tree] = {}
        for (x, m), left in lefts.items():
            for (y, n), right in rights.items():
                element = self.table[x][y]
                if element != FREE:
                    found.setdefault((element, self.products[m][n]), (left, right))
        return found


def _word(tree: _Tree) -> Word:
    return (tree,) if isinstance(tree, int) else _word(tree[0]) + _word(tree[1])
