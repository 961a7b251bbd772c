"""``lengthwise report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lengthwise.cli.arguments import RESULTS
from lengthwise.cli.completion import complete_results
from lengthwise.cli.progress import print_drawn, say

_OUT = Path("report")


def report(
    run: Annotated[list[Path], RESULTS],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the page, its figures and its tables go.")] = _OUT,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RESULTS",
            autocompletion=complete_results,
            help="Set the runs beside others on the same tasks: shipped results such as baselines, or a folder; "
            "may be given several times.",
        ),
    ] = None,
) -> None:
    """Print the tables of evaluated runs, and write a page with them and with the figures, and each as a file."""
    from lengthwise.report.page import Report
    from lengthwise.runs.shipped import find_results
    from lengthwise.runs.table import read_table

    own = read_table(run).refuse_waiting()
    others = read_table(map(find_results, beside)) if beside else None
    drawn = Report(own, others)
    for table in drawn.printed():
        print_drawn(table)
    say(str(drawn.write(out)))
