from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from lengthwise.errors import InputError
from lengthwise.models.budget import count_parameters
from lengthwise.runs.overrides import apply_overrides
from lengthwise.runs.recipe import Recipe, StringRecipe, load_recipe, recipe_schema, validate_recipe
from lengthwise.runs.shipped import find_recipe, recipe_names
from lengthwise.tasks.corpus import Corpus


def leaves(settings: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(settings, dict):
        for key, value in settings.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    else:
        yield path, settings


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_valid(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.makes
    jsonschema.validate(yaml.safe_load(find_recipe(name).read_text()), recipe_schema())


def test_a_resolved_recipe_is_read_back(tiny: Recipe, tmp_path: Path) -> None:
    (tmp_path / "resolved.yaml").write_text(tiny.to_yaml())
    again = load_recipe(str(tmp_path / "resolved.yaml"))
    assert again == tiny
    jsonschema.validate(again.settings(), recipe_schema())


def test_the_name_is_by_default_that_of_the_file(tiny: Recipe) -> None:
    assert tiny.name == "tiny"


def test_every_setting_can_be_replaced_by_its_path(tiny: Recipe, tiny_file: Path) -> None:
    for path, value in leaves(tiny.settings()):
        assert load_recipe(str(tiny_file), [f"{path}={yaml.safe_dump(value, default_flow_style=True)}"]) == tiny


def test_a_path_leads_through_sections_left_at_their_defaults(tiny_file: Path) -> None:
    recipe = load_recipe(str(tiny_file), ["training.optimiser.learning_rate=1e-2", "seeds=[3, 4]"])
    assert recipe.training.optimiser.learning_rate == 0.01
    assert recipe.seeds == (3, 4)


def test_another_name_starts_from_the_defaults_of_that_kind(tiny_file: Path) -> None:
    recipe = load_recipe(str(tiny_file), ["training.lengths.name=uniform", "training.lengths.minimum=2"])
    assert recipe.settings()["training"]["lengths"] == {"name": "uniform", "minimum": 2, "maximum": 40}


def test_the_same_name_keeps_the_other_settings() -> None:
    settings = {"model": {"name": "ldru", "width": 8}}
    assert apply_overrides(settings, ["model.name=ldru"]) == settings


def test_the_digest_is_of_what_decides_the_numbers(tiny: Recipe, tiny_file: Path) -> None:
    same = load_recipe(str(tiny_file), ["name=other/name", "makes=a figure", "seeds=[5]"])
    assert same.digest() == tiny.digest()
    different = [
        load_recipe(str(tiny_file), [override]).digest()
        for override in ("task=even_pairs", "training.steps=25", "model.width=9", "evaluation.samples=9", "threads=2")
    ]
    assert len({tiny.digest(), *different}) == 6


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.stepz=1", "training.stepz: unknown key; did you mean 'steps'"),
        ("trainning.steps=1", "trainning: unknown key; did you mean 'training'"),
        ("model.operator.width=1", "model.operator.width: unknown key; known: name"),
        ("model.widht=1", "model.widht: unknown key; did you mean 'width'"),
        ("training.optimiser.learning_rat=1", "learning_rat: unknown key; did you mean 'learning_rate'"),
        ("training.lengths.minimun=1", "training.lengths.minimun: unknown key; did you mean 'minimum'"),
        ("model.name=ldrru", "model.name: unknown model 'ldrru'; did you mean 'ldru'"),
        ("model.operator.name=mpl", "model.operator.name: unknown operator 'mpl'; did you mean 'mlp'"),
        ("model.operator=mpl", "model.operator: .* not 'mpl'; .* with model.operator.name=NAME; did you mean 'mlp'"),
        ("model.operator=mlp", "model.operator: .* not 'mlp'; write model.operator.name=mlp"),
        ("training.lengths=growin", "training.lengths.name=NAME; did you mean 'growing'"),
        ("evaluation.long_lengths=[10, 0]", "evaluation.long_lengths.1: .* greater than or equal to 1, not 0"),
        ("evaluation.curve_lengths=[-1]", "evaluation.curve_lengths.0: .* greater than or equal to 1, not -1"),
        ("evaluation.near_misses=[0]", "evaluation.near_misses.0: .* greater than or equal to 1, not 0"),
        ("model.operator={}", "model.operator: needs a name; known: .*grc"),
        ("task=partiy", "task: unknown task 'partiy'; did you mean 'parity'"),
        ("task=regex:(0", "task: the regular expression '.0' does not parse"),
        ("training.steps=many", "training.steps: should be a valid integer, not 'many'"),
        ("training.steps=0", "training.steps: should be greater than or equal to 1, not 0"),
        ("training=3", "training: should be a section with settings of its own, not 3"),
        ("training.steps.x=1", "training.steps is the value 24, not a section"),
        ("training.bracketing=randon", "training.bracketing: unknown value 'randon'; did you mean 'random'"),
        ("training.lengths.minimum=50", "training.lengths: minimum 50 exceeds maximum 12"),
        ("seeds=[1, 1]", "seeds: the same seed is listed twice"),
        ("seeds=[]", "seeds: .*at least 1 item"),
        ("seeds=[one]", "seeds.0: should be a valid integer, not 'one'"),
        ("seeds.1=1", "seeds is a list of 1"),
        ("name=../elsewhere", "name: .*pattern"),
        ("device=gpu", "device: unknown value 'gpu'; "),
        ("training.steps", "write it as path=value"),
        ("seeds=[1", "not valid YAML"),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(tiny_file: Path, override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_recipe(str(tiny_file), [override])


def test_every_wrong_setting_has_a_line(tiny: Recipe) -> None:
    settings = tiny.settings() | {"task": "partiy", "zzz": 1}
    del settings["model"]
    with pytest.raises(InputError) as caught:
        validate_recipe(settings, "recipe of a test")
    assert str(caught.value).splitlines() == [
        "recipe of a test:",
        "  model: missing",
        "  task: unknown task 'partiy'; did you mean 'parity'?",
        f"  zzz: unknown key; known: {', '.join(StringRecipe.model_fields)}",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [("- 1", "must be a mapping"), ("task: [", "not valid YAML"), ("", "must be a mapping"), ("\0", "not valid YAML")],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "wrong.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        load_recipe(str(tmp_path / "wrong.yaml"))


@pytest.mark.parametrize("name", ["nowhere.yaml", "fast/nothing-like-it"])
def test_a_recipe_that_is_not_there(name: str) -> None:
    with pytest.raises(InputError, match=name):
        load_recipe(name)


def test_a_budget_of_parameters_solves_for_the_width(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({"task": "parity", "model": {"name": "ldru"}, "parameters": 160_000}))
    recipe = load_recipe(str(path))
    assert recipe.settings()["model"]["width"] == 64
    assert recipe.settings()["parameters"] == 160_000
    jsonschema.validate(recipe.settings(), recipe_schema())
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(recipe.to_yaml())
    assert load_recipe(str(resolved)) == recipe
    assert load_recipe(str(path), ["parameters=40000"]).settings()["model"]["width"] == 32
    plain = load_recipe(str(path), ["model.level=plain", "parameters=40000"]).settings()["model"]["width"]
    assert plain > 32, "the same size without feed-forward layers"
    with pytest.raises(InputError, match=r"model\.width 32 makes .* leave model\.width out"):
        load_recipe(str(path), ["model.width=32"])


def test_the_digest_knows_the_width_and_not_the_budget(tiny: Recipe, tiny_file: Path, tmp_path: Path) -> None:
    assert "parameters" not in tiny.settings()
    settings = tiny.settings() | {"parameters": 3000}
    del settings["model"]["width"]
    budget = validate_recipe(settings, "the test")
    width = budget.settings()["model"]["width"]
    assert budget.digest() == load_recipe(str(tiny_file), [f"model.width={width}"]).digest()


def test_a_language_model_has_as_many_classes_as_its_text_has_symbols() -> None:
    model = {"name": "backbone", "layers": 1, "tied": True, "mixer": {"name": "elman", "hidden_size": 8}}
    recipe = validate_recipe({"name": "words", "text": {}, "model": model, "parameters": 20_000}, "the test")
    symbols = Corpus.load(recipe.text).vocabulary
    size = count_parameters(recipe.model.build(symbols, symbols))
    assert abs(size - 20_000) < 2_000


def test_a_width_that_makes_another_size_is_refused(tiny: Recipe) -> None:
    with pytest.raises(InputError, match=r"the test:\n  the recipe: model\.width 8 makes .* not within 10% of 160,000"):
        validate_recipe(tiny.settings() | {"parameters": 160_000}, "the test")
