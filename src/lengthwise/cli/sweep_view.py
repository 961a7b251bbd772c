"""The view of a running sweep: a bar for it and a line for each running run; a line a finished run elsewhere."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID, TimeElapsedColumn

from lengthwise.cli.progress import bars, say
from lengthwise.errors import InputError
from lengthwise.files import read_bytes
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.sweep import SweepRun
from lengthwise.runs.sweep_schedule import Watcher
from lengthwise.runs.sweep_work import Ending, Result


class SweepView(Watcher):
    """Shows how far the runs are, by the metrics that they write, wherever they run.

    Args:
        bar: where to show it.
        task: the line of the whole sweep.
        total: runs that are to be done.
        root: the folder of all runs.
    """

    def __init__(self, bar: Progress, task: TaskID, total: int, root: Path) -> None:
        self._bar, self._task, self._total, self._root = bar, task, total, root
        self._lines: dict[tuple[str, int], tuple[SweepRun, TaskID]] = {}
        self.done = 0
        """Runs that were trained and evaluated."""

    def started(self, run: SweepRun) -> None:
        """Add a line for a run."""
        line = self._bar.add_task(run.title, total=run.recipe.training.steps, note="")
        self._lines[run.key] = run, line

    def ended(self, run: SweepRun, result: Result, again: bool) -> None:
        """Take the line of a run away and say how it ended."""
        self._bar.remove_task(self._lines.pop(run.key)[1])
        if result.ending is Ending.DONE:
            self.done += 1
            self._bar.update(self._task, advance=1)
            seconds = f"{result.seconds:,.1f} s" if result.seconds is not None else ""
            self._say(f"[{self.done}/{self._total}] {run.title}: done, {seconds}")
        elif result.ending not in {Ending.BUSY, Ending.INTERRUPTED}:
            outlook = "tried again later" if again else "given up"
            self._say(f"{run.title}: {result.ending}, {outlook}: {result.message}")

    def tick(self) -> None:
        """Read how far the runs are."""
        if self._bar.disable:
            return
        for run, line in self._lines.values():
            folder = RunFolder(run.folder(self._root))
            row = last_metrics(folder.metrics)
            note = "evaluating" if folder.finished.exists() else f"loss {row['loss']:.4f}" if "loss" in row else ""
            self._bar.update(line, completed=row.get("step", 0), note=note)

    def _say(self, line: str) -> None:
        if self._bar.disable:
            say(line)
        else:
            self._bar.console.print(line, markup=False, highlight=False)


@contextmanager
def sweep_view(name: str, total: int, root: Path) -> Generator[SweepView]:
    """Show the runs of a sweep while the context lasts.

    Args:
        name: the sweep's.
        total: runs that are to be done.
        root: the folder of all runs.
    """
    with bars(TimeElapsedColumn()) as shown:
        yield SweepView(shown, shown.add_task(f"sweep {name}", total=total, note=""), total, root)


def last_metrics(path: Path) -> dict[str, Any]:
    """Return the last whole row of metrics, without parsing those before; empty where there is none."""
    try:
        # After the last line break comes nothing, or a row that is being written.
        lines = read_bytes(path, "metrics").split(b"\n")[:-1]
    except InputError:
        lines = []
    return json.loads(lines[-1]) if lines else {}
