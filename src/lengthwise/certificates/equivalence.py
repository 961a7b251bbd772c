"""Whether an automaton read off a trained unit is the automaton of its task: exactly, at every length.

Nothing is sampled: two automata are compared by breadth-first search over the pairs of states that some string reaches,
of which there are finitely many.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from lengthwise.errors import InputError
from lengthwise.tasks.automaton import Automaton
from lengthwise.tasks.base import UNLABELLED, Bools


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


@dataclass(frozen=True)
class Different:
    """An extracted automaton is wrong on a string.

    Args:
        symbols: the shortest such string, first in the order of the alphabet among the shortest.
        states: of the extracted automaton, before the first symbol and after each.
        answer: the extracted automaton's class.
        truth: the task's class.
    """

    symbols: tuple[int, ...]
    states: tuple[int, ...]
    answer: int
    truth: int


def compare(extracted: Automaton, task: Automaton) -> Equal | Different:
    """Decide whether an automaton gives all strings of a task the task's class.

    The empty string and strings that the task leaves without a class do not count, whatever the automaton says.

    Args:
        extracted: any automaton over the task's alphabet; it need not be minimal.
        task: the task's automaton.

    Returns:
        `Equal` with the isomorphism of the minimal automata, or `Different` with the shortest string.

    Raises:
        InputError: the alphabets differ in size.

    Example:
        >>> import numpy as np
        >>> parity = Automaton(np.array([[0, 1], [1, 0]]), 0, np.array([0, 1]))
        >>> never = Automaton(np.array([[0, 0]]), 0, np.array([0]))
        >>> compare(never, parity).symbols
        (1,)
        >>> compare(parity, parity).isomorphism
        (0, 1)
    """
    restricted = restrict(extracted, task)
    symbols = restricted.shortest_difference(task)
    if symbols is not None:
        return _difference(extracted, task, symbols)
    minimal, goal = restricted.minimal(), task.minimal()
    found = isomorphism(minimal, goal)
    if found is None:
        raise AssertionError("minimal automata that agree on all strings are isomorphic")
    return Equal(minimal, goal, found)


def restrict(extracted: Automaton, task: Automaton) -> Automaton:
    """Return an automaton's answers on the strings that count: non-empty, and with a class in the task.

    Args:
        extracted: any automaton over the task's alphabet.
        task: the task's automaton.

    Returns:
        The product of both. Its class is the extracted one's on strings that count, and the task's on the others.

    Raises:
        InputError: the alphabets differ in size.
    """
    if extracted.vocabulary != task.vocabulary:
        raise InputError(
            f"an automaton over {extracted.vocabulary} symbols cannot solve a task over {task.vocabulary} symbols"
        )
    mine, theirs = extracted.transitions_SA.tolist(), task.transitions_SA.tolist()

    # Only the empty string has no symbol yet, so its pair is kept apart from the same pair reached later.
    def step(triple: tuple[int, int, bool], symbol: int) -> tuple[int, int, bool]:
        return mine[triple[0]][symbol], theirs[triple[1]][symbol], False

    def output(triple: tuple[int, int, bool]) -> int:
        state, goal, empty = triple
        truth = int(task.outputs_S[goal])
        return truth if empty or truth == UNLABELLED else int(extracted.outputs_S[state])

    return Automaton.explore((extracted.start, task.start, True), step, output, task.vocabulary)


@dataclass(frozen=True)
class Meetings:
    """Where an automaton is while it reads strings that can still count.

    Args:
        edges: each state, symbol and next state on the way to a string with a class in the task.
        labelled: each state in which a non-empty string with a class ends, and that class.
    """

    edges: frozenset[tuple[int, int, int]]
    labelled: frozenset[tuple[int, int]]


def meetings(extracted: Automaton, task: Automaton) -> Meetings:
    """Walk an automaton along all strings that can still count; what lies beside them is free.

    Args:
        extracted: an automaton over the task's alphabet.
        task: the task's automaton.
    """
    live_S = live(task)
    start = (extracted.start, task.start)
    seen, queue = {start}, deque([start])
    edges: set[tuple[int, int, int]] = set()
    labelled: set[tuple[int, int]] = set()
    while queue:
        state, goal = queue.popleft()
        for symbol in range(task.vocabulary):
            pair = (int(extracted.transitions_SA[state, symbol]), int(task.transitions_SA[goal, symbol]))
            if not live_S[pair[1]]:
                continue
            edges.add((state, symbol, pair[0]))
            if (truth := int(task.outputs_S[pair[1]])) != UNLABELLED:
                labelled.add((pair[0], truth))
            if pair not in seen:
                seen.add(pair)
                queue.append(pair)
    return Meetings(frozenset(edges), frozenset(labelled))


def live(task: Automaton) -> Bools:
    """Return [S] from which states of a task some continuation, the empty one included, has a class."""
    live_S = task.outputs_S != UNLABELLED
    while True:
        wider_S = live_S | live_S[task.transitions_SA].any(1)
        if (wider_S == live_S).all():
            return live_S
        live_S = wider_S


def isomorphism(one: Automaton, other: Automaton) -> tuple[int, ...] | None:
    """Return how the states of an automaton correspond to those of another, if they do one to one.

    Args:
        one: an automaton all of whose states are reachable.
        other: such an automaton.

    Returns:
        For each state of the first the state of the second, such that starts, transitions and classes correspond;
        None where there is no such correspondence.
    """
    if one.transitions_SA.shape != other.transitions_SA.shape:
        return None
    images = {one.start: other.start}
    queue = deque([one.start])
    while queue:
        state = queue.popleft()
        if one.outputs_S[state] != other.outputs_S[images[state]]:
            return None
        pairs = zip(one.transitions_SA[state].tolist(), other.transitions_SA[images[state]].tolist(), strict=True)
        for successor, image in pairs:
            if successor not in images:
                images[successor] = image
                queue.append(successor)
            elif images[successor] != image:
                return None
    if len(images) < one.states or len(set(images.values())) < one.states:
        return None
    return tuple(images[state] for state in range(one.states))


def _difference(extracted: Automaton, task: Automaton, symbols: list[int]) -> Different:
    tokens = np.array([symbols])
    states = (extracted.start, *extracted.trace(tokens)[0].tolist())
    return Different(tuple(symbols), states, int(extracted.outputs_S[states[-1]]), int(task.label(tokens)[0]))
