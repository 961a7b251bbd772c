"""One diagnosed run on text: the numbers that tables name, from its rows.

T is the training context in symbols; position 1 is the first prediction.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from lengthwise.diagnostics.verdict import Judgement, OctaveRatio
from lengthwise.errors import InputError
from lengthwise.evaluation.losses import perplexity
from lengthwise.report.verdicts import ratios, verdict_of
from lengthwise.runs.folder import DiagnosisRow

MULTIPLES = (4, 16, 64)
"""The multiples of T that tables name, where they were reached."""


class Diagnosed:
    """The numbers of one run.

    Args:
        rows: its rows; those of single entries of the state are passed over.

    Raises:
        InputError: there are no rows.
    """

    def __init__(self, rows: Iterable[DiagnosisRow]) -> None:
        whole = [row for row in rows if not row.part]
        if not whole:
            raise InputError("there are no rows of a run on text; 'lengthwise evaluate RUN' makes them")
        self._by_metric: dict[str, list[DiagnosisRow]] = {}
        for row in whole:
            self._by_metric.setdefault(row.metric, []).append(row)
        self.context = whole[0].context
        self.first = whole[0]
        """A row, for what all rows say of their run."""

    def loss(self, start: int, end: int) -> float | None:
        """Return the mean loss over the positions start + 1 to end in nats a symbol; None where none were read.

        Bins that the span cuts count with the part of their width that lies in it.
        """
        parts = [
            (min(row.end, end) - max(row.start, start), row.value)
            for row in self._of("loss")
            if row.start < end and row.end > start
        ]
        width = sum(part for part, _ in parts)
        return sum(part * value for part, value in parts) / width if width else None

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
        """Perplexity in each octave beyond T over that in the octave that ends at T."""
        return ratios(self._of("ratio"))

    def ratio(self, multiple: int) -> OctaveRatio | None:
        """Return the ratio of the octave that ends at a multiple of T; None where no octave ends there."""
        return next((ratio for ratio in self.ratios if ratio.end == multiple * self.context), None)

    @property
    def verdict(self) -> tuple[Judgement, str]:
        """The verdict and its reason."""
        return verdict_of(self._of("ratio"))

    @property
    def remembrance(self) -> DiagnosisRow | None:
        """Effective remembrance when about half of what was read is dropped; None where it was not measured."""
        rows = self._of("remembrance")
        return min(rows, key=lambda row: abs(2 * row.start - row.end)) if rows else None

    @property
    def deviations(self) -> tuple[DiagnosisRow, DiagnosisRow] | None:
        """Standard deviation of the state after about T symbols and after all; None where it was not followed."""
        rows = self._of("state_std")
        if not rows:
            return None
        return min(rows, key=lambda row: abs(row.end - self.context)), max(rows, key=lambda row: row.end)

    def _of(self, metric: str) -> list[DiagnosisRow]:
        return self._by_metric.get(metric, [])


def as_perplexity(nats: float | None) -> str:
    """Return a loss as a perplexity for a table."""
    return "\N{EN DASH}" if nats is None else number(perplexity(nats))


def number(value: float) -> str:
    """Return a number with about four significant digits for a table."""
    size = abs(value)
    if 0.01 <= size < 1e7:
        whole = len(str(int(size))) if size >= 1 else 1
        return f"{value:,.{max(0, 4 - whole)}f}"
    return "0" if value == 0 else f"{value:.3g}"
