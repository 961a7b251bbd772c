"""Runs on the strings of a language: a model is trained and its accuracy measured by length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch

from lengthwise.errors import InputError
from lengthwise.evaluation.accuracy import evaluate_lengths, evaluate_point
from lengthwise.experiments.environment import source_commit
from lengthwise.experiments.jobs import Job, pick_device, state_size
from lengthwise.experiments.recipe import StringRecipe
from lengthwise.experiments.results import EvaluationRow
from lengthwise.models.budget import count_parameters
from lengthwise.tasks import get_task
from lengthwise.tasks.language import Language
from lengthwise.training.loop import Trainer
from lengthwise.training.strings import StringTrainer
from lengthwise.training.substitutes import substitutes


class StringJob(Job):
    """A recipe on a language with one seed.

    Args:
        recipe: what is trained.
        seed: of the initial parameters and of the data.
    """

    def __init__(self, recipe: StringRecipe, seed: int) -> None:
        self.recipe, self.seed = recipe, seed

    def build(self) -> StringTrainer:
        """Return the trainer before its first step."""
        recipe = self.recipe
        task = get_task(recipe.task)
        if not isinstance(task, Language):
            raise InputError(f"task {recipe.task} cannot be trained on: it is not a language")
        # Refused here, and not after the steps that it takes to draw a length without strings.
        substitutes(task, recipe.training)
        torch.manual_seed(self.seed)
        model = recipe.model.build(task.vocabulary, task.classes)
        model.to(pick_device(recipe.device))
        return StringTrainer(model, task, recipe.training, self.seed)

    @property
    def curve_every(self) -> int:
        """Steps between points of the learning curve."""
        return self.recipe.evaluation.curve_every

    def curve(self, trainer: Trainer[Any]) -> dict[str, float]:
        """Return the accuracy at a few lengths, as ``accuracy_<length>``."""
        own = cast(StringTrainer, trainer)
        point = evaluate_point(own.model, own.task, self.recipe.evaluation, self.seed)
        return {f"accuracy_{length}": value for length, value in point.items()}

    def rows(self, trainer: Trainer[Any]) -> Iterator[EvaluationRow]:
        """Measure the accuracy length by length."""
        own, recipe = cast(StringTrainer, trainer), self.recipe
        commit, _ = source_commit()
        trained_to = recipe.training.lengths.maximum
        parameters, carried = count_parameters(own.model), state_size(own.model, trained_to)
        for result in evaluate_lengths(own.model, own.task, recipe.evaluation, self.seed):
            yield EvaluationRow(
                recipe=recipe.name,
                digest=recipe.digest(),
                model=recipe.model_name,
                task=recipe.task,
                task_version=own.task.version,
                seed=self.seed,
                distribution=result.distribution,
                length=result.length,
                value=result.value,
                samples=result.samples,
                training_length=trained_to,
                step=trainer.step,
                sequences=trainer.sequences,
                commit=commit,
                parameters=parameters,
                state_size=carried,
            )
