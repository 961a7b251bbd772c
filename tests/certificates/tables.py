"""What tests ask of a multiplication table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lengthwise.certificates.table import FREE, MultiplicationTable
from lengthwise.tasks.base import IGNORE


def evaluate(table: MultiplicationTable, word: Sequence[int]) -> int:
    """Return the element of a string, multiplied from the left, or `FREE`."""
    first, *rest = word
    element = int(table.leaves_V[first])
    for symbol in rest:
        element = FREE if element == FREE else int(table.products_EE[element, table.leaves_V[symbol]])
    return element


def generated(table: MultiplicationTable) -> bool:
    """Return whether every element is a product of leaves, in some brackets."""
    reached = set(table.leaves_V.tolist()) - {FREE}
    while more := {int(table.products_EE[x, y]) for x in reached for y in reached} - reached - {FREE}:
        reached |= more
    return len(reached) == table.size


def merged(table: MultiplicationTable) -> MultiplicationTable:
    """Return the table, without free products, of the coarsest congruence whose blocks have one class each.

    Elements that no product with others tells apart by the class become one: the strings keep their classes in all
    brackets.
    """
    assert (table.products_EE != FREE).all()
    _, blocks = np.unique(table.classes_E, return_inverse=True)
    while True:
        signatures = np.column_stack([blocks, blocks[table.products_EE], blocks[table.products_EE.T]])
        _, refined = np.unique(signatures, axis=0, return_inverse=True)
        if refined.max() == blocks.max():
            break
        blocks = refined.reshape(-1)
    members = np.sort(np.unique(blocks, return_index=True)[1])
    number = np.full(len(members), IGNORE)
    number[blocks[members]] = np.arange(len(members))
    return MultiplicationTable(
        number[blocks[table.products_EE[np.ix_(members, members)]]],
        number[blocks[table.leaves_V]],
        table.classes_E[members],
        tuple(table.words[member] for member in members),
    )
