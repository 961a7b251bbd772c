"""``lengthwise report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lengthwise.cli.arguments import RESULTS
from lengthwise.cli.completion import complete_results
from lengthwise.cli.progress import bars, print_drawn, say

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

    with bars() as shown:
        line = shown.add_task("report", total=None, note="reading rows")
        own = read_table(run).refuse_waiting()
        others = read_table(map(find_results, beside)) if beside else None
        shown.update(line, note="comparing runs")
        drawn = Report(own, others)
        shown.update(line, total=len(drawn.pieces) + 1)
        page = drawn.write(out, lambda name: shown.update(line, advance=1, note=f"drawing {name}"))
    for table in drawn.printed():
        print_drawn(table)
    for finding in drawn.findings:
        say(finding)
    say(str(page))
