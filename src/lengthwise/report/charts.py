"""Figures: accuracy against length, and against training sequences seen."""

from __future__ import annotations

import json
import re
from typing import Any

import altair as alt
import polars as pl

from lengthwise.errors import InputError
from lengthwise.report.rows import Results
from lengthwise.report.summary import lengths_in_a_row
from lengthwise.report.theme import Theme
from lengthwise.tasks import get_task

HEIGHT = 190
COLUMN = 320
_LABEL_GAP = 0.09
"""Least distance of two direct labels, as a fraction of the axis."""
_SHORT_NUMBER = "format(datum.value, '~s')"


def accuracy_by_length(results: Results, task: str, hover: bool = False) -> alt.LayerChart:
    """Return a panel: accuracy of one task against length.

    The line is the mean over seeds, the band reaches from the lowest seed to the highest, dots are single long
    lengths and diamonds near misses.

    Args:
        results: the runs.
        task: one of `Results.tasks`.
        hover: whether the values under the pointer are shown, where the chart is drawn by a script.
    """
    rows = results.accuracy.filter(pl.col("task") == task)
    longest = max(
        lengths_in_a_row(rows.filter(pl.col("digest") == run.digest), run.settings)
        for run in results.runs
        if run.task == task
    )
    spread = _over_seeds(rows, ["series", "distribution", "length"], "value")
    standard = spread.filter(pl.col("distribution") == "standard")
    dense = standard.filter(pl.col("length") <= longest)
    far = standard.filter(pl.col("length") > longest)
    near = spread.filter(pl.col("distribution") == "near_miss")
    end = int(rows["length"].to_numpy().max())
    axis = alt.X(
        "length:Q",
        title="length in symbols",
        scale=alt.Scale(type="log", domain=[1, end], nice=False),
        axis=alt.Axis(values=_ticks(1, end), labelExpr=_SHORT_NUMBER, grid=False, labelFlush=False),
    )
    colour = _colour(results)
    layers = [
        *_guides(task, sorted(set(rows["training_length"].to_list())), axis),
        *_line(dense, axis, colour),
        *(_probe(dense, axis, colour, f"{task} length") if hover else []),
        *_points(far, axis, colour, hollow=False),
        *_points(near, axis, colour, hollow=True),
        *_labels(standard, "length", colour),
    ]
    return alt.LayerChart(layer=layers, description=f"Accuracy of {title(task)} against length")


def training_accuracy(results: Results, task: str, hover: bool = False) -> alt.LayerChart:
    """Return a panel: accuracy on the training batches of one task against the strings seen.

    Args:
        results: the runs.
        task: a task of `Results.training`.
        hover: whether the values under the pointer are shown, where the chart is drawn by a script.
    """
    rows = results.training.filter(pl.col("task") == task)
    return _by_sequences(rows, results, f"{task} training", hover)


def learning_curve(results: Results, task: str, hover: bool = False) -> alt.LayerChart:
    """Return a panel: accuracy of one task on fresh strings of the longest length of its curves, as it was trained.

    Args:
        results: the runs.
        task: a task of `Results.learning`.
        hover: whether the values under the pointer are shown, where the chart is drawn by a script.
    """
    rows = results.learning.filter(pl.col("task") == task)
    return _by_sequences(rows.filter(pl.col("length") == pl.col("length").max()), results, f"{task} learning", hover)


def _by_sequences(rows: pl.DataFrame, results: Results, name: str, hover: bool) -> alt.LayerChart:
    spread = _over_seeds(rows, ["series", "sequences"], "accuracy")
    begin, end = int(spread["sequences"].to_numpy().min()), int(spread["sequences"].to_numpy().max())
    axis = alt.X(
        "sequences:Q",
        title="training strings seen",
        scale=alt.Scale(type="log", domain=[begin, end], nice=False),
        axis=alt.Axis(values=_ticks(begin, end), labelExpr=_SHORT_NUMBER, grid=False, labelFlush=False),
    )
    colour = _colour(results)
    layers = [
        *_line(spread, axis, colour),
        *(_probe(spread, axis, colour, f"{name} sequences") if hover else []),
        *_labels(spread, "sequences", colour),
    ]
    return alt.LayerChart(layer=layers, description=f"Accuracy of {name} against strings seen")


def overview(panels: dict[str, alt.LayerChart], heading: str, note: str, theme: Theme) -> dict[str, Any]:
    """Return the Vega-Lite specification of a figure with one panel a task.

    Args:
        panels: title -> panel.
        heading: the figure's title.
        note: what the marks mean.
        theme: its colours.
    """
    titled = [panel.properties(title=name, width=COLUMN, height=HEIGHT) for name, panel in panels.items()]
    figure = alt.concat(*titled, columns=min(3, max(1, len(titled)))).properties(
        title=alt.Title(heading, subtitle=note, fontSize=15, offset=18)
    )
    return figure.to_dict() | {"config": theme.config() | {"background": theme.ground}, "padding": 20}


def embedded(panel: alt.LayerChart) -> dict[str, Any]:
    """Return the specification of one panel that is as wide as the page lets it be, without colours of its own."""
    specification = panel.properties(width="container", height=HEIGHT).to_dict()
    # The page's copy of Vega-Lite may be newer than the one that the schema names, and it says so at every chart.
    kept = {key: value for key, value in specification.items() if key not in {"config", "$schema"}}
    return _share_data(kept) | {"autosize": {"type": "fit-x", "contains": "padding"}}


def _share_data(specification: dict[str, Any]) -> dict[str, Any]:
    """Name the data of the layers, so that equal data stand in the page once."""
    names: dict[str, str] = {}
    datasets: dict[str, Any] = {}
    for layer in specification["layer"]:
        values = layer["data"]["values"]
        name = names.setdefault(json.dumps(values), f"data{len(names)}")
        datasets[name] = values
        layer["data"] = {"name": name}
    return specification | {"datasets": datasets}


def title(task: str) -> str:
    """Return a task's name as a heading."""
    return task if ":" in task else task.replace("_", " ").capitalize()


def _over_seeds(rows: pl.DataFrame, keys: list[str], value: str) -> pl.DataFrame:
    spread = rows.group_by(keys).agg(
        mean=pl.col(value).mean().round(6), low=pl.col(value).min().round(6), high=pl.col(value).max().round(6)
    )
    return spread.sort(keys).with_columns(kind=pl.col("series").map_elements(kind, return_dtype=pl.String))


def _data(frame: pl.DataFrame) -> alt.Data:
    return alt.Data(values=frame.drop("distribution", strict=False).to_dicts())


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


def _colour(results: Results) -> alt.Scale:
    """One colour a kind of recipe, the same in every panel."""
    return alt.Scale(domain=kinds(results))


def _line(frame: pl.DataFrame, x: alt.X, colour: alt.Scale) -> list[alt.Chart]:
    """A mean line and its band."""
    base = alt.Chart(_data(frame)).encode(x=x, color=alt.Color("kind:N", scale=colour, legend=None))
    band = base.mark_area(opacity=0.2, line=False).encode(y=_y("low"), y2="high:Q")
    return [band, base.mark_line(strokeWidth=2, strokeJoin="round").encode(y=_y("mean"))]


def _probe(frame: pl.DataFrame, x: alt.X, colour: alt.Scale, name: str) -> list[alt.Chart]:
    """Points that show themselves and their values where the pointer is nearest; `name` ends in their field."""
    key = name.rpartition(" ")[2]
    nearest = alt.selection_point(
        name=re.sub(r"\W", "_", name), nearest=True, on="pointerover", fields=[key], empty=False
    )
    points = alt.Chart(_data(frame)).mark_point(size=40, filled=True)
    shown = points.encode(
        x=x,
        y=_y("mean"),
        color=alt.Color("kind:N", scale=colour, legend=None),
        opacity=alt.condition(nearest, alt.value(1), alt.value(0)),
        tooltip=_tooltip(key),
    )
    return [shown.add_params(nearest)]


def _points(frame: pl.DataFrame, x: alt.X, colour: alt.Scale, hollow: bool) -> list[alt.Chart]:
    """Means as marks, hollow diamonds or dots, with a rule from the lowest seed to the highest."""
    if frame.is_empty():
        return []
    base = alt.Chart(_data(frame)).encode(x=x)
    reach = base.mark_rule(strokeWidth=1.5, opacity=0.6).encode(
        y=_y("low"), y2="high:Q", color=alt.Color("kind:N", scale=colour, legend=None)
    )
    stroke = alt.Stroke("kind:N", scale=colour, legend=None)
    if hollow:
        marks = base.mark_point(shape="diamond", size=46, strokeWidth=1.5).encode(stroke=stroke)
    else:
        fill = alt.Fill("kind:N", scale=colour, legend=None)
        marks = base.mark_point(shape="circle", size=46, filled=True).encode(stroke=stroke, fill=fill)
    return [reach, marks.encode(y=_y("mean"), opacity=alt.value(1), tooltip=_tooltip("length"))]


def _tooltip(key: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("series:N", title="recipe"),
        alt.Tooltip(f"{key}:Q", title="length" if key == "length" else "strings seen", format=","),
        alt.Tooltip("mean:Q", title="mean", format=".2%"),
        alt.Tooltip("low:Q", title="lowest seed", format=".2%"),
        alt.Tooltip("high:Q", title="highest seed", format=".2%"),
    ]


def _guides(task: str, trained: list[int], x: alt.X) -> list[alt.Chart]:
    """The training length, and what guessing among the classes would reach."""
    rules = alt.Chart(alt.Data(values=[{"length": length, "text": f"trained to {length}"} for length in trained]))
    layers = [
        rules.mark_rule(style="guide", strokeDash=[4, 3]).encode(x=x),
        rules.mark_text(style="note", align="right", dx=-6, baseline="bottom").encode(
            x=x, y=alt.value(HEIGHT - 5), text="text:N"
        ),
    ]
    if classes := _classes(task):
        chance = alt.Chart(alt.Data(values=[{"chance": 1 / classes, "text": "chance"}]))
        layers += [
            chance.mark_rule(style="guide", strokeDash=[1, 3]).encode(y=_y("chance")),
            chance.mark_text(style="note", align="left", dx=4, dy=-4, baseline="bottom").encode(
                x=alt.value(0), y=_y("chance"), text="text:N"
            ),
        ]
    return layers


def _classes(task: str) -> int | None:
    try:
        return get_task(task).classes
    except InputError:
        return None


def _labels(frame: pl.DataFrame, key: str, colour: alt.Scale) -> list[alt.Chart]:
    """The kind of each series beside the end of the axis, pushed apart where they would overlap."""
    last = frame.filter(pl.col(key) == pl.col(key).max().over("series")).select("kind", "mean")
    if len(last) < 2:
        return []
    values: list[dict[str, Any]] = []
    place = 1.0 + _LABEL_GAP
    for row in last.sort("mean", descending=True).to_dicts():
        place = min(row["mean"], place - _LABEL_GAP)
        values.append({"kind": row["kind"], "place": place})
    text = alt.Chart(alt.Data(values=values)).mark_text(align="left", dx=7, fontSize=11, fontWeight=600)
    color = alt.Color("kind:N", scale=colour, legend=None)
    return [text.encode(x=alt.value("width"), y=_y("place"), text="kind:N", color=color)]


def kinds(results: Results) -> list[str]:
    """Return the kinds of recipes in a report, in the order in which they first appear."""
    return list(dict.fromkeys(kind(series) for task in results.tasks for series in results.series(task)))


def kind(series: str) -> str:
    """Return what tells a recipe from others of its task: its folder and its digest, where it has them."""
    folder, _, name = series.rpartition("/")
    digest = name.partition(" ")[2]
    return " ".join(part for part in (folder or name.partition(" ")[0], digest) if part)
