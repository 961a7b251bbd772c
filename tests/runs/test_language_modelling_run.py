from pathlib import Path
from typing import Any

import pytest
import torch
from words_for_tests import tiny_text, weights, write_words

from lengthwise.errors import InputError
from lengthwise.runs.folder import RunFolder, run_path
from lengthwise.runs.rows import read_evaluation
from lengthwise.runs.run import Outcome, evaluate_run, train_run


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_words(tmp_path_factory.mktemp("text"))


@pytest.mark.slow
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
    rows = evaluate_run(folder)
    head, read = read_evaluation(RunFolder(folder).evaluation)
    assert head.state_size == 2 * 6
    assert read == rows
    by_metric = {metric: [row for row in rows if row.metric == metric] for metric in METRICS}
    assert sum(map(len, by_metric.values())) == len(rows)
    losses, ratios = ([(row.axes["start"], row.axes["end"]) for row in by_metric[name]] for name in ("loss", "ratio"))
    assert [start for start, _ in losses[1:]] == [end for _, end in losses[:-1]]
    assert (losses[0][0], losses[-1][1]) == (0, 64)
    assert ratios == [(8, 16), (16, 32), (32, 64)]
    assert [row.axes["start"] for row in by_metric["remembrance"]] == [0, 8, 16, 23, 31]
    assert by_metric["remembrance"][0].value == 0
    parts = {row.axes.get("part", "") for row in by_metric["state_std"]}
    assert parts == {"", "layers.0.hidden", "layers.1.hidden"}
    assert all(row.low is None or row.low <= row.value <= (row.high or 0) for row in by_metric["loss"])
    assert {(row.task, row.samples) for row in by_metric["loss"]} == {("language_modelling", 6)}
    assert (head.seed, head.training_length, head.model, head.intervention) == (3, 8, "gru", "zero")
    assert head.data == f"files {recipe.task.identity()}"
    assert (head.trained_on, head.state_size, head.step) == ("language_modelling", 2 * 6, 12)
    curve = [row for row in RunFolder(folder).metrics_rows() if "loss_8" in row]
    assert [row["step"] for row in curve] == [6, 12]


METRICS = ("loss", "ratio", "remembrance", "state_std", "state_mean", "state_max")


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
    task = base.settings()["task"]
    task["text"]["tokenizer"] = str(tmp_path / "words.json")
    other = tiny_text(text_folder, name="words", start=base.name, task=task)
    with pytest.raises(InputError, match="was built for 257 symbols, but language_modelling has 4; use the tokenizer"):
        train_run(other, 0, run_path(tmp_path, other.name, 0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"intervention": {"name": "state_pasing"}}, "did you mean 'state_passing'?"),
        ({"task": {"name": "language_modelling", "text": {"source": {"name": "file"}}}}, "did you mean 'files'?"),
        ({"task": {"name": "language_modelling", "contxt": 8}}, "did you mean 'context'?"),
        ({"task": {"name": "language_modeling"}}, "did you mean 'language_modelling'?"),
        ({"model": {"name": "backbone", "mixer": {"name": "mamba3"}}}, "unknown mixer 'mamba3'"),
    ],
)
def test_wrong_settings_offer_the_nearest_name(changes: dict[str, Any], message: str, text_folder: Path) -> None:
    with pytest.raises(InputError) as caught:
        tiny_text(text_folder, **changes)
    assert message in str(caught.value)
