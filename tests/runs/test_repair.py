"""Post-training: recipes that go on from a run, and the folder where they go."""

import shutil
from pathlib import Path

import pytest
from words_for_tests import tiny_text, weights, write_words

from lengthwise.errors import InputError
from lengthwise.runs.folder import run_path
from lengthwise.runs.recipe import load_recipe
from lengthwise.runs.repair import post_training, runs_folder
from lengthwise.runs.rows import read_head
from lengthwise.runs.run import Outcome, evaluate_run, train_run


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_words(tmp_path_factory.mktemp("text"))


@pytest.mark.slow
def test_post_training_goes_on_from_the_trained_parameters(text_folder: Path, tmp_path: Path) -> None:
    base = tiny_text(text_folder)
    folder = run_path(tmp_path, base.name, 0)
    train_run(base, 0, folder)
    repair = post_training(base, 0, "state_passing", 4, ["intervention.zero_probability=0.3", "training.batch_size=4"])
    assert (repair.name, repair.start, repair.training.steps) == ("tiny/text.state_passing", "tiny/text", 4)
    assert repair.training.optimiser.learning_rate == base.training.optimiser.learning_rate
    assert repair.training.batch_size == 4
    chosen = repair.intervention.model_dump()
    assert (chosen["zero_probability"], chosen["zero_share"]) == (0.3, 0.7)
    assert runs_folder(folder, base, 0) == tmp_path
    after = run_path(tmp_path, repair.name, 0)
    stop = iter([True])
    train_run(repair, 0, after, stop=lambda: next(stop))
    moved = [(weights(after)[name] - value).abs().max() for name, value in weights(folder).items()]
    assert 0 < max(moved) <= 2 * repair.training.optimiser.learning_rate
    assert train_run(repair, 0, after) is Outcome.TRAINED


@pytest.mark.parametrize(
    ("run", "root"),
    [("runs/tiny/text/seed-0", "runs"), ("tiny/text/seed-0", "."), ("../runs/tiny/text/seed-0", "../runs")],
)
def test_the_folder_of_runs_is_told_as_the_run_was_given(run: str, root: str, text_folder: Path) -> None:
    assert runs_folder(Path(run), tiny_text(text_folder), 0) == Path(root)


def test_the_folder_of_runs_is_found_from_inside_a_run(
    text_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny" / "text" / "seed-0").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "tiny" / "text")
    assert runs_folder(Path("seed-0"), tiny_text(text_folder), 0) == tmp_path


def test_a_moved_run_is_refused(text_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"should lie in RUNS/tiny/text/seed-0"):
        runs_folder(tmp_path / "elsewhere", tiny_text(text_folder), 0)


@pytest.mark.slow
def test_a_run_knows_the_recipe_of_the_run_that_it_starts_from(text_folder: Path, tmp_path: Path) -> None:
    base = tiny_text(text_folder)
    folder = run_path(tmp_path, base.name, 0)
    repair = post_training(base, 0, "state_passing", 2)
    train_run(base, 0, folder)
    after = run_path(tmp_path, repair.name, 0)
    train_run(repair, 0, after)
    began = load_recipe(str(after / "recipe.yaml"))
    assert (began.content or {})["start"] == base.digest()
    moved = repair.model_copy(update={"start": "elsewhere"})
    assert moved.beginning(base.digest()).digest() == began.digest() != moved.digest()
    evaluate_run(after)
    assert read_head(after / "evaluation.jsonl").digest == began.digest()

    shutil.rmtree(folder)
    assert train_run(repair, 0, after) is Outcome.NOTHING_TO_DO
    other = tiny_text(text_folder, seeds=[0], threads=2)
    train_run(other, 0, folder)
    with pytest.raises(
        InputError, match=rf"recipe of tiny/text, which it starts from: '{base.digest()}', now '{other.digest()}'"
    ):
        train_run(repair, 0, after)
