"""One tidy table of everything that was measured: a row a number, with what made it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from rich.table import Table

from lengthwise.errors import InputError, RunError
from lengthwise.registry import nearest_name
from lengthwise.report.kept import read_kept
from lengthwise.report.records import DIAGNOSIS, EVALUATION, Record, find_sources, read_record, refuse_twins
from lengthwise.report.summary import lengths_in_a_row, percent

COLUMNS = {
    "recipe": "name of the recipe; in a sweep its labels",
    "digest": "hash of all in the recipe that decides the numbers; with the seed it is the key of the run",
    "seed": "of the initial parameters and of the data",
    "model": "the model, on text its mixer",
    "task": "the language, on text its source",
    "metric": "accuracy; on text loss, ratio, remembrance or state_*",
    "distribution": "standard or near_miss; none on text",
    "length": "symbols that were read",
    "value": "the number",
    "samples": "strings that it is the mean over; none on text",
    "width": "of the model",
    "parameters": "trained numbers",
    "state_size": "numbers that the model carries from one symbol to the next, where that is known",
    "training_length": "the longest string trained on; none on text",
    "steps": "optimiser steps that the recipe plans",
    "step": "optimiser steps that were taken",
    "sequences": "strings or windows seen in training",
    "seconds": "processor time of the training steps",
    "makes": "the figure or table that the recipe is for",
    "commit": "of the source that evaluated the run",
    "command": "that began the run",
    "started": "when it began, in UTC",
}
"""The columns that every row has, in order; the other fields of `EvaluationRow` and `DiagnosisRow` follow, empty where
the kind of run does not have them."""


@dataclass(frozen=True)
class Collection:
    """What some folders hold.

    Args:
        table: one row a measured number; see `COLUMNS`.
        waiting: runs that were not evaluated, whose rows are therefore missing.
    """

    table: pl.DataFrame
    waiting: list[Path]


@dataclass(frozen=True)
class Line:
    """One recipe over its seeds.

    Args:
        recipe: its name.
        model: the model.
        task: the task, or the source of the text.
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


def collect(paths: Iterable[Path]) -> Collection:
    """Read evaluated runs into one table.

    Args:
        paths: run folders, folders of kept results (see `keep`), or folders that hold some.

    Raises:
        InputError: there is no run in a folder, no run was evaluated, or two runs have the same recipe and seed.
    """
    records, waiting = _records(paths)
    tables = [_table(record) for record in records]
    table = pl.concat(tables, how="diagonal_relaxed")
    return Collection(table.select(*COLUMNS, pl.exclude(*COLUMNS)), waiting)


def summarise_collected(paths: Iterable[Path]) -> list[Line]:
    """Return one line a recipe, in the order of model and task, with the value of every seed.

    Of runs on strings it is the mean accuracy over the lengths from the first beyond training to the last that was
    evaluated without a gap; of runs on text the ratio of perplexities in the last octave.

    Args:
        paths: as of `collect`.

    Raises:
        InputError: as `collect`.
    """
    lines: dict[str, Line] = {}
    for record in _records(paths)[0]:
        quantity, value = _score(record)
        line = lines.setdefault(
            record.digest,
            Line(record.recipe, str(record.rows["model"][0]), record.task, record.parameters, quantity, {}),
        )
        line.values[record.seed] = value
    return sorted(lines.values(), key=lambda line: (line.model, line.task, line.recipe))


def summary_table(lines: Sequence[Line]) -> Table:
    """Return the lines for a terminal, accuracies in percent and rounded down."""
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


def _records(paths: Iterable[Path]) -> tuple[list[Record], list[Path]]:
    folders, kept = find_sources(paths)
    waiting = [folder.path for folder in folders if not folder.evaluation.exists()]
    records = [read_record(folder) for folder in folders if folder.evaluation.exists()]
    records += [record for folder in kept for record in read_kept(folder)]
    if not records:
        raise InputError(f"none of {len(waiting)} runs is evaluated; make rows with: lengthwise evaluate {waiting[0]}")
    refuse_twins(records)
    return records, waiting


def _table(record: Record) -> pl.DataFrame:
    environment, settings = record.environment, record.settings
    seconds = record.metrics["seconds"].drop_nulls()
    model = settings.get("model", {})
    own = {
        "task": (record.task, pl.String),
        "width": (model.get("width"), pl.Int64),
        "parameters": (record.parameters, pl.Int64),
        "steps": (settings.get("training", {}).get("steps"), pl.Int64),
        "seconds": (float(seconds[-1]) if len(seconds) else None, pl.Float64),
        "makes": (settings.get("makes"), pl.String),
        "command": (environment.get("command"), pl.String),
        "started": (environment.get("started"), pl.String),
    }
    rows = record.rows
    if record.on_text:
        absent = {name: EVALUATION[name] for name in COLUMNS if name in EVALUATION and name not in DIAGNOSIS}
        empty = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in absent.items()]
        state = pl.lit(environment.get("state"), dtype=pl.Int64)
        rows = rows.with_columns(*empty).with_columns(length=pl.col("end"), state_size=state)
    return rows.with_columns(**{name: pl.lit(value, dtype=dtype) for name, (value, dtype) in own.items()})


def _score(record: Record) -> tuple[str, float | None]:
    rows = record.rows
    if record.on_text:
        ratios = rows.filter((pl.col("metric") == "ratio") & (pl.col("part") == "")).sort("end")
        if ratios.is_empty():
            return "no ratio of perplexities", None
        return f"ratio of perplexities up to {ratios['end'][-1]:,}", float(ratios["value"][-1])
    trained, longest = int(rows["training_length"][0]), lengths_in_a_row(rows, record.settings)
    beyond = rows.filter((pl.col("distribution") == "standard") & pl.col("length").is_between(trained + 1, longest))
    values = [float(value) for value in beyond["value"]]
    if not values:
        return "no length beyond training", None
    return f"accuracy in %, lengths {trained + 1} to {longest}", statistics.fmean(values)


def _shown(line: Line, value: float | None) -> str:
    if value is None:
        return "-"
    return percent(value) if line.of_accuracy else f"{value:.3f}"
