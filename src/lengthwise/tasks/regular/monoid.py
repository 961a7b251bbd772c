"""The transition monoid of an automaton: what a learner of composition must represent.

Shape letters: M elements, S states, V symbols, E some of the elements, K contexts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lengthwise.tasks.base import Ints
from lengthwise.tasks.regular.search import Search
from lengthwise.tasks.regular.writing import path_to


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
        return path_to(self.parents_M, self.letters_M, element)


def generate_monoid(transitions_SA: Ints, limit: int) -> TransitionMonoid:
    """Close the maps of the symbols under composition, breadth first.

    Args:
        transitions_SA: [S, V] the next state.
        limit: the largest number of elements to list.

    Returns:
        The monoid.

    Raises:
        InputError: there are more elements than the limit; the message says which strings led to the last ones.
    """
    search = Search(
        np.arange(len(transitions_SA)).tobytes(),
        lambda image: (row.tobytes() for row in transitions_SA[np.frombuffer(image, dtype=np.int64)].T),
        limit,
        "the transition monoid has more than {} elements: {}; raise the limit to list them",
    )
    elements = [np.frombuffer(image, dtype=np.int64) for image in list(search)]
    return TransitionMonoid(
        np.stack(elements), np.array(search.rows), np.array(search.parents), np.array(search.letters)
    )


def separating_contexts(outputs_S: Ints, start: int, maps_ES: Ints, monoid_MS: Ints) -> tuple[Ints, Ints]:
    """Return few contexts that tell elements apart: what is read before and after them so that the class shows them.

    Args:
        outputs_S: the class of each state of a minimal automaton.
        start: the state before the first symbol.
        maps_ES: what the elements do to the states.
        monoid_MS: the same of all elements of the monoid, the empty string's first.

    Returns:
        [K, 2] the monoid's elements on the left and on the right in each context, and [E, K] the classes that the
        elements have there.
    """
    states, firsts = np.unique(monoid_MS[:, start], return_index=True)
    outputs_MS = outputs_S[monoid_MS]
    rights = _few_columns(outputs_MS[:, states].T)
    contexts = np.array([(left, right) for left in np.sort(firsts) for right in rights])
    reached_EK = maps_ES[:, monoid_MS[contexts[:, 0], start]]
    classes_EK = outputs_MS[contexts[:, 1], reached_EK]
    kept = _few_columns(classes_EK)
    return contexts[kept], classes_EK[:, kept]


def _few_columns(table: Ints) -> list[int]:
    """Return columns that tell apart all rows that the whole table tells apart, the first one among them."""
    groups = np.zeros(len(table), dtype=np.int64)
    wanted, chosen = len(np.unique(table, axis=0)), list[int]()
    columns = np.unique(table, return_inverse=True)[1].reshape(table.shape)
    width = int(columns.max()) + 1
    while not chosen or int(groups.max()) + 1 < wanted:
        pairs = groups[:, None] * width + columns
        best = int(np.argmax([len(np.unique(column)) for column in pairs.T])) if chosen else 0
        groups = np.unique(pairs[:, best], return_inverse=True)[1].reshape(-1)
        chosen.append(best)
    return chosen
