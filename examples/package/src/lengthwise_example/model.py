"""A model: a bag of symbols that knows how often each was read, and which was read last.

Shape letters: B rows, T tokens, D width.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lengthwise.models.base import ModelConfig, Output, SequenceModel, embed
from lengthwise.spaces import Space, as_space
from lengthwise.state import State


class BagConfig(ModelConfig):
    """Settings of a bag."""

    name: Literal["bag"] = "bag"
    width: int = Field(default=32, ge=1)
    """D, the size of its vectors."""

    def build(self, inputs: Space | int, outputs: Space | int) -> Bag:
        """Return a freshly initialised model."""
        return Bag(self, as_space(inputs), as_space(outputs))


class Bag(SequenceModel):
    """Adds up the vectors of all symbols, and answers after each from the sum and from the symbol itself.

    Args:
        config: the settings.
        inputs: what it reads.
        outputs: what it answers.
    """

    def __init__(self, config: BagConfig, inputs: Space, outputs: Space) -> None:
        super().__init__()
        self.config = config
        self.embedding = embed(inputs, config.width)
        self.answer = nn.Sequential(
            nn.Linear(2 * config.width, config.width), nn.GELU(), nn.Linear(config.width, outputs.size)
        )

    def initial_state(self, batch_size: int) -> State:
        """Return an empty bag."""
        return State({"sum": self.answer[0].weight.new_zeros(batch_size, self.config.width)})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        """Read tokens [B, T] and answer after each."""
        before = self.initial_state(len(tokens)) if state is None else state
        x_BTD = self.embedding(tokens)
        sums_BTD = before["sum"][:, None] + x_BTD.cumsum(1)
        return Output(self.answer(torch.cat([sums_BTD, x_BTD], -1)), State({"sum": sums_BTD[:, -1]}))

    def gives_every_prefix(self) -> bool:
        """Return true: one call answers after every token."""
        return True
