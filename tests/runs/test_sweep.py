from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sweeps_for_tests import BASE, GRID, expanded, write_sweep

from lengthwise.errors import InputError
from lengthwise.runs.recipe import load_recipe
from lengthwise.runs.shipped import find_sweep, recipe_names, sweep_names
from lengthwise.runs.sweep import Sweep, expand, load_sweep, select
from lengthwise.tasks.regular.task import Regular


def test_a_grid_has_a_run_for_each_combination_and_seed(tmp_path: Path) -> None:
    runs = expanded(tmp_path)
    names = ["grid/sum-parity", "grid/sum-even_pairs", "grid/grc-parity", "grid/grc-even_pairs"]
    assert [run.key for run in runs] == [(name, seed) for seed in (0, 1) for name in names]
    assert len({run.recipe.digest() for run in runs}) == 4
    last = runs[-1]
    assert last.labels == {"model": "grc", "task": "even_pairs"}
    assert last.recipe.settings()["model"]["operator"]["name"] == "grc"
    assert (last.recipe.task.label, last.recipe.makes, last.recipe.seeds) == ("even_pairs", "a table", (0, 1))
    assert last.folder(tmp_path) == tmp_path / "grid" / "grc-even_pairs" / "seed-1"


@settings(max_examples=12)
@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3), seeds=st.integers(1, 3))
def test_the_number_of_runs_is_the_product_of_the_axes(sizes: list[int], seeds: int) -> None:
    paths = ("training.steps", "training.batch_size", "model.width")
    axes = {path: list(range(8, 8 + size)) for path, size in zip(paths, sizes, strict=False)}
    sweep = Sweep.model_validate({"name": "s", "base": "demo/parity", "axes": axes, "seeds": range(seeds)})
    runs = expand(sweep)
    product = seeds
    for size in sizes:
        product *= size
    assert len(runs) == len({run.key for run in runs}) == product


def test_a_list_of_values_is_an_axis_named_by_its_path(tmp_path: Path) -> None:
    runs = expanded(tmp_path, axes={"training.optimiser.learning_rate": [0.1, 0.2]}, seeds=[3])
    assert [run.recipe.name for run in runs] == ["grid/0.1", "grid/0.2"]
    assert [run.recipe.training.optimiser.learning_rate for run in runs] == [0.1, 0.2]


def test_rules_leave_out_and_change_combinations(tmp_path: Path) -> None:
    runs = expanded(
        tmp_path,
        exclude=[{"model": "grc", "task": "parity"}],
        override=[
            {"where": {"task": ["parity", "even_pairs"]}, "set": {"training.steps": 7}},
            {"where": {"task": "even_pairs", "model": "sum"}, "set": {"training.steps": 8}},
        ],
        seeds=[0],
    )
    steps = {run.recipe.name: run.recipe.training.steps for run in runs}
    assert steps == {"grid/sum-parity": 7, "grid/sum-even_pairs": 8, "grid/grc-even_pairs": 7}
    everywhere = expanded(tmp_path, "training.steps=9", seeds=[0])
    assert {run.recipe.training.steps for run in everywhere} == {9}


def test_a_label_may_start_from_a_recipe_of_its_own(tmp_path: Path) -> None:
    axes = {"model": {"ours": {}, "shipped": {"base": "demo/parity", "model.width": 8}}}
    ours, shipped = expanded(tmp_path, axes=axes, seeds=[0])
    assert (ours.recipe.training.steps, shipped.recipe.training.steps) == (2, 200)
    assert shipped.recipe.settings()["model"]["width"] == 8


TEXT = {
    "axes": {
        "mixer": {"gru": {"base": "text/gru/base"}, "lstm": {"base": "text/lstm/base"}},
        "start": {"passing": {"intervention.name": "state_passing", "start": {"start": "base"}}, "base": {}},
    },
    "seeds": [0, 1],
}


def test_the_recipe_of_a_label_may_depend_on_another_label(tmp_path: Path) -> None:
    axes = {"model": {"mlp": {"base": "fast/{task}"}, "sum": {}}, "task": ["parity", "even_pairs"]}
    recipes = {run.labels["model"] + " " + run.labels["task"]: run.recipe for run in expanded(tmp_path, axes=axes)}
    for task in ("parity", "even_pairs"):
        assert recipes[f"mlp {task}"].digest() == load_recipe(f"fast/{task}").digest()
        assert recipes[f"sum {task}"].model.operator.name == "sum"
    with pytest.raises(InputError, match=r"base fast/\{tsk\}: unknown axis 'tsk'; did you mean 'task'"):
        expanded(tmp_path, base="fast/{tsk}")


def test_a_run_goes_on_from_another_of_the_sweep(tmp_path: Path) -> None:
    sweep, base = load_sweep(str(write_sweep(tmp_path, **TEXT)))
    runs = expand(sweep, base)
    starts = {run.key: run.start for run in runs}
    assert starts["grid/gru-passing", 1] == ("grid/gru-base", 1)
    assert starts["grid/gru-base", 1] is None
    by_name = {run.recipe.name: run.recipe for run in runs}
    assert (by_name["grid/gru-passing"].content or {})["start"] == by_name["grid/gru-base"].digest()
    assert {run.recipe.task.label for run in runs} == {"language_modelling"}
    chosen = select(sweep, runs, ["lstm", "passing"])
    assert sorted(run.key for run in chosen) == [
        (f"grid/lstm-{start}", seed) for start in ("base", "passing") for seed in (0, 1)
    ]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ([], 8),
        (["sum"], 4),
        (["sum", "grc"], 8),
        (["sum", "parity"], 2),
        (["task=parity"], 4),
    ],
)
def test_labels_of_one_axis_are_alternatives_and_of_two_are_both_meant(
    tmp_path: Path, only: list[str], expected: int
) -> None:
    sweep, base = load_sweep(str(write_sweep(tmp_path)))
    assert len(select(sweep, expand(sweep, base), only)) == expected


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("sun", "has no label 'sun'; did you mean 'sum'"),
        ("8", "several axes .* write model.width=8 or training.steps=8"),
        ("modell=sum", "unknown axis 'modell'; did you mean 'model.width'"),
        ("task=partiy", "axis task has no label 'partiy'; did you mean 'parity'"),
    ],
)
def test_a_wrong_label_is_named(tmp_path: Path, only: str, message: str) -> None:
    axes = {"task": ["parity"], "model.width": [8, 9], "training.steps": [8], "operator": {"sum": {}}}
    sweep, base = load_sweep(str(write_sweep(tmp_path, axes=axes)))
    with pytest.raises(InputError, match=message):
        select(sweep, expand(sweep, base), [only])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"axis": {}}, "axis: unknown key; did you mean 'axes'"),
        ({"axes": {}}, "axes: .*at least 1 item"),
        ({"axes": {"task": []}}, "axis task has no labels"),
        ({"axes": {"task": ["parity", "parity"]}}, "axis task lists the same value twice"),
        ({"axes": {"task": {"a b": {}}}}, "'a b' cannot be part of a folder's name"),
        ({"axes": {"task": {"a": {"name": "x"}}}}, "name is decided by the sweep"),
        ({"axes": {"task": {"a": {"seeds": [1]}}}}, "seeds is decided by the sweep"),
        (
            {"axes": {"task": ["partiy"]}},
            "grid/partiy:\n  task.language: unknown language 'partiy'; did you mean 'parity'",
        ),
        ({"axes": {"training.stepz": [1]}}, "training.stepz: unknown key; did you mean 'steps'"),
        ({"axes": {"a": {"x": {"training.steps.y": 1}}}}, "training.steps is the value 2, not a section"),
        ({"axes": {"a": {"x": {}, "y": {}}}}, "grid/x and grid/y are the same run"),
        ({"axes": {"a": {"x": {}, "x-y": {"model.width": 5}}, "b": {"y-z": {"training.steps": 3}, "z": {}}}}, "both"),
        ({"exclude": [{"modell": "sum"}]}, "unknown axis 'modell'; did you mean 'model'"),
        ({"override": [{"where": {"task": "partiy"}, "set": {}}]}, "no label 'partiy'; did you mean 'parity'"),
        ({"override": [{"set": {}}]}, "override.0.where: missing"),
        ({"seeds": [1, 1]}, "the same seed is listed twice"),
        ({"base": None}, "grid/sum-parity starts from no recipe"),
        ({"base": "demo/partiy"}, "unknown recipe 'demo/partiy'; did you mean 'demo/parity'"),
        ({"base": "nowhere.yaml"}, "there is no recipe file .*nowhere.yaml"),
        ({"axes": {"a": {"x": {"start": {"a": "x"}}}}}, "grid/x -> grid/x start from one another"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        expanded(tmp_path, **wrong)


def test_starts_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    def grid(start: dict[str, str], **settings: Any) -> dict[str, Any]:
        axes = {"step": {"one": {"start": start}, "two": {"start": {"step": "one"}, "training.steps": 3}}}
        return {"base": "text/gru/base", "axes": axes, **settings}

    with pytest.raises(InputError, match="start from one another"):
        expanded(tmp_path, **grid({"step": "two"}))
    with pytest.raises(InputError, match="no label 'twoo'; did you mean 'two'"):
        expanded(tmp_path, **grid({"step": "twoo"}))
    with pytest.raises(InputError, match="grid/two starts from grid/one, which it leaves out"):
        expanded(tmp_path, **grid({"step": "two"}, exclude=[{"step": "one"}]))


def test_what_the_sweep_decides_cannot_be_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--set name=x: name is decided by the sweep"):
        expanded(tmp_path, "name=x")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    with pytest.raises(InputError, match=r"base\.yaml is a recipe, not a sweep"):
        load_sweep(str(tmp_path / "base.yaml"))
    with pytest.raises(InputError, match="unknown sweep 'nothing-like-it'"):
        load_sweep("nothing-like-it")
    with pytest.raises(InputError, match="is a recipe and no sweep; 'lengthwise train fast/parity' takes it"):
        load_sweep("fast/parity")


def test_changes_of_one_combination_do_not_reach_another(tmp_path: Path) -> None:
    shared = {"training": {"steps": 5, "batch_size": 4}}
    axes = {"a": {"x": shared}, "training.batch_size": [1, 2]}
    assert [run.recipe.training.batch_size for run in expanded(tmp_path, axes=axes, seeds=[0])] == [1, 2]
    assert shared == {"training": {"steps": 5, "batch_size": 4}}


@pytest.mark.parametrize("name", sweep_names())
def test_every_shipped_sweep_is_valid(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a name of data stands for is a part of a run's key, and the data sets of the recipes are not here.
    news = tmp_path / "data" / "ag_news"
    news.mkdir(parents=True)
    for split in ("train_a", "test"):
        (news / f"{split}.csv").write_text("".join(f'"{n % 4}","text {n}"\n' for n in range(80)))
    monkeypatch.chdir(tmp_path)
    sweep, folder = load_sweep(name)
    assert (sweep.name, name in recipe_names()) == (name, False)
    assert sweep.makes
    assert max(Counter(run.key for run in expand(sweep, folder)).values()) == 1
    assert yaml.safe_load(find_sweep(name).read_text())["axes"]


def test_models_of_one_table_are_measured_on_the_same_strings() -> None:
    sweep, folder = load_sweep("baselines")
    longest_of_all, points = 1001, defaultdict[str, set[tuple[Any, ...]]](set)
    for run in select(sweep, expand(sweep, folder), ["parity", "modular_arithmetic", "dyck_4"]):
        measured = run.recipe.task.points("test")
        assert not any(cast("Regular", run.recipe.task).shares_prefixes(point) for point in measured)
        # Strings are drawn in the order of the points, so that what comes behind changes none of these.
        common = [(dict(point.axes), point.samples) for point in measured if (point.length or 0) <= longest_of_all]
        assert [place for place, _ in common] == [dict(point.axes) for point in measured[: len(common)]]
        points[run.recipe.task.label].add(tuple(map(str, common)))
    assert {task: len(ways) for task, ways in points.items()} == {"parity": 1, "modular_arithmetic": 1, "dyck_4": 1}


def test_the_schema_accepts_what_is_spelt_out() -> None:
    spelt_out = GRID | {"name": "grid", "axes": {"task": {"parity": {"task": "parity"}}}}
    jsonschema.validate(spelt_out, Sweep.model_json_schema())
    assert BASE["task"] in spelt_out["axes"]["task"]
