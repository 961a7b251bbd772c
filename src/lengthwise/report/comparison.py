"""Before and after: two runs side by side in a terminal, and any run in one line."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from rich.table import Table
from rich.text import Text

from lengthwise.evaluation.verdict import OctaveRatio
from lengthwise.report.diagnosed import MULTIPLES, VERDICT_STYLES, Diagnosed, as_perplexity
from lengthwise.report.words import NONE, TERMINAL, TO, number
from lengthwise.runs.rows import Head, Row

_STYLES = {name: TERMINAL[style] for name, style in VERDICT_STYLES.items()}
REACH = 500
"""The longest length of the published tables."""

Measured = tuple[Head, Sequence[Row]]


def comparison_table(before: Measured, after: Measured) -> Table:
    """Return a table of the main numbers of two runs, a column each.

    Args:
        before: head and rows of one run.
        after: those of another, such as one that was post-trained from it.

    Raises:
        InputError: one of them has no rows.
    """
    table = Table(box=None)
    table.add_column("", no_wrap=True)
    for name, (head, _) in (("before", before), ("after", after)):
        table.add_column(f"{name}\n[dim]{head.intervention.replace('_', ' ')}", justify="right")
    for name, one, other in side_by_side(before, after):
        styled = (Text(cell, _STYLES.get(cell, "")) for cell in (one, other))
        table.add_row(name, *styled)
    return table


def side_by_side(before: Measured, after: Measured) -> list[tuple[str, str, str]]:
    """Return the name of each main number of two runs and what it is before and after, as far as it was measured.

    Args:
        before: head and rows of one run.
        after: those of another.

    Raises:
        InputError: one of them has no rows.
    """
    numbers = _of_language_model if any(map(_of_symbols, before[1])) else _means
    first, second = numbers(*before), numbers(*after)
    named = [
        _trained(before[0], after[0]),
        *((name, first.get(name, NONE), second.get(name, NONE)) for name in first | second),
    ]
    return [row for row in named if row[1:] != (NONE, NONE)]


def summary_line(head: Head, rows: Sequence[Row]) -> str:
    """Return what was found in one run in one line.

    Of a language model it is the verdict, of accuracy by length the means beyond the training length, and of
    everything else the mean of each task and metric.

    Args:
        head: what the rows share.
        rows: all rows of the run.
    """
    said: list[str] = []
    if any(row.metric == "ratio" and "end" in row.axes for row in rows):
        run = Diagnosed(head, rows)
        said += [": ".join(run.verdict), run.absolute]
    elif any(map(_of_symbols, rows)):
        said.append(Diagnosed(head, rows).absolute)
    accuracies = [row for row in rows if _by_length(row)] if head.training_length else []
    if accuracies:
        said.append(_beyond(head.training_length or 0, accuracies))
    rest = [row for row in rows if not (_of_symbols(row) or (accuracies and _by_length(row)))]
    said += [f"{name} {cell}" for name, cell in _means(head, rest).items()]
    return "; ".join(filter(None, said)) or "nothing was measured"


def _trained(before: Head, after: Head) -> tuple[str, str, str]:
    """Return on how many sequences each run was trained; how many a checkpoint has seen is not known."""
    first, second = (f"{head.sequences:,}" if head.sequences else NONE for head in (before, after))
    share = f" ({after.sequences / before.sequences:.0%} of before)" if before.sequences else ""
    return "sequences trained on", first, f"{second}{share}"


def _of_language_model(head: Head, rows: Sequence[Row]) -> dict[str, str]:
    run = Diagnosed(head, rows)
    remembered, deviations = run.remembrance, run.deviations
    last = run.ratios[-1].end if run.ratios else run.context
    return {
        "perplexity within T": as_perplexity(run.inside),
        "perplexity in the octave to T": as_perplexity(run.at_context),
        f"perplexity in the octave to {last:,}": as_perplexity(run.loss(last // 2, last)),
        **{f"ratio at {multiple} T": _ratio(run.ratio(multiple)) for multiple in MULTIPLES},
        "remembrance, half dropped": NONE if remembered is None else f"{remembered.value:.3f}",
        "state deviation at T": NONE if deviations is None else number(deviations[0].value),
        "state deviation at the end": NONE if deviations is None else number(deviations[1].value),
        f"verdict (T = {run.context:,})": run.verdict[0],
    }


def _ratio(ratio: OctaveRatio | None) -> str:
    return NONE if ratio is None else f"{ratio.ratio:.3f} ({ratio.low:.3f}{TO}{ratio.high:.3f})"


def _means(head: Head, rows: Sequence[Row]) -> dict[str, str]:
    """Return the mean of each task and metric, within and beyond the training length where there is one."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row.metric.startswith("state_") and "end" in row.axes:
            continue
        words = [value for value in row.axes.values() if isinstance(value, str)]
        length, trained = row.axes.get("length", row.axes.get("end")), head.training_length
        where = [] if length is None or trained is None else ["to T" if float(length) <= trained else "beyond T"]
        name = ", ".join([f"{row.task} {row.metric.replace('_', ' ')}", *words, *where])
        found.setdefault(name, []).append(row.value)
    return {name: number(fmean(values)) for name, values in found.items()}


def _of_symbols(row: Row) -> bool:
    """Whether a row is of what only a model of symbols has: a loss in nats, and what follows from it."""
    return row.metric in {"loss", "ratio", "remembrance"} and "end" in row.axes


def _by_length(row: Row) -> bool:
    return row.metric == "accuracy" and "length" in row.axes and set(row.axes) <= {"length", "distribution"}


def _beyond(trained: int, rows: Sequence[Row]) -> str:
    at = {int(row.axes["length"]): row.value for row in rows if row.axes.get("distribution") != "near_miss"}
    near = [row.value for row in rows if row.axes.get("distribution") == "near_miss"]
    dense = {length: value for length, value in at.items() if trained < length <= REACH}
    # As the published scores are: the first length beyond training is left out.
    later = {length: value for length, value in dense.items() if length > trained + 1}
    even = [value for length, value in later.items() if length % 2 == 0]
    parts: list[str] = []
    if dense:
        worst = min(dense, key=lambda length: dense[length])
        spans = f"{fmean(dense.values()):.4%} on lengths {min(dense)} to {max(dense)}"
        parts.append(f"mean accuracy {spans} (worst {dense[worst]:.2%} at {worst})")
    parts += [f"{fmean(later.values()):.4%} from {min(later)} on"] if later else []
    parts += [f"{fmean(even):.4%} on even lengths alone"] if even else []
    parts += [f"near misses {fmean(near):.2%}"] if near else []
    parts += [f"length {length:,} {value:.2%}" for length, value in at.items() if length > REACH]
    return "; ".join(parts) or f"{len(rows)} lengths, none beyond the training length"
