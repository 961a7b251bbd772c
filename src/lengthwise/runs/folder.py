"""Run folders: the files that one run leaves behind, found and read without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lengthwise.errors import InputError
from lengthwise.files import read_bytes, read_object, read_rows, read_text
from lengthwise.runs.lock import is_held


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        """The resolved recipe."""
        self.environment = path / "environment.json"
        """Versions, commit, command lines, machine."""
        self.metrics = path / "metrics.jsonl"
        """One row every few steps of training."""
        self.evaluation = path / "evaluation.jsonl"
        """What was measured; `lengthwise.runs.rows` reads it."""
        self.part = path / "evaluation.part.jsonl"
        """What an evaluation that was ended had measured; `lengthwise.runs.measured` reads it."""
        self.checkpoint = path / "checkpoint.safetensors"
        """All that a resumed run needs."""
        self.finished = path / "finished"
        """Exists when training is done, and says how it ended."""

    @property
    def begun(self) -> bool:
        """Whether training left something that another run must not take the place of."""
        return self.checkpoint.exists() or self.finished.exists()

    @property
    def ending(self) -> str:
        """How training ended, such as ``stopped: loss below 0.001 for 300 steps``; empty before, or not recorded."""
        return read_text(self.finished, "end of the run").strip() if self.finished.exists() else ""

    @property
    def status(self) -> str:
        """``running``, ``finished``, ``evaluated`` or ``unfinished``."""
        if is_held(self.path):
            return "running"
        if not self.finished.exists():
            return "unfinished"
        return "evaluated" if self.evaluation.exists() else "finished"

    def recipe_hash(self) -> str:
        """Return the hash of the recipe's file."""
        return hashlib.sha256(read_bytes(self.recipe, "recipe")).hexdigest()

    def check_recipe(self) -> None:
        """Refuse a recipe that was edited after its run began: its numbers are not those of what stands there now.

        Raises:
            InputError: the file is not the one that the run began with.
        """
        if not (self.environment.exists() and self.recipe.exists()):
            return
        then = read_object(self.environment, "environment").get("recipe_sha256")
        if then is not None and then != self.recipe_hash():
            raise InputError(
                f"{self.recipe} was changed after its run began, whose numbers are those of the recipe as it was; "
                "take the change back, or train the changed recipe under a name of its own"
            )

    def metrics_rows(self) -> list[dict[str, Any]]:
        """Return the rows of training metrics; a last line that a kill tore is left out.

        Raises:
            InputError: a row does not say its step, or says something else than numbers.
        """
        rows = read_rows(self.metrics)
        for number, row in enumerate(rows, start=1):
            steps, values = row.get("step"), row.values()
            if not isinstance(steps, int) or not all(isinstance(value, int | float | None) for value in values):
                what = f"{self.metrics}, line {number}: not the numbers of a step"
                raise InputError(f"{what}; without its folder the run is trained anew")
        return rows


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
            raise no_run(path)
        runs |= {run.path: run for run in found}
    return list(runs.values())


def no_run(path: Path) -> InputError:
    """Return the error that says that there is no run at or below a path."""
    return InputError(f"there is no run in {path}; a run is a folder such as runs/fast/parity/seed-0")
