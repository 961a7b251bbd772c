"""``lengthwise report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lengthwise.cli.arguments import RESULTS
from lengthwise.cli.progress import print_drawn, say


def report(
    run: Annotated[list[Path], RESULTS],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the page and its figures are written.")] = Path(
        "report"
    ),
) -> None:
    """Print the tables of evaluated runs, and write a page with them and with the figures."""
    from lengthwise.report.page import Report
    from lengthwise.runs.table import read_table

    drawn = Report(read_table(run).refuse_waiting())
    for table in drawn.printed():
        print_drawn(table)
    say(str(drawn.write(out)))
