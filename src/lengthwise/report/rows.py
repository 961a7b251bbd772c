"""Run folders and kept results to data frames."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
from polars import selectors as cs

from lengthwise.report.certified import Certified
from lengthwise.report.kept import read_kept
from lengthwise.report.records import (
    DIAGNOSIS,
    EVALUATION,
    Record,
    find_sources,
    read_record,
    refuse_twins,
    refuse_waiting,
)
from lengthwise.tasks import LANGUAGES

Columns = Mapping[str, type[pl.DataType] | pl.DataType]

_NAMED: Columns = {
    "series": pl.String,
    "family": pl.String,
    "task": pl.String,
    "seed": pl.Int64,
    "digest": pl.String,
}
"""The columns that every table has."""


@dataclass(frozen=True)
class Run:
    """What one run was, apart from its numbers."""

    recipe: str
    family: str
    """What the recipe shares with those of the same model on other tasks."""
    digest: str
    task: str
    """The task, or the source of the text."""
    seed: int
    settings: dict[str, Any]
    """The resolved recipe."""
    environment: dict[str, Any]
    """Command, commit and machine; empty where the run did not record them."""
    parameters: int | None
    """None where neither the run nor its checkpoint tells."""
    seconds: float
    """Time spent in training steps."""
    certified: Certified | None = None
    """What was proved about it."""


@dataclass(frozen=True)
class TextResults:
    """The runs on text and their rows; a *series* is as in `Results`.

    Args:
        runs: in the order given.
        diagnosis: the columns of `DiagnosisRow`, and `series`.
        learning: one row a run and point of its learning curve, with `series`, `seed`, `sequences`, `position` (the
            last of an octave) and `loss` (mean over the octave, in nats).
    """

    runs: list[Run]
    diagnosis: pl.DataFrame
    learning: pl.DataFrame

    @property
    def series(self) -> list[str]:
        """The names of the series in alphabetical order, numbers in them by their size."""
        return sorted(self.diagnosis["series"].unique().to_list(), key=natural)


@dataclass(frozen=True)
class Results:
    """The runs of a report and their rows.

    A *series* is what several seeds of one recipe share: a line of a figure, a row of a table.

    Args:
        runs: those on strings, in the order given.
        accuracy: one row a run, distribution and length, with `series`, `family`, `task`, `seed`, `distribution`,
            `length`, `value`, `samples`, `correct`, `training_length`, `sequences`, `step`, `state_size`.
        training: one row a run and logged step, with `series`, `family`, `task`, `seed`, `sequences`, `accuracy` (of
            the batch).
        learning: one row a run, point of its learning curve and length, with the same columns and `length`; the
            accuracy is that on fresh strings of the length.
        text: the runs on text and their rows.
    """

    runs: list[Run]
    accuracy: pl.DataFrame
    training: pl.DataFrame
    learning: pl.DataFrame
    text: TextResults

    @property
    def tasks(self) -> list[str]:
        """The tasks in the order of the paper's table, then others in the order in which they first appear."""
        found = dict.fromkeys(run.task for run in self.runs)
        return [task for task in LANGUAGES if task in found] + [task for task in found if task not in LANGUAGES]

    @property
    def families(self) -> list[str]:
        """The families, in the order in which they first appear."""
        return list(dict.fromkeys(run.family for run in self.runs))

    def series(self, task: str) -> list[str]:
        """Return the names of the series of a task."""
        return self.accuracy.filter(pl.col("task") == task)["series"].unique(maintain_order=True).to_list()

    def within(self, tasks: Iterable[str], longest: int) -> Results:
        """Return the runs with the accuracy on some tasks alone, on strings of at most so many symbols."""
        kept = pl.col("task").is_in(list(tasks)) & (pl.col("length") <= longest)
        return replace(self, accuracy=self.accuracy.filter(kept))

    def of(self, names: Mapping[str, str]) -> Results:
        """Return the runs of some families on strings.

        Args:
            names: family -> what it is called in what is returned, in the order in which its runs stand there.
        """

        def renamed(rows: pl.DataFrame) -> pl.DataFrame:
            kept = rows.filter(pl.col("family").is_in(list(names)))
            return kept.with_columns(pl.col("family").replace_strict(dict(names), return_dtype=pl.String))

        order = list(names)
        runs = sorted((run for run in self.runs if run.family in names), key=lambda run: order.index(run.family))
        return Results(
            [replace(run, family=names[run.family]) for run in runs],
            renamed(self.accuracy),
            renamed(self.training),
            renamed(self.learning),
            TextResults([], self.text.diagnosis.clear(), self.text.learning.clear()),
        )


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
    names = _series_names(records)
    families = _families(records, names)
    strings = [record for record in records if not record.on_text]
    texts = [record for record in records if record.on_text]

    def table(
        rows: Callable[[Record], pl.DataFrame], of: list[Record], columns: Mapping[str, type[pl.DataType] | pl.DataType]
    ) -> pl.DataFrame:
        named = [_named(rows(record), record, names, families) for record in of]
        return pl.concat(named) if named else pl.DataFrame(schema={**columns, **_NAMED})

    return Results(
        [_run(record, families) for record in strings],
        table(_accuracy, strings, EVALUATION),
        table(_training, strings, _curve("accuracy")),
        table(_learning, strings, _curve("length", "accuracy")),
        TextResults(
            [_run(record, families) for record in texts],
            table(lambda record: record.diagnosis, texts, DIAGNOSIS),
            table(_losses, texts, _curve("position", "loss")),
        ),
    )


def natural(name: str) -> list[tuple[int, str]]:
    """Return what to sort names by, so that numbers in them go by their size."""
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"(\d+)", name) if piece]


def _curve(*names: str) -> Columns:
    """Return the columns of points along training; the last of the names is what was measured."""
    return dict.fromkeys(("sequences", *names[:-1]), pl.Int64) | {names[-1]: pl.Float64}


def _accuracy(record: Record) -> pl.DataFrame:
    correct = (pl.col("value") * pl.col("samples")).round().cast(pl.Int64)
    return record.evaluation.with_columns(correct=correct)


def _training(record: Record) -> pl.DataFrame:
    return record.metrics.select("sequences", "accuracy").drop_nulls()


def _learning(record: Record) -> pl.DataFrame:
    return _points(record, "accuracy", "length")


def _losses(record: Record) -> pl.DataFrame:
    return _points(record, "loss", "position")


def _points(record: Record, value: str, place: str) -> pl.DataFrame:
    """Points of the learning curve are logged among the metrics as ``accuracy_<length>`` or ``loss_<position>``."""
    prefix = f"{value}_"
    points = record.metrics.select("sequences", cs.starts_with(prefix).cast(pl.Float64))
    points = points.unpivot(index="sequences", variable_name=place, value_name=value).drop_nulls()
    number = pl.col(place).str.strip_prefix(prefix).cast(pl.Int64)
    return points.select("sequences", number, pl.col(value).cast(pl.Float64)).sort("sequences", place)


def _named(rows: pl.DataFrame, record: Record, names: dict[str, str], families: dict[str, str]) -> pl.DataFrame:
    return rows.with_columns(
        series=pl.lit(names[record.digest]),
        family=pl.lit(families[record.digest]),
        task=pl.lit(record.task),
        seed=pl.lit(record.seed, dtype=pl.Int64),
        digest=pl.lit(record.digest),
    )


def _run(record: Record, families: dict[str, str]) -> Run:
    seconds = record.metrics["seconds"].drop_nulls()
    return Run(
        recipe=record.recipe,
        family=families[record.digest],
        digest=record.digest,
        task=record.task,
        seed=record.seed,
        settings=record.settings,
        environment=record.environment,
        parameters=record.parameters,
        seconds=float(seconds[-1]) if len(seconds) else 0.0,
        certified=record.certified,
    )


def _series_names(records: list[Record]) -> dict[str, str]:
    """Return digest -> the recipe's name, told apart by the digest where recipes of one name differ."""
    recipes = {record.digest: record.recipe for record in records}
    counts = {name: list(recipes.values()).count(name) for name in recipes.values()}
    return {digest: name if counts[name] == 1 else f"{name} {digest[:6]}" for digest, name in recipes.items()}


def _families(records: list[Record], names: dict[str, str]) -> dict[str, str]:
    """Return digest -> the family, which is the series itself where one task has several of a family."""
    found = {record.digest: (record.task, _family(names[record.digest], record.task)) for record in records}
    counts = Counter(found.values())
    return {digest: key[1] if counts[key] == 1 else names[digest] for digest, key in found.items()}


def _family(series: str, task: str) -> str:
    """Return a recipe's name without its task, or its folder where the task is no part of the name."""
    name, _, digest = series.partition(" ")
    without = re.sub(rf"(^|[/-]){re.escape(task)}(?=$|[/-])", "", name).strip("/-")
    family = name.rpartition("/")[0] if without == name else without
    return " ".join(part for part in (family or name, digest) if part)
