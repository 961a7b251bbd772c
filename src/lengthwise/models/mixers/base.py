"""The contract of a mixer: the part of a layer that mixes along time and carries state.

Shape letters: B batch rows, T tokens, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from lengthwise.state import State


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


class MixerConfig(BaseModel, ABC):
    """Settings of a mixer; `build` makes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @abstractmethod
    def build(self, width: int) -> Mixer:
        """Return a freshly initialised mixer.

        Args:
            width: D, the size of its inputs and outputs.

        Raises:
            InputError: the settings do not go with this width.
        """
