"""What a table says about a series of runs on text, over its seeds.

T is the training context in symbols.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from lengthwise.diagnostics.verdict import Judgement, OctaveRatio
from lengthwise.evaluation.losses import perplexity
from lengthwise.report.diagnosed import MULTIPLES, Diagnosed
from lengthwise.report.layout import intervention_in_words
from lengthwise.report.rows import TextResults
from lengthwise.report.verdicts import worst
from lengthwise.runs.folder import DiagnosisRow

_COLUMNS = list(DiagnosisRow.model_fields)


@dataclass(frozen=True)
class Spread:
    """A number over seeds: the mean, and the lowest and the highest seed.

    A ratio of a single seed has its 95 % confidence interval for `low` and `high`.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class TextSummary:
    """One row of the table: a recipe over its seeds.

    Args:
        series: the recipe's name.
        model: the model, or its mixer.
        intervention: in words; with ``then`` before it where the run was post-trained from another.
        context: T.
        seeds: one run each.
        parameters: trained numbers; None where no checkpoint was kept.
        state: elements of the recurrent state of one row; None where the run did not record them.
        symbols: seen in training by one run, those of the run it started from not counted.
        seconds: mean training time of one run.
        inside: perplexity over the positions 1 to T.
        at_context: perplexity in the octave that ends at T.
        ratios: multiple of T -> perplexity in the octave that ends there over that in the octave that ends at T.
        last: the same for the last octave that was read.
        reach: the last position that was read.
        verdict: the worst over seeds.
        reason: the numbers that decided, of a seed with that verdict.
        verdicts: of each seed, in the order of `seeds`.
    """

    series: str
    model: str
    intervention: str
    context: int
    seeds: list[int]
    parameters: int | None
    state: int | None
    symbols: int
    seconds: float
    inside: Spread | None
    at_context: Spread | None
    ratios: dict[int, Spread]
    last: Spread
    reach: int
    verdict: Judgement
    reason: str
    verdicts: list[Judgement]


def summarise_text(results: TextResults) -> list[TextSummary]:
    """Return a summary of each series, in the order of the runs."""
    return [_summary(results, series) for series in results.series]


def _summary(results: TextResults, series: str) -> TextSummary:
    rows = results.diagnosis.filter((pl.col("series") == series) & (pl.col("part") == ""))
    by_seed = rows.select(_COLUMNS).partition_by("seed")
    measured = sorted((Diagnosed(_rows(seed)) for seed in by_seed), key=lambda run: run.first.seed)
    runs = [run for run in results.runs if run.digest == measured[0].first.digest]
    context = measured[0].context
    judged = [run.verdict for run in measured]
    names: list[Judgement] = [name for name, _ in judged]
    verdict = worst(names)
    reached = {m: [ratio for run in measured if (ratio := run.ratio(m))] for m in MULTIPLES}
    return TextSummary(
        series=series,
        model=measured[0].first.model,
        intervention=intervention_in_words(runs[0]),
        context=context,
        seeds=[run.first.seed for run in measured],
        parameters=runs[0].parameters,
        state=runs[0].environment.get("state"),
        symbols=measured[0].first.sequences * context,
        seconds=sum(run.seconds for run in runs) / len(runs),
        inside=_perplexities([run.inside for run in measured]),
        at_context=_perplexities([run.at_context for run in measured]),
        ratios={multiple: _ratios(ratios) for multiple, ratios in reached.items() if ratios},
        last=_ratios([run.ratios[-1] for run in measured]),
        reach=measured[0].ratios[-1].end,
        verdict=verdict,
        reason=judged[names.index(verdict)][1],
        verdicts=names,
    )


def _rows(seed: pl.DataFrame) -> list[DiagnosisRow]:
    return [DiagnosisRow.model_construct(**row) for row in seed.to_dicts()]


def _perplexities(nats: Sequence[float | None]) -> Spread | None:
    """Mean over seeds in nats, as a perplexity."""
    known = [loss for loss in nats if loss is not None]
    if not known:
        return None
    return Spread(*(perplexity(loss) for loss in (sum(known) / len(known), min(known), max(known))))


def _ratios(ratios: Sequence[OctaveRatio]) -> Spread:
    """Mean over seeds in nats, as a ratio."""
    if len(ratios) == 1:
        return Spread(ratios[0].ratio, ratios[0].low, ratios[0].high)
    values = [ratio.ratio for ratio in ratios]
    mean = perplexity(sum(math.log(value) for value in values) / len(values))
    return Spread(mean, min(values), max(values))
