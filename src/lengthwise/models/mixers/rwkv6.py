"""The mixer of RWKV-6: a linear recurrence with a decay a channel after data-dependent token shifts, and a channel mix.

Shape letters: B batch rows, T tokens, D width, H heads, K channels of a head, R rank, S number of shifted inputs,
F hidden channels of the channel mix.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.models.mixers.base import MixerConfig, Recurrence, norm_epsilon, share
from lengthwise.models.mixers.initialisation import PositiveRange, precise
from lengthwise.scans.gla import CHUNK, gated_linear_scan
from lengthwise.settings import LARGEST
from lengthwise.state import State

_DEPTH = 0.5
"""The official initialisation varies with the depth of the layer from 0 to 1; a mixer is initialised as half way."""


class RWKV6Config(MixerConfig):
    """Settings of an RWKV-6 mixer.

    A channel forgets half of what it holds in ``log(2) / rate`` tokens; `initial_rates` says over how many tokens a
    fresh mixer remembers.
    """

    name: Literal["rwkv6"] = "rwkv6"
    head_size: int = Field(default=64, ge=1)
    """K, key and value channels of each head; must divide the width."""
    shift_rank: int = Field(default=32, ge=1)
    """Rank of the maps to the weights of the token shifts."""
    decay_rank: int = Field(default=64, ge=1)
    """Rank of the map to the decays."""
    initial_rates: PositiveRange = (0.0025, 0.37)
    """Smallest and largest rate of a channel at first, spread over the channels; a token decays it by exp(-rate)."""
    channel_mix: float = Field(default=3.5, ge=0, le=LARGEST)
    """F, hidden channels of the channel mix as a multiple of the width; no channel mix at 0."""
    # The paper's code divides by 8 before a norm with 1e-5.
    norm_epsilon: float = norm_epsilon(64e-5)
    """Added to the variances of what a head reads."""
    chunk: int = Field(default=CHUNK, ge=1)
    """Tokens that the scan takes at a time, a power of two; it changes speed and memory, and results by rounding
    only."""

    def build(self, width: int) -> RWKV6:
        """Return a freshly initialised mixer."""
        return RWKV6(self, width)


class RWKV6(Recurrence):
    """The two halves of an RWKV-6 block, the time mix and then the channel mix.

    A mixer sees the norm of the residual stream instead of the stream itself, so the channel mix reads the norm of that
    plus what the time mix adds; otherwise this is the block of the paper. Its state has `matrix` [B, H, K, K], in
    float32 at least, and the last input of either half, `shift` and, with a channel mix, `channel_shift`, [B, 1, D].

    Raises:
        InputError: the heads do not divide the width.

    Source: Peng et al. 2024 (Finch), initialised as in their code.

    Example:
        >>> mixer = RWKV6Config(head_size=8).build(width=32)
        >>> y_BTD, state = mixer(torch.randn(2, 5, 32), mixer.initial_state(2))
        >>> y_BTD.shape, state["matrix"].shape
        (torch.Size([2, 5, 32]), torch.Size([2, 4, 8, 8]))
    """

    def __init__(self, config: RWKV6Config, width: int) -> None:
        size, shifts = config.head_size, ["shift", "channel_shift"] if config.channel_mix else ["shift"]
        heads = share(width, size, f"width {width}", f"heads of {size} channels")
        super().__init__({"matrix": (heads, size, size)}, dict.fromkeys(shifts, (1, width)))
        self.time_mix = TimeMix(config, width)
        if config.channel_mix:
            self.norm = nn.LayerNorm(width)
            self.channel_mix = ChannelMix(width, round(config.channel_mix * width))

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Mix along time, then over channels."""
        matrix, shift, *channel_shift = self._entries(state)
        mixed_BTD, matrix, shift = self.time_mix(x_BTD, matrix, shift)
        if not channel_shift:
            return mixed_BTD, self._state(matrix, shift)
        added_BTD, last = self.channel_mix(self.norm(x_BTD + mixed_BTD), *channel_shift)
        return mixed_BTD + added_BTD, self._state(matrix, shift, last)


def shift_tokens(x_BTD: Tensor, last_B1D: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each token how the token before differs from it, and the last token."""
    return torch.cat([last_B1D, x_BTD[:, :-1]], 1) - x_BTD, x_BTD[:, -1:]


class TimeMix(nn.Module):
    """Data-dependent token shifts, and a recurrence with data-dependent decays.

    Source: Peng et al. 2024, time mixing of Finch.
    """

    def __init__(self, config: RWKV6Config, width: int) -> None:
        super().__init__()
        self.config = config
        self.order = "wkvrg"
        """Which of the shifted inputs stands where in `shifts`, `choose` and `chosen`: decays, keys, values, queries
        and gates as in the code of the paper; checkpoints of other code have another."""
        place = torch.arange(width) / width
        early, late = 1 - place ** (1 - _DEPTH), 1 - place ** (0.5 * (1 - _DEPTH))
        self.shift_all = nn.Parameter(early.clone())
        """[D]; how much of the token before goes into what chooses the shifts."""
        self.shifts = nn.Parameter(torch.stack([early, early, early - 0.3 * _DEPTH, late, late]))
        """[S, D]; how much of it goes, whatever the data, into decays, keys, values, queries and gates."""
        self.choose = nn.Parameter(torch.zeros(width, len(self.shifts) * config.shift_rank))
        """[D, S * R]"""
        self.chosen = nn.Parameter(torch.empty(len(self.shifts), config.shift_rank, width).uniform_(-0.01, 0.01))
        """[S, R, D]"""
        self.key, self.value, self.receptance, self.gate, self.output = (
            nn.Linear(width, width, bias=False) for _ in range(5)
        )
        channel = torch.arange(width) / max(width - 1, 1)
        low, high = torch.tensor(config.initial_rates).log()
        self.log_rates = nn.Parameter(low + (high - low) * channel ** (0.7 + 1.3 * _DEPTH))
        """[D]; a channel whose input says nothing decays by the exponential of minus their exponential."""
        self.decay_in = nn.Parameter(torch.zeros(width, config.decay_rank))
        self.decay_out = nn.Parameter(torch.empty(config.decay_rank, width).uniform_(-0.01, 0.01))
        zigzag = 0.1 * ((torch.arange(width) + 1) % 3 - 1)
        self.bonus = nn.Parameter((_DEPTH * (1 - channel) + zigzag).unflatten(0, (-1, config.head_size)))
        """[H, K]; weight of a token's own key."""
        self.norm_weight = nn.Parameter(torch.ones_like(self.bonus))
        self.norm_bias = nn.Parameter(torch.zeros_like(self.bonus))

    def forward(self, x_BTD: Tensor, matrix_BHKK: Tensor, last_B1D: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mix along time; return the outputs, the matrix and the last input."""
        change_BTD, last_B1D = shift_tokens(x_BTD, last_B1D)
        to = dict(zip(self.order, self._shifted(x_BTD, change_BTD), strict=True))
        projected = self.receptance(to["r"]), self.key(to["k"]), self.value(to["v"]), self._decay(to["w"])
        r, k, v, log_decay = (x.unflatten(2, self.bonus.shape) for x in projected)
        y_BTHK, matrix_BHKK = gated_linear_scan(
            r, k, v, log_decay, matrix_BHKK, bonus_HK=self.bonus, chunk=self.config.chunk
        )
        y_BTHK = (
            F.layer_norm(y_BTHK, y_BTHK.shape[3:], eps=self.config.norm_epsilon) * self.norm_weight + self.norm_bias
        )
        return self.output(y_BTHK.flatten(2) * F.silu(self.gate(to["g"]))), matrix_BHKK, last_B1D

    def _shifted(self, x_BTD: Tensor, change_BTD: Tensor) -> tuple[Tensor, ...]:
        """Return the inputs moved towards the token before, once for each use."""
        low_rank = torch.tanh(torch.addcmul(x_BTD, change_BTD, self.shift_all) @ self.choose)
        weight_SXD = low_rank.flatten(0, 1).unflatten(1, (len(self.shifts), -1)).transpose(0, 1) @ self.chosen
        weights = (weight_SXD + self.shifts[:, None]).unflatten(1, x_BTD.shape[:2]).unbind(0)
        return tuple(torch.addcmul(x_BTD, change_BTD, weight_BTD) for weight_BTD in weights)

    def _decay(self, x_BTD: Tensor) -> Tensor:
        """Return the log decays [B, T, D]."""
        return -(precise(torch.tanh(x_BTD @ self.decay_in) @ self.decay_out) + self.log_rates).exp()


class ChannelMix(nn.Module):
    """The feed-forward half: a gated squared rectifier after fixed token shifts.

    Source: Peng et al. 2024, channel mixing of Finch.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        early = 1 - (torch.arange(width) / width) ** (1 - _DEPTH)
        self.shift_key, self.shift_receptance = nn.Parameter(early.clone()), nn.Parameter(early.clone())
        """[D] each; how much of the token before goes into keys and receptances."""
        self.key = nn.Linear(width, hidden, bias=False)
        self.value = nn.Linear(hidden, width, bias=False)
        self.receptance = nn.Linear(width, width, bias=False)

    def forward(self, x_BTD: Tensor, last_B1D: Tensor) -> tuple[Tensor, Tensor]:
        """Mix over channels; return the outputs and the last input."""
        change_BTD, last_B1D = shift_tokens(x_BTD, last_B1D)
        key_BTF = self.key(torch.addcmul(x_BTD, change_BTD, self.shift_key))
        receptance_BTD = self.receptance(torch.addcmul(x_BTD, change_BTD, self.shift_receptance))
        return receptance_BTD.sigmoid() * self.value(F.relu(key_BTF).square()), last_B1D
