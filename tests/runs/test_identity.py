"""What the digest of a recipe covers: what names stand for, and not the names."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lengthwise.errors import InputError
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.recipe import Recipe, load_recipe, validate_recipe
from lengthwise.runs.rows import read_head
from lengthwise.runs.run import Outcome, evaluate_run, load_run, train_run
from lengthwise.tasks import TASKS
from lengthwise.tasks.corpus import Corpus

ODD = {"alphabet": 2, "start": "even", "accepting": ["odd"], "transitions": {"even": ["even", "odd"]}}
ODD["transitions"] |= {"odd": ["odd", "even"]}


def write_dfa(path: Path, **changes: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(ODD | changes), encoding="utf-8")
    return path


def of_dfa(tiny_file: Path, path: Path) -> Recipe:
    return load_recipe(str(tiny_file), [f"task=dfa:{path}"])


def test_the_digest_is_of_the_automaton_in_a_file_and_not_of_its_path(tiny_file: Path, tmp_path: Path) -> None:
    here = of_dfa(tiny_file, write_dfa(tmp_path / "a.yaml")).digest()
    assert of_dfa(tiny_file, write_dfa(tmp_path / "elsewhere" / "b.yaml")).digest() == here
    renamed = ODD["transitions"] | {"spare": ["odd", "odd"]}
    assert of_dfa(tiny_file, write_dfa(tmp_path / "a.yaml", transitions=renamed)).digest() == here
    assert of_dfa(tiny_file, write_dfa(tmp_path / "a.yaml", accepting=["even"])).digest() != here
    assert load_recipe(str(tiny_file), ["task=regex:(0*10*1)*0*"]).digest() != here


def test_expressions_stand_for_themselves(tiny_file: Path) -> None:
    one, same, other = (load_recipe(str(tiny_file), [f"task=regex:{text}"]) for text in ("0*1", "0*1", "00*1"))
    assert one.digest() == same.digest() != other.digest()
    assert one.stands_for() == {}


def of_text(folder: Path, **text: Any) -> Recipe:
    source = {"name": "files", "paths": [str(folder)]}
    task = {"name": "language_modelling", "text": {"source": source, "held_out": 0.4} | text, "context": 8}
    model = {"name": "backbone", "width": 8, "mixer": {"name": "gru"}}
    return validate_recipe({"name": "words", "task": task, "model": model}, "test")


def write_text(folder: Path, changed: str = "") -> Path:
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.txt").write_text(f"the cat sat on the mat {number} " * 20 + changed)
    return folder


def test_the_digest_is_of_a_text_and_not_of_where_it_lies(tmp_path: Path) -> None:
    here = of_text(write_text(tmp_path / "here"))
    assert of_text(write_text(tmp_path / "there")).digest() == here.digest()
    assert of_text(write_text(tmp_path / "changed", "!")).digest() != here.digest()
    assert of_text(tmp_path / "here", documents="separate").digest() != here.digest()
    assert here.stands_for() == {"task": here.task.identity()}


PLUGIN = """
from typing import Literal
from lengthwise.interventions.zero import Zero, ZeroConfig
from lengthwise.tasks.regular.task import Regular

class StartConfig(ZeroConfig):
    name: Literal["own_start"] = "own_start"

class OwnTask(Regular):
    name: Literal["own"] = "own"
    language: str = "parity"
"""

Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a package of one module on the path, in some version."""
    place = tmp_path / "site"
    (place / "own_plugin").mkdir(parents=True)
    (place / "own_plugin" / "__init__.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(place)

    def install(version: str) -> None:
        for old in place.glob("*.dist-info"):
            for file in old.iterdir():
                file.unlink()
            old.rmdir()
        folder = place / f"own-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: own\nVersion: {version}\n")
        (folder / "top_level.txt").write_text("own_plugin\n")
        (folder / "RECORD").write_text("")

    install("1.0")
    yield install
    sys.modules.pop("own_plugin", None)


@pytest.mark.slow
def test_the_digest_changes_with_the_version_of_a_plug_in(install: Install, tiny: Recipe) -> None:
    from own_plugin import OwnTask, StartConfig

    settings = {name: getattr(tiny, name) for name in type(tiny).model_fields if name != "content"}
    plain = Recipe(**settings)
    own = Recipe(**settings | {"task": OwnTask(), "intervention": StartConfig()})
    assert plain.stands_for() == {}
    assert own.stands_for() == {"task": "own==1.0", "intervention": "own==1.0"}
    before = own.digest()
    install("1.1")
    again = Recipe(**settings | {"task": OwnTask(), "intervention": StartConfig()})
    assert again.stands_for()["task"] == "own==1.1"
    assert again.digest() != before
    sealed = own.model_copy(update={"content": {"task": "own==1.0", "intervention": "own==1.0"}})
    with pytest.raises(InputError, match=r"stands for something else .*task: 'own==1\.0', now 'own==1\.1'"):
        sealed.sealed()


def test_a_language_is_no_name_for_a_task_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "outer-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: outer\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[lengthwise.tasks]\nparity = fractions:Fraction\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(vars(TASKS), "_added", raising=False)
    with pytest.raises(InputError, match=r"package outer \(1\.0\) declares .*tasks = parity, .* of a built-in"):
        list(TASKS)


@pytest.fixture
def trained(tiny_file: Path, tmp_path: Path) -> tuple[Recipe, RunFolder, Path]:
    path = write_dfa(tmp_path / "odd.yaml")
    recipe, run = of_dfa(tiny_file, path), RunFolder(tmp_path / "run")
    assert train_run(recipe, 0, run.path) is Outcome.TRAINED
    return recipe, run, path


def test_a_run_whose_automaton_changed_is_refused(trained: tuple[Recipe, RunFolder, Path], tiny_file: Path) -> None:
    recipe, run, path = trained
    rows = evaluate_run(run.path)
    kept = run.evaluation.read_bytes()
    write_dfa(path, accepting=["even"])
    with pytest.raises(InputError, match=r"recipe tiny stands for something else .*task: .*, now .*"):
        evaluate_run(run.path, again=True)
    with pytest.raises(InputError, match="stands for something else"):
        load_run(run.path)
    with pytest.raises(InputError, match="belongs to another recipe"):
        train_run(of_dfa(tiny_file, path), 0, run.path)
    assert run.evaluation.read_bytes() == kept
    assert read_head(run.evaluation).digest == recipe.digest()
    write_dfa(path)
    assert evaluate_run(run.path, again=True) == rows
    assert train_run(of_dfa(tiny_file, path), 0, run.path) is Outcome.NOTHING_TO_DO


def test_a_run_says_by_itself_what_its_names_stood_for(trained: tuple[Recipe, RunFolder, Path]) -> None:
    recipe, run, _ = trained
    written = yaml.safe_load(run.recipe.read_text())
    assert written["content"] == recipe.stands_for() == {"task": recipe.task.identity()}


def test_a_text_that_changed_since_the_run_is_refused(tmp_path: Path) -> None:
    folder = write_text(tmp_path / "text")
    recipe = of_text(folder).model_copy(update={"training": of_text(folder).training.model_copy(update={"steps": 1})})
    train_run(recipe, 0, tmp_path / "run")
    (folder / "3.txt").write_text("the dog " * 50)
    Corpus.load.cache_clear()
    with pytest.raises(InputError, match="stands for something else"):
        load_run(tmp_path / "run")


def test_a_recipe_that_is_edited_after_training_is_not_believed(tiny_file: Path, tmp_path: Path) -> None:
    from lengthwise.runs.table import read_table

    run = RunFolder(tmp_path / "tiny" / "seed-0")
    train_run(load_recipe(str(tiny_file), ["training.steps=1"]), 0, run.path)
    evaluate_run(run.path)
    settings = yaml.safe_load(run.recipe.read_text())
    settings["training"]["optimiser"]["learning_rate"] = 0.5
    whole = run.recipe.read_text()
    run.recipe.write_text(yaml.safe_dump(settings, sort_keys=False))
    for use in (lambda: evaluate_run(run.path, again=True), lambda: load_run(run.path), lambda: read_table([run.path])):
        with pytest.raises(InputError, match="was changed after its run began"):
            use()
    run.recipe.write_text(whole)
    assert read_table([run.path]).rows.height
