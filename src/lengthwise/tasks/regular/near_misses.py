"""Strings one or two edits away from a string of another class.

Shape letters: B batch rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lengthwise.tasks.base import IGNORE, Ints
from lengthwise.tasks.regular.automaton import Automaton, Strings

Draw = Callable[[np.random.Generator, int], Ints]

PROBES = 64
PROBE_ROWS = 64
PROBE_SYMBOLS = 1 << 20


def horizon(automaton: Automaton) -> int | None:
    """Return after how many symbols the class of a string is settled, or None when it never is."""
    absorbing_S = (automaton.transitions_SA == np.arange(automaton.states)[:, None]).all(axis=1)
    open_states = {automaton.start} - set(np.flatnonzero(absorbing_S).tolist())
    for steps in range(automaton.states + 1):
        if not open_states:
            return steps
        followers = np.unique(automaton.transitions_SA[sorted(open_states)])
        open_states = set(followers[~absorbing_S[followers]].tolist())
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
    if not len(rows):
        return
    places = rng.integers(within - 1, size=len(rows))
    tokens_BT[rows, places], tokens_BT[rows, places + 1] = (
        tokens_BT[rows, places + 1],
        tokens_BT[rows, places],
    )


def attempt(rng: np.random.Generator, automaton: Automaton, draw: Draw, rows: int, settled: int | None) -> Strings:
    """Edit fresh strings once and keep those whose class became another one.

    Args:
        rng: the only source of randomness.
        automaton: gives the classes.
        draw: makes the strings to edit.
        rows: the number of strings to edit.
        settled: the horizon of the automaton.

    Returns:
        At most so many strings, with their new classes.
    """
    tokens = draw(rng, rows)
    within = tokens.shape[1] if settled is None else min(settled, tokens.shape[1])
    if automaton.vocabulary < 2 or not within:
        return Strings(tokens[:0], np.zeros(0, dtype=np.int64))
    before = automaton.label(tokens)
    tokens = edit(rng, tokens, automaton.vocabulary, within)
    after = automaton.label(tokens)
    kept = (after != before) & (after != IGNORE)
    return Strings(tokens[kept], after[kept])


def probe(automaton: Automaton, draw: Draw, length: int, settled: int | None) -> bool:
    """Return whether near misses turn up, by trials of a fixed seed, so that no caller's generator moves.

    Args:
        automaton: gives the classes.
        draw: makes the strings to edit.
        length: the number of their symbols.
        settled: the horizon of the automaton.

    Returns:
        Whether one was found among 4,096 strings, or fewer where they are longer than 16,384 symbols.
    """
    rng = np.random.default_rng(0)
    rows = max(1, min(PROBE_ROWS, PROBE_SYMBOLS // length))
    return any(len(attempt(rng, automaton, draw, rows, settled).targets) for _ in range(PROBES))


def collect(
    rng: np.random.Generator, automaton: Automaton, draw: Draw, batch_size: int, settled: int | None
) -> Strings:
    """Edit strings until enough of them have another class; such strings must exist (`probe`).

    Args:
        rng: the only source of randomness.
        automaton: gives the classes.
        draw: makes the strings to edit.
        batch_size: the number of near misses.
        settled: the horizon of the automaton.

    Returns:
        The near misses with their classes.
    """
    parts: list[Strings] = []
    missing = batch_size
    rows = 2 * batch_size
    while missing > 0 or not parts:
        part = attempt(rng, automaton, draw, rows, settled)
        parts.append(part)
        missing -= len(part.targets)
        rows = min(4 * rows, 4096) if 8 * len(part.targets) < rows else rows
    return Strings(
        np.concatenate([part.tokens for part in parts])[:batch_size],
        np.concatenate([part.targets for part in parts])[:batch_size],
    )
