"""``lengthwise evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lengthwise.cli.arguments import RUN_FOLDERS
from lengthwise.cli.progress import evaluation_bar, say

if TYPE_CHECKING:
    from lengthwise.runs.folder import RunFolder


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


def measure(folder: RunFolder, again: bool = False) -> str:
    """Measure a trained run with a bar, unless that was done, and return what was found in words.

    Args:
        folder: the run.
        again: whether what was measured before is replaced.
    """
    from lengthwise.runs.run import evaluate_run
    from lengthwise.report.comparison import summary_line
    from lengthwise.runs.rows import read_evaluation

    with evaluation_bar(str(folder.path)) as bar:
        evaluate_run(folder.path, bar.advance, again)
    return summary_line(*read_evaluation(folder.evaluation))
