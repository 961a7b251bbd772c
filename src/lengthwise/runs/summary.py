"""Summaries of a table: one number a run, and the columns for other programs to read."""

from __future__ import annotations

import io
import statistics
from pathlib import Path
from typing import Any

import polars as pl

from lengthwise.errors import InputError
from lengthwise.files import make_folder, write_atomically
from lengthwise.registry import nearest_name
from lengthwise.runs.table import KEY, KEYS, Run, Table
from lengthwise.settings import SEED

OF_RUN = pl.Schema(
    {"width": pl.Int64, "steps": pl.Int64, "seconds": pl.Float64, "makes": pl.String}
    | {"command": pl.String, "started": pl.String}
)
"""What a table for other programs has beside the columns of `Table.rows`: width of the model, steps that the recipe
plans, processor time of training, the figure or table that the recipe is for, and the command that began the run."""


_OF_SUMMARY = pl.Schema(
    {"model": pl.String, "task": pl.String, "recipe": pl.String, "digest": pl.String, "parameters": pl.Int64}
    | {"seed": pl.Int64, "quantity": pl.String, "value": pl.Float64}
)


def summarise(table: Table) -> pl.DataFrame:
    """Return one row a run, in the order of model and task: what its number is, and the number.

    Where the accuracy was measured by length, it is the mean over the lengths from the first beyond training to the
    last that was evaluated without a gap; where ratios of perplexities were measured, that of the last octave;
    elsewhere the mean of the first metric that there is. It is null where a run did not measure it.
    """
    rows = table.rows.partition_by(KEY, as_dict=True)
    lines: list[dict[str, Any]] = []
    for run in table.runs:
        quantity, value = _score(rows[run.key], run)
        task = run.head.data.rpartition(" ")[0] or run.head.trained_on
        lines.append(run.head.model_dump() | {"task": task, "quantity": quantity, "value": value})
    return pl.DataFrame(lines, schema=_OF_SUMMARY).sort("model", "task", "recipe", "digest", "seed")


def beyond_training(standard: pl.DataFrame, trained: int, settings: dict[str, Any]) -> tuple[int, pl.DataFrame]:
    """Return the last of the lengths that were evaluated one after another, and the rows from training up to it.

    Args:
        standard: accuracy by length, of one recipe.
        trained: the longest sequence of training.
        settings: the recipe, which says how far lengths follow one another.
    """
    task: Any = settings.get("task")
    test: Any = task.get("test") if isinstance(task, dict) else None
    longest: Any = test.get("longest") if isinstance(test, dict) else None
    last = longest if isinstance(longest, int) else max(standard["length"].to_list())
    return last, standard.filter(pl.col("length").is_between(trained + 1, last))


def mean_accuracy(rows: pl.DataFrame) -> float:
    """Return the mean over lengths, at each of which all seeds count as one.

    Args:
        rows: accuracy by length, not empty.
    """
    # Rounded to the count that it is where it is one, and in the order of the rows: the same rows give the same mean.
    right, of = (pl.col("value") * pl.col("samples")).round(9).sum(), pl.col("samples").sum()
    by_length = rows.group_by("length", maintain_order=True).agg((right / of).alias("share"))["share"]
    return statistics.fmean(by_length.to_list())


def with_runs(table: Table) -> pl.DataFrame:
    """Return the rows of a table with the columns of `OF_RUN`."""

    def line(run: Run) -> tuple[Any, ...]:
        settings, environment = run.settings, run.environment
        planned = (settings.get("model", {}).get("width"), settings.get("training", {}).get("steps"))
        known = (count if isinstance(count, int) and 0 <= count <= SEED else None for count in planned)
        began = (environment.get("command"), environment.get("started"))
        makes = settings.get("makes")
        return (*run.key, *known, run.seconds, makes if isinstance(makes, str) else None, *began)

    runs = pl.DataFrame(map(line, table.runs), schema=KEYS | OF_RUN, orient="row")
    return table.rows.join(runs, on=KEY, how="left", maintain_order="left")


def write_table(table: pl.DataFrame, out: Path) -> None:
    """Write a table as the ending of a file's name says.

    Args:
        table: what to write.
        out: ends in ``.parquet`` or ``.csv``; its folder is made.

    Raises:
        InputError: the name ends in something else.
        StoppedError: it cannot be written.
    """
    if out.suffix not in {".parquet", ".csv"}:
        known = nearest_name(out.suffix, [".parquet", ".csv", ".tex"])
        raise InputError(f"cannot write a table as {out.suffix or out.name!r}; {known}")
    contents = io.BytesIO()
    if out.suffix == ".csv":
        table.write_csv(contents)
    else:
        table.write_parquet(contents, compression="zstd")
    make_folder(out.parent, "the table")
    write_atomically(out, contents.getvalue(), "table")


def _score(rows: pl.DataFrame, run: Run) -> tuple[str, float | None]:
    """Return what the number of a run is, and the number; None where it was not measured."""
    ratios = rows.filter(pl.col("metric") == "ratio")
    if len(ratios):
        last = ratios.filter(pl.col("part").is_null() if "part" in rows.columns else True).sort("end")[-1]
        return f"ratio of perplexities up to {last['end'][0]:,}", last["value"][0]
    trained = run.head.training_length
    accuracy = rows.filter(pl.col("metric") == "accuracy")
    if "distribution" in rows.columns:
        # Null where the task of another run of the table is the one with distributions.
        accuracy = accuracy.filter(pl.col("distribution").fill_null("standard") == "standard")
    if trained is None or "length" not in rows.columns or not accuracy["length"].count():
        metric = str(rows["metric"][0])
        return f"mean {metric}", statistics.fmean(rows.filter(pl.col("metric") == metric)["value"].to_list())
    longest, dense = beyond_training(accuracy, trained, run.settings)
    if dense.is_empty():
        return "no length beyond training", None
    return f"accuracy in %, lengths {trained + 1} to {longest}", mean_accuracy(dense)
