"""A section of reports: a table of sensitivities."""

from __future__ import annotations

import polars as pl

from lengthwise.report.parts import Cell, Drawn, Section, TableText
from lengthwise.report.results import Results
from lengthwise.report.words import number


class Sensitivities(Section):
    """The sensitivity of each series, over all of its points."""

    shown = pl.col("metric") == "sensitivity"

    def applies(self, results: Results) -> bool:
        """Whether some sensitivity was measured."""
        return not results.rows.filter(self.shown).is_empty()

    def draw(self, results: Results) -> Drawn:
        """Return the table."""
        means = results.rows.filter(self.shown).group_by("series", maintain_order=True).agg(pl.col("value").mean())
        table = TableText(
            name=f"{results.prefix}sensitivity",
            heading="Sensitivity",
            note="Mean over points and seeds.",
            columns=["recipe", "answers that change"],
            rows=[[Cell(series), Cell(number(value))] for series, value in means.iter_rows()],
            footnote="The share of answers that change when one symbol is drawn anew.",
            printed="Sensitivity to one symbol",
        )
        return Drawn([table])
