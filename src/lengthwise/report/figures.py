"""A figure of some panels, as files and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import vl_convert

from lengthwise.report import charts
from lengthwise.report.panels import Panel
from lengthwise.report.theme import DARK, LIGHT


@dataclass(frozen=True)
class Figure:
    """A figure of one or more panels.

    Args:
        name: of its files.
        heading: its title.
        note: what the marks mean.
        caption: what one sees.
        panels: their titles differ.
        width: of a panel in the files, in pixels.
    """

    name: str
    heading: str
    note: str
    caption: str
    panels: Sequence[Panel]
    width: int = charts.COLUMN

    @property
    def wide(self) -> bool:
        """Whether its panels are wider than where a figure has several beside each other."""
        return self.width > charts.COLUMN

    def write(self, out: Path) -> None:
        """Write it as SVG on light and on dark ground, and as PNG."""
        for suffix, theme in (("", LIGHT), ("-dark", DARK)):
            specification = charts.overview(self.panels, self.heading, self.note, theme, self.width)
            svg = vl_convert.vegalite_to_svg(specification)
            (out / f"{self.name}{suffix}.svg").write_text(svg, encoding="utf-8")
            if theme is LIGHT:
                (out / f"{self.name}.png").write_bytes(vl_convert.svg_to_png(svg, scale=2))
