"""Train short, run long: length generalisation for sequence models.

The names below are imported when they are first used, so that ``import lengthwise`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lengthwise.certificates.of_run import certify_run
    from lengthwise.certificates.verify_run import verify_certificate
    from lengthwise.diagnostics.contract import check_contract
    from lengthwise.diagnostics.remembrance import effective_remembrance
    from lengthwise.diagnostics.state_statistics import state_statistics
    from lengthwise.diagnostics.verdict import verdict
    from lengthwise.errors import InputError, LengthwiseError, RunError
    from lengthwise.evaluation.accuracy import EvaluationConfig, evaluate_lengths
    from lengthwise.evaluation.perplexity import octave_losses, position_losses
    from lengthwise.experiments.recipe import Recipe, StringRecipe, TextRecipe, load_recipe
    from lengthwise.experiments.run import evaluate_run, load_run, train_run
    from lengthwise.interventions.base import Intervention, InterventionConfig
    from lengthwise.interventions.noise import FittedNoiseConfig, RandomNoiseConfig
    from lengthwise.interventions.passing import StatePassingConfig, TBPTTConfig
    from lengthwise.models.backbone import Backbone, BackboneConfig
    from lengthwise.models.base import ModelConfig, SequenceModel, StringModel
    from lengthwise.models.ldru import LDRU, LDRUConfig
    from lengthwise.models.mixer import Mixer, MixerConfig
    from lengthwise.models.regular_gpt import RegularGPT, RegularGPTConfig
    from lengthwise.scans import (
        OnlineReduction,
        delta_scan,
        gated_linear_scan,
        linear_scan,
        selective_scan,
        tree_reduce,
        tree_scan,
    )
    from lengthwise.state import State
    from lengthwise.tasks import get_task
    from lengthwise.tasks.base import Task
    from lengthwise.tasks.corpus import Corpus, TextConfig
    from lengthwise.tasks.windows import AlignedWindows, RandomWindows
    from lengthwise.training.config import TextTrainingConfig, TrainingConfig
    from lengthwise.training.strings import StringTrainer
    from lengthwise.training.text import TextTrainer

__version__ = "0.1.0"

__all__ = [
    "LDRU",
    "AlignedWindows",
    "Backbone",
    "BackboneConfig",
    "Corpus",
    "EvaluationConfig",
    "FittedNoiseConfig",
    "InputError",
    "Intervention",
    "InterventionConfig",
    "LDRUConfig",
    "LengthwiseError",
    "Mixer",
    "MixerConfig",
    "ModelConfig",
    "OnlineReduction",
    "RandomNoiseConfig",
    "RandomWindows",
    "Recipe",
    "RegularGPT",
    "RegularGPTConfig",
    "RunError",
    "SequenceModel",
    "State",
    "StatePassingConfig",
    "StringModel",
    "StringRecipe",
    "StringTrainer",
    "TBPTTConfig",
    "Task",
    "TextConfig",
    "TextRecipe",
    "TextTrainer",
    "TextTrainingConfig",
    "TrainingConfig",
    "certify_run",
    "check_contract",
    "delta_scan",
    "effective_remembrance",
    "evaluate_lengths",
    "evaluate_run",
    "gated_linear_scan",
    "get_task",
    "linear_scan",
    "load_recipe",
    "load_run",
    "octave_losses",
    "position_losses",
    "selective_scan",
    "state_statistics",
    "train_run",
    "tree_reduce",
    "tree_scan",
    "verdict",
    "verify_certificate",
]

_MODULES = {
    "diagnostics.contract": ("check_contract",),
    "diagnostics.remembrance": ("effective_remembrance",),
    "diagnostics.state_statistics": ("state_statistics",),
    "diagnostics.verdict": ("verdict",),
    "errors": ("InputError", "LengthwiseError", "RunError"),
    "evaluation.accuracy": ("EvaluationConfig", "evaluate_lengths"),
    "evaluation.perplexity": ("octave_losses", "position_losses"),
    "certificates.of_run": ("certify_run",),
    "experiments.recipe": ("Recipe", "StringRecipe", "TextRecipe", "load_recipe"),
    "experiments.run": ("evaluate_run", "load_run", "train_run"),
    "certificates.verify_run": ("verify_certificate",),
    "interventions.base": ("Intervention", "InterventionConfig"),
    "interventions.noise": ("FittedNoiseConfig", "RandomNoiseConfig"),
    "interventions.passing": ("StatePassingConfig", "TBPTTConfig"),
    "models.backbone": ("Backbone", "BackboneConfig"),
    "models.base": ("ModelConfig", "SequenceModel", "StringModel"),
    "models.ldru": ("LDRU", "LDRUConfig"),
    "models.mixer": ("Mixer", "MixerConfig"),
    "models.regular_gpt": ("RegularGPT", "RegularGPTConfig"),
    "scans": (
        "OnlineReduction",
        "delta_scan",
        "gated_linear_scan",
        "linear_scan",
        "selective_scan",
        "tree_reduce",
        "tree_scan",
    ),
    "state": ("State",),
    "tasks": ("get_task",),
    "tasks.base": ("Task",),
    "tasks.corpus": ("Corpus", "TextConfig"),
    "tasks.windows": ("AlignedWindows", "RandomWindows"),
    "training.config": ("TextTrainingConfig", "TrainingConfig"),
    "training.strings": ("StringTrainer",),
    "training.text": ("TextTrainer",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
