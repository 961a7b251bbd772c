"""State: all that a sequence model carries from one token to the next.

Shape letters: B batch rows. Every entry has the batch as its first dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import torch
from torch import Tensor, nn

from lengthwise.errors import InputError
from lengthwise.files import MOST
from lengthwise.tensor_file import JSON, TensorFile, fingerprint

_FILE = TensorFile("state", "lengthwise-state-1")


class Kind(StrEnum):
    """Kinds of entries of a state; interventions touch the recurrent ones unless told otherwise."""

    RECURRENT = "recurrent"
    """The recurrence proper: matrices, hidden vectors, partial reductions."""
    CONV = "conv"
    """Conv state: the last few inputs that a convolution or a token shift still needs."""
    POSITION = "position"
    """How many tokens were read."""
    CACHE = "cache"
    """Keys and values of attention: grows with the length."""


@dataclass(frozen=True)
class State(Mapping[str, Tensor]):
    """Named tensors with their kinds; immutable, batch first.

    Args:
        tensors: name -> tensor with B rows.
        kinds: name -> kind; a name that is missing here is recurrent.
    """

    tensors: Mapping[str, Tensor]
    kinds: Mapping[str, Kind]

    def __init__(self, tensors: Mapping[str, Tensor], kinds: Mapping[str, Kind] | None = None) -> None:
        given = dict(kinds or {})
        unknown = sorted(set(given) - set(tensors))
        if unknown:
            raise InputError(f"kinds given for entries that the state does not have: {', '.join(unknown)}")
        object.__setattr__(self, "tensors", dict(tensors))
        object.__setattr__(self, "kinds", {name: given.get(name, Kind.RECURRENT) for name in tensors})

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    @property
    def batch_size(self) -> int:
        """The number of rows.

        Raises:
            InputError: the state has no entries and so no rows.
        """
        for tensor in self.tensors.values():
            return tensor.shape[0]
        raise InputError("a state without entries has no batch size")

    def remembered(self) -> int:
        """Return the number of elements over all entries and rows but those that count what was read."""
        return sum(entry.numel() for name, entry in self.items() if self.kinds[name] is not Kind.POSITION)

    def of_rows(self, rows: int) -> State:
        """Return the state itself, once it is seen that each entry has so many rows.

        Args:
            rows: those that were asked for.

        Raises:
            InputError: an entry has another first dimension, as states of torch's own recurrent layers have.
        """
        for name, tensor in self.items():
            if tensor.shape[:1] != (rows,):
                of_rows = "1 row" if rows == 1 else f"{rows} rows"
                raise InputError(
                    f"entry {name!r} of the state is {list(tensor.shape)} for {of_rows}: entries must have the batch "
                    f"first, [{rows}, ...]; for nn.LSTM, nn.GRU and nn.RNN, lengthwise.RecurrentModel sees to it"
                )
        return self

    def map(self, function: Callable[[Tensor], Tensor], kinds: Iterable[Kind] | None = None) -> State:
        """Return a state whose tensors went through a function.

        Args:
            function: applied to each tensor; must keep the batch first.
            kinds: apply it to entries of these kinds only; all by default.

        Returns:
            A new state with the same names and kinds.
        """
        chosen = set(Kind) if kinds is None else set(kinds)
        return State(
            {name: function(t) if self.kinds[name] in chosen else t for name, t in self.tensors.items()},
            self.kinds,
        )

    def detach(self) -> State:
        """Return the same values without their gradient history."""
        return self.map(Tensor.detach)

    def to(self, *args: torch.device | torch.dtype | str) -> State:
        """Return the state on a device, or its floating-point entries in a dtype."""
        places = [place for place in args if not isinstance(place, torch.dtype)]

        def move(tensor: Tensor) -> Tensor:
            for place in args if tensor.is_floating_point() else places:
                tensor = tensor.to(place)
            return tensor

        return self.map(move)

    def rows(self, index: Tensor | slice | Sequence[int]) -> State:
        """Return the chosen batch rows, in the order of the index."""
        chosen = index if isinstance(index, slice | Tensor) else list(index)
        return self.map(lambda tensor: tensor[chosen])

    def fork(self, copies: int, row: int = 0) -> State:
        """Return a row several times, each with memory of its own: requests that share one prefix.

        Args:
            copies: the number of rows of the new state.
            row: which one they begin as.

        Raises:
            InputError: there is no such row, or no copy is asked for.
        """
        if not 0 <= row < self.batch_size or copies < 1:
            raise InputError(
                f"a state of {self.batch_size} rows has no {copies} copies of row {row}: give at least 1 copy, of a "
                f"row from 0 to {self.batch_size - 1}"
            )
        return self.rows([row] * copies)

    def save(self, path: str | Path, model: nn.Module | None = None) -> None:
        """Write the state to a file of safetensors, which is whole or not there.

        Args:
            path: the file to make or replace; its folder exists.
            model: the one that the state is of, whose fingerprint goes along: a hash of the names, shapes and contents
                of its parameters and buffers.

        Raises:
            StoppedError: it could not be written; what was there before is intact.

        Example:
            >>> import tempfile
            >>> file = Path(tempfile.mkdtemp()) / "prefix.safetensors"
            >>> State({"hidden": torch.ones(1, 2)}).save(file)
            >>> State.load(file)["hidden"]
            tensor([[1., 1.]])
        """
        kinds: dict[str, JSON] = {name: str(kind) for name, kind in self.kinds.items()}
        _FILE.save(Path(path), self, {"kinds": kinds, "model": _fingerprint(model)})

    @staticmethod
    def load(path: str | Path, model: nn.Module | None = None, *, most: int = MOST) -> State:
        """Read a state from a file that `save` made.

        Args:
            path: the file, which is no link.
            model: the one that goes on from the state, to whose device it is brought; without one, nobody looks whose
                state it is.
            most: bytes that the file may have.

        Raises:
            InputError: the file is missing, a link, too large, damaged or something else, or the state is that of
                another model or of nobody knows which.
        """
        tensors, values = _FILE.load(Path(path), most)
        kinds, rows = values.get("kinds"), {tensor.shape[:1] for tensor in tensors.values()}
        if not isinstance(kinds, dict) or kinds.keys() != tensors.keys() or len(rows) > 1 or () in rows:
            raise InputError(f"state {path} is corrupt: its entries need a kind each, and the same number of rows")
        if unknown := {*map(str, kinds.values())} - {*Kind}:
            raise InputError(f"state {path} is corrupt: {unknown.pop()!r} is no kind of entry")
        state = State(tensors, {name: Kind(str(kind)) for name, kind in kinds.items()})
        if model is None:
            return state
        if (of := values.get("model")) is None:
            raise InputError(
                f"state {path} does not say of which model it is: state.save(path, model) writes it down, and "
                "State.load(path) reads it for any"
            )
        if (own := _fingerprint(model)) != of:
            raise InputError(
                f"state {path} is of another model: its fingerprint is {of}, and that of this {type(model).__name__} "
                f"is {own}; a state goes on only with the weights that made it, in the same dtype"
            )
        place = next(model.parameters(), None)
        return state if place is None else state.to(place.device)

    def section(self, name: str) -> State:
        """Return the entries whose names start with ``name.``, without that prefix; see `nested`."""
        prefix = f"{name}."
        inside = [entry for entry in self if entry.startswith(prefix)]
        return State(
            {entry.removeprefix(prefix): self[entry] for entry in inside},
            {entry.removeprefix(prefix): self.kinds[entry] for entry in inside},
        )

    @staticmethod
    def nested(sections: Mapping[str, State]) -> State:
        """Return one state whose entries are ``section.entry``, from the states of a model's parts."""
        named = [(f"{name}.{entry}", part, entry) for name, part in sections.items() for entry in part]
        return State(
            {path: part[entry] for path, part, entry in named},
            {path: part.kinds[entry] for path, part, entry in named},
        )

    def non_finite(self) -> list[str]:
        """Return the names of entries that hold an infinity or a NaN."""
        return [name for name, tensor in self.items() if not bool(torch.isfinite(tensor).all())]

    def numel(self) -> int:
        """Return the number of elements over all entries and rows."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    @staticmethod
    def concat(states: Sequence[State]) -> State:
        """Join states along the batch.

        Raises:
            InputError: there is nothing to join, or the states differ in their entries or in the shapes of these.
        """
        if not states:
            raise InputError("no states to join")
        first = states[0]
        for other in states[1:]:
            if dict(other.kinds) != dict(first.kinds):
                raise InputError(
                    "states with different entries cannot be joined: "
                    f"{', '.join(first) or 'none'} against {', '.join(other) or 'none'}"
                )
            if unlike := next((name for name in first if first[name].shape[1:] != other[name].shape[1:]), None):
                raise InputError(
                    f"states whose entry {unlike!r} is {list(first[unlike].shape)} and {list(other[unlike].shape)} "
                    "cannot be joined: all but the first dimension, the batch, must be alike"
                )
        return State({name: torch.cat([s[name] for s in states]) for name in first}, first.kinds)


def _fingerprint(model: nn.Module | None) -> str | None:
    if model is None:
        return None
    return fingerprint({name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)})
