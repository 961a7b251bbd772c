"""Positions: which number a token has, counted or drawn at random, and encodings of it added to the embedding.

Shape letters: B batch rows, T tokens, D width, R size of the range that positions are drawn from, N tokens of the
longest sequence in training, K positions that are still to be given out.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from lengthwise.errors import InputError
from lengthwise.settings import Settings
from lengthwise.state import Kind, State

LONGEST_PERIOD = 10_000.0
"""About the largest period, over 2 pi, of the waves that encode positions."""


class DrawnPositions(Settings):
    """Settings of positions that are drawn at random in training.

    A sequence's positions are the first of N distinct numbers, drawn uniformly from 0..R-1 and sorted; every row has
    its own. They are drawn as the tokens come, from what the state says is left: a sequence read in pieces has
    positions of the same distribution as one read at once. In evaluation token t has position t times the stride:
    nothing is drawn, and the first R / stride tokens have positions that training has seen.

    Source: Ruoss et al. 2023, section 3.1. There a string of n tokens draws n numbers rather than the first n of N
    (its length is not known to a model that reads in pieces), all rows share a draw, and evaluation draws as well.
    """

    range: int = Field(default=2048, ge=1)
    """R, the number of different positions."""
    longest: int = Field(default=40, ge=1)
    """N, tokens of the longest sequence in training; it may be read in pieces."""
    stride: int = Field(default=4, ge=1)
    """The distance between neighbours in evaluation."""

    @model_validator(mode="after")
    def _range_is_enough(self) -> Self:
        if self.longest > self.range:
            raise ValueError(f"{self.longest} different positions (longest) cannot be drawn from {self.range} (range)")
        return self


class NoPositions(Settings):
    """No positions are added to the embedding."""

    name: Literal["none"] = "none"


class SinusoidalPositions(Settings):
    """Settings of sines and cosines of the position.

    Source: Vaswani et al. 2017, section 3.5, sines before cosines as in Deletang et al. 2023.
    """

    name: Literal["sinusoidal"] = "sinusoidal"


class LearnedPositions(Settings):
    """Settings of one learned vector a position."""

    name: Literal["learned"] = "learned"
    length: int = Field(ge=1)
    """How many positions there are; a longer sequence is an error."""


class RandomisedPositions(DrawnPositions):
    """Settings of positions that are drawn at random in training, and of their encoding."""

    name: Literal["randomised"] = "randomised"
    encoding: Literal["sinusoidal", "learned"] = "sinusoidal"
    """``learned`` has one vector for each number of the range, which then bounds the length."""


PositionsConfig = Annotated[
    NoPositions | SinusoidalPositions | LearnedPositions | RandomisedPositions, Field(discriminator="name")
]
"""The settings of positions that are added to the embedding."""


class CountedPositions(nn.Module):
    """The positions 0, 1, 2 and so on."""

    def initial_state(self, batch_size: int, device: torch.device) -> State:
        """Return the state before any token: an entry `next` [B]."""
        return _counts(next=torch.zeros(batch_size, dtype=torch.int64, device=device))

    def forward(self, tokens: int, state: State) -> tuple[Tensor, State]:
        """Return the positions [B, T] of so many further tokens, and the state after them."""
        positions_BT = state["next"][:, None] + torch.arange(tokens, device=state["next"].device)
        return positions_BT, _counts(next=state["next"] + tokens)


class RandomPositions(nn.Module):
    """Positions drawn at random in training, and evenly spaced in evaluation.

    Example:
        >>> source = RandomPositions(DrawnPositions()).eval()
        >>> source(5, source.initial_state(1, torch.device("cpu")))[0]
        tensor([[ 0,  4,  8, 12, 16]])
    """

    def __init__(self, config: DrawnPositions) -> None:
        super().__init__()
        self.config = config

    def initial_state(self, batch_size: int, device: torch.device) -> State:
        """Return the state before any token: `next` [B], the smallest position left, and `read` [B] tokens."""
        zeros_B = torch.zeros(batch_size, dtype=torch.int64, device=device)
        return _counts(next=zeros_B, read=zeros_B)

    def forward(self, tokens: int, state: State) -> tuple[Tensor, State]:
        """Return the positions [B, T] of so many further tokens, and the state after them.

        Raises:
            InputError: a sequence in training is longer than the settings say.
        """
        if self.training:
            positions_BT = self._draw(tokens, state)
            after_B = positions_BT[:, -1] + 1 if tokens else state["next"]
        else:
            steps_T = self.config.stride * torch.arange(tokens, device=state["next"].device)
            positions_BT = state["next"][:, None] + steps_T
            after_B = state["next"] + self.config.stride * tokens
        return positions_BT, _counts(next=after_B, read=state["read"] + tokens)

    def _draw(self, tokens: int, state: State) -> Tensor:
        """Return the first of the N minus `read` numbers that are drawn from `next`..R-1 and sorted."""
        remaining_B = self.config.longest - state["read"]
        longest = self.config.longest
        if int(remaining_B.min()) < tokens:
            raise InputError(
                f"a sequence in training has at least {longest - int(remaining_B.min()) + tokens} tokens, but its "
                f"randomised positions are drawn for longest: {longest}; set longest to the length of the longest"
            )
        device, size = remaining_B.device, self.config.range
        # The smallest of random numbers stand at a uniformly drawn subset; two is above all that are drawn.
        lots_BR = torch.rand(len(remaining_B), size, dtype=torch.float64, device=device)
        lots_BR[torch.arange(size, device=device) < state["next"][:, None]] = 2.0
        drawn_BK = lots_BR.topk(int(remaining_B.max()), largest=False).indices
        surplus_BK = torch.arange(drawn_BK.shape[1], device=device) >= remaining_B[:, None]
        return drawn_BK.masked_fill(surplus_BK, size).sort().values[:, :tokens]


def wave_frequencies(channels: int, device: torch.device) -> Tensor:
    """Return the frequencies [channels / 2] in radians a position, from 1 down to about 1 / `LONGEST_PERIOD`.

    Source: Vaswani et al. 2017, section 3.5.

    Raises:
        InputError: the number of channels is odd.
    """
    if channels % 2:
        raise InputError(f"sines and cosines come in pairs: {channels} channels are odd, give an even number")
    exponents = torch.arange(0, channels, 2, device=device, dtype=torch.float64) / channels
    return LONGEST_PERIOD**-exponents


def waves(positions: Tensor, channels: int, dtype: torch.dtype) -> Tensor:
    """Return sines, then cosines, of positions [...] as [..., channels], computed in float32 at least."""
    wide = torch.promote_types(dtype, torch.float32)
    angles = positions[..., None].to(wide) * wave_frequencies(channels, positions.device).to(wide)
    return torch.cat([angles.sin(), angles.cos()], -1).to(dtype)


class LearnedEncoding(nn.Module):
    """One learned vector a position."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(length, width)
        nn.init.normal_(self.table.weight, std=0.02)

    def forward(self, positions_BT: Tensor, dtype: torch.dtype) -> Tensor:
        """Return [B, T, D].

        Raises:
            InputError: a position is beyond the last that has a vector.
        """
        if positions_BT.numel() and int(positions_BT.max()) >= self.table.num_embeddings:
            raise InputError(
                f"position {int(positions_BT.max())} has no learned vector: this model knows "
                f"{self.table.num_embeddings} positions; read shorter sequences, or use sinusoidal positions"
            )
        return self.table(positions_BT).to(dtype)


class PositionEmbedding(nn.Module):
    """Adds to each token's embedding an encoding of its position.

    Its state holds how many tokens were read, as entries of kind position.
    """

    def __init__(self, config: SinusoidalPositions | LearnedPositions | RandomisedPositions, width: int) -> None:
        super().__init__()
        self.source = RandomPositions(config) if isinstance(config, RandomisedPositions) else CountedPositions()
        if isinstance(config, LearnedPositions):
            self.encoding = LearnedEncoding(config.length, width)
        elif isinstance(config, RandomisedPositions) and config.encoding == "learned":
            self.encoding = LearnedEncoding(config.range, width)
        else:
            self.encoding = None
            wave_frequencies(width, torch.device("cpu"))

    def initial_state(self, batch_size: int, device: torch.device) -> State:
        """Return the state before any token."""
        return self.source.initial_state(batch_size, device)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the embeddings with their positions, and the state after the last token."""
        positions_BT, state = self.source(x_BTD.shape[1], state)
        if self.encoding is None:
            return x_BTD + waves(positions_BT, x_BTD.shape[2], x_BTD.dtype), state
        return x_BTD + self.encoding(positions_BT, x_BTD.dtype), state


def _counts(**entries_B: Tensor) -> State:
    return State(entries_B, dict.fromkeys(entries_B, Kind.POSITION))
