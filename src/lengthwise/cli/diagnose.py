"""``lengthwise diagnose``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lengthwise.cli.arguments import RUN_FOLDERS
from lengthwise.cli.progress import evaluation_bar, say
from lengthwise.errors import InputError

if TYPE_CHECKING:
    from lengthwise.experiments.results import RunFolder


def diagnose(
    run: Annotated[list[Path], RUN_FOLDERS],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the page and its charts are written.")] = Path(
        "diagnosis"
    ),
    again: Annotated[bool, typer.Option("--again", help="Measure anew what was measured before.")] = False,
) -> None:
    """Say whether language models hold beyond their training context, and draw why."""
    from lengthwise.experiments.results import open_runs
    from lengthwise.report.page import write_report
    from lengthwise.report.rows import read_results

    folders = open_runs(run)
    for folder in folders:
        measure(folder, again)
    results = read_results([folder.path for folder in folders])
    say(str(write_report(results, out)))


def measure(folder: RunFolder, again: bool = False) -> None:
    """Diagnose a run on text, unless that was done, and say the verdict.

    Args:
        folder: the run.
        again: whether what was measured before is replaced.

    Raises:
        InputError: the run is not of a language model.
    """
    from lengthwise.experiments.recipe import TextRecipe
    from lengthwise.experiments.run import evaluate_run, read_run

    recipe, _ = read_run(folder)
    if not isinstance(recipe, TextRecipe):
        raise InputError(f"run {folder.path} is not of a language model; 'lengthwise evaluate' measures it")
    with evaluation_bar(str(folder.path)) as bar:
        evaluate_run(folder.path, bar.advance, again)
