"""The mixer Kimi delta attention: the delta rule with a memory whose key channels decay each by themselves.

Shape letters: B batch rows, T tokens, D width, H heads, K key channels and V value channels of a head.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.models.mixers.base import Recurrence, share
from lengthwise.models.mixers.deltanet import DeltaConfig, Memory, Readout
from lengthwise.models.mixers.initialisation import PositiveRange, inverse_softplus, log_uniform, precise
from lengthwise.state import State


class KimiDeltaConfig(DeltaConfig):
    """Settings of a mixer of Kimi delta attention; ``chunk`` must be a power of two.

    A channel forgets half of what it holds in ``log(2) / (rate * step)`` tokens; `initial_rates` and `initial_steps`
    say over how many tokens a fresh mixer remembers.
    """

    name: Literal["kimi_delta"] = "kimi_delta"
    initial_rates: PositiveRange = (1.0, 16.0)
    """Smallest and largest rate A of a head, uniform at first."""
    initial_steps: PositiveRange = (1e-3, 1e-1)
    """Smallest and largest step size dt of a channel, log-uniform at first."""

    def build(self, width: int) -> KimiDelta:
        """Return a freshly initialised mixer."""
        return KimiDelta(self, width)


class KimiDelta(Recurrence):
    """Linear attention whose memory is updated by the delta rule and forgets by channel, with a gated output.

    The state has `matrix` [B, H, K, V], in float32 at least, and the conv state of the convolution.

    Raises:
        InputError: the heads do not divide the width.

    Source: Kimi team 2025, "Kimi Linear: An Expressive, Efficient Attention Architecture", section 3.

    Example:
        >>> mixer = KimiDeltaConfig(heads=2).build(width=16)
        >>> y_BTD, state = mixer(torch.randn(3, 5, 16), mixer.initial_state(3))
        >>> y_BTD.shape, state["matrix"].shape
        (torch.Size([3, 5, 16]), torch.Size([3, 2, 8, 8]))
    """

    def __init__(self, config: KimiDeltaConfig, width: int) -> None:
        H, K = config.heads, config.key_width or share(width, config.heads, f"width {width}")
        V = config.value_width or K
        super().__init__({"matrix": (H, K, V)}, {"convolution": (config.convolution - 1, H * (2 * K + V))})
        self.heads = H
        self.memory = Memory(config, width, K, V)
        self.step = nn.Sequential(nn.Linear(width, V, bias=False), nn.Linear(V, H * K, bias=False))
        self.step_bias = nn.Parameter(inverse_softplus(log_uniform(config.initial_steps, H * K)))
        """[H K]; its softplus is the step size of a channel whose input says nothing."""
        self.log_rates = nn.Parameter(torch.empty(H).uniform_(*config.initial_rates).log())
        """[H]; a channel's log decay is minus the rate of its head times the step size."""
        self.gate = nn.Sequential(nn.Linear(width, V, bias=False), nn.Linear(V, H * V))
        self.readout = Readout(H, V, width, config.norm_epsilon)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Mix along time."""
        step_BTHK = F.softplus(precise(self.step(x_BTD)) + self.step_bias).unflatten(-1, (self.heads, -1))
        log_decay_BTHK = -precise(self.log_rates).exp()[:, None] * step_BTHK
        y_BTHV, *after = self.memory(x_BTD, log_decay_BTHK, *self._entries(state))
        return self.readout(y_BTHV, self.gate(x_BTD).sigmoid()), self._state(*after)
