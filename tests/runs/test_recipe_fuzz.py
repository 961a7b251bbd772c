"""Recipes damaged by chance: each is trained for a step or refused in words, within bounds of time and memory."""

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzzing import EXTREMES, complaint, damage_bytes, damage_settings, leave_after_a_step, told
from small_tasks import NUMBERS, small_task

from lengthwise.interventions import INTERVENTIONS
from lengthwise.models import MIXERS, OPERATORS
from lengthwise.runs.recipe import validate_recipe
from lengthwise.tasks import LANGUAGES, TASKS
from lengthwise.training import CURRICULA, OBJECTIVES

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("default")]

_TASKS = ["classification", *NUMBERS]
_STANDS_FOR = [*TASKS, *MIXERS, *OPERATORS, *OBJECTIVES, *INTERVENTIONS, *CURRICULA, *LANGUAGES]
"""Names that mean something somewhere."""
_TAILS = [
    *("training: {steps: 1}", "? [1, 2]\n: 3", "a: &a [x, x]\nb: &b [*a, *a]", "x: !!python/object:os.x", "1: 2"),
    *("d: 2026-13-45", "d: " + "[" * 3000, "\tx: 1", "---\nseeds: [0]", "seeds: [0, &x *x]"),
]
"""Lines that mean something to a reader of YAML."""


def _settings(name: str, folder: Path, chance: random.Random) -> dict[str, Any]:
    """Return a recipe of a small run, written out with all that it may say."""
    mixer = chance.choice([mixer for mixer in MIXERS if mixer != "attention"])
    backbone = {"name": "backbone", "width": 8, "layers": 1, "mixer": {"name": mixer}}
    model = chance.choice([backbone, {"name": "ldru", "width": 8, "operator": {"name": "mlp"}}])
    settings = {
        "name": "small",
        "task": small_task(name, folder).model_dump(mode="json"),
        "model": model,
        "training": {"steps": 3, "batch_size": 4, "stop": {"loss_below": 0.01}, "curriculum": {"name": "growing"}},
        "evaluation": {"curve_every": 1},
    }
    return validate_recipe(settings, "small").settings()


@pytest.mark.parametrize("name", _TASKS)
def test_a_damaged_recipe_is_told(name: str, fuzz_budget: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    leave_after_a_step(monkeypatch)
    complaints: dict[int, tuple[str, str]] = {}
    for seed in range(_TASKS.index(name), fuzz_budget, len(_TASKS)):
        chance = random.Random(seed)
        settings, overrides = _settings(name, tmp_path, chance), list[str]()
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            damage_settings(settings, chance, [*EXTREMES, *_STANDS_FOR])
        text = yaml.safe_dump(settings, allow_unicode=True, sort_keys=False).encode()
        if chance.random() < 0.15:
            text += f"\n{chance.choice(_TAILS)}\n".encode()
        elif chance.random() < 0.2:
            text = damage_bytes(text, chance)
        Path("small.yaml").write_bytes(text)
        said = complaint("train", "small.yaml", *overrides)
        shutil.rmtree("runs", ignore_errors=True)
        if said:
            complaints[seed] = said, text.decode(errors="backslashreplace")
    assert not complaints, told(complaints)
