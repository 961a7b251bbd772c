"""Reports: one page that needs nothing but itself, and the same figures and tables as files beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from operator import call
from pathlib import Path
from typing import Any

import polars as pl
import vl_convert
from altair.utils.schemapi import debug_mode
from rich.table import Table as Printed

from lengthwise.files import cached, make_folder
from lengthwise.report.parts import ROWS, SECTIONS, Drawn, Piece, Section, write_part
from lengthwise.report.provenance import describe_provenance
from lengthwise.report.results import BY_POSITION, Results, axes_of, comparable, title
from lengthwise.report.theme import DARK, FONT, LIGHT
from lengthwise.report.words import template
from lengthwise.runs.rows import Row
from lengthwise.runs.table import Table, beside

_COLUMNS = ["recipe", "digest", "seed", "training_length", *(name for name in Row.model_fields if name != "axes")]


class Report:
    """Everything that the sections say of some runs.

    Args:
        table: the runs, as `read_table` reads them.
        others: runs on the same tasks to set them beside; those of the table then stand first.
    """

    def __init__(self, table: Table, others: Table | None = None) -> None:
        first = [] if others is None else [run.key for run in table.runs]
        self.table = table if others is None else beside(table, others)
        sections: list[Section] = [section for _, section in SECTIONS.members(call)]
        # Tests hold the charts against the schema; doing so here takes longer than drawing them.
        with debug_mode(arg=False):
            self.parts: list[tuple[Results, list[Drawn]]] = [
                (part, [drawn for one in sections if one.applies(part) and (drawn := one.draw(part)).pieces])
                for part in comparable(self.table, first)
            ]

    @property
    def pieces(self) -> list[Piece]:
        """The figures and tables, in the order of the page."""
        return [piece for _, drawn in self.parts for one in drawn for piece in one.pieces]

    def printed(self) -> list[Printed]:
        """Return the tables that a terminal shows."""
        return [table for piece in self.pieces if (table := piece.terminal())]

    @property
    def findings(self) -> list[str]:
        """What the page says first: a sentence with numbers for each thing that was measured."""
        return [piece.finding for piece in self.pieces if piece.finding]

    def write(self, out: Path, told: Callable[[str], object] = str) -> Path:
        """Write the page and the files beside it.

        Args:
            out: folder of the page; made where it is missing. Files of an earlier report in it are replaced.
            told: is called with the name of each piece, and of the page, before it is drawn.

        Returns:
            The page, ``out/index.html``. Beside it lie each figure and each grid as SVG (also on dark ground), PNG and
            PDF, each table and each grid as CSV and as LaTeX, ``rows.csv`` with every row, files of sections such as
            ``certificates.csv``, and ``provenance.json``.

        Raises:
            StoppedError: the folder cannot be made or a file in it not written; the files before it are whole.
        """
        make_folder(out, "the report")
        with debug_mode(arg=False):
            for piece in self.pieces:
                told(piece.name)
                piece.write(out)
            told("index.html")
            page = self._render(provenance := describe_provenance(self.table.runs))
        write_part(out / ROWS, self.table.rows.select(*_COLUMNS, *axes_of(self.table.rows)).write_csv())
        write_part(out / "provenance.json", json.dumps(provenance, indent=2) + "\n")
        write_part(out / "index.html", page)
        return out / "index.html"

    def _render(self, provenance: dict[str, list[str]]) -> str:
        # A page has one legend for all panels of a figure, in its own words.
        configs = {name: theme.config() | {"legend": {"disable": True}} for name, theme in _THEMES.items()}
        panels = {piece.name: drawn for piece in self.pieces if (drawn := piece.panels)}
        details = {piece.name: told for piece in self.pieces if (told := piece.details)}
        return template("page.html.j2").render(
            title=_titles([part for part, _ in self.parts]),
            heads=[run.head for run in self.table.runs],
            parts=self.parts,
            unfolded=self._unfolded(),
            provenance=provenance,
            font=FONT,
            **_THEMES,
            panels=_script(panels),
            details=_script(details),
            themes=json.dumps(configs),
            vega=_vega(),
        )

    def _unfolded(self) -> set[str]:
        """Return the names of the pieces that are open at first: from the top, as many as fit on a few screens."""
        left, found = _OPEN, set[str]()
        for piece in self.pieces:
            left -= piece.tall
            if found and left < 0:
                break
            found.add(piece.name)
        return found


_EXPORTED = "window.vegaEmbed = vegaEmbed;"
_THEMES = {"light": LIGHT, "dark": DARK}
_OPEN = 1800
"""Pixels of the pieces that a page shows at first: with its head they are three screens."""


def _titles(parts: Sequence[Results]) -> str:
    """Say to what length runs were trained and how far they were measured, or else on which tasks."""
    rows = pl.concat([part.accuracy.select("training_length", "length") for part in parts])
    read = pl.concat([part.rows.filter(BY_POSITION).select("training_length", "end") for part in parts])
    said = [f"Trained to length {_lengths(rows)}, tested to {rows['length'].max():,}"] if len(rows) else []
    said += [f"Trained on windows of {_lengths(read)}, read to {read['end'].max():,}"] if len(read) else []
    tasks = dict.fromkeys(run.head.trained_on for part in parts for run in part.runs)
    return "; ".join(said) or ", ".join(map(title, tasks))


def _lengths(rows: pl.DataFrame) -> str:
    return " and ".join(f"{length:,}" for length in rows["training_length"].drop_nulls().unique().sort())


def _script(value: Any) -> str:
    """Return JSON that can stand inside a script element: a name may hold what ends or nests one."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


@cache
def _vega() -> str:
    """Return the drawing library as one script that can stand inside a script element; it takes long to bundle."""
    name = f"vega-embed-{version('vl-convert-python')}.js"
    return cached(name, lambda: vl_convert.javascript_bundle(_EXPORTED).replace("</script", "<\\/script"))
