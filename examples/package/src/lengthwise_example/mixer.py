"""A mixer: leaky averages.

Shape letters: B rows, T tokens, D width.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lengthwise.models.mixers.base import MixerConfig, Recurrence
from lengthwise.state import State


class LeakyConfig(MixerConfig):
    """Settings of leaky averages."""

    name: Literal["leaky"] = "leaky"
    slowest: float = Field(default=16.0, gt=1)
    """Tokens over which the slowest channel averages at first."""

    def build(self, width: int) -> Leaky:
        """Return a freshly initialised mixer."""
        return Leaky(self, width)


class Leaky(Recurrence):
    """Each channel averages its inputs with a rate that is learned; what comes out is gated by the token.

    Args:
        config: the settings.
        width: D.
    """

    def __init__(self, config: LeakyConfig, width: int) -> None:
        super().__init__({"average": (width,)})
        rates_D = torch.linspace(1, config.slowest, width).reciprocal().clamp(max=0.99)
        self.rates = nn.Parameter(torch.logit(rates_D))
        self.read = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the gated averages, and those after the last token."""
        rates_D, average_BD, averages = self.rates.sigmoid(), state["average"], list[Tensor]()
        values_BTD, gates_BTD = self.read(x_BTD).chunk(2, -1)
        for value_BD in values_BTD.unbind(1):
            average_BD = torch.lerp(average_BD, value_BD.to(average_BD), rates_D.to(average_BD))
            averages.append(average_BD)
        mixed_BTD = torch.stack(averages, 1).to(x_BTD) * gates_BTD.sigmoid()
        return self.out(mixed_BTD), State({"average": average_BD})
