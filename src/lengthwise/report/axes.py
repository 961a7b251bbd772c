"""Axes of the figures: their ends, their ticks, and what stands at these.

T is the training context in symbols.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import altair as alt

_Number = TypeVar("_Number", int, float)
_SHARES = (0, 0.25, 0.5, 0.75, 1)
_MOST_TICKS = 6
_MANTISSAS = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9))
_COMPACT = "datum.value >= 1e4 ? format(datum.value, '.3~s') : format(datum.value, ',.4~g')"
_WIDE_RATIO = 20
"""Of the highest value to the lowest, from which on an axis is logarithmic."""


@dataclass(frozen=True)
class Axis:
    """One axis of a panel.

    Args:
        heading: what it shows, with its unit; None where the figure's title says so.
        extent: its ends.
        ticks: where labels stand; None leaves it to Vega.
        log: whether it is logarithmic.
        labels: Vega expression of the label of ``datum.value``.
    """

    heading: str | None
    extent: tuple[float, float]
    ticks: Sequence[float] | None
    log: bool
    labels: str = _COMPACT

    def x(self, field: str) -> alt.X:
        """Return the encoding of a field along this axis, left to right."""
        return alt.X(f"{field}:Q", **self._drawn)

    def y(self, field: str) -> alt.Y:
        """Return the encoding of a field along this axis, from below."""
        return alt.Y(f"{field}:Q", **self._drawn)

    def fraction(self, value: float) -> float:
        """Return where a value lies between the ends, from 0 to 1."""
        low, high, place = (math.log(number) if self.log else number for number in (*self.extent, value))
        return (place - low) / (high - low)

    def value(self, fraction: float) -> float:
        """Return the value at a fraction of the way between the ends."""
        low, high = self.extent
        return low * (high / low) ** fraction if self.log else low + fraction * (high - low)

    @property
    def _drawn(self) -> dict[str, Any]:
        ticks = alt.Undefined if self.ticks is None else list(self.ticks)
        scale = alt.Scale(type="log" if self.log else "linear", domain=list(self.extent), nice=False)
        return {"title": self.heading, "scale": scale, "axis": alt.Axis(values=ticks, labelExpr=self.labels)}


ACCURACIES = Axis(None, (0, 1.03), _SHARES, log=False, labels="format(datum.value, '.0%')")
SHARES = Axis(None, (0, 1), _SHARES, log=False)
"""The y axis of what lies between 0 and 1."""


def count_axis(heading: str, counts: Iterable[int]) -> Axis:
    """Return a logarithmic x axis around counts, with ticks at powers of ten, or finer ones where those are few."""
    low, high = _ends(counts)
    powers = [10**power for power in range(len(str(high)))]
    between = [factor * power for power in powers for factor in (1, 2, 5)]
    fine, coarse = ([tick for tick in ticks if low <= tick <= high] for ticks in (between, powers))
    ticks = coarse if len(coarse) > 2 else fine
    return Axis(heading, (low, high), ticks, log=True, labels="format(datum.value, '~s')")


def position_axis(context: int, positions: Iterable[int]) -> Axis:
    """Return a logarithmic x axis around positions, with ticks at powers of two times T."""
    low, high = _ends(positions)
    stride = max(1, math.ceil(math.log2(high / low) / _MOST_TICKS))
    ticks = [context * 2.0 ** (stride * power) for power in range(-40, 41)]
    ticks = [tick for tick in ticks if low <= tick <= high and tick == int(tick)]
    return Axis("position in symbols", (low, high), ticks, log=True, labels=_in_contexts(context))


def dropped_axis(context: int, read: int) -> Axis:
    """Return a linear x axis of symbols dropped, with ticks at multiples of T.

    Args:
        context: T.
        read: the symbols that were read.
    """
    stride = max(1, math.ceil(read / context / _MOST_TICKS))
    ticks = range(0, read + 1, stride * context)
    return Axis("symbols dropped", (0, read), ticks, log=False, labels=_in_contexts(context))


def setting_axis(heading: str, values: Sequence[float]) -> Axis:
    """Return a logarithmic x axis with a tick at each value of a setting.

    Args:
        heading: the setting, with its unit.
        values: positive, two or more different ones.
    """
    ticks = sorted(set(values))
    return Axis(heading, (ticks[0] / 1.08, ticks[-1] * 1.08), ticks, log=True)


def value_axis(values: Iterable[float]) -> Axis:
    """Return a logarithmic y axis around some values; those that are not positive and finite are left out."""
    low, high = _ends(value for value in values if 0 < value < math.inf)
    margin = max(1.02, (high / low) ** 0.06)
    low, high = low / margin, high * margin
    return Axis(None, (low, high), log_ticks(low, high), log=True)


def plain_axis(heading: str | None, values: Sequence[float]) -> Axis:
    """Return an axis around numbers of any kind, logarithmic where they are positive and far apart."""
    low, high = _ends([value for value in values if math.isfinite(value)] or [0.0])
    if low > 0 and high / low >= _WIDE_RATIO:
        return Axis(heading, (low, high), log_ticks(low, high), log=True)
    margin = 0.04 * (high - low) or 0.5
    return Axis(heading, (low - margin, high + margin), None, log=False)


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


def _ends(values: Iterable[_Number]) -> tuple[_Number, _Number]:
    found = list(values)
    return min(found), max(found)


def _in_contexts(context: int) -> str:
    """Return a Vega expression of the two lines of a label: the symbols, and the same in multiples of T."""
    multiple = f"datum.value == {context} ? 'T' : datum.value > {context} ? format(datum.value / {context}, ',.4~g')"
    below = f"datum.value > 0 ? 'T/' + format({context} / datum.value, ',.4~g') : ''"
    return f"[format(datum.value, ','), {multiple} + ' T' : {below}]"
