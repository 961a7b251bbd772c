"""The certificate of a trained model: what is claimed, and all that is needed to check it again without the model.

Reading and checking certificates imports no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import safetensors
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from lengthwise.certificates.equivalence import Counterexample, Equal, Number
from lengthwise.certificates.table import MultiplicationTable
from lengthwise.errors import InputError
from lengthwise.files import read_bytes
from lengthwise.settings import Recorded
from lengthwise.tasks.regular.automaton import Automaton

FILE_NAME = "certificate.json"
"""Where the certificate of a run lies, in the run's folder."""

Verdict = Literal["every_length", "up_to_length", "wrong", "not_proved"]
"""``every_length``: right on all strings. ``up_to_length``: right on all strings of at most `Certificate.length`
symbols. ``wrong``: wrong on the counterexample. ``not_proved``: neither was shown."""

Method = Literal["rounded", "snapped", "raw", "black_box"]
"""What the verdict is about. ``raw``: the network as it is. ``rounded``: the network with its row-stochastic leaves
rounded to one-hot rows. ``snapped``: the network with each node replaced by the vector of its element. ``black_box``:
an automaton learned from queries; never a proof for the network."""


class AutomatonTable(Recorded):
    """An automaton as plain numbers."""

    transitions: list[list[Number]]
    """For each state the next state by symbol."""
    start: Number
    outputs: list[Number]
    """The class of each state; -1 outside the domain."""

    @classmethod
    def of(cls, automaton: Automaton) -> Self:
        """Return the table of an automaton."""
        return cls(
            transitions=automaton.transitions_SA.tolist(), start=automaton.start, outputs=automaton.outputs_S.tolist()
        )

    def automaton(self) -> Automaton:
        """Return the automaton of the table."""
        if len({len(row) for row in self.transitions}) != 1:
            raise InputError("transitions must be a table of states by symbols; its rows differ in length")
        return Automaton(np.array(self.transitions), self.start, np.array(self.outputs))


class AlgebraTable(Recorded):
    """A finite algebra: a multiplication table with a class for each element."""

    product: list[list[Number]]
    """Row times column."""
    leaves: list[Number]
    """The element of each symbol."""
    outputs: list[Number]
    """The class of each element."""

    @classmethod
    def of(cls, table: MultiplicationTable) -> Self:
        """Return the numbers of a table."""
        return cls(product=table.products_EE.tolist(), leaves=table.leaves_V.tolist(), outputs=table.classes_E.tolist())

    def table(self) -> MultiplicationTable:
        """Return the table, without strings for its elements."""
        if any(len(row) != len(self.product) for row in self.product):
            raise InputError("a multiplication table must be square; its rows differ in length from its columns")
        size = len(self.outputs)
        product = np.array(self.product, dtype=np.int64)
        leaves, outputs = np.array(self.leaves, dtype=np.int64), np.array(self.outputs, dtype=np.int64)
        return MultiplicationTable(product, leaves, outputs, ((),) * size)


class Training(Recorded):
    """Where a network comes from."""

    recipe: str
    digest: str
    """Hash of the recipe; with the seed it is the key of the run."""
    seed: int
    step: int
    sequences: int
    """Strings seen in training."""
    seconds: float
    """Of processor time."""
    longest: int
    """The longest string that was trained on."""


class Certificate(Recorded):
    """A statement about a trained model, and its proof."""

    schema_version: Literal[1] = 1
    verdict: Verdict
    method: Method
    statement: str
    """The verdict in words."""
    length: int | None = None
    """N, of ``up_to_length``."""
    operator: str
    """The operator, or the model where it has none."""
    task: str
    task_version: int
    extracted: AutomatonTable | None = None
    """The automaton as it was read off the network; None where that failed."""
    minimal: AutomatonTable | None = None
    """The same on the task's domain, minimal; None where it is wrong."""
    task_automaton: AutomatonTable
    """The minimal automaton of the task."""
    isomorphism: list[int] | None = None
    """For each state of `minimal` the state of `task_automaton` that it is."""
    monoid: int | None = None
    """The number of elements of the transition monoid of `extracted`, or of the algebra."""
    algebra: AlgebraTable | None = None
    """The multiplication table, where one was extracted."""
    margins: dict[str, float] = Field(default_factory=dict)
    """The numbers that the bound rests on; the documentation defines each."""
    counterexample: Counterexample | None = None
    weights: str
    """SHA-256 of the model's tensors; see `hash_weights`."""
    training: Training
    seconds: float
    """The time that certification took."""
    versions: dict[str, str]
    seal: str = ""
    """SHA-256 of everything above: finds changes made by accident. What is claimed is checked again by itself."""

    def sealed(self) -> Certificate:
        """Return the same certificate with its seal."""
        return self.model_copy(update={"seal": self.expected_seal()})

    def expected_seal(self) -> str:
        """Return the seal that the contents ask for."""
        contents = self.model_dump(mode="json", exclude={"seal"})
        return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        """Return the file's text, sealed."""
        return self.sealed().model_dump_json(indent=1) + "\n"


@dataclass(frozen=True)
class Finding:
    """What a method of certification found out about a model; with its provenance it becomes a `Certificate`.

    Args:
        verdict: see `Verdict`.
        method: see `Method`.
        statement: the verdict in words.
        extracted: the automaton as it was read off the model.
        comparison: with the task's automaton; None where nothing was extracted.
        length: N, of ``up_to_length``.
        monoid: the number of elements of the transition monoid, or of the algebra.
        algebra: the multiplication table, where one was extracted.
        margins: the numbers that the bound rests on.
        counterexample: a string on which the model is wrong, where it is not the one of the comparison.
    """

    verdict: Verdict
    method: Method
    statement: str
    extracted: Automaton | None = None
    comparison: Equal | Counterexample | None = None
    length: int | None = None
    monoid: int | None = None
    algebra: AlgebraTable | None = None
    margins: dict[str, float] = field(default_factory=dict[str, float])
    counterexample: Counterexample | None = None

    def example(self) -> Counterexample | None:
        """Return the string on which the model is wrong, with the states of the automaton; None if there is none."""
        example, found = self.counterexample, self.comparison
        if example is None and isinstance(found, Counterexample):
            return found
        if example is None or example.states or self.extracted is None:
            return example
        traced = self.extracted.trace(np.array([example.symbols]))[0]
        return example.model_copy(update={"states": [self.extracted.start, *traced.tolist()]})


def read_certificate(path: Path) -> Certificate:
    """Read a certificate; `lengthwise.certificates.verification` checks it.

    Raises:
        InputError: the file is missing or is not a certificate; the message says what is wrong in it.
    """
    try:
        return Certificate.model_validate_json(read_bytes(path, "certificate"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"{path} is not a certificate: {where}: {first['msg']}") from error


_LARGEST = 2**36
"""Bytes of a checkpoint."""


def read_weights(path: Path) -> dict[str, Mapping[str, Any]]:
    """Return the raw tensors of a checkpoint's model by name, each with ``dtype``, ``shape`` and ``data`` (bytes).

    Args:
        path: a safetensors file; where names begin with ``model.``, only those are of the model.

    Raises:
        InputError: the file is missing or not a safetensors file.
    """
    try:
        tensors = dict(safetensors.deserialize(read_bytes(path, "checkpoint", most=_LARGEST)))
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file: {error}") from error
    own = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
    return own or tensors


_TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BOOL": np.bool_, "I64": np.int64}


def arrays(tensors: Mapping[str, Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """Return the tensors of `read_weights` as arrays."""
    for name, tensor in tensors.items():
        if tensor["dtype"] not in _TYPES:
            raise InputError(f"tensor {name!r} is of type {tensor['dtype']}; known: {', '.join(_TYPES)}")
    return {
        name: np.frombuffer(tensor["data"], _TYPES[tensor["dtype"]]).reshape(tensor["shape"])
        for name, tensor in tensors.items()
    }


def hash_weights(path: Path) -> str:
    """Return the SHA-256 of the model's tensors in a checkpoint: names, types, shapes and bits.

    The optimiser's moments and the counters beside them do not enter. Arguments and errors as in `read_weights`.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(read_weights(path).items()):
        digest.update(f"{name} {tensor['dtype']} {list(tensor['shape'])}\n".encode())
        digest.update(tensor["data"])
    return digest.hexdigest()
