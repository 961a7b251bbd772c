"""Post-training: a recipe that goes on from another run and changes only the state that its steps start from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from lengthwise.errors import InputError
from lengthwise.interventions.repair import WARM_UP, Repair, repair_of
from lengthwise.runs.folder import run_path
from lengthwise.runs.overrides import Change, apply_overrides
from lengthwise.runs.recipe import Recipe, validate_recipe

_LEFT_OUT = {"remembrance": "starts", "state_statistics": "rows"}
"""Diagnostic -> the setting of how much of it there is."""


def post_training(base: Recipe, seed: int, intervention: str, steps: int, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe that post-trains the run of another.

    The intervention's settings, the sequences of a step and the learning rate are those that repair the family of its
    model (`lengthwise.interventions.repair`); everything else but the steps stays as it was.

    Args:
        base: the recipe of the trained run.
        seed: of the trained run.
        intervention: its name.
        steps: optimiser steps.
        overrides: ``path=value`` each, such as ``intervention.zero_share=0.5``.

    Raises:
        InputError: the settings are wrong.

    Source: Buitrago Ruiz and Gu 2025, section 4: 500 steps; the other settings are our choice.
    """
    repair, training = repair_of(base.model_name), base.training
    changes = {
        "start": base.name,
        "seeds": [seed],
        "training.batch_size": max(training.batch_size, repair.batch_size),
        "training.optimiser.learning_rate": repair.rate * training.optimiser.learning_rate,
    }
    return changed_recipe(base, repair, intervention, steps, changes, overrides)


def measured_otherwise(base: Recipe, seed: int, evaluation: str, overrides: Sequence[Change] = ()) -> Recipe:
    """Return the recipe that measures the run of another in one more way, or on another text, without a step.

    Its name ends with a digest, so that measurements with other settings lie beside each other.

    Args:
        base: the recipe of the trained run.
        seed: of the trained run.
        evaluation: the name of a diagnostic.
        overrides: ``path=value`` each, such as ``evaluation.starts.reach=16``, or path and value.

    Raises:
        InputError: the settings are wrong.
    """
    settings = {key: value for key, value in base.settings().items() if key != "content"}
    # What a task is measured with by default is measured in any case, as the run was.
    usual = {name: section for name, section in settings["evaluation"].items() if name in base.task.diagnostics}
    settings |= {
        "name": f"{base.name}.{evaluation}",
        "makes": f"{evaluation} of {base.name}",
        # A run without steps has the parameters that its model is built with.
        "start": base.name if base.has_checkpoint else None,
        "seeds": [seed],
        "intervention": {"name": "zero"},
        "evaluation": {evaluation: {}} | usual,
    }
    changed = apply_overrides(settings, [("training.steps", 0), *overrides])
    said = [one if isinstance(one, str) else f"{one[0]}={one[1]}" for one in overrides]
    recipe = validate_recipe(changed, " ".join([f"{evaluation} of {base.name}", *said])).told_apart()
    # The model as it was read and checked, where it is a checkpoint.
    return recipe.model_copy(update={"model": base.model})


def on_another_text(base: Recipe, seed: int, source: Mapping[str, Any]) -> Recipe:
    """Return the recipe that measures the loss by position of the run of another on another text, without a step.

    Args:
        base: the recipe of the trained run.
        seed: of the trained run.
        source: the settings of the text's source.

    Raises:
        InputError: the run is not of a language model, or the settings are wrong.
    """
    if "text" not in type(base.task).model_fields:
        raise InputError(f"another text is measured of language models; {base.name} is of {base.task.label}")
    return measured_otherwise(
        base, seed, "perplexity", [("task.text.source", dict(source)), *left_out(base.task.diagnostics)]
    )


def left_out(diagnostics: Collection[str]) -> list[str]:
    """Return the overrides that leave out what another measurement does without.

    Args:
        diagnostics: what the task is measured with by default.
    """
    return [f"evaluation.{name}.{size}=0" for name, size in _LEFT_OUT.items() if name in diagnostics]


def changed_recipe(
    base: Recipe, repair: Repair, intervention: str, steps: int, changes: Mapping[str, Any], overrides: Sequence[str]
) -> Recipe:
    """Return a recipe whose steps start from other states.

    Args:
        base: the recipe of what is post-trained.
        repair: the settings that repair it.
        intervention: its name.
        steps: optimiser steps.
        changes: settings by path.
        overrides: ``path=value`` each, applied last.

    Raises:
        InputError: the settings are wrong.
    """
    settings = {key: value for key, value in base.settings().items() if key != "content"} | {
        "name": f"{base.name}.{intervention}",
        "makes": f"a post-trained {base.name}",
        "intervention": repair.settings_of(intervention),
    }
    schedule = {"training.optimiser.warm_up": WARM_UP, "training.optimiser.tail": "cosine", "training.steps": steps}
    changed = apply_overrides(settings, [*(schedule | dict(changes)).items(), *overrides])
    return validate_recipe(changed, " ".join([f"post-training of {base.name}", *overrides]))


def runs_folder(run: Path, recipe: Recipe, seed: int) -> Path:
    """Return the folder of all runs that a run lies in, relative where the run's folder is given so.

    Args:
        run: the run's folder.
        recipe: its recipe.
        seed: its seed.

    Raises:
        InputError: the run was moved away from where its recipe puts it.
    """
    parents, depth = run.absolute().parents, recipe.name.count("/") + 1
    if len(parents) <= depth or run_path(parents[depth], recipe.name, seed) != run.absolute():
        raise InputError(
            f"run {run} should lie in {run_path(Path('RUNS'), recipe.name, seed)}: its post-trained runs go beside it"
        )
    given = run.parents
    return given[depth] if len(given) > depth else parents[depth]
