"""Figures of runs on text: perplexity, effective remembrance and the state, by position; learning curves.

T is the training context in symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import polars as pl

from lengthwise.diagnostics.verdict import FAILS_ABOVE
from lengthwise.report.axes import Axis, count_axis, dropped_axis, position_axis, share_axis, value_axis
from lengthwise.report.layout import Group, Layout
from lengthwise.report.panels import Panel
from lengthwise.report.rows import TextResults, natural

HEIGHT = 240
_ENTRY_HEIGHT = 150
_BEFORE = 8
"""Curves begin at T / 8: what lies before is far above and would press the rest flat."""
_DIGITS = 6


def perplexity_by_position(results: TextResults, layout: Layout, group: Group) -> Panel | None:
    """Return a panel: perplexity against position, both logarithmic."""
    return _by_position(results, layout, group, "loss", "perplexity", "")


def state_by_position(results: TextResults, layout: Layout, group: Group, entry: str = "") -> Panel | None:
    """Return a panel: standard deviation of the state against position, both logarithmic.

    Args:
        results: the runs.
        layout: of all panels.
        group: one of them.
        entry: of the state; the whole by default.
    """
    return _by_position(results, layout, group, "state_std", "standard deviation", entry)


def remembrance(results: TextResults, layout: Layout, group: Group) -> Panel | None:
    """Return a panel: effective remembrance against the symbols dropped."""
    rows = _rows(results, group, "remembrance", "")
    if rows.is_empty():
        return None
    curves = over_seeds(rows.with_columns(dropped="start"), ["series", "dropped"], layout.names)
    x = dropped_axis(group.context, int(rows["end"].to_numpy().max()))
    panel = _panel(layout, group.title, "dropped", x, share_axis(), "effective remembrance")
    panel.add_series(curves)
    return panel


def entries(results: TextResults, group: Group) -> list[str]:
    """Return the entries of the state that were followed in a group, layers in order; not their heads."""
    rows = _rows(results, group, "state_std", None)
    parts = rows.filter((pl.col("part") != "") & ~pl.col("part").str.contains("/", literal=True))["part"]
    return sorted(parts.unique().to_list(), key=natural)


def learning_curve(results: TextResults, layout: Layout, group: Group) -> Panel | None:
    """Return a panel: perplexity far beyond T over that in the octave that ends at T, as training went on."""
    points = results.learning.filter(pl.col("series").is_in(group.series))
    seed = ["series", "seed", "sequences"]
    ends = (
        points.sort("position")
        .group_by(seed)
        .agg(inside=pl.col("loss").filter(pl.col("position") == group.context).first(), far=pl.col("loss").last())
    )
    rows = ends.drop_nulls().select(
        *seed,
        symbols=pl.col("sequences") * group.context,
        value=(pl.col("far") - pl.col("inside")).exp(),
        low=pl.lit(None, pl.Float64),
        high=pl.lit(None, pl.Float64),
    )
    if rows["symbols"].n_unique() < 2:
        return None
    curves = over_seeds(rows, ["series", "symbols"], layout.names, geometric=True)
    seen = curves["symbols"].to_numpy()
    x = count_axis("training symbols seen", (int(seen.min()), int(seen.max())))
    panel = _panel(layout, group.title, "symbols", x, _ratio_axis(curves), "ratio of perplexities")
    add_thresholds(panel)
    panel.add_series(curves)
    return panel


def over_seeds(
    rows: pl.DataFrame, keys: Sequence[str], names: Mapping[str, str], geometric: bool = False
) -> pl.DataFrame:
    """Return mean, lowest and highest over seeds, and what each series is called.

    Args:
        rows: with `value`, `low` and `high` of each seed, and the keys.
        keys: what is not averaged over; `series` among them.
        names: series -> what it is called.
        geometric: whether the mean is that of the logarithms.

    Returns:
        `mean`, `low` and `high`; of a single seed those of its interval, where it has one.
    """
    value = pl.col("value")
    alone = pl.len() == 1
    mean = value.log().mean().exp() if geometric else value.mean()
    low = pl.when(alone).then(pl.col("low").min().fill_null(value.min())).otherwise(value.min())
    high = pl.when(alone).then(pl.col("high").max().fill_null(value.max())).otherwise(value.max())
    numbers = {"mean": mean, "low": low, "high": high}
    spread = rows.group_by(*keys).agg(**{name: number.round_sig_figs(_DIGITS) for name, number in numbers.items()})
    return spread.sort(keys).with_columns(kind=pl.col("series").replace_strict(dict(names)))


def add_thresholds(panel: Panel) -> None:
    """Add the ratio of no change and the one above which a rise is a failure."""
    panel.add_horizontal(1, "as at T", below=True)
    panel.add_horizontal(FAILS_ABOVE, f"fails above {FAILS_ABOVE:g}")


def _ratio_axis(curves: pl.DataFrame) -> Axis:
    return value_axis([*curves["low"], *curves["high"]], include=(0.93, FAILS_ABOVE))


def _by_position(
    results: TextResults, layout: Layout, group: Group, metric: str, quantity: str, part: str
) -> Panel | None:
    rows = _rows(results, group, metric, part).filter(pl.col("end") >= group.context / _BEFORE)
    if rows["end"].n_unique() < 2:
        return None
    if metric == "loss":
        rows = rows.with_columns(pl.col("value", "low", "high").exp())
    rows = rows.filter(pl.col("value") > 0).with_columns(position="end")
    curves = over_seeds(rows, ["series", "position"], layout.names, geometric=True)
    places = curves["position"].to_numpy()
    y = value_axis([*curves["low"], *curves["high"]])
    x = position_axis(group.context, (int(places.min()), int(places.max())))
    panel = _panel(layout, part or group.title, "position", x, y, quantity, _ENTRY_HEIGHT if part else HEIGHT)
    panel.add_vertical([group.context], "T = {}", above=True)
    panel.add_series(curves)
    return panel


def _panel(layout: Layout, title: str, key: str, x: Axis, y: Axis, quantity: str, height: int = HEIGHT) -> Panel:
    return Panel(title, layout.kinds, key, x, y, quantity=quantity, number=",.4~g", height=height)


def _rows(results: TextResults, group: Group, metric: str, part: str | None) -> pl.DataFrame:
    rows = results.diagnosis.filter((pl.col("metric") == metric) & pl.col("series").is_in(group.series))
    return rows if part is None else rows.filter(pl.col("part") == part)


def panels(
    draw: Callable[[TextResults, Layout, Group], Panel | None], results: TextResults, layout: Layout
) -> list[Panel]:
    """Return the panels that a figure has, leaving out groups in which nothing was measured for it."""
    drawn = [draw(results, layout, group) for group in layout.groups]
    return [panel for panel in drawn if panel is not None]
