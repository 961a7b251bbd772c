"""Causal softmax attention with a cache of keys and values, and the positions that act inside it.

Shape letters: B batch rows, T tokens, S keys, D width, H heads, K channels of a head, P rows of positions (B where
every row has its own, otherwise 1), Q queries that attend at a time.
"""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.models.mixers.base import Mixer, MixerConfig, share
from lengthwise.models.positions import DrawnPositions, RandomPositions, wave_frequencies, waves
from lengthwise.state import Kind, State


class AttentionConfig(MixerConfig):
    """Settings of causal softmax attention."""

    name: Literal["attention"] = "attention"
    heads: int = Field(default=4, ge=1)
    """H; must divide the width."""
    positions: Literal["none", "rope", "alibi", "relative"] = "none"
    """``rope``: keys and queries turned by their position; ``alibi``: a penalty that grows with the distance;
    ``relative``: learned functions of waves of the distance, as in Transformer-XL and Deletang et al. 2023."""
    randomised: DrawnPositions | None = None
    """Positions drawn at random in training, by each layer for itself; counted by default."""
    window: int | None = Field(default=None, ge=1)
    """How many of the last tokens a token attends to, itself among them; all by default."""
    chunk: int = Field(default=128, ge=1)
    """Q, queries that attend at a time; it changes speed and memory, and results by rounding only."""

    @model_validator(mode="after")
    def _randomised_positions_are_used(self) -> Self:
        if self.randomised is not None and self.positions == "none":
            raise ValueError("randomised needs positions that it can act on: rope, alibi or relative")
        return self

    def build(self, width: int) -> Attention:
        """Return a freshly initialised mixer."""
        return Attention(self, width)


class Attention(Mixer):
    """Causal multi-head softmax attention.

    Its state has `keys` and `values` [B, S, H, K] of all that later tokens attend to, S = 0 at first; with randomised
    positions also the keys' `positions` [B, S], and what is left to draw from.

    Raises:
        InputError: the heads do not divide the width, or the positions need an even number of channels.

    Source: Vaswani et al. 2017, section 3.2, without biases.
    """

    def __init__(self, config: AttentionConfig, width: int) -> None:
        super().__init__()
        channels = share(width, config.heads, f"width {width}")
        self.config = config
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.positions = _ENCODINGS[config.positions](config.heads, channels)
        self.drawn = None if config.randomised is None else RandomPositions(config.randomised)
        self.output = nn.Linear(width, width, bias=False)

    def initial_state(self, batch_size: int) -> State:
        """Return an empty cache."""
        weight = self.project.weight
        empty = weight.new_zeros(batch_size, 0, self.config.heads, weight.shape[1] // self.config.heads)
        if self.drawn is None:
            return _cache(None, keys=empty, values=empty)
        positions = torch.zeros(batch_size, 0, dtype=torch.int64, device=weight.device)
        drawn = self.drawn.initial_state(batch_size, weight.device)
        return _cache(drawn, keys=empty, values=empty, positions=positions)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Mix along time."""
        q_BTHK, k_BTHK, v_BTHK = self.project(x_BTD).unflatten(-1, (3, self.config.heads, -1)).unbind(2)
        k_BSHK = torch.cat([state["keys"], k_BTHK], 1)
        v_BSHK = torch.cat([state["values"], v_BTHK], 1)
        positions_PS, drawn = torch.arange(k_BSHK.shape[1], device=x_BTD.device)[None], None
        if self.drawn is not None:
            new_BT, drawn = self.drawn(x_BTD.shape[1], state)
            positions_PS = torch.cat([state["positions"], new_BT], 1)
        y_BTD = self._attend(q_BTHK, k_BSHK, v_BSHK, positions_PS).flatten(2)
        # Later tokens see one key fewer of the past than the window is wide: it holds themselves as well.
        kept = slice(max(0, k_BSHK.shape[1] + 1 - self.config.window) if self.config.window else 0, None)
        entries = {"keys": k_BSHK[:, kept], "values": v_BSHK[:, kept]}
        if drawn is not None:
            entries["positions"] = positions_PS[:, kept]
        return self.output(y_BTD), _cache(drawn, **entries)

    def _attend(self, q_BTHK: Tensor, k_BSHK: Tensor, v_BSHK: Tensor, positions_PS: Tensor) -> Tensor:
        """Return what the queries, those of the last T keys, read: [B, T, H, K]."""
        past = k_BSHK.shape[1] - q_BTHK.shape[1]
        window = self.config.window or k_BSHK.shape[1]
        read = list[Tensor]()
        for start in range(past, k_BSHK.shape[1], self.config.chunk):
            end = min(start + self.config.chunk, k_BSHK.shape[1])
            first = max(0, start + 1 - window)
            index_S = torch.arange(first, end, device=q_BTHK.device)
            behind_QS = index_S[start - first :, None] - index_S
            # Only distances matter, and angles of small numbers are precise however long the sequence is.
            at_P1S = positions_PS[:, None, first:end] - positions_PS[:, None, start, None]
            q_BHQK = q_BTHK[:, start - past : end - past].transpose(1, 2)
            k_BHSK, v_BHSK = (x[:, first:end].transpose(1, 2) for x in (k_BSHK, v_BSHK))
            y_BHQK = self.positions(q_BHQK, k_BHSK, v_BHSK, at_P1S, (behind_QS >= 0) & (behind_QS < window))
            read.append(y_BHQK.transpose(1, 2))
        return torch.cat(read, 1)


class Unordered(nn.Module):
    """Attention that does not know positions, but for what it may not see."""

    def __init__(self, heads: int, channels: int) -> None:
        super().__init__()
        self.heads, self.channels = heads, channels

    def forward(self, q_BHQK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, at_P1S: Tensor, visible_QS: Tensor) -> Tensor:
        """Return what the queries read, [B, H, Q, K].

        Args:
            q_BHQK: queries, those of the last keys.
            k_BHSK: keys.
            v_BHSK: what is read.
            at_P1S: the positions of the keys, from the first query on.
            visible_QS: which keys a query sees.
        """
        return F.scaled_dot_product_attention(q_BHQK, k_BHSK, v_BHSK, visible_QS)


class RoPE(Unordered):
    """Rotary positions: pairs of channels of queries and keys are turned by angles in proportion to their position.

    Channel i goes with channel i + K / 2, as in transformers' Llama.

    Source: Su et al. 2021, section 3.2.2.
    """

    def __init__(self, heads: int, channels: int) -> None:
        super().__init__(heads, channels)
        wave_frequencies(channels, torch.device("cpu"))

    def forward(self, q_BHQK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, at_P1S: Tensor, visible_QS: Tensor) -> Tensor:
        """Return what the queries read, [B, H, Q, K]; see `Unordered`."""
        q_BHQK, k_BHSK = _turn(q_BHQK, at_P1S[..., -q_BHQK.shape[2] :]), _turn(k_BHSK, at_P1S)
        return F.scaled_dot_product_attention(q_BHQK, k_BHSK, v_BHSK, visible_QS)


class ALiBi(Unordered):
    """Linear biases: a head subtracts its slope times the distance from what a query gives a key.

    Source: Press et al. 2022, section 3; slopes of a number of heads that is no power of two as in their code.
    """

    def forward(self, q_BHQK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, at_P1S: Tensor, visible_QS: Tensor) -> Tensor:
        """Return what the queries read, [B, H, Q, K]; see `Unordered`."""
        slopes_H = torch.tensor(alibi_slopes(self.heads), dtype=v_BHSK.dtype, device=v_BHSK.device)
        distance_P1QS = at_P1S[..., -q_BHQK.shape[2] :, None] - at_P1S[:, :, None]
        bias_PHQS = -slopes_H[:, None, None] * distance_P1QS.to(v_BHSK.dtype)
        bias_PHQS = bias_PHQS.masked_fill(~visible_QS, -math.inf)
        return F.scaled_dot_product_attention(q_BHQK, k_BHSK, v_BHSK, bias_PHQS)


class Relative(Unordered):
    """Relative positions: a query also meets a learned linear map of waves of its distance to the key.

    The logits are ((q + u) k + (q + v) W r(distance)) / sqrt(K), with r of as many channels as the width.

    Source: Dai et al. 2019 (Transformer-XL), section 3.3, which is what Deletang et al. 2023 call relative encodings.
    """

    def __init__(self, heads: int, channels: int) -> None:
        super().__init__(heads, channels)
        self.content_bias = nn.Parameter(0.02 * torch.randn(heads, channels))
        """u [H, K]"""
        self.distance_bias = nn.Parameter(0.02 * torch.randn(heads, channels))
        """v [H, K]"""
        self.waves = nn.Linear(heads * channels, heads * channels, bias=False)
        """W, from waves to the keys of all heads."""
        wave_frequencies(heads * channels, torch.device("cpu"))

    def forward(self, q_BHQK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, at_P1S: Tensor, visible_QS: Tensor) -> Tensor:
        """Return what the queries read, [B, H, Q, K]; see `Unordered`."""
        weight_HKD = self.waves.weight.unflatten(0, (self.heads, self.channels))
        waves_P1SD = waves(at_P1S, weight_HKD.shape[-1], v_BHSK.dtype)
        wanted_BHQD = (q_BHQK + self.distance_bias[:, None]) @ weight_HKD
        wanted_BHQD = _by_distance(wanted_BHQD, waves_P1SD[..., -q_BHQK.shape[2] :, :])
        q_BHQE = torch.cat([q_BHQK + self.content_bias[:, None], wanted_BHQD], -1)
        k_BHSE = torch.cat([k_BHSK, waves_P1SD.expand(*k_BHSK.shape[:3], -1)], -1)
        return F.scaled_dot_product_attention(q_BHQE, k_BHSE, v_BHSK, visible_QS, scale=self.channels**-0.5)


_ENCODINGS: dict[str, type[Unordered]] = {"none": Unordered, "rope": RoPE, "alibi": ALiBi, "relative": Relative}


def alibi_slopes(heads: int) -> list[float]:
    """Return the slope of each head: powers of 2**(-8 / H) where H is a power of two.

    For other H the slopes of the power of two below, then every second one of the power of two above.
    """
    below = 2 ** (heads.bit_length() - 1)
    slopes = [2 ** (-8 * (i + 1) / below) for i in range(below)]
    if below == heads:
        return slopes
    return slopes + alibi_slopes(2 * below)[::2][: heads - below]


def _turn(x_BHTK: Tensor, positions_P1T: Tensor) -> Tensor:
    """Turn pairs of channels by their position, in float32 at least."""
    sin, cos = waves(positions_P1T, x_BHTK.shape[-1], torch.promote_types(x_BHTK.dtype, torch.float32)).chunk(2, -1)
    first, second = x_BHTK.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1).to(x_BHTK.dtype)


def _by_distance(wanted_BHQD: Tensor, waves_P1QD: Tensor) -> Tensor:
    """Return what must meet waves of a key's position, so that it meets waves of the distance to the key.

    From sin(q - k) = sin q cos k - cos q sin k and cos(q - k) = cos q cos k + sin q sin k: it spares waves for every
    pair of a query and a key.
    """
    of_sin, of_cos = wanted_BHQD.chunk(2, -1)
    sin, cos = waves_P1QD.chunk(2, -1)
    return torch.cat([of_cos * sin - of_sin * cos, of_sin * sin + of_cos * cos], -1)


def _cache(drawn: State | None, **entries: Tensor) -> State:
    """Return the state of these entries, and where positions are drawn of what is left to draw from."""
    kinds = dict.fromkeys(entries, Kind.CACHE)
    return State(entries, kinds) if drawn is None else State({**entries, **drawn}, {**kinds, **drawn.kinds})
