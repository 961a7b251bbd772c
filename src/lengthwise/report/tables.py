"""The table of a report, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from lengthwise.report.summary import Score, Summary, percent

_TO = "\N{EN DASH}"
_PAGE_ONLY = {"model", "seeds"}
"""Columns for which a terminal has no room."""


@dataclass(frozen=True)
class Cell:
    """What one cell says.

    Args:
        text: the value.
        note: said smaller, below it.
        flawless: whether it is an accuracy without any error.
    """

    text: str
    note: str = ""
    flawless: bool = False


def columns(summaries: Sequence[Summary]) -> list[str]:
    """Return the headings; lengths are named where all rows share them."""
    trained = {summary.training_length for summary in summaries}
    longest = {summary.longest for summary in summaries}
    if len(trained) == len(longest) == 1:
        first, last = trained.pop() + 1, longest.pop()
        spans = [f"{first}{_TO}{last}", f"{first + 1}{_TO}{last}", f"even {first + 1}{_TO}{last}"]
    else:
        spans = ["beyond training", "from the second on", "even lengths of those"]
    far = [f"{length:,}" for length in _far_lengths(summaries)]
    return ["task", *spans, "near misses", *far, "worst length", "model", "seeds", "training strings"]


def rows(summaries: Sequence[Summary]) -> list[list[Cell]]:
    """Return one row a series, as long as the headings of `columns`."""
    far = _far_lengths(summaries)
    return [_row(summary, far) for summary in summaries]


def terminal_table(summaries: Sequence[Summary]) -> Table:
    """Return a table of the scores for a terminal, accuracies in percent.

    Args:
        summaries: one a row.
    """
    table = Table(title="accuracy in %; 100.0 only where no string was misclassified", title_justify="left", box=None)
    names = ["recipe", *columns(summaries)[1:]]
    shown = [index for index, name in enumerate(names) if name not in _PAGE_ONLY]
    for index in shown:
        table.add_column(names[index], justify="right" if index else "left", no_wrap=not index)
    for summary, row in zip(summaries, rows(summaries), strict=True):
        cells = [Cell(summary.series), *row[1:]]
        table.add_row(*(Text(cells[index].text, "green" if cells[index].flawless else "") for index in shown))
    return table


def _row(summary: Summary, far: list[int]) -> list[Cell]:
    length, lowest = summary.worst
    return [
        Cell(summary.task, summary.series),
        _score(summary.beyond),
        _score(summary.beyond_next),
        _score(summary.even),
        _score(summary.near_misses),
        *(_score(summary.far.get(length)) for length in far),
        Cell("none", flawless=True) if lowest == 1 else Cell(f"{length:,}", percent(lowest)),
        Cell(summary.model, "" if summary.parameters is None else f"{summary.parameters:,} parameters"),
        Cell(", ".join(map(str, summary.seeds))),
        Cell(f"{summary.sequences:,}", f"{summary.seconds:,.0f} s"),
    ]


def _score(score: Score | None) -> Cell:
    if score is None:
        return Cell(_TO)
    return Cell(percent(score.value), f"{percent(score.low)}{_TO}{percent(score.high)}", score.value == 1)


def _far_lengths(summaries: Sequence[Summary]) -> list[int]:
    return sorted({length for summary in summaries for length in summary.far})
