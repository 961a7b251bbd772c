"""Words: numbers as tables and sentences have them, and what ships as data beside the code; light, without charts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lengthwise.yaml_loader import packaged

if TYPE_CHECKING:
    from jinja2 import Template

NONE = "\N{EN DASH}"
"""What a cell says where there is nothing to say."""
TO = "\N{EN DASH}"
"""Between the ends of a span."""
TERMINAL = {"good": "green", "bad": "red", "open": "yellow"}
"""Style of a cell -> how a terminal shows what stands out."""
_EXACT = 1.0


def shipped(name: str) -> Any:
    """Return what is in a YAML file beside this one."""
    return packaged("lengthwise.report", name)


def template(name: str) -> Template:
    """Return a template of this package; those of pages escape what they are given."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader, html = PackageLoader("lengthwise.report"), name.endswith(".html.j2")
    return Environment(loader=loader, undefined=StrictUndefined, autoescape=html, trim_blocks=True).get_template(name)


def number(value: float | None) -> str:
    """Return a number with about four significant digits for a table."""
    if value is None:
        return NONE
    size = abs(value)
    if 0.01 <= size < 1e7:
        whole = len(str(int(size))) if size >= 1 else 1
        return f"{value:,.{max(0, 4 - whole)}f}"
    return "0" if value == 0 else f"{value:.3g}"


def percent(value: float, digits: int = 2) -> str:
    """Return an accuracy in percent, rounded down, so that 100.0 means that there was no error at all.

    Args:
        value: a fraction.
        digits: digits after the point where it is not exactly 1.
    """
    if value >= _EXACT:
        return "100.0"
    # Fractions such as 0.57 are stored a little below themselves and must not lose a digit to that.
    scaled = math.floor(round(value * 100 * 10**digits, 6))
    most = 100 * 10**digits - 1
    return f"{min(scaled, most) / 10**digits:.{digits}f}"
