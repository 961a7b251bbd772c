"""Proofs about a unit whose operator multiplies row-stochastic matrices: rounded, and as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from lengthwise.certificates.cells import merged, singletons
from lengthwise.certificates.finding import LARGEST, Finding
from lengthwise.certificates.leakage import LeakageBound
from lengthwise.certificates.product import Counterexample
from lengthwise.certificates.stochastic import SATURATION, STATES, SoftAutomaton
from lengthwise.errors import InputError
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.automaton import Automaton

PATH_SYMBOLS = 5_000
"""How far the leakiest string is followed in search of a wrong answer."""


def certify_stochastic(
    unit: SoftAutomaton, task: Automaton, method: Literal["raw", "rounded"] = "raw", limit: int = STATES
) -> Finding:
    """Round a unit to an automaton, decide whether it is the task's, and for how long the unit answers alike.

    Args:
        unit: the soft automaton, as read from a checkpoint.
        task: the task's automaton.
        method: ``raw`` for a statement about the unit as it is, ``rounded`` for one about the unit with one-hot rows.
        limit: the largest number of states of the automaton.

    Returns:
        What was found. ``raw`` finds every length where the unit's products are exact in float32, and a length
        where its rows leak.

    Raises:
        InputError: the automaton has more states than the limit and no wrong answer among them, or reads another
            alphabet than the task.
    """
    goal = task.minimal()
    product = unit.product(task, limit)
    if product.difference is not None:
        try:
            extracted = product.automaton
        except InputError:
            extracted = None
        return Finding(method, goal, extracted, counterexample=product.difference)
    found = Finding(method, goal, product.automaton)
    single = singletons(unit, product)
    hard = LeakageBound(replace(unit, rounds=True), single)
    # Symbol, head and state of each row that a string that counts visits.
    source_E, symbol_E, _ = single.edges_E3.T
    visited = symbol_E[:, None], unit.heads_R, np.array(product.found)[source_E]
    gap = float(unit.gaps[visited].min(initial=LARGEST))
    margins = {"margin": hard.margin, "readout_error": hard.readout_error, "row_gap": gap}
    if unit.rounds and gap <= 4.0 * unit.leaf_error:
        margins["row_error"] = 4.0 * unit.leaf_error
    if hard.margin <= hard.readout_error or "row_error" in margins:
        return replace(found, margins=margins)
    # One class alone is answered whatever leaks.
    exact = unit.rounds or len(unit.bias_C) == 1 or (unit.gaps[visited] > SATURATION).all()
    if method == "rounded" or exact:
        return replace(found, margins=margins | {"leak": 0.0})
    cells = [single, *(merged(unit, product) if len(unit.heads_R) == 1 else ())]
    best = max((LeakageBound(unit, one) for one in cells), key=lambda bound: bound.longest(floating=True))
    return replace(
        found,
        length=best.longest(floating=True) or None,
        margins=margins | {"leak": best.leak, "cell_margin": best.margin, "exact_length": best.longest(floating=False)},
        counterexample=search_leaking(unit, task, LeakageBound(unit, single)),
    )


def search_leaking(
    unit: SoftAutomaton, task: Automaton, bound: LeakageBound, length: int = PATH_SYMBOLS
) -> Counterexample | None:
    """Follow the leakiest string and return its shortest prefix on which the unit answers wrong, if there is one."""
    symbols = bound.leakiest(length)
    if not symbols:
        return None
    answers = unit.answers(symbols)
    truths = task.label_prefixes(np.array([symbols]))[0]
    wrong = np.flatnonzero((truths != IGNORE) & (answers != truths))
    if not len(wrong):
        return None
    end = int(wrong[0]) + 1
    return Counterexample(symbols=symbols[:end], answer=int(answers[end - 1]), truth=int(truths[end - 1]))
