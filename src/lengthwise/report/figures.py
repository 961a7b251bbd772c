"""A figure of some panels, as files and for the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vl_convert

from lengthwise.report import charts
from lengthwise.report.panels import DASHES, Drawing
from lengthwise.report.theme import DARK, LIGHT, Theme


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
    panels: Sequence[Drawing]
    width: int = charts.COLUMN

    @property
    def wide(self) -> bool:
        """Whether its panels are wider than where a figure has several beside each other."""
        return self.width > charts.COLUMN

    @property
    def legend(self) -> list[tuple[str, int, str]]:
        """Name, number of the colour, and dashes of each line of crowded panels; none where names stand beside them."""
        if not any(panel.crowded for panel in self.panels):
            return []
        return [
            (name, number % len(LIGHT.series), " ".join(map(str, DASHES[number % len(DASHES)])))
            for number, name in enumerate(self.panels[0].kinds)
        ]

    def write(self, out: Path) -> None:
        """Write it as SVG on light and on dark ground, as PNG and as PDF."""

        def specify(theme: Theme) -> dict[str, Any]:
            return charts.overview(self.panels, self.heading, self.note, theme, self.width)

        write_files(self.name, specify, out)


def write_files(name: str, specify: Callable[[Theme], dict[str, Any]], out: Path) -> None:
    """Write a drawing as SVG on light and on dark ground, as PNG and as PDF.

    Args:
        name: of the files.
        specify: gives the Vega-Lite specification in the colours of a theme.
        out: an existing folder.
    """
    light, dark = (vl_convert.vegalite_to_svg(specify(theme)) for theme in (LIGHT, DARK))
    (out / f"{name}.svg").write_text(light, encoding="utf-8")
    (out / f"{name}-dark.svg").write_text(dark, encoding="utf-8")
    (out / f"{name}.png").write_bytes(vl_convert.svg_to_png(light, scale=2))
    (out / f"{name}.pdf").write_bytes(vl_convert.svg_to_pdf(light))
