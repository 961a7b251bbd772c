"""``lengthwise list``."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lengthwise.cli.arguments import RUNS
from lengthwise.cli.progress import print_table
from lengthwise.errors import InputError
from lengthwise.registry import BrokenPluginError, Registry, failed_plugin

DEFAULT_RUNS = Path("runs")
Members = Literal[
    "models", "interventions", "objectives", "curricula", "metrics", "diagnostics", "sections", "trackers"
]
"""What is listed as the members of registries."""
What = Literal[Members, "tasks", "recipes", "results", "runs"]
"""What can be listed."""

_REGISTRIES = {
    "models": ("lengthwise.models:MODELS", "lengthwise.models:MIXERS", "lengthwise.models:OPERATORS"),
    "interventions": ("lengthwise.interventions:INTERVENTIONS",),
    "objectives": ("lengthwise.training:OBJECTIVES",),
    "curricula": ("lengthwise.training:CURRICULA",),
    "metrics": ("lengthwise.evaluation:METRICS",),
    "diagnostics": ("lengthwise.evaluation:DIAGNOSTICS",),
    "trackers": ("lengthwise.training:TRACKERS",),
    "sections": ("lengthwise.report.parts:SECTIONS",),
}
"""Where the registries are."""


def list_(
    what: Annotated[What, typer.Argument(show_default=False)],
    runs: Annotated[Path, RUNS] = DEFAULT_RUNS,
) -> None:
    """List what there is: models with mixers and operators, tasks, recipes, results, the runs of a folder, ..."""
    others = {"tasks": _tasks, "recipes": _recipes, "results": _results, "runs": lambda: _runs(runs)}
    if what in others:
        others[what]()
    else:
        registries: list[Registry] = [pkgutil.resolve_name(place) for place in _REGISTRIES[what]]
        rows = [
            (registry.kind, name, _about(registry.load, name, _first_line))
            for registry in registries
            for name in registry
        ]
        print_table(("kind", "name", "about"), rows)


def _about(load: Callable[[str], Any], name: str, read: Callable[[Any], str]) -> str:
    """Return what is to be read of a member, or why that of another package is broken."""
    try:
        return read(load(name))
    except BrokenPluginError as error:
        return f"broken: {error}"
    except Exception as error:
        if said := failed_plugin(error):
            return f"broken: {said}"
        raise


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").partition("\n")[0]


def _tasks() -> None:
    from lengthwise.tasks import LANGUAGES, TASKS, get_language

    rows = [("task", name, _about(TASKS.load, name, _first_line)) for name in TASKS]
    rows += [("language", name, _about(get_language, name, lambda language: language.rule)) for name in LANGUAGES]
    print_table(("kind", "name", "rule"), rows)


def _recipes() -> None:
    from lengthwise.runs.shipped import find_recipe, read_settings, recipe_names
    from lengthwise.tasks import spell_task

    rows: list[tuple[str, str, str]] = []
    for name in recipe_names():
        settings = read_settings(find_recipe(name), "recipe")
        task = spell_task(settings.get("task"))
        label = task.get("language") or task.get("name") if isinstance(task, dict) else None
        rows.append((name, str(label or settings.get("base", "")), str(settings.get("makes", ""))))
    print_table(("name", "task", "makes"), rows)


def _results() -> None:
    from lengthwise.runs.shipped import result_names

    print_table(("name",), [(name,) for name in result_names()])


def _runs(root: Path) -> None:
    from lengthwise.runs.folder import find_runs

    # Before the first run there is no folder of runs, and that is no mistake; one that was named should be there.
    if not root.is_dir() and (root.exists() or root != DEFAULT_RUNS):
        raise InputError(f"there is no folder {root} to list the runs of; --runs DIR names another")
    rows: list[tuple[str, str, str, str]] = []
    for run in find_runs(root):
        last = (run.metrics_rows() or [{}])[-1]
        loss = "-" if last.get("loss") is None else f"{last['loss']:.4f}"
        rows.append((str(run.path.relative_to(root)), run.status, str(last.get("step", 0)), loss))
    print_table(("run", "status", "step", "loss"), rows)
