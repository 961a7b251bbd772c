"""The finite algebra of a trained unit: which vectors its operator treats alike, and how they multiply.

What the unit says about short strings is learned as an automaton. Strings that do the same to all of its states are one
element. Then the operator itself is looked at: the product of two elements' vectors is read in contexts
``(a . _) . b`` that tell all elements apart, and is the element whose answers it gives.

Shape letters: E elements, N vectors, K contexts, M elements of the monoid, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lengthwise.certificates.learning import learn_language
from lengthwise.certificates.limits import USUAL, Limits
from lengthwise.certificates.reading import Reading
from lengthwise.certificates.table import FREE, MultiplicationTable, needed
from lengthwise.errors import InputError, RunError
from lengthwise.models.tree.ldru import LDRU
from lengthwise.tasks.base import IGNORE, Ints
from lengthwise.tasks.regular.automaton import Automaton, Word
from lengthwise.tasks.regular.monoid import separating_contexts

STATES = 500
"""Of the automaton that is learned, at most, unless more are allowed."""
_PAIRS = 65_536
"""Products looked at together."""


@dataclass(frozen=True, eq=False)
class Algebra:
    """The finite algebra of a unit.

    Args:
        table: the products.
        vectors_ED: [E, D] the unit's value of each element's string.
        logits_EC: [E, C] what is read off each of them.
        astray: pairs of strings whose product does not answer as the joined string should: the unit may be wrong
            where they meet.
    """

    table: MultiplicationTable
    vectors_ED: Tensor
    logits_EC: Tensor
    astray: tuple[tuple[Word, Word], ...]


@torch.no_grad()
def extract_algebra(unit: LDRU | Reading, domain: Automaton | None = None, limits: Limits = USUAL) -> Algebra:
    """Close the leaves of a trained unit under its operator, taking vectors for one that no context tells apart.

    Args:
        unit: a trained unit, or the reading of one.
        domain: an automaton whose strings without a class need no products, such as a task's; none by default.
        limits: how far to go.

    Returns:
        The algebra. Whether its table is associative and right is for `MultiplicationTable` to say.

    Raises:
        InputError: the unit pads, is in training mode, or has another alphabet than the domain.
        RunError: the algebra does not close within the limits; the message says how many elements there are and
            which strings came last.
    """
    reading = unit if isinstance(unit, Reading) else Reading.of(unit)
    if domain is not None and domain.vocabulary != reading.vocabulary:
        raise InputError(f"a unit of {reading.vocabulary} symbols has no strings of {domain.vocabulary} symbols")

    def ask(words: Sequence[Word]) -> list[int]:
        return reading.classes(reading.values(words)).tolist()

    learned = learn_language(ask, reading.vocabulary, domain, limits.states or STATES)
    elements = _Elements.of(learned, limits.elements)
    words = elements.table.words
    vectors_ED = reading.values(words)
    products_EE, astray = _multiply(reading, elements, vectors_ED, limits)
    table = replace(elements.table, products_EE=products_EE)
    named = tuple((words[x], words[y]) for x, y in astray)
    return Algebra(table, vectors_ED, reading.logits(vectors_ED), named)


@dataclass(frozen=True, eq=False)
class _Elements:
    """What the strings do to the states of an automaton.

    Args:
        table: how they multiply when strings are joined, each with its shortest string.
        contexts_K2: [K, 2] the elements on the left and right of places that tell all elements apart; -1 for nothing.
        answers_EK: [E, K] the class of each element in each place, `IGNORE` where it has none.
    """

    table: MultiplicationTable
    contexts_K2: Ints
    answers_EK: Ints

    @staticmethod
    def of(learned: Automaton, limit: int) -> _Elements:
        """Return the elements of an automaton whose start no symbol leads back to."""
        try:
            monoid = learned.transition_monoid(limit)
        except InputError as error:
            raise RunError(
                f"the algebra does not close: its strings show {learned.states} states, and {error}, with --elements"
            ) from error
        kept = needed(learned, monoid.elements_MS)
        kept[0] = False
        number_M = np.where(kept, np.cumsum(kept) - 1, FREE)
        classes_M = learned.outputs_S[monoid.elements_MS[:, learned.start]]
        contexts, answers = separating_contexts(
            learned.outputs_S, learned.start, monoid.elements_MS[kept], monoid.elements_MS
        )
        words = tuple(tuple(monoid.word(int(element))) for element in np.flatnonzero(kept))
        products_EE = number_M[monoid.product[np.ix_(kept, kept)]]
        table = MultiplicationTable(products_EE, number_M[monoid.generators], classes_M[kept], words)
        return _Elements(table, np.where(contexts == 0, -1, number_M[contexts]), answers)


def _multiply(
    reading: Reading, elements: _Elements, vectors_ED: Tensor, limits: Limits
) -> tuple[Ints, list[tuple[int, int]]]:
    """Return the products [E, E] that the operator makes, and the pairs that do not answer as they should."""
    products_EE = elements.table.products_EE.copy()
    places_N2 = np.argwhere(products_EE != FREE)
    astray: list[tuple[int, int]] = []
    for start in range(0, len(places_N2), _PAIRS):
        pairs_N2 = places_N2[start : start + _PAIRS]
        left_N, right_N = torch.from_numpy(pairs_N2).to(vectors_ED.device).T
        values_ND = reading.join(vectors_ED[left_N], vectors_ED[right_N])
        expected_N = elements.table.products_EE[*pairs_N2.T]
        if len(places_N2) > limits.products:
            doubtful = torch.cdist(values_ND, vectors_ED).argmin(1).cpu().numpy() != expected_N
            pairs_N2, expected_N = pairs_N2[doubtful], expected_N[doubtful]
            values_ND = values_ND[torch.from_numpy(doubtful).to(values_ND.device)]
        answers_NK = _answers(reading, elements, vectors_ED, values_ND, elements.answers_EK[expected_N])
        for row in np.flatnonzero((answers_NK != elements.answers_EK[expected_N]).any(1)):
            wrong_E = (answers_NK[row] != elements.answers_EK).sum(1)
            left, right = pairs_N2[row].tolist()
            if wrong_E.min() < wrong_E[expected_N[row]]:
                products_EE[left, right] = int(wrong_E.argmin())
            astray.append((left, right))
    return products_EE, astray


def _answers(reading: Reading, elements: _Elements, vectors_ED: Tensor, values_ND: Tensor, expected_NK: Ints) -> Ints:
    """Return [N, K] the class of each value in each place, `IGNORE` where the joined string should have none."""
    answers_NK = np.full(expected_NK.shape, IGNORE)
    if not len(answers_NK):
        return answers_NK
    for left in np.unique(elements.contexts_K2[:, 0]):
        widened_ND = values_ND if left < 0 else reading.join(vectors_ED[left].expand_as(values_ND), values_ND)
        for place in np.flatnonzero(elements.contexts_K2[:, 0] == left):
            right = elements.contexts_K2[place, 1]
            whole_ND = widened_ND if right < 0 else reading.join(widened_ND, vectors_ED[right].expand_as(values_ND))
            answers_NK[:, place] = reading.classes(whole_ND).cpu().numpy()
    return np.where(expected_NK == IGNORE, IGNORE, answers_NK)
