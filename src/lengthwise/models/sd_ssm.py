"""The mixer of SD-SSM: a linear recurrence whose dense transition matrix is selected by the input.

Shape letters: B batch rows, T tokens, D width, N states, K matrices of the dictionary, M tokens of all rows, U distinct
inputs.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lengthwise.models.initialisation import precise
from lengthwise.models.mixer import Mixer, MixerConfig
from lengthwise.scans.dense import Method, dense_scan
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


class SDSSM(Mixer):
    """Selective dense state space mixer: ``h_t = A(u_t) h_{t-1} + B u_t``, read out from its layer norm.

    A(u) is a softmax-weighted sum of the dictionary's matrices, its columns scaled to unit Lp norm. As it depends on
    nothing but the input, it is computed once for all tokens of equal input: over a small alphabet the first layer
    needs one matrix a symbol.

    Its state has `hidden` [B, N], in float32 at least.

    Args:
        config: the settings.
        width: D, the size of inputs and outputs.

    Source: Terzic et al. 2025, section 4, initialised as in their code.

    Example:
        >>> mixer = SDSSMConfig(state_size=6, matrices=3).build(width=32)
        >>> y_BTD, state = mixer(torch.randn(2, 5, 32), mixer.initial_state(2))
        >>> y_BTD.shape, state["hidden"].shape
        (torch.Size([2, 5, 32]), torch.Size([2, 6]))
    """

    def __init__(self, config: SDSSMConfig, width: int) -> None:
        super().__init__()
        self.config = config
        size = config.state_size
        self.select = nn.Linear(width, config.matrices)
        self.dictionary = nn.Parameter(torch.empty(config.matrices, size, size).uniform_(-1, 1) * (3 / size) ** 0.5)
        """[K, N, N]"""
        self.write = nn.Linear(width, size, bias=False)
        self.norm = nn.LayerNorm(size)
        self.read = nn.Linear(size, width)

    def initial_state(self, batch_size: int) -> State:
        """Return zeros."""
        return State({"hidden": precise(self.dictionary.new_zeros(batch_size, self.config.state_size))})

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Mix along time."""
        hidden_BN, pieces = state["hidden"], list[Tensor]()
        for x in x_BTD.split(self.config.chunk, 1):
            distinct_UD, index_M = distinct_rows(x.flatten(0, 1))
            table_UNN, index_BT = self.transitions(distinct_UD), index_M.view(x.shape[:2])
            pieces.append(dense_scan(table_UNN, index_BT, precise(self.write(x)), hidden_BN, method=self.config.scan))
            hidden_BN = pieces[-1][:, -1]
        return self.read(self.norm(torch.cat(pieces, 1).to(x_BTD.dtype))), State({"hidden": hidden_BN})

    def transitions(self, x_UD: Tensor) -> Tensor:
        """Return the transition matrix [U, N, N] of each input."""
        weight_UK = precise(self.select(x_UD)).softmax(-1)
        blend_UNN = (weight_UK @ precise(self.dictionary).flatten(1)).unflatten(1, self.dictionary.shape[1:])
        return blend_UNN / torch.linalg.vector_norm(blend_UNN, self.config.norm, 1, keepdim=True)


def distinct_rows(x_MD: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct rows [U, D] of a floating-point matrix, in no order, and for each row [M] which it is.

    Rows are told apart by their bits. Where different rows share a hash, which hardly happens, all count as distinct.
    """
    bits_MD = x_MD.detach().contiguous().view({2: torch.int16, 4: torch.int32, 8: torch.int64}[x_MD.element_size()])
    generator = torch.Generator().manual_seed(0)
    keys_D = torch.randint(-(2**63), 2**63 - 1, x_MD.shape[1:], generator=generator).to(x_MD.device)
    hashes_M = (bits_MD.long() * keys_D).sum(1)
    hashes_U, index_M = torch.unique(hashes_M, return_inverse=True)
    place_M = torch.arange(len(x_MD), device=x_MD.device)
    first_U = place_M.new_zeros(len(hashes_U)).scatter_(0, index_M, place_M)
    if not torch.equal(bits_MD[first_U][index_M], bits_MD):
        return x_MD, place_M
    return x_MD[first_U], index_M
