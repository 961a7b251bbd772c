"""Runs that are trained and certified once for all tests of certificates."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from lengthwise.certificates.of_run import certify_run
from lengthwise.runs.recipe import load_recipe
from lengthwise.runs.run import train_run

RECIPE = {
    "task": "parity",
    "model": {"name": "ldru", "width": 64, "operator": {"name": "stochastic"}, "level": "plain"},
    "training": {
        "steps": 100,
        "batch_size": 32,
        "lengths": {"name": "uniform", "maximum": 12},
        "supervision": "nodes",
        "optimiser": {"learning_rate": 0.03, "warm_up": 0.1, "tail": "cosine"},
    },
}


def train(root: Path, name: str, model: dict[str, object] | None = None, **operator: object) -> Path:
    settings = json.loads(json.dumps(RECIPE))
    settings["name"] = name
    settings["model"] |= model or {}
    settings["model"]["operator"] |= operator
    file = root / f"{name}.yaml"
    file.write_text(yaml.safe_dump(settings))
    train_run(load_recipe(str(file)), 0, root / name)
    return root / name


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    runs = {
        "rounded": train(root, "rounded"),
        "soft": train(root, "soft", round_from=1.0, sharpness=[3.0, 3.0]),
    }
    for run in runs.values():
        certify_run(run)
    return runs


@pytest.fixture
def run(trained: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the run whose rows are rounded, for a test to change."""
    return shutil.copytree(trained["rounded"], tmp_path / "run")


@pytest.fixture
def soft_run(trained: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the run whose rows leak, which is right up to a length, for a test to change."""
    return shutil.copytree(trained["soft"], tmp_path / "soft")


@pytest.fixture
def snapped_run(tmp_path: Path) -> Path:
    """A run of a unit with the MLP operator, proved with its nodes snapped."""
    run = train(tmp_path, "mlp", {"level": "residual", "width": 16, "operator": {"name": "mlp"}})
    assert certify_run(run).verdict == "every_length_snapped"
    return run
