"""Strings whose number of runs is uniform, so that slow and fast changes of symbol are equally common.

Uniform strings of 40 symbols have about 20 runs of equal symbols, hardly ever 4. A few long runs drive an automaton
to its borders many times within a short string, as only long uniform strings do.

Shape letters: S states, A alphabet, B batch rows, T tokens, R numbers of runs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lengthwise.errors import InputError
from lengthwise.tasks.base import Bools, Ints
from lengthwise.tasks.regular.automaton import Automaton

MOST_RUNS = 40
"""Strings with more runs are never drawn."""


class RunSampler:
    """Draws strings that end in wanted states: first the number of runs, uniform, then a string uniform among those.

    Args:
        automaton: reads the strings.
        wanted_S: [S] whether a string may end there.
    """

    def __init__(self, automaton: Automaton, wanted_S: Bools) -> None:
        self.automaton = automaton
        # After the symbol a in state s: how many strings of t symbols begin r further runs and end as wanted, for each
        # t up to a common factor.
        counts_RSA = np.zeros((MOST_RUNS, automaton.states, automaton.vocabulary))
        counts_RSA[0] = np.asarray(wanted_S, dtype=np.float64)[:, None]
        self._counts: list[NDArray[np.float64]] = [counts_RSA]

    def possible(self, length: int) -> Ints:
        """Return the numbers of runs that wanted strings of this length can have, in increasing order."""
        firsts_A, alphabet_A = self.automaton.transitions_SA[self.automaton.start], np.arange(self.automaton.vocabulary)
        return np.flatnonzero(self._table(length - 1)[:, firsts_A, alphabet_A].sum(1) > 0) + 1

    def sample(self, rng: np.random.Generator, batch_size: int, length: int) -> Ints:
        """Draw [B, length] strings.

        Args:
            rng: the only source of randomness.
            batch_size: B, the number of strings.
            length: the number of symbols, at least 1.

        Raises:
            InputError: no wanted string has this length and at most `MOST_RUNS` runs.
        """
        possible = self.possible(length)
        if not len(possible):
            raise InputError(f"no string of length {length} with at most {MOST_RUNS} runs is wanted")
        tokens_BT = np.empty((batch_size, length), dtype=np.int64)
        left_B = rng.choice(possible, size=batch_size)
        alphabet_A, rows_B = np.arange(self.automaton.vocabulary), np.arange(batch_size)
        # Before the first symbol stands another one, so that it begins a run.
        states_B, symbols_B = np.full(batch_size, self.automaton.start), np.full(batch_size, -1)
        for place in range(length):
            left_BA = left_B[:, None] - (alphabet_A != symbols_B[:, None])
            successors_BA = self.automaton.transitions_SA[states_B]
            counts_BA = self._table(length - place - 1)[np.maximum(left_BA, 0), successors_BA, alphabet_A]
            symbols_B = _draw(rng, np.where(left_BA >= 0, counts_BA, 0.0))
            left_B, states_B = left_BA[rows_B, symbols_B], successors_BA[rows_B, symbols_B]
            tokens_BT[:, place] = symbols_B
        return tokens_BT

    def _table(self, remaining: int) -> NDArray[np.float64]:
        symbols_A = np.arange(self.automaton.vocabulary)
        while len(self._counts) <= remaining:
            ways_RSA = self._counts[-1][:, self.automaton.transitions_SA, symbols_A]
            others_RSA = ways_RSA.sum(2, keepdims=True) - ways_RSA
            counts_RSA = ways_RSA.copy()
            counts_RSA[1:] += others_RSA[:-1]
            # Only the shares at one length matter; the factor keeps long strings in range.
            self._counts.append(counts_RSA / max(counts_RSA.max(), 1.0))
        return self._counts[remaining]


def _draw(rng: np.random.Generator, weights_BA: NDArray[np.float64]) -> Ints:
    """Draw one index a row, in proportion to the weights; one of weight zero is never drawn."""
    sums_BA = np.cumsum(weights_BA, 1)
    draws_B = rng.random(len(weights_BA)) * sums_BA[:, -1]
    last_B = weights_BA.shape[1] - 1 - (weights_BA[:, ::-1] > 0).argmax(1)
    return np.minimum((sums_BA <= draws_B[:, None]).sum(1), last_B)


def redraw_one(rng: np.random.Generator, tokens_BT: Ints, vocabulary: int) -> Ints:
    """Return the strings with the symbol at one random place of each drawn anew."""
    edited_BT = tokens_BT.copy()
    rows, length = tokens_BT.shape
    edited_BT[np.arange(rows), rng.integers(length, size=rows)] = rng.integers(vocabulary, size=rows)
    return edited_BT
