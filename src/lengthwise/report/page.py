"""The report: one page that needs nothing but itself, and the same figures as files beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import polars as pl
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined

from lengthwise.report import charts, tables
from lengthwise.report.panels import Panel
from lengthwise.report.provenance import describe_provenance
from lengthwise.report.rows import Results
from lengthwise.report.summary import Summary, percent, summarise
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
        ``accuracy.csv`` with every row, and ``provenance.json``.
    """
    summaries = summarise(results)
    out.mkdir(parents=True, exist_ok=True)
    figures = _figures(results, summaries)
    for figure in figures:
        _write_figure(figure, out)
    results.accuracy.select(_COLUMNS).write_csv(out / "accuracy.csv")
    provenance = describe_provenance(results)
    (out / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
    page = out / "index.html"
    page.write_text(_render(results, summaries, figures, provenance), encoding="utf-8")
    return page


@dataclass(frozen=True)
class Figure:
    """A figure of one panel a task.

    Args:
        name: of its files.
        heading: its title.
        note: what the marks mean.
        caption: what one sees.
        panels: one a task.
    """

    name: str
    heading: str
    note: str
    caption: str
    panels: list[Panel]


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


def _write_figure(figure: Figure, out: Path) -> None:
    for suffix, theme in (("", LIGHT), ("-dark", DARK)):
        specification = charts.overview(figure.panels, figure.heading, figure.note, theme)
        svg = vl_convert.vegalite_to_svg(specification)
        (out / f"{figure.name}{suffix}.svg").write_text(svg, encoding="utf-8")
        if theme is LIGHT:
            (out / f"{figure.name}.png").write_bytes(vl_convert.svg_to_png(svg, scale=2))


def _render(
    results: Results, summaries: Sequence[Summary], figures: Sequence[Figure], provenance: dict[str, list[str]]
) -> str:
    environment = Environment(
        loader=PackageLoader("lengthwise.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    panels = {figure.name: {panel.title: charts.embedded(panel) for panel in figure.panels} for figure in figures}
    return environment.get_template("page.html.j2").render(
        title=_title(summaries),
        lead=_lead(results, summaries),
        figures=figures,
        columns=tables.columns(summaries),
        rows=tables.rows(summaries),
        provenance=provenance,
        font=FONT,
        light=LIGHT,
        dark=DARK,
        # A name may hold what ends or nests a script element.
        panels=json.dumps(panels, separators=(",", ":")).replace("<", "\\u003c"),
        themes=json.dumps({"light": LIGHT.config(), "dark": DARK.config()}),
        vega=_vega(),
    )


def _title(summaries: Sequence[Summary]) -> str:
    trained = sorted({summary.training_length for summary in summaries})
    tested = max(max([*summary.far, summary.longest]) for summary in summaries)
    return f"Trained to length {' and '.join(map(str, trained))}, tested to {tested:,}"


def _lead(results: Results, summaries: Sequence[Summary]) -> str:
    def count(number: int, noun: str) -> str:
        return f"{number} {noun}{'' if number == 1 else 's'}"

    seeds = sorted({run.seed for run in results.runs})
    return (
        f"{count(len(results.runs), 'run')} of {count(len(summaries), 'recipe')} on "
        f"{count(len(results.tasks), 'task')}, {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}."
    )


@cache
def _vega() -> str:
    """Return the drawing library as one script that can stand inside a script element."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")
