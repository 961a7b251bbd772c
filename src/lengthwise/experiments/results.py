"""What runs leave behind, read without torch: metrics and evaluation rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from lengthwise.errors import InputError
from lengthwise.experiments.lock import is_held


class EvaluationRow(BaseModel):
    """One measured number and where it comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    digest: str
    """Hash of the recipe; with the seed it is the key of the run."""
    model: str
    """The model, or its mixer where it has one."""
    task: str
    task_version: int
    seed: int
    metric: Literal["accuracy"] = "accuracy"
    distribution: str
    """``standard``, or ``near_miss``: strings one or two edits from another class."""
    length: int
    value: float
    samples: int
    training_length: int
    """The longest string that was trained on."""
    step: int
    sequences: int
    """Strings seen in training."""
    commit: str | None
    """Of the package's source, when its repository is known."""
    parameters: int | None = None
    """Trained numbers of the model; None in rows that are older than this field."""
    state_size: int | None = None
    """Values that the model carries from one string of the training length to whatever follows, positions not counted;
    None where it carries no state, and in rows that are older than this field."""


Metric = Literal["loss", "ratio", "remembrance", "state_std", "state_mean", "state_max"]


class DiagnosisRow(BaseModel):
    """One measured number of a language model and where it comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    digest: str
    """Hash of the recipe; with the seed it is the key of the run."""
    model: str
    """The model, or its mixer where it has one."""
    intervention: str
    text: str
    """The source of the text and the fingerprint of its symbols."""
    seed: int
    metric: Metric
    """``loss``: nats a symbol; ``ratio``: perplexity of an octave over that of the octave that ends at the context;
    ``remembrance``: effective remembrance of what starts at `start`; ``state_*``: of the state after `end` symbols."""
    part: str
    """Empty for the whole; otherwise the entry of the state, and the head after a slash."""
    start: int
    """Symbols before the first that the number is about."""
    end: int
    """Symbols up to and including the last that the number is about."""
    value: float
    low: float | None
    """Lower end of the 95 % confidence interval, where there is one."""
    high: float | None
    rows: int
    """Independent stretches of text that were read."""
    context: int
    """T, the symbols that each training window predicted."""
    step: int
    sequences: int
    """Windows seen in training, those of the run it started from not counted."""
    commit: str | None
    """Of the package's source, when its repository is known."""

    @property
    def length(self) -> int:
        """The symbols that were read for the number."""
        return self.end


Row = TypeVar("Row", EvaluationRow, DiagnosisRow)


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.path / "recipe.yaml"

    @property
    def environment(self) -> Path:
        """Versions, commit, command lines, machine."""
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        """One row every few steps of training."""
        return self.path / "metrics.jsonl"

    @property
    def evaluation(self) -> Path:
        """One `EvaluationRow` a line, or one `DiagnosisRow` where the run is on text."""
        return self.path / "evaluation.jsonl"

    @property
    def checkpoint(self) -> Path:
        """All that a resumed run needs."""
        return self.path / "checkpoint.safetensors"

    @property
    def finished(self) -> Path:
        """Exists when training is done, and says how it ended."""
        return self.path / "finished"

    @property
    def begun(self) -> bool:
        """Whether training left something that another run must not take the place of."""
        return self.checkpoint.exists() or self.finished.exists()

    @property
    def ending(self) -> str:
        """How training ended, such as ``stopped: loss below 0.001 for 300 steps``; empty before, or not recorded."""
        return self.finished.read_text(encoding="utf-8").strip() if self.finished.exists() else ""

    @property
    def status(self) -> str:
        """``running``, ``finished``, ``evaluated`` or ``unfinished``."""
        if is_held(self.path):
            return "running"
        if not self.finished.exists():
            return "unfinished"
        return "evaluated" if self.evaluation.exists() else "finished"

    def metrics_rows(self) -> list[dict[str, Any]]:
        """Return the rows of training metrics; a last line that a kill tore is left out."""
        return _rows(self.metrics, torn_end=True)

    def evaluation_rows(self) -> list[EvaluationRow]:
        """Return the evaluation rows of a run on strings; none where the run was not evaluated.

        Raises:
            InputError: a row is not valid.
        """
        return self._validated(EvaluationRow)

    def diagnosis_rows(self) -> list[DiagnosisRow]:
        """Return the rows of a run on text; none where the run was not diagnosed.

        Raises:
            InputError: a row is not valid.
        """
        return self._validated(DiagnosisRow)

    def _validated(self, kind: type[Row]) -> list[Row]:
        try:
            return [kind.model_validate(row) for row in _rows(self.evaluation)]
        except ValidationError as error:
            raise InputError(f"{self.evaluation} has a row that is not an evaluation row: {error}") from error


def run_path(root: Path, recipe: str, seed: int) -> Path:
    """Return the folder of a run below the folder of all runs."""
    return root / recipe / f"seed-{seed}"


def find_runs(root: Path) -> list[RunFolder]:
    """Return all runs below a folder, sorted by path."""
    return [RunFolder(path.parent) for path in sorted(root.rglob("recipe.yaml"))]


def open_runs(paths: Iterable[Path]) -> list[RunFolder]:
    """Return the runs at or below some paths, each once, in the order given.

    Raises:
        InputError: there is no run at or below one of them.
    """
    runs: dict[Path, RunFolder] = {}
    for path in paths:
        found = find_runs(path)
        if not found:
            raise InputError(f"there is no run in {path}; a run is a folder such as runs/fast/parity/seed-0")
        runs |= {run.path: run for run in found}
    return list(runs.values())


def _rows(path: Path, torn_end: bool = False) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if torn_end and number == len(lines):
                break
            raise InputError(f"{path}, line {number}: not JSON ({error.msg})") from error
    return rows
