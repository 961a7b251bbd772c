"""Progress of what runs: a bar on a terminal, otherwise nothing between the first line and the last."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
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


def bars(time: ProgressColumn | None = None) -> Progress:
    """Return a place for bars, each with a note; nothing is shown where standard error is no terminal.

    Args:
        time: what is said of the time; by default what remains.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        time or TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


class TrainingBar:
    """Shows loss, accuracy and time left.

    Args:
        shown: where to show them.
        task: the bar's line.
    """

    def __init__(self, shown: Progress, task: TaskID) -> None:
        self._shown, self._task = shown, task
        self.summary = "0 steps"
        """The state of training in words."""

    def advance(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        """Take in the metrics of one step."""
        note = ", ".join(f"{name} {metrics[name]:.4f}" for name in ("loss", "accuracy") if name in metrics)
        self.summary = f"{trainer.step} steps, {trainer.seconds:.1f} s, {note}"
        self._shown.update(self._task, completed=trainer.step, note=note)


@contextmanager
def training_bar(title: str, steps: int) -> Generator[TrainingBar]:
    """Show a bar over the steps of a training run while the context lasts."""
    with bars() as shown:
        yield TrainingBar(shown, shown.add_task(title, total=steps, note=""))


@contextmanager
def evaluation_bar(title: str) -> Generator[Callable[[Row], None]]:
    """Show what was measured last while the context lasts; what it gives is called with every row."""
    with bars() as shown:
        task = shown.add_task(title, total=None, note="")
        yield lambda row: shown.update(task, advance=1, note=_said(row))


def _said(row: Row) -> str:
    place = ", ".join(f"{axis} {value}" for axis, value in row.axes.items())
    return f"{place}  {row.metric} {row.value:.4f}"
