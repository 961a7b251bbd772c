"""Colours and type of the figures, on light and on dark ground; they stand in ``theme.yaml``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lengthwise.report.words import shipped

INK = "ink"
"""The style of text that is read like that of the page."""
_SAID = shipped("theme.yaml")
FONT: str = _SAID["font"]


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
    series: list[str]
    scale: list[tuple[str, str]]

    def config(self) -> dict[str, Any]:
        """Return the Vega-Lite config that gives a chart these colours."""
        colours = {f"${name}": value for name, value in asdict(self).items()}

        def filled(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: filled(inner) for name, inner in value.items()}
            return colours.get(str(value), value)

        return {"font": FONT} | filled(_SAID["config"])


LIGHT, DARK = (Theme(**_SAID["themes"][name]) for name in ("light", "dark"))
