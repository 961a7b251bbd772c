"""Training a unit on fresh strings of a language."""

from __future__ import annotations

from lengthwise.errors import InputError
from lengthwise.models.ldru import LDRU, LDRUConfig
from lengthwise.tasks.language import Language
from lengthwise.training.config import TrainingConfig
from lengthwise.training.loop import StepLoss, Trainer
from lengthwise.training.objective import batch_loss


class StringTrainer(Trainer[LDRU]):
    """Trains a unit to classify strings of a language.

    Args:
        model: the unit, on the device it is trained on.
        task: where strings and labels come from.
        config: the settings.
        seed: of data, brackets, dropout and noise.

    Raises:
        InputError: the settings of training and of the model do not go together.
    """

    def __init__(self, model: LDRU, task: Language, config: TrainingConfig, seed: int) -> None:
        _check(config, model.config)
        super().__init__(model, config, config.optimiser, seed)
        self.task, self.config = task, config

    def batch_loss(self, progress: float) -> StepLoss:
        """Return the loss of fresh strings of one length, which the curriculum draws."""
        config = self.config
        length = self.task.nearest_length(config.lengths.draw(self.rng, progress))
        batch = self.task.sample_training(self.rng, config.batch_size, length, config.mixture)
        loss = batch_loss(self.model, self.task.automaton, batch, config, progress, self.reseed_torch())
        return StepLoss(loss.total, loss.accuracy, length, len(batch.tokens))


def _check(training: TrainingConfig, model: LDRUConfig) -> None:
    if (training.supervision == "prefixes") != (model.readout == "prefixes"):
        raise InputError("training.supervision and model.readout must both be 'prefixes', or neither")
    if training.supervision == "prefixes":
        return
    if training.share_subtrees and model.odd != "carry":
        raise InputError(f"model.odd {model.odd!r} needs training.share_subtrees: false; only 'carry' can share")
    if training.bracketing == "random" and not training.share_subtrees:
        raise InputError("training.bracketing 'random' needs training.share_subtrees: true; 'shifted' does not")
    nodes_needed = training.supervision == "nodes" or training.associativity.weight > 0
    if nodes_needed and not training.share_subtrees:
        raise InputError("supervision of nodes and the associativity penalty need training.share_subtrees: true")
