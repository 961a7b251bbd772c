import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lengthwise.errors import InputError
from lengthwise.runs.folder import RunFolder, run_path
from lengthwise.runs.recipe import TextRecipe, load_recipe, validate_recipe
from lengthwise.runs.repair import post_training, runs_folder
from lengthwise.runs.run import Outcome, evaluate_run, load_run, train_run


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("text"), np.random.default_rng(0)
    for number in range(10):
        words = rng.choice(["the cat sat ", "on the mat ", "and then ", "it ran\n"], size=80)
        (folder / f"{number}.txt").write_text("".join(words))
    return folder


def tiny_text(folder: Path, **changes: Any) -> TextRecipe:
    settings = {
        "name": "tiny/text",
        "text": {"source": {"name": "files", "paths": [str(folder)]}, "held_out": 0.4},
        "model": {"name": "backbone", "width": 8, "layers": 2, "mixer": {"name": "gru", "hidden_size": 6}},
        "training": {"steps": 12, "batch_size": 4, "context": 8, "checkpoint_every": 5, "log_every": 2},
        "evaluation": {"reach": 8, "rows": 6, "remembrance_starts": 5, "state_rows": 3, "curve_every": 6, "chunk": 5},
    }
    recipe = validate_recipe(settings | changes, "recipe of a test")
    assert isinstance(recipe, TextRecipe)
    return recipe


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_run(folder).model.state_dict()


@pytest.mark.parametrize("intervention", ["state_passing", "tbptt", "fitted_noise"])
def test_an_interrupted_run_ends_bit_equal(intervention: str, text_folder: Path, tmp_path: Path) -> None:
    recipe = tiny_text(text_folder, intervention={"name": intervention})
    whole, cut = run_path(tmp_path / "a", recipe.name, 0), run_path(tmp_path / "b", recipe.name, 0)
    assert train_run(recipe, 0, whole) is Outcome.TRAINED
    steps = iter([False] * 6 + [True])
    assert train_run(recipe, 0, cut, stop=lambda: next(steps)) is Outcome.INTERRUPTED
    assert train_run(recipe, 0, cut) is Outcome.TRAINED
    for name, value in weights(whole).items():
        assert torch.equal(weights(cut)[name], value), name


def test_a_run_is_diagnosed(text_folder: Path, tmp_path: Path) -> None:
    recipe = tiny_text(text_folder)
    folder = run_path(tmp_path, recipe.name, 3)
    train_run(recipe, 3, folder)
    assert json.loads(RunFolder(folder).environment.read_text())["state"] == 2 * 6
    rows = evaluate_run(folder)
    assert RunFolder(folder).diagnosis_rows() == list(rows)
    by_metric = {metric: [r for r in RunFolder(folder).diagnosis_rows() if r.metric == metric] for metric in METRICS}
    losses = by_metric["loss"]
    assert [row.start for row in losses[1:]] == [row.end for row in losses[:-1]]
    assert (losses[0].start, losses[-1].end) == (0, 64)
    assert [(row.start, row.end) for row in by_metric["ratio"]] == [(8, 16), (16, 32), (32, 64)]
    assert [row.start for row in by_metric["remembrance"]] == [0, 8, 16, 23, 31]
    assert by_metric["remembrance"][0].value == 0
    assert {row.part for row in by_metric["state_std"]} == {"", "layers.0.hidden", "layers.1.hidden"}
    assert all(row.low is None or row.low <= row.value <= (row.high or 0) for row in losses)
    assert {(row.seed, row.context, row.model, row.intervention) for row in rows} == {(3, 8, "gru", "zero")}
    curve = [row for row in RunFolder(folder).metrics_rows() if "loss_8" in row]
    assert [row["step"] for row in curve] == [6, 12]


METRICS = ("loss", "ratio", "remembrance", "state_std", "state_mean", "state_max")


def test_post_training_goes_on_from_the_trained_parameters(text_folder: Path, tmp_path: Path) -> None:
    base = tiny_text(text_folder)
    folder = run_path(tmp_path, base.name, 0)
    train_run(base, 0, folder)
    repair = post_training(base, 0, "state_passing", 4, ["intervention.zero_probability=0.3"])
    assert (repair.name, repair.start, repair.training.steps) == ("tiny/text.state_passing", "tiny/text", 4)
    assert repair.training.optimiser.learning_rate == pytest.approx(0.1 * base.training.optimiser.learning_rate)
    assert repair.intervention.model_dump()["zero_probability"] == 0.3
    assert runs_folder(folder, base, 0) == tmp_path
    after = run_path(tmp_path, repair.name, 0)
    stop = iter([True])
    train_run(repair, 0, after, stop=lambda: next(stop))
    moved = [(weights(after)[name] - value).abs().max() for name, value in weights(folder).items()]
    assert 0 < max(moved) <= 2 * repair.training.optimiser.learning_rate
    assert train_run(repair, 0, after) is Outcome.TRAINED


def test_a_start_that_is_not_there_says_how_to_make_it(text_folder: Path, tmp_path: Path) -> None:
    recipe = tiny_text(text_folder, start="tiny/other")
    with pytest.raises(InputError, match=r"'lengthwise train tiny/other --seed 0' with the same --runs makes it"):
        train_run(recipe, 0, run_path(tmp_path, recipe.name, 0))


def test_parameters_of_another_model_are_refused(text_folder: Path, tmp_path: Path) -> None:
    base = tiny_text(text_folder)
    train_run(base, 0, run_path(tmp_path, base.name, 0))
    wider = tiny_text(text_folder, name="wider", start=base.name, model={"name": "backbone", "width": 12})
    with pytest.raises(
        InputError,
        match=r"does not fit wider: its tensor '\S+' has the shape \[[\d, ]+\], that of the model \[[\d, ]+\]$",
    ):
        train_run(wider, 0, run_path(tmp_path, wider.name, 0))


def test_another_vocabulary_is_refused(text_folder: Path, tmp_path: Path) -> None:
    base = tiny_text(text_folder)
    train_run(base, 0, run_path(tmp_path, base.name, 0))
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"the": 0, "cat": 1, "?": 2}, unk_token="?"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "words.json"))
    text = base.settings()["text"] | {"tokenizer": str(tmp_path / "words.json")}
    other = tiny_text(text_folder, name="words", start=base.name, text=text)
    with pytest.raises(InputError, match="vocabulary"):
        train_run(other, 0, run_path(tmp_path, other.name, 0))


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


def test_only_language_models_are_post_trained(tiny_file: Path) -> None:
    with pytest.raises(InputError, match="is not of text"):
        post_training(load_recipe(str(tiny_file)), 0, "state_passing", 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"intervention": {"name": "state_pasing"}}, "did you mean 'state_passing'?"),
        ({"text": {"source": {"name": "file"}}}, "did you mean 'files'?"),
        ({"training": {"contxt": 8}}, "did you mean 'context'?"),
        ({"model": {"name": "backbone", "mixer": {"name": "mamba3"}}}, "unknown mixer 'mamba3'"),
    ],
)
def test_wrong_settings_offer_the_nearest_name(changes: dict[str, Any], message: str, text_folder: Path) -> None:
    with pytest.raises(InputError) as caught:
        tiny_text(text_folder, **changes)
    assert message in str(caught.value)
