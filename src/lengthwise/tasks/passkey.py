"""Passkey: a key that was said once somewhere in a long text is asked at its end.

Shape letters: B rows, T positions, N digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from lengthwise.errors import InputError
from lengthwise.spaces import Tokens
from lengthwise.tasks.base import EVERYWHERE, IGNORE, Batch, Ints, Point, Stage, Task
from lengthwise.tasks.filler import Filler, numbered
from lengthwise.tasks.lengths import Length, TrainLengths, points_by_length

_SAID = ("the", "pass", "key", "is")


class Passkey(Task):
    """Prose with the sentence ``the pass key is 7 1 0 9 4 .`` in it, and the question ``the pass key is``.

    Each digit is asked before it is read; the last one is never read. ``depth`` is the share of the prose that stands
    before the key; in training it is drawn for each row.

    Two examples, with two digits, at depths 1 and 0, asked at ``_``:

        the sky is blue . the pass key is 4 2 . the pass key is_ 4_    asks for 4 and 2
        the pass key is 0 7 . here we go . the pass key is_ 0_         asks for 0 and 7

    Source: Mohtashami and Jaggi 2023; Buitrago Ruiz and Gu 2025, section 4.
    """

    name: Literal["passkey"] = "passkey"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "sequence_accuracy")
    told: ClassVar[str] = EVERYWHERE

    digits: int = Field(default=5, ge=1)
    """N, the digits of the key."""
    filler: str = ""
    """A file of prose, or ``pydoc`` for that of Python's help, of which the last fifth is kept for measurement; a few
    sentences of our own by default."""
    train: TrainLengths = TrainLengths(minimum=32, maximum=64)
    """Positions that are trained on."""
    lengths: tuple[Length, ...] = (64, 256, 1024)
    """Positions that are measured, each at every depth."""
    depths: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.1, 0.5, 0.9)
    """Depths that are measured."""
    samples: int = Field(default=64, ge=1)
    """Rows a point."""

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if (shortest := min(self.train.minimum, *self.lengths)) < self._least:
            raise ValueError(f"a key of {self.digits} digits and its question take {self._least} words, not {shortest}")
        return self

    @cached_property
    def _prose(self) -> Filler:
        return Filler(self.filler)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Word -> its symbol."""
        return numbered([*self._prose.words, *_SAID, ".", *"0123456789"])

    @property
    def _least(self) -> int:
        """The words of the key and the question."""
        return 2 * len(_SAID) + 2 * self.digits

    @property
    def inputs(self) -> Tokens:
        """The words."""
        return Tokens(len(self._numbers))

    @property
    def outputs(self) -> Tokens:
        """The digits."""
        return Tokens(10)

    def draw_filler(self, rng: np.random.Generator, rows: int, length: int) -> Ints:
        """Draw stretches of the prose."""
        return self._prose.cut(rng, rows, length, held_out=False)

    def identity(self) -> str:
        """Return a hash of the prose where it is a file's."""
        return self._prose.identity

    def paths(self) -> tuple[str, ...]:
        """Return the file of prose."""
        return ("filler",)

    def points(self, stage: Stage) -> Sequence[Point]:
        """Return a point a length in training, and one for each length and depth in measurement."""
        return points_by_length(stage, self.train, self.lengths, self.samples, depth=self.depths)

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        """Draw keys, and the prose around them."""
        space, depth = (point.length or 0) - self._least, point.axes.get("depth")
        if space < 0:
            raise InputError(f"a key and its question take {self._least} words; the point says {dict(point.axes)}")
        prose_BT = self._prose.cut(rng, rows, space, held_out=depth is not None)
        keys_BN = rng.integers(10, size=(rows, self.digits))
        depths_B = rng.random(rows) if depth is None else np.full(rows, float(depth))
        before_B = np.round(depths_B * space).astype(np.int64)
        said: Ints = np.array([self._numbers[word] for word in _SAID])
        digits_BN = self._numbers["0"] + keys_BN
        inputs_BT = np.stack(
            [
                np.concatenate([prose[:at], said, key, [self._numbers["."]], prose[at:], said, key[:-1]])
                for prose, at, key in zip(prose_BT, before_B, digits_BN, strict=True)
            ]
        )
        targets_BT = np.full_like(inputs_BT, IGNORE)
        targets_BT[:, -self.digits :] = keys_BN
        return Batch(inputs_BT, targets_BT)
