"""The contract of a task: settings and a pure sampler in one.

Shape letters: B rows, T positions, F numbers of a vector.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lengthwise.errors import InputError
from lengthwise.settings import Settings
from lengthwise.spaces import Space, Values

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

IGNORE = -1
"""The target of a position where nothing is asked, and the class of a string outside a language's domain."""
EVERYWHERE = "where the task asks"
"""What `Task.told` says of a task that asks at several places of a sequence."""
Stage = Literal["train", "test", "curve"]
"""Training, the measurement of a trained model, and the points of a learning curve."""
Axis: TypeAlias = int | float | str


@dataclass(frozen=True)
class Point:
    """A place at which a task is trained or measured.

    Args:
        axes: its coordinates, such as ``{"length": 40}`` or ``{"length": 128, "depth": 0.5}`` or ``{"split": "test"}``.
        samples: sequences that are measured there.
    """

    axes: Mapping[str, Axis]
    samples: int = 512

    def __post_init__(self) -> None:
        plain = {name: axis.item() if isinstance(axis, np.generic) else axis for name, axis in self.axes.items()}
        if wrong := [name for name, axis in plain.items() if not isinstance(axis, (int, float, str))]:
            raise InputError(f"axis {wrong[0]!r} of a point is a number or a word, not {plain[wrong[0]]!r}")
        object.__setattr__(self, "axes", plain)

    @property
    def length(self) -> int | None:
        """The positions of a sequence, where the point says so."""
        length = self.axes.get("length")
        return length if isinstance(length, int) else None


@dataclass(frozen=True, eq=False)
class Batch:
    """Sequences, padded on the right to the longest.

    Args:
        inputs: tokens [B, T], or values [B, T, F].
        targets: classes [B, T], `IGNORE` where nothing is asked; or values [B, T, F], NaN where nothing is asked.
        lengths: [B] positions of each row; all T by default.
        fresh: [B] whether a row begins anew and does not go on from the same row of the batch before; all by default.

    Raises:
        InputError: the shapes do not belong together.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any]
    lengths: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    fresh: Bools = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))

    def __post_init__(self) -> None:
        for name, array in (("inputs", self.inputs), ("targets", self.targets)):
            if np.ndim(array) < 2 or not hasattr(array, "dtype"):
                raise InputError(f"{name} are an array of numpy of rows and positions, not {_described(array)}")
        rows = len(self.inputs)
        if self.targets.shape[:2] != self.inputs.shape[:2]:
            raise InputError(f"inputs {self.inputs.shape} and targets {self.targets.shape} differ in rows or positions")
        if not self.lengths.size:
            object.__setattr__(self, "lengths", np.full(rows, self.inputs.shape[1], dtype=np.int64))
        if not self.fresh.size:
            object.__setattr__(self, "fresh", np.ones(rows, dtype=np.bool_))
        if self.lengths.shape != (rows,) or self.fresh.shape != (rows,):
            raise InputError(
                f"lengths and fresh say one thing a row of {rows}, not {len(self.lengths)} and {len(self.fresh)}"
            )

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def asked(self) -> Bools:
        """[B, T] where something is asked."""
        targets = self.targets
        return np.asarray(targets != IGNORE if targets.ndim == 2 else ~np.isnan(targets).any(-1), dtype=np.bool_)

    def rows(self, index: NDArray[Any] | slice) -> Batch:
        """Return some of the rows."""
        return Batch(self.inputs[index], self.targets[index], self.lengths[index], self.fresh[index])

    @staticmethod
    def classified(tokens_BT: NDArray[Any], classes_B: Ints, lengths_B: Ints | None = None) -> Batch:
        """Return sequences of which each has one class, asked at its last position.

        Args:
            tokens_BT: [B, T] the inputs, or values [B, T, F].
            classes_B: [B] the classes.
            lengths_B: [B] the positions of each row; all T by default.
        """
        rows, longest = tokens_BT.shape[:2]
        lengths_B = np.full(rows, longest, dtype=np.int64) if lengths_B is None else lengths_B
        targets_BT = np.full((rows, longest), IGNORE, dtype=np.int64)
        targets_BT[np.arange(rows), lengths_B - 1] = classes_B
        return Batch(tokens_BT, targets_BT, lengths_B)

    @staticmethod
    def padded(rows: Sequence[NDArray[Any]], targets: Sequence[NDArray[Any]]) -> Batch:
        """Return rows of different lengths as one batch: zeros, and nothing asked, to their right.

        Args:
            rows: the inputs [T] or [T, F] of each row.
            targets: the targets [T] or [T, F] of each row.
        """
        lengths_B = np.array([len(row) for row in rows], dtype=np.int64)
        nothing = np.nan if targets[0].ndim > 1 else IGNORE
        return Batch(side_by_side(rows), side_by_side(targets, nothing), lengths_B)

    @staticmethod
    def joined(batches: Sequence[Batch]) -> Batch:
        """Return all rows of several batches in one, padded to the longest."""
        if len(batches) == 1:
            return batches[0]
        padded = Batch.padded(
            [row for batch in batches for row in batch.inputs], [row for batch in batches for row in batch.targets]
        )
        return replace(
            padded,
            lengths=np.concatenate([batch.lengths for batch in batches]),
            fresh=np.concatenate([batch.fresh for batch in batches]),
        )


class Task(Settings, ABC):
    """What is learned: settings with a literal ``name``, and a pure sampler.

    A subclass says what a model reads and answers, where it is trained and measured, and draws sequences there. What
    some tasks can do beyond that are capabilities (`lengthwise.tasks.capabilities`).

    Example:
        >>> from lengthwise.tasks import get_task
        >>> task = get_task("parity")
        >>> batch = task.sample(np.random.default_rng(0), 2, Point({"length": 3, "distribution": "standard"}))
        >>> batch.inputs.shape, batch.targets[:, :2].tolist()
        ((2, 3), [[-1, -1], [-1, -1]])
    """

    version: ClassVar[int] = 1
    """Raised whenever the same seed gives other samples or labels."""
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    """What is measured of the answers at a point; see `lengthwise.evaluation.METRICS`."""
    diagnostics: ClassVar[tuple[str, ...]] = ("by_point",)
    """How a trained model is measured where a recipe says nothing else; see `lengthwise.evaluation.DIAGNOSTICS`."""
    told: ClassVar[str] = "1"
    """How many labels a training sequence comes with, in words."""

    @property
    @abstractmethod
    def inputs(self) -> Space:
        """What a model reads at each position."""

    @property
    @abstractmethod
    def outputs(self) -> Space:
        """What it answers."""

    @abstractmethod
    def points(self, stage: Stage) -> Sequence[Point]:
        """Return where the task is trained or measured, the shortest first.

        Args:
            stage: ``train``, one of whose points each batch is drawn at; ``test``; or ``curve``.

        Raises:
            InputError: the settings ask for points that do not exist.
        """

    @abstractmethod
    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        """Draw sequences.

        Args:
            rng: the only source of randomness.
            rows: B.
            point: where.

        Returns:
            B rows whose shapes and targets are those of `inputs` and `outputs`.

        Raises:
            InputError: there is no sequence there.
        """

    @property
    def label(self) -> str:
        """What rows and reports call the task."""
        return str(getattr(self, "name", type(self).__name__))

    @property
    def chosen(self) -> str:
        """Which sequences are trained on, in words: as those that are measured, or otherwise."""
        return "as measured"

    @property
    def data(self) -> str:
        """The source and the fingerprint of a data set; empty where sequences are made."""
        return ""

    @property
    def training_length(self) -> int | None:
        """The longest sequence that is trained on, where the points say so."""
        return max((point.length for point in self.points("train") if point.length), default=None)

    def identity(self) -> str:
        """Return a hash of what names in the settings stand for, such as the content of a file; empty by default."""
        return ""

    def paths(self) -> tuple[str, ...]:
        """Return the settings that say where something lies and not what it is, which is what `identity` tells.

        Dots lead into sections, as in ``text.source``; none by default.
        """
        return ()

    def notes(self) -> list[str]:
        """Return sentences to be said before training, such as that some lengths do not exist."""
        return []

    def batches(self, rng: np.random.Generator, point: Point, rows: int) -> Iterator[Batch]:
        """Yield the sequences that a point is measured on.

        Args:
            rng: the only source of randomness.
            point: where.
            rows: of a batch, at most.
        """
        for start in range(0, point.samples, rows):
            yield self.sample(rng, min(rows, point.samples - start), point)

    def stream(self, rows: int, *, aligned: bool = False, loose: int = 0) -> Stream:
        """Return the batches of training.

        Args:
            rows: B.
            aligned: whether row i of a batch must go on where row i of the batch before ended.
            loose: how many rows, the first ones, go on from nothing where the others are aligned.

        Raises:
            InputError: the task has no rows that go on from each other.
        """
        if aligned:
            raise InputError(
                f"the rows of {self.label} do not go on from one batch to the next, as 'tbptt' needs; "
                "give it intervention.spans, or use 'state_passing'"
            )
        return Stream(self, rows)


class Stream:
    """An endless stream of batches that can be resumed exactly; this one draws each batch anew.

    Args:
        task: where they come from.
        rows: B.
    """

    def __init__(self, task: Task, rows: int) -> None:
        self.task, self.batch_size = task, rows

    def next_batch(self, rng: np.random.Generator, point: Point) -> Batch:
        """Return the next batch.

        Args:
            rng: the only source of randomness; to resume exactly, keep its state beside that of the stream.
            point: where; a stream of text has one place only.
        """
        return self.task.sample(rng, self.batch_size, point)

    def state(self) -> dict[str, Any]:
        """Return all that decides which batches follow, apart from the generator, as values that JSON can hold."""
        return {}

    def restore(self, values: Mapping[str, Any]) -> None:
        """Go on from what `state` returned.

        Raises:
            InputError: it is the state of another stream.
        """
        if values:
            raise InputError(f"the samples of {self.task.label} have no place to go on from; got {', '.join(values)}")


def checked(batch: object, task: Task, point: Point) -> Batch:
    """Return what a task drew at a point.

    Raises:
        InputError: it is no batch of what the task says it reads and answers.
    """
    where = f"a batch of {task.label} at {dict(point.axes)}"
    if not isinstance(batch, Batch):
        raise InputError(f"{where} is a Batch of lengthwise.tasks.base, not {_described(batch)}")
    for name, array, space, least in (
        ("inputs", batch.inputs, task.inputs, 0),
        ("targets", batch.targets, task.outputs, IGNORE),
    ):
        if isinstance(space, Values):
            if array.ndim != 3 or array.shape[2] != space.size or array.dtype.kind != "f":
                raise InputError(f"{where} has {name} of floats [B, T, {space.size}], not {_described(array)}")
        elif array.ndim != 2 or array.dtype != np.int64:
            raise InputError(f"{where} has {name} of int64 [B, T], not {_described(array)}")
        elif array.size and (array.min() < least or array.max() >= space.size):
            raise InputError(f"{where} has {name} in {least}..{space.size - 1}, not in {array.min()}..{array.max()}")
    longest = batch.inputs.shape[1]
    if not ((batch.lengths > 0) & (batch.lengths <= longest)).all():
        low, high = int(batch.lengths.min()), int(batch.lengths.max())
        raise InputError(f"{where} has rows of 1 to {longest} positions, not of {low} to {high}")
    return batch


def _described(thing: object) -> str:
    return f"{thing.dtype} {list(thing.shape)}" if isinstance(thing, np.ndarray) else f"a {type(thing).__name__}"


def side_by_side(rows: Sequence[NDArray[Any]], fill: float = 0) -> NDArray[Any]:
    """Return rows of different lengths as one array, filled on the right to the longest."""
    longest = max(len(row) for row in rows)
    stacked = np.full((len(rows), longest, *rows[0].shape[1:]), fill, dtype=rows[0].dtype)
    for place, row in enumerate(rows):
        stacked[place, : len(row)] = row
    return stacked
