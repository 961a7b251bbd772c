"""Checking a certificate again, from what it says and from the weights it is about, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lengthwise.certificates.certificate import (
    AutomatonTable,
    Certificate,
    Counterexample,
    arrays,
    hash_weights,
    read_weights,
)
from lengthwise.certificates.decision import (
    NETWORK,
    Decision,
    conclude,
    decide,
    describe_answer,
    describe_cells,
    describe_failure,
)
from lengthwise.certificates.equivalence import Different, Equal, compare
from lengthwise.certificates.rounding import certify_stochastic
from lengthwise.certificates.stochastic import STATES, SoftAutomaton, read_unit
from lengthwise.certificates.table import FREE, MultiplicationTable
from lengthwise.errors import InputError
from lengthwise.tasks import get_language
from lengthwise.tasks.automaton import Automaton
from lengthwise.tasks.base import UNLABELLED

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
    problems = _verdict(certificate)
    if certificate.seal != certificate.expected_seal():
        problems.append("its contents do not match its seal: it was changed after it was written")
    try:
        task = get_language(certificate.task)
        if task.version != certificate.task_version:
            problems.append(f"it is about version {certificate.task_version} of the task, here is {task.version}")
        goal = task.automaton.minimal()
        if certificate.task_automaton != AutomatonTable.of(goal):
            problems.append(f"its task automaton is not that of {certificate.task}")
        # The first to be checked, because it refuses symbols that the others could not read.
        problems += _counterexample(certificate, goal)
        problems += _automata(certificate, goal)
        problems += _algebra(certificate, goal)
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
    problems = _own_answer(certificate.counterexample, unit)
    if certificate.method in ("raw", "rounded"):
        return problems + _found_again(certificate, certificate.method, unit)
    if certificate.verdict in PROVED:
        problems.append(
            f"it claims a proof by {certificate.method}; a unit of row-stochastic products is proved as it is or "
            "rounded, which its weights can confirm"
        )
    return problems


def _own_answer(example: Counterexample | None, unit: SoftAutomaton) -> list[str]:
    """Check what the network itself is said to answer, as far as float32 leaves no doubt."""
    if example is None or example.model_answer in unit.possible_answers(example.symbols):
        return []
    return [f"the network does not answer {example.model_answer} to its counterexample"]


def _found_again(certificate: Certificate, method: Literal["raw", "rounded"], unit: SoftAutomaton) -> list[str]:
    """Compare a certificate with what the weights of a row-stochastic unit give."""
    # More states than usual may have been allowed.
    limit = max(STATES, len(certificate.extracted.outputs) if certificate.extracted else 0)
    again = certify_stochastic(unit, get_language(certificate.task).automaton, method, limit)
    problems: list[str] = []
    if again.extracted is not None and certificate.extracted != AutomatonTable.of(again.extracted):
        problems.append("its extracted automaton is not the one that the weights give")
    verdict, statement = conclude(again, certificate.counterexample)
    if (certificate.verdict, certificate.length) != (verdict, again.length):
        problems.append(
            f"it claims {_claim(certificate.verdict, certificate.length)}, the weights give "
            f"{_claim(verdict, again.length)}"
        )
    elif certificate.statement != statement:
        problems.append(f"its statement is not what the weights give: {statement}")
    if certificate.monoid != again.monoid:
        problems.append(f"it claims {certificate.monoid} elements of the monoid, the weights give {again.monoid}")
    if not _same_numbers(certificate.margins, again.margins):
        problems.append("its margins are not those that the weights give")
    expected, example = again.example(), certificate.counterexample
    own = {"model_answer": example.model_answer if example else None}
    if example != (expected and expected.model_copy(update=own)):
        problems.append("its counterexample is not the one that the weights give")
    return problems


def _same_numbers(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    # Libraries of linear algebra round differently in the last places.
    return one.keys() == other.keys() and all(math.isclose(one[name], other[name], rel_tol=1e-6) for name in one)


def _claim(verdict: str, length: int | None) -> str:
    return verdict if length is None else f"{verdict} {length:,}"


def _verdict(certificate: Certificate) -> list[str]:
    """Check that verdict, method, length and the beginning of the statement go together."""
    verdict, method, length = certificate.verdict, certificate.method, certificate.length
    problems: list[str] = []
    if method == "black_box" and verdict in PROVED:
        problems.append("it claims a proof by the answers of a black box, which never are one")
    if method != "raw" and verdict == "up_to_length":
        problems.append(f"it claims a proof up to a length by the method {method}, which finds none")
    if method == "rounded" and certificate.operator != "stochastic":
        problems.append(f"it rounds the rows of the operator {certificate.operator!r}, which has none")
    if (length is not None) != (verdict == "up_to_length") or (length is not None and length < 1):
        problems.append(f"the length {length} does not belong to the verdict {verdict}")
    beginnings = {
        "every_length": ("right at every length",),
        "up_to_length": (f"right up to length {length or 0:,} ", f"right on every string of at most {length} symbols"),
        "wrong": ("",),
        "not_proved": ("not proved",),
    }
    if not certificate.statement.startswith(beginnings[verdict]):
        problems.append(f"its statement does not say its verdict {_claim(verdict, length)}: {certificate.statement}")
    return problems


def _automata(certificate: Certificate, goal: Automaton) -> list[str]:
    if certificate.extracted is None:
        problems = ["it proves a length without an automaton"] if certificate.verdict in PROVED else []
        left = (certificate.minimal, certificate.isomorphism, certificate.algebra, certificate.monoid)
        return problems if left == (None,) * 4 else [*problems, "it describes an automaton that it does not hold"]
    comparison = compare(certificate.extracted.automaton(), goal)
    problems = _monoid(certificate, comparison)
    if isinstance(comparison, Different):
        if certificate.verdict in PROVED or certificate.isomorphism is not None or certificate.minimal is not None:
            problems.append(f"its extracted automaton is wrong on the string {list(comparison.symbols)}")
    elif certificate.minimal != AutomatonTable.of(comparison.minimal):
        problems.append("its minimal automaton is not that of the extracted one")
    elif certificate.isomorphism != list(comparison.isomorphism):
        problems.append("its isomorphism is none between the minimal automata")
    return problems


def _monoid(certificate: Certificate, comparison: Equal | Different) -> list[str]:
    """Check the number of elements, of the table or of the minimal automaton's monoid."""
    claimed = certificate.monoid
    if certificate.algebra is not None:
        right = claimed == len(certificate.algebra.outputs)
    elif claimed is None or certificate.operator != "stochastic":
        return [] if certificate.method == "raw" or claimed is None else ["it counts the elements of a missing table"]
    else:
        right = isinstance(comparison, Equal) and _monoid_has(comparison.minimal, claimed)
    return [] if right else [f"{claimed} is not the number of elements"]


def _monoid_has(minimal: Automaton, elements: int) -> bool:
    try:
        return minimal.transition_monoid(max(elements, 1)).size == elements
    except InputError:
        return False


def _algebra(certificate: Certificate, goal: Automaton) -> list[str]:
    """Check every entry of the multiplication table, and that it decides what is claimed."""
    algebra, extracted, snapped = certificate.algebra, certificate.extracted, certificate.method == "snapped"
    if extracted is None:
        return []
    by_cells = certificate.operator != "stochastic" and certificate.verdict == "every_length"
    if algebra is None:
        return ["it has no multiplication table, which its proof rests on"] if snapped or by_cells else []
    table = algebra.table()
    if len(algebra.leaves) != goal.vocabulary:
        return [f"its multiplication table has {len(algebra.leaves)} leaves for {goal.vocabulary} symbols"]
    problems: list[str] = []
    if AutomatonTable.of(table.automaton()) != extracted:
        problems.append("its extracted automaton is not that of its multiplication table")
    decision = decide(table, goal)
    if snapped and decision.verdict != certificate.verdict:
        problems.append(f"it claims {certificate.verdict}, its multiplication table gives {decision.verdict}")
    elif snapped and certificate.statement != (said := _said(certificate, decision)):
        problems.append(f"its statement is not what its multiplication table gives: {said}")
    elif not snapped and by_cells:
        problems += _cells(certificate, table, goal)
    if snapped and decision.verdict == "wrong" and certificate.counterexample is not None:
        problems += _tree_answer(certificate.counterexample, table, extracted.automaton(), decision)
    return problems


def _said(certificate: Certificate, decision: Decision) -> str:
    """Return the statement about a snapped unit."""
    example = certificate.counterexample
    if decision.trees or example is None:
        return decision.statement
    astray = _count(certificate, "astray")
    return describe_failure(decision, len(example.symbols), example.model_answer != example.truth, astray)


def _count(certificate: Certificate, name: str) -> int:
    """Return a whole number among the margins; -1 where it is none."""
    number = certificate.margins.get(name, -1.0)
    return int(number) if number.is_integer() else -1


def _tree_answer(
    example: Counterexample, table: MultiplicationTable, extracted: Automaton, decision: Decision
) -> list[str]:
    """Check what a table answers to a string, in balanced trees unless these are right."""
    if decision.trees:
        answer = int(extracted.label(np.array([example.symbols]))[0])
    else:
        element = table.balanced(example.symbols)
        answer = UNLABELLED if element == FREE else int(table.classes_E[element])
    # What is read off an element whose strings should have no class stands in the weights alone.
    if answer in (UNLABELLED, example.answer):
        return []
    return [f"its multiplication table answers {answer} to its counterexample, not {example.answer}"]


def _cells(certificate: Certificate, table: MultiplicationTable, goal: Automaton) -> list[str]:
    """Check what can be checked of a proof by cells of the network as it is; the cells themselves need the weights."""
    cells = _count(certificate, "cells")
    said = describe_cells(cells)
    problems = ["its multiplication table is not that of the task"] if table.homomorphism(goal) is None else []
    if cells < table.size or "radius" not in certificate.margins or certificate.statement != said:
        problems.append("its statement is not one about cells that are mapped into one another")
    return problems


def _counterexample(certificate: Certificate, goal: Automaton) -> list[str]:
    example = certificate.counterexample
    if example is None:
        missing = certificate.verdict == "wrong" or NETWORK in certificate.statement
        return ["it claims that the model is wrong, without a counterexample"] if missing else []
    if certificate.verdict == "every_length":
        return ["it claims a proof at every length, with a counterexample"]
    tokens = np.array([example.symbols])
    truth = int(goal.label(tokens)[0])
    problems = _unsaid(certificate)
    if truth != example.truth or truth == UNLABELLED:
        problems.append(f"the task gives its counterexample the class {truth}, not {example.truth}")
    if certificate.length is not None and len(example.symbols) <= certificate.length:
        problems.append(f"its counterexample is no longer than the {certificate.length:,} symbols that it proves")
    if example.model_answer is None:
        problems.append("the network was not run on its counterexample")
    if certificate.verdict == "wrong":
        problems += _shown_wrong(certificate, example)
    if certificate.extracted is not None and example.states:
        extracted = certificate.extracted.automaton()
        states = [extracted.start, *extracted.trace(tokens)[0].tolist()]
        if example.states != states:
            problems.append("the states of its counterexample are not those of its extracted automaton")
        if certificate.method == "rounded" and example.answer != extracted.outputs_S[states[-1]]:
            problems.append(f"its extracted automaton does not answer {example.answer} to its counterexample")
    return problems


def _unsaid(certificate: Certificate) -> list[str]:
    """Check that a statement says of its counterexample what the network answered, where it says anything of it."""
    example, said = certificate.counterexample, certificate.statement
    told = NETWORK in said or certificate.verdict == "up_to_length"
    if example is None or not told or (example.model_answer == example.truth and NETWORK not in said):
        return []
    return [] if describe_answer(example) in said else [f"its statement is not about its counterexample: {said}"]


def _shown_wrong(certificate: Certificate, example: Counterexample) -> list[str]:
    """Check that a counterexample shows wrong what the verdict is about, and that the statement is about it."""
    itself = certificate.method in ("raw", "black_box") or certificate.extracted is None
    if (example.model_answer if itself else example.answer) == example.truth:
        return ["its counterexample is answered right"]
    length = len(example.symbols)
    # The statement about a snapped unit is compared as a whole.
    named = (f"string of {length} symbols", f"string of {length:,} symbols")
    if certificate.algebra is None and not any(part in certificate.statement for part in named):
        return [f"its statement is not about its counterexample of {length:,} symbols: {certificate.statement}"]
    return []
