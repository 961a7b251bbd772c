"""Runs on text: a language model is trained on windows of it and diagnosed far beyond them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from lengthwise.errors import InputError
from lengthwise.experiments.diagnosis import diagnose, loss_curve
from lengthwise.experiments.environment import source_commit
from lengthwise.experiments.jobs import Job, pick_device
from lengthwise.experiments.recipe import TextRecipe
from lengthwise.experiments.results import DiagnosisRow, RunFolder, run_path
from lengthwise.interventions.base import check_carries_state, initial_start, recurrent_entries
from lengthwise.models.base import SequenceModel, with_state
from lengthwise.tasks.corpus import Corpus, check_vocabulary
from lengthwise.tasks.windows import AlignedWindows, RandomWindows
from lengthwise.training.checkpoint import load_checkpoint, misfit
from lengthwise.training.loop import Trainer
from lengthwise.training.processes import ALONE, Processes
from lengthwise.training.text import TextTrainer


class TextJob(Job):
    """A recipe on text with one seed.

    Args:
        recipe: what is trained.
        seed: of the initial parameters and of the data.
        processes: those that train together.
    """

    def __init__(self, recipe: TextRecipe, seed: int, processes: Processes = ALONE) -> None:
        self.recipe, self.seed, self.processes = recipe, seed, processes

    def build(self) -> TextTrainer:
        """Return the trainer before its first step."""
        recipe, training = self.recipe, self.recipe.training
        torch.manual_seed(self.seed)
        model = self.model()
        corpus = Corpus.load(recipe.text)
        intervention = recipe.intervention.build()
        check_carries_state(model, intervention)
        rows, length = training.batch_size * self.processes.count, training.context
        windows = (
            AlignedWindows(corpus, "train", length, rows, loose=intervention.always_initial(rows))
            if intervention.aligned
            else RandomWindows(corpus, "train", length, rows)
        )
        model.to(self.processes.device or pick_device(recipe.device))
        return TextTrainer(model, windows, intervention, training, self.seed, self.processes)

    def model(self) -> SequenceModel:
        """Return the model before training, on the CPU."""
        symbols = Corpus.load(self.recipe.text).vocabulary
        return with_state(self.recipe.model.build(symbols, symbols), f"text recipe {self.recipe.name}")

    def model_name(self, model: SequenceModel) -> str:
        """Return what rows call the model: of pretrained ones the family."""
        return str(getattr(model, "family", self.recipe.model_name))

    def describe(self, trainer: Trainer[Any]) -> dict[str, int]:
        """Return the sizes of the model, with the recurrent elements that a row carries as ``state``."""
        start = initial_start(trainer.model, 1)
        return super().describe(trainer) | {"state": sum(start[name].numel() for name in recurrent_entries(start))}

    def begin(self, trainer: Trainer[Any], root: Path) -> None:
        """Take the parameters of the run that the recipe starts from."""
        if self.recipe.start is None:
            return
        start = RunFolder(run_path(root, self.recipe.start, self.seed))
        if not start.finished.exists():
            raise InputError(
                f"recipe {self.recipe.name} starts from {start.path}, which is not trained to its end; "
                f"'lengthwise train {self.recipe.start} --seed {self.seed}' with the same --runs makes it"
            )
        tensors, values = load_checkpoint(start.checkpoint)
        weights = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        if (then := values.get("vocabulary")) is not None:
            check_vocabulary(Corpus.load(self.recipe.text).vocabulary, int(str(then)), f"run {start.path}")
        try:
            trainer.model.load_state_dict(weights)
        except RuntimeError as error:
            why = misfit(trainer.model.state_dict(), weights) or str(error).partition("\n")[0]
            raise InputError(f"checkpoint {start.checkpoint} does not fit {self.recipe.name}: {why}") from error

    @property
    def curve_every(self) -> int:
        """Steps between points of the learning curve."""
        return self.recipe.evaluation.curve_every

    def curve(self, trainer: Trainer[Any]) -> dict[str, float]:
        """Return the loss of a few octaves, as ``loss_<last position>``."""
        corpus = Corpus.load(self.recipe.text)
        return loss_curve(trainer.model, corpus, self.recipe.training.context, self.recipe.evaluation)

    def rows(self, trainer: Trainer[Any]) -> Iterator[DiagnosisRow]:
        """Diagnose the model on held-out text."""
        recipe, corpus = self.recipe, Corpus.load(self.recipe.text)
        settings = recipe.settings()
        commit, _ = source_commit()
        for found in diagnose(trainer.model, corpus, recipe.training.context, recipe.evaluation):
            yield DiagnosisRow(
                recipe=recipe.name,
                digest=recipe.digest(),
                model=self.model_name(trainer.model),
                intervention=str(settings["intervention"]["name"]),
                text=f"{settings['text']['source']['name']} {corpus.fingerprint}",
                seed=self.seed,
                context=recipe.training.context,
                step=trainer.step,
                sequences=trainer.sequences,
                commit=commit,
                **found._asdict(),
            )
