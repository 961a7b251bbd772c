"""Starts: what it gives and costs to start anew now and then, which is what people do with a model that falls apart.

Shape letters: B rows, T positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.evaluation.beyond import Beyond, context_of, held_out_of
from lengthwise.evaluation.intervals import student_quantile
from lengthwise.evaluation.perplexity import RowLosses, octave_edges, restarted_losses, row_losses
from lengthwise.evaluation.rows import Axis, Row
from lengthwise.models.base import SequenceModel, StringModel, read, with_state
from lengthwise.models.reading import as_start
from lengthwise.spaces import Tokens
from lengthwise.state import State
from lengthwise.tasks.base import Task

Way = Literal["whole", "reset", "burn_in", "carried"]
WAYS: tuple[Way, ...] = ("whole", "reset", "burn_in", "carried")
MULTIPLES = (1, 4, 16, 64)
"""Multiples of T at which the table has a column, beside the last that was read."""
COST, KEPT = "start_cost", "start_state"
"""Positions read for each one that is answered; numbers kept between two of them."""
LOSSES = {True: "start_loss", False: "start_error"}
"""Loss of the octave that ends at so many contexts: of symbols in nats, or of values."""
_WINDOWS = 512
"""Windows that start anew which are read at a time: bounds memory."""


class _Measured(NamedTuple):
    """What was found of one way."""

    said: str
    losses: RowLosses
    cost: float
    kept: int


class Starts(Beyond):
    """Loss at multiples of the training length T, cost and state of each way to start.

    ``whole`` reads a sequence from the initial state on. ``reset`` goes back to it every N positions. ``burn_in``
    answers each position from a state that has read N before it, so that everything is read twice. ``carried`` starts
    from the state in which another sequence ended.
    """

    name: ClassVar[str] = "starts"
    ways: tuple[Way, ...] = WAYS
    """Those that are measured."""
    every: int | None = Field(default=None, ge=1)
    """Positions between resets; T by default."""
    burn_in: int | None = Field(default=None, ge=1)
    """Positions read before those that count; T / 2 by default, so that no state is older than T."""
    reach: int = Field(default=64, ge=2)
    """Followed up to this many times T."""
    rows: int = Field(default=32, ge=2)
    """Held-out sequences, spread evenly."""
    chunk: int = Field(default=256, ge=1)
    """Positions read at a time, with the state carried; changes memory and speed only."""

    def check(self, model: StringModel, task: Task) -> None:
        """Refuse what has no length of training, and windows that are longer than what is read."""
        super().check(model, task)
        length = self.reach * context_of(task)
        for name, window in (("every", self.every), ("burn_in", 2 * (self.burn_in or 0))):
            if window and not 2 <= window <= length:
                raise InputError(
                    f"evaluation.starts.{name} needs windows of {window} positions in sequences of {length}: give "
                    f"{'2 to ' + str(length) if name == 'every' else '1 to ' + str(length // 2)}"
                )

    def measure(self, model: StringModel, task: Task, seed: int) -> Iterator[Row]:
        """Yield the loss by multiple of T, then cost and state, way by way."""
        own, context = with_state(model, "ways to start"), context_of(task)
        length = self.reach * context
        inputs, targets = held_out_of(own, task, self.rows, length)
        edges = octave_edges(length, context)
        half, last = student_quantile(0.975, self.rows - 1), edges[-1] // context
        for way in self.ways:
            found = self._measured(own, task, way, inputs, targets, edges, context)
            axes: dict[str, Axis] = {"way": found.said}
            for place in found.losses.by_position(edges):
                if (multiple := place.end // context) in (*MULTIPLES, last):
                    reach = half * place.standard_error
                    yield Row(
                        task=task.label,
                        metric=LOSSES[isinstance(task.outputs, Tokens)],
                        value=place.mean,
                        low=place.mean - reach,
                        high=place.mean + reach,
                        samples=place.rows,
                        axes=axes | {"contexts": multiple},
                    )
            for metric, value in ((COST, found.cost), (KEPT, found.kept)):
                yield Row(task=task.label, metric=metric, value=value, samples=self.rows, axes=axes)

    def _measured(
        self,
        model: SequenceModel,
        task: Task,
        way: Way,
        inputs: Tensor,
        targets: Tensor,
        edges: list[int],
        context: int,
    ) -> _Measured:
        length, rows = inputs.shape[1], len(inputs)
        if way in ("whole", "carried"):
            start = None if way == "whole" else self._ended(model, inputs)
            losses = row_losses(
                model,
                inputs,
                edges,
                targets=targets,
                outputs=task.outputs,
                chunk=self.chunk,
                batch_size=rows,
                state=start,
            )
            return _Measured("whole" if start is None else "carried from another", losses, 1.0, _kept(model, inputs))
        burn_in = 0 if way == "reset" else self.burn_in or max(context // 2, 1)
        window = (self.every or context) if way == "reset" else 2 * burn_in
        losses = restarted_losses(
            model,
            inputs,
            window,
            edges,
            targets=targets,
            outputs=task.outputs,
            batch_size=_WINDOWS,
            burn_in=burn_in,
        )
        said = f"reset every {window:,}" if way == "reset" else f"burn-in of {burn_in:,}"
        windows = -(-(length - window) // (window - burn_in)) + 1
        cost = 1.0 if way == "reset" else min(windows * window / length, window / (window - burn_in))
        return _Measured(said, losses, cost, _kept(model, inputs[:, :window]))

    @torch.no_grad()
    def _ended(self, model: SequenceModel, inputs: Tensor) -> State:
        """Return for each row what a sequence can start from of the state in which the row before it ended."""
        model.eval()
        final = model.initial_state(len(inputs))
        for piece in read(model, inputs, self.chunk):
            final = piece.output.state
        return as_start(model, final).rows(torch.arange(len(inputs)).roll(1).tolist())


@torch.no_grad()
def _kept(model: SequenceModel, inputs: Tensor) -> int:
    """Return the numbers of a row's state after all of its positions; how many were read is not counted."""
    final = model.initial_state(1)
    for piece in read(model.eval(), inputs[:1], 1024):
        final = piece.output.state
    return final.remembered()
