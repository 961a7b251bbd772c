"""``lengthwise list``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lengthwise.cli.arguments import RUNS
from lengthwise.cli.progress import print_table
from lengthwise.errors import InputError

DEFAULT_RUNS = Path("runs")


class What(StrEnum):
    """What can be listed."""

    MODELS = "models"
    INTERVENTIONS = "interventions"
    TASKS = "tasks"
    RECIPES = "recipes"
    RUNS = "runs"


def list_(
    what: Annotated[What, typer.Argument(show_default=False)],
    runs: Annotated[Path, RUNS] = DEFAULT_RUNS,
) -> None:
    """List what there is: models with mixers and operators, interventions, tasks, recipes, or the runs in a folder."""
    match what:
        case What.MODELS:
            _models()
        case What.INTERVENTIONS:
            _interventions()
        case What.TASKS:
            _tasks()
        case What.RECIPES:
            _recipes()
        case What.RUNS:
            _runs(runs)


def _models() -> None:
    from lengthwise.models import MIXERS, MODELS, OPERATORS

    print_table(("kind", "name"), [(r.kind, name) for r in (MODELS, MIXERS, OPERATORS) for name in r])


def _interventions() -> None:
    from lengthwise.interventions import INTERVENTIONS

    rows = [(name, str(INTERVENTIONS.load(name).__doc__).partition("\n")[0]) for name in INTERVENTIONS]
    print_table(("name", "settings"), rows)


def _tasks() -> None:
    from lengthwise.tasks import TASKS, get_task

    tasks = [get_task(name) for name in TASKS]
    rows = [(task.name, str(task.vocabulary), str(task.classes), str(getattr(task, "rule", ""))) for task in tasks]
    print_table(("name", "symbols", "classes", "rule"), rows)


def _recipes() -> None:
    import yaml

    from lengthwise.experiments.shipped import find_recipe, recipe_names

    rows: list[tuple[str, str, str]] = []
    for name in recipe_names():
        settings = yaml.safe_load(find_recipe(name).read_text(encoding="utf-8"))
        rows.append((name, str(settings.get("task", "text")), str(settings.get("makes", ""))))
    print_table(("name", "task", "makes"), rows)


def _runs(root: Path) -> None:
    from lengthwise.experiments.results import find_runs

    # Before the first run there is no folder of runs, and that is no mistake; one that was named should be there.
    if not root.is_dir() and (root.exists() or root != DEFAULT_RUNS):
        raise InputError(f"there is no folder {root} to list the runs of; --runs DIR names another")
    rows: list[tuple[str, str, str, str]] = []
    for run in find_runs(root):
        last = (run.metrics_rows() or [{}])[-1]
        loss = f"{last['loss']:.4f}" if last else "-"
        rows.append((str(run.path.relative_to(root)), run.status, str(last.get("step", 0)), loss))
    print_table(("run", "status", "step", "loss"), rows)
