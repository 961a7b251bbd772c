"""What evaluated runs left behind, read from their folders or from where `keep` put it."""

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
from lengthwise.report.certified import Certified, read_certified
from lengthwise.runs.folder import RunFolder, find_runs

INDEX = "runs.json"
"""The file that marks a folder of kept results."""

EVALUATION = pl.Schema(
    {
        "recipe": pl.String,
        "digest": pl.String,
        "model": pl.String,
        "task": pl.String,
        "task_version": pl.Int64,
        "seed": pl.Int64,
        "metric": pl.String,
        "distribution": pl.String,
        "length": pl.Int64,
        "value": pl.Float64,
        "samples": pl.Int64,
        "training_length": pl.Int64,
        "step": pl.Int64,
        "sequences": pl.Int64,
        "commit": pl.String,
        "parameters": pl.Int64,
        "state_size": pl.Int64,
    }
)
"""The columns of `EvaluationRow`."""

DIAGNOSIS = pl.Schema(
    {
        "recipe": pl.String,
        "digest": pl.String,
        "model": pl.String,
        "intervention": pl.String,
        "text": pl.String,
        "seed": pl.Int64,
        "metric": pl.String,
        "part": pl.String,
        "start": pl.Int64,
        "end": pl.Int64,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "rows": pl.Int64,
        "context": pl.Int64,
        "step": pl.Int64,
        "sequences": pl.Int64,
        "commit": pl.String,
    }
)
"""The columns of `DiagnosisRow`."""

METRICS = pl.Schema({"step": pl.Int64, "sequences": pl.Int64, "seconds": pl.Float64, "accuracy": pl.Float64})
"""The columns that metrics have at least."""


@dataclass(frozen=True)
class Record:
    """All that one evaluated run left behind, but for its checkpoint."""

    path: Path
    """The run's folder when it was read."""
    settings: dict[str, Any]
    """The resolved recipe."""
    environment: dict[str, Any]
    """Command, commit and machine; empty where the run did not record them."""
    parameters: int | None
    """Trained numbers; None where neither the run nor its checkpoint tells."""
    evaluation: pl.DataFrame
    """The rows of a run on strings, with the columns of `EVALUATION`; none of a run on text."""
    diagnosis: pl.DataFrame
    """The rows of a run on text, with the columns of `DIAGNOSIS`; none of a run on strings."""
    metrics: pl.DataFrame
    """One row a logged step, with the columns of `METRICS` and others."""
    certified: Certified | None = None
    """What was proved about it."""

    @property
    def on_text(self) -> bool:
        """Whether it is a run on text."""
        return self.evaluation.is_empty()

    @property
    def rows(self) -> pl.DataFrame:
        """The rows that were measured, at least one."""
        return self.diagnosis if self.on_text else self.evaluation

    @property
    def recipe(self) -> str:
        """The recipe's name."""
        return str(self.rows["recipe"][0])

    @property
    def digest(self) -> str:
        """The hash of the recipe; with the seed it is the key of the run."""
        return str(self.rows["digest"][0])

    @property
    def seed(self) -> int:
        """The seed of the initial parameters and of the data."""
        return int(self.rows["seed"][0])

    @property
    def task(self) -> str:
        """The task, or the source of the text."""
        if not self.on_text:
            return str(self.evaluation["task"][0])
        return str(self.diagnosis["text"][0]).rpartition(" ")[0]


def find_sources(paths: Iterable[Path]) -> tuple[list[RunFolder], list[Path]]:
    """Return the run folders, and the folders of kept results, at or below some paths, each once.

    Raises:
        InputError: there is neither at or below one of them.
    """
    runs: dict[Path, RunFolder] = {}
    kept: dict[Path, None] = {}
    for path in paths:
        found, indices = find_runs(path), sorted(path.rglob(INDEX))
        if not found and not indices:
            raise InputError(f"there is no run in {path}; a run is a folder such as runs/fast/parity/seed-0")
        runs |= {run.path: run for run in found}
        kept |= dict.fromkeys(index.parent for index in indices)
    return list(runs.values()), list(kept)


def read_record(folder: RunFolder) -> Record:
    """Read an evaluated run.

    Raises:
        InputError: it was not evaluated, or one of its files is not valid.
    """
    settings = yaml.safe_load(folder.recipe.read_text(encoding="utf-8"))
    on_text = "text" in settings
    rows = folder.diagnosis_rows() if on_text else folder.evaluation_rows()
    if not rows:
        raise InputError(
            f"{folder.evaluation} holds no rows; make them with: lengthwise evaluate --again {folder.path}"
        )
    measured = [row.model_dump() for row in rows]
    environment = json.loads(folder.environment.read_text(encoding="utf-8")) if folder.environment.exists() else {}
    return Record(
        path=folder.path,
        settings=settings,
        environment=environment,
        parameters=environment.get("parameters") or _count_parameters(folder.checkpoint),
        evaluation=pl.DataFrame([] if on_text else measured, schema=EVALUATION),
        diagnosis=pl.DataFrame(measured if on_text else [], schema=DIAGNOSIS),
        metrics=_metrics(folder),
        certified=read_certified(folder, rows[0].digest, rows[0].seed),
    )


def refuse_waiting(folders: Iterable[RunFolder]) -> None:
    """Refuse runs that were not evaluated.

    Raises:
        InputError: it names them and the command that evaluates them.
    """
    waiting = [str(folder.path) for folder in folders if not folder.evaluation.exists()]
    if waiting:
        raise InputError(f"no evaluation yet in {', '.join(waiting)}; make it with: lengthwise evaluate {waiting[0]}")


def refuse_twins(records: Iterable[Record]) -> None:
    """Refuse runs that are the same recipe and seed.

    Raises:
        InputError: it names the first two.
    """
    seen: dict[tuple[str, int], Path] = {}
    for record in records:
        key = (record.digest, record.seed)
        if key in seen:
            raise InputError(f"{record.path} and {seen[key]} are the same recipe and seed; name one of them only")
        seen[key] = record.path


def _metrics(folder: RunFolder) -> pl.DataFrame:
    rows = pl.DataFrame(folder.metrics_rows(), infer_schema_length=None)
    return pl.concat([pl.DataFrame(schema=METRICS), rows], how="diagonal_relaxed")


def _count_parameters(checkpoint: Path) -> int | None:
    """Count what an optimiser keeps a first moment of, from the head of a safetensors file alone."""
    if not checkpoint.exists():
        return None
    try:
        with checkpoint.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            head = json.loads(file.read(size))
    except (struct.error, OverflowError, ValueError) as error:
        raise InputError(f"checkpoint {checkpoint} is not a whole safetensors file: {error}") from error
    first_moments = (".exp_avg", ".momentum_buffer")
    return sum(math.prod(entry["shape"]) for name, entry in head.items() if name.endswith(first_moments))
