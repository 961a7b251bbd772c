"""Certificates as files, without training."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lengthwise.certificates.certificate import FILE_NAME, Certificate, Training
from lengthwise.certificates.finding import Finding
from lengthwise.certificates.product import Counterexample
from lengthwise.runs.rows import read_head
from lengthwise.tasks import get_language
from lengthwise.tasks.regular.automaton import Automaton

MARGINS = {"margin": 4.25, "readout_error": 1e-6, "row_gap": 8.0, "leak": 0.0}


def make_certificate(run: Path, **evidence: Any) -> Certificate:
    """Return the certificate of an exact unit, as if it had been trained in a run of `write_run`."""
    name = yaml.safe_load((run / "recipe.yaml").read_text())["name"]
    head = read_head(run / "evaluation.jsonl")
    task = get_language(head.trained_on).automaton.minimal()
    training = Training(
        recipe=name, digest=head.digest, seed=head.seed, step=4, sequences=40, seconds=1.5, longest=head.training_length
    )
    finding = Finding(**({"method": "raw", "task": task, "extracted": task, "margins": MARGINS} | evidence))
    return Certificate(
        verdict=finding.verdict,
        method=finding.method,
        statement=finding.statement,
        length=finding.length,
        operator="stochastic",
        task=head.trained_on,
        task_version=1,
        extracted=finding.extracted,
        states=finding.automaton and finding.automaton.states,
        task_automaton=task,
        algebra=finding.table,
        monoid=finding.elements(),
        margins=dict(finding.margins),
        counterexample=finding.counterexample,
        weights="0" * 64,
        training=training,
        seconds=0.125,
        versions={"lengthwise": "0"},
    )


def write_certificate(run: Path, weights: str = "0" * 64, **evidence: Any) -> Certificate:
    """Write a certificate into a run's folder."""
    certificate = make_certificate(run, **evidence).model_copy(update={"weights": weights}).sealed()
    (run / FILE_NAME).write_text(certificate.to_json())
    return certificate


def up_to(length: int) -> dict[str, Any]:
    """Return the evidence that a unit is right up to a length."""
    return {"length": length, "margins": MARGINS | {"leak": 1e-4, "exact_length": float(length)}}


def wrong_on(*symbols: int) -> dict[str, Any]:
    """Return the evidence that a run, which says 0 to all strings, is wrong on one of class 1."""
    never = Automaton(np.array([[0, 0]]), 0, np.array([0]))
    states = [0] * (len(symbols) + 1)
    example = Counterexample(symbols=[*symbols], states=states, answer=0, truth=1, model_answer=0)
    return {"method": "black_box", "extracted": never, "margins": {"asked": 9.0}, "counterexample": example}
