"""Accuracy by length: a chart a task, and a table with intervals, near misses and the worst length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import polars as pl

from lengthwise.report.axes import ACCURACIES, count_axis
from lengthwise.report.panels import MOST_LABELS, Drawing, Panel, over_seeds
from lengthwise.report.parts import WORDS, Cell, Drawn, FigureSection, TableText, spread_cell
from lengthwise.report.results import BY_LENGTH, Results, known_language, ordered_tasks, title
from lengthwise.report.sections.accuracy_map import accuracy_maps
from lengthwise.report.sections.grid import build_grid
from lengthwise.report.summary import Summary, summarise
from lengthwise.report.words import TO, percent

if TYPE_CHECKING:
    from lengthwise.tasks.regular.language import Language

_TRAINING = ("training strings", "labels a string", "strings chosen")
_MOST_CLASSES = 10
"""From as many on the line of guessing cannot be told from the axis."""


class Accuracy(FigureSection):
    """Accuracy by length of every task, and the table of all series.

    Lines where they are few; of many models or many tasks a map a model, since more lines cannot be told apart.
    """

    shown: ClassVar[pl.Expr] = BY_LENGTH
    name: ClassVar[str] = "accuracy"

    def panels(self, results: Results) -> Sequence[Drawing]:
        """Return a panel a task, or a map a model."""
        if _mapped(results):
            return accuracy_maps(results)
        return [by_length(results, task) for task in ordered_tasks(results.accuracy)]

    def said(self, results: Results) -> dict[str, str]:
        """Return the caption."""
        # Of several models their table says it.
        finding = build_grid(results).finding if len(results.families) == 1 else ""
        told = {"caption": caption(summarise(results)), "finding": finding}
        return told | ({"note": WORDS["accuracy-maps"]["note"]} if _mapped(results) else {})

    def draw(self, results: Results) -> Drawn:
        """Return the figure and the table."""
        figure = super().draw(results).pieces
        return Drawn([*figure, accuracy_table(results)] if figure else [])


def _mapped(results: Results) -> bool:
    return max(results.accuracy["task"].n_unique(), len(results.families)) > MOST_LABELS


def by_length(results: Results, task: str) -> Panel:
    """Return a panel: accuracy of one task against length.

    The line is the mean over seeds, the band reaches from the lowest seed to the highest, dots are single long
    lengths and diamonds near misses.

    Args:
        results: the runs.
        task: a task whose accuracy was measured by length.
    """
    rows = results.accuracy.filter(task=task).with_columns(kind="family")
    standard, near = (over_seeds(rows.filter(distribution=name), "length") for name in ("standard", "near_miss"))
    longest = max(summary.longest for summary in summarise(results) if summary.task == task)
    axis = count_axis("length in symbols", [1, *rows["length"]])
    panel = Panel(title(task), results.families, key="length", x=axis, y=ACCURACIES)
    panel.add_rule("x", sorted(set(rows["training_length"])), "trained to {}", [4, 3])
    language = known_language(task)
    if language and language.classes < _MOST_CLASSES:
        panel.add_rule("y", [1 / language.classes], "chance", [1, 3])
    dense, barren = standard.filter(pl.col("length") <= longest), _barren(language, standard["length"])
    panel.add_series(dense.filter(pl.col("length").is_in(barren)), thin=True)
    panel.add_series(dense.filter(~pl.col("length").is_in(barren)))
    panel.add_points(standard.filter(pl.col("length") > longest))
    panel.add_points(near, hollow=True)
    panel.add_labels(standard.filter(~pl.col("length").is_in(barren)))
    return panel


def _barren(language: Language | None, lengths: pl.Series) -> list[int]:
    """Return the lengths at which a language of two classes accepts nothing, but not all: the odd ones of D_n."""
    if language is None or language.classes != 2:
        return []
    found = [length for length in lengths.unique() if not language.has_accepted(length)]
    return found if len(found) < lengths.n_unique() else []


def caption(summaries: Sequence[Summary]) -> str:
    """Say what the figure of accuracy against length shows.

    Args:
        summaries: of all series in it.
    """
    flawless = sum(summary.flawless for summary in summaries)
    count = "recipe" if len(summaries) == 1 else "recipes"
    start = f"{flawless} of {len(summaries)} {count} classified every string right"
    if len(summaries) == flawless:
        start = "Every string was classified right" + ("" if flawless == 1 else f", by all {flawless} {count}")
    lows = [(summary.worst[1], f"{summary.series} at length {summary.worst[0]:,}") for summary in summaries]
    near = [
        (score.value, f"{summary.series} on near misses") for summary in summaries if (score := summary.near_misses)
    ]
    value, place = min([*lows, *near])
    return f"{start}." if value == 1 else f"{start}; the lowest mean is {percent(value)} %, of {place}."


def accuracy_table(results: Results) -> TableText:
    """Return the table of all series; lengths are named where all rows share them."""
    summaries = summarise(results)
    trained = {summary.training_length for summary in summaries}
    longest = {summary.longest for summary in summaries}
    spans = ["beyond training", "from the second on", "even lengths of those"]
    if len(trained) == len(longest) == 1 and max(longest) > max(trained):
        first, last = trained.pop() + 1, longest.pop()
        spans = [f"{first}{TO}{last}", f"{first + 1}{TO}{last}", f"even {first + 1}{TO}{last}"]
    far = sorted({length for summary in summaries for length in summary.far})
    lengths = [f"{length:,}" for length in far]
    return TableText(
        name=f"{results.prefix}accuracy-table",
        **WORDS["accuracy-table"],
        columns=["recipe", *spans, "near misses", *lengths, "worst length", "model", "seeds", *_TRAINING],
        rows=[_row(summary, far) for summary in summaries],
    )


def _row(summary: Summary, far: list[int]) -> list[Cell]:
    length, lowest = summary.worst
    scores = [summary.beyond, summary.beyond_next, summary.even, summary.near_misses, *map(summary.far.get, far)]
    return [
        Cell(summary.series, title(summary.task)),
        *(spread_cell(score, percent, best=1) for score in scores),
        Cell("none", style="good") if lowest == 1 else Cell(f"{length:,}", percent(lowest)),
        Cell(summary.model, "" if summary.head.parameters is None else f"{summary.head.parameters:,} parameters"),
        Cell(str(len(summary.seeds))),
        Cell(f"{summary.head.sequences:,}", f"{summary.seconds:,.0f} s"),
        Cell(summary.head.labels),
        Cell(summary.head.chosen),
    ]
