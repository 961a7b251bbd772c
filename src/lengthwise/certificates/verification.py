"""Checks of certificates: what they say, the run and the weights that they are about, without torch.

One function, `problems_of`, stands behind ``certify --verify``, ``export``, ``report`` and ``keep``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lengthwise.certificates.certificate import (
    FILE_NAME,
    Certificate,
    arrays,
    hash_weights,
    read_certificate,
    read_weights,
)
from lengthwise.certificates.finding import PROVED, Finding
from lengthwise.certificates.product import Counterexample, same, states_along
from lengthwise.certificates.pushdown import NestedTask
from lengthwise.certificates.rounding import certify_stochastic
from lengthwise.certificates.stochastic import STATES, read_unit
from lengthwise.errors import InputError, reason_of
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.rows import Head, read_head
from lengthwise.runs.shipped import read_settings
from lengthwise.tasks import get_language
from lengthwise.tasks.base import IGNORE

_OF_WEIGHTS = (
    "that what it holds was read off these weights, with its margins and what the network itself answers: "
    "lengthwise certify finds that anew"
)


class Verified(NamedTuple):
    """A certificate of which nothing was found to be wrong."""

    certificate: Certificate
    unchecked: list[str]
    """What it says that could not be checked, a phrase each."""


def verify_certificate(path: Path, folder: Path | None = None, *, anew: bool = False) -> Verified:
    """Check a certificate again: all that it says, and the run and the weights that it is about.

    Args:
        path: the file, or a run's folder that holds one.
        folder: the run; by default the folder of the file, where that is a run.
        anew: read the table of a snapped unit off its weights again, where they are there, which needs torch.

    Returns:
        The certificate, and which of its claims could not be checked.

    Raises:
        InputError: the certificate is not one, or something in it does not hold; the message names all of it.
    """
    file = path / FILE_NAME if path.is_dir() else path
    run = RunFolder(folder or file.parent)
    if folder is not None and not run.checkpoint.exists():
        raise InputError(f"cannot read the weights {run.checkpoint}: a run has a checkpoint, and there is none")
    beside = run if run.checkpoint.exists() or run.recipe.exists() else None
    certificate = read_certificate(file)
    head = read_head(run.evaluation) if beside and run.evaluation.exists() else None
    refuse(certificate, f"certificate {file}", beside, head)
    unchecked = unchecked_of(certificate, beside, head)
    if anew and run.checkpoint.exists() and certificate.method in ("snapped", "pushdown"):
        from lengthwise.certificates.of_run import differences_from_weights

        _refuse(f"certificate {file}", list(differences_from_weights(run, certificate)), run)
        unchecked.remove(_OF_WEIGHTS)
    return Verified(certificate, unchecked)


def verify_all(
    path: Path, folder: Path | None = None, *, anew: bool = False
) -> Iterator[tuple[str, Verified | InputError]]:
    """Check all certificates at or below a path, those of kept results among them.

    Args:
        path: as in `verify_certificate`, or a folder that holds runs or kept results.
        folder: as there.
        anew: as there.

    Returns:
        Where each lies, and what `verify_certificate` returns or raises of it.
    """
    # Proving needs no tables, and is there without the libraries that read them.
    from lengthwise.runs.table import INDEX, read_kept

    alone = not path.is_dir() or (path / FILE_NAME).exists()
    files = [path] if alone else sorted(path.rglob(FILE_NAME))
    kept = [] if alone else sorted(index.parent for index in path.rglob(INDEX))
    if not files and not kept:
        raise InputError(f"there is no certificate in {path}; lengthwise certify makes one of a run")
    for file in files:
        try:
            yield str(file), verify_certificate(file, folder, anew=anew)
        except InputError as error:
            yield str(file), error
    for place in kept:
        try:
            runs = [run for run in read_kept(place).runs if "certificate" in run.attachments]
        except InputError as error:
            yield str(place), error
            continue
        for run in runs:
            certificate: Certificate = run.attachments["certificate"]
            yield str(run.path), Verified(certificate, unchecked_of(certificate, None, run.head))


def refuse(certificate: Certificate, name: str, run: RunFolder | None = None, head: Head | None = None) -> None:
    """Check a certificate; arguments as in `problems_of`.

    Raises:
        InputError: something in it does not hold; the message names all of it.
    """
    _refuse(name, problems_of(certificate, run, head), run)


def _refuse(name: str, problems: Sequence[str], run: RunFolder | None) -> None:
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        again = f"\nmake it again with: lengthwise certify {run.path}" if run else ""
        raise InputError(f"{name} does not hold:\n{listed}{again}")


def problems_of(certificate: Certificate, run: RunFolder | None = None, head: Head | None = None) -> list[str]:
    """Check everything that a certificate says, the task's own automaton taken from this package.

    Its evidence is gone through again, and verdict and statement have to be what follows from it. Where the weights of
    a row-stochastic unit are there, so is the evidence.

    Args:
        certificate: the certificate.
        run: the folder of the run that it is about; by default what it says of weights and training is not checked.
        head: of the evaluation of that run.

    Returns:
        What does not hold, a sentence each; nothing when all does.
    """
    problems: list[str] = []
    own = (_nested(certificate),) if certificate.nested else (_task(certificate), _evidence(certificate))
    checks = (*own, _training(certificate, run, head), _weights(certificate, run))
    # What one finds may be what the next could not read.
    for check in checks:
        try:
            problems += check
        except InputError as error:
            problems.append(str(error))
        if problems:
            break
    if certificate.seal != certificate.expected_seal() and not _only_claims(certificate, run):
        problems.append("its contents do not match its seal: it was changed after it was written")
    return problems


def unchecked_of(certificate: Certificate, run: RunFolder | None = None, head: Head | None = None) -> list[str]:
    """Return which claims of a certificate `problems_of` cannot check; arguments as there."""
    weights = run is not None and run.checkpoint.exists()
    found = ["how long training and certification took, and the versions"]
    if _only_claims(certificate, run):
        found.append("all that it claims: its proof was not kept")
    elif not weights:
        found.append("that what it holds was read off the weights that it names, and what the network itself answers")
    elif certificate.operator != "stochastic" or certificate.method not in ("raw", "rounded"):
        found.append(_OF_WEIGHTS)
    elif certificate.counterexample is not None:
        found.append("what the network itself answers where logits lie within the error of float32")
    if head is None or run is None:
        found.append("the digest of the recipe")
    if head is None:
        found.append("the longest string of training" if run else "recipe, seed, steps and strings of training")
    return found


def _only_claims(certificate: Certificate, run: RunFolder | None) -> bool:
    """Return whether it is one of those that were kept without their proof."""
    return run is None and certificate.schema_version == 1 and not certificate.has_proof()


def _nested(certificate: Certificate) -> Iterator[str]:
    """Check that a certificate is about its bracketed task, and that its claim follows from its evidence."""
    found = certificate.nested_finding()
    task, claim = found.nested.task, found.claim
    if (certificate.task, certificate.task_version) != (task.label, task.version):
        yield (
            f"it is about version {certificate.task_version} of {certificate.task}, its settings are those of version "
            f"{task.version} of {task.label}"
        )
    if certificate.monoid != found.elements():
        yield f"{certificate.monoid} is not the number of elements"
    for name in ("length", "extracted", "states", "minimal", "isomorphism"):
        if getattr(certificate, name) is not None:
            yield f"it states {name}, which only certificates of regular languages do"
    yield from found.problems()
    if claim != (certificate.verdict, certificate.statement):
        own = f"{certificate.verdict}, {certificate.statement!r}"
        yield f"it claims {own}; what it holds gives {claim.verdict}, {claim.statement!r}"


def _task(certificate: Certificate) -> Iterator[str]:
    task = get_language(certificate.task)
    if task.version != certificate.task_version:
        yield f"it is about version {certificate.task_version} of the task, here is {task.version}"
    goal = task.automaton.minimal()
    if not same(certificate.task_automaton, goal):
        yield f"its task automaton is not that of {certificate.task}"
    if certificate.minimal is not None and not same(certificate.minimal, goal):
        yield "its minimal automaton is not that of the task"
    if certificate.isomorphism not in (None, [*range(goal.states)]):
        yield "its isomorphism is none between the minimal automata"


def _evidence(certificate: Certificate) -> Iterator[str]:
    """Check that the evidence fits together, and that the claim follows from it."""
    found, example, method = certificate.regular_finding(), certificate.counterexample, certificate.method
    by_rows = method == "rounded" or (method == "raw" and found.extracted is not None)
    if by_rows and certificate.operator != "stochastic":
        yield f"it is about the rows of the operator {certificate.operator!r}, which has none"
    if not certificate.has_proof():
        if certificate.schema_version != 1:
            yield "it counts the states of an automaton that it does not hold"
        return
    if certificate.verdict in PROVED and (found.automaton is None or (method == "snapped" and found.table is None)):
        yield "it claims a proof and holds none"
        return
    if found.table is not None and len(found.table.leaves_V) != found.task.vocabulary:
        yield f"its multiplication table has {len(found.table.leaves_V)} leaves for {found.task.vocabulary} symbols"
        return
    if found.table is not None and certificate.extracted and not same(certificate.extracted, found.automaton):
        yield "its extracted automaton is not that of its multiplication table"
    if certificate.states not in (None, found.automaton and found.automaton.states):
        yield f"it counts {certificate.states} states, its automaton has another number"
    if certificate.monoid != found.elements(max(certificate.monoid or 1, 1)):
        yield f"{certificate.monoid} is not the number of elements"
    if example is None and found.automaton is not None and found.table is None and found.difference:
        yield f"its automaton is wrong on the string {found.difference.symbols}, and it shows no counterexample"
    if example is not None:
        yield from _counterexample(example, found)
    if (found.length is not None) != (certificate.verdict == "up_to_length"):
        yield f"the length {found.length} does not belong to the verdict {certificate.verdict}"
    if certificate.verdict == "wrong" and example is None:
        yield "it claims that the model is wrong, without a counterexample"
    elif (claim := found.claim) != (certificate.verdict, certificate.statement):
        own = f"{certificate.verdict}, {certificate.statement!r}"
        yield f"it claims {own}; what it holds gives {claim.verdict}, {claim.statement!r}"


def _counterexample(example: Counterexample, found: Finding) -> Iterator[str]:
    """Check that a counterexample is one."""
    truth = int(found.task.label(np.array([example.symbols]))[0])
    if truth != example.truth or truth == IGNORE:
        yield f"the task gives its counterexample the class {truth}, not {example.truth}"
    if found.length is not None and len(example.symbols) <= found.length:
        yield f"its counterexample is no longer than the {found.length:,} symbols that it proves"
    if example.model_answer is None:
        yield "the network was not run on its counterexample"
    states = states_along(found.automaton, example.symbols) if found.automaton is not None else []
    if example.states != states:
        yield "the states of its counterexample are not those of its extracted automaton"
    if (given := _answer(example, found)) not in (None, example.answer):
        yield f"what was read off the model answers {given} to its counterexample, not {example.answer}"


def _answer(example: Counterexample, found: Finding) -> int | None:
    """Return what was read off a model answers to its counterexample, where that is what the example is about."""
    if found.method == "black_box" or found.automaton is None:
        return example.model_answer
    if found.method == "snapped" and found.table is not None:
        element = found.table.balanced(example.symbols)
        # What is read off an element whose strings should have no class stands in the weights alone.
        answer = IGNORE if element < 0 else int(found.table.classes_E[element])
        return None if answer == IGNORE else answer
    difference = found.difference
    return difference and (difference.answer if example.symbols == difference.symbols else IGNORE)


def _training(certificate: Certificate, run: RunFolder | None, head: Head | None) -> Iterator[str]:
    """Compare what a certificate says of training with the run beside it, or with the head of its evaluation."""
    stated: dict[str, Any] = {}
    if head is not None:
        stated = {name: getattr(head, name) for name in ("recipe", "seed", "step", "sequences")}
        stated |= {"longest": head.training_length or 0, "task": head.trained_on, "task version": head.task_version}
        # The digest of kept results follows the format of recipes.
        stated |= {"digest": head.digest} if run else {}
    elif run is not None:
        stated = _recorded(run)
    own = certificate.training.model_dump() | {"task": certificate.task, "task version": certificate.task_version}
    if certificate.nested and run is not None and run.recipe.exists():
        stated["settings of the task"] = NestedTask(settings=_settings(run)["task"]).task.model_dump(mode="json")
        own["settings of the task"] = certificate.nested.task.model_dump(mode="json")
    for name, value in stated.items():
        if own[name] != value:
            yield f"it is about another run: its {name} is {own[name]!r}, that of the run beside it {value!r}"


def _recorded(run: RunFolder) -> dict[str, Any]:
    """Return what the recipe and the metrics of a run say, where it has no evaluation."""
    settings = _settings(run)
    task, seeds = settings.get("task"), settings.get("seeds")
    named = task.get("language", task.get("name")) if isinstance(task, dict) else task
    found = {"recipe": settings.get("name"), "task": named}
    if isinstance(seeds, list):
        found["seed"] = seeds[0] if len(seeds) == 1 else seeds
    last = (run.metrics_rows() or [{}])[-1]
    found |= {name: last.get(name) for name in ("step", "sequences")}
    return {name: value for name, value in found.items() if value is not None}


def _settings(run: RunFolder) -> dict[str, Any]:
    """Return the resolved recipe of a run."""
    if not run.recipe.exists():
        raise InputError(f"{run.path} is not a run: cannot read its recipe.yaml")
    settings = read_settings(run.recipe, "recipe", given=False)
    if not isinstance(settings.get("model"), dict):
        raise InputError(f"{run.recipe} is not the recipe of a run: it has no model")
    return settings


def _weights(certificate: Certificate, run: RunFolder | None) -> Iterator[str]:
    """Check that a certificate is about the weights of a run, and find out all of it again where no torch is needed."""
    if run is None or not run.checkpoint.exists():
        return
    found = hash_weights(run.checkpoint)
    if found != certificate.weights:
        yield f"it is about other weights than those in {run.checkpoint}: their SHA-256 is {found}"
        return
    model, method = _settings(run)["model"], certificate.method
    chosen = model.get("operator")
    operator = chosen.get("name") if isinstance(chosen, dict) else certificate.operator
    if operator != certificate.operator:
        yield f"it is about the operator {certificate.operator!r}, the run has {operator!r}"
        return
    if operator != "stochastic" or method == "pushdown":
        return
    if model.get("level") != "plain" and method not in ("raw", "rounded"):
        return
    try:
        unit, example = read_unit(arrays(read_weights(run.checkpoint)), model), certificate.counterexample
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"{run.recipe} and {run.checkpoint} are not of one run: {reason_of(error)}") from error
    # Several answers are possible where float32 leaves a doubt.
    if example is not None and example.model_answer not in unit.possible_answers(example.symbols):
        yield f"the network does not answer {example.model_answer} to its counterexample"
    if method == "black_box":
        return
    if method == "snapped":
        yield "a unit of row-stochastic products is proved as it is or rounded, which its weights can confirm"
        return
    # More states than usual may have been allowed.
    limit = max(STATES, certificate.extracted.states if certificate.extracted else 0)
    again = certify_stochastic(unit, get_language(certificate.task).automaton, method, limit)
    yield from _found_again(certificate.regular_finding(), again)


def _found_again(own: Finding, again: Finding) -> Iterator[str]:
    """Compare the evidence of a certificate with what the weights of a row-stochastic unit give."""
    if not same(own.extracted, again.extracted):
        yield "its extracted automaton is not the one that the weights give"
    if own.length != again.length:
        yield f"it claims the length {own.length}, the weights give {again.length}"
    if not _same_numbers(own.margins, again.margins):
        yield "its margins are not those that the weights give"
    example, expected = own.counterexample, again.counterexample
    # Its states and the network's own answer are checked by themselves.
    if _told(example) != _told(expected):
        yield "its counterexample is not the one that the weights give"
    expected = replace(again, counterexample=example).claim
    if expected != own.claim:
        yield f"the weights give: {expected.statement}"


def _told(example: Counterexample | None) -> tuple[list[int], int, int] | None:
    return example and (example.symbols, example.answer, example.truth)


def _same_numbers(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    # Libraries of linear algebra round differently in the last places.
    return one.keys() == other.keys() and all(math.isclose(one[name], other[name], rel_tol=1e-6) for name in one)
