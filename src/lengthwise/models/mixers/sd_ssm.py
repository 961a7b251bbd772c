"""The mixer of SD-SSM: a linear recurrence whose dense transition matrix is selected by the input.

Shape letters: B batch rows, T tokens, C tokens of a chunk, D width, N states, K matrices of the dictionary.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lengthwise.models.mixers.base import MixerConfig, Recurrence
from lengthwise.models.mixers.initialisation import precise
from lengthwise.scans.sd_ssm import Method, selected_scan
from lengthwise.state import State


class SDSSMConfig(MixerConfig):
    """Settings of a selective dense state space mixer.

    Columns of unit norm make random transitions shrink the state: the larger `norm`, the less. At a norm of 1 no
    transition can grow it; at more, columns that point the same way can.
    """

    name: Literal["sd_ssm"] = "sd_ssm"
    state_size: int = Field(default=64, ge=1)
    """N."""
    matrices: int = Field(default=8, ge=1)
    """K, how many transition matrices the input selects among."""
    norm: float = Field(default=1.2, ge=1)
    """p of the Lp norm that every column of a transition matrix has."""
    scan: Method = "loop"
    """How time is walked: one token after another, or a tree of matrix products; results differ by rounding only."""
    chunk: int = Field(default=64, ge=1)
    """Tokens whose transition matrices are held at a time; it changes memory, and results by rounding only."""

    def build(self, width: int) -> SDSSM:
        """Return a freshly initialised mixer."""
        return SDSSM(self, width)


class SDSSM(Recurrence):
    """Selective dense state space mixer: ``h_t = A(u_t) h_{t-1} + B u_t``, read out from its layer norm.

    A(u) is a softmax-weighted sum of the dictionary's matrices, its columns scaled to unit Lp norm. Tokens of equal
    input share it, so that the first layer over a small alphabet is fast.

    Its state has `hidden` [B, N], in float32 at least.

    Source: Terzic et al. 2025, section 4, initialised as in their code.

    Example:
        >>> mixer = SDSSMConfig(state_size=6, matrices=3).build(width=32)
        >>> y_BTD, state = mixer(torch.randn(2, 5, 32), mixer.initial_state(2))
        >>> y_BTD.shape, state["hidden"].shape
        (torch.Size([2, 5, 32]), torch.Size([2, 6]))
    """

    def __init__(self, config: SDSSMConfig, width: int) -> None:
        size = config.state_size
        super().__init__({"hidden": (size,)})
        self.config = config
        self.select = nn.Linear(width, config.matrices)
        self.dictionary = nn.Parameter(torch.empty(config.matrices, size, size).uniform_(-1, 1) * (3 / size) ** 0.5)
        """[K, N, N]"""
        self.write = nn.Linear(width, size, bias=False)
        self.norm = nn.LayerNorm(size)
        self.read = nn.Linear(size, width)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Mix along time."""
        weight_BTK, written_BTN = precise(self.select(x_BTD)).softmax(-1), precise(self.write(x_BTD))
        hidden_BN, pieces = state["hidden"], list[Tensor]()
        for weight, written in zip(*(x.split(self.config.chunk, 1) for x in (weight_BTK, written_BTN)), strict=True):
            states_BCN = selected_scan(
                precise(self.dictionary), weight, written, hidden_BN, norm=self.config.norm, method=self.config.scan
            )
            pieces.append(states_BCN)
            hidden_BN = states_BCN[:, -1]
        return self.read(self.norm(torch.cat(pieces, 1).to(x_BTD.dtype))), self._state(hidden_BN)
