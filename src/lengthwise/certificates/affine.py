"""Affine arithmetic: sound bounds on where an MLP operator takes two balls.

A set of vectors is held as ``c + X a + Y b + box``, a and b in unit balls, the box independent in each coordinate.
Linear layers are exact; a ReLU that can be on or off, a product and a norm add to the box what linearising them leaves
out.

At every step the box also grows by what rounding to the network's precision can do, in any order of summation (Higham
2002, section 3.1). The bound itself is computed in float64; its own rounding is far below that allowance, and is met by
widening every result by `OUTWARD`.

Shape letters: N sets, F features, D width, 2 balls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from lengthwise.certificates.stochastic import gamma
from lengthwise.models.tree.level import Level
from lengthwise.models.tree.operators import MLPOperator

OUTWARD = 1e-9
"""The fraction by which radii are widened for the rounding of the bound itself."""
_CURVATURE = 1.25
"""The second derivative of ``u / |u|`` is at most this over ``|u|^2``; 1.155 without the norm's epsilon."""


@dataclass(frozen=True)
class AffineSets:
    """Sets of vectors.

    Args:
        centre_NF: [N, F] c.
        balls_N2FD: [N, 2, F, D] X and Y.
        box_NF: [N, F] half the side of the box.
    """

    centre_NF: Tensor
    balls_N2FD: Tensor
    box_NF: Tensor

    @property
    def radius_NF(self) -> Tensor:  # noqa: N802
        """[N, F] how far each coordinate is from the centre at most."""
        return (self.balls_N2FD.norm(dim=-1).sum(1) + self.box_NF) * (1 + OUTWARD)

    @property
    def largest_NF(self) -> Tensor:  # noqa: N802
        """[N, F] the largest absolute value of each coordinate."""
        return self.centre_NF.abs() + self.radius_NF

    def linear(self, layer: nn.Linear) -> AffineSets:
        """Return the images under a linear layer, the allowance for its rounding included."""
        weight, bias = layer.weight.double(), layer.bias.double()
        size = self.largest_NF @ weight.abs().T + bias.abs()
        box_NF = self.box_NF @ weight.abs().T + gamma(4 * weight.shape[1] + 4) * size
        return AffineSets(self.centre_NF @ weight.T + bias, weight @ self.balls_N2FD, box_NF)

    def relu(self) -> AffineSets:
        """Return the images under a ReLU: where it can be on or off, between the chord and its parallel through 0."""
        low, high = self.centre_NF - self.radius_NF, self.centre_NF + self.radius_NF
        unsure = (low < 0) & (high > 0)
        slope = torch.where(unsure, high / (high - low).clamp(min=1e-300), (low >= 0).double())
        shift = torch.where(unsure, -slope * low / 2, torch.zeros_like(low))
        return AffineSets(slope * self.centre_NF + shift, _scaled(slope, self.balls_N2FD), slope * self.box_NF + shift)

    def times(self, other: AffineSets) -> AffineSets:
        """Return the products, coordinate by coordinate."""
        one, two = self.centre_NF, other.centre_NF
        beside = self.radius_NF * other.radius_NF + gamma(2) * self.largest_NF * other.largest_NF
        box_NF = one.abs() * other.box_NF + two.abs() * self.box_NF + beside
        return AffineSets(one * two, _scaled(one, other.balls_N2FD) + _scaled(two, self.balls_N2FD), box_NF)

    def plus(self, other: AffineSets) -> AffineSets:
        """Return the sums, the same a and b in both."""
        box_NF = self.box_NF + other.box_NF + gamma(2) * (self.largest_NF + other.largest_NF)
        return AffineSets(self.centre_NF + other.centre_NF, self.balls_N2FD + other.balls_N2FD, box_NF)

    def part(self, begin: int, end: int) -> AffineSets:
        """Return some of the coordinates."""
        rows = slice(begin, end)
        return AffineSets(self.centre_NF[:, rows], self.balls_N2FD[:, :, rows], self.box_NF[:, rows])


def _scaled(factor_NF: Tensor, balls_N2FD: Tensor) -> Tensor:
    return factor_NF[:, None, :, None] * balls_N2FD


def image_radius(
    level: Level, left_ND: Tensor, left_N: Tensor, right_ND: Tensor, right_N: Tensor, target_ND: Tensor
) -> Tensor:
    """Bound how far joins of two balls are from a point, in the arithmetic of the network.

    Args:
        level: a residual level with the MLP operator.
        left_ND: [N, D] the centres of the left operands, in float64.
        left_N: [N] the radii of the balls around them.
        right_ND: [N, D] the same of the right operands.
        right_N: [N] their radii.
        target_ND: [N, D] the points.

    Returns:
        [N] an upper bound on the Euclidean distance from the point; infinite where the norm can vanish.
    """
    width = left_ND.shape[1]
    balls_N2FD = left_ND.new_zeros(len(left_ND), 2, 2 * width, width)
    # The left ball moves the first half of the coordinates, the right ball the second.
    for ball, radius_N in enumerate((left_N, right_N)):
        balls_N2FD[:, ball, ball * width : (ball + 1) * width] = radius_N[:, None, None] * torch.eye(width).to(radius_N)
    both = AffineSets(torch.cat([left_ND, right_ND], 1), balls_N2FD, left_ND.new_zeros(len(left_ND), 2 * width))
    joined = _operator(cast(MLPOperator, level.operator), both)
    inner, _, outer = level.feed_forward
    residual = joined.plus(joined.linear(cast(nn.Linear, inner)).relu().linear(cast(nn.Linear, outer)))
    return _after_norm(level.norm, residual, target_ND)


def _operator(operator: MLPOperator, both: AffineSets) -> AffineSets:
    gates = both
    for layer in operator.gates:
        gates = gates.linear(layer) if isinstance(layer, nn.Linear) else gates.relu()
    gated = both.times(gates)
    width = operator.width
    sides = gated.part(0, width).linear(operator.left).plus(gated.part(width, 2 * width).linear(operator.right))
    return sides.linear(operator.out)


def _after_norm(norm: nn.LayerNorm, sets: AffineSets, target_ND: Tensor) -> Tensor:
    """Return the largest distance [N] from the targets after a layer norm.

    ``f(u) = sqrt(D) u / sqrt(|u|^2 + D eps)`` of the centred vector is its linear part at the centre, plus at most half
    the largest second derivative times the squared distance.
    """
    width = target_ND.shape[1]
    scale, shift = norm.weight.double(), norm.bias.double()
    largest = sets.largest_NF
    # The mean is a sum of D terms, and so is the variance of what is left.
    box_NF = sets.box_NF + sets.box_NF.mean(1, keepdim=True)
    box_NF = box_NF + gamma(width + 4) * (largest + largest.mean(1, keepdim=True))
    centre = sets.centre_NF - sets.centre_NF.mean(1, keepdim=True)
    left, right = (sets.balls_N2FD - sets.balls_N2FD.mean(2, keepdim=True)).unbind(1)
    away_N = _spectral(left) + _spectral(right) + box_NF.norm(dim=1)
    length_N = (centre.square().sum(1) + width * norm.eps).sqrt()
    least_N = centre.norm(dim=1) - away_N
    unit = centre / length_N[:, None]

    def slope(rows: Tensor) -> Tensor:
        along = rows - unit[..., None] * (unit[:, None] @ rows)
        return scale[:, None] * along * (width**0.5 / length_N)[:, None, None]

    most = float(scale.abs().max())
    curved_N = 0.5 * _CURVATURE * width**0.5 * away_N.square() / least_N.square()
    straight_N = width**0.5 / length_N * box_NF.norm(dim=1)
    rounding = gamma(2 * width + 16) * (most * width**0.5 + float(shift.norm()))
    found = width**0.5 * unit * scale + shift
    radius_N = (found - target_ND).norm(dim=1) + _spectral(slope(left)) + _spectral(slope(right))
    radius_N = (radius_N + most * (straight_N + curved_N) + rounding) * (1 + OUTWARD)
    sound = (least_N > 0) & (width * norm.eps <= 0.1 * least_N.square())
    return torch.where(sound, radius_N, torch.full_like(radius_N, torch.inf))


def _spectral(matrices: Tensor) -> Tensor:
    """Return upper bounds [N] on the spectral norms of matrices [N, F, D].

    ``|A|^2k`` is at most the Frobenius norm of ``(A' A)^k``; for k = 32 that is too large by 7 % at most at D = 64, for
    a fraction of the cost of singular values.
    """
    power = matrices.transpose(1, 2) @ matrices
    scale_N = power.flatten(1).norm(dim=1).clamp(min=1e-300)
    power = power / scale_N[:, None, None]
    log_N = scale_N.log() / 2
    for squaring in range(1, 6):
        power = power @ power
        size_N = power.flatten(1).norm(dim=1).clamp(min=1e-300)
        power = power / size_N[:, None, None]
        log_N = log_N + size_N.log() / 2 ** (squaring + 1)
    return log_N.exp() * (1 + OUTWARD)
