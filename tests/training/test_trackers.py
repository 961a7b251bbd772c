import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from lengthwise.errors import InputError, StoppedError
from lengthwise.runs.recipe import Recipe, load_recipe
from lengthwise.runs.run import train_run
from lengthwise.training import TRACKERS
from lengthwise.training.loop import Trainer
from lengthwise.training.trackers import TRACKED

STEPS = ["training.steps=30", "training.batch_size=4", "training.log_every=5", "training.checkpoint_every=10"]


def tracked(*names: str) -> Recipe:
    return load_recipe("fast/parity", [*STEPS, "model.width=4", f"training.trackers=[{', '.join(names)}]"])


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRACKERS._builtin, "kept", "trackers_for_tests:Kept")
    monkeypatch.setitem(TRACKERS._builtin, "failing", "trackers_for_tests:Failing")


def kill_after(step: int):
    def progress(trainer: Trainer, metrics: Mapping[str, float]) -> None:
        if trainer.step == step:
            raise KeyboardInterrupt

    return progress


def test_a_step_is_told_once_however_often_a_run_is_killed(tmp_path: Path) -> None:
    run, recipe = tmp_path / "seed-0", tracked("kept")
    # Between a checkpoint and what was logged after it, and before anything was logged again.
    for step in (17, 13, 26):
        with pytest.raises(KeyboardInterrupt):
            train_run(recipe, 0, run, progress=kill_after(step))
    train_run(recipe, 0, run)
    train_run(recipe, 0, run)
    told = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    name = "fast/parity/seed-0, trained with 4 rows"
    assert [one for one in told if isinstance(one, list)] == [[name, row["step"], row["loss"]] for row in rows]
    assert [one for one in told if isinstance(one, bool)] == [False, False, False, True]
    assert json.loads((run / TRACKED).read_text(encoding="utf-8")) == {"kept": {"id": name, "step": 30}}


def test_who_watches_decides_nothing(tmp_path: Path) -> None:
    plain, watched = tracked(), tracked("kept")
    assert plain.digest() == watched.digest()
    assert load_recipe("fast/parity").digest() == load_recipe("fast/parity", ["training.trackers=[kept]"]).digest()
    assert "trackers" not in plain.to_yaml(), "recipes of earlier runs stay what they are"
    for name, recipe in (("plain", plain), ("watched", watched)):
        train_run(recipe, 0, tmp_path / name / "seed-0")
    files = [tmp_path / name / "seed-0/metrics.jsonl" for name in ("plain", "watched")]
    losses = [[json.loads(line)["loss"] for line in file.read_text(encoding="utf-8").splitlines()] for file in files]
    assert losses[0] == losses[1]
    assert not (tmp_path / "plain/seed-0" / TRACKED).exists()


def test_a_tracker_that_fails_is_told_in_words_and_the_run_goes_on_without(tmp_path: Path) -> None:
    with pytest.raises(
        StoppedError, match=r"tracker 'failing' failed at step 5; .*ConnectionResetError: the other side is"
    ):
        train_run(tracked("failing"), 0, tmp_path / "seed-0")
    train_run(tracked(), 0, tmp_path / "seed-0")
    assert (tmp_path / "seed-0/finished").exists()


def test_an_unknown_tracker_is_told_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown tracker 'tensorbord'; did you mean 'tensorboard'"):
        tracked("tensorbord")


def test_tensorboard_shows_every_step_once(tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed (extra trackers)"
    )
    run, recipe = tmp_path / "seed-0", tracked("tensorboard")
    with pytest.raises(KeyboardInterrupt):
        train_run(recipe, 0, run, progress=kill_after(17))
    train_run(recipe, 0, run)
    events = accumulator.EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [5, 10, 15, 20, 25, 30]


def test_mlflow_has_one_run_with_every_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed (extra trackers)")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    run, recipe = tmp_path / "seed-0", tracked("mlflow")
    with pytest.raises(KeyboardInterrupt):
        train_run(recipe, 0, run, progress=kill_after(17))
    train_run(recipe, 0, run)
    client = mlflow.MlflowClient()
    (found,) = client.search_runs([client.get_experiment_by_name("lengthwise").experiment_id])
    assert (found.info.status, found.info.run_name) == ("FINISHED", "fast/parity/seed-0")
    assert found.data.params["training.batch_size"] == "4"
    steps = [metric.step for metric in client.get_metric_history(found.info.run_id, "loss")]
    assert steps == [5, 10, 15, 20, 25, 30]
