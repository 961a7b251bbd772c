"""Checking a certificate again, from what it says and from the weights it is about, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lengthwise.certificates.certificate import (
    AutomatonTable,
    Certificate,
    Counterexample,
    arrays,
    hash_weights,
    read_weights,
)
from lengthwise.certificates.equivalence import Different, compare
from lengthwise.certificates.rounding import certify_stochastic
from lengthwise.certificates.stochastic import read_unit
from lengthwise.certificates.table import MultiplicationTable
from lengthwise.errors import InputError
from lengthwise.tasks import get_language
from lengthwise.tasks.automaton import Automaton

PROVED = ("every_length", "up_to_length")


def verify_claims(certificate: Certificate) -> list[str]:
    """Check everything that a certificate says about automata, the task's own automaton taken from this package.

    The search over pairs of states, the isomorphism and the counterexample are all done again.

    Args:
        certificate: the certificate.

    Returns:
        What does not hold, a sentence each; nothing when all does.
    """
    problems: list[str] = []
    if certificate.seal != certificate.expected_seal():
        problems.append("its contents do not match its seal: it was changed after it was written")
    try:
        task = get_language(certificate.task)
        if task.version != certificate.task_version:
            problems.append(f"it is about version {certificate.task_version} of the task, here is {task.version}")
        goal = task.automaton.minimal()
        if certificate.task_automaton != AutomatonTable.of(goal):
            problems.append(f"its task automaton is not that of {certificate.task}")
        problems += _automata(certificate, goal)
        problems += _algebra(certificate)
    except InputError as error:
        problems.append(str(error))
    return problems


def verify_weights(certificate: Certificate, checkpoint: Path, model: Mapping[str, Any]) -> list[str]:
    """Check that a certificate is about these weights, and read the automaton off them again where that needs no torch.

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
    operator = model.get("operator", {})
    if operator.get("name") != "stochastic" or certificate.method not in ("raw", "rounded"):
        return []
    unit = read_unit(arrays(read_weights(checkpoint)), model)
    again = certify_stochastic(unit, get_language(certificate.task).automaton, certificate.method)
    problems: list[str] = []
    if again.extracted is not None and certificate.extracted != AutomatonTable.of(again.extracted):
        problems.append("its extracted automaton is not the one that the weights give")
    # A network that was run may be known to be wrong where its rounded automaton alone proves nothing.
    expected = again.verdict if certificate.verdict != "wrong" else "wrong"
    if (certificate.verdict, certificate.length) != (expected, again.length):
        problems.append(
            f"it claims {_claim(certificate.verdict, certificate.length)}, "
            f"the weights give {_claim(again.verdict, again.length)}"
        )
    return problems


def _claim(verdict: str, length: int | None) -> str:
    return verdict if length is None else f"{verdict} {length:,}"


def _automata(certificate: Certificate, goal: Automaton) -> list[str]:
    if certificate.extracted is None:
        return ["it proves a length without an automaton"] if certificate.verdict in PROVED else []
    extracted = certificate.extracted.automaton()
    comparison = compare(extracted, goal)
    problems: list[str] = []
    if isinstance(comparison, Different):
        if certificate.verdict in PROVED or certificate.isomorphism is not None:
            problems.append(f"its extracted automaton is wrong on the string {list(comparison.symbols)}")
    elif certificate.minimal != AutomatonTable.of(comparison.minimal):
        problems.append("its minimal automaton is not that of the extracted one")
    elif certificate.isomorphism != list(comparison.isomorphism):
        problems.append("its isomorphism is none between the minimal automata")
    if certificate.verdict == "wrong" and certificate.counterexample is None:
        problems.append("it claims that the model is wrong, without a counterexample")
    if certificate.counterexample is not None:
        problems += _counterexample(certificate.counterexample, extracted, goal)
    return problems


def _algebra(certificate: Certificate) -> list[str]:
    """Check that the extracted automaton is that of right multiplication by leaves."""
    algebra, extracted = certificate.algebra, certificate.extracted
    if algebra is None or extracted is None:
        return []
    table = MultiplicationTable(
        np.array(algebra.product), np.array(algebra.leaves), np.array(algebra.outputs), ((),) * len(algebra.outputs)
    )
    same = AutomatonTable.of(table.automaton(empty=extracted.outputs[extracted.start])) == extracted
    return [] if same else ["its extracted automaton is not that of its multiplication table"]


def _counterexample(example: Counterexample, extracted: Automaton, goal: Automaton) -> list[str]:
    tokens = np.array([example.symbols])
    problems: list[str] = []
    if int(goal.label(tokens)[0]) != example.truth:
        problems.append(
            f"the task gives its counterexample the class {int(goal.label(tokens)[0])}, not {example.truth}"
        )
    if example.answer == example.truth and example.model_answer in (None, example.truth):
        problems.append("its counterexample is answered right")
    if example.states and example.states != [extracted.start, *extracted.trace(tokens)[0].tolist()]:
        problems.append("the states of its counterexample are not those of its extracted automaton")
    return problems
