"""Balanced trees over a multiplication table: what they make of it, decided for all strings at once.

A balanced tree joins blocks of ``2^k`` symbols with blocks as long or with a shorter rest. What blocks and rests of a
level can be, as elements of the table and as maps of the task's states together, depends on the level before alone, and
there are finitely many sets of such pairs: once they repeat, every length has been seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TypeAlias, Union

from lengthwise.certificates.table import FREE, MultiplicationTable
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.automaton import Automaton, Word

_Pair = tuple[int, int]
"""An element of the table, and the element of the task's transition monoid that the same string performs."""


def tree_errors(table: MultiplicationTable, task: Automaton) -> Iterator[Word]:
    """Yield strings that balanced trees over a table answer wrongly, one for each way to be wrong at each level."""
    for tree in _errors(table, task):
        yield _word(tree)


def trees_are_right(table: MultiplicationTable, task: Automaton) -> bool:
    """Return whether `tree_errors` yields nothing, without writing out any string, which may be as long as 2^levels."""
    return next(_errors(table, task), None) is None


_Tree: TypeAlias = Union[int, "tuple[_Tree, _Tree]"]
"""A symbol, or what was joined."""


def _errors(table: MultiplicationTable, task: Automaton) -> Iterator[_Tree]:
    """Yield the trees that are wrong, one for each pair that a level shows."""
    monoid = task.transition_monoid()
    elements, maps = table.products_EE.tolist(), monoid.product.tolist()
    classes, truth = table.classes_E.tolist(), task.outputs_S[monoid.elements_MS[:, task.start]].tolist()

    def joined(lefts: dict[_Pair, _Tree], rights: dict[_Pair, _Tree]) -> dict[_Pair, _Tree]:
        found: dict[_Pair, _Tree] = {}
        for ((x, m), left), ((y, n), right) in product(lefts.items(), rights.items()):
            if elements[x][y] != FREE:
                found.setdefault((elements[x][y], maps[m][n]), (left, right))
        return found

    pairs = list(zip(table.leaves_V.tolist(), monoid.generators.tolist(), strict=True))
    blocks: dict[_Pair, _Tree] = {pair: pairs.index(pair) for pair in reversed(pairs) if pair[0] != FREE}
    rests = dict[_Pair, _Tree]()
    seen = set[tuple[frozenset[_Pair], frozenset[_Pair]]]()
    while (level := (frozenset(blocks), frozenset(rests))) not in seen:
        seen.add(level)
        for (element, performed), tree in (rests | blocks).items():
            if truth[performed] not in (IGNORE, classes[element]):
                yield tree
        rests, blocks = joined(blocks, rests) | blocks | rests, joined(blocks, blocks)


def _word(tree: _Tree) -> Word:
    return (tree,) if isinstance(tree, int) else _word(tree[0]) + _word(tree[1])
