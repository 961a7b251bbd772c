"""The mixer of gated linear attention: a linear recurrence with a decay a key channel.

Shape letters: B batch rows, T tokens, D width, H heads, K key channels and V value channels of a head, R rank of the
gate.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.models.mixers.base import MixerConfig, Recurrence, norm_epsilon, share
from lengthwise.models.mixers.initialisation import precise
from lengthwise.scans.gla import CHUNK, gated_linear_scan
from lengthwise.settings import LARGEST
from lengthwise.state import State


class GLAConfig(MixerConfig):
    """Settings of a mixer of gated linear attention.

    A channel whose gate is at its bias decays by ``sigmoid(initial_gate_bias) ** (1 / gate_normaliser)`` a token: raise
    either to start with slower decays.
    """

    name: Literal["gla"] = "gla"
    heads: int = Field(default=4, ge=1)
    """H."""
    key_expansion: float = Field(default=0.5, gt=0, le=LARGEST)
    """Key channels of all heads together, as a multiple of the width."""
    value_expansion: float = Field(default=1.0, gt=0, le=LARGEST)
    """Value channels of all heads together, as a multiple of the width."""
    gate_rank: int = Field(default=16, ge=1)
    """R, rank of the map to the gates."""
    gate_normaliser: float = Field(default=16.0, gt=0)
    """The log decay is the log-sigmoid of the gate over this."""
    initial_gate_bias: float = 0.0
    """Bias of every gate at first."""
    norm_epsilon: float = norm_epsilon(1e-5)
    """Added to the mean squares of what a head reads."""
    chunk: int = Field(default=CHUNK, ge=1)
    """Tokens that the scan takes at a time, a power of two; it changes speed and memory, and results by rounding
    only."""

    def build(self, width: int) -> GLA:
        """Return a freshly initialised mixer."""
        return GLA(self, width)


class GLA(Recurrence):
    """Gated linear attention.

    Its state has `matrix` [B, H, K, V], in float32 at least.

    Raises:
        InputError: the heads do not divide the key or value channels.

    Source: Yang et al. 2023, section 4.4, initialised as in their code.

    Example:
        >>> mixer = GLAConfig(heads=2).build(width=32)
        >>> y_BTD, state = mixer(torch.randn(2, 5, 32), mixer.initial_state(2))
        >>> y_BTD.shape, state["matrix"].shape
        (torch.Size([2, 5, 32]), torch.Size([2, 2, 8, 16]))
    """

    def __init__(self, config: GLAConfig, width: int) -> None:
        keys, values = round(config.key_expansion * width), round(config.value_expansion * width)
        K = share(keys, config.heads, f"{keys} key channels")
        V = share(values, config.heads, f"{values} value channels")
        super().__init__({"matrix": (config.heads, K, V)})
        self.config = config
        self.sizes = [keys, keys, values, values, config.gate_rank]
        """Channels of queries, keys, values, output gates and of the low rank of the decay gates."""
        self.expand = nn.Linear(width, sum(self.sizes), bias=False)
        self.gate = nn.Linear(config.gate_rank, keys)
        self.norm_weight = nn.Parameter(torch.ones(V))
        """[V]"""
        self.contract = nn.Linear(values, width, bias=False)
        for weight in (*self.expand.weight.split(self.sizes), self.gate.weight, self.contract.weight):
            nn.init.xavier_uniform_(weight, gain=2**-2.5)
        nn.init.constant_(self.gate.bias, config.initial_gate_bias)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Mix along time."""
        q, k, v, output_gate, low_rank_BTR = self.expand(x_BTD).split(self.sizes, -1)
        log_decay = F.logsigmoid(precise(self.gate(low_rank_BTR))) / self.config.gate_normaliser
        q_BTHK, k_BTHK, v_BTHV, log_decay_BTHK = (x.unflatten(2, (self.config.heads, -1)) for x in (q, k, v, log_decay))
        y_BTHV, matrix_BHKV = gated_linear_scan(
            q_BTHK * q_BTHK.shape[3] ** -0.5, k_BTHK, v_BTHV, log_decay_BTHK, state["matrix"], chunk=self.config.chunk
        )
        y_BTHV = F.rms_norm(y_BTHV, self.norm_weight.shape, self.norm_weight, self.config.norm_epsilon)
        return self.contract(y_BTHV.flatten(2) * F.silu(output_gate)), self._state(matrix_BHKV)
