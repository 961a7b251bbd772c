"""The parts of a report that are about runs on strings: tables, figures and what they show."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from lengthwise.report import charts, tables
from lengthwise.report.certificate_part import automata_figure, certificate_rows
from lengthwise.report.families import Section, operator_name, sections
from lengthwise.report.figures import Figure
from lengthwise.report.grids import build_grid
from lengthwise.report.panels import MOST_LABELS
from lengthwise.report.parts import Part, TableText
from lengthwise.report.published import compare_published
from lengthwise.report.rows import Results
from lengthwise.report.summary import Summary, percent, summarise

_MARKS = "Line: mean over seeds; band: lowest to highest seed; dots: single long lengths; diamonds: near misses."
_SEEDS = "Line: mean over seeds; band: lowest to highest seed."
_MARKS_CROWDED = "Line: mean over seeds and neighbouring lengths; dots: single long lengths; diamonds: near misses."
_SEEDS_CROWDED = "Line: mean over seeds and neighbouring points."
_NOTE = (
    "Mean over lengths and seeds, rounded down: 100.0 says that no string at all was misclassified. Below each "
    "score stands its 95 % Wilson interval, below the worst length its mean."
)
_FOOTNOTE = (
    "The intervals speak of these trained models and fresh strings, not of other seeds. Where all lengths are "
    "prefixes of the same strings, they are not independent of each other, and the interval counts each string "
    "once. Near misses are strings one or two edits away from another class. Every row: "
)


def string_parts(results: Results) -> tuple[list[Part], list[Summary]]:
    """Return a part for the models and one for each ablation, and the summaries of all series.

    Args:
        results: the runs.
    """
    found = [(section, summarise(section.results)) for section in sections(results)]
    parts = [_part(section, summaries) for section, summaries in found]
    return parts, [summary for _, summaries in found for summary in summaries]


def caption(summaries: Sequence[Summary]) -> str:
    """Say what the figure of accuracy against length shows.

    Args:
        summaries: of all series in it.
    """
    flawless = sum(summary.flawless for summary in summaries)
    count = "recipe" if len(summaries) == 1 else "recipes"
    start = f"{flawless} of {len(summaries)} {count} classified every string right"
    if len(summaries) == flawless:
        start = "Every string was classified right" + ("" if flawless == 1 else f", by all {flawless} {count}")
    lows = [(summary.worst[1], f"{summary.series} at length {summary.worst[0]:,}") for summary in summaries]
    lows += [
        (summary.near_misses.value, f"{summary.series} on near misses") for summary in summaries if summary.near_misses
    ]
    value, place = min(lows)
    return f"{start}." if value == 1 else f"{start}; the lowest mean is {percent(value)} %, of {place}."


def _part(section: Section, summaries: Sequence[Summary]) -> Part:
    cells = tables.columns(summaries), tables.rows(summaries)
    return Part(
        name=f"variants-{section.name}" if section.name else "strings",
        heading=section.heading if section.name else "Runs on strings",
        figures=_figures(section, summaries),
        table=TableText("Accuracy in percent", _NOTE, _FOOTNOTE, *cells, "accuracy.csv"),
        grid=build_grid(section, summaries),
        comparisons=compare_published(section.results) if _are_published(section) else [],
        certificates=certificate_rows(section.results),
    )


def _are_published(section: Section) -> bool:
    """Whether there are models of publications: among variants of one unit only its operators are."""
    return not section.ablation or len({operator_name(run) for run in section.results.runs}) > 1


def _figures(section: Section, summaries: Sequence[Summary]) -> list[Figure]:
    results = section.results
    prefix = f"{section.name}-" if section.name else ""
    crowded = len(results.families) > MOST_LABELS
    marks, seeds = (_MARKS_CROWDED, _SEEDS_CROWDED) if crowded else (_MARKS, _SEEDS)
    accuracy = Figure(
        name=f"{prefix}accuracy",
        heading="Accuracy against length",
        note=marks,
        caption=caption(summaries),
        panels=[charts.accuracy_by_length(results, task) for task in results.tasks],
    )
    learning = Figure(
        name=f"{prefix}learning",
        heading="Accuracy beyond the training length, as training went on",
        note=seeds,
        caption=f"Accuracy on fresh strings of length {_curve_lengths(results)} against the training strings seen.",
        panels=[charts.learning_curve(results, task) for task in _tasks_in(results, results.learning)],
    )
    training = Figure(
        name=f"{prefix}training",
        heading="Accuracy in training",
        note=seeds,
        caption="Accuracy on the training batches, each of one length, against the training strings seen.",
        panels=[charts.training_accuracy(results, task) for task in _tasks_in(results, results.training)],
    )
    automata = automata_figure(results, prefix)
    return [figure for figure in (accuracy, automata, learning, training) if figure and figure.panels]


def _tasks_in(results: Results, rows: pl.DataFrame) -> list[str]:
    there = set(rows["task"].unique().to_list())
    return [task for task in results.tasks if task in there]


def _curve_lengths(results: Results) -> str:
    longest = results.learning.group_by("task").agg(pl.col("length").max())["length"].unique().sort()
    return " or ".join(map(str, longest))
