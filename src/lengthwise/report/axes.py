"""Axes of the figures: their ends, their ticks, and what stands at these.

T is the training context in symbols.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

_SHARES = (0, 0.25, 0.5, 0.75, 1)
_MOST_TICKS = 6
_MANTISSAS = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9))


@dataclass(frozen=True)
class Axis:
    """One axis of a panel.

    Args:
        heading: what it shows, with its unit; None where the figure's title says so.
        extent: its ends.
        ticks: where labels stand.
        log: whether it is logarithmic.
        number: how labels are formatted where they have no expression.
        labels: Vega expression of the label of ``datum.value``.
    """

    heading: str | None
    extent: tuple[float, float]
    ticks: Sequence[float]
    log: bool
    number: str = "~g"
    labels: str | None = None

    def x(self, field: str) -> alt.X:
        """Return the encoding of a field along this axis, left to right."""
        axis = self._axis() | {"grid": False, "labelFlush": False}
        return alt.X(f"{field}:Q", title=self.heading, scale=self._scale(), axis=axis)

    def y(self, field: str) -> alt.Y:
        """Return the encoding of a field along this axis, from below."""
        axis = self._axis() | {"ticks": False}
        return alt.Y(f"{field}:Q", title=self.heading, scale=self._scale(), axis=axis)

    def fraction(self, value: float) -> float:
        """Return where a value lies between the ends, from 0 to 1."""
        low, high, place = (math.log(number) if self.log else number for number in (*self.extent, value))
        return (place - low) / (high - low)

    def value(self, fraction: float) -> float:
        """Return the value at a fraction of the way between the ends."""
        low, high = self.extent
        return low * (high / low) ** fraction if self.log else low + fraction * (high - low)

    def _axis(self) -> dict[str, Any]:
        written = {"format": self.number} if self.labels is None else {"labelExpr": self.labels}
        return {"values": list(self.ticks), **written}

    def _scale(self) -> alt.Scale:
        return alt.Scale(type="log" if self.log else "linear", domain=list(self.extent), nice=False)


def accuracy_axis() -> Axis:
    """Return the y axis of accuracies."""
    return Axis(None, (0, 1.03), _SHARES, log=False, number=".0%")


def share_axis() -> Axis:
    """Return the y axis of what lies between 0 and 1."""
    return Axis(None, (0, 1), _SHARES, log=False, number=".2~f")


def count_axis(heading: str, extent: tuple[int, int]) -> Axis:
    """Return a logarithmic x axis of counts, with ticks at powers of ten, or finer ones where those are few."""
    powers = [10**power for power in range(len(str(extent[1])))]
    between = [factor * power for power in powers for factor in (1, 2, 5)]
    fine, coarse = ([tick for tick in ticks if extent[0] <= tick <= extent[1]] for ticks in (between, powers))
    return Axis(heading, extent, coarse if len(coarse) > 2 else fine, log=True, labels="format(datum.value, '~s')")


def position_axis(context: int, extent: tuple[int, int]) -> Axis:
    """Return a logarithmic x axis of positions, with ticks at powers of two times T.

    Args:
        context: T.
        extent: first and last position.
    """
    octaves = math.log2(extent[1] / extent[0])
    stride = max(1, math.ceil(octaves / _MOST_TICKS))
    multiples = [2.0 ** (stride * power) for power in range(-40, 41)]
    ticks = [context * multiple for multiple in multiples if extent[0] <= context * multiple <= extent[1]]
    labels = {tick: [f"{tick:,.0f}", _in_contexts(tick / context)] for tick in ticks if tick == int(tick)}
    return Axis("position in symbols", extent, list(labels), log=True, labels=_lookup(labels))


def dropped_axis(context: int, read: int) -> Axis:
    """Return a linear x axis of symbols dropped, with ticks at multiples of T.

    Args:
        context: T.
        read: the symbols that were read.
    """
    stride = max(1, math.ceil(read / context / _MOST_TICKS))
    ticks = range(0, read + 1, stride * context)
    labels = {float(tick): [f"{tick:,}", _in_contexts(tick / context) if tick else ""] for tick in ticks}
    return Axis("symbols dropped", (0, read), list(labels), log=False, labels=_lookup(labels))


def setting_axis(heading: str, values: Sequence[float]) -> Axis:
    """Return a logarithmic x axis with a tick at each value of a setting.

    Args:
        heading: the setting, with its unit.
        values: positive, two or more different ones.
    """
    ticks = sorted(set(values))
    labels = {tick: [compact(tick)] for tick in ticks}
    return Axis(heading, (ticks[0] / 1.08, ticks[-1] * 1.08), ticks, log=True, labels=_lookup(labels))


def value_axis(values: Sequence[float], include: Sequence[float] = ()) -> Axis:
    """Return a logarithmic y axis around some values.

    Args:
        values: positive.
        include: further values that must lie on it.
    """
    finite = [value for value in (*values, *include) if 0 < value < math.inf]
    low, high = min(finite), max(finite)
    margin = max(1.02, (high / low) ** 0.06)
    low, high = low / margin, high * margin
    ticks = log_ticks(low, high)
    labels = _lookup({tick: [compact(tick)] for tick in ticks})
    return Axis(None, (low, high), ticks, log=True, labels=labels)


def log_ticks(low: float, high: float) -> list[float]:
    """Return a handful of round numbers between two positive ones, about evenly spaced on a logarithmic axis."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    if high / low >= 10**_MOST_TICKS:
        stride = math.ceil(math.log10(high / low) / _MOST_TICKS)
        return [10.0**power for power in powers if power % stride == 0 and low <= 10.0**power <= high]
    for mantissas in _MANTISSAS:
        inside = [float(f"{mantissa}e{power}") for power in powers for mantissa in mantissas]
        inside = [tick for tick in inside if low <= tick <= high]
        if len(inside) >= 4:
            return inside
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= max(factor for factor in (1, 2, 5) if factor * step <= (high - low) / 3)
    return [float(f"{step * count:.12g}") for count in range(math.ceil(low / step), math.floor(high / step) + 1)]


def compact(value: float) -> str:
    """Return a number as briefly as it can be said: thousands and millions by their sign."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if sign == 'k' else size):.3g}{sign}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _in_contexts(multiple: float) -> str:
    if multiple == 1:
        return "T"
    return f"{multiple:,.4g} T" if multiple > 1 else f"T/{1 / multiple:,.4g}"


def _lookup(labels: Mapping[float, Sequence[str]]) -> str:
    """Return a Vega expression that looks the lines of a label up."""
    lines = {f"{value:.12g}": list(label) for value, label in labels.items()}
    return f"({json.dumps(lines)})[format(datum.value, '.12~r')]"
