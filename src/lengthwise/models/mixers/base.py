"""Mixer: the contract of the part of a layer that mixes along time and carries state.

Shape letters: B batch rows, T tokens, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch import Tensor, nn

from lengthwise.errors import InputError
from lengthwise.models.mixers.initialisation import precise
from lengthwise.settings import Settings
from lengthwise.state import Kind, State


class Mixer(nn.Module, ABC):
    """Maps inputs and a state to outputs and a state; cutting the inputs anywhere changes nothing."""

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """Return the state before any token, on the device and in the dtype of the parameters."""

    @abstractmethod
    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Mix along time.

        Args:
            x_BTD: inputs, T at least 1.
            state: what `initial_state` or an earlier call returned.

        Returns:
            Outputs [B, T, D] and the state after the last token, differentiable in the inputs and in the given state.
        """


_Shapes = Mapping[str, tuple[int, ...]]


class Recurrence(Mixer):
    """A mixer whose state is zeros at first.

    Args:
        memory: name -> shape for one row, of the recurrent entries; they are in float32 at least.
        conv: name -> shape for one row, of the conv states; they are in the dtype of the parameters.
    """

    def __init__(self, memory: _Shapes, conv: _Shapes | None = None) -> None:
        super().__init__()
        self._memory_shapes, self._conv_shapes = dict(memory), dict(conv or {})

    def initial_state(self, batch_size: int) -> State:
        """Return zeros."""
        like = next(self.parameters())
        memory = (precise(like.new_zeros(batch_size, *shape)) for shape in self._memory_shapes.values())
        return self._state(*memory, *(like.new_zeros(batch_size, *shape) for shape in self._conv_shapes.values()))

    def _entries(self, state: State) -> list[Tensor]:
        """Return the entries of a state, the recurrent ones first."""
        return [state[name] for name in (*self._memory_shapes, *self._conv_shapes)]

    def _state(self, *entries: Tensor) -> State:
        """Return the state of these entries, the recurrent ones first."""
        named = zip((*self._memory_shapes, *self._conv_shapes), entries, strict=True)
        return State(dict(named), dict.fromkeys(self._conv_shapes, Kind.CONV))


def share(whole: int, parts: int, of: str, by: str | None = None) -> int:
    """Return how much of a whole each of its parts has; the parts are heads unless `by` calls them otherwise.

    Raises:
        InputError: the parts do not divide the whole, or it is nothing; the message calls both by their names.
    """
    if not whole or whole % parts:
        raise InputError(f"{by or f'{parts} heads'} do not divide the {of}; give a number that does")
    return whole // parts


class MixerConfig(Settings, ABC):
    """Settings of a mixer; `build` makes it."""

    @abstractmethod
    def build(self, width: int) -> Mixer:
        """Return a freshly initialised mixer.

        Args:
            width: D, the size of its inputs and outputs.

        Raises:
            InputError: the settings do not go with this width.
        """


def norm_epsilon(default: float) -> Any:
    """Return the field of a mixer's settings for the epsilon of the norm of what is read from its state.

    It is left out of resolved recipes at its default: the digests of results that are older stay true.
    """
    return Field(default=default, gt=0, le=1, exclude_if=lambda epsilon: epsilon == default)
