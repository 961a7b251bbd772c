"""Runs: a recipe and a seed, trained and evaluated in a folder that explains itself and may die at any time."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

import torch
import yaml

from lengthwise.errors import InputError, RunError, StoppedError
from lengthwise.experiments.environment import describe_environment
from lengthwise.experiments.jobs import CURVES, Job
from lengthwise.experiments.lock import hold
from lengthwise.experiments.recipe import AnyRecipe, TextRecipe, validate_recipe
from lengthwise.experiments.results import DiagnosisRow, EvaluationRow, RunFolder
from lengthwise.experiments.string_job import StringJob
from lengthwise.experiments.text_job import TextJob
from lengthwise.training.checkpoint import check_checkpoint, load_checkpoint, misfit, save_checkpoint, write_atomically
from lengthwise.training.loop import Trainer
from lengthwise.training.processes import ALONE, Processes

Progress = Callable[[Trainer[Any], Mapping[str, float]], None]
"""Called after every training step with the trainer and the metrics of the step."""


class Outcome(StrEnum):
    """How `train_run` ended."""

    TRAINED = "trained"
    NOTHING_TO_DO = "nothing to do"
    INTERRUPTED = "interrupted"


def train_run(
    recipe: AnyRecipe,
    seed: int,
    folder: Path,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    processes: Processes = ALONE,
) -> Outcome:
    """Train a recipe with one seed, going on from where an earlier process ended.

    Args:
        recipe: what to train.
        seed: of the initial parameters and of the data.
        folder: the run's folder; see `RunFolder`.
        progress: called after every step.
        stop: asked after every step; once it says yes, the run is checkpointed and left.
        processes: those that train together, each of which calls this; the first one writes.

    Returns:
        Whether it was trained, was already, or was interrupted.

    Raises:
        InputError: the folder is in use, belongs to another recipe or seed, or holds a corrupt checkpoint.
        StoppedError: the loss is not finite, or the disk is full; the last good checkpoint is kept.
    """
    run = RunFolder(folder)
    if not processes.first:
        return _follow(run, recipe, seed, stop, processes)
    with hold(folder), _free_if_refused(run):
        _claim(run, recipe, seed)
        processes.wait()
        if run.finished.exists():
            _check_finished(run)
            return Outcome.NOTHING_TO_DO
        job = _job(recipe, seed, processes)
        trainer = job.build()
        _record_environment(run, job.describe(trainer), seed)
        if not run.checkpoint.exists():
            job.begin(trainer, folder.absolute().parents[recipe.name.count("/") + 1])
        _resume(run, trainer)
        processes.wait()
        with _appending(run.metrics) as log:
            while not trainer.finished:
                metrics = _step(trainer, run)
                metrics |= _curve(trainer, job)
                _log(log, trainer, metrics, recipe.training.log_every)
                if progress:
                    progress(trainer, metrics)
                stopping = processes.agree(stop())
                if stopping or _is_due(trainer, recipe):
                    _flush(log)
                    save_checkpoint(run.checkpoint, *trainer.state())
                if stopping and not trainer.finished:
                    return Outcome.INTERRUPTED
        write_atomically(run.finished, f"{trainer.ending}\n".encode(), "end of the run")
    return Outcome.TRAINED


def _follow(run: RunFolder, recipe: AnyRecipe, seed: int, stop: Callable[[], bool], processes: Processes) -> Outcome:
    """Take part in a run that the first of several processes writes: as many steps, and a share in its checkpoints."""
    processes.wait()
    if run.finished.exists():
        return Outcome.NOTHING_TO_DO
    trainer = _job(recipe, seed, processes).build()
    processes.wait()
    if trainer.steps:
        _restore(run, trainer)
    while not trainer.finished:
        trainer.train_step()
        stopping = processes.agree(stop())
        if stopping or _is_due(trainer, recipe):
            trainer.state()
        if stopping and not trainer.finished:
            return Outcome.INTERRUPTED
    return Outcome.TRAINED


def _is_due(trainer: Trainer[Any], recipe: AnyRecipe) -> bool:
    """Return whether a checkpoint belongs after this step."""
    return trainer.finished or trainer.step % recipe.training.checkpoint_every == 0


def evaluate_run(
    folder: Path,
    progress: Callable[[EvaluationRow | DiagnosisRow], None] | None = None,
    again: bool = False,
    recipe: AnyRecipe | None = None,
) -> Sequence[EvaluationRow | DiagnosisRow]:
    """Measure a trained run as its recipe says and write its rows.

    Args:
        folder: the run's folder.
        progress: called after every row.
        again: whether rows that are there already are replaced.
        recipe: that which the run was just trained with; read from the folder by default.

    Returns:
        All rows.

    Raises:
        InputError: training is not finished, the folder is in use, or its checkpoint is corrupt.
        StoppedError: the rows cannot be written.
    """
    run = RunFolder(folder)
    recipe, seed = read_run(run) if recipe is None else (recipe, recipe.seeds[0])
    with hold(folder):
        if not run.finished.exists():
            raise InputError(f"run {folder} is not trained to its end; 'lengthwise train' with its recipe goes on")
        if run.evaluation.exists() and not again:
            return run.diagnosis_rows() if isinstance(recipe, TextRecipe) else run.evaluation_rows()
        job = _job(recipe, seed)
        trainer = job.build()
        if trainer.steps:
            _restore(run, trainer)
        rows: list[EvaluationRow | DiagnosisRow] = []
        for row in job.rows(trainer):
            rows.append(row)
            if progress:
                progress(row)
        text = "".join(f"{row.model_dump_json()}\n" for row in rows)
        write_atomically(run.evaluation, text.encode(), "evaluation")
    return rows


def load_run(folder: Path) -> Trainer[Any]:
    """Return the trainer of a run at its last checkpoint: its ``model`` with the trained parameters, and its ``task``.

    Args:
        folder: the run's folder, finished or not.

    Raises:
        InputError: the folder is not that of a run, or its checkpoint is missing or corrupt.
    """
    run = RunFolder(folder)
    trainer = _job(*read_run(run)).build()
    if trainer.steps:
        _restore(run, trainer)
    trainer.model.eval()
    return trainer


def read_run(run: RunFolder) -> tuple[AnyRecipe, int]:
    """Return the recipe and the seed of a run.

    Raises:
        InputError: the folder is not that of a run.
    """
    if not run.recipe.exists():
        raise InputError(f"{run.path} is not a run: it has no recipe.yaml")
    try:
        settings = yaml.safe_load(run.recipe.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{run.recipe} is not valid YAML: {error}") from error
    if not isinstance(settings, dict):
        raise InputError(f"{run.recipe} is not a recipe: it should be a mapping of settings")
    recipe = validate_recipe(settings, str(run.recipe))
    return recipe, recipe.seeds[0]


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the settings in which two recipes differ, each as ``path: old, now new``."""
    found: list[str] = []
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}: {before!r}, now {after!r}")
    return found


def _claim(run: RunFolder, recipe: AnyRecipe, seed: int) -> None:
    """Write the recipe into a folder in which no training began, or check that it is the one that it was made for."""
    own = recipe.model_copy(update={"seeds": (seed,)})
    if not run.begun:
        _clear(run)
    if not run.recipe.exists():
        write_atomically(run.recipe, own.to_yaml().encode(), "recipe")
        return
    there, seed_there = read_run(run)
    if (there.digest(), seed_there) != (own.digest(), seed):
        listed = "\n".join(f"  {difference}" for difference in differences(there.settings(), own.settings()))
        raise InputError(
            f"run folder {run.path} belongs to another recipe:\n{listed}\n"
            "choose another folder with --runs DIR, or another name with --set name=NAME"
        )


@contextlib.contextmanager
def _free_if_refused(run: RunFolder) -> Generator[None]:
    """Leave no folder behind where a run is refused before it trained: the corrected recipe finds the place free."""
    begun = run.begun
    try:
        yield
    except InputError:
        if not begun and not _trained(run):
            _clear(run)
            for path in (run.checkpoint, run.path / "lock"):
                path.unlink(missing_ok=True)
            # What else lies there is not ours.
            with contextlib.suppress(OSError):
                run.path.rmdir()
        raise


def _trained(run: RunFolder) -> bool:
    """Return whether a folder holds more than the start of a run."""
    if run.finished.exists() or run.metrics_rows():
        return True
    return run.checkpoint.exists() and load_checkpoint(run.checkpoint)[1]["step"] != 0


def _clear(run: RunFolder) -> None:
    for path in (run.recipe, run.environment, run.metrics):
        path.unlink(missing_ok=True)


def _check_finished(run: RunFolder) -> None:
    """Refuse a finished run whose checkpoint was damaged since; one that was taken away may be meant."""
    if not run.checkpoint.exists():
        return
    try:
        check_checkpoint(run.checkpoint)
    except InputError as error:
        raise InputError(f"run {run.path} is finished, but {error}; without its folder it is trained anew") from error


def _record_environment(run: RunFolder, model: Mapping[str, int], seed: int) -> None:
    """Describe this process and the model; processes after the first are listed as those that resumed the run."""
    now = describe_environment(seed) | dict(model)
    if run.environment.exists():
        first = json.loads(run.environment.read_text(encoding="utf-8"))
        first["resumed"] = [*first.get("resumed", []), now]
        now = first
    write_atomically(run.environment, json.dumps(now, indent=2).encode(), "environment")


def _job(recipe: AnyRecipe, seed: int, processes: Processes = ALONE) -> Job:
    torch.set_num_threads(recipe.threads)
    return TextJob(recipe, seed, processes) if isinstance(recipe, TextRecipe) else StringJob(recipe, seed)


def _resume(run: RunFolder, trainer: Trainer[Any]) -> None:
    """Put a trainer where the checkpoint is, at first that of step 0, and cut the metrics back to that step."""
    if run.checkpoint.exists():
        then = int(str(load_checkpoint(run.checkpoint)[1].get("processes", 1)))
        if then != trainer.processes.count:
            raise InputError(
                f"run {run.path} was begun by {then} processes and cannot go on with {trainer.processes.count}; "
                f"torchrun --nproc_per_node {then} goes on with it"
            )
        _restore(run, trainer)
    elif trainer.steps:
        save_checkpoint(run.checkpoint, *trainer.state())
    kept = [row for row in run.metrics_rows() if row["step"] <= trainer.step]
    text = "".join(f"{json.dumps(row)}\n" for row in kept)
    write_atomically(run.metrics, text.encode(), "metrics")


def _restore(run: RunFolder, trainer: Trainer[Any]) -> None:
    tensors, values = load_checkpoint(run.checkpoint)
    try:
        trainer.restore(tensors, values)
    except (KeyError, RuntimeError, ValueError) as error:
        parameters = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        why = misfit(trainer.model.state_dict(), parameters) or str(error).partition("\n")[0]
        raise InputError(f"checkpoint {run.checkpoint} does not fit the model of its recipe: {why}") from error


def _step(trainer: Trainer[Any], run: RunFolder) -> dict[str, float]:
    try:
        return trainer.train_step()
    except RunError as error:
        at = load_checkpoint(run.checkpoint)[1]["step"]
        raise type(error)(f"run {run.path}: {error}; the last good checkpoint, of step {at}, is kept") from error


def _curve(trainer: Trainer[Any], job: Job) -> dict[str, float]:
    """Return a point of the learning curve where the recipe asks for one."""
    every = job.curve_every
    if not every or (trainer.step % every and not trainer.finished):
        return {}
    return job.curve(trainer)


def _log(log: TextIO, trainer: Trainer[Any], metrics: Mapping[str, float], every: int) -> None:
    if trainer.step % every == 0 or trainer.finished or any(name.startswith(CURVES) for name in metrics):
        counters = {"step": trainer.step, "sequences": trainer.sequences, "seconds": round(trainer.seconds, 3)}
        with _disk(log.name):
            log.write(json.dumps(counters | dict(metrics)) + "\n")
            log.flush()


def _flush(log: TextIO) -> None:
    """Bring the metrics to the disk before the checkpoint that counts on them."""
    with _disk(log.name):
        os.fsync(log.fileno())


@contextlib.contextmanager
def _appending(path: Path) -> Generator[TextIO]:
    with _disk(str(path)):
        file = path.open("a", encoding="utf-8")
    with file:
        yield file


@contextlib.contextmanager
def _disk(name: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise StoppedError(f"cannot write {name}: {error.strerror}; the last good checkpoint is intact") from error
