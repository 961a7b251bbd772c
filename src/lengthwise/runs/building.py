"""Building: the trainer of a recipe, the head of its rows, the sizes of its model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import cast

import torch

from lengthwise.errors import InputError
from lengthwise.models.base import SequenceModel, StringModel
from lengthwise.models.budget import count_parameters
from lengthwise.runs.environment import source_commit
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.information import chosen_by, labels_of
from lengthwise.runs.memory import refuse_beyond_memory
from lengthwise.runs.recipe import Recipe
from lengthwise.runs.rows import Head, refuse_reserved
from lengthwise.spaces import Values
from lengthwise.tasks.base import Point, Task
from lengthwise.tasks.capabilities import OfBytes
from lengthwise.training.checkpoint import load_checkpoint, misfit
from lengthwise.training.loop import Trainer, under
from lengthwise.training.processes import ALONE, Processes


def build_trainer(recipe: Recipe, seed: int, processes: Processes = ALONE) -> Trainer:
    """Return the trainer of a recipe before its first step.

    Args:
        recipe: what is trained.
        seed: of the initial parameters and of the data.
        processes: those that train together.

    Raises:
        InputError: parts of the recipe do not go together, or need what this machine does not have.
    """
    torch.set_num_threads(recipe.threads)
    # Refused here, and not after the steps that it takes to come to what does not exist.
    recipe.task.notes()
    _check_points(recipe.task)
    device = processes.device or pick_device(recipe.device)
    refuse_beyond_memory(recipe, device, processes.count)
    torch.manual_seed(seed)
    model = recipe.model.build(recipe.task.inputs, recipe.task.outputs)
    model.to(device)
    for diagnostic in recipe.evaluation.diagnostics:
        diagnostic.check(model, recipe.task)
    intervention = recipe.intervention.build()
    return Trainer(model, recipe.task, recipe.training, seed, recipe.objective, intervention, processes)


def _check_points(task: Task) -> None:
    """Refuse points at which a trained model could not be measured: rows of equal place are averaged without a word."""
    points = task.points("test")
    if wrong := [point for point in cast("Sequence[object]", points) if not isinstance(point, Point)]:
        raise InputError(f"points of {task.label} are a Point of lengthwise.tasks.base each, not {wrong[0]!r}")
    refuse_reserved(axis for point in points for axis in point.axes)
    counts = Counter(tuple(sorted(point.axes.items())) for point in points)
    if twice := [dict(place) for place, count in counts.items() if count > 1]:
        raise InputError(
            f"{task.label} has {counts.most_common(1)[0][1]} test points at {twice[0]}; "
            "leave one out, or give them an axis that tells them apart"
        )
    if empty := [point for point in points if point.samples < 1]:
        raise InputError(
            f"{task.label} measures {empty[0].samples} samples at {dict(empty[0].axes)}; a point needs 1 at least"
        )


def head_of(recipe: Recipe, seed: int, trainer: Trainer) -> Head:
    """Return what all rows of a run share."""
    task, model, length = recipe.task, trainer.model, recipe.task.training_length
    values = isinstance(task.inputs, Values)
    shape = (1, length or 1, task.inputs.size) if values else (1, length or 1)
    parameter = next(model.parameters())
    perplexity = getattr(recipe.evaluation, "perplexity", None)
    zeros = torch.zeros(shape, dtype=parameter.dtype if values else torch.int64, device=parameter.device)
    return Head(
        recipe=recipe.name,
        digest=recipe.digest(),
        seed=seed,
        trained_on=task.label,
        task_version=task.version,
        data=task.data,
        model=str(getattr(model, "family", recipe.model_name)),
        intervention=trainer.intervention.name,
        labels=labels_of(recipe),
        chosen=chosen_by(recipe),
        training_length=length,
        step=trainer.step,
        sequences=trainer.sequences,
        parameters=count_parameters(model),
        state_size=state_size(model, zeros),
        guessing=perplexity.guessing(task) if perplexity else None,
        symbol_bytes=task.symbol_bytes if isinstance(task, OfBytes) else None,
        commit=source_commit()[0],
    )


def start_from_run(recipe: Recipe, seed: int, trainer: Trainer, start: RunFolder) -> None:
    """Take the parameters of the run that the recipe starts from."""
    if not start.finished.exists():
        raise InputError(
            f"recipe {recipe.name} starts from {start.path}, which is not trained to its end; "
            f"'lengthwise train {recipe.start} --seed {seed}' with the same --runs makes it"
        )
    tensors, values = load_checkpoint(start.checkpoint)
    weights = under("model.", tensors)
    if (then := values.get("inputs")) is not None and int(str(then)) != recipe.task.inputs.size:
        raise InputError(
            f"run {start.path} was built for {int(str(then)):,} symbols, but {recipe.task.label} has "
            f"{recipe.task.inputs.size:,}; use the tokenizer and the separator that the model was trained with"
        )
    try:
        trainer.model.load_state_dict(weights)
    except RuntimeError as error:
        why = misfit(trainer.model.state_dict(), weights) or str(error).partition("\n")[0]
        raise InputError(f"checkpoint {start.checkpoint} does not fit {recipe.name}: {why}") from error


def pick_device(wanted: str) -> torch.device:
    """Return a device by its name in a recipe.

    Raises:
        InputError: this machine does not have it.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    name = next(device for device, available in there.items() if available) if wanted == "auto" else wanted
    if not there[name]:
        found = ", ".join(device for device, available in there.items() if available)
        raise InputError(f"device {name!r} is not available here; there is: {found}")
    return torch.device(name)


@torch.inference_mode()
def state_size(model: StringModel, inputs: torch.Tensor) -> int | None:
    """Return how many values a model carries after one sequence, positions not counted; None where it has no state."""
    if not isinstance(model, SequenceModel):
        return None
    model.eval()
    return model(inputs).state.remembered()
