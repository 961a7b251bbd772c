"""The contract of an intervention: it gives a training step its initial state and sees the final one.

Shape letters: B batch rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from lengthwise.errors import InputError, StoppedError
from lengthwise.models.base import SequenceModel
from lengthwise.settings import Settings
from lengthwise.state import Kind, State
from lengthwise.tasks.base import Task


class InterventionConfig(Settings, ABC):
    """Settings of an intervention; `build` makes it. A subclass has a literal ``name``."""

    @abstractmethod
    def build(self) -> Intervention:
        """Return an intervention that has seen nothing yet."""


class Intervention(ABC):
    """Chooses the state that a training step starts from; everything else about training stays as it is.

    Two calls around a model's own make a training loop one of state passing, or of any other intervention:

        state = intervention.begin(model, batch_size, rng)
        logits, state = model(tokens, state)
        intervention.observe(state)

    Source: Buitrago Ruiz and Gu 2025, section 4.
    """

    name: ClassVar[str]
    """What recipes and error messages call it."""
    aligned: ClassVar[bool] = False
    """Whether row i of a batch must continue row i of the batch before."""
    initial: ClassVar[bool] = False
    """Whether every sequence starts from the model's own initial state, so that any model will do."""
    observes: ClassVar[bool] = False
    """Whether it learns from the states that sequences end with."""

    def prepare(self, task: Task) -> None:
        """Get to know the task before the first step; nothing is needed of it by default.

        Raises:
            InputError: the task cannot do what the intervention needs.
        """
        del task

    @property
    def spans(self) -> tuple[int, int] | None:
        """How many training lengths the sequences have that aligned rows are cut from; None for the task's own rows."""
        return None

    @abstractmethod
    def begin(
        self, model: SequenceModel, batch_size: int, rng: torch.Generator, fresh_B: Tensor | None = None
    ) -> State:
        """Return the state that a training step starts from.

        Args:
            model: the model that is trained.
            batch_size: B, the number of rows of the step.
            rng: a generator on the CPU, the only source of chance.
            fresh_B: [B] booleans, true where a row begins a new sequence; only aligned interventions look at it.

        Returns:
            A state on the model's device and in the dtypes of its initial state. Nothing in it has a gradient history
            but a row that starts from an initial state which the model learns.

        Raises:
            InputError: the model carries no recurrent state, or the batch does not go with the one before.
        """

    def always_initial(self, batch_size: int) -> int:
        """Return how many rows of a batch, the first ones, start from the initial state in every step.

        Where rows of a batch continue those of the one before, these do not, so their text may come from anywhere.
        """
        return 0

    def observe(self, final: State) -> None:
        """See the state after a step, to forget it by default; what is kept of it is detached.

        Raises:
            InputError: no step was begun.
            StoppedError: the state is not finite; the message names the entry.
        """
        del final

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the memory as tensors and as values that JSON can hold; none by default."""
        return {}, {}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go back to a memory that `state` returned.

        Raises:
            InputError: it is the memory of another kind of intervention.
        """
        if tensors or values:
            raise InputError(f"intervention {self.name!r} has no memory, got {', '.join([*tensors, *values])}")


class ObservingIntervention(Intervention):
    """An intervention that learns from final states, as starts of new sequences."""

    observes = True
    conv_states: bool = False
    """Whether conv states, of convolutions and token shifts, are kept as well."""

    def __init__(self) -> None:
        self._model: SequenceModel | None = None

    def begin(
        self, model: SequenceModel, batch_size: int, rng: torch.Generator, fresh_B: Tensor | None = None
    ) -> State:
        """Return the state that a training step starts from."""
        check_carries_state(model, self)
        self._model = model
        return self._begin(model, batch_size, rng, fresh_B).of_rows(batch_size)

    @torch.no_grad()
    def observe(self, final: State) -> None:
        """Keep what later steps need of a final state."""
        if self._model is None:
            raise InputError(f"intervention {self.name!r} observes the state of a step that it began; call begin first")
        _check_finite(final, self.name)
        start = self._model.start_from(final)
        kept = self._kept(start)
        # A new sequence has no conv state of its own: those that are kept are those of the sequence that ended.
        entries = {name: (final if start.kinds[name] is Kind.CONV else start)[name] for name in kept}
        self._remember(State(entries, {name: start.kinds[name] for name in kept}).detach())

    @abstractmethod
    def _begin(self, model: SequenceModel, batch_size: int, rng: torch.Generator, fresh_B: Tensor | None) -> State:
        """Return the state that a training step starts from, for a model that carries state."""

    @abstractmethod
    def _remember(self, start: State) -> None:
        """Keep what later steps need of the entries that a new sequence could start from."""

    def _kept(self, start: State) -> list[str]:
        """Return the names of the entries that the intervention chooses; the others are always initial."""
        kinds = {Kind.RECURRENT, Kind.CONV} if self.conv_states else {Kind.RECURRENT}
        return [name for name in start if start.kinds[name] in kinds]


def check_carries_state(model: SequenceModel, intervention: Intervention) -> None:
    """Refuse a model that has no recurrent state to intervene on; `zero` goes with every model.

    Raises:
        InputError: the model's initial state has no recurrent entry; the message names both.
    """
    if not intervention.initial and not recurrent_entries(initial_start(model, 1)):
        carried = ", ".join(model.initial_state(1)) or "nothing"
        raise InputError(
            f"intervention {intervention.name!r} needs a model with a recurrent state; "
            f"{type(model).__name__} carries none ({carried}); use 'zero'"
        )


def initial_start(model: SequenceModel, batch_size: int) -> State:
    """Return the initial state with every entry that a start of this model can have."""
    initial = model.initial_state(batch_size).of_rows(batch_size)
    return model.start_from(initial) if len(initial) else initial


def recurrent_entries(state: State) -> list[str]:
    """Return the names of the recurrent entries."""
    return [name for name in state if state.kinds[name] is Kind.RECURRENT]


def always_from_zero(share: float, batch_size: int) -> int:
    """Return how many rows, the first ones, start from the initial state in every step.

    Small batches keep one that does not, unless the share is all of them.
    """
    rows = round(share * batch_size)
    return rows if share == 1 else min(rows, batch_size - 1)


def from_zero(share: float, chance: float, batch_size: int, rng: torch.Generator) -> Tensor | None:
    """Return [B] booleans, true for the rows that start from the initial state; none for no row.

    Args:
        share: the fraction of rows that always do; a row alone does so with this chance.
        chance: that of each of the others.
        batch_size: B.
        rng: the only source of chance.
    """
    if not chance and not share:
        return None
    always_B = torch.arange(batch_size) < always_from_zero(share, batch_size)
    # A row alone cannot be shared out: so many of its steps start from the initial state instead.
    chance = max(chance, share) if batch_size == 1 else chance
    return always_B | (torch.rand(batch_size, generator=rng) < chance)


def where_rows(choice_B: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Choose whole rows of two tensors [B, ...]."""
    return torch.where(choice_B.to(yes.device).view(-1, *[1] * (yes.ndim - 1)), yes, no)


def _check_finite(final: State, intervention: str) -> None:
    # A finite sum has finite terms, and is far cheaper than looking at each of them.
    if all(bool(torch.isfinite(entry.sum())) for entry in final.values()):
        return
    if wrong := final.non_finite():
        name = wrong[0]
        rows = (~torch.isfinite(final[name]).reshape(final.batch_size, -1)).any(1).nonzero()[:, 0].tolist()
        raise StoppedError(
            f"the final state is not finite in {', '.join(wrong)} ({name}: rows {', '.join(map(str, rows))}); "
            f"{intervention!r} would start later steps from it"
        )
