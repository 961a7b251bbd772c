"""The mixer of Mamba-1: a short convolution and a selective scan between gated projections.

Shape letters: B batch rows, T tokens, D width, I inner channels, N states of a channel, R rank of the step sizes.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.models.mixers.base import MixerConfig, Recurrence
from lengthwise.models.mixers.convolution import ShortConvolution
from lengthwise.models.mixers.initialisation import PositiveRange, inverse_softplus, log_uniform, precise
from lengthwise.scans.mamba1 import CHUNK, selective_scan
from lengthwise.state import State


class Mamba1Config(MixerConfig):
    """Settings of a Mamba-1 mixer.

    A state forgets half of what it holds in ``log(2) / (rate * step)`` tokens; `initial_rates` and `initial_steps` say
    over how many tokens a fresh mixer remembers.
    """

    name: Literal["mamba1"] = "mamba1"
    expansion: int = Field(default=2, ge=1)
    """I, the number of inner channels, as a multiple of the width."""
    state_size: int = Field(default=16, ge=1)
    """N, states of each channel."""
    convolution: int = Field(default=4, ge=1)
    """Taps of the short convolution, which reads this many of the last inputs."""
    dt_rank: int | None = Field(default=None, ge=1)
    """R, rank of the map to the step sizes; a sixteenth of the width, rounded up, by default."""
    initial_rates: PositiveRange | None = None
    """Smallest and largest rate -A of the states of a channel, evenly spaced at first; 1 to N by default."""
    initial_steps: PositiveRange = (1e-3, 1e-1)
    """Smallest and largest step size dt of a channel, log-uniform at first."""
    chunk: int = Field(default=CHUNK, ge=1)
    """Tokens that the scan takes at a time; it changes speed and memory, and results by rounding only."""

    def build(self, width: int) -> Mamba1:
        """Return a freshly initialised mixer."""
        return Mamba1(self, width)


class Mamba1(Recurrence):
    """Selective state space mixer.

    Its state has `hidden` [B, I, N], in float32 at least, and the conv state of the convolution.

    Source: Gu and Dao 2023, figure 3 and section 3.6, initialised as in their code.

    Example:
        >>> mixer = Mamba1Config(state_size=8).build(width=32)
        >>> y_BTD, state = mixer(torch.randn(2, 5, 32), mixer.initial_state(2))
        >>> y_BTD.shape, state["hidden"].shape
        (torch.Size([2, 5, 32]), torch.Size([2, 64, 8]))
    """

    def __init__(self, config: Mamba1Config, width: int) -> None:
        channels, states = config.expansion * width, config.state_size
        super().__init__({"hidden": (channels, states)}, {"convolution": (config.convolution - 1, channels)})
        self.chunk = config.chunk
        self.sizes = [config.dt_rank or math.ceil(width / 16), states, states]
        rank = self.sizes[0]
        self.expand = nn.Linear(width, 2 * channels, bias=False)
        self.convolution = ShortConvolution(channels, config.convolution)
        self.select = nn.Linear(channels, sum(self.sizes), bias=False)
        self.step = nn.Linear(rank, channels, bias=False)
        nn.init.uniform_(self.step.weight, -(rank**-0.5), rank**-0.5)
        self.step_bias = nn.Parameter(inverse_softplus(log_uniform(config.initial_steps, channels)))
        """[I]; its softplus is the step size of a channel whose input says nothing."""
        rates = torch.linspace(*(config.initial_rates or (1.0, states)), states)
        self.log_rates = nn.Parameter(rates.log().expand(channels, -1).contiguous())
        """[I, N]; A is minus their exponential."""
        self.skip = nn.Parameter(torch.ones(channels))
        """[I]"""
        self.contract = nn.Linear(channels, width, bias=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Mix along time."""
        x_BTI, gate_BTI = torch.chunk(self.expand(x_BTD), 2, -1)
        hidden, conv = self._entries(state)
        x_BTI, conv = self.convolution(x_BTI, conv)
        x_BTI = F.silu(x_BTI)
        low_rank_BTR, B_BTN, C_BTN = self.select(x_BTI).split(self.sizes, -1)
        dt_BTI, A_IN = F.softplus(precise(self.step(low_rank_BTR)) + self.step_bias), -precise(self.log_rates).exp()
        y_BTI, hidden = selective_scan(x_BTI, dt_BTI, A_IN, B_BTN, C_BTN, self.skip, hidden, chunk=self.chunk)
        return self.contract(y_BTI * F.silu(gate_BTI)), self._state(hidden, conv)
