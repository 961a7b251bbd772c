"""The training loop: one object whose state is all that a resumed run needs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lengthwise.errors import InputError, StoppedError
from lengthwise.interventions.base import Intervention, check_carries_state
from lengthwise.interventions.zero import Zero
from lengthwise.models.base import SequenceModel, StringModel, with_state
from lengthwise.models.reading import as_start
from lengthwise.state import State
from lengthwise.tasks.base import Batch, Task, checked
from lengthwise.tasks.pieces import Pieces
from lengthwise.training.config import TrainingConfig
from lengthwise.training.objectives.asked import AskedConfig
from lengthwise.training.objectives.base import Loss, ObjectiveConfig
from lengthwise.training.optimisation import build_optimisers, learning_rate, prepare_gradients
from lengthwise.training.processes import ALONE, Processes
from lengthwise.training.stopping import EarlyStop


class _Step(NamedTuple):
    """What one step descended."""

    loss: Tensor
    accuracy: Tensor | None
    length: int
    sequences: int
    note: str


class Trainer:
    """Trains a model on batches of a task; every step is a function of the state and nothing else.

    Args:
        model: any model, on the device it is trained on.
        task: what it learns.
        config: the settings.
        seed: of data, brackets, dropout and noise.
        objective: which answers count; those that the task asks for by default.
        intervention: which state sequences start from; the model's own initial state by default.
        processes: those that train together; each reads its own rows of every batch.

    Raises:
        InputError: model, task and settings do not go together; the message names them.

    Example:
        >>> from lengthwise.models.tree.ldru import LDRUConfig
        >>> from lengthwise.tasks import get_task
        >>> task = get_task("parity")
        >>> model = LDRUConfig(width=8).build(task.inputs, task.outputs)
        >>> trainer = Trainer(model, task, TrainingConfig(steps=2), seed=0)
        >>> while not trainer.finished:
        ...     metrics = trainer.train_step()
    """

    def __init__(
        self,
        model: StringModel,
        task: Task,
        config: TrainingConfig,
        seed: int,
        objective: ObjectiveConfig | None = None,
        intervention: Intervention | None = None,
        processes: Processes = ALONE,
    ) -> None:
        self.model, self.task, self.config, self.processes = model, task, config, processes
        self.objective = (objective or AskedConfig()).build(model, task, config)
        self.intervention = intervention or Zero()
        _check(self)
        self.intervention.prepare(task)
        rows = config.batch_size * processes.count
        loose = self.intervention.always_initial(rows)
        spans = self.intervention.spans
        self.stream = (
            Pieces(task, rows, loose, spans)
            if spans
            else task.stream(rows, aligned=self.intervention.aligned, loose=loose)
        )
        self.points = task.points("train")
        self._own = set(map(id, self.points))
        if not self.points and config.steps:
            raise InputError(f"{task.label} has no points to be trained at")
        self.rng = np.random.default_rng(seed)
        if model.unlabelled:
            model.look(self._unlabelled(model.unlabelled, seed))
        self.optimisers = build_optimisers(model, config.optimiser)
        self.stop = EarlyStop(config.stop) if config.stop else None
        self.step = 0
        self.sequences = 0
        self.seconds = 0.0
        """Processor time of all steps, so that runs on a busy machine can be compared."""

    def _unlabelled(self, count: int, seed: int) -> list[Tensor]:
        """Draw the inputs of training sequences, from chance of their own: the batches stay what they are."""
        rng, found = np.random.default_rng([seed, 0x100C]), list[Tensor]()
        while len(found) < count:
            point = self.points[int(rng.integers(len(self.points)))]
            rows = min(self.config.batch_size, count - len(found))
            batch = checked(self.task.sample(rng, rows, point), self.task, point)
            found += [torch.from_numpy(row[:size]) for row, size in zip(batch.inputs, batch.lengths, strict=True)]
        return found

    @property
    def finished(self) -> bool:
        """Whether all steps were taken, or the loss has been low enough for long enough."""
        return self.step >= self.config.steps or (self.stop is not None and self.stop.reached)

    @property
    def ending(self) -> str:
        """How training ended, in words, once it has."""
        return self.stop.reason if self.stop and self.stop.reached else f"all {self.config.steps} steps"

    def train_step(self) -> dict[str, float]:
        """Take one optimiser step on a fresh batch.

        Returns:
            ``loss``, ``accuracy`` where classes are asked, ``learning_rate``, ``gradient_norm`` and ``length``, and
            ``mean_loss``, the running mean, where training may end early by it.

        Raises:
            StoppedError: the loss or its gradient is not finite; parameters are still those of the step before.
        """
        began = time.process_time()
        progress = (self.step + 1) / self.config.steps
        self.model.train()
        self.model.anneal(progress)
        self.model.zero_grad(set_to_none=True)
        done = self._descend(progress)
        where = f"at step {self.step + 1} (length {done.length})"
        if not math.isfinite(value := float(done.loss)):
            raise StoppedError(f"the loss became {value} {where}{done.note}")
        norm = float(prepare_gradients(self.model.parameters(), self.config.optimiser))
        if not math.isfinite(norm):
            raise StoppedError(f"the norm of the gradient became {norm} {where}")
        rate = learning_rate(self.config.optimiser, progress)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
        self.step += 1
        self.sequences += done.sequences
        self.seconds += time.process_time() - began
        metrics = {"loss": value} | ({} if done.accuracy is None else {"accuracy": float(done.accuracy)})
        metrics |= {"learning_rate": rate, "gradient_norm": norm, "length": done.length}
        return metrics | {"mean_loss": self.stop.observe(value)} if self.stop else metrics

    def _descend(self, progress: float) -> _Step:
        """Leave the gradient of the loss of a fresh batch in the parameters."""
        losses, hits, length, sequences, note = list[Tensor](), list[Tensor](), 0, 0, ""
        for part, share, size, width in self._parts(progress):
            term = part.total * share
            term.backward()
            losses.append(term.detach())
            if part.accuracy is not None:
                hits.append(part.accuracy * share)
            length, sequences, note = width, sequences + size + part.beside, note + part.note
        self.processes.average_gradients(self.model.parameters())
        loss, accuracy = (self.processes.mean(reduce(torch.add, terms)) if terms else None for terms in (losses, hits))
        assert loss is not None  # a batch has a part
        return _Step(loss, accuracy, length, sequences * self.processes.count, note)

    def _parts(self, progress: float) -> Iterator[tuple[Loss, float, int, int]]:
        """Draw a batch and yield the loss of each of its parts, which may be freed before the next is made.

        All parts of a batch start from one state and are observed as one batch.

        Yields:
            The loss of a part, its share of what the batch asks, its rows, and the positions of a row.
        """
        point = (
            self.points[0] if len(self.points) == 1 else self.config.curriculum.draw(self.rng, progress, self.points)
        )
        # By identity first, because points may be many.
        if id(point) not in self._own and point not in self.points:
            raise InputError(f"curriculum {self.config.curriculum} drew {point!r}, which is no point of the task")
        drawn = checked(self.stream.next_batch(self.rng, point), self.task, point)
        batch = self.objective.mix(drawn, self.step, progress, self.rng)
        if not batch.asked.any():
            raise InputError(f"a batch of {self.task.label} at {dict(point.axes)} asks for nothing")
        generator = self.reseed_torch()
        batch = batch.rows(slice(self.processes.rank, None, self.processes.count))
        start = self._start(batch, generator)
        parts, finals = np.array_split(np.arange(len(batch)), self.config.accumulation), list[State]()
        whole = len(parts) == 1
        asked = 1 if whole else max(int(batch.asked.sum()), 1)
        for index in parts:
            part = batch if whole else batch.rows(index)
            before = start if start is None or whole else start.rows(index.tolist())
            watched = self.intervention.observes
            loss = self.objective.loss(part, before, progress, generator, watched=watched)
            if watched and loss.state is not None and isinstance(self.model, SequenceModel):
                final = loss.state.detach()
                with torch.no_grad():
                    # Parts may end after different numbers of positions.
                    finals.append(final if whole else as_start(self.model, final))
            share = 1.0 if whole else int(part.asked.sum()) / asked
            yield loss, share, len(part), batch.inputs.shape[1]
        if finals:
            self.intervention.observe(finals[0] if len(finals) == 1 else State.concat(finals))

    def _start(self, batch: Batch, generator: torch.Generator) -> State | None:
        """Return the state that rows start from; None where that is the model's own initial one."""
        if self.intervention.initial or not isinstance(self.model, SequenceModel):
            return None
        fresh_B = torch.from_numpy(batch.fresh).to(next(self.model.parameters()).device)
        start = self.intervention.begin(self.model, len(batch), generator, fresh_B)
        if self.config.accumulation > 1 and any(entry.requires_grad for entry in start.values()):
            raise InputError(f"{type(self.model).__name__} learns its initial state; leave training.accumulation at 1")
        return start

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
        passed, values = self.intervention.state()
        tensors |= {f"intervention.{name}": value for name, value in self.processes.gather(passed).items()}
        tensors |= {f"objective.{name}": value for name, value in self.objective.memory().items()}
        kept: dict[str, Any] = {"step": self.step, "sequences": self.sequences, "seconds": self.seconds}
        kept |= {"rng": self.rng.bit_generator.state, "intervention": values, "stream": self.stream.state()}
        kept |= {"inputs": self.task.inputs.size, "processes": self.processes.count}
        return tensors, kept | ({"stop": self.stop.state()} if self.stop else {})

    def restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Go back to a state that `state` returned."""
        self.model.load_state_dict(under("model.", tensors))
        for number, optimiser in enumerate(self.optimisers):
            moments = optimiser.state_dict()
            moments["state"] = {}
            for name, value in under(f"optimiser.{number}.", tensors).items():
                index, moment = name.split(".", 1)
                moments["state"].setdefault(int(index), {})[moment] = value
            optimiser.load_state_dict(moments)
        self.step, self.sequences, self.seconds = values["step"], values["sequences"], values["seconds"]
        self.rng.bit_generator.state = values["rng"]
        self.intervention.restore(self.processes.own(under("intervention.", tensors)), values["intervention"])
        self.objective.recall(under("objective.", tensors))
        self.stream.restore(values["stream"])
        if self.stop:
            self.stop.restore(values["stop"])


def _check(trainer: Trainer) -> None:
    """Refuse what does not go together, before anything is drawn."""
    model, intervention, config = trainer.model, trainer.intervention, trainer.config
    if not intervention.initial:
        check_carries_state(with_state(model, f"intervention {intervention.name!r}"), intervention)
        if not trainer.objective.starts:
            raise InputError(
                f"intervention {intervention.name!r} needs an objective that reads from a state; "
                "use 'asked', 'prefixes' or 'distil'"
            )
    if config.accumulation > config.batch_size:
        raise InputError(
            f"{config.batch_size} rows cannot be shared out to {config.accumulation} parts a step "
            "(training.accumulation)"
        )


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
