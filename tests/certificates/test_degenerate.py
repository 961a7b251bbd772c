"""Certificates of the least languages and units: one class, one symbol, one state, one width."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from exact_units import TRAINING
from typer.testing import CliRunner

from lengthwise.certificates import METHODS
from lengthwise.certificates.certificate import FILE_NAME, Certificate, read_certificate
from lengthwise.certificates.limits import Limits
from lengthwise.certificates.methods import default_method
from lengthwise.certificates.of_run import complete
from lengthwise.cli.main import app
from lengthwise.models.tree.ldru import LDRUConfig
from lengthwise.runs.recipe import load_recipe
from lengthwise.runs.run import train_run
from lengthwise.tasks import get_task
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.automaton import Automaton
from lengthwise.tasks.regular.language import Language, Sampling

LANGUAGES: dict[str, tuple[list[list[int]], list[int]]] = {
    "all strings": ([[0, 0]], [1]),
    "no string": ([[0, 0]], [0]),
    "all strings of one symbol": ([[0]], [0]),
    "odd strings of one symbol": ([[1], [0]], [0, 1]),
    "few strings of one symbol": ([[1], [2], [1]], [IGNORE, 0, 1]),
    "all but the empty string": ([[1, 1], [1, 1]], [IGNORE, 1]),
}
UNITS: dict[str, dict[str, Any]] = {
    "mlp": {"width": 4, "operator": {"name": "mlp"}},
    "mlp of width 1": {"width": 1, "operator": {"name": "mlp"}},
    "stochastic of one state": {"width": 1, "operator": {"name": "stochastic"}, "level": "plain"},
    "stochastic": {"width": 4, "operator": {"name": "stochastic"}, "level": "plain"},
}


@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("unit", UNITS)
def test_the_least_languages_and_units_have_a_certificate(name: str, unit: str) -> None:
    transitions, outputs = LANGUAGES[name]
    automaton = Automaton(np.array(transitions), 0, np.array(outputs))
    task = Language(name, name, {"0": int(automaton.label(np.array([[0]]))[0])}, automaton, Sampling.UNIFORM)
    torch.manual_seed(0)
    model = LDRUConfig.model_validate(UNITS[unit]).build(task.vocabulary, max(task.classes, 1)).eval()
    found = METHODS.load(default_method(model, get_task("parity")))(model, task, Limits())
    certificate = complete(found, model, task, TRAINING).sealed()
    assert Certificate.model_validate(json.loads(certificate.to_json())) == certificate
    if task.classes == 1:
        assert certificate.verdict.startswith("every_length")
    assert certificate.finding().claim == (certificate.verdict, certificate.statement)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    settings = {
        "name": "all",
        "task": "regex:(0|1)*",
        "model": {"name": "ldru", "width": 4, "operator": {"name": "mlp"}},
        "training": {"steps": 1, "batch_size": 2},
    }
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(settings))
    train_run(load_recipe(str(tmp_path / "all.yaml")), 0, tmp_path / "all")
    return tmp_path / "all"


@pytest.mark.slow
def test_a_run_on_a_language_of_one_class_is_certified_and_checked_again(trained: Path) -> None:
    for method in ("snapped", "black_box"):
        result = CliRunner().invoke(app, ["certify", str(trained), "--method", method])
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert result.exit_code in (0, 1), result.output
        assert read_certificate(trained / FILE_NAME).method == method
        assert CliRunner().invoke(app, ["certify", "--verify", str(trained)]).exit_code == 0


def test_a_run_whose_weights_are_not_finite_is_refused_by_name(trained: Path) -> None:

    from lengthwise.training.checkpoint import load_checkpoint, save_checkpoint

    tensors, values = load_checkpoint(trained / "checkpoint.safetensors")
    name = next(name for name in tensors if name.startswith("model.classifier"))
    tensors[name] = tensors[name] * float("nan")
    save_checkpoint(trained / "checkpoint.safetensors", tensors, values)
    result = CliRunner().invoke(app, ["certify", str(trained)])
    assert result.exit_code == 2
    assert "not finite" in result.stderr
