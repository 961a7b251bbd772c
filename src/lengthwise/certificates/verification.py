"""Checks of a certificate, made from what it says and from the weights it is about, without torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lengthwise.certificates.certificate import (
    AutomatonTable,
    Certificate,
    arrays,
    hash_weights,
    read_weights,
)
from lengthwise.certificates.decision import (
    NETWORK,
    conclude,
    decide,
    describe_answer,
    describe_cells,
    describe_failure,
)
from lengthwise.certificates.equivalence import Counterexample, Equal, compare
from lengthwise.certificates.rounding import certify_stochastic, monoid_size
from lengthwise.certificates.stochastic import STATES, SoftAutomaton, read_unit
from lengthwise.certificates.table import FREE, MultiplicationTable
from lengthwise.errors import InputError
from lengthwise.tasks import get_language
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.automaton import Automaton

PROVED = ("every_length", "up_to_length")


def verify_claims(certificate: Certificate) -> list[str]:
    """Check everything that a certificate says about automata, the task's own automaton taken from this package.

    The search over pairs of states, the isomorphism, the multiplication table and the counterexample are all gone
    through again, and verdict, length and statement have to be what follows from them.

    Args:
        certificate: the certificate.

    Returns:
        What does not hold, a sentence each; nothing when all does.
    """
    problems = [*_verdict(certificate)]
    try:
        task = get_language(certificate.task)
        goal = task.automaton.minimal()
        if task.version != certificate.task_version:
            problems.append(f"it is about version {certificate.task_version} of the task, here is {task.version}")
        if certificate.task_automaton != AutomatonTable.of(goal):
            problems.append(f"its task automaton is not that of {certificate.task}")
        # The first refuses symbols that the others could not read.
        for check in (_counterexample, _automata, _algebra):
            problems += check(certificate, goal)
    except InputError as error:
        problems.append(str(error))
    return problems


def verify_weights(certificate: Certificate, checkpoint: Path, model: Mapping[str, Any]) -> list[str]:
    """Check that a certificate is about these weights, and find out all of it again where that needs no torch.

    Args:
        certificate: the certificate.
        checkpoint: the safetensors file.
        model: the resolved section ``model`` of the run's recipe.

    Returns:
        What does not hold, as in `verify_claims`.

    Raises:
        InputError: the checkpoint cannot be read.
    """
    found = hash_weights(checkpoint)
    if found != certificate.weights:
        return [f"the weights in {checkpoint} changed: their SHA-256 is {found}, certified was {certificate.weights}"]
    operator = (model.get("operator") or {}).get("name")
    if operator is not None and operator != certificate.operator:
        return [f"it is about the operator {certificate.operator!r}, the run has {operator!r}"]
    if operator != "stochastic" or (model.get("level") != "plain" and certificate.method not in ("raw", "rounded")):
        return []
    unit = read_unit(arrays(read_weights(checkpoint)), model)
    problems: list[str] = []
    example, method = certificate.counterexample, certificate.method
    # Several answers are possible where float32 leaves a doubt.
    if example is not None and example.model_answer not in unit.possible_answers(example.symbols):
        problems.append(f"the network does not answer {example.model_answer} to its counterexample")
    if method in ("raw", "rounded"):
        problems += _found_again(certificate, method, unit)
    elif certificate.verdict in PROVED:
        problems.append(
            f"it claims a proof by {method}; a unit of row-stochastic products is proved as it is or rounded, which "
            "its weights can confirm"
        )
    return problems


def _found_again(certificate: Certificate, method: Literal["raw", "rounded"], unit: SoftAutomaton) -> Iterator[str]:
    """Compare a certificate with what the weights of a row-stochastic unit give."""
    # More states than usual may have been allowed.
    limit = max(STATES, len(certificate.extracted.outputs) if certificate.extracted else 0)
    again = certify_stochastic(unit, get_language(certificate.task).automaton, method, limit)
    verdict, statement = conclude(again, certificate.counterexample)
    claimed, given = _claim(certificate.verdict, certificate.length), _claim(verdict, again.length)
    if again.extracted is not None and certificate.extracted != AutomatonTable.of(again.extracted):
        yield "its extracted automaton is not the one that the weights give"
    if claimed != given:
        yield f"it claims {claimed}, the weights give {given}"
    elif certificate.statement != statement:
        yield f"its statement is not what the weights give: {statement}"
    if certificate.monoid != again.monoid:
        yield f"it claims {certificate.monoid} elements of the monoid, the weights give {again.monoid}"
    if not _same_numbers(certificate.margins, again.margins):
        yield "its margins are not those that the weights give"
    expected, example = again.example(), certificate.counterexample
    own = {"model_answer": example.model_answer if example else None}
    if example != (expected and expected.model_copy(update=own)):
        yield "its counterexample is not the one that the weights give"


def _same_numbers(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    # Libraries of linear algebra round differently in the last places.
    return one.keys() == other.keys() and all(math.isclose(one[name], other[name], rel_tol=1e-6) for name in one)


def _claim(verdict: str, length: int | None) -> str:
    return verdict if length is None else f"{verdict} {length:,}"


def _verdict(certificate: Certificate) -> Iterator[str]:
    """Check that verdict, method, length, the beginning of the statement and the seal go together."""
    verdict, method, length = certificate.verdict, certificate.method, certificate.length
    if method == "black_box" and verdict in PROVED:
        yield "it claims a proof by the answers of a black box, which never are one"
    if method != "raw" and verdict == "up_to_length":
        yield f"it claims a proof up to a length by the method {method}, which finds none"
    if method == "rounded" and certificate.operator != "stochastic":
        yield f"it rounds the rows of the operator {certificate.operator!r}, which has none"
    if (length is not None) != (verdict == "up_to_length") or (length is not None and length < 1):
        yield f"the length {length} does not belong to the verdict {verdict}"
    beginnings = {
        "every_length": ("right at every length",),
        "up_to_length": (f"right up to length {length or 0:,} ", f"right on every string of at most {length} symbols"),
        "wrong": ("",),
        "not_proved": ("not proved",),
    }
    if not certificate.statement.startswith(beginnings[verdict]):
        yield f"its statement does not say its verdict {_claim(verdict, length)}: {certificate.statement}"
    if certificate.seal != certificate.expected_seal():
        yield "its contents do not match its seal: it was changed after it was written"


def _automata(certificate: Certificate, goal: Automaton) -> Iterator[str]:
    """Check the extracted automaton and what follows from it: the minimal one, its isomorphism, its monoid."""
    proved, monoid, algebra = certificate.verdict in PROVED, certificate.monoid, certificate.algebra
    if certificate.extracted is None:
        if proved:
            yield "it proves a length without an automaton"
        if (certificate.minimal, certificate.isomorphism, algebra, monoid) != (None,) * 4:
            yield "it describes an automaton that it does not hold"
        return
    found = compare(certificate.extracted.automaton(), goal)
    if algebra is not None and monoid != len(algebra.outputs):
        yield f"{monoid} is not the number of elements"
    elif algebra is None and monoid is not None:
        equal = isinstance(found, Equal) and monoid_size(found.minimal, max(monoid, 1)) == monoid
        if certificate.operator == "stochastic" and not equal:
            yield f"{monoid} is not the number of elements"
        elif certificate.operator != "stochastic" and certificate.method != "raw":
            yield "it counts the elements of a missing table"
    if isinstance(found, Counterexample):
        if proved or certificate.isomorphism is not None or certificate.minimal is not None:
            yield f"its extracted automaton is wrong on the string {list(found.symbols)}"
    elif certificate.minimal != AutomatonTable.of(found.minimal):
        yield "its minimal automaton is not that of the extracted one"
    elif certificate.isomorphism != list(found.isomorphism):
        yield "its isomorphism is none between the minimal automata"


def _algebra(certificate: Certificate, goal: Automaton) -> Iterator[str]:
    """Check every entry of the multiplication table, and that it decides what is claimed."""
    algebra, extracted, snapped = certificate.algebra, certificate.extracted, certificate.method == "snapped"
    by_cells = certificate.operator != "stochastic" and certificate.verdict == "every_length" and not snapped
    if extracted is None:
        return
    if algebra is None:
        if snapped or by_cells:
            yield "it has no multiplication table, which its proof rests on"
        return
    table = algebra.table()
    if len(algebra.leaves) != goal.vocabulary:
        yield f"its multiplication table has {len(algebra.leaves)} leaves for {goal.vocabulary} symbols"
        return
    if AutomatonTable.of(table.automaton()) != extracted:
        yield "its extracted automaton is not that of its multiplication table"
    if snapped:
        yield from _snapped(certificate, table, goal)
    if by_cells:
        # The cells themselves need the weights.
        cells = _count(certificate, "cells")
        if table.homomorphism(goal) is None:
            yield "its multiplication table is not that of the task"
        if cells < table.size or "radius" not in certificate.margins or certificate.statement != describe_cells(cells):
            yield "its statement is not one about cells that are mapped into one another"


def _snapped(certificate: Certificate, table: MultiplicationTable, goal: Automaton) -> Iterator[str]:
    """Check verdict, statement and counterexample of a unit that computes a table."""
    decision, example = decide(table, goal), certificate.counterexample
    said, answer = decision.statement, IGNORE
    if example is not None and decision.verdict == "wrong":
        if decision.trees:
            answer = int(table.automaton().label(np.array([example.symbols]))[0])
        else:
            fails = example.model_answer != example.truth
            said = describe_failure(decision, len(example.symbols), fails, _count(certificate, "astray"))
            element = table.balanced(example.symbols)
            answer = IGNORE if element == FREE else int(table.classes_E[element])
        # What is read off an element whose strings should have no class stands in the weights alone.
        if answer not in (IGNORE, example.answer):
            yield f"its multiplication table answers {answer} to its counterexample, not {example.answer}"
    if decision.verdict != certificate.verdict:
        yield f"it claims {certificate.verdict}, its multiplication table gives {decision.verdict}"
    elif certificate.statement != said:
        yield f"its statement is not what its multiplication table gives: {said}"


def _count(certificate: Certificate, name: str) -> int:
    """Return a whole number among the margins; -1 where it is none."""
    number = certificate.margins.get(name, -1.0)
    return int(number) if number.is_integer() else -1


def _counterexample(certificate: Certificate, goal: Automaton) -> Iterator[str]:
    """Check that a counterexample is one, and that the statement is about it."""
    example, verdict, said = certificate.counterexample, certificate.verdict, certificate.statement
    if example is None:
        if verdict == "wrong" or NETWORK in said:
            yield "it claims that the model is wrong, without a counterexample"
        return
    if verdict == "every_length":
        yield "it claims a proof at every length, with a counterexample"
        return
    tokens, length = np.array([example.symbols]), len(example.symbols)
    truth = int(goal.label(tokens)[0])
    # What the network answered is said where it is wrong, or where anything is said of it.
    told = NETWORK in said or (verdict == "up_to_length" and example.model_answer != example.truth)
    if told and describe_answer(example) not in said:
        yield f"its statement is not about its counterexample: {said}"
    if truth != example.truth or truth == IGNORE:
        yield f"the task gives its counterexample the class {truth}, not {example.truth}"
    if certificate.length is not None and length <= certificate.length:
        yield f"its counterexample is no longer than the {certificate.length:,} symbols that it proves"
    if example.model_answer is None:
        yield "the network was not run on its counterexample"
    itself = certificate.method in ("raw", "black_box") or certificate.extracted is None
    named = f"string of {length} symbols" in said or f"string of {length:,} symbols" in said
    if verdict == "wrong" and (example.model_answer if itself else example.answer) == example.truth:
        yield "its counterexample is answered right"
    # The statement about a snapped unit is compared as a whole.
    elif verdict == "wrong" and certificate.algebra is None and not named:
        yield f"its statement is not about its counterexample of {length:,} symbols: {said}"
    if certificate.extracted is not None and example.states:
        extracted = certificate.extracted.automaton()
        states = [extracted.start, *extracted.trace(tokens)[0].tolist()]
        if example.states != states:
            yield "the states of its counterexample are not those of its extracted automaton"
        if certificate.method == "rounded" and example.answer != extracted.outputs_S[states[-1]]:
            yield f"its extracted automaton does not answer {example.answer} to its counterexample"
