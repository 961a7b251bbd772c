"""Equivalence of an automaton read off a trained unit and that of its task: exactly, at every length.

Nothing is sampled: two automata are compared by breadth-first search over the pairs of states that some string reaches,
of which there are finitely many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from lengthwise.errors import InputError
from lengthwise.settings import Recorded
from lengthwise.tasks.base import IGNORE, Bools, Ints
from lengthwise.tasks.regular.automaton import Automaton
from lengthwise.tasks.regular.writing import write_runs, write_symbols

Number = Annotated[int, Field(ge=-1, lt=2**31)]
"""A state, symbol, element or class; -1 for none."""
_PLAIN = 40
"""Symbols of a string up to which it is written without counting repetitions."""


@dataclass(frozen=True)
class Equal:
    """An extracted automaton answers right on every string of the task's domain, at every length.

    Args:
        minimal: the extracted automaton on the task's domain, minimal, its states numbered breadth first.
        task: the minimal automaton of the task, numbered alike.
        isomorphism: for each state of `minimal` the state of `task` that it is.
    """

    minimal: Automaton
    task: Automaton
    isomorphism: tuple[int, ...]


class Counterexample(Recorded):
    """A string on which the answer is wrong; `compare` gives the shortest, first in the order of the alphabet."""

    symbols: list[Number] = Field(min_length=1)
    states: list[Number] = Field(default_factory=list[Number])
    """Of the extracted automaton, before the first symbol and after each; empty where there is none."""
    answer: int
    """The class that is wrong: of the extracted automaton, of its table in balanced trees, or of the model itself."""
    truth: int
    """The class that the task gives."""
    model_answer: int | None = None
    """The class that the real network gives; None where it was not run."""

    @property
    def given(self) -> int:
        """The class that is shown: of the real network where it was run."""
        return self.answer if self.model_answer is None else self.model_answer

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


def compare(extracted: Automaton, task: Automaton) -> Equal | Counterexample:
    """Decide whether an automaton gives all strings of a task the task's class.

    The empty string and strings that the task leaves without a class do not count, whatever the automaton says.

    Args:
        extracted: any automaton over the task's alphabet; it need not be minimal.
        task: the task's automaton.

    Returns:
        `Equal` with the isomorphism of the minimal automata, or `Counterexample` with the shortest string.

    Raises:
        InputError: the alphabets differ in size.

    Example:
        >>> import numpy as np
        >>> parity = Automaton(np.array([[0, 1], [1, 0]]), 0, np.array([0, 1]))
        >>> never = Automaton(np.array([[0, 0]]), 0, np.array([0]))
        >>> compare(never, parity).symbols
        [1]
        >>> compare(parity, parity).isomorphism
        (0, 1)
    """
    pairs = Pairs(extracted, task)
    # What counts is the extracted automaton's; the task's class stands where the string does not count.
    truth_P = task.outputs_S[pairs.goal_P]
    own_P = np.where((truth_P == IGNORE) | pairs.empty_P, truth_P, extracted.outputs_S[pairs.state_P])
    restricted = Automaton(pairs.next_PA, 0, own_P)
    symbols = restricted.shortest_difference(task)
    if symbols is not None:
        tokens = np.array([symbols])
        states = [extracted.start, *extracted.trace(tokens)[0].tolist()]
        answer, truth = int(extracted.outputs_S[states[-1]]), int(task.label(tokens)[0])
        return Counterexample(symbols=symbols, states=states, answer=answer, truth=truth)
    minimal, goal = restricted.minimal(), task.minimal()
    found = isomorphism(minimal, goal)
    if found is None:
        raise AssertionError("minimal automata that agree on all strings are isomorphic")
    return Equal(minimal, goal, found)


class Pairs:
    """The pairs of states in which an automaton and its task are after some string, numbered breadth first.

    Raises:
        InputError: the alphabets differ in size.
    """

    def __init__(self, extracted: Automaton, task: Automaton) -> None:
        if extracted.vocabulary != task.vocabulary:
            raise InputError(
                f"an automaton over {extracted.vocabulary} symbols cannot solve a task over {task.vocabulary} symbols"
            )
        mine, theirs = extracted.transitions_SA.tolist(), task.transitions_SA.tolist()
        pairs: list[tuple[int, int, bool]] = []

        # Only the empty string has no symbol yet, so its pair is kept apart from the same pair reached later.
        def step(pair: tuple[int, int, bool], symbol: int) -> tuple[int, int, bool]:
            return mine[pair[0]][symbol], theirs[pair[1]][symbol], False

        def visit(pair: tuple[int, int, bool]) -> int:
            pairs.append(pair)
            return 0

        start = (extracted.start, task.start, True)
        self.next_PA = Automaton.explore(start, step, visit, task.vocabulary).transitions_SA
        self.state_P, self.goal_P = np.array([pair[:2] for pair in pairs]).T
        self.empty_P = np.arange(len(pairs)) == 0


def meetings(extracted: Automaton, task: Automaton) -> tuple[Ints, Ints]:
    """Walk an automaton along all strings that can still count; what lies beside them is free.

    Returns:
        [E, 3] each state, symbol and next state on the way to a string with a class in the task, and [L, 2] each state
        in which a non-empty string with a class ends, with that class.
    """
    pairs = Pairs(extracted, task)
    sources, symbols = np.nonzero(live(task)[pairs.goal_P[pairs.next_PA]])
    targets = pairs.next_PA[sources, symbols]
    edges_E3 = np.stack([pairs.state_P[sources], symbols, pairs.state_P[targets]], 1)
    ends_L2 = np.stack([pairs.state_P[targets], task.outputs_S[pairs.goal_P[targets]]], 1)
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


def isomorphism(one: Automaton, other: Automaton) -> tuple[int, ...] | None:
    """Return how the states of an automaton correspond to those of another, if they do one to one.

    Args:
        one: an automaton whose states are numbered breadth first, as those of `Automaton.minimal` are.
        other: such an automaton.

    Returns:
        For each state of the first the state of the second, such that starts, transitions and classes correspond;
        None where there is no such correspondence.
    """
    # Breadth first each state is reached by the same first string in both, so that its number is the same.
    right = (
        one.start == other.start
        and np.array_equal(one.transitions_SA, other.transitions_SA)
        and np.array_equal(one.outputs_S, other.outputs_S)
    )
    return tuple(range(one.states)) if right else None
