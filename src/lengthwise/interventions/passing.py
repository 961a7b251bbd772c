"""Final states as initial states: state passing between unrelated rows, and truncated backpropagation through time.

Shape letters: B batch rows.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.interventions.base import (
    InterventionConfig,
    ObservingIntervention,
    always_from_zero,
    from_zero,
    initial_start,
    where_rows,
)
from lengthwise.models.base import SequenceModel
from lengthwise.state import Kind, State


class PassingConfig(InterventionConfig):
    """Settings that both ways of passing states share."""

    zero_probability: float = Field(default=0.0, ge=0, le=1)
    """Chance, for each row and step, of starting from the initial state."""
    zero_share: float = Field(default=0.0, ge=0, le=1)
    """The fraction of rows that always start from the initial state, so that it is not forgotten. The others, one at
    least, pass states among themselves, through any number of steps; a chance p of zeroing ends that after 1/p on
    average. In a batch of one row it is a chance."""
    conv_states: bool = False
    """Whether conv states, of convolutions and token shifts, are passed as well."""


class StatePassingConfig(PassingConfig):
    """Settings of state passing."""

    name: Literal["state_passing"] = "state_passing"
    permute: bool = True
    """Whether no row gets its own final state; otherwise states are passed as they come."""
    zero_probability: float = Field(default=0.1, ge=0, le=1)
    """Chance, for each row and step, of starting from the initial state."""

    def build(self) -> StatePassing:
        """Return an intervention that starts from the initial state until it has seen a final one."""
        return StatePassing(self)


class TBPTTConfig(PassingConfig):
    """Settings of truncated backpropagation through time."""

    name: Literal["tbptt"] = "tbptt"
    conv_states: bool = True
    """Whether conv states, of convolutions and token shifts, are passed as well."""
    spans: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = Field(
        default=None, exclude_if=lambda spans: spans is None
    )
    """For tasks whose sequences stand alone: those that are passed along are of this many training lengths, from the
    fewest to the most, every octave alike. The rows from zero are whole sequences of the training length."""

    @model_validator(mode="after")
    def _asks_in_every_step(self) -> Self:
        if self.spans and self.spans[0] > self.spans[1]:
            raise ValueError(f"spans go from the fewest training lengths to the most, not {self.spans}")
        if self.spans and not self.zero_share:
            raise ValueError("spans need a zero_share above 0: in long sequences most steps ask for nothing")
        return self

    def build(self) -> TBPTT:
        """Return an intervention that starts from the initial state until it has seen a final one."""
        return TBPTT(self)


class Passing(ObservingIntervention):
    """The final states of the step before, gradient stopped, are the initial states of the next.

    Recurrent entries are passed, and conv states where asked for; positions and caches are always initial.

    Args:
        config: the settings.
    """

    def __init__(self, config: PassingConfig) -> None:
        super().__init__()
        self.config, self.conv_states = config, config.conv_states
        self.memory = State({})
        """What is passed of the last final state, B rows."""

    @abstractmethod
    def _sources(self, batch_size: int, rng: torch.Generator) -> Tensor | slice:
        """Return which of the remembered rows each row of the step starts from."""

    def _fresh(self, batch_size: int, rng: torch.Generator, fresh_B: Tensor | None) -> Tensor | None:
        """Return [B] booleans, true for the rows that start from the initial state; none for no row."""
        return from_zero(self.config.zero_share, self.config.zero_probability, batch_size, rng)

    def always_initial(self, batch_size: int) -> int:
        """Return how many rows, the first ones, start from the initial state in every step."""
        return always_from_zero(self.config.zero_share, batch_size)

    def _begin(self, model: SequenceModel, batch_size: int, rng: torch.Generator, fresh_B: Tensor | None) -> State:
        if not self.memory:
            return model.initial_state(batch_size)
        start = initial_start(model, batch_size)
        self._check_fits(start)
        passed = dict(self.memory.rows(self._sources(batch_size, rng)))
        fresh_B = self._fresh(batch_size, rng, fresh_B)
        for name, entry in passed.items():
            entry = entry.to(start[name])
            passed[name] = entry if fresh_B is None else where_rows(fresh_B, start[name], entry)
        return State({**start, **passed}, start.kinds)

    def _remember(self, start: State) -> None:
        # Copies, because a conv state is often a view that would keep the inputs of a whole step alive.
        self.memory = start.map(Tensor.clone)

    def _check_fits(self, start: State) -> None:
        wanted = {name: tuple(start[name].shape[1:]) for name in self._kept(start)}
        found = {name: tuple(entry.shape[1:]) for name, entry in self.memory.items()}
        if found != wanted:
            raise InputError(f"{self.name!r} holds final states with rows {found}; the model's have {wanted}")

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the final states that the next step starts from."""
        return dict(self.memory), {"kinds": {name: str(kind) for name, kind in self.memory.kinds.items()}}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go back to final states that `state` returned.

        Raises:
            InputError: the memory is not one of passed states.
        """
        if set(values) != {"kinds"} or set(values["kinds"]) != set(tensors):
            raise InputError(f"this is not the memory of {self.name!r}: {', '.join([*tensors, *values]) or 'nothing'}")
        self.memory = State(tensors, {name: Kind(kind) for name, kind in values["kinds"].items()})


class StatePassing(Passing):
    """Every row starts from the final state of an unrelated row of the batch before.

    Where the batch size changes, remembered rows are drawn anew, some of them more than once or not at all.

    Args:
        config: the settings.

    Source: Buitrago Ruiz and Gu 2025, section 4, "state passing". Permuting rows and the chance of the initial state
    are our choice.

    Example:
        >>> from lengthwise.models.backbone import BackboneConfig
        >>> model = BackboneConfig(width=16).build(5, 5)
        >>> passing, rng = StatePassingConfig().build(), torch.Generator().manual_seed(0)
        >>> for tokens in torch.randint(5, (3, 4, 10)):
        ...     state = passing.begin(model, batch_size=4, rng=rng)
        ...     logits, state = model(tokens, state)
        ...     passing.observe(state)
    """

    name = "state_passing"
    config: StatePassingConfig

    def _sources(self, batch_size: int, rng: torch.Generator) -> Tensor | slice:
        rows = self.memory.batch_size
        if not self.config.permute:
            return slice(None) if batch_size == rows else torch.arange(batch_size) % rows
        if batch_size != rows:
            return (torch.arange(batch_size) + torch.randint(1, max(rows, 2), (batch_size,), generator=rng)) % rows
        # One random cycle through all rows that pass states: a permutation that leaves no row where it was.
        always = self.always_initial(rows)
        cycle = always + torch.randperm(rows - always, generator=rng)
        return torch.arange(rows).index_copy(0, cycle, cycle.roll(1))


class TBPTT(Passing):
    """Every row starts from its own final state: row i of a batch continues row i of the batch before.

    Args:
        config: the settings.

    Source: Buitrago Ruiz and Gu 2025, section 4, "TBTT"; Williams and Peng 1990.
    """

    name = "tbptt"
    aligned = True
    config: TBPTTConfig

    @property
    def spans(self) -> tuple[int, int] | None:
        """How many training lengths the sequences have that rows go on in; None where the task's own rows go on."""
        return self.config.spans

    def _sources(self, batch_size: int, rng: torch.Generator) -> Tensor | slice:
        if batch_size != self.memory.batch_size:
            raise InputError(
                f"{self.name!r} continues the rows of the batch before: {self.memory.batch_size} rows "
                f"cannot go on as {batch_size}; keep the batch size, or use 'state_passing'"
            )
        return slice(None)

    def _fresh(self, batch_size: int, rng: torch.Generator, fresh_B: Tensor | None) -> Tensor | None:
        chosen_B = super()._fresh(batch_size, rng, None)
        if fresh_B is None:
            return chosen_B
        if fresh_B.shape != (batch_size,) or fresh_B.dtype != torch.bool:
            raise InputError(f"fresh_B must be {batch_size} booleans, got {list(fresh_B.shape)} of {fresh_B.dtype}")
        return fresh_B if chosen_B is None else chosen_B.to(fresh_B.device) | fresh_B
