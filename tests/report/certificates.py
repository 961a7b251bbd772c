"""Certificates as files, without training."""

from pathlib import Path
from typing import Any

import yaml

from lengthwise.certificates.certificate import FILE_NAME, AlgebraTable, AutomatonTable, Certificate, Training
from lengthwise.certificates.equivalence import Counterexample
from lengthwise.runs.rows import read_head
from lengthwise.tasks import get_language


def make_certificate(run: Path, **changes: Any) -> Certificate:
    """Return the certificate of an exact unit, as if it had been trained in a run of `write_run`."""
    name = yaml.safe_load((run / "recipe.yaml").read_text())["name"]
    head = read_head(run / "evaluation.jsonl")
    automaton = get_language(head.trained_on).automaton.minimal()
    table = AutomatonTable.of(automaton)
    training = Training(
        recipe=name, digest=head.digest, seed=head.seed, step=4, sequences=40, seconds=1.5, longest=head.training_length
    )
    certificate = Certificate(
        verdict="every_length",
        method="raw",
        statement="right at every length",
        operator="stochastic",
        task=head.trained_on,
        task_version=1,
        extracted=table,
        minimal=table,
        task_automaton=table,
        isomorphism=list(range(automaton.states)),
        monoid=automaton.transition_monoid().size,
        margins={"margin": 4.25, "leak": 0.0},
        weights="0" * 64,
        training=training,
        seconds=0.125,
        versions={"lengthwise": "0"},
    )
    return certificate.model_copy(update=changes)


def write_certificate(run: Path, **changes: Any) -> Certificate:
    """Write a certificate into a run's folder."""
    certificate = make_certificate(run, **changes).sealed()
    (run / FILE_NAME).write_text(certificate.to_json())
    return certificate


def wrong_on(*symbols: int) -> dict[str, Any]:
    """Return what changes where a run is wrong on a string of class 1."""
    example = Counterexample(symbols=list(symbols), states=[], answer=0, truth=1, model_answer=0)
    return {
        "verdict": "wrong",
        "statement": "wrong on a string",
        "minimal": None,
        "isomorphism": None,
        "counterexample": example,
    }


def large_algebra(elements: int) -> AlgebraTable:
    """Return a table of the cyclic group."""
    product = [[(row + column) % elements for column in range(elements)] for row in range(elements)]
    return AlgebraTable(product=product, leaves=[0, 1], outputs=[element % 2 for element in range(elements)])
