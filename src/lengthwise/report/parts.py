"""What a page consists of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lengthwise.report.figures import Figure
from lengthwise.report.grids import Grid
from lengthwise.report.published import Comparison
from lengthwise.report.tables import Cell

REASONS = "What decided each verdict"
Folds = Mapping[str, Mapping[str, Sequence[str]]]

_MOST_ROWS = 60


@dataclass(frozen=True)
class TableText:
    """A table of the page.

    Args:
        heading: its title.
        note: what stands in it.
        footnote: how to read it.
        columns: headings.
        rows: cells, as many a row as headings.
        file: that holds every row.
        folds: heading of what is shown on demand -> name of a row -> what is to be said of it, line by line.
    """

    heading: str
    note: str
    footnote: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    file: str
    folds: Folds = field(default_factory=dict[str, Mapping[str, Sequence[str]]])

    @property
    def folded(self) -> bool:
        """Whether it is so long that it is shown on demand only."""
        return len(self.rows) > _MOST_ROWS


@dataclass(frozen=True)
class Part:
    """What a page says of runs of one kind.

    Args:
        name: of the kind; it begins the names of elements.
        heading: said where a page has several parts.
        figures: the table stands after the first.
        table: one row a series.
        grid: tasks and models, before all else.
        comparisons: published numbers, after the grid.
        certificates: what was proved, after the table.
    """

    name: str
    heading: str
    figures: Sequence[Figure]
    table: TableText
    grid: Grid | None = None
    comparisons: Sequence[Comparison] = ()
    certificates: TableText | None = None
