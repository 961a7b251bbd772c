"""``lengthwise diagnose``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lengthwise.cli.arguments import RUN_FOLDERS
from lengthwise.cli.evaluate import measure
from lengthwise.cli.progress import say
from lengthwise.errors import InputError


def diagnose(
    run: Annotated[list[Path], RUN_FOLDERS],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the page and its charts are written.")] = Path(
        "diagnosis"
    ),
    again: Annotated[bool, typer.Option("--again", help="Measure anew what was measured before.")] = False,
) -> None:
    """Say whether language models hold beyond their training context, and draw why."""
    from lengthwise.experiments.recipe import TextRecipe
    from lengthwise.experiments.results import open_runs
    from lengthwise.experiments.run import read_run
    from lengthwise.report.page import write_report
    from lengthwise.report.rows import read_results

    folders = open_runs(run)
    for folder in folders:
        if not isinstance(read_run(folder)[0], TextRecipe):
            raise InputError(f"run {folder.path} is not of a language model; 'lengthwise evaluate' measures it")
    for folder in folders:
        say(f"{folder.path}: {measure(folder, again)}")
    results = read_results([folder.path for folder in folders])
    say(str(write_report(results, out)))
