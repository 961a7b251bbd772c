"""Diagnostics beyond the training length: loss by position, effective remembrance, state statistics, as rows.

Shape letters: B rows, S = T + 1 elements of a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar, TypeAlias

import torch
from pydantic import Field
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.evaluation.diagnostic import Diagnostic
from lengthwise.evaluation.intervals import student_quantile
from lengthwise.evaluation.perplexity import (
    RowLosses,
    log_edges,
    octave_edges,
    restarted_losses,
    row_losses,
    unigram_loss,
)
from lengthwise.evaluation.remembrance import effective_remembrance, remembrance_starts
from lengthwise.evaluation.rows import Axis, Row
from lengthwise.evaluation.state_statistics import state_statistics
from lengthwise.evaluation.verdict import of_values, verdict
from lengthwise.interventions.base import initial_start, recurrent_entries
from lengthwise.models.base import SequenceModel, StringModel, with_state
from lengthwise.models.reading import on_device
from lengthwise.spaces import Tokens, Values
from lengthwise.tasks.base import Batch, Task
from lengthwise.tasks.capabilities import HeldOut, require

_WINDOWS = 512
"""Windows that start anew which are read at a time: bounds memory."""

_Axes: TypeAlias = dict[str, Axis]


class Beyond(Diagnostic):
    """A measurement of long held-out sequences, for models that carry a state."""

    def check(self, model: StringModel, task: Task) -> None:
        """Refuse a model without a state, and a task without long sequences or a length of training."""
        with_state(model, "a diagnosis beyond the training length")
        require(task, HeldOut, "a diagnosis beyond the training length")
        context_of(task)


class Perplexity(Beyond):
    """Loss by position up to many times the training length T: ``loss`` in nats, or ``error_by_position`` of values.

    Also as ``ratio``: perplexity of an octave beyond T over that of the same symbols read near the end of a context. Of
    values it is the loss itself that is compared, in the geometric mean over rows, as ``error_ratio``.
    """

    name: ClassVar[str] = "perplexity"
    reach: int = Field(default=64, ge=2)
    """Followed up to this many times T."""
    rows: int = Field(default=64, ge=2)
    """Held-out sequences, spread evenly."""
    bins: int = Field(default=4, ge=1)
    """Parts of an octave of positions."""
    chunk: int = Field(default=256, ge=1)
    """Positions read at a time, with the state carried; changes memory and speed only."""
    curve_rows: int = Field(default=16, ge=2)
    """Held-out sequences for points of the learning curve."""

    def measure(self, model: StringModel, task: Task, seed: int) -> Iterator[Row]:
        """Yield the loss by position, then ``ratio`` by octave."""
        own, context = with_state(model, "loss by position"), context_of(task)
        length = self.reach * context
        inputs, targets = held_out_of(own, task, self.rows, length)
        losses = self._losses(own, task, inputs, targets)
        half = student_quantile(0.975, self.rows - 1)
        for place in losses.by_position(log_edges(length, self.bins)):
            ends = (place.mean - half * place.standard_error, place.mean + half * place.standard_error)
            yield _row(task, _name(task), place.mean, ends, place.rows, {"start": place.start - 1, "end": place.end})
        edges = octave_edges(length, context)
        restarted = restarted_losses(
            own, inputs, context, edges, targets=targets, outputs=task.outputs, batch_size=_WINDOWS
        )
        octaves, values = (found.by_position(edges) for found in (losses, restarted)), isinstance(task.outputs, Values)
        both = [of_values(found) if values else found for found in octaves]
        for ratio in verdict(both[0], context, both[1]).ratios:
            axes: _Axes = {"start": ratio.start - 1, "end": ratio.end}
            metric = "error_ratio" if values else "ratio"
            yield _row(task, metric, ratio.ratio, (ratio.low, ratio.high), self.rows, axes)

    def guessing(self, task: Task) -> float | None:
        """Return the loss of guessing the symbols that are measured by their frequency, in nats; None of values."""
        if not isinstance(task.outputs, Tokens):
            return None
        held_out = require(task, HeldOut, "a diagnosis beyond the training length")
        found = held_out.held_out(self.rows, self.reach * context_of(task))
        return None if isinstance(found, Batch) else unigram_loss(torch.from_numpy(found))

    def curve(self, model: StringModel, task: Task, seed: int) -> dict[str, float]:
        """Return the mean loss of the octaves that end at T, 4 T, 16 T and so on, as ``<loss>_<last position>``."""
        own, context = with_state(model, "loss by position"), context_of(task)
        length = self.reach * context
        losses = self._losses(own, task, *held_out_of(own, task, self.curve_rows, length))
        octaves = losses.by_position(octave_edges(length, context))
        name = _name(task)
        return {f"{name}_{octave.end}": math.fsum(octave.row_means) / len(octave.row_means) for octave in octaves[::2]}

    def _losses(self, model: SequenceModel, task: Task, inputs: Tensor, targets: Tensor) -> RowLosses:
        length, rows = inputs.shape[1], len(inputs)
        edges = sorted({*log_edges(length, self.bins), *octave_edges(length, context_of(task))})
        return row_losses(
            model, inputs, edges, targets=targets, outputs=task.outputs, chunk=self.chunk, batch_size=rows
        )


class EffectiveRemembrance(Beyond):
    """How far the next prediction moves when the first symbols are dropped, as ``remembrance`` by start."""

    name: ClassVar[str] = "remembrance"
    reach: int = Field(default=4, ge=1)
    """Taken after this many times T symbols."""
    rows: int = Field(default=64, ge=2)
    """Held-out sequences, spread evenly."""
    starts: int = Field(default=24, ge=0)
    """At how many places the reading is started anew; 0 leaves it out."""

    def measure(self, model: StringModel, task: Task, seed: int) -> Iterator[Row]:
        """Yield a row a start."""
        if not self.starts:
            return
        own, length = with_state(model, "effective remembrance"), self.reach * context_of(task)
        inputs, _ = held_out_of(own, task, self.rows, length)
        half = student_quantile(0.975, self.rows - 1)
        # Of values that are no probabilities the distance is relative, and may be above 1.
        most = math.inf if getattr(task.outputs, "loss", "") not in ("", "binary_cross_entropy") else 1.0
        starts = remembrance_starts(length, self.starts)
        for found in effective_remembrance(own, inputs, starts, outputs=task.outputs):
            reach = half * found.standard_error
            ends = (max(0.0, found.value - reach), min(most, found.value + reach))
            yield _row(task, "remembrance", found.value, ends, found.rows, {"start": found.start, "end": length})


class StateStatistics(Beyond):
    """Standard deviation, mean and largest value of the recurrent state by position, as ``state_*``, by entry and head.

    A model without a recurrent state has none.
    """

    name: ClassVar[str] = "state_statistics"
    reach: int = Field(default=64, ge=2)
    """Followed up to this many times T."""
    rows: int = Field(default=16, ge=0)
    """Held-out sequences over which the state is followed; 0 leaves the statistics out."""
    bins: int = Field(default=4, ge=1)
    """Parts of an octave of positions."""
    chunk: int = Field(default=256, ge=1)
    """Positions read at a time, with the state carried; changes memory and speed only."""

    def measure(self, model: StringModel, task: Task, seed: int) -> Iterator[Row]:
        """Yield three rows for each position and part of the state."""
        own = with_state(model, "state statistics")
        if not self.rows or not recurrent_entries(initial_start(own, 1)):
            return
        length = self.reach * context_of(task)
        inputs, _ = held_out_of(own, task, self.rows, length)
        for found in state_statistics(own, inputs, log_edges(length, self.bins)[1:], chunk=self.chunk):
            axes: _Axes = {"start": 0, "end": found.position}
            if found.entry:
                axes["part"] = found.entry if found.head is None else f"{found.entry}/{found.head}"
            values = {"state_std": found.standard_deviation, "state_mean": found.mean, "state_max": found.largest}
            for metric, value in values.items():
                yield Row(task=task.label, metric=metric, value=value, samples=self.rows, axes=axes)


def context_of(task: Task) -> int:
    """Return the length of training, beyond which something is measured.

    Raises:
        InputError: the task says none.
    """
    if (context := task.training_length) is None:
        raise InputError(f"{task.label} says no length of training, beyond which something could be measured")
    return context


def held_out_of(model: SequenceModel, task: Task, rows: int, length: int) -> tuple[Tensor, Tensor]:
    """Return what is read, [B, T] or [B, T, F], and what is asked after each of it."""
    found = require(task, HeldOut, "a diagnosis beyond the training length").held_out(rows, length)
    if isinstance(found, Batch):
        if not found.asked.all():
            raise InputError(f"held-out sequences of {task.label} are asked something after every input")
        inputs, targets = on_device(model, found.inputs, found.targets)
        return inputs, targets
    (rows_BS,) = on_device(model, found)
    return rows_BS[:, :-1], rows_BS[:, 1:]


def _name(task: Task) -> str:
    """Return what the loss by position is called: squared errors are no nats, and have no perplexity."""
    return "loss" if isinstance(task.outputs, Tokens) else "error_by_position"


def _row(task: Task, metric: str, value: float, ends: tuple[float, float], samples: int, axes: _Axes) -> Row:
    low, high = ends
    return Row(task=task.label, metric=metric, value=value, low=low, high=high, samples=samples, axes=axes)
