"""Training a model on fresh strings of a language."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.models.base import StringModel
from lengthwise.models.ldru import LDRU
from lengthwise.registry import Registry
from lengthwise.tasks.automaton import Automaton
from lengthwise.tasks.language import Language
from lengthwise.training.config import TrainingConfig
from lengthwise.training.loop import StepLoss, Trainer
from lengthwise.training.objective import Objective, PrefixObjective, RootObjective
from lengthwise.training.stopping import EarlyStop
from lengthwise.training.tree_objective import TreeObjective

OBJECTIVE_EXTRAS: Registry = Registry(
    "objective extra", {"counterexamples": "lengthwise.certificates.counterexamples:Counterexamples"}
)
"""What an objective can ask for by name from parts of the library that training does not import."""


class StringTrainer(Trainer[StringModel]):
    """Trains a model to classify strings of a language.

    Args:
        model: the model, on the device it is trained on.
        task: where strings and labels come from.
        config: the settings.
        seed: of data, brackets, dropout and noise.

    Raises:
        InputError: the settings of training and the model do not go together.
    """

    def __init__(self, model: StringModel, task: Language, config: TrainingConfig, seed: int) -> None:
        self.objective = string_objective(model, task.automaton, config)
        super().__init__(model, config, config.optimiser, seed)
        self.task, self.config = task, config
        self.stop = EarlyStop(config.stop) if config.stop else None
        self.counterexamples = _counterexamples(model, task, config)

    @property
    def finished(self) -> bool:
        """Whether all steps were taken, or the loss has been low enough for long enough."""
        return super().finished or (self.stop is not None and self.stop.reached)

    @property
    def ending(self) -> str:
        """How training ended, in words, once it has."""
        return self.stop.reason if self.stop and self.stop.reached else super().ending

    def train_step(self) -> dict[str, float]:
        """Take one optimiser step on a fresh batch.

        Returns:
            What any trainer returns, and ``mean_loss``, the running mean, where training may end early by it.
        """
        metrics = super().train_step()
        return metrics | {"mean_loss": self.stop.observe(metrics["loss"])} if self.stop else metrics

    def memory(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the counterexamples, and how long the loss has been low, where training makes use of them."""
        tensors = {"counterexamples": self.counterexamples.tensor()} if self.counterexamples else {}
        return tensors, {"stop": self.stop.state()} if self.stop else {}

    def recall(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Go back to what `memory` returned."""
        if self.counterexamples:
            self.counterexamples.restore(tensors["counterexamples"])
        if self.stop:
            self.stop.restore(values["stop"])

    def terms(self, progress: float) -> Iterator[StepLoss]:
        """Yield the loss of fresh strings of one length, which the curriculum draws."""
        config = self.config
        length = self.task.nearest_length(config.lengths.draw(self.rng, progress))
        batch = self.task.sample_training(self.rng, config.batch_size, length, config.mixture)
        if self.counterexamples:
            batch = self.counterexamples.mix(batch, self.step, progress, self.rng)
        loss = self.objective.loss(batch, progress, self.reseed_torch())
        yield StepLoss(loss.total, loss.accuracy, length, len(batch.tokens) + loss.beside)


def _counterexamples(model: StringModel, task: Language, config: TrainingConfig) -> Any:
    if config.counterexamples is None:
        return None
    if config.supervision != "prefixes":
        raise InputError(
            f"training.counterexamples needs training.supervision 'prefixes', not {config.supervision!r}: a "
            "counterexample is learned where it ends"
        )
    return OBJECTIVE_EXTRAS.load("counterexamples")(model, task, config.counterexamples, config.lengths.maximum)


def string_objective(model: StringModel, automaton: Automaton, config: TrainingConfig) -> Objective:
    """Return what a model learns in the kind of supervision that the settings ask for.

    Args:
        model: any model; only an LDRU has trees, and so brackets, nodes and associativity.
        automaton: knows the labels of prefixes and substrings.
        config: the settings of training.

    Raises:
        InputError: the settings do not go with the model; the message names both.
    """
    if not isinstance(model, LDRU):
        _refuse_tree_settings(model, config)
        return PrefixObjective(model, automaton) if config.supervision == "prefixes" else RootObjective(model)
    if config.supervision == "prefixes":
        if config.products:
            raise InputError("training.products needs training.supervision 'nodes' or 'root', not 'prefixes'")
        return PrefixObjective(model, automaton)
    return TreeObjective(model, automaton, config)


def _refuse_tree_settings(model: StringModel, config: TrainingConfig) -> None:
    default = TrainingConfig()
    settings = {name: getattr(config, name) for name in ("bracketing", "share_subtrees", "node_weight")}
    wrong = {name: value for name, value in settings.items() if value != getattr(default, name)}
    if config.products:
        wrong["products"] = config.products.model_dump()
    if config.associativity.weight:
        wrong["associativity.weight"] = config.associativity.weight
    if config.supervision == "nodes":
        wrong["supervision"] = config.supervision
    if wrong:
        listed = ", ".join(f"training.{name} {value!r}" for name, value in wrong.items())
        raise InputError(f"{listed}: only an LDRU has a tree for that; {type(model).__name__} has none")
