"""The mixer of Mamba-2: a short convolution and a linear recurrence with one decay a head.

Shape letters: B batch rows, T tokens, D width, I inner channels, H heads, V channels of a head, G groups of heads,
K states of a channel.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.models.mixers.base import MixerConfig, Recurrence, share
from lengthwise.models.mixers.convolution import ShortConvolution
from lengthwise.models.mixers.initialisation import PositiveRange, inverse_softplus, log_uniform, precise
from lengthwise.scans.mamba2 import CHUNK, linear_scan
from lengthwise.state import State


class Mamba2Config(MixerConfig):
    """Settings of a Mamba-2 mixer.

    A head forgets half of what it holds in ``log(2) / (rate * step)`` tokens; `initial_rates` and `initial_steps` say
    over how many tokens a fresh mixer remembers.
    """

    name: Literal["mamba2"] = "mamba2"
    expansion: int = Field(default=2, ge=1)
    """I, the number of inner channels, as a multiple of the width."""
    head_size: int = Field(default=64, ge=1)
    """V, channels of each head; must divide the inner channels."""
    state_size: int = Field(default=128, ge=1)
    """K, states of each channel."""
    groups: int = Field(default=1, ge=1)
    """G, how many sets of keys and queries the heads share; must divide the number of heads."""
    convolution: int = Field(default=4, ge=1)
    """Taps of the short convolution, which reads this many of the last inputs."""
    initial_rates: PositiveRange = (1.0, 16.0)
    """Smallest and largest rate -A of a head, uniform at first."""
    initial_steps: PositiveRange = (1e-3, 1e-1)
    """Smallest and largest step size dt of a head, log-uniform at first."""
    chunk: int = Field(default=CHUNK, ge=1)
    """Tokens that the scan takes at a time; it changes speed and memory, and results by rounding only."""

    def build(self, width: int) -> Mamba2:
        """Return a freshly initialised mixer."""
        return Mamba2(self, width)


class Mamba2(Recurrence):
    """State space mixer with one decay a head.

    Its state has `matrix` [B, H, K, V], in float32 at least, and the conv state of the convolution.

    Raises:
        InputError: the heads do not divide the inner channels, or the groups the heads.

    Source: Dao and Gu 2024, section 7 and figure 6, initialised as in their code.

    Example:
        >>> mixer = Mamba2Config(head_size=16, state_size=8).build(width=32)
        >>> y_BTD, state = mixer(torch.randn(2, 5, 32), mixer.initial_state(2))
        >>> y_BTD.shape, state["matrix"].shape
        (torch.Size([2, 5, 32]), torch.Size([2, 4, 8, 16]))
    """

    def __init__(self, config: Mamba2Config, width: int) -> None:
        channels = config.expansion * width
        heads = share(channels, config.head_size, f"{channels} inner channels", f"heads of {config.head_size} channels")
        share(heads, config.groups, f"{heads} heads", f"{config.groups} groups")
        shared = config.groups * config.state_size
        super().__init__(
            {"matrix": (heads, config.state_size, config.head_size)},
            {"convolution": (config.convolution - 1, channels + 2 * shared)},
        )
        self.config = config
        self.sizes = [channels, shared, shared]
        """Channels that are convolved: values, keys (B), queries (C)."""
        self.expand = nn.Linear(width, channels + sum(self.sizes) + heads, bias=False)
        self.convolution = ShortConvolution(sum(self.sizes), config.convolution)
        self.step_bias = nn.Parameter(inverse_softplus(log_uniform(config.initial_steps, heads)))
        """[H]; its softplus is the step size of a head whose input says nothing."""
        self.log_rates = nn.Parameter(torch.empty(heads).uniform_(*config.initial_rates).log())
        """[H]; A is minus their exponential."""
        self.skip = nn.Parameter(torch.ones(heads))
        """[H]"""
        self.norm_weight = nn.Parameter(torch.ones(channels))
        """[I]"""
        self.contract = nn.Linear(channels, width, bias=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Mix along time."""
        sizes = [self.sizes[0], sum(self.sizes), len(self.skip)]
        # Three products instead of one that is cut: backward, the pieces' gradients need not be copied together.
        gate_BTI, mixed, step_BTH = (F.linear(x_BTD, weight) for weight in self.expand.weight.split(sizes))
        matrix_BHKV, conv = self._entries(state)
        mixed, conv = self.convolution(mixed, conv)
        x_BTI, k_BTX, q_BTX = F.silu(mixed).split(self.sizes, -1)
        x_BTHV = x_BTI.unflatten(2, (-1, self.config.head_size))
        step_BTH = F.softplus(precise(step_BTH) + self.step_bias)
        q_BTGK, k_BTGK = (x.unflatten(2, (self.config.groups, -1)) for x in (q_BTX, k_BTX))
        v_BTHV = x_BTHV * step_BTH[..., None].to(x_BTHV.dtype)
        log_decay_BTH = -precise(self.log_rates).exp() * step_BTH
        y_BTHV, matrix_BHKV = linear_scan(q_BTGK, k_BTGK, v_BTHV, log_decay_BTH, matrix_BHKV, chunk=self.config.chunk)
        y_BTI = torch.addcmul(y_BTHV, self.skip[:, None], x_BTHV).flatten(2) * F.silu(gate_BTI)
        grouped = y_BTI.unflatten(2, (self.config.groups, -1))
        normed_BTI = F.rms_norm(grouped, grouped.shape[-1:], eps=1e-5).flatten(2)
        return F.linear(normed_BTI, self.contract.weight * self.norm_weight), self._state(matrix_BHKV, conv)
