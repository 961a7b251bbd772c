"""Published numbers beside those of a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from lengthwise.report.parts import WORDS, Cell, Drawn, Section, Spread, TableText
from lengthwise.report.results import Results, setting, title
from lengthwise.report.summary import Summary, summarise
from lengthwise.report.words import NONE, percent, shipped
from lengthwise.tasks import get_language

_NEAR = 5.0
"""Points up to which a gap is not pointed out."""


@dataclass(frozen=True)
class Source:
    """Numbers of one publication.

    Args:
        citation: authors, year and title.
        link: where it is.
        measure: what its numbers are.
        models: its name of a model -> path below ``model`` in a recipe -> value of the runs that are compared with it.
        values: task -> its name of a model -> number.
        scaled: whether numbers are from 0 for guessing to 1, instead of percent.
        longest: the longest strings that it tested on; ours are read no further beside them.
    """

    citation: str
    link: str
    measure: str
    models: Mapping[str, Mapping[str, Any]]
    values: Mapping[str, Mapping[str, float]]
    scaled: bool = False
    longest: int = 500


@cache
def read_sources() -> tuple[Source, ...]:
    """Return the publications that ship with the package."""
    return tuple(Source(**source) for source in shipped("published.yaml")["sources"])


class Published(Section):
    """A table a publication: each of its numbers for a model and task of the runs, and what these reach."""

    def applies(self, results: Results) -> bool:
        """Whether there are models of publications: among variants of one unit only its operators are."""
        operators = {setting(run.settings, "model.operator.name") for run in results.runs}
        return (not results.variants or len(operators) > 1) and bool(beside(results))

    def draw(self, results: Results) -> Drawn:
        """Return the tables, in the order of the sources."""
        tables = [
            TableText(
                name=f"{results.prefix}published-{number}",
                heading=source.citation,
                **WORDS["published"] | {"note": WORDS["published"]["note"].format(**vars(source))},
                rows=rows,
                link=source.link,
            )
            for number, (source, rows) in enumerate(beside(results), start=1)
        ]
        return Drawn(tables, "Beside published numbers")


@lru_cache(maxsize=4)
def beside(results: Results) -> list[tuple[Source, list[list[Cell]]]]:
    """Return the publications with a number for a model and task of the runs, each with a row a number and series."""
    found: list[tuple[Source, list[list[Cell]]]] = []
    for source in read_sources():
        summaries = summarise(results.within(source.values, source.longest))
        rows = [
            _row(source, summary, summary.mean, name, number)
            for task in dict.fromkeys(summary.task for summary in summaries)
            for name, number in source.values[task].items()
            for summary in summaries
            if summary.task == task and summary.mean and _matches(summary, source.models[name])
        ]
        found += [(source, rows)] if rows else []
    return found


def _matches(summary: Summary, wanted: Mapping[str, Any]) -> bool:
    settings = summary.runs[0].settings
    return all(setting(settings, f"model.{path}") == value for path, value in wanted.items())


def _row(source: Source, summary: Summary, mean: Spread, name: str, number: float) -> list[Cell]:
    values = (mean.value, max(mean.by_seed.values()))
    ours, best = (_scaled(value, summary.task) if source.scaled else value for value in values)
    gap = 100 * ours - (100 * number if source.scaled else number)
    far = abs(gap) > _NEAR
    return [
        Cell(title(summary.task)),
        Cell(name),
        Cell(summary.family),
        Cell(f"{number:.3f}" if source.scaled else f"{number:.1f}"),
        Cell(_written(ours, source.scaled), style="good" if mean.value == 1 else ""),
        Cell(_written(best, source.scaled) if len(mean.by_seed) > 1 else NONE),
        Cell(f"{gap:+.1f}{'*' if far else ''}".replace("-", "\N{MINUS SIGN}"), style="far" if far else ""),
    ]


def _written(value: float, scaled: bool) -> str:
    return f"{value:.3f}" if scaled else percent(value, 1)


def _scaled(value: float, task: str) -> float:
    chance = 1 / get_language(task).classes
    return (value - chance) / (1 - chance)
