"""The report: one page that needs nothing but itself, and the same figures as files beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import polars as pl
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined

from lengthwise.report import charts, tables
from lengthwise.report.figures import Figure
from lengthwise.report.provenance import describe_provenance
from lengthwise.report.records import DIAGNOSIS
from lengthwise.report.rows import Results, Run
from lengthwise.report.summary import Summary, percent, summarise
from lengthwise.report.text_part import TABLE_NOTE, text_figures
from lengthwise.report.text_summary import TextSummary, summarise_text
from lengthwise.report.text_tables import text_columns, text_rows
from lengthwise.report.theme import DARK, FONT, LIGHT

_COLUMNS = ["task", "recipe", "digest", "seed", "distribution", "length", "value", "samples", "training_length"]
_MARKS = "Line: mean over seeds; band: lowest to highest seed; dots: single long lengths; diamonds: near misses."
_SEEDS = "Line: mean over seeds; band: lowest to highest seed."


def write_report(results: Results, out: Path) -> Path:
    """Write a page with figures and tables of some runs.

    Args:
        results: the runs, as `read_results` reads them.
        out: folder of the page; made where it is missing. Files of an earlier report in it are replaced.

    Returns:
        The page, ``out/index.html``. Beside it lie each figure as SVG (also on dark ground) and PNG,
        ``accuracy.csv`` with every row of runs on strings, ``diagnosis.csv`` with every row of runs on text, and
        ``provenance.json``.
    """
    summaries, texts = summarise(results), summarise_text(results.text)
    parts = _parts(results, summaries, texts)
    out.mkdir(parents=True, exist_ok=True)
    for part in parts:
        for figure in part.figures:
            figure.write(out)
    if summaries:
        results.accuracy.select(_COLUMNS).write_csv(out / "accuracy.csv")
    if texts:
        results.text.diagnosis.select("series", *DIAGNOSIS).write_csv(out / "diagnosis.csv")
    provenance = describe_provenance(results)
    (out / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
    page = out / "index.html"
    page.write_text(_render(results, summaries, texts, parts, provenance), encoding="utf-8")
    return page


@dataclass(frozen=True)
class TableText:
    """A table of the page.

    Args:
        heading: its title.
        note: what stands in it.
        footnote: how to read it.
        columns: headings.
        rows: cells, as many a row as headings.
        file: that holds every row.
        remarks: name of a row -> what is to be said of it.
    """

    heading: str
    note: str
    footnote: str
    columns: Sequence[str]
    rows: Sequence[Sequence[tables.Cell]]
    file: str
    remarks: Mapping[str, str]


@dataclass(frozen=True)
class Part:
    """What a page says of runs of one kind.

    Args:
        name: of the kind; it begins the names of elements.
        heading: said where a page has several parts.
        figures: the table stands after the first.
        table: one row a series.
    """

    name: str
    heading: str
    figures: Sequence[Figure]
    table: TableText


def _parts(results: Results, summaries: Sequence[Summary], texts: Sequence[TextSummary]) -> list[Part]:
    parts: list[Part] = []
    if summaries:
        note = (
            "Mean over lengths and seeds, rounded down: 100.0 says that no string at all was misclassified. Below each "
            "score stands its 95 % Wilson interval, below the worst length its mean."
        )
        footnote = (
            "The intervals speak of these trained models and fresh strings, not of other seeds. Where all lengths are "
            "prefixes of the same strings, they are not independent of each other, and the interval counts each string "
            "once. Near misses are strings one or two edits away from another class. Every row: "
        )
        cells = tables.columns(summaries), tables.rows(summaries)
        table = TableText("Accuracy in percent", note, footnote, *cells, "accuracy.csv", {})
        parts.append(Part("strings", "Runs on strings", _figures(results, summaries), table))
    if texts:
        reasons = {summary.series: f"{summary.verdict}: {summary.reason}." for summary in texts}
        footnote = "The verdict is the worst over seeds. Every row: "
        cells = text_columns(texts), text_rows(texts)
        table = TableText(
            "Perplexity beyond the training context", TABLE_NOTE, footnote, *cells, "diagnosis.csv", reasons
        )
        parts.append(Part("text", "Runs on text", text_figures(results.text, texts), table))
    return parts


def _figures(results: Results, summaries: Sequence[Summary]) -> list[Figure]:
    accuracy = Figure(
        name="accuracy",
        heading="Accuracy against length",
        note=_MARKS,
        caption=caption(summaries),
        panels=[charts.accuracy_by_length(results, task) for task in results.tasks],
    )
    learning = Figure(
        name="learning",
        heading="Accuracy beyond the training length, as training went on",
        note=_SEEDS,
        caption=f"Accuracy on fresh strings of length {_curve_lengths(results)} against the training strings seen.",
        panels=[charts.learning_curve(results, task) for task in _tasks_in(results.learning)],
    )
    training = Figure(
        name="training",
        heading="Accuracy in training",
        note=_SEEDS,
        caption="Accuracy on the training batches, each of one length, against the training strings seen.",
        panels=[charts.training_accuracy(results, task) for task in _tasks_in(results.training)],
    )
    return [figure for figure in (accuracy, learning, training) if figure.panels]


def _tasks_in(rows: pl.DataFrame) -> list[str]:
    return rows["task"].unique(maintain_order=True).to_list()


def _curve_lengths(results: Results) -> str:
    longest = results.learning.group_by("task").agg(pl.col("length").max())["length"].unique().sort()
    return " or ".join(map(str, longest))


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


def _render(
    results: Results,
    summaries: Sequence[Summary],
    texts: Sequence[TextSummary],
    parts: Sequence[Part],
    provenance: dict[str, list[str]],
) -> str:
    environment = Environment(
        loader=PackageLoader("lengthwise.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    panels = {
        figure.name: {panel.title: charts.embedded(panel) for panel in figure.panels}
        for part in parts
        for figure in part.figures
    }
    return environment.get_template("page.html.j2").render(
        title=_title(summaries, texts),
        lead=_lead(results, summaries, texts),
        parts=parts,
        provenance=provenance,
        font=FONT,
        light=LIGHT,
        dark=DARK,
        # A name may hold what ends or nests a script element.
        panels=json.dumps(panels, separators=(",", ":")).replace("<", "\\u003c"),
        themes=json.dumps({"light": LIGHT.config(), "dark": DARK.config()}),
        vega=_vega(),
    )


def _title(summaries: Sequence[Summary], texts: Sequence[TextSummary]) -> str:
    said: list[str] = []
    if summaries:
        trained = sorted({summary.training_length for summary in summaries})
        tested = max(max([*summary.far, summary.longest]) for summary in summaries)
        said.append(f"Trained to length {' and '.join(map(str, trained))}, tested to {tested:,}")
    if texts:
        contexts = " and ".join(f"{context:,}" for context in sorted({summary.context for summary in texts}))
        said.append(f"Trained on windows of {contexts}, read to {max(summary.reach for summary in texts):,}")
    return "; ".join(said)


def _lead(results: Results, summaries: Sequence[Summary], texts: Sequence[TextSummary]) -> str:
    sentences: list[str] = []
    if summaries:
        sentences.append(_counts(results.runs, len(summaries), _count(len(results.tasks), "task")))
    if texts:
        sentences.append(_counts(results.text.runs, len(texts), "text"))
    return " ".join(sentences)


def _counts(runs: Sequence[Run], recipes: int, on: str) -> str:
    seeds = sorted({run.seed for run in runs})
    return (
        f"{_count(len(runs), 'run')} of {_count(recipes, 'recipe')} on {on}, "
        f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


@cache
def _vega() -> str:
    """Return the drawing library as one script that can stand inside a script element."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")
