"""Post-training: a recipe that goes on from another run and changes only the state that its steps start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lengthwise.errors import InputError
from lengthwise.experiments.overrides import apply_overrides, replace_settings
from lengthwise.experiments.recipe import AnyRecipe, TextRecipe, validate_recipe
from lengthwise.experiments.results import run_path

LEARNING_RATE = 0.1
"""The peak learning rate of post-training as a fraction of that of the run it starts from."""


def post_training(
    base: AnyRecipe, seed: int, intervention: str, steps: int, overrides: Sequence[str] = ()
) -> TextRecipe:
    """Return the recipe that post-trains the run of another.

    Everything but the intervention, the steps and the learning rate, which peaks at a tenth, stays as it was.

    Args:
        base: the recipe of the trained run.
        seed: of the trained run.
        intervention: its name.
        steps: optimiser steps.
        overrides: ``path=value`` each, such as ``intervention.zero_probability=0``.

    Raises:
        InputError: the run was not trained on text, or the settings are wrong.

    Source: Buitrago Ruiz and Gu 2025, section 4: 500 steps; the learning rate is that of a replication.
    """
    if not isinstance(base, TextRecipe):
        raise InputError(f"recipe {base.name} is not of text: only language models are post-trained")
    rate = LEARNING_RATE * base.training.optimiser.learning_rate
    changes = {"start": base.name, "seeds": [seed], "training.steps": steps, "training.optimiser.learning_rate": rate}
    return changed_recipe(base, intervention, changes, overrides)


def changed_recipe(
    base: TextRecipe, intervention: str, changes: Mapping[str, Any], overrides: Sequence[str]
) -> TextRecipe:
    """Return a recipe whose steps start from other states."""
    settings = base.settings() | {
        "name": f"{base.name}.{intervention}",
        "makes": f"a post-trained {base.name}",
        "intervention": {"name": intervention},
    }
    changed = apply_overrides(replace_settings(settings, changes.items()), overrides)
    recipe = validate_recipe(changed, " ".join([f"post-training of {base.name}", *overrides]))
    assert isinstance(recipe, TextRecipe)  # it has a text
    return recipe


def runs_folder(run: Path, recipe: AnyRecipe, seed: int) -> Path:
    """Return the folder of all runs that a run lies in, relative where the run's folder is given so."""
    parents, depth = run.absolute().parents, recipe.name.count("/") + 1
    if len(parents) <= depth or run_path(parents[depth], recipe.name, seed) != run.absolute():
        raise InputError(
            f"run {run} should lie in {run_path(Path('RUNS'), recipe.name, seed)}: its post-trained runs go beside it"
        )
    given = run.parents
    return given[depth] if len(given) > depth else parents[depth]
