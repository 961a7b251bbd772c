"""Recipes of pretrained models on text: measured as they are, and post-trained.

All that is known here of the fields of a recipe stands in this file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from lengthwise.errors import InputError
from lengthwise.interventions.repair import LEARNING_RATE, repair_of
from lengthwise.pretrained.checkpoint import Checkpoint
from lengthwise.pretrained.clauses import READING, TRAINING
from lengthwise.pretrained.config import HuggingFaceConfig
from lengthwise.runs.migrate_recipe import FORMAT
from lengthwise.runs.overrides import apply_overrides
from lengthwise.runs.recipe import Recipe, validate_recipe
from lengthwise.runs.repair import changed_recipe
from lengthwise.yaml_loader import packaged

PIECES = 50
"""Parts into which a single text is cut, because text is held out by document."""
_LARGEST_PIECE = 65_535
AT_ONCE = 8
"""Windows that are read at a time where nothing is said, so that a step needs no more memory than these."""
_SETTINGS: dict[str, Any] = packaged("lengthwise.runs", "pretrained.yaml")
_OF_BOTH = ("task.", "evaluation.", "device=", "seeds=")
"""How settings begin that the measurement before post-training shares."""


def overrides_of(options: Mapping[str, Any]) -> list[str]:
    """Return what options of the command line stand for, as ``path=value`` each."""
    forms: dict[str, list[str]] = _SETTINGS["options"]
    return [form.format(options[name]) for name in forms if name in options for form in forms[name]]


def shared_overrides(overrides: Sequence[str]) -> list[str]:
    """Return those that say on which text, how and where a model is measured, before post-training as after it."""
    return [override for override in overrides if override.startswith(_OF_BOTH)]


def measured(
    checkpoint: Checkpoint, data: str, overrides: Sequence[str] = (), clauses: Collection[str] = READING
) -> Recipe:
    """Return the recipe that measures a checkpoint as it is, on text by its own tokenizer.

    Args:
        checkpoint: what is measured.
        data: ``stdlib``, or a folder, file or pattern of text files.
        overrides: ``path=value`` each, such as ``task.context=512``.
        clauses: those of the state contract that must hold for what is to be done.

    Raises:
        InputError: its tokenizer is missing, or settings are wrong.
    """
    said = {name for name in ("tokenizer", "separator") if any(o.startswith(f"task.text.{name}=") for o in overrides)}
    text: dict[str, Any] = {"source": source_of(data)}
    if "tokenizer" not in said:
        text["tokenizer"] = str(checkpoint.tokenizer)
        text["separator"] = None if "separator" in said else checkpoint.separator
    settings = _SETTINGS["defaults"] | {
        "format": FORMAT,
        "name": re.sub(r"^[^A-Za-z0-9_]+|[^A-Za-z0-9_.-]", "_", checkpoint.path.resolve().name),
        "makes": "a diagnosis of a pretrained model",
        "task": {"name": "language_modelling", "text": text, "context": 512},
        "model": {"name": "huggingface", "path": str(checkpoint.path), "remote_code": checkpoint.remote_code},
    }
    recipe = validate_recipe(apply_overrides(settings, overrides), f"diagnosis of {checkpoint.path}")
    return _made_from(recipe, checkpoint, clauses)


def post_trained(
    checkpoint: Checkpoint, before: Recipe, intervention: str, steps: int, overrides: Sequence[str] = ()
) -> Recipe:
    """Return the recipe that post-trains a checkpoint, with the settings that repair its family.

    Args:
        checkpoint: what is post-trained.
        before: as `measured` returns it.
        intervention: its name.
        steps: optimiser steps, at least 1.
        overrides: ``path=value`` each.

    Raises:
        InputError: settings are wrong.
    """
    repair = repair_of(checkpoint.family)
    changes = {"training.batch_size": repair.batch_size, "training.optimiser.learning_rate": LEARNING_RATE}
    if not any(override.startswith(("training.batch_size=", "training.accumulation=")) for override in overrides):
        changes["training.accumulation"] = repair.batch_size // AT_ONCE
    return _made_from(changed_recipe(before, repair, intervention, steps, changes, overrides), checkpoint, TRAINING)


def _made_from(recipe: Recipe, checkpoint: Checkpoint, clauses: Collection[str]) -> Recipe:
    if not isinstance(recipe.model, HuggingFaceConfig):
        raise InputError(f"the model is the checkpoint {checkpoint.path}; leave out --set model.name")
    return recipe.model_copy(update={"model": recipe.model.made_from(checkpoint, clauses)})


def source_of(data: str) -> dict[str, Any]:
    """Return the settings of the source of a text: ``stdlib``, or a folder, file or pattern of files."""
    if data == "stdlib":
        return {"name": "stdlib", "tests": False}
    source: dict[str, Any] = {"name": "files", "paths": [data]}
    file = Path(data).expanduser()
    files = [file] if file.is_file() else list(file.iterdir()) if file.is_dir() else []
    if len(files) == 1:
        source["pieces"] = max(16, min(files[0].stat().st_size // PIECES, _LARGEST_PIECE))
    return source
