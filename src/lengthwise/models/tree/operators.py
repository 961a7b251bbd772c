"""Binary operators: how a tree joins the values of two neighbouring substrings.

Every operator is a module ``operator(left, right)`` on values [..., D], and a row of `OPERATORS`. To add one, write a
config and its module in a file of your own and register the config's name.

Shape letters: D width of a value, H heads, K rows and columns of a matrix, B rows, T tokens, V symbols, F features.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.models.mixers.initialisation import truncated_normal_
from lengthwise.settings import Settings


class OperatorConfig(Settings, ABC):
    """Settings of an operator; `build` makes it."""

    @abstractmethod
    def build(self, width: int) -> BinaryOperator:
        """Return the operator for values of this width."""


class BinaryOperator(nn.Module, ABC):
    """A learned map from two values to one.

    Args:
        width: D, the size of one value.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    @abstractmethod
    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Join [..., D] and [..., D] to [..., D]."""

    def admit(self, leaf: Tensor) -> Tensor:
        """Map free leaf vectors [..., D] into the set on which the operator is defined; the identity by default."""
        return leaf

    @property
    def feature_width(self) -> int:
        """The size of what the readout sees of a value."""
        return self.width

    def features(self, value: Tensor) -> Tensor:
        """Return what the readout sees of values [..., D]; all of it by default."""
        return value

    @property
    def skips_values(self) -> bool:
        """Whether what the readout sees of prefixes is had without their values, by `prefix_features`."""
        return False

    def prefix_features(self, leaf_VD: Tensor, symbols_BT: Tensor, before_BF: Tensor | None = None) -> Tensor:
        """Return what the readout sees of every prefix, [B, T, F], where `skips_values`.

        Args:
            leaf_VD: [V, D] what `admit` returned for each symbol.
            symbols_BT: [B, T] symbols.
            before_BF: [B, F] what the readout sees of all that came before; nothing by default.
        """
        raise NotImplementedError(f"{type(self).__name__} needs the values of prefixes")

    def anneal(self, progress: float) -> None:
        """Follow a schedule over training; `progress` runs from 0 to 1. Nothing by default."""

    def penalty(self, leaf: Tensor) -> Tensor | None:
        """Return what free leaf vectors [V, D] add to the loss; nothing by default."""
        return None


class FixedOperatorConfig(OperatorConfig):
    """Settings of an operator that has none."""

    operator: ClassVar[type[BinaryOperator]]

    def build(self, width: int) -> BinaryOperator:
        """Return the operator for values of this width."""
        return self.operator(width)


def _linear(inputs: int, outputs: int, scale: float) -> nn.Linear:
    """Return a linear map whose weights have variance ``scale / mean(inputs, outputs)``, and whose biases are zero."""
    layer = nn.Linear(inputs, outputs)
    truncated_normal_(layer.weight.data, math.sqrt(scale / ((inputs + outputs) / 2)))
    nn.init.zeros_(layer.bias)
    return layer


def _identity(width: int) -> nn.Linear:
    layer = nn.Linear(width, width)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class FeedForward(nn.Sequential):
    """Linear, ReLU, linear with four times the width inside; small at the start, for a residual branch."""

    def __init__(self, width: int) -> None:
        super().__init__(_linear(width, 4 * width, 0.02), nn.ReLU(), _linear(4 * width, width, 0.02))


class MLPOperator(BinaryOperator):
    """Multiplicative gates from a three-layer perceptron of both operands; they are not squashed.

    ``z = Wo(Vx(gx * x) + Vy(gy * y))`` with ``[gx; gy] = MLP([x; y])``.

    Source: Pert, Alrajeh, Russo 2026, the MLP operator of the log-depth recurrent unit.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.gates = nn.Sequential(
            _linear(2 * width, 2 * width, 1.0),
            nn.ReLU(),
            _linear(2 * width, 4 * width, 1.0),
            nn.ReLU(),
            _linear(4 * width, 2 * width, 1.0),
        )
        self.left, self.right, self.out = _identity(width), _identity(width), _identity(width)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Join [..., D] and [..., D] to [..., D]."""
        both = torch.cat([left, right], -1)
        gated_left, gated_right = (both * self.gates(both)).split(self.width, -1)
        return self.out(self.left(gated_left) + self.right(gated_right))


class MLPOperatorConfig(FixedOperatorConfig):
    """The paper's operator."""

    name: Literal["mlp"] = "mlp"
    operator = MLPOperator


class GRCOperator(BinaryOperator):
    """Gated recursive cell: three sigmoid gates and a candidate from a two-layer perceptron.

    Source: Shen et al. 2019 (ordered memory); as compared in Pert, Alrajeh, Russo 2026.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.cell = nn.Sequential(_linear(2 * width, 4 * width, 1.0), nn.ReLU(), _linear(4 * width, 4 * width, 1.0))
        self.norm = nn.LayerNorm(width)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Join [..., D] and [..., D] to [..., D]."""
        keep_left, keep_right, take, candidate = self.cell(torch.cat([left, right], -1)).chunk(4, -1)
        kept = torch.sigmoid(keep_left) * left + torch.sigmoid(keep_right) * right
        return self.norm(kept + torch.sigmoid(take) * candidate)


class GRCOperatorConfig(FixedOperatorConfig):
    """The gated recursive cell."""

    name: Literal["grc"] = "grc"
    operator = GRCOperator


class GatedSumOperator(BinaryOperator):
    """``g * x + (1 - g) * y`` with one sigmoid gate a channel, linear in both operands."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.gate = _linear(2 * width, width, 1.0)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Join [..., D] and [..., D] to [..., D]."""
        gate = torch.sigmoid(self.gate(torch.cat([left, right], -1)))
        return torch.lerp(right, left, gate)


class GatedSumOperatorConfig(FixedOperatorConfig):
    """A sum under a learned gate."""

    name: Literal["gated_sum"] = "gated_sum"
    operator = GatedSumOperator


class LinearOperator(BinaryOperator):
    """``W [x; y] + b``."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.both = _linear(2 * width, width, 1.0)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Join [..., D] and [..., D] to [..., D]."""
        return self.both(torch.cat([left, right], -1))


class LinearOperatorConfig(FixedOperatorConfig):
    """One linear map of both operands."""

    name: Literal["linear"] = "linear"
    operator = LinearOperator


class SumOperator(BinaryOperator):
    """``x + y``: associative and commutative, blind to order."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Join [..., D] and [..., D] to [..., D]."""
        return left + right


class SumOperatorConfig(FixedOperatorConfig):
    """The elementwise sum; nothing is learned."""

    name: Literal["sum"] = "sum"
    operator = SumOperator


class MatrixOperator(BinaryOperator):
    """Values are K x K matrices, joined by their product; the norm keeps long products in range.

    Without the norm the product is associative; with it, up to the affine part of the norm.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.size = square_root(width)
        self.norm = nn.LayerNorm(width)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Join [..., D] and [..., D] to [..., D]."""
        return self.norm(multiply(left, right, 1, self.size))


class MatrixOperatorConfig(FixedOperatorConfig):
    """A matrix product, then a LayerNorm over all entries."""

    name: Literal["matrix"] = "matrix"
    operator = MatrixOperator


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

    @model_validator(mode="after")
    def _rows_are_left(self) -> Self:
        if self.drop_rows and self.readout == "start" and self.heads == 1:
            raise ValueError("drop_rows needs several rows that are read out: more heads, or readout: all")
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

    def __init__(self, width: int, config: StochasticOperatorConfig) -> None:
        super().__init__(width)
        self.config = config
        self.heads = config.heads
        self.size = square_root(width, config.heads)
        self.register_buffer("sharpness", torch.tensor(config.sharpness[0]))
        self.register_buffer("rounded", torch.tensor(False))

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


def square_root(width: int, heads: int = 1) -> int:
    """Return K with ``heads * K * K == width``.

    Raises:
        InputError: there is no such integer; the message names the nearest widths.
    """
    size = math.isqrt(width // heads)
    if size < 1 or heads * size * size != width:
        raise InputError(
            f"a matrix operator of {heads} head(s) needs a width of {heads} x K x K; "
            f"got {width}, nearest: {heads * max(size, 1) ** 2} and {heads * (size + 1) ** 2}"
        )
    return size


def multiply(left: Tensor, right: Tensor, heads: int, size: int) -> Tensor:
    """Multiply H matrices of K x K a value, each value flattened to [..., H * K * K]."""
    shape = (*left.shape[:-1], heads, size, size)
    return (left.reshape(shape) @ right.reshape(shape)).flatten(-3)
