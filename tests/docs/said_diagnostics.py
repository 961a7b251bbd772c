"""Sentences and the table of ``docs/diagnostics.md`` that hold numbers, as code, thresholds and a record give them."""

import inspect
import math
from collections.abc import Iterator

from measured import line, record

from lengthwise.evaluation.intervals import student_quantile
from lengthwise.evaluation.perplexity import log_edges, octave_edges
from lengthwise.evaluation.remembrance import remembrance_starts
from lengthwise.evaluation.verdict import ENOUGH, FAILS_ABOVE, HOLDS_WITHIN, unseen_share, verdict


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    yield from _positions()
    yield from _verdict()
    yield from _rows()
    starts = remembrance_starts(256, 8)
    assert (starts[0], starts[-1]) == (0, 255), "from nothing dropped to all but the last"
    yield "The value is 0 if dropping changes nothing and 1 if the two predictions share no symbol"
    yield "EffRem(0) is 0. A healthy curve stays near 0 and rises only at the end, where recent tokens are dropped"
    yield "A curve at 0 up to its very end"
    yield "the distance is the L2 norm of the difference over that of the answer"
    yield "the slices along dimension 1 of entries with at least three dimensions"


def _positions() -> Iterator[str]:
    yield "Position t = 1, 2, ... is the prediction of the token with index t from the t tokens before it"
    edges = log_edges(2**10, bins=4)
    assert edges == sorted({0, *(round(2 ** (i / 4)) for i in range(41))})
    assert {2**i for i in range(11)} <= {*edges}
    yield "edges 0 and round(2^(i/k)), i = 0, 1, 2, ...; each octave has k parts of equal ratio"
    yield "sums are kept for each row and bin, in float64"
    # With T = 64 (T/2, T], (T, 2T], (2T, 4T]; a quarter of an octave joins the one before, three quarters do not.
    assert octave_edges(256 + 64, 64) == [32, 64, 128, 320]
    assert octave_edges(256 + 192, 64) == [32, 64, 128, 256, 448]
    yield "Octaves are (T/2, T], (T, 2T], (2T, 4T], ..., the last up to the end of the rows"
    yield "Where less than 64 T is read"
    yield "windows of T symbols that begin every T/2"
    yield "against the octave (T/2, T] of the rows alone, which is T/2 symbols a row"


def _verdict() -> Iterator[str]:
    confidence = inspect.signature(verdict).parameters["confidence"].default
    yield (
        f"The division of {1 - confidence:.2f} by m (Bonferroni) makes all m intervals hold together with "
        f"{100 * confidence:.0f} % where"
    )
    yield f"has less than {FAILS_ABOVE} times the perplexity of the octave (T/2, T] |"
    yield line("**fails**", f"in some octave `low` is above {FAILS_ABOVE}")
    yield line("**drifts**", f"not so, but in some octave `low` is above {HOLDS_WITHIN}")
    yield line("**holds**", f"in every octave `high` is at most {HOLDS_WITHIN}")
    rows, scatter, octaves = 32, 0.1, 6
    half = student_quantile(1 - (1 - confidence) / (2 * octaves), rows - 1) * scatter / math.sqrt(rows)
    yield (
        f"With {rows} rows and differences that scatter by {scatter} nats from row to row, an interval for six octaves "
        f"is about {100 * math.expm1(half):.0f} % wide to each side"
    )


def _rows() -> Iterator[str]:
    found = record("verdict_coverage")
    share, few = found["share"], min(map(int, found["coverage"]))
    assert share == 0.05, "one text in twenty"
    none = 100 * (1 - share) ** few
    yield f"of {few} rows drawn where one text in twenty goes astray, {none:.0f} % hold none that does"
    known = {percent: next(n for n in range(2, 1000) if unseen_share(n) <= percent) for percent in (5, 1)}
    assert known[1] == ENOUGH
    yield (
        f"From {known[5]} rows on a kind that is 5 % of all texts is among them with 95 % confidence, from {ENOUGH} on "
        f"one that is 1 %; a verdict that holds says what its rows can miss, and that {ENOUGH} would miss 1 %"
    )
    yield (
        f"How often intervals that should hold in {100 * found['confidence']:.0f} % do, where one row in twenty goes "
        f"astray by {found['shift']:g} nats and the others scatter by {found['noise']}"
    )
    for rows, shares in found["coverage"].items():
        missed = f"{100 * (1 - share) ** int(rows):.2g} %", f"{unseen_share(int(rows)):.2g} %"
        yield line(rows, *(f"{100 * value:.1f} %" for value in shares.values()), *missed)
    assert list(found["coverage"]["32"]) == ["Student's t", "bootstrap-t", "BCa"]
    yield f"`python benchmarks/verdict_coverage.py --trials {found['trials']}`, seeds {few} to {rows},"
    best = [(rows, shares.pop("Student's t"), max(shares.values())) for rows, shares in found["coverage"].items()]
    better = [(rows, student) for rows, student, other in best if other > student]
    ((first, _), *_), students = better, [100 * student for _, student in better]
    yield (
        f"At {few} rows a bootstrap is no better; from {first} on it would be, at {min(students):.0f} to "
        f"{max(students):.0f} % for t. Where some texts may go astray, read {first} rows or more"
    )
