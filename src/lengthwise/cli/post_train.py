"""``lengthwise post-train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lengthwise.cli.arguments import SET
from lengthwise.cli.evaluate import measure
from lengthwise.cli.progress import print_drawn, say
from lengthwise.cli.train import train_seed


def post_train(
    run: Annotated[Path, typer.Argument(help="The folder of a trained run on text.", show_default=False)],
    intervention: Annotated[
        str, typer.Option(help="zero, random_noise, fitted_noise, state_passing, tbptt, or one of your own.")
    ] = "state_passing",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 500,
    set_: Annotated[list[str] | None, SET] = None,
) -> None:
    """Repair a language model that falls apart on long inputs: a new run beside the old one, before and after."""
    from lengthwise.experiments.repair import post_training, runs_folder
    from lengthwise.experiments.results import RunFolder, run_path
    from lengthwise.experiments.run import read_run
    from lengthwise.report.comparison import comparison_table

    before = RunFolder(run)
    base, seed = read_run(before)
    recipe = post_training(base, seed, intervention, steps, set_ or [])
    root = runs_folder(run, base, seed)
    after = RunFolder(run_path(root, recipe.name, seed))
    train_seed(recipe, seed, root)
    for folder in (before, after):
        measure(folder)
    print_drawn(comparison_table(before.diagnosis_rows(), after.diagnosis_rows()))
    say(f"the charts: lengthwise diagnose {before.path} {after.path}")
