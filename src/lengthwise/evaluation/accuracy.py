"""Accuracy by length, on fresh strings.

Shape letters: B batch rows, T tokens, N lengths, C classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lengthwise.errors import InputError
from lengthwise.evaluation.intervals import wilson_interval
from lengthwise.models.base import SequenceModel, StringModel
from lengthwise.state import Kind
from lengthwise.tasks.base import UNLABELLED, Batch, Ints
from lengthwise.tasks.language import Language

ELEMENTS = 16_000_000
"""Values held at a time: bounds the memory of an evaluation at about ten times as many bytes."""

ROWS = 1024
"""Strings of several lengths that are read in one pass, at most."""


def _odd(every: int) -> int:
    if every % 2 == 0:
        raise ValueError(f"{every} steps lead to odd lengths only; write {every - 1} or {every + 1}")
    return every


_Length = Annotated[int, Field(ge=1)]


class EvaluationConfig(BaseModel):
    """Which lengths are evaluated, and on how many strings."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    longest: int = Field(default=500, ge=0)
    """Every length from 1 to this one is evaluated, or a grid of them."""
    # Left out of resolved recipes where there is no grid: the digests of results that are older than it stay true.
    every: Annotated[int, AfterValidator(_odd)] = Field(default=1, ge=1, exclude_if=lambda every: every == 1)
    """Steps of that grid, from 1 on; odd, so that it has odd and even lengths alike."""
    samples: int = Field(default=512, ge=1)
    """Strings a length."""
    long_lengths: tuple[_Length, ...] = (1_000, 10_000, 100_000)
    """Lengths evaluated one by one beyond."""
    long_samples: int = Field(default=512, ge=1)
    """Strings at each of those."""
    curve_every: int = Field(default=0, ge=0)
    """Steps between points of the curve of accuracy against strings seen; none by default. No choice rests on it."""
    curve_lengths: tuple[_Length, ...] = (40, 100, 200, 500)
    """Lengths of those points."""
    curve_samples: int = Field(default=128, ge=1)
    """Strings a length of those points."""
    near_misses: tuple[_Length, ...] = tuple(range(50, 501, 50))
    """Lengths at which near misses alone are evaluated."""


class LengthAccuracy(NamedTuple):
    """Accuracy at one length."""

    distribution: str
    """``standard``, or ``near_miss``: strings one or two edits from another class."""
    length: int
    correct: int
    samples: int

    @property
    def value(self) -> float:
        """The fraction that is right."""
        return self.correct / self.samples

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Return the Wilson score interval of the accuracy.

        Args:
            z: quantile of the normal distribution; 1.96 for 95 %.
        """
        return wilson_interval(self.value, self.samples, z)


def evaluate_lengths(
    model: StringModel, task: Language, config: EvaluationConfig, seed: int
) -> Iterator[LengthAccuracy]:
    """Evaluate a model at every length the settings ask for, dropout off.

    Where every prefix of a fair string is a fair string, the lengths up to the longest are read off the prefixes of
    one set of strings; their results are then not independent of each other. Elsewhere each length
    has strings of its own.

    Args:
        model: the model, left in evaluation mode.
        task: where the strings come from.
        config: the lengths.
        seed: of the strings, which are the same for every model; independent of any training seed.

    Yields:
        One result a length; lengths that the task does not have are left out.
    """
    rng = np.random.default_rng([seed, 0x1E57])
    model.eval()
    lengths = existing_lengths(task, range(1, config.longest + 1, config.every))
    if task.prefixes_are_fair:
        yield from _prefixes(model, task, rng, lengths, config.samples)
    else:
        yield from _strings(model, task, rng, lengths, config.samples, "standard")
    near_misses = [n for n in existing_lengths(task, config.near_misses) if task.has_near_misses(n)]
    yield from _strings(model, task, rng, near_misses, config.samples, "near_miss")
    yield from _strings(model, task, rng, existing_lengths(task, config.long_lengths), config.long_samples, "standard")


def evaluate_point(model: StringModel, task: Language, config: EvaluationConfig, seed: int) -> dict[int, float]:
    """Return the accuracy at each length of the learning curve, dropout off, on strings of its own.

    Args:
        model: the model, left in evaluation mode.
        task: where the strings come from.
        config: the lengths and how many strings.
        seed: of the strings; the same strings for the same seed.
    """
    rng = np.random.default_rng([seed, 0xC02E])
    model.eval()
    lengths = existing_lengths(task, config.curve_lengths)
    return {row.length: row.value for row in _strings(model, task, rng, lengths, config.curve_samples, "standard")}


def existing_lengths(task: Language, lengths: Sequence[int]) -> list[int]:
    """Return the lengths at which the task has strings; others give way to the nearest that has, once."""
    found: list[int] = []
    for length in lengths:
        try:
            nearest = task.nearest_length(length)
        except InputError:
            continue
        if nearest not in found:
            found.append(nearest)
    return found


@torch.inference_mode()
def _prefixes(
    model: StringModel, task: Language, rng: np.random.Generator, lengths: list[int], samples: int
) -> Iterator[LengthAccuracy]:
    if not lengths:
        return
    batch = task.sample(rng, samples, max(lengths))
    labels_BN = task.automaton.label_prefixes(batch.tokens)[:, np.asarray(lengths) - 1]
    correct_N = np.zeros(len(lengths), dtype=np.int64)
    rows = max(1, ELEMENTS // (_width(model) * 2 * max(lengths)))
    for start in range(0, samples, rows):
        piece = slice(start, start + rows)
        logits_BNC = model.prefix_logits(_to(model, batch.tokens[piece]), lengths)
        correct_N += (logits_BNC.argmax(-1).cpu().numpy() == labels_BN[piece]).sum(0)
    for index, length in enumerate(lengths):
        if (labels_BN[:, index] == UNLABELLED).any():
            raise InputError(f"strings of length {length} of {task.name} are not all labelled")
        yield LengthAccuracy("standard", length, int(correct_N[index]), samples)


@torch.inference_mode()
def _strings(
    model: StringModel,
    task: Language,
    rng: np.random.Generator,
    lengths: Sequence[int],
    samples: int,
    distribution: str,
) -> Iterator[LengthAccuracy]:
    """Evaluate each length on strings of its own."""
    correct, done = Counter[int](), Counter[int]()
    for batches in _together(model, _drawn(task, rng, lengths, samples, distribution)):
        tokens_BT, lengths_B = _padded(batches)
        logits_BC = model.padded_logits(_to(model, tokens_BT), _to(model, lengths_B))
        right_B = logits_BC.argmax(-1).cpu().numpy() == np.concatenate([batch.targets for batch in batches])
        done.update(lengths_B.tolist())
        correct.update(lengths_B[right_B].tolist())
        for length in [length for length in done if done[length] == samples]:
            yield LengthAccuracy(distribution, length, correct[length], done.pop(length))


def _drawn(
    task: Language, rng: np.random.Generator, lengths: Sequence[int], samples: int, distribution: str
) -> Iterator[Batch]:
    """Draw the strings of each length, in batches that do not depend on the model."""
    sampler = task.sample if distribution == "standard" else task.sample_near_miss
    for length in lengths:
        rows = max(1, min(samples, ELEMENTS // (2 * max(length, 1))))
        for start in range(0, samples, rows):
            yield sampler(rng, min(rows, samples - start), length)


def _together(model: StringModel, batches: Iterable[Batch]) -> Iterator[list[Batch]]:
    """Cut batches to what a model can read at a time, and join them where it reads many lengths in one pass."""
    symbols = ELEMENTS // (2 if _forgets(model) else 2 * _width(model))
    most = ROWS if model.gives_every_prefix() else 0
    held = list[Batch]()
    for batch in batches:
        rows = max(1, min(most or symbols, symbols // batch.tokens.shape[1]))
        for start in range(0, len(batch.tokens), rows):
            piece = Batch(batch.tokens[start : start + rows], batch.targets[start : start + rows])
            count = sum(len(one.tokens) for one in [*held, piece])
            longest = max(one.tokens.shape[1] for one in [*held, piece])
            if held and (count > most or count * longest > symbols):
                yield held
                held = []
            held.append(piece)
    if held:
        yield held


def _padded(batches: Sequence[Batch]) -> tuple[Ints, Ints]:
    """Return the strings of several batches as [B, T] symbols, zeros to their right, and their lengths [B]."""
    lengths_B = np.concatenate([np.full(len(batch.tokens), batch.tokens.shape[1]) for batch in batches])
    longest = int(lengths_B.max())
    return np.concatenate([np.pad(b.tokens, ((0, 0), (0, longest - b.tokens.shape[1]))) for b in batches]), lengths_B


def _forgets(model: StringModel) -> bool:
    """Whether what a model holds does not grow with the length of what it read."""
    return isinstance(model, SequenceModel) and Kind.CACHE not in model.initial_state(1).kinds.values()


def _width(model: StringModel) -> int:
    """Return the values that a model holds of a symbol; a guess where its settings do not say."""
    return getattr(getattr(model, "config", None), "width", 64)


def _to(model: StringModel, array: Ints) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(next(model.parameters()).device)
