"""Recipes of format 1, in files and in kept results, become recipes of format 2 that say the same."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lengthwise.runs.migrate_recipe import is_old, migrate
from lengthwise.runs.recipe import load_recipe, validate_recipe
from lengthwise.runs.shipped import find_recipe, recipe_names

RESULTS = Path(__file__).parents[2] / "results"
LDRU = {"name": "ldru", "width": 8}
STOCHASTIC = {"name": "ldru", "width": 16, "level": "plain", "operator": {"name": "stochastic"}}
GRU = {"name": "backbone", "width": 8, "mixer": {"name": "gru"}}

TREES = (
    {
        "name": "old/nodes",
        "makes": "a table",
        "task": "dyck_2",
        "model": LDRU,
        "training": {
            "steps": 300,
            "lengths": {"name": "growing", "minimum": 2, "maximum": 30, "until": 0.25},
            "mixture": {"standard": 0.5, "near_miss": 0.5},
            "supervision": "nodes",
            "node_weight": 0.5,
            "bracketing": "random",
            "share_subtrees": True,
            "associativity": {"weight": 0.1},
            "products": {"candidates": 64},
            "stop": {"loss_below": 0.01},
        },
        "evaluation": {"longest": 100, "every": 3, "near_misses": [50], "curve_every": 30, "curve_samples": 16},
        "seeds": [0, 1],
    },
    {
        "name": "old/nodes",
        "makes": "a table",
        "task": {
            "name": "regular",
            "language": "dyck_2",
            "mixture": {"standard": 0.5, "near_miss": 0.5},
            "train": {"minimum": 2, "maximum": 30},
            "test": {"longest": 100, "every": 3, "near_misses": [50], "curve_samples": 16},
        },
        "model": LDRU,
        "objective": {
            "name": "tree",
            "node_weight": 0.5,
            "bracketing": "random",
            "share_subtrees": True,
            "associativity": {"weight": 0.1},
            "products": {"candidates": 64},
        },
        "training": {
            "steps": 300,
            "curriculum": {"name": "growing", "until": 0.25},
            "stop": {"loss_below": 0.01},
        },
        "evaluation": {"curve_every": 30},
        "seeds": [0, 1],
    },
)
TEXT = (
    {
        "name": "old/text",
        "text": {"documents": "separate", "held_out": 0.2},
        "model": GRU,
        "intervention": {"name": "state_passing", "zero_probability": 0.2, "tails": True},
        "start": "old/base",
        "training": {"context": 32, "steps": 50, "optimiser": {"learning_rate": 0.01}},
        "evaluation": {
            "reach": 8,
            "rows": 12,
            "bins": 2,
            "chunk": 128,
            "remembrance_reach": 3,
            "remembrance_starts": 5,
            "state_rows": 4,
            "curve_rows": 6,
            "curve_every": 25,
        },
    },
    {
        "name": "old/text",
        "task": {
            "name": "language_modelling",
            "text": {"documents": "separate", "held_out": 0.2},
            "context": 32,
        },
        "model": GRU,
        "objective": {"name": "asked"},
        "intervention": {"name": "state_passing", "zero_probability": 0.2, "conv_states": True},
        "start": "old/base",
        "training": {
            "steps": 50,
            "batch_size": 32,
            "optimiser": {
                "learning_rate": 0.01,
                "amsgrad": False,
                "betas": [0.9, 0.95],
                "warm_up": 0.1,
                "tail": "cosine",
                "centralise": False,
            },
        },
        "evaluation": {
            "curve_every": 25,
            "perplexity": {"reach": 8, "rows": 12, "bins": 2, "chunk": 128, "curve_rows": 6},
            "remembrance": {"reach": 3, "starts": 5, "rows": 12},
            "state_statistics": {"reach": 8, "bins": 2, "chunk": 128, "rows": 4},
        },
    },
)


@pytest.mark.parametrize(("old", "new"), [TREES, TEXT], ids=["trees", "text"])
def test_a_recipe_of_format_1_says_the_same_in_format_2(old: dict[str, Any], new: dict[str, Any]) -> None:
    before = copy.deepcopy(old)
    assert is_old(old)
    assert migrate(old) == {"format": 2} | new
    assert old == before
    assert not is_old(migrate(old))
    assert migrate(migrate(old)) == migrate(old)
    assert validate_recipe(old, "old") == validate_recipe(new, "new")


@pytest.mark.parametrize(
    ("model", "training", "objective"),
    [
        (LDRU, {}, {"name": "tree", "node_weight": 0.0}),
        (LDRU, {"supervision": "root"}, {"name": "tree", "node_weight": 0.0}),
        (LDRU, {"node_weight": 0.5}, {"name": "tree", "node_weight": 0.0}),
        (LDRU, {"supervision": "nodes"}, {"name": "tree"}),
        (LDRU | {"readout": "prefixes"}, {"supervision": "prefixes"}, {"name": "prefixes"}),
        (GRU, {}, {"name": "asked"}),
        (GRU, {"supervision": "prefixes", "node_weight": 1.0, "bracketing": "balanced"}, {"name": "prefixes"}),
        (
            STOCHASTIC,
            {"supervision": "prefixes", "counterexamples": {"share": 0.5}},
            {"name": "counterexamples", "share": 0.5},
        ),
    ],
)
def test_supervision_becomes_an_objective(
    model: dict[str, Any], training: dict[str, Any], objective: dict[str, Any]
) -> None:
    old = {"name": "old", "format": 1, "task": "parity", "model": model, "training": training}
    assert migrate(old)["objective"] == objective
    assert validate_recipe(old, "old").settings()["objective"].items() >= objective.items()


def test_defaults_of_format_1_are_those_of_format_2() -> None:
    """A recipe that says nothing of training and measurement."""
    strings = {"name": "old", "format": 1, "task": "parity", "model": LDRU}
    new = strings | {"format": 2, "objective": {"name": "tree", "node_weight": 0.0}}
    assert validate_recipe(strings, "old") == validate_recipe(new, "new")
    text = validate_recipe({"name": "old", "text": {}, "model": GRU}, "old").settings()
    assert (text["training"]["batch_size"], text["task"]["context"]) == (32, 64)
    assert (text["training"]["optimiser"]["tail"], text["training"]["optimiser"]["amsgrad"]) == ("cosine", False)
    assert list(text["evaluation"]) == ["curve_every", "perplexity", "remembrance", "state_statistics"]


def test_a_setting_of_the_optimiser_leaves_the_others_as_they_were_for_text() -> None:
    whole, part = (
        validate_recipe({"name": "old", "text": {}, "model": GRU, "training": training}, "old").training.optimiser
        for training in ({"context": 64}, {"optimiser": {"learning_rate": 0.5}})
    )
    assert part == whole.model_copy(update={"learning_rate": 0.5})


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_are_of_this_format_or_become_so(name: str) -> None:
    settings = yaml.safe_load(find_recipe(name).read_text())
    new = migrate(settings)
    assert new.get("format") == 2
    assert (new == settings) == (settings.get("format") == 2)
    recipe = load_recipe(name)
    assert validate_recipe(recipe.settings(), name) == recipe


def kept_recipes() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(RESULTS.rglob("runs.json")):
        for run in json.loads(path.read_text(encoding="utf-8"))["runs"]:
            yield f"{path.parent.relative_to(RESULTS)}: {run['run']}", run["recipe"]


def test_every_recipe_of_kept_results_is_read_and_loses_nothing() -> None:
    seen = 0
    for run, settings in kept_recipes():
        recipe = validate_recipe(settings, run)
        assert validate_recipe(recipe.settings(), run) == recipe
        new, resolved = dict(leaves(migrate(settings))), dict(leaves(recipe.settings()))
        # Resolved recipes leave some settings out where they are at their defaults.
        changed = {place: value for place, value in new.items() if resolved.get(place, value) != value}
        assert not changed, (run, changed)
        values = [json.dumps(value) for _, value in leaves(migrate(settings))]
        for place, value in leaves(settings):
            assert json.dumps(value) in values or dropped(settings, place), (run, place, value)
        seen += 1
    assert seen > 800


def dropped(settings: dict[str, Any], place: tuple[str, ...]) -> bool:
    """Return whether a setting of format 1 had no effect in its recipe, or chose the objective."""
    of_trees = {"bracketing", "node_weight", "share_subtrees", "associativity", "supervision"}
    return ("training" in place and bool(of_trees & set(place))) or place == ("format",)


def leaves(settings: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(settings, dict):
        for key, value in settings.items():
            yield from leaves(value, (*place, key))
    else:
        yield place, settings
