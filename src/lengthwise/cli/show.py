"""``lengthwise show``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lengthwise.cli.arguments import RECIPE, SET
from lengthwise.cli.progress import say
from lengthwise.errors import InputError


def show(
    recipe: Annotated[str | None, RECIPE] = None,
    set_: Annotated[list[str] | None, SET] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of recipes, for editors.")] = False,
) -> None:
    """Print a recipe with all defaults filled in."""
    from lengthwise.runs.recipe import load_recipe, recipe_schema

    if schema:
        say(json.dumps(recipe_schema(), indent=2))
    elif recipe is None:
        raise InputError("say which recipe to show, such as fast/parity, or --schema")
    else:
        say(load_recipe(recipe, set_ or []).to_yaml().rstrip())
