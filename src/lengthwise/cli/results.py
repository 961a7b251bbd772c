"""``lengthwise results``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lengthwise.cli.arguments import RESULTS
from lengthwise.cli.progress import print_drawn, say
from lengthwise.errors import InputError


def results(
    run: Annotated[list[Path], RESULTS],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The table: results.parquet, or results.csv.")
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Print mean, standard deviation and every seed of each model and task.")
    ] = False,
) -> None:
    """Collect everything that evaluated runs measured in one table, a row a number, with what made it."""
    from lengthwise.report.collected import collect, summarise_collected, summary_table, write_table

    if out is None and not summary:
        raise InputError("say where the table goes with --out results.parquet, or ask for --summary")
    if summary:
        print_drawn(summary_table(summarise_collected(run)))
    if out is None:
        return
    collection = collect(run)
    write_table(collection.table, out)
    keys = collection.table.select("digest", "seed").unique().height
    left = f"; {len(collection.waiting)} runs are not evaluated yet and left out" if collection.waiting else ""
    say(f"{out}: {collection.table.height:,} rows of {keys} runs{left}")
