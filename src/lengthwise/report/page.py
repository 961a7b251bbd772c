"""The report: one page that needs nothing but itself, and the same figures as files beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined

from lengthwise.errors import RunError
from lengthwise.report import charts
from lengthwise.report.certificate_part import FILE, certificates_of
from lengthwise.report.certified import certificate_table
from lengthwise.report.figures import write_files
from lengthwise.report.grids import STEP_NAMES
from lengthwise.report.parts import REASONS, Part, TableText
from lengthwise.report.provenance import describe_provenance
from lengthwise.report.published import COLUMNS
from lengthwise.report.records import DIAGNOSIS
from lengthwise.report.rows import Results, Run
from lengthwise.report.string_part import string_parts
from lengthwise.report.summary import Summary
from lengthwise.report.text_part import TABLE_NOTE, text_figures
from lengthwise.report.text_summary import TextSummary, summarise_text
from lengthwise.report.text_tables import text_columns, text_rows
from lengthwise.report.theme import DARK, FONT, LIGHT

_COLUMNS = ["task", "recipe", "digest", "seed", "distribution", "length", "value", "samples", "training_length"]


def write_report(results: Results, out: Path) -> Path:
    """Write a page with figures and tables of some runs.

    Args:
        results: the runs, as `read_results` reads them.
        out: folder of the page; made where it is missing. Files of an earlier report in it are replaced.

    Returns:
        The page, ``out/index.html``. Beside it lie each figure and each table of models and tasks as SVG (also on dark
        ground), PNG and PDF, ``accuracy.csv`` with every row of runs on strings, ``diagnosis.csv`` with every row of
        runs on text, ``certificates.csv`` where runs have certificates, and ``provenance.json``.

    Raises:
        RunError: the folder cannot be made or a file in it not written.
    """
    try:
        return _write(results, out)
    except OSError as error:
        raise RunError(f"cannot write the report in {out}: {error.strerror or error}") from error


def _write(results: Results, out: Path) -> Path:
    parts, summaries = string_parts(results)
    texts = summarise_text(results.text)
    if texts:
        parts.append(_text_part(results, texts))
    out.mkdir(parents=True, exist_ok=True)
    for part in parts:
        if part.grid:
            write_files(part.grid.name, part.grid.specification, out)
        for figure in part.figures:
            figure.write(out)
    if summaries:
        results.accuracy.select(_COLUMNS).write_csv(out / "accuracy.csv")
    if texts:
        results.text.diagnosis.select("series", *DIAGNOSIS).write_csv(out / "diagnosis.csv")
    if certified := [one for _, one in certificates_of(results)]:
        certificate_table(certified).write_csv(out / FILE)
    provenance = describe_provenance(results)
    (out / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
    page = out / "index.html"
    page.write_text(_render(results, summaries, texts, parts, provenance), encoding="utf-8")
    return page


def _text_part(results: Results, texts: Sequence[TextSummary]) -> Part:
    reasons = {summary.series: [f"{summary.verdict}: {summary.reason}."] for summary in texts}
    footnote = "The verdict is the worst over seeds. Every row: "
    cells = text_columns(texts), text_rows(texts)
    table = TableText(
        "Perplexity beyond the training context", TABLE_NOTE, footnote, *cells, "diagnosis.csv", {REASONS: reasons}
    )
    return Part("text", "Runs on text", text_figures(results.text, texts), table)


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
        figure.name: {panel.title: _packed(charts.embedded(panel)) for panel in figure.panels}
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
        panels=_script(panels),
        details=_script({part.grid.name: part.grid.details for part in parts if part.grid}),
        step_names=STEP_NAMES,
        published_columns=COLUMNS,
        themes=json.dumps({"light": LIGHT.config(), "dark": DARK.config()}),
        vega=_vega(),
    )


def _packed(specification: dict[str, Any]) -> dict[str, Any]:
    """Return a specification whose rows are grouped by their words, which are most of the size of a page."""
    packed = {name: _groups(rows) for name, rows in specification["datasets"].items()}
    return specification | {"datasets": packed}


def _groups(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for row in rows:
        words = {name: value for name, value in row.items() if isinstance(value, str)}
        numbers = {name: value for name, value in row.items() if name not in words}
        key = json.dumps([words, list(numbers)])
        group = groups.setdefault(key, {"words": words, "names": list(numbers), "rows": []})
        group["rows"].append(list(numbers.values()))
    return list(groups.values())


def _script(value: Any) -> str:
    """Return JSON that can stand inside a script element: a name may hold what ends or nests one."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


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
