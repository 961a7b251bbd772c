"""Training: accuracy on fresh strings and on training batches against the strings seen, as training went on."""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from lengthwise.report.axes import ACCURACIES, count_axis
from lengthwise.report.panels import Panel, curves, over_seeds
from lengthwise.report.parts import FigureSection
from lengthwise.report.results import BY_POSITION, Results, ordered_tasks, title


class Training(FigureSection):
    """Accuracy on the training batches of each task."""

    name: ClassVar[str] = "training"

    def points(self, results: Results) -> pl.DataFrame:
        """Return what was logged, with the accuracy as `value`."""
        return results.metrics.with_columns(value="accuracy")

    def panels(self, results: Results) -> list[Panel]:
        """Return a panel a task; none of language models, which are not judged by their accuracy."""
        points = self.points(results).select("series", "family", "task", "seed", "sequences", "value").drop_nulls()
        by_position = not results.rows.filter(BY_POSITION).is_empty()
        return [] if by_position else [_panel(results, points, task) for task in ordered_tasks(points)]


class Learning(Training):
    """Accuracy on fresh strings of the longest length of the curves of each task."""

    name: ClassVar[str] = "learning"

    def points(self, results: Results) -> pl.DataFrame:
        """Return the points of learning curves."""
        points = results.curve("accuracy", "length").rename({"accuracy": "value"})
        return points.filter(pl.col("length") == pl.col("length").max().over("task"))

    def said(self, results: Results) -> dict[str, str]:
        """Return the caption, with the length of the strings."""
        lengths = " or ".join(map(str, self.points(results)["length"].unique().sort()))
        return {"caption": self.words[self.name]["caption"].format(lengths=lengths)}


def _panel(results: Results, points: pl.DataFrame, task: str) -> Panel:
    spread = over_seeds(points.filter(pl.col("task") == task).with_columns(kind="family"), "sequences")
    x = count_axis("training strings seen", spread["sequences"])
    return curves(title(task), results.families, x, ACCURACIES, spread, thinned=True)
