"""The product of an automaton and its task: both walked along all strings at once, as far as a question needs.

Nothing is sampled: of the pairs of states that some string reaches there are finitely many. They are visited breadth
first and only when they are asked for, so that the first pair that disagrees ends the search with the shortest string.

Shape letters: P pairs, A alphabet, E edges, L labelled states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Annotated, Generic

import numpy as np
from pydantic import Field

from lengthwise.errors import InputError
from lengthwise.settings import Recorded
from lengthwise.tasks.base import IGNORE, Bools, Ints
from lengthwise.tasks.regular.automaton import Automaton
from lengthwise.tasks.regular.search import Search, StateT
from lengthwise.tasks.regular.writing import write_runs, write_symbols

Number = Annotated[int, Field(ge=-1, lt=2**31)]
"""A state, symbol, element or class; -1 for none."""
PAIRS = 1_000_000
"""Of states that are looked at, at most."""
_PLAIN = 40
"""Symbols of a string up to which it is written without counting repetitions."""


class Counterexample(Recorded):
    """A string on which the answer is wrong; `compare` gives the shortest, first in the order of the alphabet."""

    symbols: list[Number] = Field(min_length=1)
    states: list[Number] = Field(default_factory=list[Number])
    """Of the extracted automaton, before the first symbol and after each; empty where there is none."""
    answer: Number
    """The class that is wrong: of the extracted automaton, of its table in balanced trees, or of the model itself."""
    truth: Number
    """The class that the task gives."""
    model_answer: Number | None = None
    """The class that the real network gives; None where it was not run."""

    @property
    def given(self) -> int:
        """The class that is shown: of the real network where it was run."""
        return self.answer if self.model_answer is None else self.model_answer

    @property
    def fails(self) -> bool:
        """Whether the real network was run and is wrong."""
        return self.model_answer not in (None, self.truth)

    def in_words(self, most: int | None = None) -> list[str]:
        """Return lines that say all of it."""
        own = "was not asked" if self.model_answer is None else f"answers {self.model_answer}"
        short = len(self.symbols) <= _PLAIN
        symbols = write_symbols(self.symbols) if short else write_runs(self.symbols, most)
        states = " ".join(map(str, self.states)) if short else write_runs(self.states, most)
        return [
            f"symbols: {symbols}",
            *([f"states: {states}"] if states else []),
            f"answer {self.answer}, truth {self.truth}, the network itself {own}",
        ]


class Product(Generic[StateT]):
    """The pairs of states in which an automaton and its task are after some string.

    Args:
        start: the automaton's state before the first symbol.
        followers: the states that the symbols lead to, in the order of the alphabet.
        output: the class of a state.
        task: the task's automaton.
        limit: the largest number of states of the automaton.
        too_many: what is said of more; see `Search`.
    """

    def __init__(
        self,
        start: StateT,
        followers: Callable[[StateT], Iterable[StateT]],
        output: Callable[[StateT], int],
        task: Automaton,
        limit: int = PAIRS,
        too_many: str = "the automaton has more than {} states: {}",
    ) -> None:
        self.task = task
        self._own = Search(start, followers, limit, too_many)
        self._output = output
        self._outputs: list[int] = []
        self._theirs = task.transitions_SA.tolist()
        more = "more than {} pairs of a state and one of the task: {}"
        # Only the empty string has no symbol yet, so its pair is kept apart from the same pair reached later.
        self._pairs = Search((0, task.start, True), self._follow, PAIRS, more)

    @staticmethod
    def of(automaton: Automaton, task: Automaton) -> Product[int]:
        """Return the product of an automaton that is known.

        Raises:
            InputError: the alphabets differ in size.
        """
        if automaton.vocabulary != task.vocabulary:
            raise InputError(
                f"an automaton over {automaton.vocabulary} symbols cannot solve a task over {task.vocabulary} symbols"
            )
        rows, outputs = automaton.transitions_SA.tolist(), automaton.outputs_S.tolist()
        return Product(automaton.start, rows.__getitem__, outputs.__getitem__, task, automaton.states + 1)

    @cached_property
    def difference(self) -> Counterexample | None:
        """The shortest string that counts and is given another class than the task's; None where there is none.

        Raises:
            InputError: the automaton has more states than the limit, and answers right in all that were found.
        """
        return next(filter(None, map(self._wrong, self._reached())), None)

    def _reached(self) -> Iterator[int]:
        """Yield the places of the pairs, in the order of the shortest strings that lead to them."""
        place = -1
        try:
            for place, _ in enumerate(self._pairs):
                yield place
        except InputError:
            # Those that were found when there became too many, and not followed, are right or wrong all the same.
            yield from range(place + 1, len(self._pairs.found))
            raise

    def _wrong(self, place: int) -> Counterexample | None:
        """Return the string that leads to a pair, where it counts and is given another class than the task's."""
        state, goal, empty = self._pairs.found[place]
        truth = int(self.task.outputs_S[goal])
        if empty or truth in (IGNORE, answer := self._class(state)):
            return None
        symbols = self._pairs.path(place)
        states = [0]
        for symbol in symbols:
            states.append(self._own.rows[states[-1]][symbol])
        return Counterexample(symbols=symbols, states=states, answer=answer, truth=truth)

    @cached_property
    def automaton(self) -> Automaton:
        """The automaton, its states numbered breadth first.

        Raises:
            InputError: it has more states than the limit.
        """
        # The pairs meet states in the order of a search over the states alone, so that both number them alike.
        for _ in self._own:
            pass
        outputs = [self._class(state) for state in range(len(self._own.found))]
        return Automaton(np.array(self._own.rows), 0, np.array(outputs))

    @property
    def found(self) -> list[StateT]:
        """The states that were visited, in the order of their numbers."""
        return self._own.found

    def walk(self) -> tuple[Ints, Ints]:
        """Return what some string leads to: [P, 2] state and task's state, the empty string's first, and [P, A] next.

        Raises:
            ValueError: a string is answered wrong, so that not all pairs were visited.
        """
        if self.difference is not None:
            raise ValueError("the pairs of an automaton that is wrong were not all visited")
        return np.array([pair[:2] for pair in self._pairs.found]), np.array(self._pairs.rows)

    def _follow(self, pair: tuple[int, int, bool]) -> Iterator[tuple[int, int, bool]]:
        own = self._own.row(pair[0])
        return ((*both, False) for both in zip(own, self._theirs[pair[1]], strict=True))

    def _class(self, state: int) -> int:
        self._outputs += [self._output(one) for one in self._own.found[len(self._outputs) : state + 1]]
        return self._outputs[state]


def compare(extracted: Automaton, task: Automaton) -> Counterexample | None:
    """Decide whether an automaton gives all strings of a task the task's class.

    The empty string and strings that the task leaves without a class do not count, whatever the automaton says.

    Args:
        extracted: any automaton over the task's alphabet; it need not be minimal.
        task: the task's automaton.

    Returns:
        The shortest string with another class, its states those of the automaton; None where there is none.

    Raises:
        InputError: the alphabets differ in size.

    Example:
        >>> import numpy as np
        >>> parity = Automaton(np.array([[0, 1], [1, 0]]), 0, np.array([0, 1]))
        >>> never = Automaton(np.array([[0, 0]]), 0, np.array([0]))
        >>> compare(never, parity).symbols
        [1]
    """
    found = Product.of(extracted, task).difference
    return found and found.model_copy(update={"states": states_along(extracted, found.symbols)})


def states_along(automaton: Automaton, symbols: list[int]) -> list[int]:
    """Return the states of an automaton before the first symbol of a string and after each."""
    return [automaton.start, *automaton.trace(np.array([symbols]))[0].tolist()]


def meetings(product: Product[StateT]) -> tuple[Ints, Ints]:
    """Walk an automaton along all strings that can still count; what lies beside them is free.

    Returns:
        [E, 3] each state, symbol and next state on the way to a string with a class in the task, and [L, 2] each state
        in which a non-empty string with a class ends, with that class.
    """
    pairs_P2, next_PA = product.walk()
    state_P, goal_P = pairs_P2.T
    sources, symbols = np.nonzero(live(product.task)[goal_P[next_PA]])
    targets = next_PA[sources, symbols]
    edges_E3 = np.stack([state_P[sources], symbols, state_P[targets]], 1)
    ends_L2 = np.stack([state_P[targets], product.task.outputs_S[goal_P[targets]]], 1)
    return np.unique(edges_E3, axis=0), np.unique(ends_L2[ends_L2[:, 1] != IGNORE], axis=0)


def live(task: Automaton) -> Bools:
    """Return [S] from which states of a task some continuation, the empty one included, has a class."""
    return fixed_point(task.outputs_S != IGNORE, lambda live_S: live_S | live_S[task.transitions_SA].any(1))


def fixed_point(start: Bools, step: Callable[[Bools], Bools]) -> Bools:
    """Return what a step that only adds, or only takes away, leaves as it is."""
    found, after = start, step(start)
    while not np.array_equal(found, after):
        found, after = after, step(after)
    return found


def same(one: Automaton | None, other: Automaton | None) -> bool:
    """Return whether two automata have the same states, numbered alike; minimal ones do where they agree."""
    if one is None or other is None:
        return one is other
    return (
        one.start == other.start
        and np.array_equal(one.transitions_SA, other.transitions_SA)
        and np.array_equal(one.outputs_S, other.outputs_S)
    )
