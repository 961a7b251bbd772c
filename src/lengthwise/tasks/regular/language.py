"""Regular languages: an automaton gives the labels, and the sampling follows from it.

Shape letters: B batch rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import ClassVar

import numpy as np

from lengthwise.errors import InputError
from lengthwise.registry import nearest_name
from lengthwise.tasks.base import IGNORE, Bools, Ints
from lengthwise.tasks.regular import near_misses
from lengthwise.tasks.regular.automaton import Automaton, Strings
from lengthwise.tasks.regular.runs import RunSampler, redraw_one
from lengthwise.tasks.regular.sampling import CountingSampler, count_classes, describe

ACCEPTED = 1
"""The class of the accepted strings of a language with two classes."""


class Sampling(StrEnum):
    """Which strings the standard distribution holds."""

    UNIFORM = "uniform"
    """All strings of the domain alike."""
    BALANCED = "balanced"
    """Half of the strings uniform among the accepted, half uniform among all."""


@dataclass(frozen=True)
class Example:
    """A worked example of a rule.

    Args:
        tokens: the string.
        label: its class.
    """

    tokens: tuple[int, ...]
    label: int


class Language:
    """A regular language, sampled and labelled exactly at every length.

    Args:
        name: as messages and result rows say it.
        rule: what decides the class, in words.
        examples: worked examples.
        automaton: gives every string its class.
        sampling: the standard distribution. `Sampling.BALANCED` needs two classes; with more of them, and at
            lengths without accepted strings, all strings are uniform.
        draw: makes [B, T] uniform strings of the domain from a generator, B and T; by counting when absent.
    """

    version: ClassVar[int] = 1
    """Raised whenever the same seed gives other samples or labels."""

    def __init__(
        self,
        name: str,
        rule: str,
        examples: tuple[Example, ...],
        automaton: Automaton,
        sampling: Sampling,
        draw: Callable[[np.random.Generator, int, int], Ints] | None = None,
    ) -> None:
        self.name = name
        self.rule = rule
        self.examples = examples
        self.automaton = automaton
        self.sampling = sampling
        self.vocabulary = automaton.vocabulary
        self.classes = automaton.classes
        self.prefixes_are_fair = sampling is Sampling.UNIFORM
        self._draw = draw
        self._samplers: dict[int | None, CountingSampler] = {}
        self._horizon = near_misses.horizon(automaton)
        self._probed: dict[int, bool] = {}

    def __repr__(self) -> str:
        return f"Language({self.name!r})"

    def label(self, tokens_BT: Ints) -> Ints:
        """Return the class of each string; see `Automaton.label`."""
        return self.automaton.label(tokens_BT)

    def nearest_length(self, length: int) -> int:
        """Return the length itself where the domain has strings of it, otherwise the one below.

        Raises:
            InputError: neither length has strings.
        """
        if length < 1:
            raise InputError(f"{self.name} has strings of 1 symbol or more, not of {length}")
        domain = self._domain()
        for candidate in (length, length - 1):
            if candidate and domain.exists(candidate):
                return candidate
        raise InputError(
            f"no string of length {length} has a class in {self.name}; {describe(domain.nearest_lengths(length))}"
        )

    def sample(self, rng: np.random.Generator, batch_size: int, length: int) -> Strings:
        """Draw strings of one length from the standard distribution; see `Sampling`."""
        length = self.nearest_length(length)
        if not self.has_accepted(length) or self.sampling is Sampling.UNIFORM:
            return self.sample_uniform(rng, batch_size, length)
        accepted = (batch_size + int(rng.integers(2))) // 2
        parts = [
            self.sample_class(rng, accepted, length, ACCEPTED),
            self.sample_uniform(rng, batch_size - accepted, length),
        ]
        return mix(rng, parts)

    def sample_uniform(self, rng: np.random.Generator, batch_size: int, length: int) -> Strings:
        """Draw uniformly among all strings of the domain; arguments and errors as in `sample`."""
        length = self.nearest_length(length)
        if self._draw:
            tokens = self._draw(rng, batch_size, length)
        elif (self.automaton.outputs_S != IGNORE).all():
            tokens = rng.integers(self.vocabulary, size=(batch_size, length))
        else:
            tokens = self._domain().sample(rng, batch_size, length)
        return Strings(tokens, self.label(tokens))

    def sample_class(self, rng: np.random.Generator, batch_size: int, length: int, label: int) -> Strings:
        """Draw uniformly among the strings of one length and class.

        Args:
            rng: the only source of randomness.
            batch_size: number of strings.
            length: number of symbols, exactly.
            label: the class.

        Returns:
            The strings with their class.

        Raises:
            InputError: there is no such class, or no string of this length has it.
        """
        if not 0 <= label < self.classes:
            raise InputError(f"{self.name} has the classes 0 to {self.classes - 1}, not {label}")
        sampler = self._sampler(label)
        if length < 1 or not sampler.exists(length):
            raise InputError(
                f"no string of length {length} in {self.name} has class {label}; "
                f"{describe(sampler.nearest_lengths(length))}"
            )
        return Strings(sampler.sample(rng, batch_size, length), np.full(batch_size, label, dtype=np.int64))

    def class_counts(self, length: int) -> list[int]:
        """Return how many strings of a length have each class, exactly; see `count_classes`."""
        return count_classes(self.automaton, length)

    def has_accepted(self, length: int) -> bool:
        """Return whether strings of exactly this length are accepted; never where there are more classes than two."""
        return self.classes == 2 and self._sampler(ACCEPTED).exists(length)

    def nothing_accepted(self, length: int) -> str | None:
        """Return a sentence where a language of two classes accepts no string of a length: the nearest that it does.

        Args:
            length: number of symbols, exactly.
        """
        if self.classes != 2 or self.has_accepted(length):
            return None
        nearest = describe(self._sampler(ACCEPTED).nearest_lengths(length))
        return f"{self.name} has no accepted string of length {length}; {nearest}"

    def sample_near_miss(self, rng: np.random.Generator, batch_size: int, length: int) -> Strings:
        """Draw strings that one or two edits took into another class.

        With two classes the edited strings are uniform among the accepted ones, so that near misses are
        rejected strings; with more classes they are uniform in the domain. An edit replaces one symbol or
        exchanges two neighbours, among the symbols that can still decide the class.

        Args:
            rng: the only source of randomness.
            batch_size: number of strings.
            length: number of symbols; see `nearest_length`.

        Returns:
            The edited strings with their true classes.

        Raises:
            InputError: no near miss of this length turned up in up to 4,096 trials.
        """
        length = self.nearest_length(length)
        if not self.has_near_misses(length):
            raise InputError(f"no near miss of length {length} was found in {self.name}")
        return near_misses.collect(rng, self.automaton, self._near_miss_source(length), batch_size, self._horizon)

    def has_near_misses(self, length: int) -> bool:
        """Return whether near misses of a length turn up; see `sample_near_miss`.

        Args:
            length: number of symbols; see `nearest_length`.

        Raises:
            InputError: no string of the length exists.
        """
        length = self.nearest_length(length)
        if length not in self._probed:
            possible = self.classes != 2 or self.has_accepted(length)
            self._probed[length] = possible and near_misses.probe(
                self.automaton, self._near_miss_source(length), length, self._horizon
            )
        return self._probed[length]

    def sample_hard(self, rng: np.random.Generator, batch_size: int, length: int) -> Strings:
        """Draw the strings that are hardest to tell apart: near misses, unless a language knows better.

        Where a length has none, the standard distribution. Arguments and errors as in `sample`.
        """
        length = self.nearest_length(length)
        if self.has_near_misses(length):
            return self.sample_near_miss(rng, batch_size, length)
        return self.sample(rng, batch_size, length)

    def sample_runs(self, rng: np.random.Generator, batch_size: int, length: int) -> Strings:
        """Draw strings whose number of runs of equal symbols is uniform, every second one with a symbol redrawn.

        With two classes the strings are accepted ones before the redrawing; with more, any that have a class.

        Args:
            rng: the only source of randomness.
            batch_size: number of strings.
            length: number of symbols; see `nearest_length`.

        Returns:
            The strings with their true classes; those that the redrawing left without one are not redrawn.

        Raises:
            InputError: no such string of this length exists.
        """
        length = self.nearest_length(length)
        tokens_BT = self._run_sampler.sample(rng, batch_size, length)
        edited_BT = redraw_one(rng, tokens_BT, self.vocabulary)
        taken_B = (np.arange(batch_size) % 2 == 1) & (self.label(edited_BT) != IGNORE)
        tokens_BT[taken_B] = edited_BT[taken_B]
        return mix(rng, [Strings(tokens_BT, self.label(tokens_BT))])

    def sample_training(
        self, rng: np.random.Generator, batch_size: int, length: int, mixture: Mapping[str, float]
    ) -> Strings:
        """Draw a batch in which several distributions are mixed.

        Args:
            rng: the only source of randomness.
            batch_size: number of strings.
            length: number of symbols; see `nearest_length`.
            mixture: weights of ``standard``, ``uniform``, ``accepted``, ``near_miss``, ``hard`` and ``runs``;
                each string comes from a part with the probability of its share. A part that does not exist at
                the length is replaced by the standard one.

        Returns:
            The strings in random order.

        Raises:
            InputError: no string of the length exists, a part is unknown, or the weights are not a mixture.
        """
        length = self.nearest_length(length)
        parts = self._parts(length)
        for part in mixture:
            if part not in parts:
                raise InputError(f"unknown part of a mixture {part!r}; {nearest_name(part, list(parts))}")
        weights = np.array(list(mixture.values()), dtype=np.float64)
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
            raise InputError(f"a mixture needs weights of at least 0, not all 0; got {dict(mixture)}")
        counts = rng.multinomial(batch_size, weights / weights.sum())
        return mix(
            rng,
            [
                (parts[part] or self.sample)(rng, int(count), length)
                for part, count in zip(mixture, counts, strict=True)
                if count or len(mixture) == 1
            ],
        )

    def _parts(self, length: int) -> dict[str, Callable[[np.random.Generator, int, int], Strings] | None]:
        """Return the distributions that can be mixed, None for those without a string of the length."""

        def accepted(rng: np.random.Generator, batch_size: int, length: int) -> Strings:
            return self.sample_class(rng, batch_size, length, ACCEPTED)

        def runs(rng: np.random.Generator, batch_size: int, length: int) -> Strings:
            # The sampler is made on first use only: its tables are of no use to other mixtures.
            possible = self._run_sampler.possible(length)
            return (self.sample_runs if len(possible) else self.sample)(rng, batch_size, length)

        return {
            "standard": self.sample,
            "uniform": self.sample_uniform,
            "accepted": accepted if self.has_accepted(length) else None,
            "near_miss": self.sample_near_miss if self.has_near_misses(length) else None,
            "hard": self.sample_hard,
            "runs": runs,
        }

    @cached_property
    def _run_sampler(self) -> RunSampler:
        outputs_S = self.automaton.outputs_S
        return RunSampler(self.automaton, outputs_S == ACCEPTED if self.classes == 2 else outputs_S != IGNORE)

    def _near_miss_source(self, length: int) -> near_misses.Draw:
        if self.classes == 2:
            return lambda rng, rows: self.sample_class(rng, rows, length, ACCEPTED).tokens
        return lambda rng, rows: self.sample_uniform(rng, rows, length).tokens

    def _domain(self) -> CountingSampler:
        return self._sampler(None)

    def _sampler(self, label: int | None) -> CountingSampler:
        if label not in self._samplers:
            wanted: Bools = self.automaton.outputs_S != IGNORE if label is None else self.automaton.outputs_S == label
            self._samplers[label] = CountingSampler(self.automaton, wanted)
        return self._samplers[label]


def mix(rng: np.random.Generator, parts: list[Strings]) -> Strings:
    """Return the strings of several batches in random order."""
    targets = np.concatenate([part.targets for part in parts])
    order = rng.permutation(len(targets))
    # Each part goes straight to its places: joining them first would hold long strings three times.
    places = np.argsort(order)
    tokens = np.empty((len(targets), parts[0].tokens.shape[1]), dtype=np.int64)
    for part in parts:
        here, places = np.split(places, [len(part.targets)])
        tokens[here] = part.tokens
    return Strings(tokens, targets[order])
