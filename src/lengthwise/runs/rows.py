"""Rows: one measured number each, and the head that says what all rows of a run share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from lengthwise.errors import InputError
from lengthwise.evaluation.rows import Row
from lengthwise.files import read_text
from lengthwise.settings import SEED, Recorded

Count = Annotated[int, Field(ge=0, le=SEED)]


class Head(Recorded):
    """What all rows of a run share; the digest of its recipe and the seed are the key of the run.

    A field that is added here is a column of every table, without a change elsewhere.
    """

    recipe: str
    """The name of the recipe."""
    digest: str
    """Hash of all in the recipe that decides the numbers, and of what its names stand for."""
    seed: Count
    """Of the initial parameters and of the data."""
    trained_on: str
    """The task that was trained on."""
    task_version: Count = 1
    data: str = ""
    """The source of a data set and the fingerprint of what was read; empty where samples are made."""
    model: str
    """The model, or its mixer where it has one."""
    intervention: str = "zero"
    """Which state a training sequence started from."""
    labels: str = ""
    """How many labels a training sequence came with, in words."""
    chosen: str = ""
    """Which sequences were trained on, in words: as those that are measured, or chosen otherwise."""
    training_length: int | None = Field(default=None, ge=0, le=SEED)
    """The longest sequence that was trained on."""
    step: Count
    """Optimiser steps that were taken."""
    sequences: Count
    """Sequences seen in training, those of the run it started from not counted."""
    parameters: int | None = Field(default=None, ge=0, le=SEED)
    """Trained numbers of the model; None where they are not known."""
    state_size: int | None = Field(default=None, ge=0, le=SEED)
    """Values that the model carries after a sequence of the training length, positions not counted."""
    guessing: float | None = None
    """Loss of guessing each measured symbol by its frequency, in nats: what a language model has to be better than."""
    symbol_bytes: float | None = None
    """Bytes of text that a symbol stands for, in the mean; None where symbols are no text."""
    commit: str | None = None
    """Of the source that measured, when its repository is known."""


RESERVED = {*Row.model_fields, *Head.model_fields}
"""Names that no axis can have."""

_FORMAT: Literal["lengthwise-evaluation-2"] = "lengthwise-evaluation-2"


def dump_evaluation(head: Head, rows: Iterable[Row]) -> bytes:
    """Return the file of an evaluation: the head on the first line, then a row a line.

    Raises:
        InputError: an axis is called like a column that every table has.
    """
    rows = list(rows)
    refuse_reserved(axis for row in rows for axis in row.axes)
    first = json.dumps({"format": _FORMAT, **head.model_dump()})
    return "".join(f"{line}\n" for line in (first, *(row.model_dump_json() for row in rows))).encode()


def refuse_reserved(axes: Iterable[str]) -> None:
    """Refuse axes that are called like a column that every table has."""
    if taken := sorted(RESERVED & set(axes)):
        raise InputError(f"an axis cannot be called {taken[0]!r}: every table has a column of that name")


def read_head(path: Path) -> Head:
    """Return the head of an evaluation.

    Raises:
        InputError: the file is missing or not an evaluation.
    """
    return _head(path, _lines(path)[0])


def read_evaluation(path: Path) -> tuple[Head, list[Row]]:
    """Return the head and the rows of an evaluation.

    Raises:
        InputError: the file is missing or not an evaluation; the message names the line.
    """
    first, *lines = _lines(path)
    return _head(path, first), [_row(path, number, line) for number, line in enumerate(lines, start=2)]


def _lines(path: Path) -> list[str]:
    return read_text(path, "evaluation").splitlines() or [""]


def _head(path: Path, line: str) -> Head:
    try:
        values = json.loads(line)
        if not isinstance(values, dict) or values.pop("format", None) != _FORMAT:
            raise InputError(f"{path} is not an evaluation of this version; 'lengthwise evaluate --again' makes one")
        return Head.model_validate(values)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}, line 1: not the head of an evaluation: {error}") from error


def _row(path: Path, number: int, line: str) -> Row:
    try:
        return Row.model_validate(json.loads(line))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}, line {number}: not a row of an evaluation: {error}") from error
