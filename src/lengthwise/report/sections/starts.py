"""Ways to start: what each gives at multiples of the training length, and what it costs."""

from __future__ import annotations

from statistics import fmean
from typing import ClassVar

import polars as pl

from lengthwise.evaluation.losses import perplexity
from lengthwise.report.parts import WORDS, Cell, Drawn, Section, Spread, TableText, spread_cell
from lengthwise.report.results import Results
from lengthwise.report.words import NONE, number

_LOSSES, _COST, _KEPT = ("start_loss", "start_error"), "start_cost", "start_state"


class Starts(Section):
    """A table with a row for each model and way to start."""

    shown: ClassVar[pl.Expr] = pl.col("metric").is_in([*_LOSSES, _COST, _KEPT])

    def applies(self, results: Results) -> bool:
        """Whether ways to start were measured."""
        return not results.rows.filter(self.shown).is_empty()

    def draw(self, results: Results) -> Drawn:
        """Return the table."""
        rows = results.rows.filter(self.shown)
        losses = rows.filter(pl.col("metric").is_in(_LOSSES))
        multiples = losses["contexts"].unique().sort().to_list()
        of_symbols = losses["metric"][0] == _LOSSES[0]
        quality = "perplexity" if of_symbols else "error"
        found = rows.partition_by("series", "way", as_dict=True, maintain_order=True)
        cells = [
            [
                Cell(str(series)),
                Cell(str(way)),
                *(_quality(own.filter(contexts=multiple), of_symbols) for multiple in multiples),
                _plain(own.filter(metric=_COST), " x"),
                _plain(own.filter(metric=_KEPT)),
            ]
            for (series, way), own in found.items()
        ]
        at = [f"{quality} at {multiple:,} T" for multiple in multiples]
        columns = ["model", "start", *at, "read", "numbers kept"]
        table = TableText(name=f"{results.prefix}starts", **WORDS["starts"], columns=columns, rows=cells)
        return Drawn([table])


def _quality(own: pl.DataFrame, of_symbols: bool) -> Cell:
    """Return what a cell says of a loss: its mean over seeds and their span, or the interval of a single one."""
    if own.is_empty():
        return Cell(NONE)
    said = perplexity if of_symbols else float
    values = own["value"].to_list()
    ends = (own["low"][0], own["high"][0]) if len(values) == 1 else (min(values), max(values))
    return spread_cell(Spread(said(fmean(values)), said(ends[0]), said(ends[1])))


def _plain(own: pl.DataFrame, unit: str = "") -> Cell:
    if own.is_empty():
        return Cell(NONE)
    value = fmean(own["value"].to_list())
    return Cell(f"{int(value):,}" if value == int(value) and not unit else f"{number(value)}{unit}")
