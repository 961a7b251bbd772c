"""Recipes: everything that decides what a run computes, as one validated document."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)

from lengthwise.errors import InputError, as_value_error
from lengthwise.evaluation.config import Evaluation
from lengthwise.interventions import INTERVENTIONS
from lengthwise.interventions.base import InterventionConfig
from lengthwise.interventions.zero import ZeroConfig
from lengthwise.models import MODELS
from lengthwise.models.base import ModelConfig
from lengthwise.models.budget import within_budget
from lengthwise.registry import OneOf
from lengthwise.runs.migrate_recipe import FORMAT, migrate
from lengthwise.runs.overrides import apply_overrides, merged
from lengthwise.runs.problems import explain
from lengthwise.runs.shipped import default_name, find_recipe, read_settings
from lengthwise.settings import SEED, Settings
from lengthwise.tasks import TASKS, spell_task
from lengthwise.tasks.base import Task
from lengthwise.training import OBJECTIVES
from lengthwise.training.config import TrainingConfig
from lengthwise.training.objectives.asked import AskedConfig
from lengthwise.training.objectives.base import ObjectiveConfig


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"the same seed is listed twice: {', '.join(map(str, seeds))}")
    return seeds


_NAMING = ("task", "model")
"""Sections with names of files, which stand for their content."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$")]
"""A path of folders below that of all runs."""
Seed = Annotated[int, Field(ge=0, le=SEED)]
Seeds = Annotated[tuple[Seed, ...], AfterValidator(_distinct), Field(min_length=1, max_length=1000)]


class Recipe(Settings):
    """A model is trained on a task and measured, once a seed."""

    format: Literal[2] = FORMAT
    """Of recipes; older ones are migrated as they are read."""
    name: Name
    """The folder of its runs, below that of all runs; by default where the recipe was found."""
    makes: str = ""
    """The figure or table that it makes."""
    task: Annotated[Task, OneOf(TASKS), BeforeValidator(spell_task)]
    """What is learned: its settings, or the name of a task or of a regular language, ``regex:PATTERN``,
    ``group:NAME`` or ``dfa:PATH``."""
    model: Annotated[ModelConfig, OneOf(MODELS)]
    """The model and its settings."""
    parameters: int | None = Field(default=None, ge=1, le=10**15, exclude_if=lambda parameters: parameters is None)
    """About how many numbers are trained: a ``model.width`` that is left out is solved for, and one that is given must
    come within a tenth of this. The recipe's digest knows the width alone."""
    objective: Annotated[ObjectiveConfig, OneOf(OBJECTIVES)] = AskedConfig()
    """Which answers count in training, and how."""
    intervention: Annotated[InterventionConfig, OneOf(INTERVENTIONS)] = ZeroConfig()
    """Which state every training sequence starts from."""
    start: str | None = Field(None, min_length=1)
    """The recipe whose run of the same seed, in the same folder of runs, gives the parameters to go on from; fresh
    ones by default."""
    training: TrainingConfig = TrainingConfig()
    """How it is trained."""
    evaluation: Evaluation = Evaluation()
    """What is measured: a section for each diagnostic; those of the task by default."""
    seeds: Seeds = (0,)
    """One run each."""
    device: Literal["cpu", "cuda", "mps", "auto"] = "cpu"
    """``auto`` takes the fastest there is."""
    threads: int = Field(1, ge=1, le=512)
    """Threads of each operation on the CPU."""
    content: dict[str, str] | None = Field(default=None, exclude_if=lambda content: content is None)
    """What names in the recipe stood for when a run began, such as the hash of an automaton's file; a run whose recipe
    stands for something else is refused."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        # The recipe is frozen, but not before it is made.
        object.__setattr__(self, "evaluation", self.evaluation.filled(self.task.diagnostics))
        if self.parameters is not None:
            with as_value_error():
                fitted = within_budget(self.model, self.task.inputs, self.task.outputs, self.parameters)
            object.__setattr__(self, "model", fitted)
        return self

    @property
    def model_name(self) -> str:
        """The name of the mixer, or of the model where it has none."""
        settings = self.settings()["model"]
        return str((settings.get("mixer") or settings)["name"])

    def settings(self) -> dict[str, Any]:
        """Return the resolved recipe as plain mappings, lists and values."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Return the resolved recipe as YAML that `load_recipe` reads back."""
        return yaml.safe_dump(self.settings(), sort_keys=False, allow_unicode=True, width=110)

    def stands_for(self) -> dict[str, str]:
        """Return what names in the recipe stand for now: files by their content, plug-ins by package and version."""
        found = {name: identity for name in _NAMING if (identity := getattr(self, name).identity())}
        for place, plugin in _plugins(self):
            found[place] = f"{found[place]} of {plugin}" if place in found else plugin
        return found

    @property
    def has_checkpoint(self) -> bool:
        """Whether a run has its parameters in a file: else they are those that the model is built with."""
        return bool(self.training.steps or self.start)

    def told_apart(self, ending: str = "") -> Recipe:
        """Return the recipe with a name that ends with its digest: runs with other settings lie beside each other.

        Args:
            ending: comes before the digest.
        """
        return self.model_copy(update={"name": f"{self.name}{ending}-{self.digest()[:8]}"})

    def beginning(self, start: str | None = None) -> Recipe:
        """Return the recipe as a run of it begins: with what its names stand for now.

        Args:
            start: the digest of the recipe that gave the parameters of the run it starts from, where that is known.
        """
        return self.model_copy(update={"content": self.stands_for() | ({"start": start} if start else {})})

    def sealed(self) -> Recipe:
        """Return the recipe with what its names stand for.

        Raises:
            InputError: it was sealed before, and they stand for something else now.
        """
        then = self.content
        now = self.beginning((then or {}).get("start")).content or {}
        if then is not None and "model" not in then and self.model.identity():
            # From before checkpoints were known by their content.
            now = {place: what for place, what in now.items() if place != "model"}
        if then is not None and then != now:
            raise InputError(
                f"recipe {self.name} stands for something else than when its run began "
                f"({'; '.join(differences(then, now))}): "
                "a file, a text or a package has changed; give the run another name, or take the change back"
            )
        return self.model_copy(update={"content": now})

    def digest(self) -> str:
        """Return a hash of all that decides the numbers; with the seed it is the key of a run."""
        return digest_of(self, self.stands_for() if self.content is None else self.content)


def digest_of(recipe: Recipe, content: Mapping[str, str]) -> str:
    """Return the digest of a recipe whose names stand for something.

    Settings at their defaults are left out, so that a setting that is new leaves older digests as they are. A default
    that changes needs a new format of recipes, whose migration writes the old value down.

    Args:
        recipe: the recipe.
        content: as `Recipe.stands_for` returns it.
    """
    without = {"name", "makes", "seeds", "parameters", "content", *({"start"} & set(content))}
    settings = {name: value for name, value in _telling(recipe).items() if name not in without}
    # Who watches decides no number.
    if settings.get("training", {}).pop("trackers", None) and not settings["training"]:
        del settings["training"]
    # Runs from before checkpoints were known by their content know them by their path.
    named = [name for name in _NAMING if name == "task" or name in content]
    for path in (f"{name}.{path}" for name in named for path in getattr(recipe, name).paths()):
        *sections, last = path.split(".")
        section = functools.reduce(lambda inner, name: inner.get(name, {}), sections, settings)
        if last in section:
            section[last] = "content"
    return hashlib.sha256(json.dumps([settings, dict(content)], sort_keys=True).encode()).hexdigest()[:16]


def _telling(settings: BaseModel) -> dict[str, Any]:
    """Return what of some settings is no default, and their ``name``, which tells of which kind they are."""
    dumped, found = settings.model_dump(mode="json"), dict[str, Any]()
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if name == "name" or field.is_required() or value != field.get_default(call_default_factory=True):
            found[name] = _telling(value) if isinstance(value, BaseModel) else dumped.get(name)
    return found


def _plugins(settings: BaseModel, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield the sections that another package defines, each with the package and its version."""
    top = type(settings).__module__.partition(".")[0]
    if top != "lengthwise":
        names = importlib.metadata.packages_distributions().get(top, [])
        yield place, " ".join(f"{name}=={importlib.metadata.version(name)}" for name in sorted(set(names))) or top
    for name in type(settings).model_fields:
        if isinstance(section := getattr(settings, name), BaseModel):
            yield from _plugins(section, f"{place}.{name}".strip("."))


@functools.cache
def recipe_schema() -> dict[str, Any]:
    """Return the JSON Schema of files of recipes, for editors; with a base, sections may leave anything out."""
    whole = _resolved_schema()
    properties = whole["properties"] | {"base": {"type": "string", "description": "A recipe, where this says nothing."}}
    properties["task"] = {"anyOf": [{"type": "string"}, properties["task"]]}
    parts = {name: _part(schema) for name, schema in properties.items()}
    of_part = {"properties": parts, "additionalProperties": False}
    of_whole = whole | {"properties": properties}
    return {"$defs": of_whole.pop("$defs"), "if": {"required": ["base"]}, "then": of_part, "else": of_whole}


def _part(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a setting on top of a base: of sections only that they are sections."""
    if "discriminator" in schema or "$ref" in schema:
        return {"type": "object"}
    return schema | ({"anyOf": [_part(choice) for choice in schema["anyOf"]]} if "anyOf" in schema else {})


@functools.cache
def _resolved_schema() -> dict[str, Any]:
    """Return the JSON Schema of settings on top of their base."""
    schema = Recipe.model_json_schema()
    # The loader fills the name in.
    schema["required"].remove("name")
    return schema


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        name: the name of a shipped recipe, such as ``fast/parity``, or the path of a YAML file.
        overrides: ``path=value`` each, such as ``training.steps=100``.

    Returns:
        The validated recipe, all defaults filled in.

    Raises:
        InputError: there is no such recipe, it is not YAML, or settings in it are wrong; the message names each.
    """
    path = find_recipe(name)
    settings = _with_base(path)
    settings.setdefault("name", default_name(path))
    recipe = validate_recipe(settings, f"recipe {path}")
    if not overrides:
        return recipe
    # Onto the resolved settings, so that paths lead through sections that the file leaves at their defaults.
    resolved = recipe.settings()
    if "width" not in settings["model"]:
        # A default or a solution: with other settings it may be another.
        resolved["model"].pop("width", None)
    return validate_recipe(apply_overrides(resolved, overrides), f"recipe {path} with {' '.join(overrides)}")


def validate_recipe(settings: dict[str, Any], source: str) -> Recipe:
    """Return the recipe that nested settings describe, migrated where they are of an older format.

    Args:
        settings: as `Recipe.settings` returns them, with defaults left out at will.
        source: where they come from, as error messages say it.

    Raises:
        InputError: settings are wrong; the message names each.
    """
    try:
        return Recipe.model_validate(migrate(settings))
    except ValidationError as error:
        raise InputError(f"{source}:\n{explain(error, _resolved_schema())}") from error


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the settings in which two recipes differ, each as ``path: old, now new``."""
    found: list[str] = []
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}: {before!r}, now {after!r}")
    return found


def _with_base(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the settings in a file, on top of those of its base."""
    if path in above:
        raise InputError(f"recipes are based on one another in a circle: {' -> '.join(map(str, (*above, path)))}")
    settings = read_settings(path, "recipe")
    base = settings.pop("base", None)
    settings = migrate(settings)
    if "task" in settings:
        settings["task"] = spell_task(settings["task"])
    if base is None:
        return settings
    if not isinstance(base, str):
        raise InputError(f"recipe {path}: base: the name of a recipe or a YAML file, not {base!r}")
    local = path.parent / base
    below = local if base.endswith((".yaml", ".yml")) and local.is_file() else find_recipe(base)
    return merged(_with_base(below, (*above, path)), settings)
