"""Colours and type of the figures, on light and on dark ground; they stand in ``theme.yaml``."""

from __future__ import annotations

import re
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
        colours: dict[str, Any] = {f"${name}": value for name, value in asdict(self).items()}
        colours["$grounds"], colours["$inks"] = map(list, zip(*self.scale, strict=True))

        def filled(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: filled(inner) for name, inner in value.items()}
            return colours.get(str(value), value)

        return {"font": FONT} | filled(_SAID["config"])

    def colours(self) -> list[str]:
        """Return every colour, always in the same order."""
        return [
            self.ground,
            self.ink,
            self.muted,
            self.line,
            *self.series,
            *(one for pair in self.scale for one in pair),
        ]

    def paint(self, drawing: str) -> str:
        """Return a drawing that was made in the colours of `BLANK` in these."""
        named = dict(zip(BLANK.colours(), self.colours(), strict=True))
        return _BLANKS.sub(lambda found: named[found[0]], drawing)


def _blank(like: Theme) -> Theme:
    names = iter(f"#b1a{number:03x}" for number in range(len(like.colours())))
    ground, ink, muted, line = (next(names) for _ in range(4))
    series, scale = [next(names) for _ in like.series], [(next(names), next(names)) for _ in like.scale]
    return Theme(ground, ink, muted, line, series, scale)


LIGHT, DARK = (Theme(**_SAID["themes"][name]) for name in ("light", "dark"))
BLANK = _blank(LIGHT)
"""A colour of its own for each colour of a theme, so that what is drawn once can be painted in any."""
_BLANKS = re.compile("|".join(BLANK.colours()))
