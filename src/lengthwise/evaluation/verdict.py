"""The verdict on length robustness: does perplexity hold beyond the training context?

The rule is in `judge`; it sees numbers only, and needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal, NamedTuple

from lengthwise.errors import InputError
from lengthwise.evaluation.intervals import student_quantile
from lengthwise.evaluation.losses import PositionLoss, perplexity

HOLDS_WITHIN = 1.02
FAILS_ABOVE = 1.5
ENOUGH = 299
"""Rows that miss at most 1 % of texts, by `unseen_share`."""
Judgement = Literal["holds", "drifts", "fails", "undecided", "no verdict"]
NO_VERDICT: Judgement = "no verdict"
"""Of a model that has so little to lose that nothing could be seen of it."""
_Moments = tuple[float, float]
"""Mean and standard deviation of the paired differences of an octave in log-perplexity."""


class Gain(NamedTuple):
    """What a model has to lose: its loss in the octave that ends at the context, and that of guessing by frequency."""

    loss: float
    """In nats a symbol."""
    guessing: float
    """Of guessing each symbol of the same text by its frequency, in nats a symbol."""

    @property
    def ratio(self) -> float:
        """The perplexity of guessing over that of the model: the rise of a model that forgets everything."""
        return perplexity(self.guessing - self.loss)

    def too_small(self, place: tuple[int, int], fails_above: float) -> str:
        """Return why there is nothing to judge."""
        own, guessed = perplexity(self.loss), perplexity(self.guessing)
        where = f"perplexity at positions {place[0]:,} to {place[1]:,} is {own:,.4g}"
        if self.loss >= self.guessing:
            return (
                f"{where}, and guessing each symbol by its frequency has {guessed:,.4g}: this model does not predict "
                "this text at all; it is hardly trained, or its tokenizer is another than that it was trained with"
            )
        return (
            f"{where}, and guessing each symbol by its frequency has {guessed:,.4g}: a model that forgot everything "
            f"would not rise by {fails_above:g} times, so that nothing is there that could hold"
        )


def unseen_share(rows: int) -> float:
    """Return how many texts in a hundred may go astray although none of so many rows did, with 95 % confidence.

    No interval that is made of the rows alone, Student's or a bootstrap, knows of what is in none of them.
    """
    return 100 * (1 - 0.05 ** (1 / rows))


def of_values(octaves: Sequence[PositionLoss]) -> list[PositionLoss]:
    """Return octaves whose verdict compares the losses themselves, and not their exponentials: errors of values.

    The ratio of an octave is then the geometric mean over rows of the ratio of errors.

    Raises:
        InputError: the loss of a row is not above zero, so that nothing is so many times it.

    Example:
        >>> octaves = [PositionLoss(3, 4, 2.0, 0.0, 2, (2.0, 2.0)), PositionLoss(5, 8, 6.0, 0.0, 2, (6.0, 6.0))]
        >>> round(verdict(of_values(octaves), 4, measure="error").ratios[0].ratio, 6)
        3.0
    """
    if wrong := [octave for octave in octaves if not all(loss > 0 for loss in octave.row_means)]:
        raise InputError(
            f"a row has a loss of {min(wrong[0].row_means):g} at positions {wrong[0].start:,} to {wrong[0].end:,}: "
            "ratios need losses above zero"
        )
    logs = [(octave, tuple(math.log(loss) for loss in octave.row_means)) for octave in octaves]
    return [octave._replace(mean=fmean(own), row_means=own, standard_error=math.nan) for octave, own in logs]


class OctaveRatio(NamedTuple):
    """Perplexity in an octave beyond the training context over perplexity in the octave that ends at it."""

    start: int
    """The first position of the octave."""
    end: int
    """Its last position."""
    ratio: float
    low: float
    """Lower end of the confidence interval."""
    high: float
    """Upper end of the confidence interval."""


@dataclass(frozen=True)
class Verdict:
    """Whether perplexity holds beyond the training context, and what that rests on."""

    name: Judgement
    reason: str
    """One sentence with the numbers that decided."""
    ratios: tuple[OctaveRatio, ...]
    """Each octave beyond the context, in order."""
    context: int
    rows: int
    rows_needed: int | None
    """Where undecided, about how many rows would decide if mean and spread stay what they are."""


def verdict(
    octaves: Sequence[PositionLoss],
    context: int,
    restarted: Sequence[PositionLoss] | None = None,
    *,
    guessing: float | None = None,
    measure: str = "perplexity",
    holds_within: float = HOLDS_WITHIN,
    fails_above: float = FAILS_ABOVE,
    confidence: float = 0.95,
) -> Verdict:
    """Return the verdict on perplexity beyond the training context.

    For octave k beyond the context T, row b has the paired difference d[b, k] of its mean loss there and its mean loss
    in the octave that ends at T: of the same symbols where `restarted` is given, otherwise of those at that place of
    the row, which adds the difference between texts. The ratio of perplexities is exp(mean_b d[b, k]), its interval

        exp(mean d  +-  t(1 - (1 - confidence) / (2 m); B - 1) * std(d) / sqrt(B)),

    B rows, m octaves beyond T (Bonferroni: all m intervals hold together with the confidence asked for). `judge` says
    what follows from these ratios.

    Args:
        octaves: the octave that ends at T, then those beyond it, as `octave_losses` gives them.
        context: the training context T, in tokens.
        restarted: the same octaves with every symbol read at places T/2 + 1 to T of a window that starts anew, as
            `restarted_losses` gives them; pairs text with itself, so that far fewer rows decide.
        guessing: loss of guessing each symbol of the same text by its frequency, as `unigram_loss` gives it: a model
            that is hardly better has nothing to lose, and gets no verdict. Not looked at by default.
        measure: what is compared, in words; octaves of values go through `of_values` before.
        holds_within: the largest ratio that counts as no rise.
        fails_above: the ratio above which a rise is a failure.
        confidence: probability that all intervals hold, for differences that are normally distributed. Where a few rows
            go astray it is less: see `unseen_share`.

    Raises:
        InputError: the octaves do not belong to this context or to the same two or more rows, a loss is not finite,
            or a threshold is not sensible.

    Source: length robustness of Buitrago Ruiz and Gu 2025 (arXiv 2507.02782); the rule is ours.
    """
    references = [octaves[0]] * len(octaves) if restarted is None else restarted
    _check(octaves, references, context, holds_within, fails_above, confidence)
    rows = len(octaves[0].row_means)
    probability = 1 - (1 - confidence) / (2 * (len(octaves) - 1))
    quantile = student_quantile(probability, rows - 1)
    ratios, moments = list[OctaveRatio](), list[_Moments]()
    for reference, octave in zip(references[1:], octaves[1:], strict=True):
        differences = [a - b for a, b in zip(octave.row_means, reference.row_means, strict=True)]
        mean, deviation = fmean(differences), stdev(differences)
        half = quantile * deviation / math.sqrt(rows)
        ends = (perplexity(mean - half), perplexity(mean + half))
        ratios.append(OctaveRatio(octave.start, octave.end, perplexity(mean), *ends))
        moments.append((mean, deviation))
    compared = (octaves[0].start, octaves[0].end)
    gain = None if guessing is None else Gain(fmean(octaves[0].row_means), guessing)
    name, reason = judge(
        ratios, compared, rows, gain, measure=measure, holds_within=holds_within, fails_above=fails_above
    )
    needed = _rows_needed(ratios, moments, rows, probability, holds_within) if name == "undecided" else None
    if needed:
        reason += f", about {needed:,} would do"
    return Verdict(name, reason, tuple(ratios), context, rows, needed)


def judge(
    ratios: Sequence[OctaveRatio],
    reference: tuple[int, int],
    rows: int,
    gain: Gain | None = None,
    *,
    measure: str = "perplexity",
    holds_within: float = HOLDS_WITHIN,
    fails_above: float = FAILS_ABOVE,
) -> tuple[Judgement, str]:
    """Return the verdict that follows from the ratios of all octaves beyond the context.

    - no verdict: a model that lost all that it gains over guessing would not rise by `fails_above`;
    - fails: in some octave the lower end of the interval is above `fails_above`;
    - drifts: not so, but in some octave the lower end is above `holds_within`;
    - holds: in every octave the upper end is at most `holds_within`;
    - undecided: otherwise; the intervals are too wide for these rows.

    Args:
        ratios: one or more, with intervals that hold together.
        reference: first and last position of the octave that they compare with.
        rows: independent rows that were read.
        gain: what there is to lose; not looked at by default.
        measure: what is compared, in words.
        holds_within: the largest ratio that counts as no rise.
        fails_above: the ratio above which a rise is a failure.

    Raises:
        InputError: a ratio or an end of its interval is NaN.

    Returns:
        The name, and one sentence with the numbers that decided.

    Source: length robustness of Buitrago Ruiz and Gu 2025 (arXiv 2507.02782); the rule is ours.
    """
    if wrong := [octave for octave in ratios if any(map(math.isnan, octave[2:]))]:
        raise InputError(f"the ratio at positions {wrong[0].start:,} to {wrong[0].end:,} is not a number")
    if gain is not None and not gain.ratio >= fails_above:
        return NO_VERDICT, gain.too_small(reference, fails_above)
    surest = max(ratios, key=lambda octave: octave.low)
    decisive = widest = max(ratios, key=lambda octave: octave.high)
    if surest.low > fails_above:
        name, decisive, finding = "fails", surest, f", surely above {fails_above:g} times"
    elif surest.low > holds_within:
        name, decisive, finding = "drifts", surest, f", surely above {holds_within:g} times"
    elif widest.high <= holds_within:
        missed = f"of texts that go astray {rows} rows can miss {unseen_share(rows):.2g} %"
        missed += f", {ENOUGH} would miss 1 %" if rows < ENOUGH else ""
        name, finding = "holds", f"; no octave beyond is surely or possibly above {holds_within:g} times ({missed})"
    else:
        name, finding = "undecided", f"; {rows} rows are too few to say"
    where = f"at positions {decisive.start:,} to {decisive.end:,}"
    measured = f"{decisive.ratio:.3f} times ({decisive.low:.3f} to {decisive.high:.3f})"
    return name, f"{measure} {where} is {measured} that at {reference[0]:,} to {reference[1]:,}{finding}"


def _check(
    octaves: Sequence[PositionLoss],
    references: Sequence[PositionLoss],
    context: int,
    holds_within: float,
    fails_above: float,
    confidence: float,
) -> None:
    if len(octaves) < 2 or octaves[0].end != context:
        ends = ", ".join(str(octave.end) for octave in octaves) or "none"
        raise InputError(
            f"a verdict needs the octave that ends at the context of {context} and one beyond it; "
            f"these octaves end at {ends}"
        )
    counts = sorted({len(octave.row_means) for octave in (*octaves, *references)})
    if len(references) != len(octaves) or len(counts) > 1 or counts[0] < 2:
        raise InputError(
            "a verdict needs the same two or more rows in every octave, to have an interval, and one to compare each "
            f"with; these are {len(octaves)} and {len(references)}, of {' and '.join(map(str, counts))} rows"
        )
    if not all(math.isfinite(loss) for octave in (*octaves, *references) for loss in octave.row_means):
        raise InputError("a verdict needs finite losses")
    if not (1 <= holds_within < fails_above and 0 < confidence < 1):
        raise InputError(
            "thresholds must satisfy 1 <= holds_within < fails_above and 0 < confidence < 1, "
            f"not {holds_within}, {fails_above} and {confidence}"
        )


def _rows_needed(
    ratios: Sequence[OctaveRatio], moments: Sequence[_Moments], rows: int, probability: float, holds_within: float
) -> int | None:
    """Return about how many rows would decide: the fewest that show one rise, or the most that exclude them all."""
    threshold = math.log(holds_within)
    risen = [moment for moment in moments if moment[0] > threshold]
    chosen = risen or [moment for moment, ratio in zip(moments, ratios, strict=True) if ratio.high > holds_within]
    if any(mean == threshold for mean, _ in chosen):
        return None
    spreads = [deviation / abs(mean - threshold) for mean, deviation in chosen]
    return _enough_rows(min(spreads) if risen else max(spreads), rows, probability)


def _enough_rows(spread: float, rows: int, probability: float) -> int:
    """Return the rows at which half the interval, in standard deviations, is below the inverse of the spread.

    The t quantile depends on the rows: too few rows in it give too many and the other way round, so that an odd number
    of turns ends on the safe side.
    """
    enough = rows
    for _ in range(3):
        # Beyond 1,000 degrees of freedom the quantile changes by less than 0.3 %.
        quantile = student_quantile(probability, min(enough - 1, 1000))
        enough = max(2, math.ceil((quantile * spread) ** 2))
    return enough
