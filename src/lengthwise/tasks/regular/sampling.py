"""Exactly uniform strings of a given length, drawn by counting the paths of an automaton.

The number of wanted strings that remain from each state is a row of logarithms, shifted so that its largest
entry is zero: a million symbols neither overflow nor underflow, whatever the growth rates of the states are.
Symbols are drawn a word at a time. Where the rows settle into a cycle, up to the rounding of their numbers, the
cycle stands for all longer strings.

Shape letters: S states, A alphabet, B batch rows, K symbols of a word, N words, R rows of a block.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lengthwise.errors import InputError
from lengthwise.tasks.base import Bools, Ints
from lengthwise.tasks.regular.automaton import Automaton

Logs = NDArray[np.float64]

STEP_ENTRIES = 1024
BLOCK_ROWS = 1024
BLOCK_BYTES = 64 << 20
KEPT_TABLES = 64
LONGEST_PERIOD = 12
SETTLED = 1e-13


class CountingSampler:
    """Draws uniformly among the strings of a length that end in one of some wanted states.

    Args:
        automaton: reads the strings.
        wanted_S: [S] whether a string may end there.
        which: what is wanted of strings, as messages say it.
        kind: what messages call a string.
    """

    def __init__(self, automaton: Automaton, wanted_S: Bools, which: str = "is wanted", kind: str = "string") -> None:
        self.automaton = automaton
        self._which, self._kind = which, kind
        self._wanted_S = np.asarray(wanted_S, dtype=np.bool_)
        self._word_length = automaton.fitting_length(STEP_ENTRIES, longest=8)
        with np.errstate(divide="ignore"):
            self._first_S: Logs = np.log(self._wanted_S.astype(np.float64))
        self._checkpoints: list[Logs] = [self._first_S]
        self._block = lru_cache(max(2, BLOCK_BYTES // (BLOCK_ROWS * automaton.states * 8)))(self._computed)
        self._tables: dict[tuple[int, int], Logs] = {}
        self._cycle: tuple[int, int] | None = None

    def exists(self, length: int) -> bool:
        """Return whether any wanted string of this length exists."""
        return bool(self.automaton.leads(self._wanted_S, length)[self.automaton.start])

    def missing(self, length: int) -> str:
        """Return a sentence on a length without wanted strings: the nearest shorter and longer ones that have some."""
        window = 2 * self.automaton.states + 2
        lowest = max(1, length - window)
        ends_S = self.automaton.leads(self._wanted_S, lowest)
        lengths: list[int] = []
        for candidate in range(lowest, length + window + 1):
            if ends_S[self.automaton.start]:
                lengths.append(candidate)
            ends_S = np.asarray(ends_S[self.automaton.transitions_SA].any(axis=1))
        nearest = [n for n in lengths if n < length][-1:] + [n for n in lengths if n > length][:1]
        found = {
            0: "no length near it does",
            1: "the nearest length that does is {}",
            2: "the nearest lengths that do are {} and {}",
        }
        return f"no {self._kind} of length {length} {self._which}; {found[len(nearest)].format(*nearest)}"

    def sample(self, rng: np.random.Generator, batch_size: int, length: int) -> Ints:
        """Draw strings uniformly, with replacement.

        Args:
            rng: the only source of randomness.
            batch_size: B, the number of strings.
            length: the number of symbols.

        Returns:
            [B, length] the symbols.

        Raises:
            InputError: no wanted string has this length.
        """
        if length < 1 or not self.exists(length):
            raise InputError(self.missing(length))
        words, first = divmod(length, self._word_length)
        states_B = np.full(batch_size, self.automaton.start, dtype=np.int64)
        tokens = np.empty((batch_size, length), dtype=np.int64)
        codes_B, states_B = self._draw_word(rng, states_B, first, words)
        tokens[:, :first] = self._spell(codes_B, first)
        codes_NB = np.empty((words, batch_size), dtype=np.int64)
        for word in range(words):
            codes_NB[word], states_B = self._draw_word(rng, states_B, self._word_length, words - word - 1)
        spelled_BNK = self._spell(codes_NB.T, self._word_length)
        tokens[:, first:] = spelled_BNK.reshape(batch_size, words * self._word_length)
        return tokens

    def _draw_word(self, rng: np.random.Generator, states_B: Ints, length: int, remaining: int) -> tuple[Ints, Ints]:
        """Return [B] words of a length and the states after them; so many whole words remain."""
        if not length:
            return np.zeros_like(states_B), states_B
        words_SW = self.automaton.words(length)
        # Each state owns one unit interval, so that a single sorted search serves the whole batch; rounding
        # must not carry a draw into the interval of the next state.
        draws_B = np.minimum(states_B + rng.random(len(states_B)), np.nextafter(states_B + 1.0, 0.0))
        found_B = np.searchsorted(self._table(remaining, length), draws_B, side="right")
        return found_B - states_B * words_SW.shape[1], words_SW.ravel()[found_B]

    def _table(self, remaining: int, length: int) -> Logs:
        """Return [S * A ** K] the cumulative share of each word, raised by the number of its state."""
        place = self._place(remaining)
        if (place, length) in self._tables:
            return self._tables[place, length]
        table_SW = np.cumsum(_shares(self._row(place)[self.automaton.words(length)])[0], axis=1)
        totals_S = table_SW[:, -1:]
        table_SW /= np.where(totals_S > 0, totals_S, 1)
        table_SW += np.arange(self.automaton.states)[:, None]
        table = table_SW.ravel()
        if place < KEPT_TABLES or (self._cycle and place >= self._cycle[0]):
            self._tables[place, length] = table
        return table

    def _spell(self, codes: Ints, length: int) -> Ints:
        """Return the symbols of words on a new last axis [..., K]."""
        digits = self.automaton.vocabulary ** np.arange(length - 1, -1, -1)
        letters = np.arange(self.automaton.vocabulary**length)[:, None] // digits % self.automaton.vocabulary
        return letters[codes]

    def _place(self, words: int) -> int:
        """Return the number of words whose counts stand for those of so many words."""
        while self._cycle is None and len(self._checkpoints) * BLOCK_ROWS <= words:
            self._block(len(self._checkpoints) - 1)
        if self._cycle is None or words < self._cycle[0]:
            return words
        first, period = self._cycle
        return first + (words - first) % period

    def _row(self, place: int) -> Logs:
        """Return [S] the log counts, up to a common shift, of the wanted strings of so many words."""
        index, offset = divmod(place, BLOCK_ROWS)
        return self._block(index)[offset]

    def _computed(self, index: int) -> Logs:
        """Return one block of rows [R, S] from its checkpoint; the first time, find the next checkpoint, too."""
        rows_RS = np.empty((BLOCK_ROWS, self.automaton.states))
        current_S = self._checkpoints[index]
        table_SW = self.automaton.words(self._word_length)
        for row in range(BLOCK_ROWS):
            rows_RS[row] = current_S
            current_S = _log_sum(current_S[table_SW])
        if len(self._checkpoints) == index + 1:
            self._checkpoints.append(current_S)
            period = _period(rows_RS)
            self._cycle = (index * BLOCK_ROWS + BLOCK_ROWS - period, period) if period else None
        return rows_RS


def _shares(logs_SW: Logs) -> tuple[Logs, Logs]:
    """Return numbers in proportion to the counts, the largest of each row being one, and its logarithm [S]."""
    peaks_S = logs_SW.max(axis=1)
    finite_S = np.where(np.isfinite(peaks_S), peaks_S, 0)
    return np.exp(logs_SW - finite_S[:, None]), finite_S


def _period(rows_RS: Logs) -> int:
    """Return the smallest period of the last rows, 0 if they have none."""
    for period in range(1, LONGEST_PERIOD + 1):
        late, early = rows_RS[-period:], rows_RS[-2 * period : -period]
        both = np.isfinite(late) & np.isfinite(early)
        alike = np.abs(np.subtract(late, early, out=np.zeros_like(late), where=both)) < SETTLED
        if (alike & (np.isfinite(late) == np.isfinite(early))).all():
            return period
    return 0


def _log_sum(logs_SW: Logs) -> Logs:
    """Return the logarithm of each row's sum of counts, shifted so that the largest is zero."""
    shares_SW, peaks_S = _shares(logs_SW)
    sums_S = shares_SW.sum(axis=1)
    logs_S = np.log(sums_S, out=np.full(len(sums_S), -np.inf), where=sums_S > 0) + peaks_S
    peak = logs_S.max()
    return logs_S - peak if np.isfinite(peak) else logs_S
