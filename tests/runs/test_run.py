import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from filelock import lock_descriptor

from lengthwise.errors import InputError, RunError
from lengthwise.evaluation.by_point import ByPoint
from lengthwise.models.base import StringModel
from lengthwise.runs.building import pick_device, state_size
from lengthwise.runs.folder import RunFolder, find_runs, open_runs, run_path
from lengthwise.runs.recipe import Recipe, load_recipe
from lengthwise.runs.rows import Row, read_evaluation, read_head
from lengthwise.runs.run import Outcome, evaluate_run, load_run, train_run
from lengthwise.runs.summary import summarise
from lengthwise.runs.table import read_table
from lengthwise.tasks.base import Point
from lengthwise.training.checkpoint import load_checkpoint


def trained(recipe: Recipe, folder: Path, seed: int = 0) -> RunFolder:
    assert train_run(recipe, seed, folder) is Outcome.TRAINED
    return RunFolder(folder)


def assert_equal_runs(one: RunFolder, other: RunFolder) -> None:
    """Compare everything but the seconds."""
    tensors, values = load_checkpoint(one.checkpoint)
    tensors_other, values_other = load_checkpoint(other.checkpoint)
    assert tensors.keys() == tensors_other.keys()
    assert all(torch.equal(tensors[name], tensors_other[name]) for name in tensors)
    assert values | {"seconds": 0} == values_other | {"seconds": 0}
    rows, rows_other = ([row | {"seconds": 0} for row in run.metrics_rows()] for run in (one, other))
    assert rows == rows_other


def test_a_run_explains_itself(tiny: Recipe, tmp_path: Path) -> None:
    run = trained(tiny, tmp_path / "run", seed=3)
    own = load_recipe(str(run.recipe))
    assert own == tiny.model_copy(update={"seeds": (3,), "content": {}})
    assert own.digest() == tiny.digest()
    environment = json.loads(run.environment.read_text())
    assert environment["seed"] == 3
    assert environment["packages"]["torch"] == torch.__version__
    model = load_run(run.path).model
    assert environment["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert [row["step"] for row in run.metrics_rows()] == sorted({*range(2, 25, 2), 7, 14, 21})
    curve = [row for row in run.metrics_rows() if "accuracy_20" in row]
    assert [row["step"] for row in curve] == [7, 14, 21, 24]
    assert run.status == "finished"
    assert run.ending == "all 24 steps"


@pytest.mark.slow
def test_two_runs_of_one_seed_are_equal_and_of_two_seeds_are_not(tiny: Recipe, tmp_path: Path) -> None:
    first, second, other = (trained(tiny, tmp_path / str(i), seed) for i, seed in enumerate((1, 1, 2)))
    assert_equal_runs(first, second)
    assert first.metrics_rows()[0]["loss"] != other.metrics_rows()[0]["loss"]


@pytest.mark.slow
def test_a_finished_run_is_left_alone(tiny: Recipe, tmp_path: Path) -> None:
    run = trained(tiny, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert train_run(tiny, 0, tmp_path) is Outcome.NOTHING_TO_DO
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 7])
def test_interrupted_again_and_again(tiny: Recipe, tmp_path: Path, every: int) -> None:
    calls = itertools.count(1)
    outcomes = [Outcome.INTERRUPTED]
    while outcomes[-1] is Outcome.INTERRUPTED:
        outcomes.append(train_run(tiny, 0, tmp_path / "stopped", stop=lambda: next(calls) % every == 0))
    assert len(outcomes) - 1 == -(-tiny.training.steps // every)
    assert_equal_runs(RunFolder(tmp_path / "stopped"), trained(tiny, tmp_path / "whole"))
    assert len(json.loads((tmp_path / "stopped" / "environment.json").read_text())["resumed"]) == len(outcomes) - 2


KILLED = """
import os, signal, sys
from pathlib import Path
from lengthwise.runs.recipe import load_recipe
from lengthwise.runs.run import train_run
from lengthwise import files

def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

def tear(descriptor):
    os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
    die()

recipe, folder, point, when = load_recipe(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def progress(trainer, metrics):
    if trainer.step == when:
        match point:
            case "step":
                die()
            case "torn write":
                files.os.fsync = tear
            case "before the name":
                files.Path.replace = die
            case "after the name":
                files._sync = die

train_run(recipe, 0, folder, progress)
"""


@pytest.mark.slow
def test_killed_at_several_points(tiny: Recipe, tiny_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    points = [
        ("step", 3),
        ("torn write", 5),
        ("step", 9),
        ("before the name", 10),
        ("after the name", 15),
        ("step", 24),
    ]
    for point, when in points:
        arguments = [sys.executable, "-c", KILLED, str(tiny_file), str(folder), point, str(when)]
        assert subprocess.run(arguments, check=False).returncode == -signal.SIGKILL, (point, when)
        assert RunFolder(folder).status == "unfinished"
        load_checkpoint(RunFolder(folder).checkpoint)
    assert_equal_runs(trained(tiny, folder), trained(tiny, tmp_path / "whole"))


@pytest.mark.slow
def test_a_run_that_stops_early_stops_at_the_same_step_however_often_it_dies(tiny_file: Path, tmp_path: Path) -> None:
    overrides = ["training.stop.loss_below=100", "training.stop.steps=17"]
    recipe = load_recipe(str(tiny_file), overrides)
    stopping = tmp_path / "stopping.yaml"
    stopping.write_text(recipe.to_yaml())
    folder = tmp_path / "killed"
    # The last kill comes between the checkpoint of the last step and the word that the run is finished.
    for point, when in [("step", 8), ("torn write", 10), ("after the name", 17)]:
        arguments = [sys.executable, "-c", KILLED, str(stopping), str(folder), point, str(when)]
        assert subprocess.run(arguments, check=False).returncode == -signal.SIGKILL, (point, when)
    run, whole = trained(recipe, folder), trained(recipe, tmp_path / "whole")
    assert_equal_runs(run, whole)
    assert whole.ending == run.ending == "stopped: loss below 100 for 17 steps"
    assert [row["step"] for row in run.metrics_rows()][-1] == 17
    evaluate_run(folder)
    assert read_head(run.evaluation).step == 17


def test_settings_that_are_not_used_do_not_change_what_a_recipe_is(tiny: Recipe, tiny_file: Path) -> None:
    assert load_recipe(str(tiny_file), ["training.stop=null"]).digest() == tiny.digest()
    assert load_recipe(str(tiny_file), ["training.stop.loss_below=0.1"]).digest() != tiny.digest()


@pytest.mark.slow
def test_a_torn_last_row_of_metrics_is_made_again(tiny: Recipe, tmp_path: Path) -> None:
    calls = itertools.count(1)
    train_run(tiny, 0, tmp_path / "torn", stop=lambda: next(calls) == 13)
    with RunFolder(tmp_path / "torn").metrics.open("a") as file:
        file.write('{"step": 14, "lo')
    assert_equal_runs(trained(tiny, tmp_path / "torn"), trained(tiny, tmp_path / "whole"))


FULL = """
import resource, signal, sys
from pathlib import Path
from lengthwise.errors import RunError
from lengthwise.runs.recipe import load_recipe
from lengthwise.runs.run import train_run

def progress(trainer, metrics):
    if trainer.step == 11:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))

try:
    train_run(load_recipe(sys.argv[1]), 0, Path(sys.argv[2]), progress)
except RunError as error:
    sys.stderr.write(str(error))
    sys.exit(error.exit_code)
"""


@pytest.mark.slow
def test_no_space_left_during_a_checkpoint(tiny: Recipe, tiny_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "full"
    arguments = [sys.executable, "-c", FULL, str(tiny_file), str(folder)]
    ended = subprocess.run(arguments, check=False, capture_output=True, text=True)
    assert ended.returncode == 2
    assert f"cannot write the checkpoint {folder / 'checkpoint.safetensors'}: File too large" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert load_checkpoint(folder / "checkpoint.safetensors")[1]["step"] == 10
    assert_equal_runs(trained(tiny, folder), trained(tiny, tmp_path / "whole"))


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(tiny_file: Path, tmp_path: Path) -> None:
    wild = load_recipe(
        str(tiny_file),
        ["training.optimiser.learning_rate=1e38", "training.optimiser.warm_up=0", "training.checkpoint_every=1"],
    )
    with pytest.raises(RunError, match=r"the loss became (nan|inf) at step (\d+) .*checkpoint, of step \d+, is kept"):
        train_run(wild, 0, tmp_path / "wild")
    run = RunFolder(tmp_path / "wild")
    assert run.status == "unfinished"
    load_checkpoint(run.checkpoint)


@pytest.mark.slow
def test_a_folder_of_another_recipe_is_refused(tiny: Recipe, tiny_file: Path, tmp_path: Path) -> None:
    trained(tiny, tmp_path / "run")
    other = load_recipe(str(tiny_file), ["training.steps=99", "model.width=16"])
    with pytest.raises(InputError) as caught:
        train_run(other, 0, tmp_path / "run")
    assert "model.width: 8, now 16" in str(caught.value)
    assert "training.steps: 24, now 99" in str(caught.value)
    with pytest.raises(InputError, match=r"seeds: \[0\], now \[1\]"):
        train_run(tiny, 1, tmp_path / "run")


def test_a_folder_in_use_is_refused(tiny: Recipe, tmp_path: Path) -> None:
    tmp_path.joinpath("lock").write_text("process 123 on here\n")
    with tmp_path.joinpath("lock").open() as held:
        assert lock_descriptor(held.fileno(), blocking=False)
        assert RunFolder(tmp_path).status == "running"
        with pytest.raises(InputError, match="in use by process 123 on here"):
            train_run(tiny, 0, tmp_path)
    trained(tiny, tmp_path)


def test_a_folder_that_cannot_be_made(tiny: Recipe, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write the lock of .*file/run: Not a directory"):
        train_run(tiny, 0, tmp_path / "file" / "run")


def test_a_corrupt_checkpoint_is_named_and_kept(tiny: Recipe, tmp_path: Path) -> None:
    train_run(tiny, 0, tmp_path, stop=lambda: True)
    checkpoint = tmp_path / "checkpoint.safetensors"
    os.truncate(checkpoint, 1000)
    with pytest.raises(InputError, match=r"checkpoint\.safetensors is truncated"):
        train_run(tiny, 0, tmp_path)
    assert checkpoint.stat().st_size == 1000


@pytest.mark.slow
def test_an_evaluation_says_where_its_rows_come_from(tiny: Recipe, tmp_path: Path) -> None:
    run = trained(tiny, tmp_path)
    rows = evaluate_run(tmp_path)
    assert run.status == "evaluated"
    head, read = read_evaluation(run.evaluation)
    assert read == rows
    places = [(row.axes["distribution"], row.axes["length"], row.samples) for row in rows]
    standard = [("standard", length, 8) for length in range(1, 17)]
    assert places == [*standard, ("near_miss", 10, 8), ("standard", 40, 4)]
    for row in rows:
        assert (row.task, row.metric) == ("parity", "accuracy")
        assert row.value * row.samples == int(row.value * row.samples)
    assert (head.recipe, head.digest, head.model, head.trained_on, head.seed) == (
        "tiny",
        tiny.digest(),
        "ldru",
        "parity",
        0,
    )
    assert (head.step, head.sequences, head.training_length, head.intervention) == (24, 96, 12, "zero")
    # After twelve symbols the stack holds two partial reductions, of eight and of four.
    assert (head.parameters, head.state_size) == (parameters_of(run), 2 * 8)


def parameters_of(run: RunFolder) -> int:
    return int(json.loads(run.environment.read_text())["parameters"])


BASELINE = {
    "task": {
        "name": "regular",
        "language": "parity",
        "train": {"maximum": 12},
        "test": {"longest": 20, "every": 3, "samples": 8, "long_lengths": [30], "near_misses": [10]},
    },
    "model": {"name": "backbone", "mixer": {"name": "lstm", "hidden_size": 8}, "width": 8, "layers": 1},
    "training": {"steps": 6, "batch_size": 4, "checkpoint_every": 2},
}


@pytest.mark.parametrize("objective", ["asked", "prefixes"])
@pytest.mark.parametrize("language", ["parity", "dyck_2"])
def test_a_baseline_is_trained_evaluated_and_summarised(language: str, objective: str, tmp_path: Path) -> None:
    (tmp_path / "baseline.yaml").write_text(yaml.safe_dump(BASELINE))
    overrides = [f"objective.name={objective}", f"task={language}"]
    recipe = load_recipe(str(tmp_path / "baseline.yaml"), overrides)
    run = trained(recipe, tmp_path / "run")
    rows = evaluate_run(run.path)
    assert [(row.axes["distribution"], row.axes["length"]) for row in rows] == [
        *(("standard", length) for length in range(1, 21, 3)),
        ("near_miss", 10),
        ("standard", 30),
    ]
    head = read_head(run.evaluation)
    assert (head.model, head.parameters, head.state_size) == ("lstm", parameters_of(run), 16)
    table = read_table([run.path])
    (summary,) = summarise(table).rows(named=True)
    assert (summary["model"], summary["task"], summary["parameters"]) == ("lstm", language, head.parameters)
    beyond = [
        row.value for row in rows if row.axes["distribution"] == "standard" and 12 < int(row.axes["length"]) <= 20
    ]
    assert summary["value"] == pytest.approx(np.mean(beyond))


def test_a_model_without_a_state_has_no_state_size() -> None:
    class Bag(StringModel):
        def string_logits(self, tokens: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(tokens), 2)

    assert state_size(Bag(), torch.zeros(1, 5, dtype=torch.int64)) is None


def test_an_evaluation_is_not_repeated_unless_asked(tiny: Recipe, tmp_path: Path) -> None:
    trained(tiny, tmp_path)
    seen: list[Row] = []
    rows = evaluate_run(tmp_path)
    assert evaluate_run(tmp_path, seen.append) == rows
    assert seen == []
    assert evaluate_run(tmp_path, seen.append, again=True) == rows
    assert seen == rows


def test_an_unfinished_run_is_not_evaluated(tiny: Recipe, tmp_path: Path) -> None:
    train_run(tiny, 0, tmp_path, stop=lambda: True)
    with pytest.raises(InputError, match="not trained to its end"):
        evaluate_run(tmp_path)


def test_a_trained_model_is_loaded_from_its_folder(tiny: Recipe, tmp_path: Path) -> None:
    trained(tiny, tmp_path)
    trainer = load_run(tmp_path)
    tokens = torch.from_numpy(trainer.task.sample(np.random.default_rng(0), 4, Point({"length": 9})).inputs)
    assert torch.equal(trainer.model(tokens).logits, load_run(tmp_path).model(tokens).logits)
    assert trainer.step == tiny.training.steps
    with pytest.raises(InputError, match="not a run"):
        load_run(tmp_path / "nowhere")


def test_the_same_number_is_not_measured_twice(tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tiny, tmp_path)
    measure = ByPoint.go_on

    def twice(self: ByPoint, *what: Any) -> Iterator[Row]:
        for _ in range(2):
            yield from measure(self, *what)

    monkeypatch.setattr(ByPoint, "go_on", twice)
    with pytest.raises(InputError, match="accuracy of parity is measured twice at"):
        evaluate_run(tmp_path)
    assert not RunFolder(tmp_path).evaluation.exists()


def test_what_is_not_a_number_is_not_measured(tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report would pass over it where it looks for the worst."""
    trained(tiny, tmp_path)
    measure = ByPoint.go_on

    def spoilt(self: ByPoint, *what: Any) -> Iterator[Row]:
        for row in measure(self, *what):
            yield row.model_copy(update={"value": float("nan")})

    monkeypatch.setattr(ByPoint, "go_on", spoilt)
    with pytest.raises(InputError, match=r"ByPoint measures accuracy of parity at .* as not a number"):
        evaluate_run(tmp_path)
    assert not RunFolder(tmp_path).evaluation.exists()


@pytest.mark.slow
def test_a_checkpoint_of_another_model_is_named(tiny: Recipe, tiny_file: Path, tmp_path: Path) -> None:
    trained(tiny, tmp_path / "one")
    trained(load_recipe(str(tiny_file), ["model.width=16"]), tmp_path / "two")
    (tmp_path / "two" / "checkpoint.safetensors").replace(tmp_path / "one" / "checkpoint.safetensors")
    with pytest.raises(InputError, match=r"one/checkpoint\.safetensors does not fit the model of its") as caught:
        evaluate_run(tmp_path / "one")
    assert str(caught.value).endswith(
        "its tensor 'encoder.embedding.weight' has the shape [2, 16], that of the model [2, 8]"
    )


def test_runs_are_found_below_folders_once_each(tiny: Recipe, tmp_path: Path) -> None:
    for seed in (0, 1):
        train_run(tiny, seed, run_path(tmp_path, "some/name", seed), stop=lambda: True)
    expected = [tmp_path / "some" / "name" / f"seed-{seed}" for seed in (0, 1)]
    assert [run.path for run in find_runs(tmp_path)] == expected
    assert [run.path for run in open_runs([expected[1], tmp_path])] == expected[::-1]
    with pytest.raises(InputError, match=r"there is no run in .*nowhere"):
        open_runs([tmp_path / "nowhere"])


def test_a_line_of_an_evaluation_that_is_not_valid_is_named(tiny: Recipe, tmp_path: Path) -> None:
    run = trained(tiny, tmp_path)
    evaluate_run(tmp_path)
    first, second, *_ = run.evaluation.read_text().splitlines()
    for line, message in (("{", r"line 2: not a row of an evaluation"), ("{}", r"line 2: not a row of an evaluation")):
        run.evaluation.write_text(f"{first}\n{line}\n")
        with pytest.raises(InputError, match=rf"evaluation\.jsonl, {message}"):
            read_evaluation(run.evaluation)
    for line in ("", "{", second.replace("parity", "x")):
        run.evaluation.write_text(f"{line}\n{second}\n")
        with pytest.raises(InputError, match=r"evaluation\.jsonl(, line 1: not the head| is not an evaluation)"):
            read_head(run.evaluation)


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in {"cpu", "cuda", "mps"}
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match=r"device 'cuda' is not available here; there is: .*cpu"):
            pick_device("cuda")
