"""Language modelling: the next symbol of a text is asked after every symbol.

Shape letters: B rows, T positions, S = T + 1 symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from lengthwise.spaces import Tokens
from lengthwise.tasks.base import EVERYWHERE, Batch, Ints, Point, Stage, Stream, Task
from lengthwise.tasks.corpus import Corpus, TextConfig
from lengthwise.tasks.windows import AlignedWindows, RandomWindows


class LanguageModelling(Task):
    """Text, a window at a time; measured on held-out documents far beyond the window."""

    name: Literal["language_modelling"] = "language_modelling"
    metrics: ClassVar[tuple[str, ...]] = ("cross_entropy",)
    diagnostics: ClassVar[tuple[str, ...]] = ("perplexity", "remembrance", "state_statistics")
    told: ClassVar[str] = EVERYWHERE

    text: TextConfig = TextConfig()
    """Which text, and how it becomes symbols."""
    context: int = Field(default=64, ge=1)
    """T, the symbols that a window predicts: the training context."""

    @property
    def corpus(self) -> Corpus:
        """The text as symbols; each one is read once a process."""
        return Corpus.load(self.text)

    @property
    def inputs(self) -> Tokens:
        """The symbols."""
        return Tokens(self.corpus.vocabulary)

    @property
    def outputs(self) -> Tokens:
        """The symbols."""
        return self.inputs

    @property
    def data(self) -> str:
        """The source, and the fingerprint of its symbols."""
        return f"{getattr(self.text.source, 'name', 'text')} {self.corpus.fingerprint}"

    @property
    def symbol_bytes(self) -> float:
        """The bytes of the held-out text over its symbols."""
        return self.corpus.symbol_bytes

    def identity(self) -> str:
        """Return the fingerprint of the text."""
        return self.corpus.fingerprint

    def paths(self) -> tuple[str, ...]:
        """Return the source of the text and the file of the tokenizer."""
        return ("text.source", "text.tokenizer")

    def notes(self) -> list[str]:
        """Say what was decided about the source."""
        return self.text.source.notes()

    def points(self, stage: Stage) -> Sequence[Point]:
        """Return the one length of a window."""
        return [Point({"length": self.context})]

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        """Draw windows of the training text."""
        return RandomWindows(self.corpus, "train", point.length or self.context, rows).next_batch(rng)

    def stream(self, rows: int, *, aligned: bool = False, loose: int = 0) -> Stream:
        """Return windows that begin anywhere, or of which each goes on where that of the batch before ended."""
        if aligned:
            return AlignedWindows(self.corpus, "train", self.context, rows, loose=loose)
        return RandomWindows(self.corpus, "train", self.context, rows)

    def draw_filler(self, rng: np.random.Generator, rows: int, length: int) -> Ints:
        """Draw stretches of the training text, none of which is asked about later."""
        return RandomWindows(self.corpus, "train", length, rows).next_batch(rng).inputs

    def held_out(self, rows: int, length: int) -> Ints:
        """Return stretches that are spread evenly over the held-out text."""
        return self.corpus.rows("validation", rows, length)
