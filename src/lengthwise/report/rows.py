"""Run folders to data frames."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from lengthwise.errors import InputError
from lengthwise.experiments.results import RunFolder, open_runs


@dataclass(frozen=True)
class Run:
    """What one run was, apart from its numbers."""

    folder: RunFolder
    recipe: str
    digest: str
    task: str
    seed: int
    settings: dict[str, Any]
    """The resolved recipe."""
    environment: dict[str, Any]
    """Command, commit and machine; empty where the run did not record them."""
    parameters: int | None
    """None where the run's checkpoint is not there."""
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
        paths: run folders, or folders that hold some.

    Returns:
        All their rows.

    Raises:
        InputError: there is no run in a folder, a run was not evaluated, or two runs have the same recipe and seed.
    """
    folders = open_runs(paths)
    waiting = [str(folder.path) for folder in folders if not folder.evaluation.exists()]
    if waiting:
        raise InputError(f"no evaluation yet in {', '.join(waiting)}; make it with: lengthwise evaluate {waiting[0]}")
    accuracy = [_accuracy(folder) for folder in folders]
    runs = [_run(folder, rows) for folder, rows in zip(folders, accuracy, strict=True)]
    _refuse_twins(runs)
    names = _series_names(runs)
    return Results(
        runs,
        pl.concat(_named(rows, run, names) for rows, run in zip(accuracy, runs, strict=True)),
        pl.concat(_named(_training(run.folder), run, names) for run in runs),
        pl.concat(_named(_learning(run.folder), run, names) for run in runs),
    )


def _accuracy(folder: RunFolder) -> pl.DataFrame:
    rows = [row.model_dump() for row in folder.evaluation_rows()]
    if not rows:
        raise InputError(
            f"{folder.evaluation} holds no rows; make them with: lengthwise evaluate --again {folder.path}"
        )
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return frame.with_columns(correct=(pl.col("value") * pl.col("samples")).round().cast(pl.Int64))


def _training(folder: RunFolder) -> pl.DataFrame:
    rows = [(row["sequences"], row["accuracy"]) for row in folder.metrics_rows() if "accuracy" in row]
    return pl.DataFrame(rows, schema={"sequences": pl.Int64, "accuracy": pl.Float64}, orient="row")


def _learning(folder: RunFolder) -> pl.DataFrame:
    """Points are logged among the metrics as ``accuracy_<length>``."""
    rows = [
        (row["sequences"], int(name.removeprefix("accuracy_")), value)
        for row in folder.metrics_rows()
        for name, value in row.items()
        if name.startswith("accuracy_")
    ]
    schema = {"sequences": pl.Int64, "length": pl.Int64, "accuracy": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _named(rows: pl.DataFrame, run: Run, names: dict[str, str]) -> pl.DataFrame:
    return rows.with_columns(
        series=pl.lit(names[run.digest]),
        task=pl.lit(run.task),
        seed=pl.lit(run.seed, dtype=pl.Int64),
        digest=pl.lit(run.digest),
    )


def _run(folder: RunFolder, accuracy: pl.DataFrame) -> Run:
    first = accuracy.row(0, named=True)
    environment = json.loads(folder.environment.read_text(encoding="utf-8")) if folder.environment.exists() else {}
    metrics = folder.metrics_rows()
    return Run(
        folder=folder,
        recipe=first["recipe"],
        digest=first["digest"],
        task=first["task"],
        seed=first["seed"],
        settings=yaml.safe_load(folder.recipe.read_text(encoding="utf-8")),
        environment=environment,
        parameters=environment.get("parameters") or _count_parameters(folder.checkpoint),
        seconds=metrics[-1].get("seconds", 0.0) if metrics else 0.0,
    )


def _count_parameters(checkpoint: Path) -> int | None:
    """Count what the optimiser keeps a first moment of, from the head of a safetensors file alone."""
    if not checkpoint.exists():
        return None
    try:
        with checkpoint.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            head = json.loads(file.read(size))
    except (struct.error, OverflowError, ValueError) as error:
        raise InputError(f"checkpoint {checkpoint} is not a whole safetensors file: {error}") from error
    return sum(math.prod(entry["shape"]) for name, entry in head.items() if name.endswith(".exp_avg"))


def _refuse_twins(runs: list[Run]) -> None:
    seen: dict[tuple[str, int], Path] = {}
    for run in runs:
        key = (run.digest, run.seed)
        if key in seen:
            raise InputError(f"{run.folder.path} and {seen[key]} are the same recipe and seed; report one of them")
        seen[key] = run.folder.path


def _series_names(runs: list[Run]) -> dict[str, str]:
    """Return digest -> the recipe's name, told apart by the digest where recipes of one name differ."""
    recipes = {run.digest: run.recipe for run in runs}
    counts = {name: list(recipes.values()).count(name) for name in recipes.values()}
    return {digest: name if counts[name] == 1 else f"{name} {digest[:6]}" for digest, name in recipes.items()}
