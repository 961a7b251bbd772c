"""The mixers of xLSTM: scalar memories that mix (sLSTM) and matrix memories (mLSTM), both with exponential gates.

Shape letters: B batch rows, T tokens, D width, H heads, K key channels and V value channels or units of a head, G = 4 V
preactivations of a head.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.models.mixers.base import MixerConfig, Recurrence, share
from lengthwise.models.mixers.initialisation import precise
from lengthwise.scans.mamba2 import CHUNK
from lengthwise.scans.xlstm import MatrixMemory, ScalarMemory, mlstm_scan, slstm_scan
from lengthwise.settings import LARGEST
from lengthwise.state import State


class ExponentialConfig(MixerConfig):
    """Settings that these mixers share."""

    heads: int = Field(default=4, ge=1)
    """H."""
    forget_gate: Literal["sigmoid", "exponential"] = "sigmoid"
    """What a forget gate's preactivation goes through."""
    initial_forget_bias: tuple[float, float] = (3.0, 6.0)
    """Ends of the range over which the biases of the forget gates are spread at first."""


class SLSTMConfig(ExponentialConfig):
    """Settings of an sLSTM mixer."""

    name: Literal["slstm"] = "slstm"
    hidden_size: int = Field(default=128, ge=1)
    """Units of all heads together."""

    def build(self, width: int) -> SLSTM:
        """Return a freshly initialised mixer."""
        return SLSTM(self, width)


class MLSTMConfig(ExponentialConfig):
    """Settings of an mLSTM mixer."""

    name: Literal["mlstm"] = "mlstm"
    key_expansion: float = Field(default=0.5, gt=0, le=LARGEST)
    """Key channels of all heads together, as a multiple of the width."""
    value_expansion: float = Field(default=1.0, gt=0, le=LARGEST)
    """Value channels of all heads together, as a multiple of the width."""
    gate_cap: float | None = Field(default=None, gt=0)
    """Bound that preactivations x of the gates approach, ``cap * tanh(x / cap)``; none by default, 15 in xLSTM-7B."""
    chunk: int = Field(default=CHUNK, ge=1)
    """Tokens that the scan takes at a time; it changes speed and memory, and results by rounding only."""

    def build(self, width: int) -> MLSTM:
        """Return a freshly initialised mixer."""
        return MLSTM(self, width)


class SLSTM(Recurrence):
    """Scalar memories with exponential gates; the units of a head read each other's last outputs.

    Its state has `cell`, `normaliser`, `stabiliser` and `hidden`, [B, H, V] each, in float32 at least. At zero it holds
    nothing: the first token then sets the stabiliser.

    Raises:
        InputError: the heads do not divide the units.

    Source: Beck et al. 2024, section 2.2 and equations 8 to 18, followed by a norm of each head as in its figure 10 and
    by an output projection. Recurrent weights start uniform over 1 / sqrt(V), not at zero as in their code.

    Example:
        >>> mixer = SLSTMConfig(hidden_size=8, heads=2).build(width=32)
        >>> y_BTD, state = mixer(torch.randn(2, 5, 32), mixer.initial_state(2))
        >>> y_BTD.shape, state["cell"].shape
        (torch.Size([2, 5, 32]), torch.Size([2, 2, 4]))
    """

    def __init__(self, config: SLSTMConfig, width: int) -> None:
        units = share(config.hidden_size, config.heads, f"{config.hidden_size} units")
        super().__init__(dict.fromkeys(("cell", "normaliser", "stabiliser", "hidden"), (config.heads, units)))
        self.config = config
        self.expand = nn.Linear(width, 4 * config.hidden_size)
        """To the preactivations of each head: input gate, forget gate, cell input, output gate."""
        self.recurrence = nn.Parameter(torch.empty(config.heads, units, 4 * units).uniform_(-1, 1) * units**-0.5)
        """[H, V, G]"""
        self.norm_weight = nn.Parameter(torch.ones(config.hidden_size))
        """[H V]"""
        self.output = nn.Linear(config.hidden_size, width, bias=False)
        nn.init.zeros_(self.expand.bias)
        with torch.no_grad():
            self.expand.bias.view(config.heads, 4, units)[:, 1] = torch.linspace(*config.initial_forget_bias, units)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Mix along time."""
        x_BTHG = self.expand(x_BTD).unflatten(2, (self.config.heads, -1))
        memory, exponential = ScalarMemory(*self._entries(state)), self.config.forget_gate == "exponential"
        y_BTHV, memory = slstm_scan(x_BTHG, self.recurrence, memory, exponential_forget=exponential)
        return self.output(_norm(y_BTHV) * self.norm_weight), self._state(*memory)


class MLSTM(Recurrence):
    """Matrix memories with exponential gates.

    Its state has `matrix` [B, H, K, V], `normaliser` [B, H, K] and `stabiliser` [B, H], in float32 at least. At zero it
    holds nothing, and a zero stabiliser is as good as any.

    Raises:
        InputError: the heads do not divide the key or value channels.

    Source: Beck et al. 2024, equations 19 to 27, between the projections of Beck et al. 2025 (xLSTM-7B), figure 2:
    keys, queries and values straight from the input, a norm of each head, a sigmoid output gate. The gates' biases
    start as in their code, and their weights as those of any linear layer of torch, not at zero.

    Example:
        >>> mixer = MLSTMConfig(heads=2).build(width=32)
        >>> y_BTD, state = mixer(torch.randn(2, 5, 32), mixer.initial_state(2))
        >>> y_BTD.shape, state["matrix"].shape
        (torch.Size([2, 5, 32]), torch.Size([2, 2, 8, 16]))
    """

    def __init__(self, config: MLSTMConfig, width: int) -> None:
        H, keys, values = config.heads, round(config.key_expansion * width), round(config.value_expansion * width)
        K, V = share(keys, H, f"{keys} key channels"), share(values, H, f"{values} value channels")
        super().__init__({"matrix": (H, K, V), "normaliser": (H, K), "stabiliser": (H,)})
        self.config = config
        self.sizes = [keys, keys, values, values]
        """Channels of queries, keys, values and output gates."""
        self.expand = nn.Linear(width, sum(self.sizes), bias=False)
        self.gates = nn.Linear(width, 2 * H)
        """To the preactivations of all input gates, then of all forget gates."""
        self.norm_weight = nn.Parameter(torch.ones(values))
        """[H V]"""
        self.output = nn.Linear(values, width, bias=False)
        nn.init.normal_(self.gates.bias, std=0.1)
        with torch.no_grad():
            self.gates.bias[H:] = torch.linspace(*config.initial_forget_bias, H)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Mix along time."""
        *projected, out_BTX = self.expand(x_BTD).split(self.sizes, -1)
        q_BTHK, k_BTHK, v_BTHV = (y.unflatten(2, (self.config.heads, -1)) for y in projected)
        log_input_BTH, forget_BTH = self._capped(precise(self.gates(x_BTD))).chunk(2, -1)
        log_forget_BTH = forget_BTH if self.config.forget_gate == "exponential" else F.logsigmoid(forget_BTH)
        q_BTHK, memory = q_BTHK * q_BTHK.shape[3] ** -0.5, MatrixMemory(*self._entries(state))
        y_BTHV, memory = mlstm_scan(
            q_BTHK, k_BTHK, v_BTHV, log_input_BTH, log_forget_BTH, memory, chunk=self.config.chunk
        )
        return self.output(_norm(y_BTHV) * self.norm_weight * out_BTX.sigmoid()), self._state(*memory)

    def _capped(self, gates: Tensor) -> Tensor:
        cap = self.config.gate_cap
        return gates if cap is None else cap * (gates / cap).tanh()


def _norm(y_BTHV: Tensor) -> Tensor:
    """Return the layer norm of each head, [B, T, H V]."""
    return F.layer_norm(y_BTHV, y_BTHV.shape[3:], eps=1e-6).flatten(2)
