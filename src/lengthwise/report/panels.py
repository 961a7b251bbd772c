"""A panel: lines, bands, marks and guides over two axes, drawn alike in every figure."""

from __future__ import annotations

from typing import Any, Protocol

import altair as alt
import polars as pl

from lengthwise.report.axes import Axis

HEIGHT = 190
_LABEL_GAP = 16.602
"""Least distance of two direct labels in pixels."""
_NOTE_GAP = 5
MOST_LABELS = 6
"""Series that have their names beside the lines; more have them in a legend."""
PICKED = {"name": "picked", "value": ""}
"""The signal of the kind that stands out in crowded panels; all do where it is empty."""
_SHOWN = "picked === '' || datum.kind === picked"
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4]]
_SIZES = [76, 40, 20, 12, 8]
"""So that lines and dots of several kinds stay visible where they coincide."""


class Drawing(Protocol):
    """What a figure consists of."""

    @property
    def title(self) -> str:
        """Its heading."""
        ...

    @property
    def kinds(self) -> list[str]:
        """What is told apart by colours, in their order."""
        ...

    @property
    def crowded(self) -> bool:
        """Whether one legend of the figure names its lines."""
        ...

    @property
    def height(self) -> int:
        """In pixels."""
        ...

    @property
    def place(self) -> dict[str, Any]:
        """How the page places it: width, and what is fitted to it."""
        ...

    @property
    def data(self) -> dict[str, list[dict[str, Any]]]:
        """The rows that the specification names."""
        ...

    def specification(self, hover: bool = False) -> dict[str, Any]:
        """Return the Vega-Lite specification without size, colours and data; see `Panel.specification`."""
        ...


class Panel:
    """Marks that share their axes, and the data that they show.

    Args:
        title: its heading.
        kinds: what tells series apart, in the order of the colours; panels with the same kinds have the same colours.
        key: the field along the x axis.
        x: the axis of that field.
        y: the axis of what is measured.
        quantity: what is measured.
        number: how tooltips format it.
        height: of the space between the axes, in pixels.
        crowded: whether it has so many lines that one legend of the figure names them, bands are left out, and a line
            can be picked.
    """

    def __init__(
        self,
        title: str,
        kinds: list[str],
        key: str,
        x: Axis,
        y: Axis,
        *,
        quantity: str = "accuracy",
        number: str = ".4~%",
        height: int = HEIGHT,
        crowded: bool = False,
    ) -> None:
        self.title, self.key, self.height = title, key, height
        self.data: dict[str, list[dict[str, Any]]] = {}
        self.place: dict[str, Any] = {
            "width": "container",
            "autosize": {"type": "fit-x", "contains": "padding"},
        }
        self._layers: list[alt.Chart] = []
        self._probes: list[alt.Chart] = []
        self.kinds, self.crowded = kinds, crowded
        self._x, self._y, self._heading = x.x(key), y, x.heading
        self._quantity, self._number = quantity, number
        self._legend = _figure_key() if crowded else None

    def specification(self, hover: bool = False) -> dict[str, Any]:
        """Return the Vega-Lite specification without size, colours and data, which go by names.

        Args:
            hover: whether values under the pointer are shown, where a script draws the panel.
        """
        chart = alt.LayerChart(
            layer=[*self._layers, *(self._probes if hover else [])],
            description=f"{self.title}: {self._quantity} against {self._heading}",
        )
        # The page's copy of Vega-Lite may be newer than the one that the schema names, and it says so at every chart.
        drawn = {name: value for name, value in chart.to_dict().items() if name not in {"config", "$schema"}}
        return _without_legends(drawn) if hover and self.crowded else drawn

    def add_line(self, spread: pl.DataFrame) -> None:
        """Add a line through the means, and unless the panel is crowded a band from the lowest seed to the highest."""
        base = self._chart(spread.to_dicts()).encode(x=self._x, color=self._colour())
        dash = alt.StrokeDash("kind:N", scale=alt.Scale(domain=self.kinds, range=DASHES), legend=self._legend)
        band = base.mark_area(opacity=0.2, line=False)
        line = base.mark_line(strokeWidth=2, strokeJoin="round").encode(y=self._y.y("mean"), strokeDash=dash)
        # Not Vega-Lite's nearest point: its tooltips lose the fields that are names.
        probe = base.mark_point(size=120, filled=True, opacity=0, aria=False).encode(
            y=self._y.y("mean"), tooltip=self._tooltip()
        )
        if self.crowded:
            self._layers.append(line.encode(opacity=alt.condition(_SHOWN, alt.value(1), alt.value(0.08))))
        else:
            self._layers += [band.encode(y=self._y.y("low"), y2="high:Q"), line]
        self._probes.append(probe)

    def add_points(self, spread: pl.DataFrame, hollow: bool) -> None:
        """Add the means as marks, hollow diamonds or dots, each with a rule from the lowest seed to the highest."""
        if spread.is_empty():
            return
        sizes = _SIZES if len(self.kinds) > 1 else [46]
        rows = [row | {"size": sizes[self.kinds.index(row["kind"]) % len(sizes)]} for row in spread.to_dicts()]
        base = self._chart(rows).encode(x=self._x)
        reach = base.mark_rule(strokeWidth=1.5, opacity=0.6).encode(
            y=self._y.y("low"), y2="high:Q", color=self._colour()
        )
        scale = alt.Scale(domain=self.kinds)
        stroke = alt.Stroke("kind:N", scale=scale, legend=None)
        if hollow:
            marks = base.mark_point(shape="diamond", size=46, strokeWidth=1.5).encode(stroke=stroke)
        else:
            marks = base.mark_point(shape="circle", filled=True).encode(
                stroke=stroke,
                fill=alt.Fill("kind:N", scale=scale, legend=None),
                size=alt.Size("size:Q", scale=None, legend=None),
            )
        opacity = alt.condition(_SHOWN, alt.value(1), alt.value(0.08)) if self.crowded else alt.value(1)
        marks = marks.encode(y=self._y.y("mean"), opacity=opacity, tooltip=self._tooltip())
        self._layers += [marks] if self.crowded else [reach, marks]

    def add_labels(self, spread: pl.DataFrame) -> None:
        """Add the kind of each series at the end of the axis, pushed apart where they would overlap.

        A crowded panel has none: the legend of its figure names them.
        """
        if self.crowded:
            return
        last = spread.filter(pl.col(self.key) == pl.col(self.key).max().over("series")).select("kind", "mean")
        if len(last) < 2:
            return
        rows = last.sort("mean", descending=True, maintain_order=True).to_dicts()
        places = _apart([self._y.fraction(row["mean"]) for row in rows], _LABEL_GAP / self.height)
        values = [{"kind": row["kind"], "place": self._y.value(place)} for row, place in zip(rows, places, strict=True)]
        text = self._chart(values).mark_text(align="left", dx=9, fontSize=11, fontWeight=600)
        place = self._y.y("place")
        self._layers.append(text.encode(x=alt.value("width"), y=place, text="kind:N", color=self._colour()))

    def add_series(self, spread: pl.DataFrame) -> None:
        """Add lines with names beside them where these are few, otherwise with a legend."""
        few = spread["series"].n_unique() <= MOST_LABELS
        if not few:
            self._legend = self._key(spread)
        self.add_line(spread)
        if few:
            self.add_labels(spread)

    def add_vertical(self, values: list[int], text: str, above: bool = False) -> None:
        """Add a labelled rule at values of the x axis.

        Args:
            values: where.
            text: has a place ``{}`` for the value.
            above: whether the text stands at the upper end, where it would hide lines at the lower.
        """
        rows = [{self.key: value, "text": text.format(value)} for value in values]
        chart = self._chart(rows).encode(x=self._x)
        note = chart.mark_text(style="note", align="right", dx=-6, baseline="top" if above else "bottom")
        self._layers += [
            chart.mark_rule(style="guide", strokeDash=[4, 3]),
            note.encode(y=alt.value(_NOTE_GAP if above else self.height - _NOTE_GAP), text="text:N"),
        ]

    def add_horizontal(self, value: float, text: str, below: bool = False) -> None:
        """Add a labelled rule at a value of the y axis; the label stands above it, or below."""
        chart = self._chart([{"value": value, "text": text}]).encode(y=self._y.y("value"))
        note = chart.mark_text(
            style="note", align="left", dx=4, dy=4 if below else -4, baseline="top" if below else "bottom"
        )
        self._layers += [
            chart.mark_rule(style="guide", strokeDash=[1, 3]),
            note.encode(x=alt.value(0), text="text:N"),
        ]

    def _chart(self, rows: list[dict[str, Any]]) -> alt.Chart:
        """Return a chart over rows that go by a name: Altair copies and checks inline data many times."""
        name = f"{self.title} {len(self.data)}"
        self.data[name] = rows
        return alt.Chart(alt.NamedData(name=name))

    def _key(self, spread: pl.DataFrame) -> alt.Legend:
        shown = spread["kind"].unique().to_list()
        return alt.Legend(
            orient="bottom",
            title=None,
            columns=2,
            labelLimit=400,
            symbolType="stroke",
            symbolSize=400,
            symbolOpacity=1,
            values=[name for name in self.kinds if name in shown],
        )

    def _colour(self) -> alt.Color:
        return alt.Color("kind:N", scale=alt.Scale(domain=self.kinds), legend=self._legend)

    def _tooltip(self) -> list[alt.Tooltip]:
        return [
            alt.Tooltip("series:N", title="recipe"),
            alt.Tooltip(f"{self.key}:Q", format=","),
            alt.Tooltip("mean:Q", format=self._number),
            alt.Tooltip("low:Q", title="lowest seed", format=self._number),
            alt.Tooltip("high:Q", title="highest seed", format=self._number),
        ]


def over_seeds(rows: pl.DataFrame, keys: list[str], value: str) -> pl.DataFrame:
    """Return mean, lowest and highest over seeds, and the kind of each series, which is its family.

    Args:
        rows: with `series`, `family`, the keys, and the value of each seed.
        keys: what is not averaged over.
        value: the column that is.
    """
    column = pl.col(value)
    spread = rows.group_by(keys).agg(
        kind=pl.col("family").first(),
        mean=column.mean().round(6),
        low=column.min().round(6),
        high=column.max().round(6),
    )
    return spread.sort(keys)


def thinned(spread: pl.DataFrame, key: str, most: int) -> pl.DataFrame:
    """Return means over neighbouring places, where there are more places than can be told apart.

    Args:
        spread: what `over_seeds` returned.
        key: the column along the axis, positive.
        most: places of a series that are kept, evenly spaced on a logarithmic axis.

    Returns:
        The same columns; the low and high of a place are those of all that were joined in it.
    """
    if spread.is_empty() or spread[key].n_unique() <= most:
        return spread
    place = pl.col(key).log()
    part = ((place - place.min()) / (place.max() - place.min()) * (most - 1)).round()
    joined = spread.group_by("series", "kind", part.alias("part")).agg(
        pl.col(key).max(), pl.col("mean").mean().round(6), pl.col("low").min(), pl.col("high").max()
    )
    return joined.sort("series", key).select(spread.columns)


def _figure_key() -> alt.Legend:
    return alt.Legend(
        orient="bottom", title=None, columns=6, labelLimit=220, symbolType="stroke", symbolSize=400, symbolOpacity=1
    )


def _without_legends(specification: dict[str, Any]) -> dict[str, Any]:
    """Return a specification for a page, whose own legend serves all panels of a figure."""
    for layer in specification["layer"]:
        for channel in ("color", "strokeDash"):
            if channel in layer["encoding"]:
                layer["encoding"][channel]["legend"] = None
    return specification


def _apart(places: list[float], gap: float) -> list[float]:
    """Return descending places pushed down, and up again from the lower end, until none is nearer than the gap."""
    pushed: list[float] = []
    for place in places:
        pushed.append(min(place, pushed[-1] - gap) if pushed else place)
    floor = 0.0
    for index in range(len(pushed) - 1, -1, -1):
        pushed[index] = max(pushed[index], floor)
        floor = pushed[index] + gap
    return pushed
