"""Recipes: everything that decides what a run computes, as one validated document."""

from __future__ import annotations

import functools
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from lengthwise.errors import InputError
from lengthwise.evaluation.accuracy import EvaluationConfig
from lengthwise.experiments.diagnosis import DiagnosisConfig
from lengthwise.experiments.overrides import apply_overrides
from lengthwise.experiments.problems import explain
from lengthwise.experiments.shipped import default_name, find_recipe, read_settings
from lengthwise.interventions import INTERVENTIONS
from lengthwise.interventions.base import InterventionConfig
from lengthwise.interventions.zero import ZeroConfig
from lengthwise.models import MODELS
from lengthwise.models.base import ModelConfig
from lengthwise.models.budget import within_budget
from lengthwise.registry import OneOf
from lengthwise.tasks import get_task
from lengthwise.tasks.corpus import Corpus, TextConfig
from lengthwise.training.config import TextTrainingConfig, TrainingConfig


def _known_task(name: str) -> str:
    try:
        get_task(name)
    except InputError as error:
        raise ValueError(str(error)) from error
    return name


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"the same seed is listed twice: {', '.join(map(str, seeds))}")
    return seeds


_ORDER = (
    *("name", "makes", "task", "text", "model", "parameters", "intervention", "start"),
    *("training", "evaluation", "seeds", "device", "threads"),
)
"""How a recipe reads, whichever class declares a section."""


class Recipe(BaseModel, ABC):
    """What every recipe says."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$")
    """The folder of its runs, below that of all runs; by default where the recipe was found."""
    makes: str = ""
    """The figure or table that it makes."""
    model: Annotated[ModelConfig, OneOf(MODELS)]
    """The model and its settings."""
    # Left out of resolved recipes where there is none: they are as they were before there were budgets.
    parameters: int | None = Field(default=None, ge=1, exclude_if=lambda parameters: parameters is None)
    """About how many numbers are trained: a ``model.width`` that is left out is solved for, and one that is given must
    come within a tenth of this. The recipe's digest knows the width alone."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], AfterValidator(_distinct)] = Field((0,), min_length=1)
    """One run each."""
    device: Literal["cpu", "cuda", "mps", "auto"] = "cpu"
    """``auto`` takes the fastest there is."""
    threads: int = Field(1, ge=1)
    """Threads of each operation on the CPU."""

    @model_validator(mode="after")
    def _keep_to_the_budget(self) -> Self:
        if self.parameters is not None:
            try:
                fitted = within_budget(self.model, *self._symbols_and_classes(), self.parameters)
            except InputError as error:
                raise ValueError(str(error)) from error
            # The recipe is frozen, but not before it is made.
            object.__setattr__(self, "model", fitted)
        return self

    @abstractmethod
    def _symbols_and_classes(self) -> tuple[int, int]:
        """Return how many symbols the model reads, and how many classes it tells apart."""

    @property
    def model_name(self) -> str:
        """The name of the mixer, or of the model where it has none."""
        settings = self.settings()["model"]
        return str((settings.get("mixer") or settings)["name"])

    def settings(self) -> dict[str, Any]:
        """Return the resolved recipe as plain mappings, lists and values."""
        dumped = self.model_dump(mode="json")
        return {key: dumped[key] for key in sorted(dumped, key=_ORDER.index)}

    def to_yaml(self) -> str:
        """Return the resolved recipe as YAML that `load_recipe` reads back."""
        return yaml.safe_dump(self.settings(), sort_keys=False, allow_unicode=True, width=110)

    def digest(self) -> str:
        """Return a hash of all that decides the numbers; with the seed it is the key of a run."""
        settings = self.model_dump(mode="json", exclude={"name", "makes", "seeds", "parameters"})
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


class StringRecipe(Recipe):
    """A model is trained on the strings of a language and evaluated by length."""

    start: ClassVar[str | None] = None
    task: Annotated[str, AfterValidator(_known_task)]
    """The name of a task, ``regex:PATTERN`` or ``dfa:PATH``."""
    training: TrainingConfig = TrainingConfig()
    """How it is trained."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """At which lengths it is evaluated."""

    def _symbols_and_classes(self) -> tuple[int, int]:
        task = get_task(self.task)
        return task.vocabulary, task.classes


class TextRecipe(Recipe):
    """A language model is trained on windows of text and diagnosed far beyond them."""

    text: TextConfig
    """Which text, and how it becomes symbols."""
    intervention: Annotated[InterventionConfig, OneOf(INTERVENTIONS)] = ZeroConfig()
    """Which state every training step starts from."""
    start: str | None = Field(None, min_length=1)
    """The recipe whose run of the same seed, in the same folder of runs, gives the parameters to go on from; fresh
    ones by default."""
    training: TextTrainingConfig = TextTrainingConfig()
    """How it is trained."""
    evaluation: DiagnosisConfig = DiagnosisConfig()
    """What is measured, and up to which length."""

    def _symbols_and_classes(self) -> tuple[int, int]:
        symbols = Corpus.load(self.text).vocabulary
        return symbols, symbols


AnyRecipe = StringRecipe | TextRecipe


@functools.cache
def recipe_schema(kind: type[Recipe] | None = None) -> dict[str, Any]:
    """Return the JSON Schema of recipes, for editors.

    Args:
        kind: of these recipes only; of any by default.
    """
    schema = (TypeAdapter[Any](AnyRecipe) if kind is None else TypeAdapter[Any](kind)).json_schema()
    # The loader fills the name in.
    for one in [schema] if kind else [schema["$defs"]["StringRecipe"], schema["$defs"]["TextRecipe"]]:
        one["required"].remove("name")
    return schema


def load_recipe(name: str, overrides: Sequence[str] = ()) -> AnyRecipe:
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
    settings = read_settings(path, "recipe")
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


def validate_recipe(settings: dict[str, Any], source: str) -> AnyRecipe:
    """Return the recipe that nested settings describe.

    Args:
        settings: as `Recipe.settings` returns them, with defaults left out at will.
        source: where they come from, as error messages say it.

    Raises:
        InputError: settings are wrong; the message names each.
    """
    kind = TextRecipe if "text" in settings else StringRecipe
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        raise InputError(f"{source}:\n{explain(error, settings, recipe_schema(kind))}") from error
