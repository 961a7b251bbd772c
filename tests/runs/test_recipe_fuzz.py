"""Recipes damaged by chance: each is trained for a step or refused in words, within bounds of time and memory."""

import logging
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzzing import EXTREMES, complaint, damage_bytes, damage_settings, leave_after_a_step, told
from small_tasks import small_task

from lengthwise.errors import InputError
from lengthwise.interventions import INTERVENTIONS
from lengthwise.models import MIXERS, MODELS, OPERATORS
from lengthwise.registry import Registry
from lengthwise.runs.recipe import validate_recipe
from lengthwise.tasks import LANGUAGES, TASKS
from lengthwise.training import CURRICULA, OBJECTIVES

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("default")]

_TASKS = list(TASKS)
_PARTS = {"mixer": MIXERS, "operator": OPERATORS}
_SMALL = {"width": 8, "layers": 1}
_STANDS_FOR = [*TASKS, *MIXERS, *OPERATORS, *OBJECTIVES, *INTERVENTIONS, *CURRICULA, *LANGUAGES]
"""Names that mean something somewhere."""
_TAILS = [
    *("training: {steps: 1}", "? [1, 2]\n: 3", "a: &a [x, x]\nb: &b [*a, *a]", "x: !!python/object:os.x", "1: 2"),
    *("d: 2026-13-45", "d: " + "[" * 3000, "\tx: 1", "---\nseeds: [0]", "seeds: [0, &x *x]"),
]
"""Lines that mean something to a reader of YAML."""


def _one(registry: Registry, chance: random.Random) -> dict[str, Any]:
    """Return the settings of a small part of a registry: whatever it is made of comes from the other registries."""
    # Those that need more than a name are of checkpoints, which have a fuzzer of their own.
    kinds = {name: registry.load(name).model_fields for name in registry}
    names = [name for name, fields in kinds.items() if not any(field.is_required() for field in fields.values())]
    name = chance.choice(names)
    parts = {part: _one(of, chance) for part, of in _PARTS.items() if part in kinds[name]}
    return {"name": name} | {key: value for key, value in _SMALL.items() if key in kinds[name]} | parts


def _settings(name: str, folder: Path, chance: random.Random) -> dict[str, Any]:
    """Return a recipe of a small run, written out with all that it may say; without that where it is refused."""
    settings: dict[str, Any] = {
        "name": "small",
        "task": small_task(name, folder).model_dump(mode="json"),
        "model": _one(MODELS, chance),
        "training": {"steps": 3, "batch_size": 4, "stop": {"loss_below": 0.01}, "curriculum": _one(CURRICULA, chance)},
        "evaluation": {"curve_every": 1},
    }
    for part, registry in (("objective", OBJECTIVES), ("intervention", INTERVENTIONS)):
        if chance.random() < 0.3:
            settings[part] = _one(registry, chance)
    try:
        return validate_recipe(settings, "small").settings()
    except InputError:
        return settings


@pytest.mark.parametrize("name", _TASKS)
def test_a_damaged_recipe_is_told(name: str, fuzz_budget: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    leave_after_a_step(monkeypatch)
    # What transformers says goes to where the first call of this process wrote, which is closed by then.
    monkeypatch.setattr(logging, "raiseExceptions", False)
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
