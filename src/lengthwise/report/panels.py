"""Panels: lines, bands, marks and guides over two axes, drawn alike in every figure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Any, Literal

import altair as alt
import numpy as np
import polars as pl

from lengthwise.report.axes import Axis

HEIGHT = 190
COLUMN = 320
"""Width of a panel in pixels, where a figure has several beside each other."""
MOST_LABELS = 6
"""Series that have their names beside the lines; more have them in a legend."""
PICKED = {"name": "picked", "value": ""}
"""The signal of the kind that stands out in crowded panels; all do where it is empty."""
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4]]
_LABEL_GAP = 16.602
"""Least distance of two direct labels in pixels."""
_NOTE_GAP = 5
_SIZES = [76, 40, 20, 12, 8]
"""So that dots of several kinds stay visible where they coincide."""
_MOST_PLACES = 48
"""Of a line among many; neighbouring places are joined where there are more."""
_DIGITS = 6
_FITTED = {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}


@dataclass
class Drawing(ABC):
    """What a figure consists of: marks that share their axes, and the data that they show.

    Args:
        title: its heading.
        kinds: what tells series apart, in the order of the colours; panels with the same kinds have the same colours.
        height: of the space between the axes, in pixels.
        crowded: whether it has so many lines that one legend of the figure names them, bands are left out, and a line
            can be picked.
        place: how the page places it: width, and what is fitted to it.
        data: the rows that the specification names.
    """

    title: str
    kinds: list[str] = field(default_factory=list[str])
    height: int = field(default=HEIGHT, kw_only=True)
    crowded: bool = field(default=False, kw_only=True)
    place: dict[str, Any] = field(default_factory=lambda: _FITTED, init=False)
    data: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]], init=False)

    @abstractmethod
    def layers(self) -> list[alt.Chart]:
        """Return what is drawn over each other."""

    def probes(self) -> list[alt.Chart]:
        """Return what shows values under the pointer, above the layers, where these do not do so themselves."""
        return []

    @abstractmethod
    def described(self) -> str:
        """Say what it shows, for who does not see it."""

    def specification(self, hover: bool = False) -> dict[str, Any]:
        """Return the Vega-Lite specification without size, colours and data, which go by names.

        Args:
            hover: whether values under the pointer are shown, where a script draws the panel.
        """
        layers = self._layers_made + (_as_dicts(self.probes()) if hover else [])
        return {"description": self.described(), "layer": layers}

    def embedded(self) -> dict[str, Any]:
        """Return the specification in its place on the page, without colours of its own."""
        shared = {"params": [PICKED]} if self.crowded else {}
        rows = {name: _grouped(rows) for name, rows in self.data.items()}
        return self.specification(hover=True) | {"height": self.height, "datasets": rows} | self.place | shared

    @cached_property
    def _layers_made(self) -> list[dict[str, Any]]:
        return _as_dicts(self.layers())

    def chart(self, rows: list[dict[str, Any]]) -> alt.Chart:
        """Return a chart over rows that go by a name: Altair copies and checks inline data many times."""
        name = f"{self.title} {len(self.data)}"
        self.data[name] = rows
        return alt.Chart(alt.NamedData(name=name))


@dataclass
class Panel(Drawing):
    """Series along an axis.

    Args:
        key: the field along the x axis.
        x: the axis of that field.
        y: the axis of what is measured.
        quantity: what is measured.
        number: how tooltips format it.
        thinned: whether neighbouring places of a line are joined where there are many, also where lines are few.
    """

    _: KW_ONLY
    key: str
    x: Axis
    y: Axis
    quantity: str = "accuracy"
    number: str = ".4~%"
    thinned: bool = False

    def __post_init__(self) -> None:
        self._guides: list[alt.Chart] = []
        self._layers: list[alt.Chart] = []
        self._probes: list[alt.Chart] = []
        self._scale = alt.Scale(domain=self.kinds)
        # What a chart says of its legend would outweigh the config of a page, which has one for all panels of a figure.
        self._legend = alt.Undefined if self.crowded else None
        self._colour = alt.Color("kind:N", scale=self._scale, legend=self._legend)
        # Not by `alt.value` and `alt.condition`: what they return is looked up in the whole schema, each time.
        shown: Any = {"test": "picked === '' || datum.kind === picked", "value": 1}
        self._opacity = alt.OpacityValue(0.08, condition=shown) if self.crowded else alt.OpacityValue(1)

    def layers(self) -> list[alt.Chart]:
        """Return guides, then lines and marks."""
        return [*self._guides, *self._layers]

    def probes(self) -> list[alt.Chart]:
        """Return what shows the values of lines."""
        return self._probes

    def described(self) -> str:
        """Say what is drawn against what."""
        return f"{self.title}: {self.quantity} against {self.x.heading}"

    def add_series(self, spread: pl.DataFrame, thin: bool = False) -> None:
        """Add lines through means, with bands from the lowest seed to the highest, unless they are thin.

        A crowded panel has no bands: the legend of its figure names the lines.
        """
        if spread.is_empty():
            return
        shown = _thinned(spread, self.key) if self.crowded or self.thinned else spread
        base = self.chart(shown.to_dicts()).encode(x=self.x.x(self.key), color=self._colour)
        dash = alt.StrokeDash("kind:N", scale=alt.Scale(domain=self.kinds, range=DASHES), legend=self._legend)
        line = base.mark_line(strokeWidth=0.8 if thin else 2, strokeJoin="round").encode(
            strokeDash=dash, opacity=self._opacity
        )
        if not self.crowded and not thin:
            self._layers.append(base.mark_area(opacity=0.2, line=False).encode(y=self.y.y("low"), y2=alt.Y2("high:Q")))
        self._layers.append(line.encode(y=self.y.y("mean")))
        # Not Vega-Lite's nearest point: its tooltips lose the fields that are names.
        probe = base.mark_point(size=120, filled=True, opacity=0, aria=False)
        self._probes.append(probe.encode(y=self.y.y("mean"), tooltip=self._tooltip()))

    def add_points(self, spread: pl.DataFrame, hollow: bool = False) -> None:
        """Add the means as marks, hollow diamonds or dots, each with a rule from the lowest seed to the highest."""
        if spread.is_empty():
            return
        sizes = {kind: _SIZES[number % len(_SIZES)] for number, kind in enumerate(self.kinds)}
        sized = spread.with_columns(size=pl.col("kind").replace_strict(sizes if len(sizes) > 1 else {}, default=46))
        base = self.chart(sized.to_dicts()).encode(x=self.x.x(self.key))
        if not self.crowded:
            reach = base.mark_rule(strokeWidth=1.5, opacity=0.6).encode(color=self._colour)
            self._layers.append(reach.encode(y=self.y.y("low"), y2=alt.Y2("high:Q")))
        look: dict[str, Any] = {"scale": self._scale, "legend": None}
        marks = base.mark_point(shape="diamond", size=46, strokeWidth=1.5)
        if not hollow:
            # Not by a scale of the kinds: it would decide the lengths of the legend's dashes.
            size = alt.Size("size:Q", scale=None, legend=None)
            marks = base.mark_point(shape="circle", filled=True).encode(fill=alt.Fill("kind:N", **look), size=size)
        marks = marks.encode(stroke=alt.Stroke("kind:N", **look), opacity=self._opacity, tooltip=self._tooltip())
        self._layers.append(marks.encode(y=self.y.y("mean")))

    def add_labels(self, spread: pl.DataFrame) -> None:
        """Add the kind of each series at the end of the axis, pushed apart where they would overlap."""
        last = spread.filter(pl.col(self.key) == pl.col(self.key).max().over("series")).select("kind", "mean")
        if self.crowded or len(last) < 2:
            return
        rows = last.sort("mean", descending=True, maintain_order=True).to_dicts()
        places = _apart([self.y.fraction(row["mean"]) for row in rows], _LABEL_GAP / self.height)
        values = [{"kind": row["kind"], "place": self.y.value(place)} for row, place in zip(rows, places, strict=True)]
        text = self.chart(values).mark_text(align="left", dx=9, fontSize=11, fontWeight=600)
        place = self.y.y("place")
        self._layers.append(text.encode(x=alt.XValue("width"), y=place, text=alt.Text("kind:N"), color=self._colour))

    def add_rule(
        self, axis: Literal["x", "y"], values: list[Any], text: str, dash: list[int], upper: bool = False
    ) -> None:
        """Add a rule at values of an axis; the first has a label that names all, since those of each would overlap.

        Args:
            axis: which.
            values: where.
            text: has a place ``{}`` for the values.
            dash: of the rule.
            upper: whether the text of a vertical rule stands at its upper end, that of a level one below it.
        """
        field = self.key if axis == "x" else "value"
        said = text.format(", ".join(map(str, values)))
        chart = self.chart([{field: value, "text": "" if number else said} for number, value in enumerate(values)])
        place: dict[str, Any] = {"x": self.x.x(self.key)} if axis == "x" else {"y": self.y.y(field)}
        if axis == "x":
            beside: dict[str, Any] = {"y": alt.YValue(_NOTE_GAP if upper else self.height - _NOTE_GAP)}
            look: dict[str, Any] = {"align": "right", "dx": -6}
        else:
            beside, look = {"x": alt.XValue(0)}, {"align": "left", "dx": 4, "dy": 4 if upper else -4}
        note = chart.mark_text(style="note", baseline="top" if upper else "bottom", **look)
        rule = chart.mark_rule(style="guide", strokeDash=dash)
        self._guides += [rule.encode(**place), note.encode(**place, **beside, text=alt.Text("text:N"))]

    def _tooltip(self) -> list[alt.Tooltip]:
        where = [alt.Tooltip("series:N", title="recipe"), alt.Tooltip(f"{self.key}:Q", format=",")]
        numbers = {"mean": "mean", "low": "lowest seed", "high": "highest seed"}
        return [*where, *(alt.Tooltip(f"{name}:Q", title=said, format=self.number) for name, said in numbers.items())]


def curves(
    title: str, kinds: list[str], x: Axis, y: Axis, spread: pl.DataFrame, crowded: bool | None = None, **look: Any
) -> Panel:
    """Return a panel with lines, whose place along the x axis is the third column of the numbers.

    Args:
        title: of the panel.
        kinds: what tells series apart.
        x: the axis of the third column.
        y: the axis of what is measured.
        spread: as `over_seeds` returns it.
        crowded: whether a legend names the lines; where there are many kinds by default.
        look: further fields of the panel.
    """
    many = len(kinds) > MOST_LABELS if crowded is None else crowded
    panel = Panel(title, kinds, key=spread.columns[2], x=x, y=y, crowded=many, **look)
    panel.add_series(spread)
    panel.add_labels(spread)
    return panel


def over_seeds(rows: pl.DataFrame, *keys: str, geometric: bool = False) -> pl.DataFrame:
    """Return mean, lowest and highest over seeds.

    Args:
        rows: with `value` of each seed and the keys; with `low` and `high` where a single seed has an interval.
        keys: what is not averaged over; `series` and `kind` are among them anyway.
        geometric: whether the mean is that of the logarithms.

    Returns:
        The keys, `mean`, `low` and `high`; of a single seed those of its interval, where it has one.
    """
    value, alone = pl.col("value"), pl.len() == 1
    low, high = (pl.col(name) if name in rows.columns else pl.lit(None, pl.Float64) for name in ("low", "high"))
    numbers = {
        "mean": value.log().mean().exp() if geometric else value.mean(),
        "low": pl.when(alone).then(low.min().fill_null(value.min())).otherwise(value.min()),
        "high": pl.when(alone).then(high.max().fill_null(value.max())).otherwise(value.max()),
    }
    spread = rows.group_by("series", "kind", *keys).agg(**numbers).sort("series", *keys)
    return spread.with_columns(pl.col(*numbers).round_sig_figs(_DIGITS))


def _as_dicts(layers: Sequence[alt.Chart]) -> list[dict[str, Any]]:
    """Return the specifications of layers.

    Tests hold the charts against the schema; doing so here would take half of the time of a report, and so would a
    layered chart of Altair, which copies its layers several times.
    """
    # The page's copy of Vega-Lite may be newer than the one that the schema names, and it says so at every chart.
    left_out = {"config", "$schema"}
    made = [layer.to_dict(validate=False) for layer in layers]
    return [{name: part for name, part in layer.items() if name not in left_out} for layer in made]


def _thinned(spread: pl.DataFrame, key: str) -> pl.DataFrame:
    """Return means over neighbouring places, evenly spaced on a logarithmic axis, where there are too many."""
    if spread.is_empty() or spread[key].n_unique() <= _MOST_PLACES:
        return spread
    place = pl.col(key).log()
    part = ((place - place.min()) / (place.max() - place.min()) * (_MOST_PLACES - 1)).round()
    joined = spread.group_by("series", "kind", part.alias("part")).agg(
        pl.col(key).max(), pl.col("mean").mean().round(6), pl.col("low").min(), pl.col("high").max()
    )
    return joined.sort("series", key).select(spread.columns)


def _apart(places: list[float], gap: float) -> list[float]:
    """Return descending places pushed down, and up again from the lower end, until none is nearer than the gap."""
    steps = gap * np.arange(len(places))
    pushed = np.minimum.accumulate(np.array(places) + steps) - steps
    lifted = np.maximum(np.maximum.accumulate(pushed[::-1] - steps), 0) + steps
    return lifted[::-1].tolist()


def _grouped(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows grouped by their words: these are most of a page's size."""
    groups: dict[tuple[Any, ...], list[list[Any]]] = {}
    for row in rows:
        words = tuple((name, value) for name, value in row.items() if isinstance(value, str))
        numbers = {name: value for name, value in row.items() if not isinstance(value, str)}
        groups.setdefault((words, tuple(numbers)), []).append(list(numbers.values()))
    return [{"words": dict(words), "names": names, "rows": rows} for (words, names), rows in groups.items()]
