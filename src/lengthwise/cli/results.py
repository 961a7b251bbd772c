"""``lengthwise results``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lengthwise.cli.arguments import RESULTS
from lengthwise.cli.progress import print_drawn, say
from lengthwise.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from lengthwise.runs.summary import Line


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
    from lengthwise.runs.summary import summarise, with_runs, write_table
    from lengthwise.runs.table import read_table

    if out is None and not summary:
        raise InputError("say where the table goes with --out results.parquet, or ask for --summary")
    table = read_table(run)
    if summary:
        print_drawn(_summary_table(summarise(table)))
    if out is None:
        return
    write_table(with_runs(table), out)
    left = f"; {len(table.waiting)} runs are not evaluated yet and left out" if table.waiting else ""
    say(f"{out}: {table.rows.height:,} rows of {len(table.runs)} runs{left}")


def _summary_table(lines: Sequence[Line]) -> Table:
    """Return the lines for a terminal, accuracies in percent and rounded down."""
    from rich.table import Table

    table = Table("model", "task", "recipe", box=None)
    for heading in ("parameters", "mean", "sd"):
        table.add_column(heading, justify="right")
    table.add_column("each seed")
    table.add_column("of")
    for line in lines:
        deviation = "" if line.deviation is None else f"{line.deviation * (100 if line.of_accuracy else 1):.3f}"
        seeds = "  ".join(f"{seed}: {_shown(line, value)}" for seed, value in sorted(line.values.items()))
        parameters = "" if line.parameters is None else f"{line.parameters:,}"
        table.add_row(
            *(line.model, line.task, line.recipe, parameters),
            *(_shown(line, line.mean), deviation, seeds, line.quantity),
        )
    return table


def _shown(line: Line, value: float | None) -> str:
    from lengthwise.report.summary import percent

    if value is None:
        return "-"
    return percent(value) if line.of_accuracy else f"{value:.3f}"
