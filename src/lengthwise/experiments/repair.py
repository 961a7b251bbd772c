"""Post-training: a recipe that goes on from another run and changes only the state that its steps start from."""

from __future__ import annotations

from typing import Any

from lengthwise.errors import InputError
from lengthwise.experiments.recipe import AnyRecipe, TextRecipe, validate_recipe

LEARNING_RATE = 0.1
"""The peak learning rate of post-training as a fraction of that of the run it starts from."""


def post_training(base: AnyRecipe, seed: int, intervention: dict[str, Any], steps: int) -> TextRecipe:
    """Return the recipe that post-trains the run of another.

    Everything but the intervention, the steps and the learning rate, which peaks at a tenth, stays as it was.

    Args:
        base: the recipe of the trained run.
        seed: of the trained run.
        intervention: settings with a ``name``.
        steps: optimiser steps.

    Raises:
        InputError: the run was not trained on text, or the settings are wrong.

    Source: Buitrago Ruiz and Gu 2025, section 4: 500 steps; the learning rate is that of a replication.
    """
    if not isinstance(base, TextRecipe):
        raise InputError(f"recipe {base.name} is not of text: only language models are post-trained")
    settings = base.settings()
    optimiser = settings["training"]["optimiser"]
    settings |= {
        "name": f"{base.name}.{intervention.get('name')}",
        "makes": f"a post-trained {base.name}",
        "start": base.name,
        "seeds": [seed],
        "intervention": intervention,
    }
    settings["training"] |= {
        "steps": steps,
        "optimiser": optimiser | {"learning_rate": LEARNING_RATE * optimiser["learning_rate"]},
    }
    recipe = validate_recipe(settings, f"post-training of {base.name}")
    assert isinstance(recipe, TextRecipe)  # it has a text
    return recipe
