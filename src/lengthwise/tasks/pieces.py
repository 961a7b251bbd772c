"""Pieces of long sequences: rows that go on from batch to batch, for tasks whose sequences stand alone.

Shape letters: B rows, T positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lengthwise.errors import InputError
from lengthwise.tasks.base import Batch, Point, Stream, Task


class _Place(NamedTuple):
    """A sequence by what it is drawn from, and how many of its positions were read."""

    seed: int
    span: int
    read: int


class Pieces(Stream):
    """Batches of which some rows are whole sequences, and the others pieces of longer ones.

    Args:
        task: where they come from.
        rows: B.
        loose: how many rows, the first ones, are whole sequences of the training length.
        spans: how many training lengths the longer ones have, from the fewest to the most, every octave alike.

    Raises:
        InputError: the task does not say how long its sequences are in training.
    """

    def __init__(self, task: Task, rows: int, loose: int, spans: tuple[int, int]) -> None:
        super().__init__(task, rows)
        if not task.training_length:
            raise InputError(f"{task.label} does not say how long its sequences are, so that none can be cut to pieces")
        self.length, self.loose, self.spans = task.training_length, loose, spans
        self._places: list[_Place | None] = [None] * (rows - loose)
        self._drawn: dict[int, Batch] = {}

    def next_batch(self, rng: np.random.Generator, point: Point) -> Batch:
        """Return the next piece of every row, at the training length whatever the point says."""
        whole = self.task.sample(rng, self.loose, Point({"length": self.length}))
        width = whole.inputs.shape[1]
        parts = [whole, *(self._piece(rng, row, width) for row in range(len(self._places)))]
        return Batch.joined(parts)

    def _piece(self, rng: np.random.Generator, row: int, width: int) -> Batch:
        place = self._places[row]
        if place is None:
            low, high = np.log2(self.spans[0]), np.log2(self.spans[1] + 1)
            span = min(int(2 ** rng.uniform(low, high)), self.spans[1])
            place = _Place(int(rng.integers(2**62)), span, 0)
            self._drawn.pop(row, None)
        if row not in self._drawn:
            long = Point({"length": place.span * self.length})
            self._drawn[row] = self.task.sample(np.random.default_rng(place.seed), 1, long)
        drawn, end = self._drawn[row], place.read + width
        left = int(drawn.lengths[0]) - place.read
        self._places[row] = place._replace(read=end) if left > width else None
        read = slice(place.read, place.read + min(left, width))
        return Batch(drawn.inputs[:, read], drawn.targets[:, read], fresh=np.array([place.read == 0], dtype=np.bool_))

    def state(self) -> dict[str, Any]:
        """Return where every row is."""
        return {"places": [place and list(place) for place in self._places]}

    def restore(self, values: Mapping[str, Any]) -> None:
        """Go on from what `state` returned.

        Raises:
            InputError: it is the state of another stream.
        """
        if set(values) != {"places"} or len(values["places"]) != len(self._places):
            raise InputError(f"the pieces of {self.task.label} cannot go on from {', '.join(values) or 'nothing'}")
        self._places, self._drawn = [place and _Place(*place) for place in values["places"]], {}
