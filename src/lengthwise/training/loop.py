"""The training loop: one object whose state is all that a resumed run needs."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from lengthwise.errors import StoppedError
from lengthwise.models.base import StringModel
from lengthwise.training.config import LoopConfig, OptimiserConfig
from lengthwise.training.optimisation import build_optimisers, learning_rate, prepare_gradients
from lengthwise.training.processes import ALONE, Processes

Model = TypeVar("Model", bound=StringModel)


class StepLoss(NamedTuple):
    """The loss of one batch, or its term for some of the rows."""

    total: Tensor
    """What is descended."""
    accuracy: Tensor
    """The fraction of targets that the largest logit hit."""
    length: int
    """Tokens of each row."""
    sequences: int
    """Rows."""
    final: str = ""
    """What is said of the model's state when the loss is not finite."""


class Trainer(ABC, Generic[Model]):
    """Trains a model on batches it draws itself; every step is a function of the state and nothing else.

    Args:
        model: on the device it is trained on.
        config: the settings.
        optimiser: the settings of the optimiser.
        seed: of data and of all noise.
        processes: those that train together.
    """

    def __init__(
        self,
        model: Model,
        config: LoopConfig,
        optimiser: OptimiserConfig,
        seed: int,
        processes: Processes = ALONE,
    ) -> None:
        self.model = model
        self.processes = processes
        self.rng = np.random.default_rng(seed)
        self.optimisers = build_optimisers(model, optimiser)
        self.steps = config.steps
        self.step = 0
        self.sequences = 0
        self.seconds = 0.0
        """Processor time of all steps, so that runs on a busy machine can be compared."""
        self._optimiser_config = optimiser

    @abstractmethod
    def terms(self, progress: float) -> Iterator[StepLoss]:
        """Draw a batch from `rng` and yield the terms of its loss, each of which may be freed before the next is made.

        Args:
            progress: the fraction of all steps that this one completes.
        """

    def memory(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what a kind of training remembers beside parameters, moments and counters."""
        return {}, {}

    def recall(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Go back to what `memory` returned."""
        del tensors, values

    @property
    def finished(self) -> bool:
        """Whether training is over."""
        return self.step >= self.steps

    @property
    def ending(self) -> str:
        """How training ended, in words, once it has."""
        return f"all {self.steps} steps"

    def train_step(self) -> dict[str, float]:
        """Take one optimiser step on a fresh batch.

        Returns:
            ``loss``, ``accuracy``, ``learning_rate``, ``gradient_norm`` and ``length``.

        Raises:
            StoppedError: the loss or its gradient is not finite; parameters are still those of the step before.
        """
        began = time.process_time()
        progress = (self.step + 1) / self.steps
        self.model.train()
        self.model.anneal(progress)
        self.model.zero_grad(set_to_none=True)
        loss = self._descend(progress)
        where = f"at step {self.step + 1} (length {loss.length})"
        if not math.isfinite(value := float(loss.total)):
            raise StoppedError(f"the loss became {value} {where}{loss.final}")
        norm = float(prepare_gradients(self.model.parameters(), self._optimiser_config))
        if not math.isfinite(norm):
            raise StoppedError(f"the norm of the gradient became {norm} {where}")
        rate = learning_rate(self._optimiser_config, progress)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
        self.step += 1
        self.sequences += loss.sequences
        self.seconds += time.process_time() - began
        return {
            "loss": value,
            "accuracy": float(loss.accuracy),
            "learning_rate": rate,
            "gradient_norm": norm,
            "length": loss.length,
        }

    def _descend(self, progress: float) -> StepLoss:
        """Leave the gradient of the loss of a fresh batch in the parameters and return the loss, without its graph."""
        done = list[StepLoss]()
        for term in self.terms(progress):
            term.total.backward()
            done.append(term._replace(total=term.total.detach()))
        self.processes.average_gradients(self.model.parameters())
        total, accuracy = done[0].total, done[0].accuracy
        for term in done[1:]:
            total, accuracy = total + term.total, accuracy + term.accuracy
        return StepLoss(
            self.processes.mean(total),
            self.processes.mean(accuracy),
            done[0].length,
            sum(term.sequences for term in done) * self.processes.count,
            "".join(term.final for term in done),
        )

    def reseed_torch(self) -> torch.Generator:
        """Seed what dropout and noise draw from, which keeps a resumed run bit-equal, and return a generator beside."""
        seeds = [(int(self.rng.integers(2**63)) + self.processes.rank) % 2**63 for _ in range(2)]
        torch.manual_seed(seeds[0])
        return torch.Generator().manual_seed(seeds[1])

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all that a resumed run needs: tensors, and values that JSON can hold."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for number, optimiser in enumerate(self.optimisers):
            for index, moments in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{number}.{index}.{name}": value for name, value in moments.items()}
        own_tensors, own_values = self.memory()
        tensors |= {f"memory.{name}": value for name, value in own_tensors.items()}
        counters = {"step": self.step, "sequences": self.sequences, "seconds": self.seconds}
        return tensors, counters | {"rng": self.rng.bit_generator.state} | own_values

    def restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Go back to a state that `state` returned."""
        self.model.load_state_dict(_under("model.", tensors))
        for number, optimiser in enumerate(self.optimisers):
            moments = optimiser.state_dict()
            moments["state"] = {}
            for name, value in _under(f"optimiser.{number}.", tensors).items():
                index, moment = name.split(".", 1)
                moments["state"].setdefault(int(index), {})[moment] = value
            optimiser.load_state_dict(moments)
        self.step, self.sequences, self.seconds = values["step"], values["sequences"], values["seconds"]
        self.rng.bit_generator.state = values["rng"]
        self.recall(_under("memory.", tensors), values)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
