"""Runs: a recipe and a seed, trained and evaluated in a folder that explains itself and may die at any time."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Generator, Mapping
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import cast

from lengthwise.errors import InputError, RunError, StoppedError
from lengthwise.evaluation.rows import Row
from lengthwise.files import append, read_object, write_atomically
from lengthwise.models.budget import count_parameters
from lengthwise.runs.building import build_trainer, head_of, start_from_run
from lengthwise.runs.environment import describe_environment
from lengthwise.runs.folder import RunFolder, run_path
from lengthwise.runs.lock import MOMENT, hold
from lengthwise.runs.measured import Measured
from lengthwise.runs.recipe import Recipe, differences, validate_recipe
from lengthwise.runs.rows import dump_evaluation, read_evaluation
from lengthwise.runs.shipped import read_settings
from lengthwise.training.checkpoint import check_checkpoint, load_checkpoint, misfit, save_checkpoint
from lengthwise.training.loop import Trainer, under
from lengthwise.training.processes import ALONE, Processes
from lengthwise.training.trackers import TRACKED, Tracked

Progress = Callable[[Trainer, Mapping[str, float]], None]
"""Called after every training step with the trainer and the metrics of the step."""


class Outcome(StrEnum):
    """How `train_run` ended."""

    TRAINED = "trained"
    NOTHING_TO_DO = "nothing to do"
    INTERRUPTED = "interrupted"


def train_run(
    recipe: Recipe,
    seed: int,
    folder: Path,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    processes: Processes = ALONE,
    patience: float = MOMENT,
) -> Outcome:
    """Train a recipe with one seed, going on from where an earlier process ended.

    Args:
        recipe: what to train.
        seed: of the initial parameters and of the data.
        folder: the run's folder; see `RunFolder`.
        progress: called after every step.
        stop: asked after every step; once it says yes, the run is checkpointed and left.
        processes: those that train together, each of which calls this; the first one writes.
        patience: seconds to wait for another process that works in the folder.

    Returns:
        Whether it was trained, was already, or was interrupted.

    Raises:
        InputError: the folder is in use, belongs to another recipe or seed, or holds a corrupt checkpoint.
        StoppedError: the loss is not finite, or the disk is full; the last good checkpoint is kept.
    """
    run = RunFolder(folder)
    if not processes.first:
        return _follow(run, recipe, seed, stop, processes)
    start = _start(folder, recipe, seed)
    with hold(folder, patience), _free_if_refused(run):
        _claim(run, recipe, seed, start)
        processes.wait()
        if run.finished.exists():
            _check_finished(run)
            return Outcome.NOTHING_TO_DO
        trainer = build_trainer(recipe, seed, processes)
        _record_environment(run, count_parameters(trainer.model), seed)
        if start and not run.checkpoint.exists():
            start_from_run(recipe, seed, trainer, start)
        _resume(run, trainer, recipe)
        tracked = Tracked(recipe.training.trackers, folder, f"{recipe.name}/seed-{seed}", recipe.settings())
        processes.wait()

        def step() -> None:
            metrics = _step(trainer, run)
            curve = _curve(trainer, recipe, seed)
            if curve or trainer.finished or trainer.step % recipe.training.log_every == 0:
                counters = {"step": trainer.step, "sequences": trainer.sequences, "seconds": round(trainer.seconds, 3)}
                append(run.metrics, json.dumps(counters | metrics | curve) + "\n")
                tracked.log(trainer.step, counters | metrics | curve)
            if progress:
                progress(trainer, metrics)

        def save() -> None:
            # Metrics come to the disk before the checkpoint that counts on them.
            append(run.metrics, "", to_disk=True)
            save_checkpoint(run.checkpoint, *trainer.state())

        try:
            outcome = _train(trainer, stop, step, save)
        finally:
            tracked.close(finished=trainer.finished)
        if outcome is Outcome.TRAINED:
            write_atomically(run.finished, f"{trainer.ending}\n".encode(), "end of the run")
    return outcome


def _follow(run: RunFolder, recipe: Recipe, seed: int, stop: Callable[[], bool], processes: Processes) -> Outcome:
    """Take part in a run that the first of several processes writes: as many steps, and a share in its checkpoints."""
    processes.wait()
    if run.finished.exists():
        return Outcome.NOTHING_TO_DO
    trainer = build_trainer(recipe, seed, processes)
    processes.wait()
    if recipe.has_checkpoint:
        _restore(run, trainer)
    return _train(trainer, stop, trainer.train_step, trainer.state)


def _train(
    trainer: Trainer, stop: Callable[[], bool], step: Callable[[], object], save: Callable[[], object]
) -> Outcome:
    """Take the steps that are left, and save after those that a checkpoint belongs to."""
    while not trainer.finished:
        step()
        stopping = trainer.processes.agree(stop())
        if stopping or trainer.finished or trainer.step % trainer.config.checkpoint_every == 0:
            save()
        if stopping and not trainer.finished:
            return Outcome.INTERRUPTED
    return Outcome.TRAINED


def evaluate_run(
    folder: Path,
    progress: Callable[[Row], None] | None = None,
    again: bool = False,
    recipe: Recipe | None = None,
    patience: float = MOMENT,
) -> list[Row]:
    """Measure a trained run as its recipe says and write its rows.

    Args:
        folder: the run's folder.
        progress: called after every row.
        again: whether rows that are there already are replaced.
        recipe: that which the run was just trained with; read from the folder by default.
        patience: seconds to wait for another process that works in the folder.

    Returns:
        All rows.

    Raises:
        InputError: training is not finished, the folder is in use, its checkpoint is corrupt, or its recipe measures
            nothing, or the same thing twice.
        StoppedError: the rows cannot be written; those that were are gone on with by the next call.
    """
    run = RunFolder(folder)
    recipe, seed = read_run(run) if recipe is None else (recipe, recipe.seeds[0])
    with hold(folder, patience):
        if not run.finished.exists():
            raise InputError(f"run {folder} is not trained to its end; 'lengthwise train' with its recipe goes on")
        if run.evaluation.exists():
            # A kill may have come between the two.
            run.part.unlink(missing_ok=True)
            if not again:
                return read_evaluation(run.evaluation)[1]
        trainer = _loaded(run, recipe, seed)
        try:
            head = head_of(recipe, seed, trainer)
            rows = _measure(trainer, recipe, seed, Measured(run.part, head), progress)
            data = dump_evaluation(head, rows)
        except Exception as error:
            # What failed may be mended, and then measures something else.
            if not isinstance(error, StoppedError):
                run.part.unlink(missing_ok=True)
            raise
        write_atomically(run.evaluation, data, "evaluation")
        run.part.unlink(missing_ok=True)
    return rows


def _measure(
    trainer: Trainer, recipe: Recipe, seed: int, measured: Measured, progress: Callable[[Row], None] | None
) -> list[Row]:
    """Return all rows that the recipe asks for, those that were measured before and the others."""
    rows, places = list[Row](), set[tuple[object, ...]]()
    for number, diagnostic in enumerate(recipe.evaluation.diagnostics):
        known = tuple(measured.rows.get(number, ()))
        left = () if number in measured.done else diagnostic.go_on(trainer.model, recipe.task, seed, known)
        for count, row in enumerate(chain(known, left)):
            if not isinstance(cast("object", row), Row):
                raise InputError(f"{type(diagnostic).__name__} measures a {type(row).__name__}, and not a Row")
            if math.isnan(row.value):
                # Nothing is the worst or the best beside it, so that reports would pass over it.
                raise InputError(
                    f"{type(diagnostic).__name__} measures {row.metric} of {row.task} at {row.axes} as not a number; "
                    "leave out what is not defined"
                )
            if (place := (row.task, row.metric, tuple(sorted(row.axes.items())))) in places:
                raise InputError(
                    f"{row.metric} of {row.task} is measured twice at {row.axes}; "
                    "give one of them an axis that tells them apart"
                )
            places.add(place)
            rows.append(row)
            if count >= len(known):
                measured.add(number, row)
            if progress:
                progress(row)
        measured.finish(number)
    if not rows:
        raise InputError(f"recipe {recipe.name} measures nothing; give its evaluation or its task some points")
    return rows


def load_run(folder: Path) -> Trainer:
    """Return the trainer of a run at its last checkpoint: its ``model`` with the trained parameters, and its ``task``.

    Args:
        folder: the run's folder, finished or not.

    Raises:
        InputError: the folder is not that of a run, its checkpoint is missing or corrupt, or what its recipe names has
            changed since.
    """
    run = RunFolder(folder)
    trainer = _loaded(run, *read_run(run))
    trainer.model.eval()
    return trainer


def read_run(run: RunFolder) -> tuple[Recipe, int]:
    """Return the recipe and the seed of a run.

    Raises:
        InputError: the folder is not that of a run, or its recipe was edited since.
    """
    if not run.recipe.exists():
        raise InputError(f"{run.path} is not a run: it has no recipe.yaml")
    recipe = validate_recipe(read_settings(run.recipe, "recipe", given=False), str(run.recipe))
    run.check_recipe()
    return recipe, recipe.seeds[0]


def differing(run: RunFolder, recipe: Recipe, seed: int) -> list[str]:
    """Return in what a recipe and a seed differ from those that a run began with, in words.

    What it started from is taken to be the same where the recipe does not know it.
    """
    there, seed_there = read_run(run)
    start = (recipe.content or {}).get("start") or (there.content or {}).get("start")
    own = recipe.model_copy(update={"seeds": (seed,)}).beginning(start)
    if (there.digest(), seed_there) == (own.digest(), seed):
        return []
    from_what = f"recipe of {own.start}, which it starts from:"
    return [each.replace("content.start:", from_what) for each in differences(there.settings(), own.settings())]


def _claim(run: RunFolder, recipe: Recipe, seed: int, start: RunFolder | None) -> None:
    """Write the recipe into a folder in which no training began, or check that it is the one that it was made for."""
    from_what = read_run(start)[0].digest() if start and start.recipe.exists() else None
    own = recipe.model_copy(update={"seeds": (seed,)}).beginning(from_what)
    if not run.begun:
        _clear(run)
    if not run.recipe.exists():
        write_atomically(run.recipe, own.to_yaml().encode(), "recipe")
    elif found := differing(run, own, seed):
        listed = "\n".join(f"  {difference}" for difference in found)
        raise InputError(
            f"run folder {run.path} belongs to another recipe:\n{listed}\n"
            "choose another folder with --runs DIR, or another name with --set name=NAME"
        )


def _start(folder: Path, recipe: Recipe, seed: int) -> RunFolder | None:
    """Return the run that gives the parameters to go on from."""
    if recipe.start is None:
        return None
    return RunFolder(run_path(folder.absolute().parents[recipe.name.count("/") + 1], recipe.start, seed))


@contextlib.contextmanager
def _free_if_refused(run: RunFolder) -> Generator[None]:
    """Leave no folder behind where a run is refused before it trained: the corrected recipe finds the place free."""
    begun = run.begun
    try:
        yield
    except (InputError, StoppedError) as error:
        kept = isinstance(error, StoppedError) and run.checkpoint.exists()
        if not begun and not kept and not _trained(run):
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
    for path in (run.recipe, run.environment, run.metrics, run.part, run.path / TRACKED):
        path.unlink(missing_ok=True)


def _check_finished(run: RunFolder) -> None:
    """Refuse a finished run whose checkpoint was damaged since; one that was taken away may be meant."""
    if not run.checkpoint.exists():
        return
    try:
        check_checkpoint(run.checkpoint)
    except InputError as error:
        raise InputError(f"run {run.path} is finished, but {error}; without its folder it is trained anew") from error


def _record_environment(run: RunFolder, parameters: int, seed: int) -> None:
    """Describe this process and the model; processes after the first are listed as those that resumed the run."""
    now = describe_environment(seed) | {"parameters": parameters, "recipe_sha256": run.recipe_hash()}
    if run.environment.exists():
        first = read_object(run.environment, "environment")
        first["resumed"] = [*first.get("resumed", []), now]
        now = first
    write_atomically(run.environment, json.dumps(now, indent=2).encode(), "environment")


def _loaded(run: RunFolder, recipe: Recipe, seed: int) -> Trainer:
    """Return the trainer of a run at its last checkpoint."""
    trainer = build_trainer(recipe.sealed(), seed)
    if recipe.has_checkpoint:
        _restore(run, trainer)
    return trainer


def _resume(run: RunFolder, trainer: Trainer, recipe: Recipe) -> None:
    """Put a trainer where the checkpoint is, at first that of step 0, and cut the metrics back to that step."""
    if run.checkpoint.exists():
        then = int(str(load_checkpoint(run.checkpoint)[1].get("processes", 1)))
        if then != trainer.processes.count:
            raise InputError(
                f"run {run.path} was begun by {then} processes and cannot go on with {trainer.processes.count}; "
                f"torchrun --nproc_per_node {then} goes on with it"
            )
        _restore(run, trainer)
    elif recipe.has_checkpoint:
        save_checkpoint(run.checkpoint, *trainer.state())
    kept = [row for row in run.metrics_rows() if row["step"] <= trainer.step]
    text = "".join(f"{json.dumps(row)}\n" for row in kept)
    write_atomically(run.metrics, text.encode(), "metrics")


def _restore(run: RunFolder, trainer: Trainer) -> None:
    tensors, values = load_checkpoint(run.checkpoint)
    try:
        trainer.restore(tensors, values)
    except (KeyError, RuntimeError, ValueError) as error:
        why = misfit(trainer.model.state_dict(), under("model.", tensors)) or str(error).partition("\n")[0]
        raise InputError(f"checkpoint {run.checkpoint} does not fit the model of its recipe: {why}") from error


def _step(trainer: Trainer, run: RunFolder) -> dict[str, float]:
    try:
        return trainer.train_step()
    except RunError as error:
        at = load_checkpoint(run.checkpoint)[1]["step"]
        raise type(error)(f"run {run.path}: {error}; the last good checkpoint, of step {at}, is kept") from error


def _curve(trainer: Trainer, recipe: Recipe, seed: int) -> dict[str, float]:
    """Return a point of the learning curve where the recipe asks for one."""
    every = recipe.evaluation.curve_every
    if not every or (trainer.step % every and not trainer.finished):
        return {}
    found: dict[str, float] = {}
    for diagnostic in recipe.evaluation.diagnostics:
        found |= diagnostic.curve(trainer.model, recipe.task, seed)
    return found
