"""Training: accuracy on fresh strings and on training batches against the strings seen, as training went on."""

from __future__ import annotations

import polars as pl

from lengthwise.report.axes import accuracy_axis, count_axis
from lengthwise.report.panels import MOST_LABELS, Panel, over_seeds
from lengthwise.report.parts import Drawn, Figure, Section
from lengthwise.report.results import BY_POSITION, Results, ordered_tasks, title

_SEEDS = "Line: mean over seeds; band: lowest to highest seed."
_SEEDS_CROWDED = "Line: mean over seeds and neighbouring points."


class Training(Section):
    """Learning curves at the longest length of each task, and accuracy on the training batches."""

    def applies(self, results: Results) -> bool:
        """Whether an accuracy was logged in training, and is what the runs are judged by."""
        logged = not (_learning(results).is_empty() and _batches(results).is_empty())
        return logged and results.rows.filter(BY_POSITION).is_empty()

    def draw(self, results: Results) -> Drawn:
        """Return a figure each, where there are points for it."""
        learning, batches = _learning(results), _batches(results)
        lengths = " or ".join(map(str, learning["length"].unique().sort()))
        figures = [
            _figure(
                results,
                learning,
                "learning",
                "Accuracy beyond the training length, as training went on",
                f"Accuracy on fresh strings of length {lengths} against the training strings seen.",
            ),
            _figure(
                results,
                batches,
                "training",
                "Accuracy in training",
                "Accuracy on the training batches, each of one length, against the training strings seen.",
            ),
        ]
        return Drawn([figure for figure in figures if figure.drawings])


def _learning(results: Results) -> pl.DataFrame:
    points = results.curve("accuracy", "length")
    return points.filter(pl.col("length") == pl.col("length").max().over("task")).rename({"accuracy": "value"})


def _batches(results: Results) -> pl.DataFrame:
    batches = results.metrics.select("series", "family", "task", "seed", "sequences", value="accuracy")
    return batches.drop_nulls()


def _figure(results: Results, points: pl.DataFrame, name: str, heading: str, caption: str) -> Figure:
    return Figure(
        name=f"{results.prefix}{name}",
        heading=heading,
        note=_SEEDS_CROWDED if len(results.families) > MOST_LABELS else _SEEDS,
        caption=caption,
        drawings=[_panel(results, points, task) for task in ordered_tasks(points)],
    )


def _panel(results: Results, points: pl.DataFrame, task: str) -> Panel:
    spread = over_seeds(points.filter(pl.col("task") == task).with_columns(kind="family"), "sequences")
    seen = spread["sequences"].to_numpy()
    axis = count_axis("training strings seen", (int(seen.min()), int(seen.max())))
    crowded = len(results.families) > MOST_LABELS
    panel = Panel(title(task), results.families, key="sequences", x=axis, y=accuracy_axis(), crowded=crowded)
    panel.add_series(spread)
    panel.add_labels(spread)
    return panel
