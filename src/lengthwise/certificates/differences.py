"""Strings on which a rounded unit and its task differ, many at a time: what a unit can learn from next.

Shape letters: V symbols, R rows that the readout sees, N pairs of a unit's state and a task's, S states of the task.
"""

from __future__ import annotations

import numpy as np

from lengthwise.certificates.stochastic import SoftAutomaton
from lengthwise.tasks.base import IGNORE, Ints
from lengthwise.tasks.regular.automaton import Automaton, Word

_PIECE = 4_096
"""States that are read out together."""


def find_differences(
    unit: SoftAutomaton,
    task: Automaton,
    longest: int,
    rng: np.random.Generator,
    limit: int = 256,
    pairs: int = 100_000,
) -> list[Word]:
    """Search breadth first for strings that a unit with rounded rows answers wrong.

    Behind a pair of states that is answered wrong the search does not go on: each string is wrong for the first time
    at its last symbol. None found is no proof; `compare` gives one.
    """
    moves_VR = unit.moves[:, unit.heads_R]
    rows = np.arange(len(unit.heads_R))
    # Whole levels at once, where `Automaton.explore` and `compare` visit one pair at a time: training searches often.
    # Pairs of states are told apart by a random linear code; two that collide are visited once, which costs at most a
    # string.
    code_R = rng.integers(1, 2**63, size=len(rows) + 1, dtype=np.uint64)
    states_NR, goals_N = unit.starts_R[None], np.array([task.start])
    visited = _encode(code_R, states_NR, goals_N)
    levels, found = list[tuple[Ints, Ints]](), list[Word]()
    for _ in range(longest):
        count = len(goals_N)
        states_NR = np.concatenate([moves[rows, states_NR] for moves in moves_VR])
        goals_N = np.concatenate([task.transitions_SA[goals_N, symbol] for symbol in range(task.vocabulary)])
        codes_N = _encode(code_R, states_NR, goals_N)
        _, first = np.unique(codes_N, return_index=True)
        new = first[~np.isin(codes_N[first], visited, assume_unique=True)]
        if not len(new):
            break
        states_NR, goals_N = states_NR[new], goals_N[new]
        visited = np.concatenate([visited, codes_N[new]])
        levels.append((new % count, new // count))
        truth_N = task.outputs_S[goals_N]
        pieces = [states_NR[start : start + _PIECE] for start in range(0, len(states_NR), _PIECE)]
        answers_N = np.concatenate([unit.scores(piece).argmax(1) for piece in pieces])
        wrong_N = (truth_N != IGNORE) & (answers_N != truth_N)
        places = rng.permutation(np.flatnonzero(wrong_N))[: limit - len(found)]
        found.extend(_word(levels, int(place)) for place in places)
        right = np.flatnonzero(~wrong_N)
        if len(found) == limit or len(visited) > pairs or not len(right):
            break
        states_NR, goals_N = states_NR[right], goals_N[right]
        levels[-1] = levels[-1][0][right], levels[-1][1][right]
    return found


def _encode(code_R: np.ndarray, states_NR: Ints, goals_N: Ints) -> np.ndarray:
    columns = np.concatenate([states_NR, goals_N[:, None]], axis=1).astype(np.uint64)
    return (columns * code_R).sum(1, dtype=np.uint64)


def _word(levels: list[tuple[Ints, Ints]], place: int) -> Word:
    """Walk back from a place in the last level: each level says where its pairs came from, and by which symbol."""
    symbols = list[int]()
    for parents_N, symbols_N in reversed(levels):
        symbols.append(int(symbols_N[place]))
        place = int(parents_N[place])
    return tuple(reversed(symbols))
