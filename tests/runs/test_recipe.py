from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from lengthwise.errors import InputError
from lengthwise.models.budget import count_parameters
from lengthwise.runs.overrides import apply_overrides
from lengthwise.runs.recipe import Recipe, load_recipe, recipe_schema, validate_recipe
from lengthwise.runs.shipped import find_recipe, recipe_names


def leaves(settings: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(settings, dict):
        for key, value in settings.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    else:
        yield path, settings


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_valid(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.makes
    jsonschema.validate(yaml.safe_load(find_recipe(name).read_text()), recipe_schema())


@pytest.mark.parametrize(
    "settings",
    [
        {"task": "parity"},
        {"task": "parity", "model": {"name": "ldru"}, "stepz": 1},
        {"task": "parity", "model": {"name": "ldru", "widht": 8}},
        {"base": "fast/parity", "sedes": [1]},
        {"base": "fast/parity", "training": 3},
        {"base": ["fast/parity"]},
    ],
)
def test_editors_are_told_of_what_is_wrong(settings: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(settings, recipe_schema())


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
    recipe = load_recipe(str(tiny_file), ["objective.name=prefixes", "model.readout=prefixes"])
    assert recipe.settings()["objective"] == {"name": "prefixes"}
    again = load_recipe(str(tiny_file), ["objective.name=asked", "objective.name=tree"])
    assert again.settings()["objective"]["bracketing"] == "balanced"


def test_another_language_keeps_lengths_and_mixture_and_another_task_does_not(tiny: Recipe, tiny_file: Path) -> None:
    recipe = load_recipe(str(tiny_file), ["task=even_pairs"])
    assert recipe.settings()["task"] == tiny.settings()["task"] | {"language": "even_pairs"}
    other = load_recipe(str(tiny_file), ["task=language_modelling", "objective.name=asked"])
    assert other.settings()["task"]["name"] == "language_modelling"
    assert "mixture" not in other.settings()["task"]


def test_the_same_name_keeps_the_other_settings() -> None:
    settings = {"model": {"name": "ldru", "width": 8}}
    assert apply_overrides(settings, ["model.name=ldru"]) == settings


def test_the_digest_is_of_what_decides_the_numbers(tiny: Recipe, tiny_file: Path) -> None:
    same = load_recipe(str(tiny_file), ["name=other/name", "makes=a figure", "seeds=[5]"])
    assert same.digest() == tiny.digest()
    different = [
        load_recipe(str(tiny_file), [override]).digest()
        for override in ("task=even_pairs", "training.steps=25", "model.width=9", "task.test.samples=9", "threads=2")
    ]
    assert len({tiny.digest(), *different}) == 6


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.stepz=1", "training.stepz: unknown key; did you mean 'steps'"),
        ("state=1", "state: unknown key; known: format, name"),
        ("batch_size=1", "batch_size: unknown key; there is training.batch_size$"),
        ("training.learning_rate=1", "learning_rate: unknown key; there is training.optimiser.learning_rate$"),
        ("model.mixer=gru", "model.mixer: unknown key; model.name=backbone has it$"),
        ("context=1", r"context: unknown key; did you mean 'content'\? there is task.context$"),
        ("trainning.steps=1", "trainning: unknown key; did you mean 'training'"),
        ("model.operator.width=1", "model.operator.width: unknown key; there is model.width$"),
        ("model.widht=1", "model.widht: unknown key; did you mean 'width'"),
        ("training.optimiser.learning_rat=1", "learning_rat: unknown key; did you mean 'learning_rate'"),
        ("task.train.minimun=1", "task.train.minimun: unknown key; did you mean 'minimum'"),
        ("model.name=ldrru", "model.name: unknown model 'ldrru'; did you mean 'ldru'"),
        ("model.operator.name=mpl", "model.operator.name: unknown operator 'mpl'; did you mean 'mlp'"),
        ("model.operator=mpl", "model.operator: .* not 'mpl'; .* with model.operator.name=NAME; did you mean 'mlp'"),
        ("model.operator=mlp", "model.operator: .* not 'mlp'; write model.operator.name=mlp"),
        ("training.curriculum=growin", "training.curriculum.name=NAME; did you mean 'growing'"),
        ("task.test.long_lengths=[10, 0]", "task.test.long_lengths.1: .* greater than or equal to 1, not 0"),
        ("task.test.curve_lengths=[-1]", "task.test.curve_lengths.0: .* greater than or equal to 1, not -1"),
        ("task.test.near_misses=[0]", "task.test.near_misses.0: .* greater than or equal to 1, not 0"),
        ("model.operator={}", "model.operator: needs a name; known: .*grc"),
        ("model.width=1099511627776", "model.width: should be less than or equal to 10000000, not 1099511627776"),
        ("training.batch_size=100000000", "training.batch_size: should be less than or equal to 10000000"),
        ("threads=1000000000", "threads: should be less than or equal to 512"),
        (f"seeds=[{2**70}]", "seeds.0: should be less than or equal to 9223372036854775807"),
        (f"seeds={list(range(1001))}", "seeds: .* at most 1000 items"),
        ("training.optimiser.betas=[2, -5]", "betas.0: should be less than 1, not 2\n.*betas.1: .* equal to 0, not -5"),
        ("training.optimiser.learning_rate=.inf", "learning_rate: should be a finite number, not inf"),
        ("task.mixture={standard: -1}", "task.mixture.standard: should be greater than or equal to 0, not -1"),
        ("task.mixture={standard: 0}", "task.mixture: a mixture needs a part with a weight above 0"),
        ("task.mixture={nonsense: 1}", "task.mixture.nonsense: unknown value 'nonsense'; known: standard, .*runs"),
        ("task.train.maximum=200000", "task.train: 1 to 200,000 are 200,000 lengths, more than 100,000"),
        ("task.test.long_lengths=[5, 10000000]", "task.test.long_lengths.1: .* less than or equal to 1000000"),
        ("task=partiy", "task.language: unknown language 'partiy'; did you mean 'parity'"),
        ("task.name=regulr", "task.name: unknown task 'regulr'; did you mean 'regular'"),
        ("task=regex:(0", "task.language: the regular expression '.0' does not parse"),
        ("training.steps=many", "training.steps: should be a valid integer, not 'many'"),
        ("training.steps=-1", "training.steps: should be greater than or equal to 0, not -1"),
        ("training=3", "training: should be a section with settings of its own, not 3"),
        ("training.steps.x=1", "training.steps is the value 24, not a section"),
        ("objective.bracketing=randon", "objective.bracketing: unknown value 'randon'; did you mean 'random'"),
        ("task.train.minimum=50", "task.train: minimum 50 exceeds maximum 12"),
        ("objective.name=tre", "objective.name: unknown objective 'tre'; did you mean 'tree'"),
        ("evaluation.perplexty={}", "evaluation.perplexty: unknown key; did you mean 'perplexity'"),
        ("format=3", "format: should be 2, not 3"),
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
        "  task.language: unknown language 'partiy'; did you mean 'parity'?",
        "  model: missing",
        f"  zzz: unknown key; known: {', '.join(Recipe.model_fields)}",
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


@pytest.mark.slow
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
    recipe = validate_recipe({"name": "words", "task": "language_modelling", "model": model, "parameters": 20_000}, "")
    assert recipe.task.inputs == recipe.task.outputs
    size = count_parameters(recipe.model.build(recipe.task.inputs, recipe.task.outputs))
    assert abs(size - 20_000) < 2_000


def test_a_width_that_makes_another_size_is_refused(tiny: Recipe) -> None:
    with pytest.raises(InputError, match=r"the test:\n  the recipe: model\.width 8 makes .* not within 10% of 160,000"):
        validate_recipe(tiny.settings() | {"parameters": 160_000}, "the test")


def write(folder: Path, name: str, **settings: Any) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_a_recipe_says_only_what_differs_from_its_base(tiny: Recipe, tiny_file: Path, tmp_path: Path) -> None:
    wider = write(tmp_path, "wider", base="tiny.yaml", model={"width": 16}, task={"train": {"maximum": 20}})
    found, expected = load_recipe(str(wider)).settings(), tiny.settings()
    expected["model"]["width"], expected["task"]["train"]["maximum"], expected["name"] = 16, 20, "wider"
    assert found == expected
    again = write(tmp_path, "again", base="wider.yaml", training={"steps": 3})
    expected["training"]["steps"], expected["name"] = 3, "again"
    assert load_recipe(str(again)).settings() == expected
    assert "base" not in load_recipe(str(again)).settings()


def test_a_shipped_recipe_is_a_base_wherever_the_file_lies(tmp_path: Path) -> None:
    own = load_recipe(str(write(tmp_path, "own", base="fast/parity", seeds=[7])))
    base = load_recipe("fast/parity")
    assert own == base.model_copy(update={"name": "own", "seeds": (7,)})
    assert own.digest() == base.digest()


def test_a_section_of_another_name_takes_nothing_from_that_of_the_base(tiny_file: Path, tmp_path: Path) -> None:
    changes = {"model": {"name": "backbone", "mixer": {"name": "gru"}}, "objective": {"name": "asked"}}
    recipe = load_recipe(str(write(tmp_path, "other", base="tiny.yaml", task="dyck_2", **changes)))
    assert recipe.settings()["model"]["dropout"] == 0.0
    assert recipe.settings()["objective"] == {"name": "asked"}
    assert recipe.settings()["task"]["language"] == "dyck_2"
    assert recipe.settings()["task"]["train"] == {"minimum": 1, "maximum": 12}


def test_a_base_of_format_1_is_migrated_before_it_is_merged(tmp_path: Path) -> None:
    old = {"task": "parity", "model": {"name": "ldru", "width": 8}, "training": {"supervision": "nodes"}}
    write(tmp_path, "old", **old, evaluation={"longest": 30})
    recipe = load_recipe(str(write(tmp_path, "new", base="old.yaml", task={"test": {"samples": 5}})))
    test = recipe.settings()["task"]["test"]
    assert (test["longest"], test["samples"], recipe.settings()["objective"]["name"]) == (30, 5, "tree")


def test_overrides_come_on_top_of_a_base(tiny_file: Path, tmp_path: Path) -> None:
    path = str(write(tmp_path, "own", base="tiny.yaml", training={"steps": 3}))
    recipe = load_recipe(path, ["training.batch_size=5", "model.width=12"])
    assert (recipe.training.steps, recipe.training.batch_size, recipe.settings()["model"]["width"]) == (3, 5, 12)


def test_a_width_that_a_base_leaves_to_the_budget_is_solved_for_again(tmp_path: Path) -> None:
    write(tmp_path, "base", task="parity", model={"name": "ldru"}, parameters=160_000)
    assert load_recipe(str(write(tmp_path, "same", base="base.yaml"))).settings()["model"]["width"] == 64
    small = load_recipe(str(write(tmp_path, "small", base="base.yaml", parameters=40_000)))
    assert small.settings()["model"]["width"] == 32


@pytest.mark.parametrize("circle", [("a",), ("a", "b"), ("a", "b", "c")])
def test_recipes_that_are_based_on_one_another_in_a_circle_are_refused(circle: tuple[str, ...], tmp_path: Path) -> None:
    for name, base in zip(circle, [*circle[1:], circle[0]], strict=True):
        write(tmp_path, name, base=f"{base}.yaml")
    with pytest.raises(InputError, match=r"based on one another in a circle: .*a\.yaml -> .*a\.yaml$"):
        load_recipe(str(tmp_path / "a.yaml"))


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("fast/partiy", "unknown recipe 'fast/partiy'; did you mean 'fast/parity'"),
        ("baselines", "baselines is a sweep and no recipe; 'lengthwise sweep baselines' takes it"),
        ("nowhere.yaml", "there is no recipe file nowhere.yaml"),
        (["fast/parity"], "base: the name of a recipe or a YAML file, not \\['fast/parity'\\]"),
    ],
)
def test_a_base_that_is_not_there(base: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load_recipe(str(write(tmp_path, "own", base=base)))
