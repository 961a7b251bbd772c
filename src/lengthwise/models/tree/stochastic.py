"""Stochastic operator: a product of row-stochastic matrices, which is a deterministic automaton once rows are rounded.

Shape letters: D width of a value, H heads, K rows and columns of a matrix, R rows that are read out, B rows, T tokens,
V symbols, C classes, F features.
"""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.models.tree.operators import BinaryOperator, OperatorConfig, multiply, square_root

IDLE, BUSY = 0.25, 1.5
"""Rows a symbol that move to a state, which is one in a permutation: with fewer it becomes a copy of one with more."""
REVIVAL_NOISE = 0.5
"""Scale of the noise on the logits of such a copy."""


class StochasticOperatorConfig(OperatorConfig):
    """A product of row-stochastic matrices: a soft automaton."""

    name: Literal["stochastic"] = "stochastic"
    heads: int = Field(default=1, ge=1)
    """Independent automata side by side; each has ``sqrt(width / heads)`` states."""
    sharpness: tuple[float, float] = (3.0, 15.0)
    """Scale of the logits under the softmax at the start and at the end of training."""
    sharpen_from: float = Field(default=0.4, ge=0, le=1)
    """The fraction of training after which the sharpness grows, linearly to the end."""

    readout: Literal["start", "all"] = "start"
    """Whether the readout sees where the first state of each automaton is taken, or all rows."""
    determinism: float = Field(default=0.0, ge=0)
    """Factor of the rows' mean entropy in the loss; it comes in as the sharpness grows."""
    round_from: float = Field(default=0.9, ge=0, le=1)
    """The fraction of training after which every row is rounded to one-hot, its gradient that of the soft row."""
    # Left out of resolved recipes at its default: the digests of results that are older than it stay true.
    gumbel: float = Field(default=0.0, ge=0, exclude_if=lambda scale: scale == 0)
    """Scale of Gumbel noise on the logits in training. With 1 every step sees rows near those of an automaton drawn
    from the soft one, so that what is learned survives rounding."""
    drop_rows: float = Field(default=0.0, ge=0, lt=1, exclude_if=lambda chance: chance == 0)
    """The chance that the readout does not see a row, in training until rows are rounded. Where it sees all, the others
    make up for one that is wrong, which is then never mended and shows only on strings longer than those of training.
    Of rounded rows it sees all, and learns which of them tell nothing."""
    revive: int = Field(default=0, ge=0, exclude_if=lambda times: times == 0)
    """How often, evenly over training until the sharpness grows, a state that next to no row moves to becomes a copy of
    the one that most rows move to, but for noise: two states that fell together there part again."""

    @model_validator(mode="after")
    def _rows_are_left(self) -> Self:
        if self.drop_rows and self.readout == "start" and self.heads == 1:
            raise ValueError("drop_rows needs several rows that are read out: more heads, or readout: all")
        if self.revive and self.readout == "start":
            raise ValueError("revive needs readout: all; where the first row alone is read, states may be rare")
        return self

    def build(self, width: int) -> BinaryOperator:
        """Return the operator for values of this width, `heads` times a square number."""
        return StochasticOperator(width, self)


class StochasticOperator(BinaryOperator):
    """Values are H row-stochastic K x K matrices, joined by their products: associative by construction.

    Row i is the distribution over the states that state i moves to. Once the rows are rounded, the unit *is* a
    deterministic finite automaton, and its products are exact at every length.
    """

    sharpness: Tensor
    rounded: Tensor
    revived: Tensor

    def __init__(self, width: int, config: StochasticOperatorConfig) -> None:
        super().__init__(width)
        self.config = config
        self.heads = config.heads
        self.size = square_root(width, config.heads)
        self.register_buffer("sharpness", torch.tensor(config.sharpness[0]))
        self.register_buffer("rounded", torch.tensor(False))
        if config.revive:
            self.register_buffer("revived", torch.tensor(0))

    @property
    def feature_width(self) -> int:
        """The size of what the readout sees of a value."""
        return self.heads * self.size if self.config.readout == "start" else self.width

    def features(self, value: Tensor) -> Tensor:
        """Return the distribution [..., H * K] over the states that the first ones move to, or all rows."""
        if self.config.readout == "all":
            return self._seen(value)
        return self._seen(value.unflatten(-1, (self.heads, self.size, self.size))[..., 0, :].flatten(-2))

    def _seen(self, features: Tensor) -> Tensor:
        """Hide rows of features [..., R * K] from the readout, in training as long as they are not rounded."""
        if self.rounded or not (self.training and self.config.drop_rows):
            return features
        rows = features.unflatten(-1, (-1, self.size))
        kept = F.dropout(rows.new_ones(*rows.shape[:-1], 1), self.config.drop_rows)
        return (kept * rows).flatten(-2)

    def admit(self, leaf: Tensor) -> Tensor:
        """Turn free logits [..., D] into row-stochastic matrices [..., D]."""
        logits = leaf.unflatten(-1, (-1, self.size)) * self.sharpness
        if self.training and self.config.gumbel:
            logits = logits - self.config.gumbel * torch.empty_like(logits).exponential_().log()
        soft = F.softmax(logits, -1)
        if self.rounded:
            # The difference is exactly zero; it carries the gradient of the soft row.
            soft = F.one_hot(soft.argmax(-1), self.size) + (soft - soft.detach())
        return soft.flatten(-2)

    @property
    def skips_values(self) -> bool:
        """Whether one row of each automaton is enough."""
        return self.config.readout == "start"

    def prefix_features(self, leaf_VD: Tensor, symbols_BT: Tensor, before_BF: Tensor | None = None) -> Tensor:
        """Return the distributions [B, T, H * K] that the first states reach; arguments as in the base class."""
        moves_HKVK = leaf_VD.unflatten(-1, (self.heads, self.size, self.size)).permute(1, 2, 0, 3).flatten(2)
        chosen_BTV1 = F.one_hot(symbols_BT, len(leaf_VD)).to(leaf_VD.dtype)[..., None]
        if before_BF is None:
            # Every automaton is in its first state.
            at_HBK = leaf_VD.new_zeros(self.heads, len(symbols_BT), self.size)
            at_HBK[..., 0] = 1
        else:
            at_HBK = before_BF.unflatten(-1, (self.heads, self.size)).transpose(0, 1)
        reached = list[Tensor]()
        for chosen_BV1 in chosen_BTV1.unbind(1):
            at_HBK = ((at_HBK @ moves_HKVK).unflatten(-1, (len(leaf_VD), self.size)) * chosen_BV1).sum(2)
            reached.append(at_HBK)
        return self._seen(torch.stack(reached, 2).permute(1, 2, 0, 3).flatten(2))

    def penalty(self, leaf: Tensor) -> Tensor | None:
        """Return the rows' mean entropy, weighted: rows that training seldom visits become sharp as well."""
        begin, end = self.config.sharpness
        growth = float((self.sharpness - begin) / max(end - begin, 1e-9))
        if self.rounded or not self.config.determinism * growth:
            return None
        rows = F.log_softmax(leaf.unflatten(-1, (-1, self.size)) * self.sharpness, -1)
        return -self.config.determinism * growth * (rows.exp() * rows).sum(-1).mean()

    @torch.no_grad()
    def renew(self, leaf: Tensor, readout: Tensor, progress: float) -> None:
        """Let states that no row moves to share the rows of those that many move to; arguments as in the base class."""
        times, until = self.config.revive, max(self.config.sharpen_from, 1e-9)
        due = math.floor(progress / until * (times + 1))
        if not times or due > times or due <= int(self.revived):
            return
        self.revived.fill_(due)
        noise = torch.Generator().manual_seed(due)
        logits_VHKK = leaf.view(-1, self.heads, self.size, self.size)
        readout_CHKK = readout.view(-1, self.heads, self.size, self.size)
        moves_HK = F.softmax(logits_VHKK * self.sharpness, -1).sum(2).mean(0)
        for head, moves_K in enumerate(moves_HK):
            idle, busy = int(moves_K.argmin()), int(moves_K.argmax())
            if moves_K[idle] > IDLE or moves_K[busy] < BUSY:
                continue
            for table in (logits_VHKK[:, head], readout_CHKK[:, head]):
                table[:, :, idle] = table[:, :, busy]
                table[:, idle] = table[:, busy]
            for part in (logits_VHKK[:, head, :, idle], logits_VHKK[:, head, idle]):
                part += REVIVAL_NOISE * torch.randn(part.shape, generator=noise).to(part)

    def anneal(self, progress: float) -> None:
        """Raise the sharpness along its schedule, and round at its end."""
        begin, end = self.config.sharpness
        start = self.config.sharpen_from
        fraction = max(progress - start, 0.0) / max(1.0 - start, 1e-9)
        self.sharpness.fill_(begin + (end - begin) * min(fraction, 1.0))
        self.rounded.fill_(progress > self.config.round_from)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Join [..., D] and [..., D] to [..., D]."""
        return multiply(left, right, self.heads, self.size)
