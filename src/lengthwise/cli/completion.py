"""Completion: the names that a shell offers, and the paths that begin as the word does; nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Iterable
from glob import escape, glob
from pathlib import Path


def complete_recipe(incomplete: str) -> list[str]:
    """Return shipped recipes, and YAML files."""
    from lengthwise.runs.shipped import recipe_names

    return _beginning(recipe_names(), incomplete) + _files(incomplete)


def complete_sweep(incomplete: str) -> list[str]:
    """Return shipped sweeps, and YAML files."""
    from lengthwise.runs.shipped import sweep_names

    return _beginning(sweep_names(), incomplete) + _files(incomplete)


def complete_results(incomplete: str) -> list[str]:
    """Return shipped results, and folders."""
    from lengthwise.runs.shipped import result_names

    return _beginning(result_names(), incomplete) + _folders(incomplete)


def complete_task(incomplete: str) -> list[str]:
    """Return tasks and languages."""
    from lengthwise.tasks import LANGUAGES, TASKS

    return _beginning([*LANGUAGES, *TASKS], incomplete)


def complete_model(incomplete: str) -> list[str]:
    """Return what `lengthwise check` takes by name."""
    from lengthwise.models import MIXERS, MODELS

    return _beginning([*MODELS, *MIXERS], incomplete)


def complete_run(incomplete: str) -> list[str]:
    """Return the runs in ``runs``, and folders."""
    from lengthwise.runs.folder import find_runs

    root = Path("runs")
    runs = [str(run.path) for run in find_runs(root)] if root.is_dir() else []
    return _beginning(runs, incomplete) or _folders(incomplete)


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


# As strings, because what is offered begins as the word was written.
def _folders(incomplete: str) -> list[str]:
    return sorted(glob(f"{escape(incomplete)}*/"))  # noqa: PTH207


def _files(incomplete: str) -> list[str]:
    return sorted(glob(f"{escape(incomplete)}*.y*ml"))  # noqa: PTH207
