"""Every task that is no language: trained and measured in a run, from zero and from passed states, and learned."""

import math
from pathlib import Path
from typing import Any

import pytest
from small_tasks import labelled

from lengthwise.evaluation.rows import Row
from lengthwise.runs.recipe import Recipe, validate_recipe
from lengthwise.runs.run import Outcome, evaluate_run, train_run

SHORT = {"steps": 4, "batch_size": 8, "log_every": 1}
BEYOND = {"perplexity": {"reach": 4, "rows": 4}, "state_statistics": {"reach": 4, "rows": 2}}
TASKS: dict[str, dict[str, Any]] = {
    "listops": {"train": {"maximum": 8}, "lengths": [6, 9], "samples": 8},
    "copying": {"symbols": 4, "train": {"maximum": 4}, "lengths": [2, 6], "samples": 8},
    "passkey": {"digits": 2, "train": {"minimum": 14, "maximum": 18}, "lengths": [16, 30], "samples": 4},
    "babilong": {"facts": 2, "train": {"minimum": 20, "maximum": 22}, "lengths": [40], "samples": 4},
    "mqar": {"pairs": 2, "train": {"minimum": 8, "maximum": 10}, "lengths": [20], "test_pairs": [2], "samples": 4},
    "selective_copying": {"letters": 2, "train": {"minimum": 6, "maximum": 8}, "lengths": [20], "samples": 4},
    "classification": {},
    "signals": {"size": 2, "train": {"minimum": 8, "maximum": 8}, "lengths": [8, 20], "samples": 4},
}
ASKED_ALL_ALONG = {"copying", "passkey", "mqar", "selective_copying", "signals"}


def gru(width: int = 16, hidden: int = 16) -> dict[str, Any]:
    return {"name": "backbone", "width": width, "layers": 1, "mixer": {"name": "gru", "hidden_size": hidden}}


def model(name: str, task: str) -> dict[str, Any]:
    if name == "ldru":
        return {"name": "ldru", "width": 16, "readout": "prefixes" if task in ASKED_ALL_ALONG else "root"}
    return gru() | {"mixer": {"name": name, **({"hidden_size": 16} if name == "gru" else {"heads": 2})}}


def settings_of(task: str, folder: Path) -> dict[str, Any]:
    return {"name": task, **TASKS[task], **({"source": str(labelled(folder))} if task == "classification" else {})}


def recipe(folder: Path, **settings: Any) -> Recipe:
    name = settings["task"]["name"]
    evaluation = BEYOND if name == "signals" else {}
    return validate_recipe({"name": f"small/{name}", "evaluation": evaluation, **settings}, str(folder))


def rows_of(recipe: Recipe, folder: Path) -> list[Row]:
    assert train_run(recipe, 0, folder / recipe.name) is Outcome.TRAINED
    rows = evaluate_run(folder / recipe.name)
    assert all(math.isfinite(row.value) for row in rows)
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("intervention", ["zero", "state_passing"])
@pytest.mark.parametrize("mixer", ["gru", "ldru", "gated_deltanet"])
@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_trained_and_measured(task: str, mixer: str, intervention: str, tmp_path: Path) -> None:
    parts = {"task": settings_of(task, tmp_path), "model": model(mixer, task), "training": SHORT}
    made = recipe(tmp_path, **parts, intervention={"name": intervention})
    rows = rows_of(made, tmp_path)
    measured = {(row.metric, *row.axes.items()) for row in rows}
    points = made.task.points("test")
    assert {(metric, *point.axes.items()) for metric in made.task.metrics for point in points} <= measured
    if task == "signals":
        assert {"error_by_position", "state_std"} <= {row.metric for row in rows}


def test_texts_are_measured_once_each(tmp_path: Path) -> None:
    made = recipe(tmp_path, task=settings_of("classification", tmp_path), model=gru(), training=SHORT)
    (row,) = rows_of(made, tmp_path)
    texts = made.task.splits["test"]  # type: ignore[attr-defined]
    assert row.samples == len(texts)
    assert row.value * len(texts) == pytest.approx(round(row.value * len(texts)))


LEARNED = {
    # Guessing is right a quarter of the time.
    "copying": ({"symbols": 4, "train": {"maximum": 4}, "lengths": [4]}, "accuracy", 0.95),
    # The best guess from the operation alone is right about a sixth of the time.
    "listops": (
        {"train": {"maximum": 7}, "arguments": 3, "depth": 2, "lengths": [4]}
        | {"test_arguments": [3], "test_depths": [2]},
        "accuracy",
        0.6,
    ),
    # The error of the mean is 1.
    "signals": ({"size": 2, "lengths": [32, 128], "samples": 32}, "squared_error", -0.15),
    "passkey": (
        {"digits": 2, "train": {"minimum": 16, "maximum": 32}, "lengths": [32]},
        "sequence_accuracy",
        0.9,
    ),
    # Guessing is right a sixth of the time.
    "babilong": (
        {"facts": 2, "train": {"minimum": 24, "maximum": 32}, "lengths": [32], "test_facts": [1]},
        "accuracy",
        0.9,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("task", LEARNED)
def test_a_small_gru_learns_it(task: str, tmp_path: Path) -> None:
    settings, metric, bound = LEARNED[task]
    optimiser = {"learning_rate": 0.01, "warm_up": 0.1, "tail": "cosine", "centralise": False}
    training = {"steps": 400, "batch_size": 32, "optimiser": optimiser}
    made = recipe(tmp_path, task={"name": task, **settings}, model=gru(32, 64), training=training)
    values = [row.value for row in rows_of(made, tmp_path) if row.metric == metric]
    assert values
    assert all(value >= bound for value in values) if bound > 0 else all(value <= -bound for value in values)
