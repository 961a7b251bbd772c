"""Strings one or two edits away from a string of another class.

Shape letters: B batch rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lengthwise.tasks.base import IGNORE, Ints
from lengthwise.tasks.regular.automaton import Automaton, Strings

Draw = Callable[[np.random.Generator, int, int], Ints]
"""Makes [B, T] strings from a generator, B and T."""

PROBES = 64
PROBE_ROWS = 64
PROBE_SYMBOLS = 1 << 20


def horizon(automaton: Automaton) -> int | None:
    """Return after how many symbols the class of a string is settled, or None when it never is."""
    # From where so many symbols can lead to a state that can still be left.
    open_S = (automaton.transitions_SA != np.arange(automaton.states)[:, None]).any(axis=1)
    for steps in range(automaton.states + 1):
        if not open_S[automaton.start]:
            return steps
        open_S = open_S[automaton.transitions_SA].any(axis=1)
    return None


def edit(rng: np.random.Generator, tokens_BT: Ints, vocabulary: int, within: int) -> Ints:
    """Change each string in one or two places, its length kept.

    Args:
        rng: the only source of randomness.
        tokens_BT: [B, T] the symbols.
        vocabulary: the number of symbols, at least two.
        within: edits touch only so many symbols from the front.

    Returns:
        [B, T] copies with one or two edits, equally often; an edit replaces a symbol by another one or
        exchanges two neighbours, equally often where there are two.
    """
    edited = tokens_BT.copy()
    rows = np.arange(len(edited))
    twice_B = rng.random(len(edited)) < 0.5
    for chosen in (rows, rows[twice_B]):
        exchange = rng.random(len(chosen)) < (0.5 if within > 1 else 0)
        _substitute(rng, edited, chosen[~exchange], vocabulary, within)
        _exchange(rng, edited, chosen[exchange], within)
    return edited


def _substitute(rng: np.random.Generator, tokens_BT: Ints, rows: Ints, vocabulary: int, within: int) -> None:
    places = rng.integers(within, size=len(rows))
    shifts = rng.integers(1, vocabulary, size=len(rows))
    tokens_BT[rows, places] = (tokens_BT[rows, places] + shifts) % vocabulary


def _exchange(rng: np.random.Generator, tokens_BT: Ints, rows: Ints, within: int) -> None:
    # Where nothing can be exchanged there are no rows.
    places = rng.integers(max(within - 1, 1), size=len(rows))
    both = places[:, None] + np.arange(2)
    tokens_BT[rows[:, None], both] = tokens_BT[rows[:, None], both[:, ::-1]]


class NearMisses:
    """Draws strings, edits them and keeps those whose class became another one.

    Args:
        automaton: gives the classes.
        draw: makes [B, T] strings to edit from a generator, B and T.
    """

    def __init__(self, automaton: Automaton, draw: Draw) -> None:
        self._automaton, self._draw = automaton, draw
        self._horizon = horizon(automaton)
        self._exist: dict[int, bool] = {}

    def exist(self, length: int) -> bool:
        """Return whether one turns up among 4,096 strings, or fewer where they are longer than 16,384 symbols.

        The trials have a fixed seed, so that no caller's generator moves.
        """
        if length not in self._exist:
            rng = np.random.default_rng(0)
            rows = max(1, min(PROBE_ROWS, PROBE_SYMBOLS // length))
            self._exist[length] = any(len(self._attempt(rng, rows, length).targets) for _ in range(PROBES))
        return self._exist[length]

    def sample(self, rng: np.random.Generator, batch_size: int, length: int) -> Strings:
        """Draw strings with their new classes; they must exist."""
        parts: list[Strings] = []
        missing = batch_size
        rows = 2 * batch_size
        while missing > 0 or not parts:
            part = self._attempt(rng, rows, length)
            parts.append(part)
            missing -= len(part.targets)
            rows = min(4 * rows, 4096) if 8 * len(part.targets) < rows else rows
        return Strings(
            np.concatenate([part.tokens for part in parts])[:batch_size],
            np.concatenate([part.targets for part in parts])[:batch_size],
        )

    def _attempt(self, rng: np.random.Generator, rows: int, length: int) -> Strings:
        """Edit so many strings once and return those that are near misses."""
        tokens = self._draw(rng, rows, length)
        within = length if self._horizon is None else min(self._horizon, length)
        if self._automaton.vocabulary < 2 or not within:
            return Strings(tokens[:0], np.zeros(0, dtype=np.int64))
        before = self._automaton.label(tokens)
        tokens = edit(rng, tokens, self._automaton.vocabulary, within)
        after = self._automaton.label(tokens)
        kept = (after != before) & (after != IGNORE)
        return Strings(tokens[kept], after[kept])
