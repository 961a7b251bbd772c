"""Sweeps: a recipe and axes of changes to it, expanded to one run for each combination and seed."""

from __future__ import annotations

import functools
import graphlib
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from lengthwise.errors import InputError
from lengthwise.registry import nearest_name
from lengthwise.runs.folder import run_path
from lengthwise.runs.overrides import apply_overrides
from lengthwise.runs.problems import explain
from lengthwise.runs.recipe import Name, Recipe, Seeds, load_recipe, validate_recipe
from lengthwise.runs.shipped import default_name, find_sweep, read_settings
from lengthwise.settings import Settings

_RESERVED = ("name", "makes", "seeds")
"""What the sweep decides for its recipes."""
_LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_BLANK = re.compile(r"\{([^{}]*)\}")
"""An axis in the name of a recipe, which stands for the label of the run."""


def _labels(value: Any) -> Any:
    """Read a label, or a list of them, as YAML gives them: a number or a word."""
    return tuple(map(str, value)) if isinstance(value, list) else (str(value),)


def _changes(changes: dict[str, Any]) -> dict[str, Any]:
    for path in changes:
        if path.partition(".")[0] in _RESERVED:
            raise ValueError(f"{path} is decided by the sweep, not by a part of it")
    return changes


def _spelt_out(axes: Any) -> Any:
    """Return axes with labels and changes where a list of values stands for them."""
    return {str(axis): _points(str(axis), points) for axis, points in axes.items()} if isinstance(axes, dict) else axes


def _points(axis: str, points: Any) -> Any:
    if isinstance(points, list):
        counts = [str(value) for value in points]
        if len(set(counts)) < len(counts):
            raise ValueError(f"axis {axis} lists the same value twice")
        return {str(value): {axis: value} for value in points}
    if isinstance(points, dict):
        return {str(label): {} if changes is None else changes for label, changes in points.items()}
    return points


Selector = dict[str, Annotated[tuple[str, ...], BeforeValidator(_labels)]]
"""Axis -> the label, or the labels, that are meant; of axes that are not named, all."""
Changes = Annotated[dict[str, Any], AfterValidator(_changes)]
"""Path of a setting -> its value; ``base`` names another recipe to start from, as `Sweep.base` does."""


class Rule(Settings):
    """Changes for some combinations only."""

    where: Selector
    """Which combinations."""
    set: Changes
    """Path of a setting -> its value."""


class Sweep(Settings):
    """A grid of runs."""

    name: Name
    """The folder of its runs, below that of all runs; by default where the sweep was found."""
    makes: str = ""
    """The figure or table that it makes."""
    base: str | None = None
    """The recipe that every run starts from: a shipped one, or a YAML file, whose path counts from that of the
    sweep. An axis in braces, as in ``fast/{task}``, stands for its label."""
    axes: Annotated[dict[str, dict[str, Changes]], BeforeValidator(_spelt_out), Field(min_length=1)]
    """Axis -> label -> changes. A list of values instead of labels makes the axis itself the path that they are for."""
    seeds: Seeds = (0,)
    """One run each."""
    exclude: tuple[Selector, ...] = ()
    """Combinations that are left out."""
    override: tuple[Rule, ...] = ()
    """Changes for some combinations, made after those of the axes, in order."""

    @model_validator(mode="after")
    def _check(self) -> Sweep:
        wrong = [label for label in (*self.axes, *_all_labels(self)) if not _LABEL.fullmatch(label)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} cannot be part of a folder's name; give it a label of letters and digits")
        if empty := [axis for axis, points in self.axes.items() if not points]:
            raise ValueError(f"axis {empty[0]} has no labels")
        for selector in (*self.exclude, *(rule.where for rule in self.override)):
            if problem := _selector_problem(selector, self.axes):
                raise ValueError(problem)
        return self


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Args:
        labels: axis -> label.
        recipe: resolved, under a name of its own.
        seed: of the initial parameters and of the data.
    """

    labels: Mapping[str, str]
    recipe: Recipe
    seed: int

    @property
    def key(self) -> tuple[str, int]:
        """What tells the runs of a sweep apart."""
        return self.recipe.name, self.seed

    @property
    def title(self) -> str:
        """The run in words."""
        return f"{self.recipe.name} seed {self.seed}"

    @property
    def start(self) -> tuple[str, int] | None:
        """The key of the run whose parameters it goes on from."""
        return (self.recipe.start, self.seed) if self.recipe.start else None

    def folder(self, root: Path) -> Path:
        """Return its folder below that of all runs."""
        return run_path(root, self.recipe.name, self.seed)


def load_sweep(name: str) -> tuple[Sweep, Path]:
    """Read a sweep.

    Args:
        name: a shipped name, or the path of a YAML file.

    Returns:
        The validated sweep, and the folder that the paths in it count from.

    Raises:
        InputError: there is no such sweep, it is not YAML, or settings in it are wrong; the message names each.
    """
    path = find_sweep(name)
    settings = {"name": default_name(path)} | read_settings(path, "sweep")
    if "axes" not in settings and {"model", "training"} & set(settings):
        raise InputError(f"{path} is a recipe, not a sweep: it has no axes; 'lengthwise train {name}' trains it")
    try:
        return Sweep.model_validate(settings), path.parent
    except ValidationError as error:
        problems = explain(error, Sweep.model_json_schema(), "the sweep")
        raise InputError(f"sweep {path}:\n{problems}") from error


def expand(sweep: Sweep, folder: Path = Path(), overrides: Sequence[str] = ()) -> list[SweepRun]:
    """Return all runs of a sweep: the first seed of every combination, then the next seed.

    Args:
        sweep: the grid.
        folder: what the paths of recipes count from.
        overrides: ``path=value`` each, for every run, made last.

    Raises:
        InputError: a recipe is wrong, two combinations give the same run, or runs go on from one another in a circle.
    """
    for override in overrides:
        if (path := override.partition("=")[0].strip()).partition(".")[0] in _RESERVED:
            raise InputError(f"--set {override}: {path} is decided by the sweep itself")

    @functools.cache
    def base(name: str) -> dict[str, Any]:
        local = name.endswith((".yaml", ".yml"))
        return load_recipe(str(folder / name) if local else name).settings()

    labels: dict[str, dict[str, str]] = {}
    recipes: dict[str, Recipe] = {}
    for point in _combinations(sweep):
        recipe = _recipe(sweep, point, base, overrides)
        if recipe.name in recipes:
            raise InputError(f"sweep {sweep.name}: two combinations of labels are both called {recipe.name}")
        labels[recipe.name], recipes[recipe.name] = point, recipe
    for name, start in _starts(sweep, recipes):
        recipes[name] = recipes[name].beginning(recipes[start].digest())
    digests: dict[str, str] = {}
    for name, recipe in recipes.items():
        if (twin := digests.setdefault(recipe.digest(), name)) != name:
            raise InputError(f"sweep {sweep.name}: {twin} and {name} are the same run; exclude one of them")
    return [SweepRun(labels[name], recipe, seed) for seed in sweep.seeds for name, recipe in recipes.items()]


def select(sweep: Sweep, runs: Sequence[SweepRun], only: Sequence[str]) -> list[SweepRun]:
    """Return the runs with some labels, and those that they go on from.

    Args:
        sweep: whose runs they are.
        runs: all of them.
        only: labels, written ``axis=label`` where several axes have one; labels of one axis are alternatives.

    Raises:
        InputError: no axis has the label, or several have.
    """
    wanted: dict[str, set[str]] = {}
    for text in only:
        axis, label = _find_label(sweep, text)
        wanted.setdefault(axis, set()).add(label)
    by_key = {run.key: run for run in runs}
    chosen: set[tuple[str, int]] = set()
    for run in runs:
        if all(run.labels[axis] in labels for axis, labels in wanted.items()):
            step: SweepRun | None = run
            while step is not None:
                chosen.add(step.key)
                step = by_key.get(step.start) if step.start else None
    return [run for run in runs if run.key in chosen]


def _all_labels(sweep: Sweep) -> list[str]:
    return [label for points in sweep.axes.values() for label in points]


def _selector_problem(selector: Selector, axes: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return what is wrong with the axes and labels of a selector."""
    for axis, labels in selector.items():
        if axis not in axes:
            return f"unknown axis {axis!r}; {nearest_name(axis, list(axes))}"
        for label in labels:
            if label not in axes[axis]:
                return f"axis {axis} has no label {label!r}; {nearest_name(label, list(axes[axis]))}"
    return None


def _check_selector(sweep: Sweep, selector: Selector, where: str) -> None:
    if problem := _selector_problem(selector, sweep.axes):
        raise InputError(f"sweep {sweep.name}, {where}: {problem}")


def _matches(selector: Selector, labels: Mapping[str, str]) -> bool:
    return all(labels[axis] in wanted for axis, wanted in selector.items())


def _combinations(sweep: Sweep) -> Iterable[dict[str, str]]:
    for point in itertools.product(*sweep.axes.values()):
        labels = dict(zip(sweep.axes, point, strict=True))
        if not any(_matches(selector, labels) for selector in sweep.exclude):
            yield labels


def _name(sweep: Sweep, labels: Mapping[str, str]) -> str:
    return f"{sweep.name}/{'-'.join(labels[axis] for axis in sweep.axes)}"


def _recipe(
    sweep: Sweep, labels: Mapping[str, str], load_base: Callable[[str], dict[str, Any]], overrides: Sequence[str]
) -> Recipe:
    name = _name(sweep, labels)
    changes = [change for axis, label in labels.items() for change in sweep.axes[axis][label].items()]
    changes += [item for rule in sweep.override if _matches(rule.where, labels) for item in rule.set.items()]
    base = ([sweep.base] + [value for path, value in changes if path == "base"])[-1]
    if base is None:
        raise InputError(f"sweep {sweep.name}: {name} starts from no recipe; say base: NAME in the sweep or in a label")
    for blank in _BLANK.findall(base):
        _check_selector(sweep, {blank.strip(): ()}, f"base {base}")
    base = _BLANK.sub(lambda blank: labels[blank[1].strip()], base)
    settings = apply_overrides(load_base(base), [*(change for change in changes if change[0] != "base"), *overrides])
    settings |= {"name": name, "makes": sweep.makes, "seeds": list(sweep.seeds)}
    if isinstance(start := settings.get("start"), dict):
        other = {str(axis): str(label) for axis, label in start.items()}
        _check_selector(sweep, {axis: (label,) for axis, label in other.items()}, f"start of {name}")
        settings["start"] = _name(sweep, {**labels, **other})
    return validate_recipe(settings, f"sweep {sweep.name}, {name}")


def _starts(sweep: Sweep, recipes: Mapping[str, Recipe]) -> list[tuple[str, str]]:
    """Return the recipes that start from another of the sweep, each with that one and after it."""
    starts = {name: recipe.start for name, recipe in recipes.items() if recipe.start}
    for name, start in starts.items():
        if start.startswith(f"{sweep.name}/") and start not in recipes:
            raise InputError(f"sweep {sweep.name}: {name} starts from {start}, which it leaves out")
    try:
        order = list(graphlib.TopologicalSorter({name: [start] for name, start in starts.items()}).static_order())
    except graphlib.CycleError as error:
        raise InputError(f"sweep {sweep.name}: {' -> '.join(error.args[1])} start from one another") from None
    return [(name, starts[name]) for name in order if starts.get(name) in recipes]


def _find_label(sweep: Sweep, text: str) -> tuple[str, str]:
    axis, separator, label = text.partition("=")
    if separator:
        _check_selector(sweep, {axis: (label,)}, f"--only {text}")
        return axis, label
    found = [axis for axis, points in sweep.axes.items() if text in points]
    if not found:
        raise InputError(f"sweep {sweep.name} has no label {text!r}; {nearest_name(text, _all_labels(sweep))}")
    if len(found) > 1:
        choices = " or ".join(f"{axis}={text}" for axis in found)
        raise InputError(f"several axes of sweep {sweep.name} have a label {text!r}; write {choices}")
    return found[0], text
