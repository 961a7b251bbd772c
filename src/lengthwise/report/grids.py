"""Tables with a task along one side and a model, or a variant of one, along the other."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from lengthwise.report.charts import task_title
from lengthwise.report.families import Section
from lengthwise.report.summary import Score, Summary, percent
from lengthwise.report.theme import Theme

STEPS = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
"""Accuracies at which the next colour begins; the last is of cells without any error."""
STEP_NAMES = ("below 50", "50", "75", "90", "95", "99", "99.9", "100.0: no error")
_TO = "\N{EN DASH}"
_ELSEWHERE = "\N{DAGGER}"
_ROW_HEIGHT, _COLUMN_WIDTH = 30, 74


@dataclass(frozen=True)
class GridCell:
    """One recipe over its seeds.

    Args:
        row: name of its row.
        column: name of its column.
        value: mean accuracy over lengths and seeds.
        text: the value in percent, rounded down; marked where strings elsewhere were misclassified.
        note: the standard deviation over seeds and what sets the cell apart from most others.
        details: terms and what is said of them.
    """

    row: str
    column: str
    value: float
    text: str
    note: str
    details: Sequence[tuple[str, str]]

    @property
    def step(self) -> int:
        """The number of its colour."""
        return sum(self.value >= step for step in STEPS)


@dataclass(frozen=True)
class Grid:
    """Cells by rows and columns.

    Args:
        name: of its files and elements.
        heading: its title.
        note: what a cell says.
        corner: heading of the column with the names of the rows.
        rows: names in order.
        columns: names in order.
        cells: a row a list, None where nothing was measured.
        footer: of each column, under the cells.
    """

    name: str
    heading: str
    note: str
    corner: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[GridCell | None]]
    footer: Sequence[str]

    @property
    def details(self) -> list[list[tuple[str, str]]]:
        """What is said of each cell, row by row, of cells that there are."""
        return [[("", f"{cell.column}, {cell.row}"), *cell.details] for row in self.cells for cell in row if cell]

    def specification(self, theme: Theme) -> dict[str, Any]:
        """Return the Vega-Lite specification of the table as a drawing.

        Args:
            theme: its colours.
        """
        cells = [cell for row in self.cells for cell in row if cell]
        rows = [
            {
                "row": cell.row,
                "column": cell.column,
                "alone": "" if cell.note else cell.text,
                "text": cell.text if cell.note else "",
                "note": cell.note,
                "ground": ground,
                "ink": ink,
            }
            for cell in cells
            for ground, ink in [theme.scale[cell.step]]
        ]
        base = alt.Chart(alt.NamedData(name="cells")).encode(
            x=alt.X("column:N", sort=list(self.columns), title=None, axis=alt.Axis(orient="top", labelAngle=-40)),
            y=alt.Y("row:N", sort=list(self.rows), title=None, axis=alt.Axis(ticks=False, labelLimit=260)),
        )
        ink = alt.Color("ink:N", scale=None, legend=None)
        chart = alt.LayerChart(
            layer=[
                base.mark_rect(stroke=theme.ground, strokeWidth=1.5).encode(fill=alt.Fill("ground:N", scale=None)),
                base.mark_text(fontSize=12, fontWeight=600).encode(text="alone:N", color=ink),
                base.mark_text(fontSize=12, fontWeight=600, dy=-5).encode(text="text:N", color=ink),
                base.mark_text(fontSize=9, dy=8).encode(text="note:N", color=ink),
            ],
            width=_COLUMN_WIDTH * len(self.columns),
            height=_ROW_HEIGHT * len(self.rows),
        )
        drawn = {name: value for name, value in chart.to_dict().items() if name != "config"}
        title = {"text": self.heading, "subtitle": textwrap.wrap(self.note, 110), "fontSize": 15, "offset": 18}
        return drawn | {
            "title": title,
            "datasets": {"cells": rows},
            "config": theme.config() | {"background": theme.ground},
            "padding": 20,
        }


def build_grid(section: Section, summaries: Sequence[Summary]) -> Grid | None:
    """Return the table of a section, or None where it has one family only.

    Args:
        section: families that are compared with each other.
        summaries: of its series.
    """
    families, tasks = section.results.families, section.results.tasks
    if len(families) < 2:
        return None
    known = {(s.family, s.task): s for s in summaries}
    usual_length = statistics.mode(s.training_length for s in summaries)
    usual_seeds = statistics.mode(len(s.seeds) for s in summaries)

    def cell(family: str, task: str) -> GridCell | None:
        summary = known.get((family, task))
        if summary is None or summary.mean is None:
            return None
        own = [f"to {summary.training_length}"] if summary.training_length != usual_length else []
        own += [_seeds(len(summary.seeds))] if len(summary.seeds) != usual_seeds else []
        place = (family, task_title(task)) if section.ablation else (task_title(task), family)
        return _cell(*place, summary, summary.mean, own)

    note = (
        f"Mean accuracy in percent over the lengths beyond training, rounded down; 100.0 only where no string was "
        f"misclassified. Below it the standard deviation over seeds. {_seeds(usual_seeds).capitalize()}, trained to "
        f"length {usual_length}, unless the cell says otherwise. {_ELSEWHERE}: errors on near misses or on "
        "longer strings."
    )
    titles = [task_title(task) for task in tasks]
    heading = f"{section.heading} by task"
    name = f"{section.name}-table" if section.name else "table"
    if section.ablation:
        cells = [[cell(family, task) for task in tasks] for family in families]
        return Grid(name, heading, note, "variant", families, titles, cells, _flawless(_turned(cells)))
    cells = [[cell(family, task) for family in families] for task in tasks]
    return Grid(name, heading, note, "task", titles, families, cells, _flawless(_turned(cells)))


def _cell(row: str, column: str, summary: Summary, mean: Score, own: list[str]) -> GridCell:
    seeds = list(summary.by_seed.values())
    spread = [f"± {_points(statistics.stdev(seeds))}"] if len(seeds) > 1 else []
    others = [score for score in (summary.near_misses, *summary.far.values()) if score]
    elsewhere = mean.value == 1 and any(score.value < 1 for score in others)
    text = percent(mean.value, 1) + (_ELSEWHERE if elsewhere else "")
    return GridCell(row, column, mean.value, text, ", ".join([*spread, *own]), _details(summary, mean))


def _points(deviation: float) -> str:
    """Return a standard deviation in points, with a second digit where it would seem to be nothing."""
    points = 100 * deviation
    return f"{points:.1f}" if points == 0 or points >= 0.05 else f"{max(points, 0.01):.2f}"


def _details(summary: Summary, mean: Score) -> list[tuple[str, str]]:
    first, last, count = summary.lengths or (0, 0, 0)
    every = "" if count == last - first + 1 else f", {count} of them"
    found = [(f"lengths {first}{_TO}{last}{every}", percent(mean.value))]
    found += [(f"seed {seed}", percent(value)) for seed, value in summary.by_seed.items()]
    found += [("near misses", percent(summary.near_misses.value))] if summary.near_misses else []
    found += [("even lengths", percent(summary.even.value))] if summary.even else []
    found += [(f"length {length:,}", percent(score.value)) for length, score in summary.far.items()]
    found += [("worst length", f"{summary.worst[0]:,}: {percent(summary.worst[1])}")] if summary.worst[1] < 1 else []
    found += [("trained to length", f"{summary.training_length:,}"), ("training strings", f"{summary.sequences:,}")]
    found += [("ended early", f"{summary.stopped[0]:,} of {summary.stopped[1]:,} steps")] if summary.stopped else []
    found += [("parameters", f"{summary.parameters:,}")] if summary.parameters is not None else []
    found += [("state size", f"{summary.state_size:,}")] if summary.state_size is not None else []
    return [*found, ("recipe", summary.series)]


def _turned(cells: Sequence[Sequence[GridCell | None]]) -> list[tuple[GridCell | None, ...]]:
    return list(zip(*cells, strict=True))


def _flawless(columns: Sequence[Sequence[GridCell | None]]) -> list[str]:
    measured = [[cell for cell in column if cell] for column in columns]
    return [f"{sum(cell.value == 1 for cell in cells)} of {len(cells)}" for cells in measured]


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"
