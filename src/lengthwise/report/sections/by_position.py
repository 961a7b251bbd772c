"""Curves by position: perplexity, effective remembrance and the state, and perplexity as training went on.

T is the training context in symbols.
"""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from lengthwise.evaluation.verdict import FAILS_ABOVE
from lengthwise.report.axes import SHARES, Axis, count_axis, dropped_axis, position_axis, value_axis
from lengthwise.report.layout import HEIGHT, NUMBER, Layout, arrange, arranged
from lengthwise.report.panels import Panel, curves, over_seeds
from lengthwise.report.parts import Drawn, FigureSection
from lengthwise.report.results import Results, natural

_ENTRY_HEIGHT = 150
_BEFORE = 8
"""Curves begin at T / 8: what lies before is far above and would press the rest flat."""
_MOST_ENTRIES = 24


class OfPosition(FigureSection):
    """A figure of language models: a panel a text and training context."""

    alone: ClassVar[int] = 560


class Remembrance(OfPosition):
    """Effective remembrance against the symbols dropped."""

    shown: ClassVar[pl.Expr] = pl.col("metric") == "remembrance"
    name: ClassVar[str] = "remembrance"

    def panels(self, results: Results) -> list[Panel]:
        """Return a panel a group."""

        def panel(layout: Layout, title: str, context: int, rows: pl.DataFrame) -> Panel:
            x = dropped_axis(context, max(rows["end"]))
            spread = over_seeds(rows, "start")
            return layout.panel(title, x, SHARES, spread, "effective remembrance")

        return arranged(results, results.rows.filter(self.shown), panel)


class State(OfPosition):
    """Standard deviation of the state, and of each of its entries, against position."""

    shown: ClassVar[pl.Expr] = pl.col("metric").str.starts_with("state_")
    name: ClassVar[str] = "state"

    def panels(self, results: Results) -> list[Panel]:
        """Return a panel a group, of the whole state."""
        return self._panels(results, pl.col("part").is_null())

    def draw(self, results: Results) -> Drawn:
        """Return the figure, and one of the entries of the state where the series are few enough for it."""
        whole = super().draw(results)
        found = results.rows.filter(self.shown & ~pl.col("part").str.contains("/", literal=True))["part"].unique()
        parts = sorted(found.drop_nulls().to_list(), key=natural)
        if not whole.pieces or len(arrange(results).groups) > 1 or not 1 < len(parts) <= _MOST_ENTRIES:
            return whole
        panels = [panel for part in parts for panel in self._panels(results, pl.col("part") == part, part)]
        return Drawn([*whole.pieces, self.figure(results, panels, "state-entries")])

    def _panels(self, results: Results, entry: pl.Expr, part: str = "") -> list[Panel]:
        rows = results.rows.filter((pl.col("metric") == "state_std") & entry)
        return by_position(results, rows, "standard deviation", part)


class LearningCurve(OfPosition):
    """Perplexity far beyond T over that in the octave that ends at T, as training went on."""

    name: ClassVar[str] = "perplexity-learning"

    def panels(self, results: Results) -> list[Panel]:
        """Return a panel a group in which losses by position were logged more than once."""

        def panel(layout: Layout, title: str, context: int, points: pl.DataFrame) -> Panel | None:
            inside = pl.col("loss").filter(pl.col("position") == context).first()
            keys = ("series", "kind", "seed", "sequences")
            ends = points.sort("position").group_by(keys).agg(value=(pl.col("loss").last() - inside).exp())
            rows = ends.drop_nulls().with_columns(symbols=pl.col("sequences") * context)
            if rows["symbols"].n_unique() < 2:
                return None
            spread = over_seeds(rows, "symbols", geometric=True)
            x = count_axis("training symbols seen", spread["symbols"])
            return ratio_panel(title, layout.kinds, x, spread, layout.crowded)

        return arranged(results, results.curve("loss", "position"), panel)


def by_position(results: Results, rows: pl.DataFrame, quantity: str, part: str = "") -> list[Panel]:
    """Return a panel a group: positive numbers against position, both logarithmic.

    Args:
        results: the runs.
        rows: one a series, seed and position.
        quantity: what they are.
        part: the entry of the state that they are about; empty where it is the whole, or another quantity.
    """

    def panel(layout: Layout, title: str, context: int, rows: pl.DataFrame) -> Panel | None:
        rows = rows.filter((pl.col("end") >= context / _BEFORE) & (pl.col("value") > 0))
        if rows["end"].n_unique() < 2:
            return None
        spread = over_seeds(rows.with_columns(position="end"), "position", geometric=True)
        x, y = position_axis(context, spread["position"]), value_axis([*spread["low"], *spread["high"]])
        drawn = layout.panel(part or title, x, y, spread, quantity, _ENTRY_HEIGHT if part else HEIGHT)
        drawn.add_rule("x", [context], "T = {}", [4, 3], upper=True)
        return drawn

    return arranged(results, rows, panel)


def ratio_panel(title: str, kinds: list[str], x: Axis, spread: pl.DataFrame, crowded: bool | None = None) -> Panel:
    """Return a panel of ratios of perplexities, with that of no change and that above which a rise is a failure."""
    y = value_axis([*spread["low"], *spread["high"], 0.93, FAILS_ABOVE])
    look = {"quantity": "ratio of perplexities", "number": NUMBER, "height": HEIGHT}
    panel = curves(title, kinds, x, y, spread, crowded, **look)
    panel.add_rule("y", [1], "as at T", [1, 3], upper=True)
    panel.add_rule("y", [FAILS_ABOVE], f"fails above {FAILS_ABOVE:g}", [1, 3])
    return panel
