"""Figures: accuracy against length, and against training strings seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from lengthwise.errors import InputError
from lengthwise.report.axes import accuracy_axis, count_axis
from lengthwise.report.panels import MOST_LABELS, PICKED, Drawing, Panel, over_seeds, thinned
from lengthwise.report.rows import Results
from lengthwise.report.summary import lengths_in_a_row
from lengthwise.report.theme import Theme
from lengthwise.tasks import get_task

COLUMN = 320
"""Width of a panel in pixels, where a figure has several beside each other."""
_MOST_PLACES = 48
"""Of a line among many; neighbouring lengths are joined where there are more."""
_LEAST_CHANCE = 0.1
"""Below it the line of guessing cannot be told from the axis."""


def accuracy_by_length(results: Results, task: str) -> Panel:
    """Return a panel: accuracy of one task against length.

    The line is the mean over seeds, the band reaches from the lowest seed to the highest, dots are single long
    lengths and diamonds near misses.

    Args:
        results: the runs.
        task: one of `Results.tasks`.
    """
    rows = results.accuracy.filter(pl.col("task") == task)
    longest = max(
        lengths_in_a_row(rows.filter(pl.col("digest") == run.digest), run.settings)
        for run in results.runs
        if run.task == task
    )
    standard, near = (
        over_seeds(rows.filter(pl.col("distribution") == name), ["series", "length"], "value")
        for name in ("standard", "near_miss")
    )
    panel = _panel(results, task, "length", "length in symbols", (1, int(rows["length"].to_numpy().max())))
    panel.add_vertical(sorted(set(rows["training_length"].to_list())), "trained to {}")
    if (chance := _chance(task)) > _LEAST_CHANCE:
        panel.add_horizontal(chance, "chance")
    dense = standard.filter(pl.col("length") <= longest)
    panel.add_line(thinned(dense, "length", _MOST_PLACES) if panel.crowded else dense)
    panel.add_points(standard.filter(pl.col("length") > longest), hollow=False)
    panel.add_points(near, hollow=True)
    panel.add_labels(standard)
    return panel


def training_accuracy(results: Results, task: str) -> Panel:
    """Return a panel: accuracy on the training batches of one task against the strings seen.

    Args:
        results: the runs.
        task: a task of `Results.training`.
    """
    return _by_sequences(results.training.filter(pl.col("task") == task), results, task)


def learning_curve(results: Results, task: str) -> Panel:
    """Return a panel: accuracy of one task on fresh strings of the longest length of its curves, as it was trained.

    Args:
        results: the runs.
        task: a task of `Results.learning`.
    """
    rows = results.learning.filter(pl.col("task") == task)
    return _by_sequences(rows.filter(pl.col("length") == pl.col("length").max()), results, task)


def overview(panels: Sequence[Drawing], heading: str, note: str, theme: Theme, width: int = COLUMN) -> dict[str, Any]:
    """Return the Vega-Lite specification of a figure of several panels.

    Args:
        panels: one a task.
        heading: the figure's title.
        note: what the marks mean.
        theme: its colours.
        width: of a panel, in pixels.
    """
    crowded = any(panel.crowded for panel in panels)
    return {
        "$schema": alt.SCHEMA_URL,
        **({"params": [PICKED]} if crowded else {}),
        "title": {"text": heading, "subtitle": note, "fontSize": 15, "offset": 18},
        "concat": [
            panel.specification() | {"title": panel.title, "width": width, "height": panel.height} for panel in panels
        ],
        "columns": min(3, len(panels)),
        "resolve": {"legend": {"color": "shared", "strokeDash": "shared"}} if crowded else {},
        "datasets": {name: rows for panel in panels for name, rows in panel.data.items()},
        "config": theme.config() | {"background": theme.ground},
        "padding": 20,
    }


def embedded(panel: Drawing) -> dict[str, Any]:
    """Return the specification of one panel in its place on the page, without colours of its own."""
    place = {"height": panel.height} | panel.place
    shared = {"params": [PICKED]} if panel.crowded else {}
    return panel.specification(hover=True) | place | shared | {"datasets": panel.data}


def task_title(task: str) -> str:
    """Return a task's name for readers; a language that has no name stays as it is."""
    return task if ":" in task else task.replace("_", " ").capitalize()


def _by_sequences(rows: pl.DataFrame, results: Results, task: str) -> Panel:
    spread = over_seeds(rows, ["series", "sequences"], "accuracy")
    if len(results.families) > MOST_LABELS:
        spread = thinned(spread, "sequences", _MOST_PLACES)
    seen = spread["sequences"].to_numpy()
    panel = _panel(results, task, "sequences", "training strings seen", (int(seen.min()), int(seen.max())))
    panel.add_line(spread)
    panel.add_labels(spread)
    return panel


def _panel(results: Results, task: str, key: str, heading: str, extent: tuple[int, int]) -> Panel:
    title = task_title(task)
    crowded = len(results.families) > MOST_LABELS
    return Panel(title, results.families, key, count_axis(heading, extent), accuracy_axis(), crowded=crowded)


def _chance(task: str) -> float:
    """Return what guessing among the classes reaches; 0 where the task is not known here."""
    try:
        return 1 / get_task(task).classes
    except InputError:
        return 0.0
