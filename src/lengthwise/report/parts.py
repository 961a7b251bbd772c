"""Pieces of a page: sections, and the figures and tables that they draw."""

from __future__ import annotations

import re
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import polars as pl
import vl_convert
from rich.table import Table as Printed
from rich.text import Text

from lengthwise.files import write_atomically
from lengthwise.registry import Registry
from lengthwise.report.panels import COLUMN, DASHES, PICKED, Drawing
from lengthwise.report.results import Results
from lengthwise.report.tables import as_csv, as_latex
from lengthwise.report.theme import BLANK, DARK, LIGHT, Theme
from lengthwise.report.words import NONE, TERMINAL, TO, number, shipped

REASONS = "What decided each verdict"
ROWS = "rows.csv"
"""The file beside the page that holds every row."""
_FRAME, _ROW, _BRIEF = 180, 48, 28
"""Pixels of a heading with its note, and of a row of a table."""
_PADDING = {"left": 20, "top": 20, "bottom": 20, "right": 48}
_BESIDE = 3
"""Panels beside each other."""
_SIZE = re.compile(r'<svg [^>]*viewBox="0 0 ([\d.]+) ([\d.]+)"')
_PIXELS = 6_000_000
"""Most of a PNG."""
_NOTE = 110
"""Most letters in a line of the note of a file."""
WORDS: dict[str, dict[str, Any]] = shipped("words.yaml")
"""Name of a figure or table -> what is said of it."""

SECTIONS: Registry = Registry(
    "section",
    {
        "grid": "lengthwise.report.sections.grid:GridSection",
        "significance": "lengthwise.report.sections.significance:Significance",
        "accuracy": "lengthwise.report.sections.accuracy:Accuracy",
        "published": "lengthwise.report.sections.published:Published",
        "certificates": "lengthwise.certificates.section:Certificates",
        "perplexity": "lengthwise.report.sections.perplexity:Perplexity",
        "starts": "lengthwise.report.sections.starts:Starts",
        "remembrance": "lengthwise.report.sections.by_position:Remembrance",
        "state": "lengthwise.report.sections.by_position:State",
        "sweeps": "lengthwise.report.sections.sweeps:Sweeps",
        "perplexity_learning": "lengthwise.report.sections.by_position:LearningCurve",
        "by_axis": "lengthwise.report.sections.by_axis:ByAxis",
        "learning": "lengthwise.report.sections.training:Learning",
        "training": "lengthwise.report.sections.training:Training",
    },
    base="lengthwise.report.parts:Section",
)
"""The sections of a page, in order; other packages add theirs behind them with entry points `lengthwise.sections`."""


def write_table(out: Path, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], note: str) -> None:
    """Write a table beside the page, as ``NAME.csv`` and as ``NAME.tex``."""
    write_part(out / f"{name}.csv", as_csv(columns, rows))
    write_part(out / f"{name}.tex", as_latex(columns, rows, note))


def write_part(path: Path, contents: str | bytes) -> None:
    """Write a file of a report, whole or not at all; as it can be made again, nothing waits for the disk."""
    data = contents.encode() if isinstance(contents, str) else contents
    write_atomically(path, data, "part of the report", to_disk=False)


class Section(ABC):
    """What a page says of one thing that was measured; it reads the tables of `Results` and nothing else."""

    shown: ClassVar[pl.Expr] = pl.lit(value=False)
    """The rows that it draws; the section of any metric by any axis leaves them out."""

    def applies(self, results: Results) -> bool:
        """Return whether there is anything to draw; where that is not known, `draw` returns no pieces."""
        del results
        return True

    @abstractmethod
    def draw(self, results: Results) -> Drawn:
        """Return what it shows; called where it applies."""


@dataclass(frozen=True)
class Drawn:
    """What a section shows.

    Args:
        pieces: in the order of the page; the names of those of one section begin with `Results.prefix`.
        heading: stands above all of them; none where each has a heading of its own.
    """

    pieces: Sequence[Piece]
    heading: str = ""


@dataclass(frozen=True, kw_only=True)
class Piece(ABC):
    """A figure or a table.

    Args:
        name: of its files and elements; no other of the page has it.
        heading: its title.
        note: what stands in it.
        finding: what it shows in a sentence with numbers, which stands at the top of the page; empty where another
            piece says it.
    """

    template: ClassVar[str]

    name: str
    heading: str
    note: str
    finding: str = ""

    @property
    @abstractmethod
    def tall(self) -> int:
        """About how many pixels of a page it takes."""

    @property
    def panels(self) -> Mapping[str, dict[str, Any]]:
        """Title -> specification of what a script draws."""
        return {}

    @property
    def details(self) -> Sequence[Any]:
        """What is told of each cell, cell by cell."""
        return []

    def terminal(self) -> Printed | None:
        """Return what a terminal shows of it, without what stands below numbers; None where that is nothing."""
        return None

    @abstractmethod
    def write(self, out: Path) -> None:
        """Write it beside the page."""


class Picture(Piece):
    """A piece that files show as Vega-Lite draws it."""

    @abstractmethod
    def specification(self, theme: Theme) -> dict[str, Any]:
        """Return the Vega-Lite specification of what files show."""

    def framed(self, drawn: dict[str, Any], theme: Theme) -> dict[str, Any]:
        """Return a specification with the heading above it, in the colours of a theme."""
        title = {"text": self.heading, "subtitle": textwrap.wrap(self.note, _NOTE), "fontSize": 15, "offset": 18}
        config = theme.config() | {"background": theme.ground}
        return drawn | {"title": title, "config": config, "padding": _PADDING}

    def write(self, out: Path) -> None:
        """Write it as SVG on light and on dark ground, as PNG and as PDF."""
        blank = vl_convert.vegalite_to_svg(self.specification(BLANK))
        light = LIGHT.paint(blank)
        write_part(out / f"{self.name}.svg", light)
        write_part(out / f"{self.name}-dark.svg", DARK.paint(blank))
        write_part(out / f"{self.name}.png", vl_convert.svg_to_png(light, scale=_sharpness(light)))
        write_part(out / f"{self.name}.pdf", vl_convert.svg_to_pdf(light))


def _sharpness(drawing: str) -> float:
    """Return how many pixels a PNG has for each of a drawing: two, or fewer where there would be very many."""
    width, height = map(float, _SIZE.findall(drawing)[0])
    return min(2.0, (_PIXELS / (width * height)) ** 0.5)


@dataclass(frozen=True)
class Cell:
    """What one cell says.

    Args:
        text: the value.
        note: said smaller, below it.
        style: ``good``, ``open``, ``bad`` or ``far`` where it stands out.
    """

    text: str
    note: str = ""
    style: str = ""


class Spread(NamedTuple):
    """A number over seeds and its ends: those of an interval, or the lowest and the highest seed."""

    value: float
    low: float
    high: float
    sequences: int = 0
    """How many independent sequences it is of, where they were counted."""
    by_seed: Mapping[int, float] = {}
    """The number of each seed, where they were told apart."""


def spread_cell(spread: Spread | None, said: Callable[[float], str] = number, best: float | None = None) -> Cell:
    """Return what a cell says of a number over seeds, below it the span where it has one, and of how many sequences.

    Args:
        spread: None where nothing was measured.
        said: puts numbers in words.
        best: the number that stands out.
    """
    if spread is None:
        return Cell(NONE)
    same = spread.low == spread.value == spread.high
    span = "" if same else f"{said(spread.low)}{TO}{said(spread.high)}"
    count = f"of {spread.sequences:,}" if spread.sequences else ""
    return Cell(
        said(spread.value), " ".join(part for part in (span, count) if part), "good" if spread.value == best else ""
    )


@dataclass(frozen=True, kw_only=True)
class TableText(Piece):
    """A table, on the page and in a terminal.

    Args:
        columns: headings.
        rows: cells, as many a row as headings.
        footnote: how to read it.
        printed: what stands above it in a terminal; empty where it is for the page alone.
        page_only: headings for which a terminal has no room.
        file: that holds every row.
        data: what is written there, unless the page does so anyway.
        folds: heading of what is shown on demand -> name of a row -> what is to be said of it, line by line.
        link: of what the heading names.
        compact: whether its rows are brief.
    """

    template: ClassVar[str] = "table.html.j2"

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    footnote: str = ""
    printed: str = ""
    page_only: Sequence[str] = ()
    file: str = ROWS
    data: pl.DataFrame | None = None
    folds: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict[str, Mapping[str, Sequence[str]]])
    link: str = ""
    compact: bool = False

    @property
    def tall(self) -> int:
        """About how many pixels of a page it takes; many rows are folded by themselves."""
        return _FRAME + (_BRIEF if self.compact else _ROW) * len(self.rows)

    def write(self, out: Path) -> None:
        """Write it as CSV and as LaTeX, and the file that holds every row."""
        write_table(out, self.name, self.columns, self.rows, self.note)
        if self.data is not None:
            write_part(out / self.file, self.data.write_csv())

    def terminal(self) -> Printed | None:
        """Return the table for a terminal."""
        if not self.printed:
            return None
        table = Printed(title=self.printed, title_justify="left", box=None)
        shown = [index for index, name in enumerate(self.columns) if name not in self.page_only]
        for index in shown:
            table.add_column(self.columns[index], justify="right" if index else "left", no_wrap=not index)
        for row in self.rows:
            table.add_row(*(Text(row[index].text, TERMINAL.get(row[index].style, "")) for index in shown))
        return table


@dataclass(frozen=True, kw_only=True)
class Figure(Picture):
    """A figure of one or more panels.

    Args:
        caption: what one sees.
        drawings: its panels; their titles differ.
        width: of a panel in the files, in pixels.
    """

    template: ClassVar[str] = "figure.html.j2"

    caption: str
    drawings: Sequence[Drawing]
    width: int = COLUMN
    dashes: ClassVar[Sequence[Sequence[int]]] = DASHES

    @property
    def panels(self) -> dict[str, dict[str, Any]]:
        """Title -> specification of each panel."""
        return {panel.title: panel.embedded() for panel in self.drawings}

    @property
    def tall(self) -> int:
        """About how many pixels of a page it takes."""
        lines = -(-len(self.drawings) // _BESIDE)
        return _FRAME + lines * (_FRAME // 2 + max(panel.height for panel in self.drawings))

    @property
    def wide(self) -> bool:
        """Whether its panels are wider than where a figure has several beside each other."""
        return self.width > COLUMN

    @property
    def crowded(self) -> bool:
        """Whether a legend names its lines, instead of names beside them."""
        return any(panel.crowded for panel in self.drawings)

    def specification(self, theme: Theme) -> dict[str, Any]:
        """Return the specification of all panels."""
        return self.framed(self._drawn, theme)

    @cached_property
    def _drawn(self) -> dict[str, Any]:
        shared = {"legend": {"color": "shared", "strokeDash": "shared"}}
        return {
            **({"params": [PICKED], "resolve": shared} if self.crowded else {}),
            "concat": [
                panel.specification() | {"title": panel.title, "width": self.width, "height": panel.height}
                for panel in self.drawings
            ],
            "columns": min(_BESIDE, len(self.drawings)),
            "datasets": {name: rows for panel in self.drawings for name, rows in panel.data.items()},
        }


class FigureSection(Section):
    """A section of one figure, where the figure has panels."""

    name: ClassVar[str]
    words: ClassVar[Mapping[str, Mapping[str, Any]]] = WORDS
    """Name of a figure -> heading, note and caption; and `crowded_note`, the note where a legend names the lines."""
    alone: ClassVar[int] = COLUMN
    """Width of a panel that is the only one, in the files, in pixels."""

    @abstractmethod
    def panels(self, results: Results) -> Sequence[Drawing]:
        """Return the panels, none where too little was measured for one."""

    def said(self, results: Results) -> Mapping[str, str]:
        """Return what is said of it beside `words`, such as a caption with numbers."""
        del results
        return {}

    def draw(self, results: Results) -> Drawn:
        """Return the figure."""
        panels = self.panels(results)
        return Drawn([self.figure(results, panels, **self.said(results))] if panels else [])

    def figure(self, results: Results, panels: Sequence[Drawing], name: str = "", **other: str) -> Figure:
        """Return the figure of some panels, which has the words of its name and others."""
        name = name or self.name
        said = dict(self.words[name]) | other
        crowded = said.pop("crowded_note", said["note"])
        said["note"] = crowded if any(panel.crowded for panel in panels) else said["note"]
        width = self.alone if len(panels) == 1 else COLUMN
        return Figure(name=results.prefix + name, **said, drawings=panels, width=width)
