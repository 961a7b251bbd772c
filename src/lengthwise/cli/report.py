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
    """Print the table of evaluated runs, and write a page with it and with the figures."""
    from lengthwise.report.page import write_report
    from lengthwise.report.rows import read_results
    from lengthwise.report.summary import summarise
    from lengthwise.report.tables import terminal_table
    from lengthwise.report.text_summary import summarise_text
    from lengthwise.report.text_tables import terminal_text_table

    results = read_results(run)
    if results.runs:
        print_drawn(terminal_table(summarise(results)))
    if results.text.runs:
        print_drawn(terminal_text_table(summarise_text(results.text)))
    say(str(write_report(results, out)))
