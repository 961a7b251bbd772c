"""Train short, run long: length generalisation for sequence models.

The names below are imported when they are first used, so that ``import lengthwise`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lengthwise.diagnostics.contract import check_contract
    from lengthwise.errors import InputError, LengthwiseError, RunError
    from lengthwise.evaluation.accuracy import EvaluationConfig, evaluate_lengths
    from lengthwise.experiments.recipe import Recipe, load_recipe
    from lengthwise.experiments.run import evaluate_run, load_run, train_run
    from lengthwise.interventions.passing import StatePassingConfig
    from lengthwise.models.base import ModelConfig, SequenceModel
    from lengthwise.models.ldru import LDRU, LDRUConfig
    from lengthwise.scans import OnlineReduction, tree_reduce, tree_scan
    from lengthwise.state import State
    from lengthwise.tasks import get_task
    from lengthwise.tasks.base import Task
    from lengthwise.training.config import TrainingConfig
    from lengthwise.training.strings import StringTrainer

__version__ = "0.1.0"

__all__ = [
    "LDRU",
    "EvaluationConfig",
    "InputError",
    "LDRUConfig",
    "LengthwiseError",
    "ModelConfig",
    "OnlineReduction",
    "Recipe",
    "RunError",
    "SequenceModel",
    "State",
    "StatePassingConfig",
    "StringTrainer",
    "Task",
    "TrainingConfig",
    "check_contract",
    "evaluate_lengths",
    "evaluate_run",
    "get_task",
    "load_recipe",
    "load_run",
    "train_run",
    "tree_reduce",
    "tree_scan",
]

_MODULES = {
    "diagnostics.contract": ("check_contract",),
    "errors": ("InputError", "LengthwiseError", "RunError"),
    "evaluation.accuracy": ("EvaluationConfig", "evaluate_lengths"),
    "experiments.recipe": ("Recipe", "load_recipe"),
    "experiments.run": ("evaluate_run", "load_run", "train_run"),
    "interventions.passing": ("StatePassingConfig",),
    "models.base": ("ModelConfig", "SequenceModel"),
    "models.ldru": ("LDRU", "LDRUConfig"),
    "scans": ("OnlineReduction", "tree_reduce", "tree_scan"),
    "state": ("State",),
    "tasks": ("get_task",),
    "tasks.base": ("Task",),
    "training.config": ("TrainingConfig",),
    "training.strings": ("StringTrainer",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
