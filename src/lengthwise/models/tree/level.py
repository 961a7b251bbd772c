"""Levels of a log-depth unit: its leaves, what joins two nodes, and the nodes of a batch's trees.

Shape letters: B batch rows, M nodes of a level, D width, V symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from lengthwise.models.base import embed
from lengthwise.models.tree.fused import mlp_operator, residual_feed_forward
from lengthwise.models.tree.operators import BinaryOperator, FeedForward, MLPOperator
from lengthwise.scans import SharedNodes
from lengthwise.spaces import Space

if TYPE_CHECKING:
    from lengthwise.models.tree.ldru import LDRUConfig


class LeafEncoder(nn.Module):
    """Symbols to leaf values: embedding, norm, residual feed-forward; or the embedding alone at plain levels.

    Args:
        inputs: what it reads: V symbols, or vectors.
        operator: the operator whose domain the leaves must lie in.
        config: the unit's settings.
    """

    def __init__(self, inputs: Space, operator: BinaryOperator, config: LDRUConfig) -> None:
        super().__init__()
        self.embedding = embed(inputs, config.width)
        self.plain = config.level == "plain"
        symbols = isinstance(self.embedding, nn.Embedding)
        if self.plain and symbols:
            nn.init.normal_(self.embedding.weight)
        elif symbols:
            nn.init.trunc_normal_(self.embedding.weight, std=0.02, a=-0.04, b=0.04)
        if not self.plain:
            self.norm = nn.LayerNorm(config.width)
            self.feed_forward = FeedForward(config.width)
        self.kernel = config.kernel
        self.admit = operator.admit

    def forward(self, symbols: Tensor) -> Tensor:
        """Map symbols [...] to leaf values [..., D]."""
        return self._encode(self.embedding(symbols))

    def padding(self) -> Tensor:
        """Return the [D] leaf value of a zero embedding."""
        width = self.embedding.weight.shape[isinstance(self.embedding, nn.Embedding)]
        return self._encode(self.embedding.weight.new_zeros(width))

    def _encode(self, embedded: Tensor) -> Tensor:
        if self.plain:
            return self.admit(embedded)
        normed = self.norm(embedded)
        return self.admit(_residual(normed, self.feed_forward, self.kernel))


def _residual(x: Tensor, feed_forward: FeedForward, kernel: str) -> Tensor:
    """Add the output of a feed-forward layer to its input [..., D]."""
    if kernel == "fused":
        return residual_feed_forward(x.reshape(-1, x.shape[-1]), feed_forward).view(x.shape)
    return x + feed_forward(x)


class Level(nn.Module):
    """One level of the tree: the operator, and around it what the configuration asks for.

    Args:
        operator: joins two values.
        config: the unit's settings.
    """

    def __init__(self, operator: BinaryOperator, config: LDRUConfig) -> None:
        super().__init__()
        self.operator = operator
        self.plain = config.level == "plain"
        if not self.plain:
            self.feed_forward = FeedForward(config.width)
            self.norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.noise = config.noise
        self.kernel = config.kernel

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Join [..., D] and [..., D] to [..., D]."""
        if self.kernel == "fused":
            return self._after(self._fused(torch.cat([left, right], -1)))
        return self._after(self.operator(left, right))

    def neighbours(self, x_BMD: Tensor) -> Tensor:
        """Join nodes 0 and 1, 2 and 3 and so on: [B, M, D] to [B, M / 2, D]."""
        if self.kernel == "fused":
            return self._after(self._fused(x_BMD.unflatten(1, (-1, 2)).flatten(2)))
        return self(x_BMD[:, 0::2], x_BMD[:, 1::2])

    def _fused(self, pairs: Tensor) -> Tensor:
        """Join pairs [..., 2D], left and right side by side."""
        joined = mlp_operator(pairs.flatten(0, -2), cast(MLPOperator, self.operator))
        return joined.view(*pairs.shape[:-1], joined.shape[-1])

    def _after(self, joined: Tensor) -> Tensor:
        """Apply what follows the operator."""
        if not self.plain:
            joined = self.norm(_residual(joined, self.feed_forward, self.kernel))
        if self.training and self.noise:
            joined = joined + self.noise * torch.randn_like(joined)
        return self.dropout(joined)


@dataclass(frozen=True)
class Nodes:
    """A level of trees over a batch of strings, and the substring under each of its nodes.

    Args:
        shared: the values.
        starts: for each of the M nodes the first token under it.
        ends: for each node the token after the last under it.
    """

    shared: SharedNodes
    starts: list[int]
    ends: list[int]

    def join(self, operator: Level, lefts: Sequence[int]) -> Nodes:
        """Return the nodes after one more round."""
        shared = self.shared.join(operator, lefts)
        left = set(lefts)
        starts = [start for place, start in enumerate(self.starts) if place - 1 not in left]
        ends = [end for place, end in enumerate(self.ends) if place not in left]
        return Nodes(shared, starts, ends)
