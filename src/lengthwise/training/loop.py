"""The training loop: one object whose state is all that a resumed run needs."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lengthwise.errors import InputError, RunError
from lengthwise.models.ldru import LDRU, LDRUConfig
from lengthwise.tasks.language import Language
from lengthwise.training.config import TrainingConfig
from lengthwise.training.objective import batch_loss
from lengthwise.training.optimisation import build_optimisers, learning_rate, prepare_gradients


class Trainer:
    """Trains a unit on fresh strings of a language; every step is a function of the state and nothing else.

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
        self.model, self.task, self.config = model, task, config
        self.rng = np.random.default_rng(seed)
        self.optimisers = build_optimisers(model, config.optimiser)
        self.step = 0
        self.sequences = 0
        self.seconds = 0.0
        """Processor time of all steps, so that runs on a busy machine can be compared."""

    @property
    def finished(self) -> bool:
        """Whether all steps were taken."""
        return self.step >= self.config.steps

    def train_step(self) -> dict[str, float]:
        """Take one optimiser step on a fresh batch.

        Returns:
            ``loss``, ``accuracy``, ``learning_rate``, ``gradient_norm`` and ``length``.

        Raises:
            RunError: the loss or its gradient is not finite; parameters are still those of the step before.
        """
        began = time.process_time()
        config, progress = self.config, (self.step + 1) / self.config.steps
        self.model.train()
        self.model.anneal(progress)
        length = self.task.nearest_length(config.lengths.draw(self.rng, progress))
        batch = self.task.sample_training(self.rng, config.batch_size, length, config.mixture)
        # Dropout and noise draw from torch's global generator; seeding it here keeps a resumed run bit-equal.
        torch.manual_seed(int(self.rng.integers(2**63)))
        generator = torch.Generator().manual_seed(int(self.rng.integers(2**63)))
        loss, accuracy = batch_loss(self.model, self.task.automaton, batch, config, progress, generator)
        if not math.isfinite(value := float(loss.detach())):
            raise RunError(f"the loss became {value} at step {self.step + 1} (length {length})")
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        norm = float(prepare_gradients(self.model.parameters(), config.optimiser))
        if not math.isfinite(norm):
            raise RunError(f"the norm of the gradient became {norm} at step {self.step + 1} (length {length})")
        rate = learning_rate(config.optimiser, progress)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
        self.step += 1
        self.sequences += len(batch.tokens)
        self.seconds += time.process_time() - began
        return {
            "loss": value,
            "accuracy": float(accuracy),
            "learning_rate": rate,
            "gradient_norm": norm,
            "length": length,
        }

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all that a resumed run needs: tensors, and values that JSON can hold."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for number, optimiser in enumerate(self.optimisers):
            for index, moments in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{number}.{index}.{name}": value for name, value in moments.items()}
        counters = {"step": self.step, "sequences": self.sequences, "seconds": self.seconds}
        return tensors, counters | {"rng": self.rng.bit_generator.state}

    def restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Go back to a state that `state` returned."""
        self.model.load_state_dict(
            {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
        )
        for number, optimiser in enumerate(self.optimisers):
            moments = optimiser.state_dict()
            moments["state"] = {}
            for name, value in tensors.items():
                if name.startswith(f"optimiser.{number}."):
                    _, _, index, moment = name.split(".", 3)
                    moments["state"].setdefault(int(index), {})[moment] = value
            optimiser.load_state_dict(moments)
        self.step, self.sequences, self.seconds = values["step"], values["sequences"], values["seconds"]
        self.rng.bit_generator.state = values["rng"]


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
