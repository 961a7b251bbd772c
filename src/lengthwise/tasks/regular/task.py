"""Regular languages as tasks: a string is read, and its class is asked at its end.

Shape letters: B rows, T positions.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, Field

from lengthwise.errors import InputError, as_value_error
from lengthwise.spaces import Tokens
from lengthwise.tasks import LANGUAGES, get_language
from lengthwise.tasks.base import IGNORE, Batch, Point, Stage, Task
from lengthwise.tasks.lengths import RegularTestLengths, TrainLengths
from lengthwise.tasks.regular.automaton import Automaton
from lengthwise.tasks.regular.language import Language


def _known(name: str) -> str:
    with as_value_error():
        get_language(name)
    return name


Part = Literal["standard", "uniform", "accepted", "near_miss", "hard", "runs", "walk"]
_CHOSEN: dict[Part, str] = {
    "standard": "as measured",
    "near_miss": "near misses",
    "hard": "hard ones",
    "runs": "long runs",
    "walk": "walks",
    "accepted": "accepted ones",
    "uniform": "uniform ones",
}
Weight = Annotated[float, Field(ge=0)]


def _some(mixture: dict[Part, float]) -> dict[Part, float]:
    if not 0 < sum(mixture.values()) < math.inf:
        raise ValueError(f"a mixture needs a part with a weight above 0, such as standard: 1, not {mixture}")
    return mixture


class Regular(Task):
    """A regular language: strings of symbols with one class each."""

    name: Literal["regular"] = "regular"
    version: ClassVar[int] = Language.version
    language: Annotated[str, AfterValidator(_known)]
    """The name of a language, ``regex:PATTERN``, ``group:NAME`` or ``dfa:PATH``."""
    mixture: Annotated[dict[Part, Weight], AfterValidator(_some)] = Field(default={"standard": 1.0})
    """Share of each kind of string in a batch of training."""
    train: TrainLengths = TrainLengths()
    """Which lengths are trained on."""
    test: RegularTestLengths = Field(default=RegularTestLengths())
    """Which lengths are measured."""

    @cached_property
    def definition(self) -> Language:
        """The language: rule, automaton and samplers."""
        return get_language(self.language)

    @property
    def automaton(self) -> Automaton:
        """What decides the class."""
        return self.definition.automaton

    @property
    def inputs(self) -> Tokens:
        """The symbols."""
        return Tokens(self.definition.vocabulary)

    @property
    def outputs(self) -> Tokens:
        """The classes."""
        return Tokens(self.definition.classes)

    @property
    def label(self) -> str:
        """The name of the language."""
        return self.language

    @property
    def chosen(self) -> str:
        """The parts of the mixture, in words."""
        return ", ".join(words for part, words in _CHOSEN.items() if self.mixture.get(part))

    def identity(self) -> str:
        """Return a hash of the automaton where the language is neither built in nor given in full by its name."""
        if self.language.startswith(("regex:", "group:")):
            return ""
        if self.language in LANGUAGES:
            return LANGUAGES.origin(self.language) or ""
        minimal = self.automaton.minimal()
        content = (minimal.transitions_SA.tolist(), minimal.start, minimal.outputs_S.tolist())
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

    def paths(self) -> tuple[str, ...]:
        """Return the language where it is a file."""
        return ("language",) if self.language.startswith(("dfa:", "dfa+sink:")) else ()

    def points(self, stage: Stage) -> Sequence[Point]:
        """Return a point a length: of training each asked length, by the nearest that exists."""
        test = self.test
        if stage == "train":
            return [Point({"length": self.definition.nearest_length(length)}) for length in self.train.lengths]
        if stage == "curve":
            return self._standard(test.curve_lengths, test.curve_samples)
        near = [n for n in self._existing(test.near_misses) if self.definition.has_near_misses(n)]
        return [
            *self._standard(test.grid, test.samples),
            *(Point({"length": length, "distribution": "near_miss"}, test.samples) for length in near),
            *self._standard(test.long_lengths, test.long_samples),
        ]

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        """Draw strings: standard ones or near misses, or the mixture of training where the point does not say."""
        if (length := point.length) is None:
            raise InputError(f"a string of {self.language} has a length; the point says {dict(point.axes)}")
        match point.axes.get("distribution"):
            case None:
                strings = self.definition.sample_training(rng, rows, length, {**self.mixture})
            case "standard":
                strings = self.definition.sample(rng, rows, length)
            case "near_miss":
                strings = self.definition.sample_near_miss(rng, rows, length)
            case other:
                raise InputError(f"{self.language} has no distribution {other!r}; there are standard and near_miss")
        return Batch.classified(strings.tokens, strings.targets)

    def label_prefixes(self, batch: Batch) -> Batch:
        """Return the strings with the class of every prefix that has one."""
        return Batch(batch.inputs, self.automaton.label_prefixes(batch.inputs), batch.lengths, batch.fresh)

    def shares_prefixes(self, point: Point) -> bool:
        """Return whether every prefix of a standard string is a standard string: of the lengths on the grid."""
        standard = point.axes.get("distribution") == "standard" and point.samples == self.test.samples
        shared = standard and self.definition.prefixes_are_fair and not self.test.pairs
        return shared and (point.length or 0) <= self.test.longest

    def notes(self) -> list[str]:
        """Return a sentence for lengths that others take the place of, and for each part of the mixture at some."""
        task = self.definition
        read = [task.nearest_length(length) for length in self.train.lengths]
        sentences = list[str]()
        if len(answers := set(self.automaton.outputs_S.tolist()) - {IGNORE}) == 1:
            sentences.append(f"every string of {task.name} has class {answers.pop()}: there is nothing to tell apart")
        if missing := [length for length, nearest in zip(self.train.lengths, read, strict=True) if nearest != length]:
            sentences.append(
                f"{task.name} has no strings of length {_listed(missing)}: "
                "training reads strings that are one symbol shorter in their place"
            )
        parts: dict[Part, Callable[[int], bool]] = {"accepted": task.has_accepted, "near_miss": task.has_near_misses}
        for part, exists in parts.items():
            missing = [length for length in dict.fromkeys(read) if self.mixture.get(part) and not exists(length)]
            if missing:
                sentences.append(
                    f"{task.name} has no strings of the mixture's part {part!r} of length {_listed(missing)}: "
                    "training reads standard ones in their place"
                )
        return sentences

    def _standard(self, lengths: Iterable[int], samples: int) -> list[Point]:
        return [Point({"length": n, "distribution": "standard"}, samples) for n in self._existing(lengths)]

    def _existing(self, lengths: Iterable[int]) -> list[int]:
        """Return the lengths at which there are strings; others give way to the nearest that has, once."""
        found = dict[int, None]()
        for length in lengths:
            with suppress(InputError):
                found[self.definition.nearest_length(length)] = None
        return list(found)


def _listed(lengths: Sequence[int]) -> str:
    if len(lengths) <= 4:
        return ", ".join(map(str, lengths))
    return f"{', '.join(map(str, lengths[:3]))}, ..., {lengths[-1]} ({len(lengths)} lengths)"
