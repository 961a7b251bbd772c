"""Information: what a model was told about its training sequences, and who chose them; as the parts of a recipe say."""

from __future__ import annotations

from lengthwise.runs.recipe import Recipe


def labels_of(recipe: Recipe) -> str:
    """Return how many labels a training sequence comes with, in words.

    Args:
        recipe: of the run.
    """
    return recipe.objective.told(recipe.task)


def chosen_by(recipe: Recipe) -> str:
    """Return which sequences were trained on, in words: as those that are measured, or chosen otherwise.

    Args:
        recipe: of the run.
    """
    parts = ", ".join(filter(None, [recipe.task.chosen, recipe.objective.chosen]))
    return "; ".join(filter(None, [parts, recipe.training.curriculum.order, recipe.model.told]))
