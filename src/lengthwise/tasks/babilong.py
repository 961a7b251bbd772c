"""BABILong-like stories: facts are scattered over a long text, and one question about them is asked at its end.

Shape letters: B rows, T positions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from lengthwise.errors import InputError
from lengthwise.files import read_text
from lengthwise.spaces import Tokens
from lengthwise.tasks.babi import QUESTIONS, WORDS, Story, draw_story, read_babi
from lengthwise.tasks.base import Batch, Ints, Point, Stage, Task
from lengthwise.tasks.filler import Filler, numbered
from lengthwise.tasks.lengths import Length, TrainLengths, points_by_length


class BabiLong(Task):
    """Facts such as ``mary went to the kitchen .`` among words of prose, and at the end ``where is mary ?``.

    The facts stand in their order at places drawn evenly, which may cut a sentence of the prose. The answer is one of
    the words that questions are ever answered with. In training the number of facts is drawn for each row.

    Two examples, with the answers hallway and garden:

        the sky is john went to the hallway . blue . here we go . where is john ?
        mary moved to the office . the grass mary went to the garden . is green . where is mary ?

    The stories are those of the first five bAbI tasks, simulated (`lengthwise.tasks.babi`), or of a published file.

    Source: Kuratov et al. 2024 (BABILong); Weston et al. 2015 (bAbI).
    """

    name: Literal["babilong"] = "babilong"
    version: ClassVar[int] = 2

    story: str = ""
    """A file of the bAbI tasks, of which the last fifth is kept for measurement; facts of our own by default."""
    filler: str = ""
    """A file of prose, or ``pydoc`` for that of Python's help, of which the last fifth is kept for measurement; a few
    sentences of our own by default."""
    question: Literal[1, 2, 3, 4, 5] = 1
    """The number of the bAbI task whose stories are simulated where there is no file; see `QUESTIONS`."""
    facts: int = Field(default=5, ge=1)
    """The most facts of a story in training."""
    train: TrainLengths = TrainLengths(minimum=40, maximum=64)
    """Positions that are trained on."""
    lengths: tuple[Length, ...] = (64, 256, 1024)
    """Positions that are measured, each with every number of facts."""
    test_facts: tuple[Annotated[int, Field(ge=1)], ...] = (2, 5)
    """Numbers of facts that are measured."""
    samples: int = Field(default=128, ge=1)
    """Rows a point."""

    @model_validator(mode="after")
    def _has_stories(self) -> Self:
        kind = QUESTIONS[self.question]
        for name, count in (("facts", self.facts), *(("test_facts", one) for one in self.test_facts)):
            if not self.story and not kind.fewest <= count <= kind.most:
                raise ValueError(
                    f"{name}: stories of question {self.question} have {kind.fewest} to {kind.most} facts, not {count}"
                )
        return self

    @cached_property
    def _prose(self) -> Filler:
        return Filler(self.filler)

    @cached_property
    def _text(self) -> str:
        return read_text(Path(self.story), "stories", given=True) if self.story else ""

    @cached_property
    def _stories(self) -> list[Story]:
        """Those of the file."""
        found = list(read_babi(self._text))
        if self.story and not found:
            raise InputError(f"{self.story} has no questions; lines of bAbI are 'ID fact' or 'ID question TAB answer'")
        return found

    @cached_property
    def answers(self) -> tuple[str, ...]:
        """The words that questions are answered with, by their class."""
        return tuple(sorted({story.answer for story in self._stories} or QUESTIONS[self.question].answers))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Word -> its symbol."""
        told: Sequence[str] = WORDS
        if self.story:
            told = [text for story in self._stories for text in (*story.facts, story.question)]
        return numbered([*self._prose.words, *sorted({word for text in told for word in text.split()})])

    @property
    def inputs(self) -> Tokens:
        """The words."""
        return Tokens(len(self._numbers))

    @property
    def outputs(self) -> Tokens:
        """The answers."""
        return Tokens(len(self.answers))

    def draw_filler(self, rng: np.random.Generator, rows: int, length: int) -> Ints:
        """Draw stretches of the prose."""
        return self._prose.cut(rng, rows, length, held_out=False)

    def identity(self) -> str:
        """Return a hash of the files."""
        content = f"{self._text} {self._prose.identity}".strip()
        return hashlib.sha256(content.encode()).hexdigest()[:16] if content else ""

    def paths(self) -> tuple[str, ...]:
        """Return the files."""
        return ("story", "filler")

    def points(self, stage: Stage) -> Sequence[Point]:
        """Return a point a length in training, and one for each length and number of facts in measurement."""
        return points_by_length(stage, self.train, self.lengths, self.samples, facts=self.test_facts)

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        """Draw stories, and the prose around their facts."""
        length, asked = point.length or 0, point.axes.get("facts")
        prose_BT = self._prose.cut(rng, rows, length, held_out=asked is not None)
        stories = [self._draw(rng, None if asked is None else int(asked)) for _ in range(rows)]
        words = [self._scatter(rng, prose_T, story) for prose_T, story in zip(prose_BT, stories, strict=True)]
        classes = [self.answers.index(story.answer) for story in stories]
        return Batch.classified(np.array(words, dtype=np.int64), np.array(classes, dtype=np.int64))

    def _scatter(self, rng: np.random.Generator, prose_T: Sequence[int], story: Story) -> list[int]:
        """Return the words of a story among so much prose that together they are as long as it was."""
        facts, question = [self._said(fact) for fact in story.facts], self._said(story.question)
        space = len(prose_T) - sum(map(len, facts)) - len(question)
        if space < 0:
            raise InputError(f"{len(facts)} facts and a question do not fit in {len(prose_T)} words")
        words, read = list[int](), 0
        for fact, place in zip(facts, sorted(rng.integers(space + 1, size=len(facts)).tolist()), strict=True):
            words += [*prose_T[read:place], *fact]
            read = place
        return [*words, *prose_T[read:space], *question]

    def _said(self, text: str) -> list[int]:
        return [self._numbers[word] for word in text.split()]

    def _draw(self, rng: np.random.Generator, facts: int | None) -> Story:
        """Return a story; in training, where the number of facts is not given, with any number of them."""
        if not self.story:
            fewest = QUESTIONS[self.question].fewest
            return draw_story(rng, self.question, int(rng.integers(fewest, self.facts + 1)) if facts is None else facts)
        kept = len(self._stories) - len(self._stories) // 5
        if facts is None:
            possible = [story for story in self._stories[:kept] if len(story.facts) <= self.facts]
        else:
            possible = [story for story in self._stories[kept:] if len(story.facts) == facts]
        if not possible:
            raise InputError(
                f"{self.story} has no story of {f'at most {self.facts}' if facts is None else facts} facts"
            )
        return possible[int(rng.integers(len(possible)))]
