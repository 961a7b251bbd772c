"""Certificates of runs: what a method of certification found about a trained run is written beside it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import cast

import lengthwise
from lengthwise.certificates import METHODS
from lengthwise.certificates.answers import answers_to
from lengthwise.certificates.certificate import FILE_NAME, Certificate, Training, hash_weights
from lengthwise.certificates.finding import Finding
from lengthwise.certificates.limits import ELEMENTS, USUAL, Limits
from lengthwise.certificates.methods import default_method
from lengthwise.certificates.product import states_along
from lengthwise.certificates.pushdown import NestedFinding
from lengthwise.errors import InputError, RunError
from lengthwise.files import write_atomically
from lengthwise.models.base import SequenceModel
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.lock import hold
from lengthwise.runs.run import load_run, read_run
from lengthwise.tasks.base import IGNORE, Task
from lengthwise.tasks.capabilities import HasAutomaton, HasNesting, require
from lengthwise.tasks.regular.language import Language

_PACKAGES = ("torch", "numpy", "automata-lib", "aalpy")
"""That a certificate rests on."""


def certify_run(folder: Path, method: str | None = None, limits: Limits = USUAL) -> Certificate:
    """Find out what can be proved about a trained run, and write it into the run's folder.

    Args:
        folder: the run's folder.
        method: a name that `METHODS` knows; the one that can say most about the model by default.
        limits: how far extraction may grow; as far as the method goes by default.

    Returns:
        The certificate, as it was written to ``certificate.json``.

    Raises:
        InputError: the run is not trained to its end or not on a regular language, the method is unknown or does not
            fit the model, or the folder is in use.
        RunError: what is extracted does not close within the limits, or the file cannot be written.
    """
    with hold(folder):
        certificate = _certificate(RunFolder(folder), method, limits)
        write_atomically(folder / FILE_NAME, certificate.to_json().encode(), "certificate")
    return certificate.sealed()


def differences_from_weights(run: RunFolder, certificate: Certificate) -> Iterator[str]:
    """Yield what a certificate of a snapped unit holds and the weights do not give, a sentence each.

    Args:
        run: the run that it is about.
        certificate: the certificate.
    """
    arguments = certificate.nested and certificate.nested.arguments
    try:
        limits = Limits(elements=max(ELEMENTS, certificate.monoid or 0), arguments=arguments)
        again = _certificate(run, certificate.method, limits)
    except RunError as error:
        yield f"nothing of the kind follows from the weights: {error}"
        return
    for name, what in (("algebra", "multiplication table"), ("counterexample", "counterexample")):
        own, found = (one.model_dump(mode="json", include={name}) for one in (certificate, again))
        if own != found:
            yield f"its {what} is not the one that the weights give"
    # Of one processor and another the last places differ, and version 1 knew fewer margins.
    for name in certificate.margins.keys() & again.margins.keys():
        own, found = certificate.margins[name], again.margins[name]
        if not math.isclose(own, found, rel_tol=1e-3):
            yield f"its {name} is {own:g}, the weights give {found:g}"


def _certificate(run: RunFolder, method: str | None, limits: Limits) -> Certificate:
    """Return what can be proved about a trained run; arguments and errors as in `certify_run`."""
    recipe, seed = read_run(run)
    if method is not None or not isinstance(recipe.task, HasNesting):
        _subject(recipe.task, method or "black_box")
    if not run.finished.exists():
        raise InputError(f"run {run.path} is not trained to its end; 'lengthwise train' with its recipe goes on")
    trainer = load_run(run.path)
    model = cast(SequenceModel, trainer.model)
    began = time.perf_counter()
    _refuse_not_finite(model)
    method = method or default_method(model, recipe.task)
    subject = _subject(recipe.task, method)
    finding = METHODS.load(method)(model, subject, limits)
    training = Training(
        recipe=recipe.name,
        digest=recipe.digest(),
        seed=seed,
        step=trainer.step,
        sequences=trainer.sequences,
        seconds=round(trainer.seconds, 3),
        longest=recipe.task.training_length or 0,
    )
    own = {
        "operator": getattr(getattr(recipe.model, "operator", None), "name", recipe.model_name),
        "weights": hash_weights(run.checkpoint),
        "seconds": round(time.perf_counter() - began, 3),
    }
    return complete(finding, model, subject, training).model_copy(update=own)


def _subject(task: Task, method: str) -> Task | Language:
    """Return what a method reads of a task."""
    METHODS.load(method)
    if method == "pushdown":
        require(task, HasNesting, "method 'pushdown'")
        return task
    language = require(task, HasAutomaton, "a certificate").definition
    if (language.automaton.outputs_S == IGNORE).all():
        raise InputError(f"{language.name} gives no string a class, so that nothing can be right or wrong")
    return language


def complete(
    finding: Finding | NestedFinding, model: SequenceModel, task: Task | Language, training: Training
) -> Certificate:
    """Return the certificate of a finding, its counterexample run through the model."""
    example = finding.counterexample
    if example is not None:
        answer = int(answers_to(model, [example.symbols])[0])
        states = states_along(finding.automaton, example.symbols) if finding.automaton else []
        # Where nothing was read off the model, the answer is its own.
        read = finding.table is not None or finding.automaton is not None
        own = {} if read and finding.method != "black_box" else {"answer": answer}
        example = example.model_copy(update={"model_answer": answer, "states": states} | own)
        finding = replace(finding, counterexample=example)
    return Certificate(
        verdict=finding.verdict,
        method=finding.method,
        statement=finding.statement,
        length=finding.length,
        operator=type(model).__name__,
        task=task.name if isinstance(task, Language) else task.label,
        task_version=task.version,
        extracted=finding.extracted,
        states=finding.automaton and finding.automaton.states,
        task_automaton=finding.task,
        nested=finding.nested if isinstance(finding, NestedFinding) else None,
        monoid=finding.elements(),
        algebra=finding.table,
        margins=dict(finding.margins),
        counterexample=example,
        weights="",
        training=training,
        seconds=0.0,
        versions={"lengthwise": lengthwise.__version__} | {name: version(name) for name in _PACKAGES},
    )


def _refuse_not_finite(model: SequenceModel) -> None:
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise InputError(f"parameter {name!r} holds numbers that are not finite, of which nothing can be proved")
