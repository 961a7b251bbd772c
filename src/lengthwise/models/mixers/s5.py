"""The mixer of S5: one linear state space with many inputs and outputs, diagonal and complex.

Shape letters: B batch rows, T tokens, D width, S size of the real state space, P = S / 2 complex states kept of it
(the others are their conjugates).
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.models.mixers.base import MixerConfig, Recurrence
from lengthwise.models.mixers.initialisation import PositiveRange, log_uniform, precise, truncated_normal_
from lengthwise.scans.s5 import CHUNK, diagonal_scan
from lengthwise.state import State

SLOWEST_RATE = 1e-4
"""Rates are kept above it, so that no state grows however long the sequence is."""


class S5Config(MixerConfig):
    """Settings of an S5 mixer.

    A state forgets half of what it holds in ``log(2) / (rate * step)`` tokens; all rates are 1/2 at first.
    """

    name: Literal["s5"] = "s5"
    state_size: int = Field(default=256, ge=2)
    """S, size of the real state space; half as many complex numbers are carried."""
    blocks: int = Field(default=8, ge=1)
    """How many copies of a HiPPO matrix the state matrix starts from; they must cut the state into even sizes."""
    initial_steps: PositiveRange = (1e-3, 1e-1)
    """Smallest and largest step size of a state, log-uniform at first."""
    activation: Literal["gelu", "half_glu", "full_glu"] = "half_glu"
    """What the outputs y go through: ``gelu(y)``; with g for that, ``g * sigmoid(W g)``; or ``V g * sigmoid(W g)``."""
    chunk: int = Field(default=CHUNK, ge=1)
    """Tokens that the scan takes at a time; it changes speed, and results by rounding only."""

    def build(self, width: int) -> S5:
        """Return a freshly initialised mixer."""
        return S5(self, width)


class S5(Recurrence):
    """State space mixer with a diagonal, complex, time-invariant transition.

    Its state has `hidden` [B, P, 2], real and imaginary parts, in float32 at least.

    Raises:
        InputError: the blocks do not cut the state into even sizes.

    Source: Smith et al. 2023, sections 3 and 4 and appendix B, causal, with zero-order hold, conjugate symmetry and
    rates that stay positive; initialised as in their code.

    Example:
        >>> mixer = S5Config(state_size=8, blocks=2).build(width=32)
        >>> y_BTD, state = mixer(torch.randn(2, 5, 32), mixer.initial_state(2))
        >>> y_BTD.shape, state["hidden"].shape
        (torch.Size([2, 5, 32]), torch.Size([2, 4, 2]))
    """

    def __init__(self, config: S5Config, width: int) -> None:
        size, odd = divmod(config.state_size, 2 * config.blocks)
        if odd:
            raise InputError(
                f"{config.blocks} blocks do not cut a state of {config.state_size} into even sizes: "
                f"{2 * config.blocks * max(size, 1)} would do"
            )
        super().__init__({"hidden": (config.state_size // 2, 2)})
        self.config = config
        eigenvalues, vectors = diagonal_hippo(config.state_size // config.blocks)
        basis_SP = torch.block_diag(*[vectors] * config.blocks)
        self.rates = nn.Parameter(-eigenvalues.real.repeat(config.blocks).float())
        """[P] minus the real parts of the eigenvalues."""
        self.frequencies = nn.Parameter(eigenvalues.imag.repeat(config.blocks).float())
        """[P] the imaginary parts."""
        self.log_steps = nn.Parameter(log_uniform(config.initial_steps, len(self.rates)).log())
        """[P]"""
        # Of variance 1 / S.
        shapes = (config.state_size, width), (width, config.state_size, 2)
        write_SD, read_DS2 = (truncated_normal_(torch.empty(shape), config.state_size**-0.5) for shape in shapes)
        self.write = nn.Parameter(_parts(basis_SP.mH @ write_SD.to(basis_SP.dtype)))
        """[P, D, 2] real and imaginary parts of B."""
        self.read = nn.Parameter(_parts(torch.view_as_complex(read_DS2).to(basis_SP.dtype) @ basis_SP))
        """[D, P, 2] real and imaginary parts of C."""
        self.skip = nn.Parameter(torch.randn(width))
        """[D]"""
        if config.activation != "gelu":
            self.gate = nn.Linear(width, width)
        if config.activation == "full_glu":
            self.value = nn.Linear(width, width)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Mix along time."""
        with torch.autocast(x_BTD.device.type, enabled=False):
            y_BTD, hidden_BP2 = self._mix(precise(x_BTD), state["hidden"])
        y_BTD = F.gelu(torch.addcmul(y_BTD.to(x_BTD.dtype), self.skip, x_BTD))
        if self.config.activation != "gelu":
            value_BTD = y_BTD if self.config.activation == "half_glu" else self.value(y_BTD)
            y_BTD = value_BTD * self.gate(y_BTD).sigmoid()
        return y_BTD, self._state(hidden_BP2)

    def _mix(self, x_BTD: Tensor, hidden_BP2: Tensor) -> tuple[Tensor, Tensor]:
        decay_P, write_PD = self._discretised()
        write_XD = torch.view_as_real(write_PD).transpose(1, 2).flatten(0, 1)
        written_BTP = torch.view_as_complex(F.linear(x_BTD, write_XD).unflatten(2, (-1, 2)))
        start_BP = torch.view_as_complex(hidden_BP2.contiguous())
        h_BTP = diagonal_scan(decay_P, written_BTP, start_BP, chunk=self.config.chunk)
        # Twice the real part stands for a state and its conjugate.
        read_DP2 = precise(self.read) * self.read.new_tensor([2.0, -2.0])
        h_BTP2 = torch.view_as_real(h_BTP)
        return F.linear(h_BTP2.flatten(2), read_DP2.flatten(1)), h_BTP2[:, -1]

    def _discretised(self) -> tuple[Tensor, Tensor]:
        """Return the decays [P] and the input matrix [P, D] of a token, by zero-order hold."""
        rates_P, steps_P = precise(self.rates).clamp(min=SLOWEST_RATE), precise(self.log_steps).exp()
        eigenvalues_P = torch.complex(-rates_P, precise(self.frequencies))
        growth_P = _expm1(eigenvalues_P * steps_P)
        write_PD = torch.view_as_complex(precise(self.write))
        return growth_P + 1, (growth_P / eigenvalues_P)[:, None] * write_PD


def diagonal_hippo(size: int) -> tuple[Tensor, Tensor]:
    """Return half of the eigenvalues and eigenvectors of the normal part of a HiPPO-LegS matrix of even size S.

    The eigenvalues [S / 2] have negative imaginary parts, the eigenvectors [S, S / 2] are orthonormal, in complex128;
    the other half are their conjugates.

    Source: Smith et al. 2023, appendix B.1.1; Gu et al. 2022, equation 7.
    """
    n_S = torch.arange(size, dtype=torch.float64)
    outer_SS = (2 * n_S + 1).sqrt().outer((2 * n_S + 1).sqrt())
    # The normal part is a skew-symmetric matrix minus half of the identity.
    skew_SS = (outer_SS.triu(1) - outer_SS.tril(-1)) / 2
    frequencies_S, vectors_SS = torch.linalg.eigh(-1j * skew_SS)
    half = size // 2
    return torch.complex(torch.full((half,), -0.5, dtype=torch.float64), frequencies_S[:half]), vectors_SS[:, :half]


def _parts(x: Tensor) -> Tensor:
    return torch.view_as_real(x.to(torch.complex64)).contiguous()


def _expm1(x: Tensor) -> Tensor:
    """Return exp(x) - 1 of complex numbers without cancellation near zero."""
    half_sine = (x.imag / 2).sin()
    real = x.real.expm1() * x.imag.cos() - 2 * half_sine.square()
    return torch.complex(real, x.real.exp() * x.imag.sin())
