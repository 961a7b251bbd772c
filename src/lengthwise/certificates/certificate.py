"""The certificate of a trained model: what is claimed, and all that is needed to check it again without the model.

Reading and checking certificates imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
import safetensors
from numpy.typing import NDArray
from pydantic import (
    BeforeValidator,
    Field,
    FiniteFloat,
    InstanceOf,
    PlainSerializer,
    SerializationInfo,
    ValidationError,
    model_validator,
)

from lengthwise.certificates.finding import Finding, Method, Verdict
from lengthwise.certificates.packing import read_table, write_table
from lengthwise.certificates.product import Counterexample, Number
from lengthwise.certificates.pushdown import NestedFinding, NestedTask
from lengthwise.certificates.table import MultiplicationTable
from lengthwise.errors import InputError, as_value_error
from lengthwise.files import parse_json, read_bytes
from lengthwise.settings import Recorded
from lengthwise.tasks.base import Ints
from lengthwise.tasks.regular.automaton import Automaton

MadeT = TypeVar("MadeT")

FILE_NAME = "certificate.json"
"""Where the certificate of a run lies, in the run's folder."""

MOST_BYTES = 2**27
"""Of a file that is read."""


def _write(table: Ints, info: SerializationInfo) -> Any:
    return (info.context or _PACKED)["tables"](table)


def _hash(table: Ints) -> list[Any]:
    return [*table.shape, hashlib.sha256(table.astype("<i8").tobytes()).hexdigest()]


_PACKED, _LISTS, _HASHES = ({"tables": form} for form in (write_table, np.ndarray.tolist, _hash))
"""How tables are written: into a file, and into the seals of versions 1 and 2."""
Table = Annotated[InstanceOf[np.ndarray], BeforeValidator(read_table), PlainSerializer(_write)]


class _Automaton(Recorded):
    """An automaton as a file holds it."""

    transitions: Table
    """For each state the next state by symbol."""
    start: Number
    outputs: Table
    """The class of each state; -1 outside the domain."""


class _Algebra(Recorded):
    """A multiplication table as a file holds it."""

    product: Table
    """Row times column."""
    leaves: Table
    """The element of each symbol."""
    outputs: Table
    """The class of each element."""


def _read_automaton(value: object) -> Automaton:
    return value if isinstance(value, Automaton) else _made(Automaton, _Automaton.model_validate(value))


def _read_algebra(value: object) -> MultiplicationTable:
    made = isinstance(value, MultiplicationTable)
    return value if made else _made(MultiplicationTable, _Algebra.model_validate(value))


def _made(kind: Callable[..., MadeT], given: Recorded) -> MadeT:
    with as_value_error():
        return kind(*(getattr(given, name) for name in type(given).model_fields))


AutomatonTable = Annotated[
    InstanceOf[Automaton],
    BeforeValidator(_read_automaton),
    PlainSerializer(lambda one: _Automaton(transitions=one.transitions_SA, start=one.start, outputs=one.outputs_S)),
]
"""An automaton, which a file holds as numbers."""
AlgebraTable = Annotated[
    InstanceOf[MultiplicationTable],
    BeforeValidator(_read_algebra),
    PlainSerializer(lambda one: _Algebra(product=one.products_EE, leaves=one.leaves_V, outputs=one.classes_E)),
]
"""A multiplication table, which a file holds as numbers."""


class Training(Recorded):
    """Where a network comes from."""

    recipe: str
    digest: str
    """Hash of the recipe; with the seed it is the key of the run."""
    seed: int
    step: int
    sequences: int
    """Strings seen in training."""
    seconds: FiniteFloat
    """Of processor time."""
    longest: int
    """The longest string that was trained on."""


class Certificate(Recorded):
    """A statement about a trained model, and its proof."""

    schema_version: Literal[1, 2] = 2
    """Version 1 is read, and kept as it is: it knew no verdict about snapped units, and spelled out all tables."""
    verdict: Verdict
    method: Method
    statement: str
    """The verdict in words."""
    length: int | None = Field(default=None, ge=1)
    """N, of ``up_to_length``."""
    operator: str
    """The operator, or the model where it has none."""
    task: str
    task_version: int
    extracted: AutomatonTable | None = None
    """The automaton as it was read off the network; None where that failed, or where there is a table."""
    states: int | None = None
    """Of the automaton that was read off."""
    minimal: AutomatonTable | None = None
    """In version 1: the same on the task's domain, minimal."""
    task_automaton: AutomatonTable | None = None
    """The minimal automaton of the task, where it is a regular language."""
    nested: NestedTask | None = None
    """The task, where it is about a nested unit."""
    isomorphism: list[int] | None = None
    """In version 1: for each state of `minimal` the state of `task_automaton` that it is."""
    monoid: int | None = None
    """The number of elements of the transition monoid of what was read off, or of the algebra."""
    algebra: AlgebraTable | None = None
    """The multiplication table, where one was extracted."""
    margins: dict[str, FiniteFloat] = Field(default_factory=dict)
    """The numbers that the verdict rests on; the documentation defines each."""
    counterexample: Counterexample | None = None
    weights: str
    """SHA-256 of the model's tensors; see `hash_weights`."""
    training: Training
    seconds: FiniteFloat
    """The time that certification took."""
    versions: dict[str, str]
    seal: str = ""
    """SHA-256 of everything above: finds changes made by accident. What is claimed is checked again by itself."""

    @model_validator(mode="before")
    @classmethod
    def _from_version_1(cls, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("schema_version") != 1:
            return value
        snapped = (value.get("method"), value.get("verdict")) == ("snapped", "every_length")
        return value | ({"verdict": "every_length_snapped"} if snapped else {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and (self.expected_seal(), self.seal) == (
            other.expected_seal(),
            other.seal,
        )

    @model_validator(mode="after")
    def _about_one_task(self) -> Self:
        if (self.nested is None) != (self.task_automaton is not None):
            raise ValueError("it is about a bracketed task, or has the automaton of a regular language")
        if (self.method == "pushdown") != (self.nested is not None):
            raise ValueError("method 'pushdown' is about a bracketed task, and no other is")
        return self

    def finding(self) -> Finding | NestedFinding:
        """Return the evidence that it holds, from which verdict and statement have to follow."""
        return self.regular_finding() if self.nested is None else self.nested_finding()

    def regular_finding(self) -> Finding:
        """Return the evidence about a model of a regular language."""
        if self.task_automaton is None:
            raise InputError("it is about a nested unit, and no regular language")
        return Finding(
            self.method,
            self.task_automaton,
            None if self.algebra else self.extracted,
            self.algebra,
            self.length,
            self._numbers(),
            self.counterexample,
        )

    def nested_finding(self) -> NestedFinding:
        """Return the evidence about a nested unit."""
        if self.nested is None:
            raise InputError("it is about a regular language, and no nested unit")
        return NestedFinding(self.nested, self.algebra, self.margins, self.counterexample)

    def count_states(self) -> int | None:
        """Return the number of states of the automaton that was read off; None where there was none."""
        automaton = self.finding().automaton
        return self.states if automaton is None else automaton.states

    def has_proof(self) -> bool:
        """Return whether it holds what its verdict rests on; large tables were once left out of kept results."""
        return self.extracted is not None or self.algebra is not None or self.states is None

    def sealed(self) -> Certificate:
        """Return the same certificate with its seal."""
        return self.model_copy(update={"seal": self.expected_seal()})

    def expected_seal(self) -> str:
        """Return the seal that the contents ask for."""
        if self.schema_version == 1:
            contents = self.model_dump(mode="json", exclude={"seal", "states", "nested"}, context=_LISTS)
            contents["verdict"] = contents["verdict"].removesuffix("_snapped")
        else:
            contents = self.model_dump(mode="json", exclude={"seal"}, exclude_none=True, context=_HASHES)
        return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()

    def dump(self) -> dict[str, Any]:
        """Return the contents of a file, large tables packed."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_json(self) -> str:
        """Return the file's text, sealed."""
        return json.dumps(self.sealed().dump(), indent=1) + "\n"

    def _numbers(self) -> dict[str, float]:
        """Return the margins, with what version 1 said in its statement alone."""
        levels = re.search(r"certain after (\d+) levels$", self.statement) if self.schema_version == 1 else None
        return self.margins | ({"levels": float(levels[1])} if levels else {})


def read_certificate(path: Path) -> Certificate:
    """Read a certificate; `lengthwise.certificates.verification` checks it.

    Raises:
        InputError: the file is missing or is not a certificate; the message says what is wrong in it.
    """
    try:
        return Certificate.model_validate(parse_json(read_bytes(path, "certificate", most=MOST_BYTES)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"{path} is not a certificate: {where}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a certificate: it is not JSON ({error})") from error


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
