"""Perplexity by position, and the table of all series with verdicts.

T is the training context in symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean, geometric_mean
from typing import ClassVar

import polars as pl

from lengthwise.evaluation.losses import perplexity
from lengthwise.evaluation.verdict import Judgement, OctaveRatio
from lengthwise.report.diagnosed import MULTIPLES, VERDICT_STYLES, Diagnosed, worst
from lengthwise.report.layout import intervention_in_words, positional
from lengthwise.report.panels import Panel
from lengthwise.report.parts import REASONS, WORDS, Cell, Drawn, Spread, TableText, spread_cell
from lengthwise.report.results import BY_POSITION, Results
from lengthwise.report.sections.by_position import OfPosition, by_position
from lengthwise.report.words import number
from lengthwise.runs.rows import Row
from lengthwise.runs.table import Run

_MOST_NAMED = 6
"""Series of a verdict that a sentence names."""
_PLURAL = {"holds": "hold", "drifts": "drift", "fails": "fail", "undecided": "undecided", "no verdict": "no verdict"}


class TextSummary:
    """What tables say of a recipe over its seeds.

    Args:
        series: its name.
        runs: one a seed, in the order of seeds.
        measured: the numbers of each; all have ratios of perplexities.
    """

    def __init__(self, series: str, runs: Sequence[Run], measured: Sequence[Diagnosed]) -> None:
        self.series, self.runs, self.context = series, runs, measured[0].context
        self.seeds = [run.head.seed for run in runs]
        self.intervention = intervention_in_words(runs[0])
        """In words; with ``then`` before it where the run was post-trained from another."""
        self.symbols = runs[0].head.sequences * self.context
        """Seen in training by one run, those of the run it started from not counted."""
        self.inside = _perplexities([run.inside for run in measured])
        """Perplexity over the positions 1 to T."""
        self.at_context = _perplexities([run.at_context for run in measured])
        """Perplexity in the octave that ends at T."""
        reached = {m: [ratio for run in measured if (ratio := run.ratio(m))] for m in MULTIPLES}
        self.ratios = {multiple: _ratios(ratios) for multiple, ratios in reached.items() if ratios}
        """Multiple of T -> perplexity in the octave that ends there over that in the octave that ends at T."""
        self.last = _ratios([run.ratios[-1] for run in measured])
        """The same for the last octave that was read."""
        self.verdicts: list[Judgement] = [run.verdict[0] for run in measured]
        """Of each seed."""
        self.verdict: Judgement = worst(self.verdicts)
        self.reason = measured[self.verdicts.index(self.verdict)].verdict[1]
        """The numbers that decided, of a seed with that verdict."""


class Perplexity(OfPosition):
    """Perplexity by position, and the table of verdicts."""

    shown: ClassVar[pl.Expr] = pl.col("metric").is_in(["loss", "ratio"]) & BY_POSITION
    name: ClassVar[str] = "perplexity"

    def panels(self, results: Results) -> list[Panel]:
        """Return a panel a group."""
        losses = results.rows.filter((pl.col("metric") == "loss") & BY_POSITION)
        return by_position(results, losses.with_columns(pl.col("value", "low", "high").exp()), "perplexity")

    def said(self, results: Results) -> dict[str, str]:
        """Return the caption."""
        summaries = summarise_text(results)
        return {"caption": text_caption(summaries), "finding": text_finding(summaries)}

    def draw(self, results: Results) -> Drawn:
        """Return the figure and the table, where ratios of perplexities were measured."""
        summaries = summarise_text(results)
        return Drawn([*super().draw(results).pieces, text_table(summaries)] if summaries else [])


@lru_cache(maxsize=4)
def summarise_text(results: Results) -> list[TextSummary]:
    """Return a summary of each series with ratios of perplexities, in alphabetical order."""
    whole = results.rows.filter(BY_POSITION & pl.col("part").is_null())
    by_run = whole.partition_by("digest", "seed", as_dict=True, maintain_order=True)
    found: list[TextSummary] = []
    for series in positional(results):
        runs = sorted(results.of(series), key=lambda run: run.head.seed)
        measured = [Diagnosed(run.head, _rows(by_run[run.key])) for run in runs]
        found += [TextSummary(series, runs, measured)] if all(run.ratios for run in measured) else []
    return found


def text_caption(summaries: Sequence[TextSummary]) -> str:
    """Say what the figure of perplexity by position shows.

    Args:
        summaries: of all series in it.
    """
    if len(summaries) == 1:
        return f"{summaries[0].series} {summaries[0].verdict}: {summaries[0].reason}."
    verdicts = [summary.verdict for summary in summaries]
    counts = {name: verdicts.count(name) for name in _PLURAL}
    said = ", ".join(f"{count} {name if count == 1 else _PLURAL[name]}" for name, count in counts.items() if count)
    highest = max(summaries, key=lambda summary: summary.last.value)
    worst_ratio = f"{number(highest.last.value)}, of {highest.series}"
    return f"Of {len(summaries)} series: {said}. The highest ratio of the last octave to that at T is {worst_ratio}."


def text_finding(summaries: Sequence[TextSummary]) -> str:
    """Say which series hold far beyond their training context, and how much the perplexity of each other rises.

    Args:
        summaries: of all series.
    """
    said = {name: [s for s in summaries if s.verdict == name] for name in _PLURAL}
    parts: list[str] = []
    for name, of in said.items():
        named = [f"{summary.series} {number(summary.last.value)}" for summary in of[:_MOST_NAMED]]
        named += [f"{len(of) - _MOST_NAMED} more"] if len(of) > _MOST_NAMED else []
        parts += [f"{', '.join(named)} ({name if len(of) == 1 else _PLURAL[name]})"] if of else []
    return f"Perplexity far beyond the training context, over that at its end: {'; '.join(parts)}."


def text_table(summaries: Sequence[TextSummary]) -> TableText:
    """Return the table of all series.

    Args:
        summaries: one a row.
    """
    multiples = sorted({multiple for summary in summaries for multiple in summary.ratios})
    ratios = [f"ratio at {multiple} T" for multiple in multiples]
    reasons = {summary.series: [f"{summary.verdict}: {summary.reason}."] for summary in summaries}
    return TableText(
        name="perplexity-table",
        **WORDS["perplexity-table"],
        columns=["recipe", "verdict", "perplexity to T", "octave at T", *ratios, "T", "training symbols", "model"],
        rows=[_row(summary, multiples) for summary in summaries],
        folds={REASONS: reasons},
    )


def _rows(measured: pl.DataFrame) -> list[Row]:
    axes = pl.struct("start", "end").alias("axes")
    names = ("task", "metric", "value", "low", "high", "samples")
    return [Row.model_construct(**row) for row in measured.select(*names, axes).iter_rows(named=True)]


def _perplexities(nats: Sequence[float | None]) -> Spread | None:
    """Mean over seeds in nats, as a perplexity."""
    known = [loss for loss in nats if loss is not None]
    if not known:
        return None
    return Spread(perplexity(fmean(known)), perplexity(min(known)), perplexity(max(known)))


def _ratios(ratios: Sequence[OctaveRatio]) -> Spread:
    """Mean over seeds in nats, as a ratio."""
    if len(ratios) == 1:
        return Spread(ratios[0].ratio, ratios[0].low, ratios[0].high)
    values = [ratio.ratio for ratio in ratios]
    return Spread(geometric_mean(values), min(values), max(values))


def _row(summary: TextSummary, multiples: Sequence[int]) -> list[Cell]:
    head, environment = summary.runs[0].head, summary.runs[0].environment
    state = head.state_size or environment.get("state")
    model = [f"{head.parameters:,} parameters"] if head.parameters is not None else []
    model += [f"state {state:,}"] if state is not None else []
    seeds = f"{len(summary.seeds)} seed{'' if len(summary.seeds) == 1 else 's'}"
    counts = [f"{summary.verdicts.count(name)} {name}" for name in dict.fromkeys(summary.verdicts)]
    seconds = fmean(run.seconds for run in summary.runs)
    millions = summary.symbols >= 1_000_000
    return [
        Cell(summary.series, f"{summary.intervention}; {seeds}"),
        Cell(summary.verdict, ", ".join(counts) if len(counts) > 1 else "", VERDICT_STYLES[summary.verdict]),
        *map(spread_cell, (summary.inside, summary.at_context)),
        *(spread_cell(summary.ratios.get(multiple)) for multiple in multiples),
        Cell(f"{summary.context:,}"),
        Cell(f"{summary.symbols / 1e6:.3g}M" if millions else f"{summary.symbols:,}", f"{seconds:,.0f} s"),
        Cell(head.model, ", ".join(model)),
    ]
