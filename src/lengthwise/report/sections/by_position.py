"""Curves by position: perplexity, effective remembrance and the state, and perplexity as training went on.

T is the training context in symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import polars as pl

from lengthwise.evaluation.verdict import FAILS_ABOVE
from lengthwise.report.axes import Axis, count_axis, dropped_axis, position_axis, share_axis, value_axis
from lengthwise.report.layout import Layout, arrange
from lengthwise.report.panels import COLUMN, Panel, over_seeds
from lengthwise.report.parts import Drawn, Figure, Section
from lengthwise.report.results import Results, natural

HEIGHT = 240
_ENTRY_HEIGHT = 150
_BEFORE = 8
"""Curves begin at T / 8: what lies before is far above and would press the rest flat."""
_MOST_ENTRIES = 24
_WIDE = 560
_SEEDS = "Line: mean over seeds; band: lowest to highest seed."
INTERVAL = "Line: mean over seeds; band: lowest to highest seed, or the 95 % interval of a single one."
_WHOLE = pl.col("part").is_null()


class Remembrance(Section):
    """Effective remembrance against the symbols dropped."""

    shown: ClassVar[pl.Expr] = pl.col("metric") == "remembrance"

    def applies(self, results: Results) -> bool:
        """Whether it was measured."""
        return not results.rows.filter(self.shown).is_empty()

    def draw(self, results: Results) -> Drawn:
        """Return the figure."""
        layout = arrange(results)

        def panel(title: str, context: int, rows: pl.DataFrame) -> Panel | None:
            if rows.is_empty():
                return None
            x = dropped_axis(context, int(rows["end"].to_numpy().max()))
            drawn = _panel(layout, title, "start", x, share_axis(), "effective remembrance")
            return _with(drawn, over_seeds(rows, "start"))

        rows = results.rows.filter(self.shown)
        caption = (
            "How far the next prediction moves, from 0 to 1, when the first symbols are dropped. A healthy curve is "
            "low at first and rises only towards the end."
        )
        return Drawn([figure("remembrance", "Effective remembrance", INTERVAL, caption, layout.panels(rows, panel))])


class State(Section):
    """Standard deviation of the state, and of each of its entries, against position."""

    shown: ClassVar[pl.Expr] = pl.col("metric").str.starts_with("state_")

    def applies(self, results: Results) -> bool:
        """Whether the whole state was followed over two positions or more."""
        return bool(self._panels(results, _WHOLE))

    def draw(self, results: Results) -> Drawn:
        """Return a figure of the whole state, and one of its entries where the series are few enough for it."""
        caption = (
            "Over all elements of the recurrent state. A curve that still rises beyond T leads to states that training "
            "never saw."
        )
        heading = "Standard deviation of the state by position"
        whole = figure("state", heading, _SEEDS, caption, self._panels(results, _WHOLE))
        entries = results.rows.filter(self.shown & ~pl.col("part").str.contains("/", literal=True))["part"].unique()
        parts = sorted(entries.drop_nulls().to_list(), key=natural)
        if len(arrange(results).groups) > 1 or not 1 < len(parts) <= _MOST_ENTRIES:
            return Drawn([whole])
        panels = [panel for part in parts for panel in self._panels(results, pl.col("part") == part, part)]
        caption = "One panel an entry of the recurrent state, layers in order. The axes differ from panel to panel."
        heading = "Standard deviation of each entry of the state by position"
        return Drawn([whole, figure("state-entries", heading, _SEEDS, caption, panels)])

    def _panels(self, results: Results, entry: pl.Expr, part: str = "") -> list[Panel]:
        rows = results.rows.filter((pl.col("metric") == "state_std") & entry)
        return [] if rows.is_empty() else by_position(arrange(results), rows, "standard deviation", part)


class LearningCurve(Section):
    """Perplexity far beyond T over that in the octave that ends at T, as training went on."""

    def applies(self, results: Results) -> bool:
        """Whether losses by position were logged in training more than once."""
        return bool(self._panels(results))

    def draw(self, results: Results) -> Drawn:
        """Return the figure."""
        heading = "Perplexity far beyond T over that at T, as training went on"
        caption = "Of the last octave that was read, against the training symbols seen."
        return Drawn([figure("perplexity-learning", heading, _SEEDS, caption, self._panels(results))])

    def _panels(self, results: Results) -> list[Panel]:
        points = results.curve("loss", "position")
        if points.is_empty():
            return []
        layout = arrange(results)

        def panel(title: str, context: int, points: pl.DataFrame) -> Panel | None:
            inside = pl.col("loss").filter(pl.col("position") == context).first()
            keys = ("series", "kind", "seed", "sequences")
            ends = points.sort("position").group_by(keys).agg(value=(pl.col("loss").last() - inside).exp())
            rows = ends.drop_nulls().with_columns(symbols=pl.col("sequences") * context)
            if rows["symbols"].n_unique() < 2:
                return None
            curves = over_seeds(rows, "symbols", geometric=True)
            seen = curves["symbols"].to_numpy()
            x = count_axis("training symbols seen", (int(seen.min()), int(seen.max())))
            drawn = _panel(layout, title, "symbols", x, ratio_axis(curves), "ratio of perplexities")
            add_thresholds(drawn)
            return _with(drawn, curves)

        return layout.panels(points, panel)


def by_position(layout: Layout, rows: pl.DataFrame, quantity: str, part: str = "") -> list[Panel]:
    """Return a panel a group: positive numbers against position, both logarithmic.

    Args:
        layout: of all panels.
        rows: one a series, seed and position.
        quantity: what they are.
        part: the entry of the state that they are about; empty where it is the whole, or another quantity.
    """

    def panel(title: str, context: int, rows: pl.DataFrame) -> Panel | None:
        rows = rows.filter((pl.col("end") >= context / _BEFORE) & (pl.col("value") > 0))
        if rows["end"].n_unique() < 2:
            return None
        curves = over_seeds(rows.with_columns(position="end"), "position", geometric=True)
        places = curves["position"].to_numpy()
        x = position_axis(context, (int(places.min()), int(places.max())))
        y = value_axis([*curves["low"], *curves["high"]])
        drawn = _panel(layout, part or title, "position", x, y, quantity, _ENTRY_HEIGHT if part else HEIGHT)
        drawn.add_rule("x", [context], "T = {}", [4, 3], upper=True)
        return _with(drawn, curves)

    return layout.panels(rows, panel)


def add_thresholds(panel: Panel) -> None:
    """Add the ratio of no change and the one above which a rise is a failure."""
    panel.add_rule("y", [1], "as at T", [1, 3], upper=True)
    panel.add_rule("y", [FAILS_ABOVE], f"fails above {FAILS_ABOVE:g}", [1, 3])


def ratio_axis(spread: pl.DataFrame) -> Axis:
    """Return the y axis of ratios of perplexities, with room for the thresholds."""
    return value_axis([*spread["low"], *spread["high"]], include=(0.93, FAILS_ABOVE))


def figure(name: str, heading: str, note: str, caption: str, panels: Sequence[Panel]) -> Figure:
    """Return a figure that is wide where it has one panel."""
    width = _WIDE if len(panels) == 1 else COLUMN
    return Figure(name=name, heading=heading, note=note, caption=caption, drawings=panels, width=width)


def _panel(layout: Layout, title: str, key: str, x: Axis, y: Axis, quantity: str, height: int = HEIGHT) -> Panel:
    panel = Panel(title, layout.kinds, key=key, x=x, y=y, quantity=quantity, height=height, crowded=layout.crowded)
    panel.number = ",.4~g"
    return panel


def _with(panel: Panel, curves: pl.DataFrame) -> Panel:
    panel.add_series(curves)
    panel.add_labels(curves)
    return panel
