"""Any metric of any task along any axes: lines over one axis, heat maps over two, and a table of means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import altair as alt
import polars as pl

from lengthwise.report.axes import ACCURACIES, plain_axis
from lengthwise.report.panels import Drawing, Panel, curves, over_seeds
from lengthwise.report.parts import SECTIONS, WORDS, Cell, Drawn, Figure, Section, TableText
from lengthwise.report.results import Results, axes_of, title
from lengthwise.report.words import NONE, TO, number, percent

_CELL = 26
"""Height of a row of a heat map, in pixels."""
_MOST_WRITTEN = 12
"""Columns of a heat map whose cells have room for their numbers."""
_MOST_SAID = 3
"""Means that the first sentence of a page says."""
_LINES, _MAPS = "Line: mean over seeds; band: lowest to highest seed.", "Cell: mean over seeds."


class ByAxis(Section):
    """What no other section draws: a figure a task and metric with numbers along an axis, and a table of all."""

    def draw(self, results: Results) -> Drawn:
        """Return the figures and the table."""
        groups = _groups(_left(results))
        figures = [
            Figure(
                name=results.prefix + re.sub(r"[^A-Za-z0-9_.-]+", "-", "-".join([task, metric, "by", *axes_of(rows)])),
                heading=f"{title(task)}: {_words(metric)}",
                note=_LINES if panels[0].kinds else _MAPS,
                caption=f"{title(metric)} along {' and '.join(map(_words, axes_of(rows)))}.",
                drawings=panels,
            )
            for task, metric, rows in groups
            if (panels := _panels(results, rows, metric))
        ]
        means = [row for *_, rows in groups for row in _rows(rows)]
        table = TableText(name=f"{results.prefix}measures", **WORDS["measures"], rows=means, finding=_finding(means))
        return Drawn([*figures, table] if means else [])


@dataclass
class HeatMap(Drawing):
    """Means over two axes.

    Args:
        rows: with both axes and `mean`, `low`, `high`.
        axes: the one from left to right, and the one downwards.
        metric: what the numbers are.
    """

    _: KW_ONLY
    rows: pl.DataFrame
    axes: Sequence[str]
    metric: str

    def __post_init__(self) -> None:
        self.height = _CELL * self.rows[self.axes[1]].n_unique()
        self._base = self.chart([row | {"text": _said(self.metric, row["mean"], 0)} for row in self.rows.to_dicts()])

    def described(self) -> str:
        """Say what is drawn along what."""
        return f"{self.title}: {_words(self.metric)} along {' and '.join(map(_words, self.axes))}"

    def layers(self) -> list[alt.Chart]:
        """Return the cells and, where there is room, their numbers."""
        across, down = (alt.Axis(title=_words(axis), grid=False, labelAngle=0) for axis in self.axes)
        base = self._base.encode(x=alt.X(f"{self.axes[0]}:O", axis=across), y=alt.Y(f"{self.axes[1]}:O", axis=down))
        domain = [0, 1] if _of_accuracy(self.metric) else alt.Undefined
        scale = alt.Scale(scheme="viridis", domain=domain)
        told = [alt.Tooltip(f"{name}:Q", format=",.4~g") for name in (*self.axes, "mean", "low", "high")]
        cells = base.mark_rect().encode(color=alt.Color("mean:Q", scale=scale, legend=None), tooltip=told)
        values = self.rows["mean"].to_list()
        middle = 0.5 if _of_accuracy(self.metric) else (min(values) + max(values)) / 2
        ink = alt.condition(alt.datum.mean > middle, alt.value("#10161c"), alt.value("#ffffff"))
        text = base.mark_text(fontSize=10).encode(text=alt.Text("text:N"), color=ink)
        return [cells, text] if self.rows[self.axes[0]].n_unique() <= _MOST_WRITTEN else [cells]


def _left(results: Results) -> pl.DataFrame:
    """Return the rows that no other section draws."""
    shown = [section.shown for _, section in SECTIONS.members()]
    return results.rows.filter(~pl.any_horizontal(shown).fill_null(value=False))


def _groups(rows: pl.DataFrame) -> list[tuple[str, str, pl.DataFrame]]:
    """Return the rows of each task and metric that were measured along the same axes."""
    along = [pl.when(pl.col(axis).is_not_null()).then(pl.lit(axis)) for axis in axes_of(rows)]
    keyed = rows.with_columns(kind=pl.concat_str(pl.lit(""), *along, separator=" ", ignore_nulls=True))
    groups = keyed.partition_by("task", "metric", "kind", as_dict=True, maintain_order=True)
    return [(task, metric, part.with_columns(kind="family")) for (task, metric, _), part in groups.items()]


def _panels(results: Results, rows: pl.DataFrame, metric: str) -> list[Drawing]:
    """Return a panel for each value of the axes that are words, or of those that two others leave over."""
    axes = _independent(rows)
    numeric = (axis for axis in axes if rows[axis].dtype.is_numeric())
    along = sorted(numeric, key=lambda axis: (-rows[axis].n_unique(), axis != "length"))
    along, apart = along[:2], [axis for axis in axes if axis not in along[:2]]
    if len(along) == 2:
        apart = ["kind", *apart]
    parts = rows.partition_by(apart, as_dict=True, maintain_order=True) if apart else {(): rows}
    drawn: list[Drawing] = []
    for values, part in parts.items():
        said = zip(apart, values, strict=True)
        words = [f"{axis} {value:g}" if part[axis].dtype.is_numeric() else str(value) for axis, value in said]
        name = ", ".join(words) or title(str(rows["task"][0]))
        if len(along) == 2:
            drawn.append(HeatMap(name, rows=over_seeds(part, *along), axes=along, metric=metric))
        elif along and part[along[0]].n_unique() > 1:
            drawn.append(_lines(results, name, part, along[0], metric))
    return drawn


def _independent(rows: pl.DataFrame) -> list[str]:
    """Return the axes with several values but those that go one by one with another, as a span's start with its end."""
    kept: list[str] = []
    for axis in sorted(axes_of(rows), key=lambda name: name == "start"):
        values = rows[axis].n_unique()
        tied = [other for other in kept if rows.select(axis, other).n_unique() == rows[other].n_unique() == values]
        if values > 1 and not tied:
            kept.append(axis)
    return kept


def _lines(results: Results, name: str, rows: pl.DataFrame, axis: str, metric: str) -> Panel:
    spread = over_seeds(rows, axis)
    x, accuracy = plain_axis(_words(axis), spread[axis].to_list()), _of_accuracy(metric)
    y = ACCURACIES if accuracy else plain_axis(None, [*spread["low"], *spread["high"]])
    kinds = [family for family in results.families if family in set(spread["kind"])]
    look: dict[str, Any] = {"quantity": _words(metric), "number": ".4~%" if accuracy else ",.4~g"}
    panel = curves(name, kinds, x, y, spread, **look)
    trained = rows["training_length"].drop_nulls().unique().sort().to_list() if axis == "length" else []
    shown = [length for length in trained if x.extent[0] <= length <= x.extent[1]]
    panel.add_rule("x", shown, "trained to {}", [4, 3], upper=True)
    panel.add_points(spread)
    return panel


def _rows(rows: pl.DataFrame) -> list[list[Cell]]:
    """Return a row a series and value of the axes that are words, of one metric."""
    axes = axes_of(rows)
    words = [axis for axis in axes if rows[axis].dtype == pl.String]
    numbers = [axis for axis in axes if axis not in words]
    found: list[list[Cell]] = []
    for (series, *values), part in rows.partition_by(["series", *words], as_dict=True, maintain_order=True).items():
        metric = str(part["metric"][0])
        seeds = part.group_by("seed").agg(pl.col("value").mean())["value"].to_list()
        ends = _ends(part, numbers, metric) if numbers else [Cell(NONE), Cell(NONE)]
        spans = [f"{axis} {_span(part[axis].to_list())}" for axis in numbers]
        span = f"{_said(metric, min(seeds))}{TO}{_said(metric, max(seeds))}" if len(seeds) > 1 else ""
        mean = _said(metric, sum(seeds) / len(seeds))
        at = ", ".join([*map(str, values), *spans])
        named = [Cell(str(series)), Cell(title(str(part["task"][0]))), Cell(_words(metric)), Cell(at)]
        found.append([*named, Cell(mean, span), *ends, Cell(f"{int(part['samples'].sum()):,}")])
    return found


def _finding(rows: Sequence[Sequence[Cell]]) -> str:
    """Say the first means and where each is lowest; what guessing reaches is no finding."""
    rows = [row for row in rows if not row[2].text.startswith("floor")]
    said = [
        f"{recipe.text}, {task.text}, {metric.text} ({at.text}): {mean.text} in the mean"
        + (f", {lowest.text} at the lowest, at {lowest.note}" if lowest.note else "")
        for recipe, task, metric, at, mean, lowest, *_ in rows[:_MOST_SAID]
    ]
    left = len(rows) - len(said)
    return "; ".join(said) + (f"; {left} more stand in the table of means." if left else ".")


def _ends(rows: pl.DataFrame, axes: Sequence[str], metric: str) -> list[Cell]:
    """Return the lowest and the highest mean over seeds, and the points where they are."""
    points = rows.group_by(axes, maintain_order=True).agg(pl.col("value").mean()).sort("value", maintain_order=True)
    ends = [points.row(index, named=True) for index in (0, -1)]
    return [Cell(_said(metric, p["value"]), ", ".join(f"{axis} {p[axis]:,.15g}" for axis in axes)) for p in ends]


def _span(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:,.15g}" if low == high else f"{low:,.15g} to {high:,.15g}"


def _of_accuracy(metric: str) -> bool:
    return metric.endswith("accuracy")


def _said(metric: str, value: float, digits: int = 2) -> str:
    return percent(value, digits) if _of_accuracy(metric) else number(value)


def _words(name: str) -> str:
    return name.replace("_", " ")
