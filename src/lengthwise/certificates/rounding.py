"""Proofs about a unit whose operator multiplies row-stochastic matrices: rounded, and as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from lengthwise.certificates.cells import Cells, merged, singletons
from lengthwise.certificates.certificate import Finding
from lengthwise.certificates.equivalence import Counterexample, compare, meetings
from lengthwise.certificates.leakage import LONGEST, LeakageBound
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
        InputError: the automaton has more states than the limit, or reads another alphabet than the task.
    """
    extracted = unit.extract(limit)
    comparison = compare(extracted.automaton, task)
    found = Finding("not_proved", method, "", extracted.automaton, comparison)
    if isinstance(comparison, Counterexample):
        return _wrong(found, unit, comparison)
    found = replace(found, monoid=monoid_size(comparison.minimal))
    states = comparison.minimal.states
    single = singletons(unit, extracted, meetings(extracted.automaton, task))
    hard = LeakageBound(replace(unit, rounds=True), single)
    # Symbol, head and state of each row that a string that counts visits.
    source_E, symbol_E, _ = single.edges_E3.T
    visited = symbol_E[:, None], unit.heads_R, extracted.rows_SR[source_E]
    gap = float(unit.gaps[visited].min(initial=np.finfo(np.float64).max))
    margins = {"margin": hard.margin, "readout_error": hard.readout_error, "row_gap": gap}
    if hard.margin <= hard.readout_error:
        statement = f"not proved: the logits of two classes lie within the error of float32 ({hard.margin:.1e})"
        return replace(found, statement=statement, margins=margins)
    if unit.rounds and gap <= 4.0 * unit.leaf_error:
        statement = f"not proved: a visited row has two largest logits within the error of float32 ({gap:.1e})"
        return replace(found, statement=statement, margins=margins)
    if method == "rounded" or unit.rounds or (unit.gaps[visited] > SATURATION).all():
        what = "with its rows rounded the unit is" if method == "rounded" and not unit.rounds else "the unit is"
        statement = f"right at every length: {what} the minimal automaton of the task, {states} states"
        return replace(found, verdict="every_length", statement=statement, margins=margins | {"leak": 0.0})
    cells = [single, *(merged(unit, extracted, task) if len(unit.heads_R) == 1 else ())]
    return _leaking(found, unit, task, cells, margins)


def _wrong(found: Finding, unit: SoftAutomaton, difference: Counterexample) -> Finding:
    text = f"{len(difference.symbols)} symbols: it answers {difference.answer}, the task {difference.truth}"
    if unit.rounds or found.method == "rounded":
        return replace(found, verdict="wrong", statement=f"wrong on a string of {text}")
    return replace(found, statement=f"not proved: rounded, the unit is wrong on a string of {text}")


def _leaking(
    found: Finding, unit: SoftAutomaton, task: Automaton, cells: list[Cells], margins: dict[str, float]
) -> Finding:
    """Return up to which length a unit whose rows leak is right, from the cells that prove most."""
    best = max((LeakageBound(unit, one) for one in cells), key=lambda bound: bound.longest(floating=True))
    length = best.longest(floating=True)
    if length < 1:
        statement = "not proved: its rows leak too much"
    else:
        more = "or more " if length >= LONGEST - 1 else ""
        statement = f"right up to length {length:,} {more}as it is: a row leaks up to {best.leak:.1e}"
    return replace(
        found,
        verdict="up_to_length" if length else "not_proved",
        length=length or None,
        statement=f"{statement}; rounded, it is right at every length",
        margins=margins | {"leak": best.leak, "cell_margin": best.margin, "exact_length": best.longest(floating=False)},
        counterexample=search_leaking(unit, task),
    )


def search_leaking(unit: SoftAutomaton, task: Automaton, length: int = PATH_SYMBOLS) -> Counterexample | None:
    """Follow the leakiest string and return its shortest prefix on which the unit answers wrong, if there is one."""
    extracted = unit.extract()
    played = meetings(extracted.automaton, task)
    bound = LeakageBound(unit, singletons(unit, extracted, played))
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


def monoid_size(minimal: Automaton, limit: int = 100_000) -> int | None:
    """Return the number of elements of the syntactic monoid; None beyond the limit."""
    try:
        return minimal.transition_monoid(limit).size
    except InputError:
        return None
