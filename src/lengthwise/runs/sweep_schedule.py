"""Order of the runs of a sweep as they are worked on, and what becomes of those that fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lengthwise.runs.engines.base import Engine
from lengthwise.runs.sweep import SweepRun
from lengthwise.runs.sweep_plan import Journal
from lengthwise.runs.sweep_work import Ending, Result, Work

TICK = 0.5
"""Seconds between two looks at what the caller wants."""


class Watcher:
    """Is told what happens to the runs of a sweep; by itself it does nothing."""

    def started(self, run: SweepRun) -> None:
        """A worker took a run up."""

    def ended(self, run: SweepRun, result: Result, again: bool) -> None:
        """The work on a run ended; `again` says whether it will be taken up again."""

    def tick(self) -> None:
        """A moment passed."""


class Schedule:
    """Works off the runs of a sweep.

    A run waits for the one that it goes on from. One that fails is taken up again after all others.

    Args:
        runs: those that are to be done, in order.
        root: the folder of all runs.
        engine: where they are worked on.
        journal: where every attempt is noted.
        command: the command line that the runs are made by.
        retries: how often a run that failed is tried again.
        watcher: is told what happens.
    """

    def __init__(
        self,
        runs: Sequence[SweepRun],
        root: Path,
        engine: Engine,
        journal: Journal,
        command: Sequence[str],
        retries: int = 1,
        watcher: Watcher | None = None,
    ) -> None:
        self._root, self._command = root.absolute(), tuple(command)
        self._engine, self._journal, self._retries = engine, journal, retries
        self._watcher = watcher or Watcher()
        self._queue = list(runs)
        self._open = {run.key: run for run in runs}
        self._failed_attempts: dict[tuple[str, int], int] = {}
        self.failures: list[tuple[SweepRun, str]] = []
        """The runs that were given up, and why, in a line."""

    def work(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Work until every run is done or given up, or until `stop` says so.

        Args:
            stop: asked twice a second.
        """
        while self._open and not stop():
            self._give_up_orphans()
            self._submit()
            for work, result in self._engine.wait(TICK):
                self._take(self._open[work.key], result)
            self._watcher.tick()

    def _submit(self) -> None:
        for run in list(self._queue):
            if run.start in self._open:
                continue
            if not self._engine.has_room(run.recipe.threads):
                return
            self._queue.remove(run)
            self._engine.submit(Work(run.recipe.settings(), run.seed, self._root, self._command))
            self._watcher.started(run)

    def _take(self, run: SweepRun, result: Result) -> None:
        if result.ending is not Ending.BUSY:
            self._journal.add(run, result)
        again = result.ending is not Ending.DONE and self._may_try_again(run, result.ending)
        if again:
            self._queue.append(run)
        elif result.ending is Ending.DONE:
            del self._open[run.key]
        else:
            self._give_up(run, result.message)
        self._watcher.ended(run, result, again)

    def _may_try_again(self, run: SweepRun, ending: Ending) -> bool:
        if ending in {Ending.BUSY, Ending.INTERRUPTED}:
            return True
        failed = self._failed_attempts[run.key] = self._failed_attempts.get(run.key, 0) + 1
        return ending is not Ending.REFUSED and failed <= self._retries

    def _give_up(self, run: SweepRun, message: str) -> None:
        del self._open[run.key]
        self.failures.append((run, message))

    def _give_up_orphans(self) -> None:
        """Give up the runs that go on from one that was given up, and those that go on from these."""
        lost = {run.key for run, _ in self.failures}
        while orphan := next((run for run in self._queue if run.start in lost), None):
            self._queue.remove(orphan)
            self._give_up(orphan, f"it starts from {orphan.recipe.start}, which failed")
            lost.add(orphan.key)
