"""Regular languages: an automaton gives the labels, and the sampling follows from it.

Shape letters: B batch rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, partial
from typing import ClassVar

import numpy as np

from lengthwise.errors import InputError
from lengthwise.registry import nearest_name
from lengthwise.tasks.base import IGNORE, Bools, Ints
from lengthwise.tasks.regular.automaton import Automaton, Strings
from lengthwise.tasks.regular.near_misses import Draw, NearMisses
from lengthwise.tasks.regular.runs import RunSampler, redraw_one
from lengthwise.tasks.regular.sampling import CountingSampler

ACCEPTED = 1
"""The class of the accepted strings of a language with two classes."""


class Sampling(StrEnum):
    """Which strings the standard distribution holds."""

    UNIFORM = "uniform"
    """All strings of the domain alike."""
    BALANCED = "balanced"
    """Half of the strings uniform among the accepted, half uniform among all."""


@dataclass(eq=False, repr=False)
class Language:
    """A regular language, sampled and labelled exactly at every length.

    Args:
        name: as messages and result rows say it.
        rule: what decides the class, in words.
        examples: worked examples: a string, a letter a symbol, and its class.
        automaton: gives every string its class.
        sampling: the standard distribution. `Sampling.BALANCED` needs two classes; with more of them, and at
            lengths without accepted strings, all strings are uniform.
        draw: makes [B, T] uniform strings of the domain from a generator, B and T; by counting when absent.
        symbols: how people write the symbols; by their numbers when absent.
    """

    version: ClassVar[int] = 1
    """Raised whenever the same seed gives other samples or labels."""

    name: str
    rule: str
    examples: Mapping[str, int]
    automaton: Automaton
    sampling: Sampling
    draw: Draw | None = None
    symbols: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.symbols = self.symbols or tuple(str(symbol) for symbol in range(self.automaton.vocabulary))
        self.vocabulary = self.automaton.vocabulary
        self.classes = self.automaton.classes
        self.prefixes_are_fair = self.sampling is Sampling.UNIFORM
        self._samplers: dict[int | None, CountingSampler] = {}
        self._near_misses = NearMisses(self.automaton, self._draw_to_edit)

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
        domain = self._sampler(None)
        for candidate in (length, length - 1):
            if candidate and domain.exists(candidate):
                return candidate
        raise InputError(domain.missing(length))

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
        if self.draw:
            tokens = self.draw(rng, batch_size, length)
        elif (self.automaton.outputs_S != IGNORE).all():
            tokens = rng.integers(self.vocabulary, size=(batch_size, length))
        else:
            tokens = self._sampler(None).sample(rng, batch_size, length)
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
        tokens_BT = self._sampler(label).sample(rng, batch_size, length)
        return Strings(tokens_BT, np.full(batch_size, label, dtype=np.int64))

    def class_counts(self, length: int) -> list[int]:
        """Return how many strings of a length have each class, exactly; the work grows with the length's square."""
        counts_S = np.zeros(self.automaton.states, dtype=object)
        counts_S[self.automaton.start] = 1
        for _ in range(length):
            following_S = np.zeros(self.automaton.states, dtype=object)
            np.add.at(following_S, self.automaton.transitions_SA, counts_S[:, None])
            counts_S = following_S
        return [sum(counts_S[self._ends(label)]) for label in range(self.classes)]

    def classes_at(self, length: int) -> list[int]:
        """Return the classes that strings of exactly this length have: one where nothing can be told apart."""
        of_class_SK = self.automaton.outputs_S[:, None] == np.arange(self.classes)
        return np.flatnonzero(self.automaton.leads(of_class_SK, length)[self.automaton.start]).tolist()

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
        _, _, nearest = self._sampler(ACCEPTED).missing(length).partition("; ")
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
        return self._near_misses.sample(rng, batch_size, length)

    def has_near_misses(self, length: int) -> bool:
        """Return whether near misses of a length turn up; see `sample_near_miss`.

        Args:
            length: number of symbols; see `nearest_length`.

        Raises:
            InputError: no string of the length exists.
        """
        length = self.nearest_length(length)
        return (self.classes != 2 or self.has_accepted(length)) and self._near_misses.exist(length)

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
            mixture: weights of ``standard``, ``uniform``, ``accepted``, ``near_miss``, ``hard``, ``runs``, and of Dyck
                languages ``walk``; each string comes from a part with the probability of its share. A part that
                does not exist at the length is replaced by the standard one.

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

        def runs(rng: np.random.Generator, batch_size: int, length: int) -> Strings:
            # The sampler is made on first use only: its tables are of no use to other mixtures.
            possible = self._run_sampler.possible(length)
            return (self.sample_runs if len(possible) else self.sample)(rng, batch_size, length)

        return {
            "standard": self.sample,
            "uniform": self.sample_uniform,
            "accepted": partial(self.sample_class, label=ACCEPTED) if self.has_accepted(length) else None,
            "near_miss": self.sample_near_miss if self.has_near_misses(length) else None,
            "hard": self.sample_hard,
            "runs": runs,
        }

    @cached_property
    def _run_sampler(self) -> RunSampler:
        return RunSampler(self.automaton, self._ends(ACCEPTED if self.classes == 2 else None))

    def _draw_to_edit(self, rng: np.random.Generator, rows: int, length: int) -> Ints:
        accepted = self.classes == 2
        strings = self.sample_class(rng, rows, length, ACCEPTED) if accepted else self.sample_uniform(rng, rows, length)
        return strings.tokens

    def _sampler(self, label: int | None) -> CountingSampler:
        if label not in self._samplers:
            which = f"has a class in {self.name}" if label is None else f"in {self.name} has class {label}"
            self._samplers[label] = CountingSampler(self.automaton, self._ends(label), which)
        return self._samplers[label]

    def _ends(self, label: int | None) -> Bools:
        """Return [S] where the strings of a class end, or all strings that have one."""
        return self.automaton.outputs_S != IGNORE if label is None else self.automaton.outputs_S == label


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
