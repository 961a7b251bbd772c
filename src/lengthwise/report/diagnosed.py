"""One language model: the numbers that tables name and the verdict, from its rows by position.

T is the training context in symbols; position 1 is the first prediction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property
from operator import attrgetter

from lengthwise.errors import InputError
from lengthwise.evaluation.forecast import forecast
from lengthwise.evaluation.losses import perplexity
from lengthwise.evaluation.verdict import NO_VERDICT, Gain, Judgement, OctaveRatio, judge
from lengthwise.report.words import number
from lengthwise.runs.rows import Head, Row

MULTIPLES = (4, 16, 64)
"""The multiples of T that tables name, where they were reached."""
VERDICT_STYLES: dict[str, str] = {
    "holds": "good",
    "undecided": "open",
    "drifts": "open",
    "fails": "bad",
    "no verdict": "bad",
}
"""Verdict -> the style of its cell, from the best to the worst."""


class Diagnosed:
    """The numbers of one run.

    Args:
        head: what its rows share.
        rows: its rows; those of single entries of the state are passed over.

    Raises:
        InputError: there are no rows by position, or it is not known what it was trained to.
    """

    def __init__(self, head: Head, rows: Iterable[Row]) -> None:
        self._by_metric: dict[str, list[Row]] = {}
        for row in rows:
            if "end" in row.axes and "part" not in row.axes:
                self._by_metric.setdefault(row.metric, []).append(row)
        if not self._by_metric or head.training_length is None:
            raise InputError("there are no rows of a language model; 'lengthwise evaluate RUN' makes them")
        self.head, self.context = head, head.training_length

    def loss(self, start: int, end: int) -> float | None:
        """Return the mean loss over the positions start + 1 to end in nats a symbol; None where none were read.

        Bins that the span cuts count with the part of their width that lies in it.
        """
        bins = [(*_span(row), row.value) for row in self._of("loss")]
        parts = [(min(last, end) - max(first, start), value) for first, last, value in bins]
        width = sum(part for part, _ in parts if part > 0)
        return sum(part * value for part, value in parts if part > 0) / width if width else None

    @property
    def inside(self) -> float | None:
        """Mean loss over the positions 1 to T, in nats a symbol."""
        return self.loss(0, self.context)

    @property
    def at_context(self) -> float | None:
        """Mean loss in the octave that ends at T, in nats a symbol."""
        return self.loss(self.context // 2, self.context)

    @cached_property
    def ratios(self) -> list[OctaveRatio]:
        """Perplexity in each octave beyond T over that in the octave that ends at T, in order of position."""
        # JSON has no infinity: an interval without an upper end is written without it.
        found = [(*_span(row), row.value, row.low or 0.0, row.high or math.inf) for row in self._of("ratio")]
        return sorted((OctaveRatio(start + 1, end, *ratio) for start, end, *ratio in found), key=attrgetter("end"))

    def ratio(self, multiple: int) -> OctaveRatio | None:
        """Return the ratio of the octave that ends at a multiple of T; None where no octave ends there."""
        return next((ratio for ratio in self.ratios if ratio.end == multiple * self.context), None)

    @cached_property
    def verdict(self) -> tuple[Judgement, str]:
        """The verdict, and the sentence with the numbers that decided.

        Raises:
            InputError: no ratio was measured.
        """
        if not self.ratios:
            raise InputError(
                "a verdict needs rows of the metric 'ratio'; 'lengthwise evaluate RUN --again' measures them"
            )
        loss, guessing = self.at_context, self.head.guessing
        gain = None if loss is None or guessing is None else Gain(loss, guessing)
        name, reason = judge(self.ratios, (self.context // 2 + 1, self.context), self._of("ratio")[0].samples, gain)
        beyond = None if name in ("fails", NO_VERDICT) else forecast(self.ratios, self.context)
        return name, reason if beyond is None else f"{reason}; {beyond.sentence}"

    @property
    def absolute(self) -> str:
        """How well symbols are predicted within T, in words: the perplexity, and what it is worth on this text."""
        if self.inside is None:
            return ""
        said, guessing = f"perplexity {as_perplexity(self.inside)} within T", self.head.guessing
        worth = [f"by frequency alone {as_perplexity(guessing)}"] if guessing is not None else []
        if symbol_bytes := self.head.symbol_bytes:
            bits = [f"{nats / math.log(2) / symbol_bytes:.2f}" for nats in (self.inside, guessing) if nats is not None]
            worth.append(f"{' against '.join(bits)} bits a byte")
        return f"{said} ({', '.join(worth)})" if worth else said

    @property
    def remembrance(self) -> Row | None:
        """Effective remembrance when about half of what was read is dropped; None where it was not measured."""
        return min(self._of("remembrance"), key=lambda row: abs(2 * _span(row)[0] - _span(row)[1]), default=None)

    @property
    def deviations(self) -> tuple[Row, Row] | None:
        """Standard deviation of the state after about T symbols and after all; None where it was not followed."""
        rows = sorted(self._of("state_std"), key=lambda row: _span(row)[1])
        return (min(rows, key=lambda row: abs(_span(row)[1] - self.context)), rows[-1]) if rows else None

    def _of(self, metric: str) -> list[Row]:
        return self._by_metric.get(metric, [])


def _span(row: Row) -> tuple[int, int]:
    """Return between which positions a row was measured."""
    return int(row.axes["start"]), int(row.axes["end"])


def worst(names: Iterable[Judgement]) -> Judgement:
    """Return the worst of some verdicts: none, then fails, then drifts, then undecided, then holds."""
    return max(names, key=list(VERDICT_STYLES).index)


def as_perplexity(nats: float | None) -> str:
    """Return a loss as a perplexity for a table."""
    return number(None if nats is None else perplexity(nats))
