"""Colours and type of the figures, on light and on dark ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

INK = "ink"
"""The style of text that is read like that of the page."""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Theme:
    """A set of colours.

    Args:
        ground: behind everything.
        ink: text.
        muted: axes, guides and notes.
        line: grid lines.
        series: told apart also by readers who do not see all hues; the first is the accent.
        scale: ground and ink of a cell, from the lowest accuracy to the highest; the grounds go evenly from one end of
            lightness to the other, so that the order is seen without hues, and each ink has a contrast of 4.5 to 1.
    """

    ground: str
    ink: str
    muted: str
    line: str
    series: tuple[str, ...]
    scale: tuple[tuple[str, str], ...]

    def config(self) -> dict[str, Any]:
        """Return the Vega-Lite config that gives a chart these colours."""
        quiet = {"labelColor": self.muted, "titleColor": self.muted, "domainColor": self.line, "tickColor": self.line}
        return {
            "background": None,
            "font": FONT,
            "view": {"stroke": None},
            "axis": quiet
            | {
                "gridColor": self.line,
                "labelFontSize": 11,
                "titleFontSize": 11,
                "titleFontWeight": "normal",
                "labelPadding": 4,
                "domain": False,
                "tickSize": 4,
            },
            "title": {
                "color": self.ink,
                "subtitleColor": self.muted,
                "anchor": "start",
                "fontSize": 13,
                "fontWeight": 600,
                "subtitleFontSize": 11,
                "offset": 10,
                "subtitlePadding": 6,
            },
            "legend": {"labelColor": self.ink, "labelFontSize": 11},
            "range": {"category": list(self.series)},
            "style": {
                "guide": {"color": self.muted, "stroke": self.muted, "strokeWidth": 1},
                "note": {"fill": self.muted, "color": self.muted, "fontSize": 11},
                INK: {"fill": self.ink, "color": self.ink},
                "halo": {"fill": self.ground, "stroke": self.ground, "strokeWidth": 3, "strokeJoin": "round"},
                "head": {"fill": self.muted, "color": self.muted},
            },
            "concat": {"spacing": 28},
        }


_INK, _PAPER = "#10161c", "#ffffff"

# After Okabe and Ito 2008; darkened or lightened where the contrast with the ground was below 3 to 1.
LIGHT = Theme(
    ground="#ffffff",
    ink="#1c2126",
    muted="#5c6670",
    line="#e3e6e9",
    series=("#0068a8", "#c25100", "#00805c", "#a8477f", "#6a5acd", "#8a6a00", "#3d4a57", "#c0304a"),
    scale=(
        *((ground, _INK) for ground in ("#fdf7d8", "#eef3b4", "#cbe8b2", "#86d0b8", "#47b8c4", "#3a93c4")),
        *((ground, _PAPER) for ground in ("#225ea8", "#10296f")),
    ),
)
DARK = Theme(
    ground="#14181c",
    ink="#e8eaed",
    muted="#9aa4ae",
    line="#2b3238",
    series=("#5ab4f0", "#f0994d", "#35c79b", "#e59cc8", "#a99cf5", "#d9b93b", "#b8c2cc", "#ff8090"),
    scale=(
        *((ground, _PAPER) for ground in ("#261f33", "#33305c", "#2f4f7f", "#23686f", "#1f7a66")),
        *((ground, _INK) for ground in ("#57b96a", "#b5d93c", "#fde725")),
    ),
)
