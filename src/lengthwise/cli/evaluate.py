"""``lengthwise evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lengthwise.cli.arguments import RUN_FOLDERS
from lengthwise.cli.progress import evaluation_bar, say

if TYPE_CHECKING:
    from lengthwise.runs.folder import RunFolder
    from lengthwise.runs.recipe import Recipe


def evaluate(
    run: Annotated[list[Path], RUN_FOLDERS],
    again: Annotated[
        bool, typer.Option("--again", help="Replace the rows of runs that were evaluated before.")
    ] = False,
) -> None:
    """Measure trained runs as their recipes say: accuracy by length, or perplexity by position and why."""
    from lengthwise.runs.folder import open_runs

    for folder in open_runs(run):
        say(f"{folder.path}: {measure(folder, again)}")


def measure(folder: RunFolder, again: bool = False, recipe: Recipe | None = None) -> str:
    """Measure a trained run with a bar, unless that was done, and return what was found in words.

    Args:
        folder: the run.
        again: whether what was measured before is replaced.
        recipe: that which the run was just trained with; read from the folder by default.
    """
    from lengthwise.report.comparison import summary_line
    from lengthwise.runs.rows import read_evaluation
    from lengthwise.runs.run import evaluate_run

    with evaluation_bar(str(folder.path)) as show:
        evaluate_run(folder.path, show, again, recipe)
    return summary_line(*read_evaluation(folder.evaluation))
