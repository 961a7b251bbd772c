"""``lengthwise report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lengthwise.cli.arguments import RUN_FOLDERS
from lengthwise.cli.progress import say


def report(
    run: Annotated[list[Path], RUN_FOLDERS],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the page and its figures are written.")] = Path(
        "report"
    ),
) -> None:
    """Draw accuracy against length for evaluated runs, and write a page with the figures and the tables."""
    from lengthwise.experiments.results import open_runs
    from lengthwise.report.page import write_report

    say(str(write_report([folder.path for folder in open_runs(run)], out)))
