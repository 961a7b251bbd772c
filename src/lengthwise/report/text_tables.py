"""The table of runs on text, for the terminal and for the page.

T is the training context in symbols.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from lengthwise.report.axes import compact
from lengthwise.report.comparison import VERDICT_STYLES
from lengthwise.report.diagnosed import number
from lengthwise.report.tables import Cell
from lengthwise.report.text_summary import Spread, TextSummary

_NONE = "\N{EN DASH}"
_TO = "\N{EN DASH}"


def text_columns(summaries: Sequence[TextSummary]) -> list[str]:
    """Return the headings."""
    ratios = [f"ratio at {multiple} T" for multiple in _multiples(summaries)]
    return ["recipe", "verdict", "perplexity to T", "octave at T", *ratios, "T", "training symbols", "model"]


def text_rows(summaries: Sequence[TextSummary]) -> list[list[Cell]]:
    """Return one row a series, as long as the headings of `text_columns`."""
    multiples = _multiples(summaries)
    return [_row(summary, multiples) for summary in summaries]


def terminal_text_table(summaries: Sequence[TextSummary]) -> Table:
    """Return a table for a terminal.

    Args:
        summaries: one a row.
    """
    title = "perplexity; ratio: of the octave that ends there to that at the training context T"
    table = Table(title=title, title_justify="left", box=None)
    names = text_columns(summaries)
    for index, name in enumerate(names):
        table.add_column(name, justify="right" if 0 < index < len(names) - 1 else "left", no_wrap=not index)
    for summary, row in zip(summaries, text_rows(summaries), strict=True):
        styles = ["", VERDICT_STYLES[summary.verdict], *[""] * (len(row) - 2)]
        table.add_row(*(Text(cell.text, style) for cell, style in zip(row, styles, strict=True)))
    return table


def _row(summary: TextSummary, multiples: Sequence[int]) -> list[Cell]:
    model = [f"{summary.parameters:,} parameters"] if summary.parameters is not None else []
    model += [f"state {summary.state:,}"] if summary.state is not None else []
    seeds = f"{'seed' if len(summary.seeds) == 1 else 'seeds'} {', '.join(map(str, summary.seeds))}"
    counts = [f"{summary.verdicts.count(name)} {name}" for name in dict.fromkeys(summary.verdicts)]
    return [
        Cell(summary.series, f"{summary.intervention}; {seeds}"),
        Cell(summary.verdict, ", ".join(counts) if len(counts) > 1 else "", summary.verdict == "holds"),
        _spread(summary.inside),
        _spread(summary.at_context),
        *(_spread(summary.ratios.get(multiple)) for multiple in multiples),
        Cell(f"{summary.context:,}"),
        Cell(
            f"{summary.symbols:,}" if summary.symbols < 1_000_000 else compact(summary.symbols),
            f"{summary.seconds:,.0f} s",
        ),
        Cell(summary.model, ", ".join(model)),
    ]


def _spread(spread: Spread | None) -> Cell:
    if spread is None:
        return Cell(_NONE)
    same = spread.low == spread.mean == spread.high
    return Cell(number(spread.mean), "" if same else f"{number(spread.low)}{_TO}{number(spread.high)}")


def _multiples(summaries: Sequence[TextSummary]) -> list[int]:
    return sorted({multiple for summary in summaries for multiple in summary.ratios})
