"""Progress and cost of a sweep: which of its runs are done, and what the rest will take."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from lengthwise.errors import InputError
from lengthwise.files import append, make_folder, read_bytes, read_rows
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.rows import read_head
from lengthwise.runs.run import differing, train_run
from lengthwise.runs.sweep import Sweep, SweepRun
from lengthwise.runs.sweep_work import Ending, Result
from lengthwise.training.loop import Trainer

_HOUR = 3600.0
_FAILURES = {Ending.FAILED, Ending.REFUSED, Ending.KILLED}


class Status(StrEnum):
    """How far a run of a sweep is."""

    DONE = "done"
    BEGUN = "begun"
    MISSING = "missing"


class Journal:
    """The attempts at the runs of a sweep, a line each, in ``sweep.jsonl`` beside the runs.

    Args:
        root: the folder of all runs.
        sweep: the sweep's name.
    """

    def __init__(self, root: Path, sweep: str) -> None:
        self.path = root / sweep / "sweep.jsonl"

    def add(self, run: SweepRun, result: Result) -> None:
        """Note how an attempt ended.

        Raises:
            StoppedError: it cannot be written.
        """
        row = {
            "recipe": run.recipe.name,
            "seed": run.seed,
            "digest": run.recipe.digest(),
            **asdict(result),
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        make_folder(self.path.parent, "the journal of the sweep")
        # A line that a kill tore has no end, and would swallow this one.
        torn = self.path.exists() and not read_bytes(self.path, "journal of the sweep").endswith(b"\n")
        append(self.path, "\n" * torn + json.dumps(row) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """Return all lines; one that a kill tore is left out."""
        return read_rows(self.path, whole=False)

    def attempts(self) -> dict[tuple[str, int], list[dict[str, Any]]]:
        """Return the lines of each run, by recipe and seed."""
        attempts = defaultdict[tuple[str, int], list[dict[str, Any]]](list)
        for row in self.rows():
            attempts[row["recipe"], row["seed"]].append(row)
        return attempts

    def failed(self) -> set[tuple[str, int]]:
        """Return the runs whose last attempt failed."""
        return {run for run, rows in self.attempts().items() if rows[-1]["ending"] in _FAILURES}


def read_status(runs: Iterable[SweepRun], root: Path) -> dict[tuple[str, int], Status]:
    """Return how far each run is, by its key.

    Args:
        runs: of a sweep.
        root: the folder of all runs.

    Raises:
        InputError: folders hold runs of other recipes; the message says of the first what differs.
    """
    found: dict[tuple[str, int], Status] = {}
    foreign: list[str] = []
    for run in runs:
        folder = RunFolder(run.folder(root))
        if difference := _difference(folder, run):
            foreign.append(f"{folder.path}:\n{difference}")
            continue
        evaluated = folder.finished.exists() and folder.evaluation.exists()
        found[run.key] = Status.DONE if evaluated else Status.BEGUN if folder.begun else Status.MISSING
    if foreign:
        others = f"\nand {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise InputError(
            f"run folders belong to other recipes than those of the sweep; the first is {foreign[0]}{others}\n"
            "take them away, or choose another folder with --runs DIR"
        )
    return found


@dataclass(frozen=True)
class Estimate:
    """What the runs that are left will cost.

    Args:
        hours: core-hours.
        basis: what it was judged by, in words.
    """

    hours: float
    basis: str


def estimate_from_finished(
    sweep: Sweep, runs: Sequence[SweepRun], status: Mapping[tuple[str, int], Status], root: Path
) -> Estimate | None:
    """Judge the rest by finished runs: each run by the mean of those that share the most labels with it.

    Args:
        sweep: the grid.
        runs: those that are judged, and those that they are judged by.
        status: how far each is.
        root: the folder of all runs.

    Returns:
        Core-hours of training and evaluation; none where no run is finished.
    """
    attempts = Journal(root, sweep.name).attempts()
    costs = [(run.labels, _cost(run, attempts, root)) for run in runs if status[run.key] is Status.DONE]
    if not costs:
        return None
    seconds, farthest = 0.0, 0
    for run in (run for run in runs if status[run.key] is not Status.DONE):
        by_distance = defaultdict[int, list[float]](list)
        for labels, cost in costs:
            by_distance[sum(run.labels[axis] != labels[axis] for axis in run.labels)].append(cost)
        nearest = min(by_distance)
        farthest = max(farthest, nearest)
        seconds += statistics.fmean(by_distance[nearest])
    far = f", which differ from some of the rest in {farthest} of {len(sweep.axes)} labels" if farthest else ""
    return Estimate(seconds / _HOUR, f"judged by {len(costs)} finished runs{far}")


def estimate_by_measuring(runs: Sequence[SweepRun], seconds: float = 2.0) -> Estimate:
    """Judge the cost of training by a few first steps of each distinct model on one thread group of this machine.

    Args:
        runs: those that are left.
        seconds: how long each model is measured, and at least two steps.

    Returns:
        Core-hours of training alone; what evaluation costs is known once a run is finished.
    """
    speeds: dict[str, float] = {}
    total = 0.0
    for run in runs:
        kind = _kind(run)
        if kind not in speeds:
            speeds[kind] = _seconds_a_step(run, seconds)
        total += speeds[kind] * run.recipe.training.steps
    basis = f"training alone, judged by the first steps of {len(speeds)} models; evaluation comes on top"
    return Estimate(total / _HOUR, basis)


def _difference(folder: RunFolder, run: SweepRun) -> str:
    """Return in what the recipe that a folder was begun with differs from that of a run; empty where it does not."""
    digest = run.recipe.digest()
    if not (folder.recipe.exists() and folder.begun) or _evaluated_as(folder, digest, run.seed):
        return ""
    return "\n".join(f"  {difference}" for difference in differing(folder, run.recipe, run.seed))


def _evaluated_as(folder: RunFolder, digest: str, seed: int) -> bool:
    """Tell from the first row, which is much faster than reading a recipe; False says nothing."""
    try:
        head = read_head(folder.evaluation)
    except InputError:
        return False
    return (head.digest, head.seed) == (digest, seed)


def _cost(run: SweepRun, attempts: Mapping[tuple[str, int], list[dict[str, Any]]], root: Path) -> float:
    """Return the processor seconds of a finished run; without a journal those of its training."""
    digest = run.recipe.digest()
    noted = [row["seconds"] for row in attempts.get(run.key, []) if row["digest"] == digest and row["seconds"]]
    rows = RunFolder(run.folder(root)).metrics_rows()
    return max(sum(noted), rows[-1]["seconds"] if rows else 0.0)


def _kind(run: SweepRun) -> str:
    """Return what decides how long a step takes."""
    settings = run.recipe.settings()
    training = {key: value for key, value in settings["training"].items() if key not in {"steps", "checkpoint_every"}}
    # Regular languages take equally long.
    task = {key: value for key, value in settings["task"].items() if key != "language"}
    return json.dumps([settings["model"], training, task, run.recipe.threads], sort_keys=True)


def _seconds_a_step(run: SweepRun, seconds: float) -> float:
    """Return the processor seconds of a step after the first, which also pays for what is built once."""
    recipe = run.recipe.model_copy(update={"start": None} if run.start else {})
    spent: list[float] = []
    until = time.monotonic() + seconds

    def note(trainer: Trainer, metrics: Mapping[str, float]) -> None:
        del metrics
        spent.append(trainer.seconds)

    with tempfile.TemporaryDirectory() as folder:
        train_run(
            recipe,
            run.seed,
            run.folder(Path(folder)),
            note,
            stop=lambda: len(spent) > 2 and time.monotonic() > until,
        )
    return (spent[-1] - spent[0]) / (len(spent) - 1) if len(spent) > 1 else spent[0]
