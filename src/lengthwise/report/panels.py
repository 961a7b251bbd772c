"""A panel: the marks of one task over one axis, drawn alike in every figure."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from lengthwise.report.rows import Results

HEIGHT = 190
_LABEL_GAP = 0.09
"""Least distance of two direct labels, as a fraction of the axis."""
_DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4]]
_SIZES = [76, 40, 20, 12, 8]
"""So that lines and dots of several kinds stay visible where they coincide."""


class Panel:
    """Marks that share an axis, and the data that they show.

    Args:
        results: the runs; all panels of them give a kind of recipe the same colour.
        task: the task.
        key: the field along the x axis.
        heading: of the x axis.
        extent: the ends of the x axis, which is logarithmic.
    """

    def __init__(self, results: Results, task: str, key: str, heading: str, extent: tuple[int, int]) -> None:
        self.task, self.key = task, key
        self.data: dict[str, list[dict[str, Any]]] = {}
        self._layers: list[alt.Chart] = []
        self._probes: list[alt.Chart] = []
        self._kinds = kinds(results)
        self._x = alt.X(
            f"{key}:Q",
            title=heading,
            scale=alt.Scale(type="log", domain=list(extent), nice=False),
            axis=alt.Axis(values=_ticks(*extent), labelExpr="format(datum.value, '~s')", grid=False, labelFlush=False),
        )

    @property
    def title(self) -> str:
        """The task's name as a heading."""
        return self.task if ":" in self.task else self.task.replace("_", " ").capitalize()

    def specification(self, hover: bool = False) -> dict[str, Any]:
        """Return the Vega-Lite specification without size, colours and data, which go by names.

        Args:
            hover: whether values under the pointer are shown, where a script draws the panel.
        """
        chart = alt.LayerChart(
            layer=[*self._layers, *(self._probes if hover else [])],
            description=f"{self.title}: accuracy against {self._x.title}",
        )
        # The page's copy of Vega-Lite may be newer than the one that the schema names, and it says so at every chart.
        return {name: value for name, value in chart.to_dict().items() if name not in {"config", "$schema"}}

    def add_line(self, spread: pl.DataFrame) -> None:
        """Add a line through the means, and a band from the lowest seed to the highest."""
        base = self._chart(spread.to_dicts()).encode(x=self._x, color=self._colour())
        dash = alt.StrokeDash("kind:N", scale=alt.Scale(domain=self._kinds, range=_DASHES), legend=None)
        band = base.mark_area(opacity=0.2, line=False).encode(y=_y("low"), y2="high:Q")
        line = base.mark_line(strokeWidth=2, strokeJoin="round").encode(y=_y("mean"), strokeDash=dash)
        # Not Vega-Lite's nearest point: its tooltips lose the fields that are names.
        probe = base.mark_point(size=120, filled=True, opacity=0, aria=False).encode(
            y=_y("mean"), tooltip=self._tooltip()
        )
        self._layers += [band, line]
        self._probes.append(probe)

    def add_points(self, spread: pl.DataFrame, hollow: bool) -> None:
        """Add the means as marks, hollow diamonds or dots, each with a rule from the lowest seed to the highest."""
        if spread.is_empty():
            return
        sizes = _SIZES if len(self._kinds) > 1 else [46]
        rows = [row | {"size": sizes[self._kinds.index(row["kind"]) % len(sizes)]} for row in spread.to_dicts()]
        base = self._chart(rows).encode(x=self._x)
        reach = base.mark_rule(strokeWidth=1.5, opacity=0.6).encode(y=_y("low"), y2="high:Q", color=self._colour())
        scale = alt.Scale(domain=self._kinds)
        stroke = alt.Stroke("kind:N", scale=scale, legend=None)
        if hollow:
            marks = base.mark_point(shape="diamond", size=46, strokeWidth=1.5).encode(stroke=stroke)
        else:
            marks = base.mark_point(shape="circle", filled=True).encode(
                stroke=stroke,
                fill=alt.Fill("kind:N", scale=scale, legend=None),
                size=alt.Size("size:Q", scale=None, legend=None),
            )
        self._layers += [reach, marks.encode(y=_y("mean"), opacity=alt.value(1), tooltip=self._tooltip())]

    def add_labels(self, spread: pl.DataFrame) -> None:
        """Add the kind of each series at the end of the axis, pushed apart where they would overlap."""
        last = spread.filter(pl.col(self.key) == pl.col(self.key).max().over("series")).select("kind", "mean")
        if len(last) < 2:
            return
        values: list[dict[str, Any]] = []
        place = 1.0 + _LABEL_GAP
        for row in last.sort("mean", descending=True, maintain_order=True).to_dicts():
            place = min(row["mean"], place - _LABEL_GAP)
            values.append({"kind": row["kind"], "place": place})
        text = self._chart(values).mark_text(align="left", dx=9, fontSize=11, fontWeight=600)
        self._layers.append(text.encode(x=alt.value("width"), y=_y("place"), text="kind:N", color=self._colour()))

    def add_vertical(self, values: list[int], text: str) -> None:
        """Add a labelled rule at values of the x axis; `text` has a place ``{}`` for the value."""
        rows = [{self.key: value, "text": text.format(value)} for value in values]
        chart = self._chart(rows).encode(x=self._x)
        note = chart.mark_text(style="note", align="right", dx=-6, baseline="bottom")
        self._layers += [
            chart.mark_rule(style="guide", strokeDash=[4, 3]),
            note.encode(y=alt.value(HEIGHT - 5), text="text:N"),
        ]

    def add_horizontal(self, value: float, text: str) -> None:
        """Add a labelled rule at an accuracy."""
        chart = self._chart([{"value": value, "text": text}]).encode(y=_y("value"))
        note = chart.mark_text(style="note", align="left", dx=4, dy=-4, baseline="bottom")
        self._layers += [
            chart.mark_rule(style="guide", strokeDash=[1, 3]),
            note.encode(x=alt.value(0), text="text:N"),
        ]

    def _chart(self, rows: list[dict[str, Any]]) -> alt.Chart:
        """Return a chart over rows that go by a name: Altair copies and checks inline data many times."""
        name = f"{self.task} {len(self.data)}"
        self.data[name] = rows
        return alt.Chart(alt.NamedData(name=name))

    def _colour(self) -> alt.Color:
        return alt.Color("kind:N", scale=alt.Scale(domain=self._kinds), legend=None)

    def _tooltip(self) -> list[alt.Tooltip]:
        return [
            alt.Tooltip("series:N", title="recipe"),
            alt.Tooltip(f"{self.key}:Q", format=","),
            alt.Tooltip("mean:Q", format=".4~%"),
            alt.Tooltip("low:Q", title="lowest seed", format=".4~%"),
            alt.Tooltip("high:Q", title="highest seed", format=".4~%"),
        ]


def over_seeds(rows: pl.DataFrame, keys: list[str], value: str) -> pl.DataFrame:
    """Return mean, lowest and highest over seeds, and the kind of each series.

    Args:
        rows: with `series`, the keys, and the value of each seed.
        keys: what is not averaged over.
        value: the column that is.
    """
    column = pl.col(value)
    spread = rows.group_by(keys).agg(mean=column.mean().round(6), low=column.min().round(6), high=column.max().round(6))
    names = spread["series"].unique().to_list()
    return spread.sort(keys).with_columns(kind=pl.col("series").replace_strict({name: kind(name) for name in names}))


def kinds(results: Results) -> list[str]:
    """Return the kinds of recipes in a report, in the order in which they first appear."""
    return list(dict.fromkeys(kind(series) for task in results.tasks for series in results.series(task)))


def kind(series: str) -> str:
    """Return what tells a recipe from others of its task: its folder and its digest, where it has them."""
    folder, _, name = series.rpartition("/")
    digest = name.partition(" ")[2]
    return " ".join(part for part in (folder or name.partition(" ")[0], digest) if part)


def _ticks(begin: int, end: int) -> list[int]:
    """Ticks of a logarithmic axis: powers of ten, and where there are few of them 2 and 5 times those."""
    powers = [10**power for power in range(len(str(end)))]
    between = [factor * power for power in powers for factor in (1, 2, 5)]
    fine, coarse = ([tick for tick in ticks if begin <= tick <= end] for ticks in (between, powers))
    return coarse if len(coarse) > 2 else fine


def _y(field: str) -> alt.Y:
    return alt.Y(
        f"{field}:Q",
        title=None,
        scale=alt.Scale(domain=[0, 1.03], nice=False),
        axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".0%", ticks=False),
    )
