"""Cells of a soft automaton: where its mass may lie without harm, while the task's automaton reads the same string.

A cell is a set of states of the unit for each row that the readout sees. What a cell's states leak into the cell that
the symbol leads to is not lost.

Shape letters: N cells, E edges, L labelled cells, R rows that the readout sees, K states of a head, V symbols,
G states of the task.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lengthwise.certificates.product import Product, fixed_point, live, meetings
from lengthwise.certificates.stochastic import SoftAutomaton
from lengthwise.tasks.base import IGNORE, Bools, Ints
from lengthwise.tasks.regular.automaton import Automaton

THRESHOLDS = (0.0, 1e-6, 1e-4, 1e-3, 1e-2, 0.1, 0.3)
"""Leaks up to which states beside those that rounded strings visit are trusted, one set of cells each."""


@dataclass(frozen=True)
class Cells:
    """Cells, and how the symbols of strings that count lead from one to the next.

    Args:
        trusted_NRK: the states in each cell.
        edges_E3: cell, symbol, next cell.
        labelled_L2: each cell in which a string that counts ends, and its class.
        start: the cell before the first symbol.
    """

    trusted_NRK: Bools
    edges_E3: Ints
    labelled_L2: Ints
    start: int


def singletons(unit: SoftAutomaton, product: Product[tuple[int, ...]]) -> Cells:
    """Return a cell for each state of the unit with rounded rows, with no more than what that state stands for."""
    edges_E3, labelled_L2 = meetings(product)
    return Cells(np.array(product.found)[..., None] == np.arange(unit.size), edges_E3, labelled_L2, 0)


def merged(unit: SoftAutomaton, product: Product[tuple[int, ...]]) -> Iterator[Cells]:
    """Yield cells that hold all states of the unit which do the same as one state of the task."""
    # The first pair is that of the empty string, which does not count.
    state_P, goal_P = product.walk()[0][1:].T
    task, rows_SR = product.task, np.array(product.found)
    moves_VK = unit.moves[:, unit.heads_R[0]]
    live_G = live(task)
    counted = live_G[goal_P]
    visited_KG = np.zeros((unit.size, task.states), dtype=np.bool_)
    visited_KG[rows_SR[state_P[counted], 0], goal_P[counted]] = True
    same_KG = visited_KG | _similar(unit, moves_VK, task, live_G)
    for threshold in THRESHOLDS:
        yield _cells(unit, _trusted(unit, same_KG, visited_KG, task, live_G, threshold), task, live_G)


def _similar(unit: SoftAutomaton, moves_VK: Ints, task: Automaton, live_G: Bools) -> Bools:
    """Return [K, G] which states, rounded, answer right on all that follows a state of the task."""
    answers_K = unit.scores(np.arange(unit.size)[:, None]).argmax(-1)
    same_KG = live_G & ((task.outputs_S == IGNORE) | (answers_K[:, None] == task.outputs_S))

    def kept(same_KG: Bools) -> Bools:
        kept_KG = same_KG.copy()
        for symbol, moves_K in enumerate(moves_VK):
            next_G = task.transitions_SA[:, symbol]
            kept_KG &= same_KG[moves_K][:, next_G] | ~live_G[next_G]
        return kept_KG

    return fixed_point(same_KG, kept)


def _trusted(
    unit: SoftAutomaton, same_KG: Bools, visited_KG: Bools, task: Automaton, live_G: Bools, threshold: float
) -> Bools:
    """Return [K, G] the pairs that leak no more than the threshold out of the pairs returned, and those visited."""
    most_VKK = unit.most[:, unit.heads_R[0]]

    def kept(trusted_KG: Bools) -> Bools:
        leak_KG = np.zeros(trusted_KG.shape)
        for symbol, most_KK in enumerate(most_VKK):
            next_G = task.transitions_SA[:, symbol]
            outside_KG = (most_KK @ ~trusted_KG)[:, next_G]
            leak_KG = np.maximum(leak_KG, np.where(live_G[next_G], outside_KG, 0.0))
        return (trusted_KG & (leak_KG <= threshold)) | visited_KG

    return fixed_point(same_KG, kept)


def _cells(unit: SoftAutomaton, trusted_KG: Bools, task: Automaton, live_G: Bools) -> Cells:
    """Return a cell for each state of the task, and one for the start, which the empty string alone is in."""
    goals_NA = np.concatenate([task.transitions_SA, task.transitions_SA[task.start][None]])
    trusted_NK = np.concatenate([trusted_KG.T, np.arange(unit.size)[None] == unit.starts_R[0]])
    sources, symbols = np.nonzero(np.any(trusted_NK, axis=1)[:, None] & live_G[goals_NA])
    labelled = np.flatnonzero(trusted_KG.any(0) & (task.outputs_S != IGNORE))
    return Cells(
        trusted_NK[:, None],
        np.stack([sources, symbols, goals_NA[sources, symbols]], 1),
        np.stack([labelled, task.outputs_S[labelled]], 1),
        task.states,
    )
