"""Published numbers beside those of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from lengthwise.report.charts import task_title
from lengthwise.report.rows import Results
from lengthwise.report.summary import Summary, percent, summarise
from lengthwise.report.tables import Cell
from lengthwise.tasks import get_task

COLUMNS = ("task", "published model", "our recipes", "published", "ours", "our best seed", "points apart")
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


@dataclass(frozen=True)
class Comparison:
    """A publication and the runs on its ground.

    Args:
        source: the publication.
        rows: as many cells a row as `COLUMNS`.
    """

    source: Source
    rows: Sequence[Sequence[Cell]]


@cache
def read_sources() -> tuple[Source, ...]:
    """Return the publications that ship with the package."""
    text = files("lengthwise.report").joinpath("published.yaml").read_text(encoding="utf-8")
    return tuple(Source(**source) for source in yaml.safe_load(text)["sources"])


def compare_published(results: Results) -> list[Comparison]:
    """Return the publications with a number for a model and task of a report, each with what it and the runs reach."""
    models = {(run.family, run.task): run.settings.get("model", {}) for run in results.runs}
    found: list[Comparison] = []
    for source in read_sources():
        summaries = summarise(results.within(source.values, source.longest))
        rows = [
            _row(source, summary, name, number)
            for task in results.tasks
            for name, number in source.values.get(task, {}).items()
            for summary in summaries
            if summary.task == task and summary.mean and _matches(models[summary.family, task], source.models[name])
        ]
        found += [Comparison(source, rows)] if rows else []
    return found


def _matches(model: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(_at(model, path) == value for path, value in wanted.items())


def _at(settings: Any, path: str) -> Any:
    for part in path.split("."):
        settings = settings.get(part) if isinstance(settings, Mapping) else None
    return settings


def _row(source: Source, summary: Summary, name: str, number: float) -> list[Cell]:
    values = list(summary.by_seed.values())
    mean = summary.mean.value if summary.mean else 0.0
    ours, best = (_scaled(value, summary.task) if source.scaled else value for value in (mean, max(values)))
    gap = 100 * ours - (100 * number if source.scaled else number)
    far = "*" if abs(gap) > _NEAR else ""
    return [
        Cell(task_title(summary.task)),
        Cell(name),
        Cell(summary.family),
        Cell(f"{number:.3f}" if source.scaled else f"{number:.1f}"),
        Cell(_written(ours, source.scaled), flawless=mean == 1),
        Cell(_written(best, source.scaled) if len(values) > 1 else "\N{EN DASH}"),
        Cell(f"{gap:+.1f}{far}".replace("-", "\N{MINUS SIGN}")),
    ]


def _written(value: float, scaled: bool) -> str:
    return f"{value:.3f}" if scaled else percent(value, 1)


def _scaled(value: float, task: str) -> float:
    chance = 1 / get_task(task).classes
    return (value - chance) / (1 - chance)
