"""``lengthwise results``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from lengthwise.cli.arguments import RESULTS
from lengthwise.cli.progress import print_table, say
from lengthwise.errors import InputError

if TYPE_CHECKING:
    import polars as pl

_COLUMNS = ("model", "task", "recipe", "parameters", "mean", "sd", "each seed", "of")


def results(
    run: Annotated[list[Path], RESULTS],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Every row as results.parquet or results.csv; the summary as results.tex."),
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
    as_latex = out is not None and out.suffix == ".tex"
    lines = [*_summary_rows(summarise(table))] if summary or as_latex else []
    if summary:
        print_table(_COLUMNS, lines)
    if out is None:
        return
    if as_latex:
        _write_latex(lines, out)
    else:
        write_table(with_runs(table), out)
    left = f"; {len(table.waiting)} runs are not evaluated yet and left out" if table.waiting else ""
    rows = len(lines) if as_latex else table.rows.height
    say(f"{out}: {rows:,} rows of {len(table.runs)} runs{left}")


def _write_latex(lines: Sequence[Sequence[str]], out: Path) -> None:
    from lengthwise.files import make_folder
    from lengthwise.report.parts import Cell, write_part
    from lengthwise.report.tables import as_latex

    make_folder(out.parent, "the table")
    write_part(out, as_latex(_COLUMNS, [[*map(Cell, line)] for line in lines]))


def _summary_rows(runs: pl.DataFrame) -> Iterator[tuple[str, ...]]:
    """Yield a row a recipe, accuracies in percent and rounded down."""
    from lengthwise.report.words import percent

    for _, seeds in runs.group_by("digest", maintain_order=True):
        first, values = seeds.row(0, named=True), cast(Any, seeds["value"])
        of_accuracy, deviation = first["quantity"].startswith("accuracy"), values.std()
        shown = percent if of_accuracy else "{:.3f}".format
        mean, *each = ("-" if value is None else shown(value) for value in (values.mean(), *values))
        yield (
            *(first["model"], first["task"], first["recipe"]),
            "" if first["parameters"] is None else f"{first['parameters']:,}",
            mean,
            "" if deviation is None else f"{deviation * (100 if of_accuracy else 1):.3f}",
            "  ".join(f"{seed}: {value}" for seed, value in zip(seeds["seed"], each, strict=True)),
            first["quantity"],
        )
