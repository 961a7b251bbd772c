"""Levels of a tree: its leaves, what joins two nodes and reads them out, and the nodes of a batch's trees.

Shape letters: B batch rows, M nodes of a level, D width, V symbols, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from lengthwise.models import OPERATORS
from lengthwise.models.base import ModelConfig, StringModel, embed
from lengthwise.models.tree.fused import mlp_operator, residual_feed_forward
from lengthwise.models.tree.operators import BinaryOperator, FeedForward, MLPOperator, MLPOperatorConfig, OperatorConfig
from lengthwise.models.vectors import Neighbours, begin_with
from lengthwise.registry import OneOf
from lengthwise.scans import SharedNodes
from lengthwise.spaces import Space


class TreeModelConfig(ModelConfig):
    """Settings of a model that joins values along a tree."""

    width: int = Field(default=64, ge=1)
    """D, the size of the value of a substring."""
    operator: Annotated[OperatorConfig, OneOf(OPERATORS)] = MLPOperatorConfig()
    """How two neighbouring substrings are joined."""
    level: Literal["residual", "plain"] = "residual"
    """``residual``: each join is followed by a residual feed-forward layer and a norm; ``plain``: it is not."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Chance of zeroing a channel of a leaf or of a join, in training."""
    leaf_dropout: float | None = Field(default=None, ge=0, lt=1, exclude_if=lambda chance: chance is None)
    """That of a leaf alone; as of a join by default."""
    vectors: Neighbours | None = Field(default=None, exclude_if=lambda vectors: vectors is None)
    """What embeddings begin as: vectors of neighbouring symbols; chance by default."""
    noise: float = Field(default=0.0, ge=0)
    """Standard deviation of Gaussian noise on every join, in training: pulls values into well separated cells."""
    noise_warm_up: float = Field(default=0.0, ge=0, le=1)
    """The fraction of training over which the noise grows to its full size; from the start by default."""

    kernel: Literal["eager", "fused"] = "eager"
    """``fused``: the products of a level in blocks that stay in cache, for the MLP operator; equal but for rounding."""

    @model_validator(mode="after")
    def _kernel_fits(self) -> Self:
        if self.kernel == "fused" and not isinstance(self.operator, MLPOperatorConfig):
            name = getattr(self.operator, "name", type(self.operator).__name__)
            raise ValueError(f"kernel 'fused' knows the operator 'mlp' only, not {name!r}; use 'eager'")
        return self


class LeafEncoder(nn.Module):
    """Symbols to leaf values: embedding, norm, residual feed-forward; or the embedding alone at plain levels.

    Args:
        inputs: what it reads: V symbols, or vectors.
        operator: the operator whose domain the leaves must lie in.
        config: the model's settings.
    """

    def __init__(self, inputs: Space, operator: BinaryOperator, config: TreeModelConfig) -> None:
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
        if not self.plain:
            embedded = _residual(self.norm(embedded), self.feed_forward, self.kernel)
        return self.admit(embedded)


def _residual(x: Tensor, feed_forward: FeedForward, kernel: str) -> Tensor:
    """Add the output of a feed-forward layer to its input [..., D]."""
    if kernel == "fused":
        return residual_feed_forward(x.reshape(-1, x.shape[-1]), feed_forward).view(x.shape)
    return x + feed_forward(x)


class Level(nn.Module):
    """One level of the tree: the operator, and around it what the configuration asks for.

    Args:
        operator: joins two values.
        config: the model's settings.
    """

    def __init__(self, operator: BinaryOperator, config: TreeModelConfig) -> None:
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


class TreeModel(StringModel):
    """A model whose leaves, joins and readout are those of a log-depth unit, whatever the tree.

    Args:
        config: the settings.
        inputs: what it reads: V symbols, or vectors.
        outputs: what it answers: C classes, or vectors of C numbers.
    """

    def __init__(self, config: TreeModelConfig, inputs: Space, outputs: Space) -> None:
        super().__init__()
        operator = config.operator.build(config.width)
        self.encoder = LeafEncoder(inputs, operator, config)
        self.join = Level(operator, config)
        self.leaf_dropout = nn.Dropout(config.dropout if config.leaf_dropout is None else config.leaf_dropout)
        self.classifier = nn.Linear(operator.feature_width, outputs.size)
        self._noise, self._noise_warm_up = config.noise, config.noise_warm_up
        self._vectors = config.vectors

    @property
    def unlabelled(self) -> int:
        """Strings that are looked at before training, without their labels."""
        return self._vectors.strings if self._vectors else 0

    def look(self, strings: Sequence[Tensor]) -> None:
        """Let embeddings begin as what is found in strings."""
        if self._vectors:
            begin_with(self.encoder.embedding, strings, self._vectors)

    def readout(self, values: Tensor) -> Tensor:
        """Map values [..., D] of substrings to logits [..., C]."""
        return self.classifier(self.join.operator.features(values))

    def anneal(self, progress: float) -> None:
        """Set the noise, and pass the progress of training on to the operator."""
        ramp = self._noise_warm_up
        self.join.noise = self._noise * (min(progress / ramp, 1.0) if ramp else 1.0)
        self.join.operator.anneal(progress)
        table = self.encoder.embedding
        if isinstance(table, nn.Embedding):
            self.join.operator.renew(table.weight, self.classifier.weight, progress)

    def penalty(self) -> Tensor | None:
        """Return what the operator adds to the loss for the sake of the symbols' leaves, if anything."""
        table = self.encoder.embedding
        return self.join.operator.penalty(table.weight) if isinstance(table, nn.Embedding) else None


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
