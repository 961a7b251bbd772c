"""Before and after: two runs on text side by side in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from lengthwise.diagnostics.verdict import OctaveRatio
from lengthwise.report.diagnosed import MULTIPLES, Diagnosed, as_perplexity, number
from lengthwise.runs.folder import DiagnosisRow

_NONE = "\N{EN DASH}"
VERDICT_STYLES = {"holds": "green", "undecided": "yellow", "drifts": "yellow", "fails": "red"}
"""How a terminal colours a verdict."""


def comparison_table(before: Sequence[DiagnosisRow], after: Sequence[DiagnosisRow]) -> Table:
    """Return a table of the main numbers of two runs on text, a column each.

    Args:
        before: all rows of one run.
        after: all rows of another, such as one that was post-trained from it.

    Raises:
        InputError: one of them has no rows.
    """
    runs = [Diagnosed(before), Diagnosed(after)]
    table = Table(box=None)
    table.add_column("", no_wrap=True)
    for title, run in zip(("before", "after"), runs, strict=True):
        table.add_column(f"{title}\n[dim]{run.first.intervention.replace('_', ' ')}", justify="right")
    first, second = ([*_numbers(run), _verdict(run)] for run in runs)
    for (name, one), (_, other) in zip(first, second, strict=True):
        if any(text.plain != _NONE for text in (one, other)):
            table.add_row(name, one, other)
    return table


def _numbers(run: Diagnosed) -> list[tuple[str, Text]]:
    remembered, deviations = run.remembrance, run.deviations
    cells = [
        ("perplexity in context", as_perplexity(run.inside)),
        ("perplexity in the octave to T", as_perplexity(run.at_context)),
        *((f"ratio at {multiple} T", ratio_in_words(run.ratio(multiple))) for multiple in MULTIPLES),
        ("remembrance, half dropped", _NONE if remembered is None else f"{remembered.value:.3f}"),
        ("state deviation at T", _NONE if deviations is None else number(deviations[0].value)),
        ("state deviation at the end", _NONE if deviations is None else number(deviations[1].value)),
    ]
    return [(name, Text(cell)) for name, cell in cells]


def ratio_in_words(ratio: OctaveRatio | None) -> str:
    """Return a ratio and its interval for a table."""
    if ratio is None:
        return _NONE
    return f"{ratio.ratio:.3f} ({ratio.low:.3f}{_NONE}{ratio.high:.3f})"


def _verdict(run: Diagnosed) -> tuple[str, Text]:
    name, _ = run.verdict
    return f"verdict (T = {run.context:,})", Text(name, VERDICT_STYLES[name])
