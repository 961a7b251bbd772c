"""``lengthwise train``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lengthwise.cli.arguments import RECIPE, RUNS, SET
from lengthwise.cli.interrupt import stop_on_signals
from lengthwise.cli.progress import say, training_bar

if TYPE_CHECKING:
    from lengthwise.runs.recipe import Recipe
    from lengthwise.training.processes import Processes


def train(
    recipe: Annotated[str, RECIPE],
    seed: Annotated[
        list[int] | None, typer.Option(help="Train this seed instead of the recipe's; may be given several times.")
    ] = None,
    set_: Annotated[list[str] | None, SET] = None,
    runs: Annotated[Path, RUNS] = Path("runs"),
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps or auto; short for --set device=D.")] = None,
) -> None:
    """Train a recipe, one run a seed; runs that were left unfinished go on where they ended."""
    from lengthwise.runs.recipe import load_recipe, validate_recipe

    overrides = list(set_ or [])
    if device is not None:
        overrides.append(f"device={device}")
    resolved = load_recipe(recipe, overrides)
    if seed:
        # Upon what was read, so that wrong seeds there are told too.
        resolved = validate_recipe(resolved.settings() | {"seeds": list(seed)}, f"--seed {' '.join(map(str, seed))}")
    say_notes(resolved)
    for one in resolved.seeds:
        train_seed(resolved, one, runs)


def say_notes(recipe: Recipe) -> None:
    """Say on standard error what was decided about the task and should be known."""
    for sentence in recipe.task.notes():
        sys.stderr.write(f"{sentence}\n")


def train_seed(recipe: Recipe, seed: int, runs: Path, processes: Processes | None = None) -> None:
    """Train one seed of a recipe with a bar, and say how it ended; with others, this is the first process."""
    from lengthwise.runs.folder import RunFolder, run_path
    from lengthwise.runs.run import Outcome, train_run
    from lengthwise.training.processes import ALONE

    folder = run_path(runs, recipe.name, seed)
    title = f"{recipe.name} seed {seed}"
    with stop_on_signals() as stop, training_bar(title, recipe.training.steps) as bar:
        say(f"{title}: {recipe.training.steps} steps in {folder}")
        outcome = train_run(recipe, seed, folder, bar.advance, stop, processes or ALONE)
    match outcome:
        case Outcome.NOTHING_TO_DO:
            say(f"{title}: finished before; nothing to do")
        case Outcome.INTERRUPTED:
            say(f"{title}: interrupted and checkpointed after {bar.summary}; the same command goes on")
            raise typer.Exit(stop.exit_code)
        case Outcome.TRAINED:
            ending = RunFolder(folder).ending
            say(f"{title}: trained, {bar.summary}{f'; {ending}' if ending.startswith('stopped') else ''}")
