"""Recurrent mixers over torch's own kernels.

Shape letters: B batch rows, T tokens, D width, H hidden size.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from lengthwise.models.mixer import Mixer, MixerConfig
from lengthwise.state import State


class GRUConfig(MixerConfig):
    """Settings of a gated recurrent unit."""

    name: Literal["gru"] = "gru"
    hidden_size: int = Field(default=128, ge=1)
    """H, the size of the state."""

    def build(self, width: int) -> GRU:
        """Return a freshly initialised mixer."""
        return GRU(self, width)


class GRU(Mixer):
    """Gated recurrent unit with an output projection.

    Args:
        config: the settings.
        width: D, the size of inputs and outputs.

    Source: Cho et al. 2014, in the form of cuDNN (reset gate after the recurrent product).
    """

    def __init__(self, config: GRUConfig, width: int) -> None:
        super().__init__()
        self.recurrence = nn.GRU(width, config.hidden_size, batch_first=True)
        self.output = nn.Linear(config.hidden_size, width, bias=False)

    def initial_state(self, batch_size: int) -> State:
        """Return zeros."""
        return State({"hidden": self.output.weight.new_zeros(batch_size, self.recurrence.hidden_size)})

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Mix along time, from `hidden` [B, H]."""
        hidden_BTH, last = self.recurrence(x_BTD, state["hidden"][None].contiguous())
        return self.output(hidden_BTH), State({"hidden": last[0]})
