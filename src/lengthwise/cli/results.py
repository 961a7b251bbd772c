"""``lengthwise results``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lengthwise.cli.arguments import RESULTS
from lengthwise.cli.progress import print_drawn, say
from lengthwise.errors import InputError

if TYPE_CHECKING:
    import polars as pl
    from rich.table import Table


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


def _summary_table(runs: pl.DataFrame) -> Table:
    """Return a line a recipe for a terminal, accuracies in percent and rounded down."""
    import polars as pl
    from rich.table import Table

    from lengthwise.report.words import percent

    table = Table("model", "task", "recipe", box=None)
    for heading in ("parameters", "mean", "sd"):
        table.add_column(heading, justify="right")
    table.add_column("each seed")
    table.add_column("of")
    for _, seeds in runs.group_by("digest", maintain_order=True):
        first = seeds.row(0, named=True)
        of_accuracy = first["quantity"].startswith("accuracy")

        def shown(value: Any, of_accuracy: bool = of_accuracy) -> str:
            if value is None:
                return "-"
            return percent(value) if of_accuracy else f"{value:.3f}"

        mean, deviation = seeds.select(pl.mean("value").alias("mean"), pl.std("value").alias("deviation")).row(0)
        table.add_row(
            *(first["model"], first["task"], first["recipe"]),
            "" if first["parameters"] is None else f"{first['parameters']:,}",
            shown(mean),
            "" if deviation is None else f"{deviation * (100 if of_accuracy else 1):.3f}",
            "  ".join(f"{seed}: {shown(value)}" for seed, value in seeds.select("seed", "value").rows()),
            first["quantity"],
        )
    return table
