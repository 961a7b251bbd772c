"""The mixers DeltaNet and Gated DeltaNet: a fast weight memory that replaces what it holds under a key.

Shape letters: B batch rows, T tokens, D width, H heads, K key channels and V value channels of a head,
E = H (2 K + V) channels of the convolution, I = H V channels of the readout.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.models.mixers.base import MixerConfig, Recurrence, norm_epsilon, share
from lengthwise.models.mixers.convolution import ShortConvolution
from lengthwise.models.mixers.initialisation import PositiveRange, inverse_softplus, log_uniform, precise
from lengthwise.scans.delta import CHUNK, delta_scan
from lengthwise.scans.low_rank import low_rank_scan
from lengthwise.state import State


class DeltaConfig(MixerConfig):
    """Settings that both mixers share."""

    heads: int = Field(default=4, ge=1)
    """H, independent memories side by side."""
    key_width: int | None = Field(default=None, ge=1)
    """K, rows of the state of a head; the width over the heads by default."""
    value_width: int | None = Field(default=None, ge=1)
    """V, columns of the state of a head; K in DeltaNet, 2 K in Gated DeltaNet by default."""
    convolution: int = Field(default=4, ge=1)
    """Taps of the short convolution over queries, keys and values."""
    negative_eigenvalues: bool = False
    """Whether beta lies in (0, 2) rather than (0, 1), so that a memory can change its sign (Grazzi et al. 2024)."""
    norm_epsilon: float = norm_epsilon(1e-6)
    """Added to the mean squares of what a head reads."""
    chunk: int = Field(default=CHUNK, ge=1)
    """Tokens that the scan takes at a time; it changes speed and memory, and results by rounding only."""

    def build(self, width: int) -> Recurrence:
        """Return a freshly initialised mixer."""
        return DeltaNet(self, width)


class DeltaNetConfig(DeltaConfig):
    """Settings of a DeltaNet mixer."""

    name: Literal["deltanet"] = "deltanet"


class GatedDeltaNetConfig(DeltaConfig):
    """Settings of a Gated DeltaNet mixer.

    A head forgets half of what it holds in ``log(2) / (rate * step)`` tokens; `initial_rates` and `initial_steps` say
    over how many tokens a fresh mixer remembers.
    """

    name: Literal["gated_deltanet"] = "gated_deltanet"
    initial_rates: PositiveRange = (1e-2, 16.0)
    """Smallest and largest rate A of a head, uniform at first."""
    initial_steps: PositiveRange = (1e-3, 1e-1)
    """Smallest and largest step size dt of a head, log-uniform at first."""


class DeltaNet(Recurrence):
    """Linear attention whose memory is updated by the delta rule.

    Gated DeltaNet is the same with a memory that also decays, by an amount that depends on the input, and with an
    output that is gated. The state has `matrix` [B, H, K, V], in float32 at least, and the conv state of the
    convolution.

    Raises:
        InputError: the heads do not divide the width.

    Source: Yang, Wang, Zhang, Shen, Kim 2024, "Parallelizing Linear Transformers with the Delta Rule over Sequence
    Length", section 3.3; negative eigenvalues from Grazzi et al. 2024, "Unlocking State-Tracking in Linear RNNs
    Through Negative Eigenvalues". With gates, Yang, Kautz, Hatamizadeh 2024, "Gated Delta Networks: Improving Mamba2
    with Delta Rule", equation 10 and figure 1; decays as in Mamba-2 (Dao and Gu 2024).

    Example:
        >>> mixer = GatedDeltaNetConfig(heads=2, initial_rates=(1e-3, 1e-2)).build(width=16)
        >>> y_BTD, state = mixer(torch.randn(3, 5, 16), mixer.initial_state(3))
        >>> y_BTD.shape, state["matrix"].shape
        (torch.Size([3, 5, 16]), torch.Size([3, 2, 8, 16]))
    """

    def __init__(self, config: DeltaConfig, width: int) -> None:
        gated = isinstance(config, GatedDeltaNetConfig)
        H, K = config.heads, config.key_width or share(width, config.heads, f"width {width}")
        V = config.value_width or (2 * K if gated else K)
        super().__init__({"matrix": (H, K, V)}, {"convolution": (config.convolution - 1, H * (2 * K + V))})
        self.memory = Memory(config, width, K, V)
        if gated:
            self.step = nn.Linear(width, H, bias=False)
            self.step_bias = nn.Parameter(inverse_softplus(log_uniform(config.initial_steps, H)))
            """[H]; its softplus is the step size of a head whose input says nothing."""
            self.log_rates = nn.Parameter(torch.empty(H).uniform_(*config.initial_rates).log())
            """[H]; a head's log decay is minus its rate times the step size."""
            self.gate = nn.Linear(width, H * V, bias=False)
        self.gated = gated
        self.readout = Readout(H, V, width, config.norm_epsilon)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Mix along time."""
        log_decay_BTH = None
        if self.gated:
            step_BTH = F.softplus(precise(self.step(x_BTD)) + self.step_bias)
            log_decay_BTH = -precise(self.log_rates).exp() * step_BTH
        y_BTHV, *after = self.memory(x_BTD, log_decay_BTH, *self._entries(state))
        return self.readout(y_BTHV, F.silu(self.gate(x_BTD)) if self.gated else None), self._state(*after)


class Memory(nn.Module):
    """Projections, short convolution, normalised keys, and the scan."""

    def __init__(self, config: DeltaConfig, width: int, keys: int, values: int) -> None:
        super().__init__()
        H, self.chunk = config.heads, config.chunk
        self.heads, self.sizes = H, [H * keys, H * keys, H * values]
        self.largest_beta = 2.0 if config.negative_eigenvalues else 1.0
        self.project = nn.Linear(width, sum(self.sizes), bias=False)
        self.convolution = ShortConvolution(sum(self.sizes), config.convolution, bias=False)
        self.beta = nn.Linear(width, H, bias=False)

    def forward(
        self, x_BTD: Tensor, log_decay: Tensor | None, matrix_BHKV: Tensor, conv: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the queries read, [B, T, H, V], and both entries of the state after the last token.

        Log decays are those of heads, [B, T, H], or of each of their key channels, [B, T, H, K].
        """
        mixed_BTE, conv = self.convolution(self.project(x_BTD), conv)
        parts = F.silu(mixed_BTE).split(self.sizes, -1)
        q_BTHK, k_BTHK, v_BTHV = (part.unflatten(-1, (self.heads, -1)) for part in parts)
        q_BTHK, k_BTHK = _with_length(q_BTHK, q_BTHK.shape[-1] ** -0.5), _with_length(k_BTHK, 1.0)
        beta_BTH = self.largest_beta * precise(self.beta(x_BTD)).sigmoid()
        if log_decay is None or log_decay.ndim == 3:
            y_BTHV, matrix_BHKV = delta_scan(q_BTHK, k_BTHK, v_BTHV, beta_BTH, log_decay, matrix_BHKV, chunk=self.chunk)
        else:
            written_BTHK, read_BTHK = beta_BTH[..., None] * k_BTHK, k_BTHK * log_decay.exp()
            y_BTHV, matrix_BHKV = low_rank_scan(
                q_BTHK, written_BTHK, v_BTHV, log_decay, read_BTHK, -written_BTHK, matrix_BHKV, chunk=self.chunk
            )
        return y_BTHV, matrix_BHKV, conv


class Readout(nn.Module):
    """A root-mean-square norm of each head, a gate where there is one, and a projection."""

    def __init__(self, heads: int, values: int, width: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.norm_weight = nn.Parameter(torch.ones(values))
        """[V], the same for every head."""
        self.contract = nn.Linear(heads * values, width, bias=False)

    def forward(self, y_BTHV: Tensor, gate_BTI: Tensor | None) -> Tensor:
        """Return [B, T, D]."""
        H, V = y_BTHV.shape[2:]
        y_BTI = _with_length(y_BTHV, V**0.5, self.epsilon * V).to(y_BTHV.dtype).flatten(2)
        # The norm's weight scales columns of the projection rather than every token.
        weight_DI = self.contract.weight * self.norm_weight.repeat(H)
        return F.linear(y_BTI if gate_BTI is None else y_BTI * gate_BTI, weight_DI)


def _with_length(x_BTHX: Tensor, length: float, epsilon: float = 1e-6) -> Tensor:
    """Return the vectors of all heads scaled to a Euclidean length; epsilon is added to their squared lengths."""
    x_BTHX = precise(x_BTHX)
    return x_BTHX * (torch.rsqrt(torch.linalg.vecdot(x_BTHX, x_BTHX)[..., None] + epsilon) * length)
