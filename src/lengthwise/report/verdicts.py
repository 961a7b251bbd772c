"""The verdict on runs on text, from the rows that they left behind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from lengthwise.diagnostics.verdict import Judgement, OctaveRatio, judge
from lengthwise.errors import InputError
from lengthwise.runs.folder import DiagnosisRow

_FROM_BEST_TO_WORST: tuple[Judgement, ...] = ("holds", "undecided", "drifts", "fails")


def verdict_of(rows: Sequence[DiagnosisRow]) -> tuple[Judgement, str]:
    """Return the verdict on one run, and the sentence with the numbers that decided.

    Args:
        rows: all rows of the run, or at least those of the metric ``ratio``.

    Raises:
        InputError: there is no ratio among them.
    """
    measured = [row for row in rows if row.metric == "ratio"]
    if not measured:
        raise InputError("a verdict needs rows of the metric 'ratio'; 'lengthwise evaluate RUN --again' measures them")
    context = measured[0].context
    return judge(ratios(measured), (context // 2 + 1, context), measured[0].rows)


def ratios(rows: Iterable[DiagnosisRow]) -> list[OctaveRatio]:
    """Return the ratios of one run, in order of position.

    Args:
        rows: rows of the run; other metrics are passed over.
    """
    measured = sorted((row for row in rows if row.metric == "ratio"), key=lambda row: row.end)
    # JSON has no infinity: an interval without an upper end is written without it.
    return [
        OctaveRatio(
            row.start + 1,
            row.end,
            row.value,
            0.0 if row.low is None else row.low,
            math.inf if row.high is None else row.high,
        )
        for row in measured
    ]


def worst(names: Iterable[Judgement]) -> Judgement:
    """Return the worst of some verdicts: fails, then drifts, then undecided, then holds."""
    return max(names, key=_FROM_BEST_TO_WORST.index)
