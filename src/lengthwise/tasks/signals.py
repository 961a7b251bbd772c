"""Signals: the next frame of a sum of sines is asked after every frame.

Shape letters: B rows, T positions, F numbers of a frame, K sines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lengthwise.errors import InputError
from lengthwise.spaces import Values
from lengthwise.tasks.base import EVERYWHERE, Batch, Point, Stage, Task
from lengthwise.tasks.lengths import Length, TrainLengths, points_by_length


class Signals(Task):
    """Real numbers: each row is a sum of sines of its own, seen by F sensors, and a little noise.

    Sensor f reads ``sum_k a_k sin(w_k t + p_kf)`` at time t; amplitudes, frequencies and phases are drawn for each row,
    and the mean square of a row without its noise is about 1. The frame of time t + 1 is asked after that of time t.

    Two examples, of one sine and one sensor without noise, a quarter and a half of a turn a step:

        read   0  1  0 -1         1 -1  1 -1
        asked  1  0 -1  0        -1  1 -1  1
    """

    name: Literal["signals"] = "signals"
    metrics: ClassVar[tuple[str, ...]] = ("squared_error",)
    diagnostics: ClassVar[tuple[str, ...]] = ("by_point", "perplexity", "remembrance", "state_statistics")
    told: ClassVar[str] = EVERYWHERE

    size: int = Field(default=4, ge=1)
    """F, the sensors."""
    sines: int = Field(default=2, ge=1)
    """K, the sines of a row."""
    fastest: float = Field(default=0.2, gt=0, le=0.5)
    """Turns a step that a sine makes at most."""
    noise: float = Field(default=0.05, ge=0)
    """Standard deviation of what cannot be predicted."""
    train: TrainLengths = TrainLengths(minimum=32, maximum=32)
    """Lengths that are trained on."""
    lengths: tuple[Length, ...] = (32, 64, 128, 256, 512)
    """Lengths that are measured."""
    samples: int = Field(default=64, ge=1)
    """Rows a length."""

    @property
    def inputs(self) -> Values:
        """The frames."""
        return Values(self.size)

    @property
    def outputs(self) -> Values:
        """The frames."""
        return Values(self.size)

    def points(self, stage: Stage) -> Sequence[Point]:
        """Return a point a length."""
        return points_by_length(stage, self.train, self.lengths, self.samples)

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        """Draw rows, each of which begins anywhere in its sines."""
        if (length := point.length) is None:
            raise InputError(f"a signal has a length; the point says {dict(point.axes)}")
        frames = self._frames(rng, rows, length + 1)
        return Batch(frames[:, :-1], frames[:, 1:])

    def held_out(self, rows: int, length: int) -> NDArray[Any]:
        """Return rows of their own, the same ones every time."""
        return self._frames(np.random.default_rng(0x51635), rows, length + 1)

    def _frames(self, rng: np.random.Generator, rows: int, length: int) -> NDArray[Any]:
        amplitudes_BK = rng.uniform(0.5, 1.5, (rows, self.sines))
        speeds_BK = 2 * np.pi * rng.uniform(self.fastest / 10, self.fastest, (rows, self.sines))
        phases_BKF = rng.uniform(0, 2 * np.pi, (rows, self.sines, self.size))
        frames_BTF = self.noise * rng.standard_normal((rows, length, self.size))
        times_T = np.arange(length)
        for k in range(self.sines):
            turned = speeds_BK[:, k, None, None] * times_T[:, None] + phases_BKF[:, None, k]
            frames_BTF += amplitudes_BK[:, k, None, None] * np.sin(turned) * np.sqrt(2 / self.sines / _MEAN_SQUARE)
        return frames_BTF.astype(np.float32)


_MEAN_SQUARE = 13 / 12
"""Of amplitudes that are drawn evenly from 0.5 to 1.5."""
