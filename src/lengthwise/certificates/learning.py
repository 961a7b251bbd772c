"""Automata learned from answers to questions about strings: AALpy's algorithm, and what it asks.

Shape letters: B strings, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby, product, takewhile
from typing import Any

import numpy as np
from aalpy.base import SUL, Oracle
from aalpy.learning_algs import run_KV

from lengthwise.errors import RunError
from lengthwise.tasks.base import IGNORE, Ints
from lengthwise.tasks.regular.automaton import Automaton, Word
from lengthwise.tasks.regular.writing import write_runs

EXHAUSTIVE = 4_096
"""Strings of one length, at most, on which a conjecture is compared with what it was learned from."""
Examine = Callable[[Any], Word | None]
"""Returns a string on which a conjecture, AALpy's ``MooreMachine``, is wrong; None when learning is over."""
_START = IGNORE - 1
"""The output of the start, which makes it a state of its own."""


def learn(answers: Callable[[Word], list[int]], examine: Examine, vocabulary: int) -> Any:
    """Return the machine that the algorithm of Kearns and Vazirani learns.

    It shows each state that it finds at once; L* would first close a table, however many states that takes.

    Args:
        answers: gives the classes of prefixes of a string, that of the whole string last.
        examine: compares conjectures with what is learned.
        vocabulary: the number of symbols.

    Source: Kearns and Vazirani 1994, as in AALpy, Muškardin et al. 2022.
    """
    alphabet = list(range(vocabulary))
    teacher = _Teacher(lambda word: answers(word) if word else [_START])
    # AALpy's own cache would ask symbol by symbol.
    settings: dict[str, Any] = {"cache_and_non_det_check": False, "print_level": 0}
    return run_KV(alphabet, teacher, _Examiner(alphabet, teacher, examine), "moore", **settings)


class _Teacher(SUL):
    """What is learned, as AALpy asks it."""

    def __init__(self, answers: Callable[[Word], list[int]]) -> None:
        super().__init__()
        self.answers = answers

    def query(self, word: Sequence[int]) -> list[int]:
        return self.answers(tuple(word))

    def pre(self) -> None: ...

    def post(self) -> None: ...

    def step(self, letter: int | None) -> int:
        raise NotImplementedError("strings are asked about as a whole")


class _Examiner(Oracle):
    """Compares AALpy's conjectures with what is learned."""

    def __init__(self, alphabet: list[int], teacher: SUL, examine: Examine) -> None:
        super().__init__(alphabet, teacher)
        self.examine = examine

    def find_cex(self, hypothesis: Any) -> Word | None:
        return self.examine(hypothesis)


def as_automaton(machine: Any, vocabulary: int) -> Automaton:
    """Return AALpy's machine as an automaton, its states numbered breadth first."""

    def output(state: Any) -> int:
        # The first conjecture of Kearns and Vazirani's algorithm has a list of one class.
        return max(int(np.ravel(state.output)[-1]), IGNORE)

    return Automaton.explore(machine.initial_state, lambda state, symbol: state.transitions[symbol], output, vocabulary)


def short_strings(vocabulary: int, most: int) -> Iterator[Ints]:
    """Yield all strings [B, T] of each length of which there are at most so many, up to 16 symbols."""
    for length in takewhile(lambda length: vocabulary**length <= most, range(1, 17)):
        yield np.array(list(product(range(vocabulary), repeat=length)))


def learn_language(
    ask: Callable[[Sequence[Word]], list[int]], vocabulary: int, domain: Automaton | None, states: int
) -> Automaton:
    """Learn the minimal automaton of what a reader says about strings.

    Args:
        ask: the reader: the classes of strings of at least one symbol.
        vocabulary: the number of symbols.
        domain: strings to which it gives no class are never asked about; none by default.
        states: the largest number of states to find.

    Returns:
        An automaton whose start, before the first symbol, is a state of its own, without a class. It agrees with the
        reader on all strings of each length of which there are at most `EXHAUSTIVE`.

    Raises:
        RunError: there are more states.
    """
    known: dict[Word, int] = {}

    def classes(words: list[Word]) -> list[int]:
        """Return the classes of strings of one length, each of which is asked about once."""
        if new := [word for word in words if word not in known]:
            labels = np.zeros(len(new)) if domain is None else domain.label(np.array(new))
            asked = [word for word, label in zip(new, labels, strict=True) if label != IGNORE]
            known.update(dict.fromkeys(new, IGNORE))
            known.update(zip(asked, ask(asked) if asked else [], strict=True))
        return [known[word] for word in words]

    suffixes: set[Word] = {()}

    def examine(machine: Any) -> Word | None:
        if len(machine.states) > states:
            words: list[Word] = sorted((state.prefix for state in machine.states), key=len)
            deepest = [word for word in words if len(word) == len(words[-1])]
            raise RunError(
                f"the language does not close: more than {states} states; {len(deepest)} of them are new with strings "
                f"of {len(words[-1])} symbols, the last one with {write_runs(words[-1], most=24)}; --states allows more"
            )
        conjecture = as_automaton(machine, vocabulary)
        # Strings of one length are asked about together, because a unit reads many as fast as one.
        for tokens_BT in chain(short_strings(vocabulary, EXHAUSTIVE), _over_arrows(machine, suffixes)):
            wrong = np.flatnonzero(conjecture.label(tokens_BT) != classes([*map(tuple, tokens_BT.tolist())]))
            if len(wrong):
                word = tuple(tokens_BT[wrong[0]].tolist())
                suffixes.update(word[start:] for start in range(1, len(word)))
                return word
        return None

    return as_automaton(learn(lambda word: classes([word]), examine, vocabulary), vocabulary)


def _over_arrows(machine: Any, suffixes: Iterable[Word]) -> Iterator[Ints]:
    """Yield the strings [B, T] of each length that lead to a state of a machine, over an arrow and on by a suffix."""
    arrows = [(*state.prefix, symbol) for state in machine.states for symbol in state.transitions]
    words = {arrow + suffix for arrow in arrows for suffix in suffixes}
    for _, alike in groupby(sorted(words, key=len), len):
        yield np.array(list(alike))
