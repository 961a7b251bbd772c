"""Accuracy by length, on fresh strings.

Shape letters: B batch rows, T tokens, N lengths, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from lengthwise.errors import InputError
from lengthwise.evaluation.intervals import wilson_interval
from lengthwise.models.base import StringModel
from lengthwise.tasks.base import UNLABELLED, Ints
from lengthwise.tasks.language import Language

ELEMENTS = 16_000_000
"""Values held at a time: bounds the memory of an evaluation at about ten times as many bytes."""


class EvaluationConfig(BaseModel):
    """Which lengths are evaluated, and on how many strings."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    longest: int = Field(default=500, ge=0)
    """Every length from 1 to this one is evaluated."""
    samples: int = Field(default=512, ge=1)
    """Strings a length."""
    long_lengths: tuple[int, ...] = (1_000, 10_000, 100_000)
    """Lengths evaluated one by one beyond."""
    long_samples: int = Field(default=512, ge=1)
    """Strings at each of those."""
    curve_every: int = Field(default=0, ge=0)
    """Steps between points of the curve of accuracy against strings seen; none by default. No choice rests on it."""
    curve_lengths: tuple[int, ...] = (40, 100, 200, 500)
    """Lengths of those points."""
    curve_samples: int = Field(default=128, ge=1)
    """Strings a length of those points."""
    near_misses: tuple[int, ...] = tuple(range(50, 501, 50))
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
        seed: of the strings; independent of any training seed.

    Yields:
        One result a length; lengths that the task does not have are left out.
    """
    rng = np.random.default_rng([seed, 0x1E57])
    model.eval()
    lengths = existing_lengths(task, range(1, config.longest + 1))
    if task.prefixes_are_fair:
        yield from _prefixes(model, task, rng, lengths, config.samples)
    else:
        for length in lengths:
            yield _strings(model, task, rng, length, config.samples, "standard")
    for length in existing_lengths(task, config.near_misses):
        if task.has_near_misses(length):
            yield _strings(model, task, rng, length, config.samples, "near_miss")
    for length in existing_lengths(task, config.long_lengths):
        yield _strings(model, task, rng, length, config.long_samples, "standard")


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
    return {length: _strings(model, task, rng, length, config.curve_samples, "standard").value for length in lengths}


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
    width = getattr(getattr(model, "config", None), "width", 64)
    rows = max(1, ELEMENTS // (width * 2 * max(lengths)))
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
    length: int,
    samples: int,
    distribution: str,
) -> LengthAccuracy:
    correct, done = 0, 0
    rows = max(1, min(samples, ELEMENTS // (2 * max(length, 1))))
    while done < samples:
        count = min(rows, samples - done)
        sampler = task.sample if distribution == "standard" else task.sample_near_miss
        batch = sampler(rng, count, length)
        predicted = model.string_logits(_to(model, batch.tokens)).argmax(-1).cpu().numpy()
        correct += int((predicted == batch.targets).sum())
        done += count
    return LengthAccuracy(distribution, length, correct, samples)


def _to(model: StringModel, tokens: Ints) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(tokens)).to(next(model.parameters()).device)
