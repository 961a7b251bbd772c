"""What is shown while something runs: a bar on a terminal, otherwise nothing between the first line and the last."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from lengthwise.evaluation.rows import Row
    from lengthwise.training.loop import Trainer


def say(line: str) -> None:
    """Print a line on standard output, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn on a terminal, separated by tabs elsewhere so that other programs can read it."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            say("\t".join(row))
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def print_drawn(table: Table) -> None:
    """Print a table that is made for reading, also where it goes to a file."""
    console = Console()
    # A file has no width of its own, and the usual guess of 80 would cut the columns.
    Console(width=console.width if console.is_terminal else 200).print(table)


class TrainingBar:
    """Shows loss, accuracy and time left.

    Args:
        bar: where to show them.
        task: the bar's line.
    """

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task
        self.summary = "0 steps"
        """The state of training in words."""

    def advance(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        """Take in the metrics of one step."""
        said = f"loss {metrics['loss']:.4f}"
        if "accuracy" in metrics:
            said += f", accuracy {metrics['accuracy']:.4f}"
        self.summary = f"{trainer.step} steps, {trainer.seconds:.1f} s, {said}"
        self._bar.update(self._task, completed=trainer.step, said=said)


@contextmanager
def training_bar(title: str, steps: int) -> Generator[TrainingBar]:
    """Show a bar over the steps of a training run while the context lasts."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn(),
    )
    with _bar(*columns) as bar:
        yield TrainingBar(bar, bar.add_task(title, total=steps, said=""))


class EvaluationBar:
    """Shows what was measured last.

    Args:
        bar: where to show it.
        task: the bar's line.
    """

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task

    def advance(self, row: Row) -> None:
        """Take in one measured number."""
        place = ", ".join(f"{axis} {value}" for axis, value in row.axes.items())
        self._bar.update(self._task, advance=1, place=place, metric=row.metric, value=f"{row.value:.4f}")


@contextmanager
def evaluation_bar(title: str) -> Generator[EvaluationBar]:
    """Show a moving bar over an evaluation while the context lasts."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[place]}  {task.fields[metric]} {task.fields[value]}"),
    )
    with _bar(*columns) as bar:
        yield EvaluationBar(bar, bar.add_task(title, total=None, place="-", metric="", value="-"))


def _bar(*columns: TextColumn | BarColumn | MofNCompleteColumn | TimeRemainingColumn) -> Progress:
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
