"""The time mix of RWKV-7: a recurrence that decays each channel, and moves what it holds under one key to another.

Shape letters: B batch rows, T tokens, D width, H heads, K channels of a head, R rank, S number of shifted inputs.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.models.mixers.base import norm_epsilon
from lengthwise.models.mixers.initialisation import precise
from lengthwise.models.mixers.rwkv6 import shift_tokens
from lengthwise.scans.low_rank import CHUNK, low_rank_scan
from lengthwise.settings import LARGEST, Settings

_FASTEST = -math.exp(-0.5)
"""The lowest log decay of a token."""


class RWKV7Config(Settings):
    """Settings of the blocks of RWKV-7."""

    name: Literal["rwkv7"] = "rwkv7"
    head_size: int = Field(default=64, ge=1)
    """K, key and value channels of each head; must divide the width."""
    decay_rank: int = Field(default=64, ge=1)
    """Rank of the map to the decays."""
    rate_rank: int = Field(default=64, ge=1)
    """Rank of the map to the rates at which what is held under a key is replaced."""
    value_rank: int = Field(default=32, ge=1)
    """Rank of the map to how much of the first layer's values goes into those of a later one."""
    gate_rank: int = Field(default=128, ge=1)
    """Rank of the map to the output gates."""
    channel_mix: float = Field(default=4.0, gt=0, le=LARGEST)
    """Hidden channels of the channel mix as a multiple of the width."""
    norm_epsilon: float = norm_epsilon(64e-5)
    """Added to the variances of what a head reads."""
    chunk: int = Field(default=CHUNK, ge=1)
    """Tokens that the scan takes at a time, a power of two; it changes speed and memory, and results by rounding
    only."""


class LowRank(nn.Module):
    """A map through few channels, zero at first but for its bias."""

    def __init__(self, width: int, rank: int, bias: Tensor | None = None) -> None:
        super().__init__()
        self.inner = nn.Parameter(torch.zeros(width, rank))
        """[D, R]"""
        self.outer = nn.Parameter(0.1 * nn.init.orthogonal_(torch.empty(rank, width)) * max(1, rank / width) ** 0.5)
        """[R, D]"""
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, x_BTD: Tensor, activation: nn.Module | None = None) -> Tensor:
        """Return [B, T, D]."""
        low_BTR = x_BTD @ self.inner
        y_BTD = (low_BTR if activation is None else activation(low_BTR)) @ self.outer
        return y_BTD if self.bias is None else y_BTD + self.bias


class TimeMix(nn.Module):
    """Fixed token shifts, and a recurrence whose transitions are diagonal plus of rank one.

    Args:
        config: the settings.
        width: D.
        depth: of the layer, from 0 to 1: how parameters start.
        first: whether it is the first layer, whose values later layers mix into theirs.

    Source: Peng et al. 2025 (Goose), figure 1 and appendix; initialised as in their code.
    """

    def __init__(self, config: RWKV7Config, width: int, depth: float, first: bool) -> None:
        super().__init__()
        size, heads = config.head_size, width // config.head_size
        self.config = config
        place, spread = torch.arange(width) / width, torch.arange(width) / max(width - 1, 1)
        zigzag = (torch.arange(width) % size - (size - 1) / 2) / max((size - 1) / 2, 1)
        zigzag, centred = zigzag * zigzag.abs(), spread - 0.5
        powers = [power * (1 - depth) for power in (0.2, 0.9, 0.7, 0.7, 0.9, 0.2)]
        self.shifts = nn.Parameter(torch.stack([1 - place**power for power in powers]))
        """[S, D]; how much of the token before goes into queries, decays, keys, values, rates and gates."""
        self.receptance, self.key, self.value, self.output = (nn.Linear(width, width, bias=False) for _ in range(4))
        nn.init.orthogonal_(self.key.weight, 0.1)
        self.decay = LowRank(width, config.decay_rank, 6 * spread ** (1 + depth**0.3) - 5.5 + 2.5 * zigzag)
        self.rate = LowRank(width, config.rate_rank, 0.3 * zigzag + 0.4 * centred - 0.19)
        self.gate = LowRank(width, config.gate_rank)
        # No gate may start as nothing: what stands behind it would get no gradient.
        nn.init.orthogonal_(self.gate.inner, 0.1)
        self.from_first = None if first else LowRank(width, config.value_rank, 0.73 - 0.4 * centred)
        self.removal = nn.Parameter(0.71 - 0.1 * centred)
        """[D]; scales keys before they are normalised to what is replaced."""
        self.rate_in_key = nn.Parameter(torch.full((width,), 1.02))
        """[D]; how much the rate goes into the key that is written."""
        self.bonus = nn.Parameter(torch.full((heads, size), -0.04))
        """[H, K]; weight of a token's own key."""
        self.norm_weight = nn.Parameter(torch.ones(heads, size))
        self.norm_bias = nn.Parameter(torch.zeros(heads, size))

    def forward(
        self, x_BTD: Tensor, matrix_BHKK: Tensor, last_B1D: Tensor, first_BTD: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mix along time; return the outputs, the matrix, the last input, and the values of the first layer."""
        change_BTD, last_B1D = shift_tokens(x_BTD, last_B1D)
        for_r, for_w, for_k, for_v, for_a, for_g = (
            torch.addcmul(x_BTD, change_BTD, shift_D) for shift_D in self.shifts
        )
        r, k, v = self.receptance(for_r), self.key(for_k), self.value(for_v)
        log_decay = _FASTEST * precise(self.decay(for_w, nn.Tanh())).sigmoid()
        rate = self.rate(for_a).sigmoid()
        of_first_BTD = v if first_BTD is None else first_BTD
        if self.from_first is not None:
            v = torch.lerp(v, of_first_BTD, self.from_first(for_v).sigmoid())
        removed_BTHK = F.normalize(self._heads(precise(k * self.removal)), dim=-1)
        r, k, v, log_decay, rate = map(self._heads, (r, k * (1 + (rate - 1) * self.rate_in_key), v, log_decay, rate))
        y_BTHK, matrix_BHKK = low_rank_scan(
            r, k, v, log_decay, -removed_BTHK, removed_BTHK * rate, matrix_BHKK, chunk=self.config.chunk
        )
        y_BTHK = (
            F.layer_norm(y_BTHK, y_BTHK.shape[3:], eps=self.config.norm_epsilon) * self.norm_weight + self.norm_bias
        )
        y_BTHK = y_BTHK + (r * k * self.bonus).sum(-1, keepdim=True) * v
        y_BTD = self.output(y_BTHK.flatten(2) * self.gate(for_g, nn.Sigmoid()))
        return y_BTD, matrix_BHKK, last_B1D, of_first_BTD

    def _heads(self, x_BTD: Tensor) -> Tensor:
        return x_BTD.unflatten(2, (-1, self.config.head_size))


class ChannelMix(nn.Module):
    """The feed-forward half: a squared rectifier after a fixed token shift.

    Source: Peng et al. 2025, channel mixing of Goose.
    """

    def __init__(self, width: int, hidden: int, depth: float) -> None:
        super().__init__()
        self.shift_key = nn.Parameter(1 - (torch.arange(width) / width) ** (1 - depth) ** 4)
        """[D]; how much of the token before goes in."""
        self.key = nn.Linear(width, hidden, bias=False)
        self.value = nn.Linear(hidden, width, bias=False)

    def forward(self, x_BTD: Tensor, last_B1D: Tensor) -> tuple[Tensor, Tensor]:
        """Mix over channels; return the outputs and the last input."""
        change_BTD, last_B1D = shift_tokens(x_BTD, last_B1D)
        return self.value(F.relu(self.key(torch.addcmul(x_BTD, change_BTD, self.shift_key))).square()), last_B1D
