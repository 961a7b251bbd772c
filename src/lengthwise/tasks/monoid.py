"""The transition monoid of an automaton: what a learner of composition must represent.

Shape letters: M elements, S states, V symbols.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lengthwise.errors import InputError
from lengthwise.tasks.base import Ints


@dataclass(frozen=True, eq=False)
class TransitionMonoid:
    """All maps of states to states that some string performs, closed under concatenation.

    Args:
        elements_MS: the image of each state; the identity (the empty string) comes first, then by
            length and alphabet of the shortest string that performs the map.
        right_MV: the element that follows when a symbol is appended.
        parents_M: the element of the shortest string without its last symbol; -1 for the identity.
        letters_M: that last symbol; -1 for the identity.
    """

    elements_MS: Ints
    right_MV: Ints
    parents_M: Ints
    letters_M: Ints

    @property
    def size(self) -> int:
        """The number of elements, the identity included."""
        return len(self.elements_MS)

    @property
    def generators(self) -> Ints:
        """[V] the element of each symbol."""
        return self.right_MV[0]

    @cached_property
    def product(self) -> Ints:
        """[M, M] the element of the concatenation: row first, column second."""
        product = np.empty((self.size, self.size), dtype=np.int64)
        product[:, 0] = np.arange(self.size)
        for element in range(1, self.size):
            product[:, element] = self.right_MV[product[:, self.parents_M[element]], self.letters_M[element]]
        return product

    def word(self, element: int) -> list[int]:
        """Return the shortest string, first in the order of the alphabet, that performs an element."""
        letters: list[int] = []
        while element:
            letters.append(int(self.letters_M[element]))
            element = int(self.parents_M[element])
        return letters[::-1]


def generate_monoid(transitions_SA: Ints, limit: int) -> TransitionMonoid:
    """Close the maps of the symbols under composition, breadth first.

    Args:
        transitions_SA: [S, V] the next state.
        limit: the largest number of elements to list.

    Returns:
        The monoid.

    Raises:
        InputError: there are more elements than the limit.
    """
    states, symbols = transitions_SA.shape
    elements = [np.arange(states)]
    known = {elements[0].tobytes(): 0}
    parents, letters = [-1], [-1]
    right: list[list[int]] = []
    current = 0
    while current < len(elements):
        successors_VS = transitions_SA[elements[current]].T.copy()
        row: list[int] = []
        for symbol in range(symbols):
            key = successors_VS[symbol].tobytes()
            index = known.setdefault(key, len(elements))
            if index == len(elements):
                if index >= limit:
                    raise InputError(
                        f"the transition monoid has more than {limit} elements; raise the limit to list them"
                    )
                elements.append(successors_VS[symbol])
                parents.append(current)
                letters.append(symbol)
            row.append(index)
        right.append(row)
        current += 1
    return TransitionMonoid(np.stack(elements), np.array(right, dtype=np.int64), np.array(parents), np.array(letters))
