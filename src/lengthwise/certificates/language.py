"""The language of a reader of strings, as an automaton: Angluin's L* with nothing but questions about strings.

The automaton is right on all strings that were asked about, and on the others it is a conjecture.

Shape letters: S states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np

from lengthwise.errors import RunError
from lengthwise.tasks.automaton import Automaton, Word
from lengthwise.tasks.base import UNLABELLED
from lengthwise.tasks.writing import write_runs

Ask = Callable[[Sequence[Word]], list[int]]
"""The classes of strings of at least one symbol."""

EXHAUSTIVE = 4_096
"""Strings of one length, at most, on which a conjecture is compared with what it was learned from."""


def learn_language(ask: Ask, vocabulary: int, domain: Automaton | None, states: int) -> Automaton:
    """Learn the minimal automaton of what a reader says about strings.

    Args:
        ask: the reader.
        vocabulary: the number of symbols.
        domain: strings to which it gives no class are never asked about; none by default.
        states: the largest number of states to find.

    Returns:
        An automaton whose start, before the first symbol, is a state of its own, without a class. It agrees with the
        reader on all strings of each length of which there are at most `EXHAUSTIVE`.

    Raises:
        RunError: there are more states.

    Source: Angluin 1987, with the suffixes of counterexamples as in Maler and Pnueli 1995.
    """
    return _Learner(ask, vocabulary, domain, states).run()


class _Learner:
    """The table of observations: strings that lead to each state, and suffixes that tell states apart."""

    def __init__(self, ask: Ask, vocabulary: int, domain: Automaton | None, states: int) -> None:
        self.ask, self.domain, self.limit = ask, domain, states
        self.symbols = range(vocabulary)
        self.suffixes: list[Word] = [()]
        self.known: dict[Word, int] = {(): UNLABELLED}

    def run(self) -> Automaton:
        while True:
            conjecture = self._close()
            longer = self._inconsistent() or self._suffixes_of_counterexample(conjecture)
            if not longer:
                return conjecture
            self.suffixes += longer

    def _close(self) -> Automaton:
        """Follow every symbol from every state until there is no new state; the start is like no other."""
        self.access: list[Word] = [()]
        states = dict[tuple[int, ...], int]()
        rows: list[list[int]] = []
        while len(rows) < len(self.access):
            words = [(*word, symbol) for word in self.access[len(rows) :] for symbol in self.symbols]
            found = [states.setdefault(row, len(states) + 1) for row in self._rows(words)]
            for word, state in zip(words, found, strict=True):
                if state == len(self.access):
                    self.access.append(word)
            rows += np.reshape(found, (-1, len(self.symbols))).tolist()
            if len(rows) > self.limit:
                deepest = len(self.access[-1])
                raise RunError(
                    f"the language does not close: more than {self.limit} states, told apart by "
                    f"{len(self.suffixes)} suffixes; {sum(len(word) == deepest for word in self.access)} of them are "
                    f"new with strings of {deepest} symbols, the last one with {write_runs(self.access[-1], most=24)}; "
                    "--states allows more"
                )
        self.transitions = rows
        return Automaton(np.array(rows), 0, np.array([self.known[word] for word in self.access]))

    def _rows(self, words: Sequence[Word]) -> list[tuple[int, ...]]:
        self._look_up([word + suffix for word in words for suffix in self.suffixes])
        return [tuple(self.known[word + suffix] for suffix in self.suffixes) for word in words]

    def _inconsistent(self) -> list[Word]:
        """Return a suffix that tells apart two strings which were taken for one state, if a symbol leads to one."""
        pairs = [
            ((*word, symbol, after), (*self.access[row[symbol]], after))
            for word, row in zip(self.access, self.transitions, strict=True)
            for symbol in self.symbols
            for after in self.symbols
        ]
        one = self._rows([pair[0] for pair in pairs])
        other = self._rows([pair[1] for pair in pairs])
        for (word, _), mine, theirs in zip(pairs, one, other, strict=True):
            for suffix, a, b in zip(self.suffixes, mine, theirs, strict=True):
                if a != b:
                    return [(word[-1], *suffix)]
        return []

    def _suffixes_of_counterexample(self, conjecture: Automaton) -> list[Word]:
        """Return the new suffixes of the first string that the conjecture gets wrong."""
        for words in self._all_strings():
            self._look_up(words)
            claimed = conjecture.label(np.array(words)).tolist()
            for word, label in zip(words, claimed, strict=True):
                if self.known[word] != label:
                    suffixes = [word[start:] for start in range(1, len(word))]
                    return [suffix for suffix in suffixes if suffix not in self.suffixes]
        return []

    def _all_strings(self) -> Iterator[list[Word]]:
        length = 1
        while len(self.symbols) ** length <= EXHAUSTIVE and length <= 16:
            yield list(product(self.symbols, repeat=length))
            length += 1

    def _look_up(self, words: Sequence[Word]) -> None:
        new = [word for word in dict.fromkeys(words) if word not in self.known]
        if self.domain is not None:
            has_class = [self._has_class(word) for word in new]
            self.known |= {word: UNLABELLED for word, fine in zip(new, has_class, strict=True) if not fine}
            new = [word for word, fine in zip(new, has_class, strict=True) if fine]
        if new:
            self.known |= dict(zip(new, self.ask(new), strict=True))

    def _has_class(self, word: Word) -> bool:
        assert self.domain is not None
        state = self.domain.start
        for symbol in word:
            state = int(self.domain.transitions_SA[state, symbol])
        return int(self.domain.outputs_S[state]) != UNLABELLED
