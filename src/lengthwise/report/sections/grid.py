"""Grids: a task along one side and a model, or a variant of one, along the other."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import altair as alt

from lengthwise.report.parts import WORDS, Cell, Drawn, Picture, Section, Spread, write_table
from lengthwise.report.results import Results, title
from lengthwise.report.summary import Summary, summarise
from lengthwise.report.theme import Theme
from lengthwise.report.words import NONE, TO, percent

STEPS = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
"""Accuracies at which the next colour begins; the last is of cells without any error."""
STEP_NAMES = ("below 50", "50", "75", "90", "95", "99", "99.9", "100.0: no error")
_ELSEWHERE = "\N{DAGGER}"
_ROW_HEIGHT, _COLUMN_WIDTH, _NOTE_HEIGHT, _HEAD_ROWS = 42, 78, 10, 5


@dataclass(frozen=True)
class GridCell:
    """One recipe over its seeds.

    Args:
        value: the lowest of the accuracies that all cells of the task have, means over seeds.
        text: the value in percent, rounded down; marked where strings elsewhere were misclassified.
        note: line by line, the standard deviation over seeds with what sets the cell apart from most others, and of how
            many strings the value is.
        details: terms and what is said of them.
    """

    value: float
    text: str
    note: str
    details: Sequence[tuple[str, str]]

    @property
    def flawless(self) -> bool:
        """Whether there is no error, as far as anything was measured."""
        return self.value == 1 and not self.text.endswith(_ELSEWHERE)

    @property
    def step(self) -> int:
        """The number of its colour."""
        return sum(self.value >= step for step in STEPS)


@dataclass(frozen=True, kw_only=True)
class Grid(Picture):
    """Cells by rows and columns.

    Args:
        corner: heading of the column with the names of the rows.
        rows: names in order.
        columns: names in order.
        cells: a row a list, None where nothing was measured.
    """

    template: ClassVar[str] = "grid.html.j2"
    step_names: ClassVar[Sequence[str]] = STEP_NAMES

    corner: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[GridCell | None]]

    @property
    def tall(self) -> int:
        """About how many pixels of a page it takes."""
        return (_ROW_HEIGHT + _NOTE_HEIGHT) * (len(self.rows) + _HEAD_ROWS)

    @property
    def footer(self) -> list[str]:
        """How many cells of each column are without error."""
        measured = [[cell for cell in column if cell] for column in zip(*self.cells, strict=True)]
        return [f"{sum(cell.flawless for cell in cells)} of {len(cells)}" for cells in measured]

    @property
    def details(self) -> list[list[tuple[str, str]]]:
        """What is said of each cell, row by row, of cells that there are."""
        return [[("", f"{column}, {row}"), *cell.details] for row, column, cell in self._places()]

    def specification(self, theme: Theme) -> dict[str, Any]:
        """Return the specification of the table as a drawing."""
        rows = [
            {"row": row, "column": column, "text": cell.text, "note": cell.note, "ground": ground, "ink": ink}
            for row, column, cell in self._places()
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
                base.mark_text(fontSize=12, fontWeight=600, dy=-_NOTE_HEIGHT).encode(
                    text=alt.Text("text:N"), color=ink
                ),
                base.mark_text(fontSize=9, dy=3, lineBreak="\n", lineHeight=_NOTE_HEIGHT).encode(
                    text=alt.Text("note:N"), color=ink
                ),
            ],
            width=_COLUMN_WIDTH * len(self.columns),
            height=_ROW_HEIGHT * len(self.rows),
        )
        return self.framed(chart.to_dict(validate=False) | {"datasets": {"cells": rows}}, theme)

    def write(self, out: Path) -> None:
        """Write it as a picture, and as a table."""
        super().write(out)
        lines = [[Cell(row), *map(_as_cell, line)] for row, line in zip(self.rows, self.cells, strict=True)]
        footer = [Cell("without error"), *map(Cell, self.footer)]
        write_table(out, self.name, [self.corner, *self.columns], [*lines, footer], self.note)

    def _places(self) -> list[tuple[str, str, GridCell]]:
        """Return row, column and cell, row by row, of cells that there are."""
        lines = zip(self.rows, self.cells, strict=True)
        return [
            (row, column, cell) for row, line in lines for column, cell in zip(self.columns, line, strict=True) if cell
        ]


def _as_cell(cell: GridCell | None) -> Cell:
    return Cell(NONE) if cell is None else Cell(cell.text, cell.note, "good" if cell.flawless else "")


class GridSection(Section):
    """Models by task: rows are tasks; of variants of one model, rows are variants."""

    def applies(self, results: Results) -> bool:
        """Whether there is more than one family whose accuracy was measured by length."""
        return results.accuracy["family"].n_unique() > 1

    def draw(self, results: Results) -> Drawn:
        """Return the grid."""
        return Drawn([build_grid(results)])


@lru_cache(maxsize=4)
def build_grid(results: Results) -> Grid:
    """Return the grid of some runs.

    Args:
        results: runs whose accuracy was measured by length.
    """
    summaries = summarise(results)
    known = {(summary.family, summary.task): summary for summary in summaries}
    families = [family for family in results.families if any(family == of for of, _ in known)]
    tasks = list(dict.fromkeys(summary.task for summary in summaries))
    usual_length = statistics.mode(summary.training_length for summary in summaries)
    usual_seeds = statistics.mode(len(summary.seeds) for summary in summaries)
    far = {task: [summary.far for summary in summaries if summary.task == task] for task in tasks}
    # What only some were read at says nothing of the others, and a few that were not must not hide what the rest were.
    counts = {task: Counter(chain.from_iterable(scores)) for task, scores in far.items()}
    common = {task: {n for n, count in counts[task].items() if 2 * count > len(scores)} for task, scores in far.items()}

    measured = {summary.task for summary in summaries if summary.near_misses}

    def cell(family: str, task: str) -> GridCell | None:
        summary = known.get((family, task))
        if summary is None or summary.mean is None:
            return None
        near, far = [summary.near_misses] if summary.near_misses else [], summary.far
        parts = [summary.mean, *near, *(far[length] for length in sorted(common[task] & far.keys()))]
        lowest = min(parts, key=lambda score: score.value)
        values = list(lowest.by_seed.values())
        notes = [f"± {_points(statistics.stdev(values))}"] if len(values) > 1 else []
        notes += [f"({len(summary.seeds)})"] if len(summary.seeds) != usual_seeds else []
        notes += [f"to {summary.training_length}"] if summary.training_length != usual_length else []
        count = f"of {_short(sum(score.sequences for score in parts))}"
        note = "\n".join(part for part in (" ".join(notes), count) if part)
        # Without near misses, or a length that the others were read at, nothing is known of them.
        unknown = (not near and task in measured) or not common[task] <= far.keys()
        elsewhere = lowest.value == 1 and (unknown or min((score.value for score in far.values()), default=1) < 1)
        text = percent(lowest.value, 1) + _ELSEWHERE * elsewhere
        return GridCell(lowest.value, text, note, _details(summary, summary.mean))

    titles = [title(task) for task in tasks]
    cells = [[cell(family, task) for task in tasks] for family in families]
    sides: dict[str, Any] = {"corner": "variant", "rows": families, "columns": titles, "cells": cells}
    if not results.variants:
        sides = {"corner": "task", "rows": titles, "columns": families, "cells": list(zip(*cells, strict=True))}
    return Grid(
        name=f"{results.prefix}table",
        heading=f"{results.heading} by task",
        note=WORDS["table"]["note"].format(seeds=usual_seeds, length=usual_length, elsewhere=_ELSEWHERE),
        finding=_finding(families, titles, cells, usual_length, max(results.accuracy["length"].to_list())),
        **sides,
    )


def _finding(
    families: Sequence[str], tasks: Sequence[str], cells: Sequence[Sequence[GridCell | None]], trained: int, read: int
) -> str:
    """Say on how many tasks each family makes no error, the best first, and where the only one is worst."""
    known = [[(task, cell) for task, cell in zip(tasks, line, strict=True) if cell] for line in cells]
    if not any(known):
        return ""
    counts = [(sum(cell.flawless for _, cell in line), len(line)) for line in known]
    start = f"Trained to length {trained:,} and asked to {read:,}"
    if len(families) == 1:
        right, of = counts[0]
        said = f"{start}, {families[0]} makes no error on {right} of {of} task{'' if of == 1 else 's'}"
        task, lowest = min(known[0], key=lambda pair: pair[1].value)
        return f"{said}." if right == of else f"{said}; its lowest accuracy is {lowest.text} %, on {task}."
    alike: dict[tuple[int, int], list[str]] = {}
    for family, count in zip(families, counts, strict=True):
        if count[1]:
            alike.setdefault(count, []).append(family)
    best = sorted(alike, key=lambda count: (-count[0] / count[1], -count[1]))
    groups = [f"{', '.join(alike[count])} on {count[0] or 'none'} of {count[1]}" for count in best]
    return f"{start}, on how many tasks each model makes no error: {'; '.join(groups)}."


def _points(deviation: float) -> str:
    """Return a standard deviation in points, with more digits where it is little."""
    points = 100 * deviation
    if points >= 10:
        return f"{points:.0f}"
    return f"{points:.1f}" if points == 0 or points >= 0.05 else f"{max(points, 0.01):.2f}"


def _short(count: int) -> str:
    """Return a count as a cell has room for it."""
    return str(count) if count < 1000 else f"{count / 1000:,.{1 if count < 10_000 else 0}f}k"


def _details(summary: Summary, mean: Spread) -> list[tuple[str, str]]:
    head, (first, last, count) = summary.head, (summary.lengths[0], summary.lengths[-1], len(summary.lengths))
    every = "" if count == last - first + 1 else f", {count} of them"
    scores = {"near misses": summary.near_misses, "even lengths": summary.even}
    scores |= {f"length {length:,}": score for length, score in summary.far.items()}
    sizes = {"parameters": head.parameters, "state size": head.state_size}
    length, lowest = summary.worst
    return [
        (f"lengths {first}{TO}{last}{every}", percent(mean.value)),
        *((f"seed {seed}", percent(value)) for seed, value in mean.by_seed.items()),
        *((name, percent(score.value)) for name, score in scores.items() if score),
        *([("worst length", f"{length:,}: {percent(lowest)}")] if lowest < 1 else []),
        ("trained to length", f"{summary.training_length:,}"),
        ("training strings", f"{head.sequences:,}"),
        ("labels a string", summary.head.labels),
        ("strings chosen", summary.head.chosen),
        *([("ended early", f"{summary.stopped[0]:,} of {summary.stopped[1]:,} steps")] if summary.stopped else []),
        *((name, f"{size:,}") for name, size in sizes.items() if size is not None),
        ("recipe", summary.series),
    ]
