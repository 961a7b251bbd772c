"""Run folders and kept results to data frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from polars import selectors as cs

from lengthwise.report.kept import read_kept
from lengthwise.report.records import Record, find_sources, read_record, refuse_twins, refuse_waiting


@dataclass(frozen=True)
class Run:
    """What one run was, apart from its numbers."""

    recipe: str
    digest: str
    task: str
    seed: int
    settings: dict[str, Any]
    """The resolved recipe."""
    environment: dict[str, Any]
    """Command, commit and machine; empty where the run did not record them."""
    parameters: int | None
    """None where neither the run nor its checkpoint tells."""
    seconds: float
    """Time spent in training steps."""


@dataclass(frozen=True)
class Results:
    """The runs of a report and their rows.

    A *series* is what several seeds of one recipe share: a line of a figure, a row of a table.

    Args:
        runs: in the order given.
        accuracy: one row a run, distribution and length, with `series`, `task`, `seed`, `distribution`, `length`,
            `value`, `samples`, `correct`, `training_length`, `sequences`.
        training: one row a run and logged step, with `series`, `task`, `seed`, `sequences`, `accuracy` (of the batch).
        learning: one row a run, point of its learning curve and length, with the same columns and `length`; the
            accuracy is that on fresh strings of the length.
    """

    runs: list[Run]
    accuracy: pl.DataFrame
    training: pl.DataFrame
    learning: pl.DataFrame

    @property
    def tasks(self) -> list[str]:
        """The tasks, in the order in which they first appear."""
        return list(dict.fromkeys(run.task for run in self.runs))

    def series(self, task: str) -> list[str]:
        """Return the names of the series of a task."""
        return self.accuracy.filter(pl.col("task") == task)["series"].unique(maintain_order=True).to_list()


def read_results(paths: Iterable[Path]) -> Results:
    """Read evaluated runs.

    Args:
        paths: run folders, folders of kept results (see `keep`), or folders that hold some.

    Returns:
        All their rows.

    Raises:
        InputError: there is no run in a folder, a run was not evaluated, or two runs have the same recipe and seed.
    """
    folders, kept = find_sources(paths)
    refuse_waiting(folders)
    records = [read_record(folder) for folder in folders]
    records += [record for folder in kept for record in read_kept(folder)]
    refuse_twins(records)
    runs = [_run(record) for record in records]
    names = _series_names(runs)
    tables = (_accuracy, _training, _learning)
    return Results(runs, *(pl.concat(_named(table(record), record, names) for record in records) for table in tables))


def _accuracy(record: Record) -> pl.DataFrame:
    correct = (pl.col("value") * pl.col("samples")).round().cast(pl.Int64)
    return record.evaluation.with_columns(correct=correct)


def _training(record: Record) -> pl.DataFrame:
    return record.metrics.select("sequences", "accuracy").drop_nulls()


def _learning(record: Record) -> pl.DataFrame:
    """Points are logged among the metrics as ``accuracy_<length>``."""
    points = record.metrics.select("sequences", cs.starts_with("accuracy_").cast(pl.Float64))
    points = points.unpivot(index="sequences", variable_name="length", value_name="accuracy").drop_nulls()
    length = pl.col("length").str.strip_prefix("accuracy_").cast(pl.Int64)
    return points.select("sequences", length, pl.col("accuracy").cast(pl.Float64)).sort("sequences", "length")


def _named(rows: pl.DataFrame, record: Record, names: dict[str, str]) -> pl.DataFrame:
    return rows.with_columns(
        series=pl.lit(names[record.digest]),
        task=pl.lit(str(record.evaluation["task"][0])),
        seed=pl.lit(record.seed, dtype=pl.Int64),
        digest=pl.lit(record.digest),
    )


def _run(record: Record) -> Run:
    seconds = record.metrics["seconds"].drop_nulls()
    return Run(
        recipe=record.recipe,
        digest=record.digest,
        task=str(record.evaluation["task"][0]),
        seed=record.seed,
        settings=record.settings,
        environment=record.environment,
        parameters=record.parameters,
        seconds=float(seconds[-1]) if len(seconds) else 0.0,
    )


def _series_names(runs: list[Run]) -> dict[str, str]:
    """Return digest -> the recipe's name, told apart by the digest where recipes of one name differ."""
    recipes = {run.digest: run.recipe for run in runs}
    counts = {name: list(recipes.values()).count(name) for name in recipes.values()}
    return {digest: name if counts[name] == 1 else f"{name} {digest[:6]}" for digest, name in recipes.items()}
