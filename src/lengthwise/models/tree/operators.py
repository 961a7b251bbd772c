"""Binary operators: how a tree joins the values of two neighbouring substrings.

Every operator is a module ``operator(left, right)`` on values [..., D], and a row of `OPERATORS`. To add one, write a
config and its module in a file of your own and register the config's name.

Shape letters: D width of a value, H heads, K rows and columns of a matrix, B rows, T tokens, V symbols, F features.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

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

    def renew(self, leaf: Tensor, readout: Tensor, progress: float) -> None:
        """Change free leaf vectors [V, D] and readout weights [C, F] in place, by a schedule; nothing by default."""

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
