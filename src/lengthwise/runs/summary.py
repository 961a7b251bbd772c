"""Summaries of a table: one line a recipe, and the columns for other programs to read."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lengthwise.errors import InputError, RunError
from lengthwise.registry import nearest_name
from lengthwise.runs.table import KEY, Run, Table

OF_RUN = pl.Schema(
    {"width": pl.Int64, "steps": pl.Int64, "seconds": pl.Float64, "makes": pl.String}
    | {"command": pl.String, "started": pl.String}
)
"""What a table for other programs has beside the columns of `Table.rows`: width of the model, steps that the recipe
plans, processor time of training, the figure or table that the recipe is for, and the command that began the run."""


@dataclass(frozen=True)
class Line:
    """One recipe over its seeds.

    Args:
        recipe: its name.
        model: the model.
        task: the task, or the source of its data.
        parameters: trained numbers; None where they are not known.
        quantity: what the values are.
        values: seed -> value; None where the run did not measure it.
    """

    recipe: str
    model: str
    task: str
    parameters: int | None
    quantity: str
    values: dict[int, float | None]

    @property
    def measured(self) -> list[float]:
        """The values of the seeds that have one."""
        return [value for value in self.values.values() if value is not None]

    @property
    def mean(self) -> float | None:
        """The mean over seeds; None where there is no value."""
        return statistics.fmean(self.measured) if self.measured else None

    @property
    def deviation(self) -> float | None:
        """The standard deviation over seeds; None of less than two."""
        return statistics.stdev(self.measured) if len(self.measured) > 1 else None

    @property
    def of_accuracy(self) -> bool:
        """Whether the values are accuracies."""
        return self.quantity.startswith("accuracy")


def summarise(table: Table) -> list[Line]:
    """Return one line a recipe, in the order of model and task, with the value of every seed.

    Where the accuracy was measured by length, it is the mean over the lengths from the first beyond training to the
    last that was evaluated without a gap; where ratios of perplexities were measured, that of the last octave;
    elsewhere the mean of the first metric that there is.
    """
    lines: dict[str, Line] = {}
    rows = table.rows.partition_by(KEY, as_dict=True)
    for run in table.runs:
        quantity, value = _score(rows[run.key], run)
        head = run.head
        task = head.data.rpartition(" ")[0] or head.trained_on
        line = Line(head.recipe, head.model, task, head.parameters, quantity, {})
        lines.setdefault(head.digest, line).values[head.seed] = value
    return sorted(lines.values(), key=lambda line: (line.model, line.task, line.recipe))


def longest_in_a_row(lengths: pl.Series, settings: dict[str, Any]) -> int:
    """Return the last of the lengths that were evaluated one after another, as the recipe says it."""
    evaluation: Any = settings.get("evaluation")
    if isinstance(evaluation, dict) and isinstance(longest := evaluation.get("longest"), int):
        return longest
    return max(lengths.to_list())


def with_runs(table: Table) -> pl.DataFrame:
    """Return the rows of a table with the columns of `OF_RUN`."""
    runs = [(*run.key, *_of_run(run)) for run in table.runs]
    schema = {name: table.rows.schema[name] for name in KEY} | OF_RUN
    return table.rows.join(pl.DataFrame(runs, schema=schema, orient="row"), on=KEY, how="left", maintain_order="left")


def write_table(table: pl.DataFrame, out: Path) -> None:
    """Write a table as the ending of a file's name says.

    Args:
        table: what to write.
        out: ends in ``.parquet`` or ``.csv``; its folder is made.

    Raises:
        InputError: the name ends in something else.
        RunError: it cannot be written.
    """
    if out.suffix not in {".parquet", ".csv"}:
        known = nearest_name(out.suffix, [".parquet", ".csv"])
        raise InputError(f"cannot write a table as {out.suffix or out.name!r}; {known}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".csv":
            table.write_csv(out)
        else:
            table.write_parquet(out, compression="zstd")
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror or error}") from error


def _of_run(run: Run) -> tuple[Any, ...]:
    settings, environment = run.settings, run.environment
    planned = (settings.get("model", {}).get("width"), settings.get("training", {}).get("steps"))
    return (*planned, run.seconds, settings.get("makes"), environment.get("command"), environment.get("started"))


def _score(rows: pl.DataFrame, run: Run) -> tuple[str, float | None]:
    """Return what the number of a run is, and the number; None where it was not measured."""
    ratios = rows.filter(pl.col("metric") == "ratio")
    if len(ratios):
        last = ratios.filter(pl.col("part").is_null() if "part" in rows.columns else True).sort("end")[-1]
        return f"ratio of perplexities up to {last['end'][0]:,}", last["value"][0]
    trained = run.head.training_length
    if trained is None or "length" not in rows.columns or not rows["length"].count():
        metric = str(rows["metric"][0])
        return f"mean {metric}", statistics.fmean(rows.filter(pl.col("metric") == metric)["value"].to_list())
    accuracy = rows.filter(pl.col("metric") == "accuracy")
    if "distribution" in rows.columns:
        accuracy = accuracy.filter(pl.col("distribution") == "standard")
    longest = longest_in_a_row(accuracy["length"], run.settings)
    values = accuracy.filter(pl.col("length").is_between(trained + 1, longest))["value"].to_list()
    if not values:
        return "no length beyond training", None
    return f"accuracy in %, lengths {trained + 1} to {longest}", statistics.fmean(values)
