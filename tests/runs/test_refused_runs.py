import contextlib
import fcntl
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import yaml
from filelock import lock_descriptor

from lengthwise.errors import InputError
from lengthwise.models import MIXERS, MODELS, OPERATORS
from lengthwise.runs.folder import RunFolder, find_runs
from lengthwise.runs.lock import InUseError, hold, is_held
from lengthwise.runs.memory import refuse_beyond_memory
from lengthwise.runs.recipe import Recipe, load_recipe
from lengthwise.runs.run import Outcome, train_run
from lengthwise.tasks.base import Point
from lengthwise.training.curriculum import Curriculum

WORDS = {
    "model": {"name": "backbone", "width": 8, "layers": 1, "mixer": {"name": "gru", "hidden_size": 6}},
    "training": {"steps": 2, "batch_size": 4},
}


def text_recipe(folder: Path, source: Path, **changes: object) -> Recipe:
    text = {"source": {"name": "files", "paths": [str(source)]}, "held_out": 0.4}
    path = folder / "words.yaml"
    task = {"name": "language_modelling", "text": text, "context": 8}
    path.write_text(yaml.safe_dump(WORDS | {"task": task} | changes))
    return load_recipe(str(path))


def texts(folder: Path, content: str) -> Path:
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.txt").write_text(content)
    return folder


def test_a_refused_run_leaves_the_place_to_the_corrected_one(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "words" / "seed-0"
    with pytest.raises(InputError, match="holds no text"):
        train_run(text_recipe(tmp_path, texts(tmp_path / "empty", "")), 0, folder)
    assert not folder.exists()
    assert find_runs(tmp_path / "runs") == []
    good = text_recipe(tmp_path, texts(tmp_path / "good", "the cat sat on the mat\n" * 20))
    assert train_run(good, 0, folder) is Outcome.TRAINED


@pytest.mark.parametrize(
    "changes",
    [
        {"device": "cuda"},
        {"intervention": {"name": "state_passing"}, "model": {"name": "backbone", "mixer": {"name": "attention"}}},
        {"start": "tiny/other"},
        {"model": {"name": "ldru", "width": 8}, "objective": {"name": "prefixes"}},
        {"objective": {"name": "tree"}},
        {"model": {"name": "regular_gpt", "width": 8, "heads": 2}, "training": {"recompute": 4}},
        # Only the first step finds out.
        {"model": {"name": "ldru", "width": 8}, "training": {"recompute": 4}},
    ],
)
def test_whatever_refuses_a_run_leaves_nothing_behind(
    changes: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    recipe = text_recipe(tmp_path, texts(tmp_path / "good", "the cat sat on the mat\n" * 20), **changes)
    with pytest.raises(InputError):
        train_run(recipe, 0, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_could_not_be_measured_is_refused_before_the_first_step(tiny_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"needs a task that has long sequences .*; parity does not"):
        train_run(load_recipe(str(tiny_file), ["evaluation.perplexity={}"]), 0, tmp_path / "run")
    words = text_recipe(tmp_path, texts(tmp_path / "good", "the cat sat on the mat\n" * 20))
    unable = words.model_copy(update={"model": load_recipe("baselines/regular_gpt").model})
    with pytest.raises(InputError, match=r"needs a model that carries state .*; RegularGPT reads whole strings only"):
        train_run(unable, 0, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (lambda points: [], "parity has no points to be measured at"),
        (
            lambda points: [*points, points[0]],
            r"parity has 2 test points at .*'length': 1.*; leave one out, or give them an axis",
        ),
        (lambda points: [Point(points[0].axes, samples=0)], "parity measures 0 samples at .* needs 1 at least"),
    ],
)
def test_points_that_cannot_be_measured_are_refused_before_the_first_step(
    of: Callable[[list[Point]], list[Point]],
    message: str,
    tiny: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points = {stage: tiny.task.points(stage) for stage in ("train", "test", "curve")}
    points["test"] = of(points["test"])
    monkeypatch.setattr(type(tiny.task), "points", lambda task, stage: points[stage])
    with pytest.raises(InputError, match=message):
        train_run(tiny, 0, tmp_path / "run")
    assert not (tmp_path / "run").exists()


LONG = "{minimum: 99000, maximum: 99001}"


class Elsewhere(Curriculum):
    name: Literal["elsewhere"] = "elsewhere"

    def draw(self, rng: np.random.Generator, progress: float, points: Sequence[Point]) -> Point:
        return Point({"length": 99})


def test_a_point_that_is_not_of_the_task_is_not_trained_at(tiny: Recipe, tmp_path: Path) -> None:
    training = tiny.training.model_copy(update={"curriculum": Elsewhere()})
    with pytest.raises(InputError, match=r"drew Point\(axes={'length': 99}.*, which is no point of the task"):
        train_run(tiny.model_copy(update={"training": training}), 0, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["model.width=1000000"], r"[\d,]+ parameters \(model.width is 1,000,000\) take [\d,.]+ GB at least, but"),
        (["training.batch_size=10000000", f"task.train={LONG}"], r"10,000,000 rows of 99,001 positions take"),
        (
            ["task.test.samples=10000000", "task.test.longest=9000", "task.test.long_lengths=[]"],
            r"10,000,000 samples of [\d,]+ positions take",
        ),
    ],
)
def test_more_memory_than_there_is_is_refused_before_it_is_taken(
    settings: list[str], message: str, tiny_file: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(str(tiny_file), ["objective.name=asked", *settings])
    with pytest.raises(InputError, match=message):
        train_run(recipe, 0, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def _real_numbers() -> list[tuple[str, ...]]:
    """Return overrides that set each real number of each part of a model to more than a computer counts."""
    found = list[tuple[str, ...]]()
    for registry, above, model in (
        (MODELS, "", None),
        (MIXERS, ".mixer", "backbone"),
        (OPERATORS, ".operator", "ldru"),
    ):
        for name in registry:
            chosen = [f"model.name={model}", f"model{above}.name={name}"] if model else [f"model.name={name}"]
            settings = registry.load(name).model_fields.items()
            real = [field for field, info in settings if info.annotation in (float, float | None)]
            found += [(*chosen, f"model{above}.{field}={2.0**63}") for field in real]
    return found


@pytest.mark.slow
def test_no_real_number_of_a_model_makes_it_too_large_to_count(tiny_file: Path) -> None:
    """Some are multiples of the width; others change no size, or are refused as they are read."""
    tried = _real_numbers()
    assert any("feed_forward" in override for *_, override in tried)
    for overrides in tried:
        with contextlib.suppress(InputError):
            refuse_beyond_memory(load_recipe(str(tiny_file), ["model={}", *overrides]), torch.device("cpu"))


def test_lengths_without_strings_are_refused_before_the_first_step(tiny_file: Path, tmp_path: Path) -> None:
    """The class is the first symbol, and only strings whose length is a multiple of three have one."""
    steps = {"s": ["b0", "b1"]} | {f"{one}{n}": [f"{two}{n}"] * 2 for one, two in ("bc", "cd", "db") for n in (0, 1)}
    thirds = {"alphabet": 2, "start": "s", "classes": {"d0": 0, "d1": 1}, "transitions": steps}
    (tmp_path / "thirds.yaml").write_text(yaml.safe_dump(thirds))
    recipe = load_recipe(str(tiny_file), [f"task=dfa:{tmp_path / 'thirds.yaml'}"])
    with pytest.raises(InputError, match=r"no string of length 1 has a class .* the nearest length that does is 3"):
        train_run(recipe, 0, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_else_lies_in_the_folder_of_a_refused_run_stays(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(InputError):
        train_run(load_recipe(str(tiny_file), ["device=cuda"]), 0, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_a_folder_in_which_no_training_began_is_taken_over(tiny: Recipe, tiny_file: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.recipe.write_text(load_recipe(str(tiny_file), ["model.width=16"]).to_yaml())
    run.environment.write_text('{"seed": 7}')
    assert train_run(tiny, 0, run.path) is Outcome.TRAINED
    assert load_recipe(str(run.recipe)).digest() == tiny.digest()
    assert '"seed": 0' in run.environment.read_text()


def test_a_refusal_keeps_what_was_trained(tiny: Recipe, tiny_file: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    train_run(tiny, 0, run.path, stop=lambda: True)
    kept = (run.recipe, run.environment, run.metrics, run.checkpoint)
    before = [path.read_bytes() for path in kept]
    with pytest.raises(InputError, match="belongs to another recipe"):
        train_run(load_recipe(str(tiny_file), ["training.steps=99"]), 0, run.path)
    assert [path.read_bytes() for path in kept] == before


def test_a_folder_that_another_holds_is_not_taken_away(tiny_file: Path, tmp_path: Path) -> None:
    refused = load_recipe(str(tiny_file), ["device=cuda"])
    (tmp_path / "lock").touch()
    with (tmp_path / "lock").open() as held:
        assert lock_descriptor(held.fileno(), blocking=False)
        with pytest.raises(InUseError):
            train_run(refused, 0, tmp_path)
    assert (tmp_path / "lock").exists()


def test_a_lock_whose_file_was_taken_away_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening the file and locking it, the process that held it was refused and took the folder away."""
    folder = tmp_path / "run"
    calls: list[int] = []

    def late(file: int, operation: int) -> None:
        calls.append(file)
        if len(calls) == 1:
            (folder / "lock").unlink()
            folder.rmdir()
        flock(file, operation)

    flock = fcntl.flock
    monkeypatch.setattr("fcntl.flock", late)
    with hold(folder):
        assert is_held(folder)
        with pytest.raises(InUseError, match=rf"in use by process {os.getpid()} on"), hold(folder, patience=0):
            pass
    assert not is_held(folder)


@pytest.mark.slow
def test_a_finished_run_with_a_damaged_checkpoint_is_not_called_done(tiny: Recipe, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    train_run(tiny, 0, run.path)
    whole = run.checkpoint.stat().st_size
    for size in (whole - 1, 100, 0):
        os.truncate(run.checkpoint, size)
        with pytest.raises(InputError, match=r"is finished, but checkpoint \S+ is truncated.*it is trained anew"):
            train_run(tiny, 0, run.path)
    run.checkpoint.unlink()
    assert train_run(tiny, 0, run.path) is Outcome.NOTHING_TO_DO
