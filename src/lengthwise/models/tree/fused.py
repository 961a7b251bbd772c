"""The matrix products of a tree level at close to the speed of one large product, on a CPU.

Written as separate modules, a level streams every intermediate through memory several times. Here one autograd
function walks over blocks of rows that stay in cache: biases and ReLUs are applied where a product was written,
weight gradients accumulate in place, and of what is saved nothing is copied. The slow twins are
`MLPOperator` and ``x + FeedForward(x)``, from which results differ by rounding only; second derivatives
and the transforms of `torch.func` need the twins.

Shape letters: N rows, D width, I inputs and O outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lengthwise.errors import InputError
from lengthwise.models.tree.operators import FeedForward, MLPOperator

BLOCK_ROWS = 1024
"""Rows at a time: at width 64 the widest intermediate takes a megabyte, about a core's second-level cache."""


def mlp_operator(pairs: Tensor, operator: MLPOperator) -> Tensor:
    """Join pairs as `MLPOperator` does.

    The pairs [N, 2D] are left and right operands side by side; neighbours in memory are such a view.
    ``Wo(Vx a + Vy b)`` is computed as one product, with the matrix ``Wo [Vx Vy]``.
    """
    _check_rows(pairs, 2 * operator.width)
    left, right, out = operator.left, operator.right, operator.out
    weight = out.weight @ torch.cat([left.weight, right.weight], 1)
    bias = torch.addmv(out.bias, out.weight, left.bias + right.bias)
    parameters = [*_linear_parameters(operator.gates), weight, bias]
    return cast(Tensor, _Gated.apply(_rows_kept(pairs), pairs, *parameters))


def residual_feed_forward(x_ND: Tensor, feed_forward: FeedForward) -> Tensor:
    """Return ``x + FeedForward(x)``."""
    parameters = _linear_parameters(feed_forward)
    _check_rows(x_ND, parameters[0].shape[1])
    return cast(Tensor, _Residual.apply(_rows_kept(x_ND), x_ND, *parameters))


def _rows_kept(x: Tensor) -> int:
    """Return of how many rows the activations are kept: of all for a gradient, otherwise of a block."""
    return len(x) if torch.is_grad_enabled() else min(len(x), BLOCK_ROWS)


def _check_rows(x: Tensor, width: int) -> None:
    if x.ndim != 2 or x.shape[1] != width:
        raise InputError(f"expected rows of width {width}, [N, {width}], got {list(x.shape)}")


def _linear_parameters(layers: nn.Sequential) -> list[Tensor]:
    """Weight and bias of each linear layer in turn."""
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    return [tensor for layer in linear for tensor in (layer.weight, layer.bias)]


def _blocks(first: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Walk over blocks of rows; of a tensor shorter than the first one, the same rows come again each time."""
    for start in range(0, len(first), BLOCK_ROWS):
        block = first[start : start + BLOCK_ROWS]
        here, again = slice(start, start + BLOCK_ROWS), slice(len(block))
        yield block, *(tensor[again if len(tensor) < len(first) else here] for tensor in others)


def _linear(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor, out_NO: Tensor) -> Tensor:
    return torch.addmm(bias_O, x_NI, weight_OI.t(), out=out_NO)


def _mask(delta: Tensor, activation: Tensor) -> Tensor:
    """Zero a gradient, in place, where the ReLU was off."""
    return torch.ops.aten.threshold_backward.grad_input(delta, activation, 0, grad_input=delta)


class _LayerGradient:
    """The way back through one linear layer; what its weight and bias get adds up over the blocks."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor) -> None:
        self.weight_OI = weight_OI
        self.of_weight, self.of_bias = torch.zeros_like(weight_OI), torch.zeros_like(bias_O)
        # A product with ones is several times as fast as a sum over rows.
        self.ones = weight_OI.new_ones(BLOCK_ROWS)

    def add(self, delta_NO: Tensor, x_NI: Tensor) -> None:
        self.of_weight.addmm_(delta_NO.t(), x_NI)
        self.of_bias.addmv_(delta_NO.t(), self.ones[: len(delta_NO)])

    def back(self, delta_NO: Tensor, out_NI: Tensor) -> Tensor:
        return torch.mm(delta_NO, self.weight_OI, out=out_NI)


def _layer_gradients(parameters: Sequence[Tensor]) -> list[_LayerGradient]:
    return [_LayerGradient(w, b) for w, b in zip(parameters[0::2], parameters[1::2], strict=True)]


def _collected(layers: Sequence[_LayerGradient]) -> list[Tensor]:
    return [tensor for layer in layers for tensor in (layer.of_weight, layer.of_bias)]


class _Gated(torch.autograd.Function):
    """``W4 (u * (W3 relu(W2 relu(W1 u))))``, each product with its bias."""

    @staticmethod
    def forward(ctx: Any, kept: int, pairs: Tensor, *parameters: Tensor) -> Tensor:
        w1, b1, w2, b2, w3, b3, w4, b4 = parameters
        first, second, gates = (pairs.new_empty(kept, len(bias)) for bias in (b1, b2, b3))
        out = pairs.new_empty(len(pairs), len(b4))
        gated = pairs.new_empty(min(len(pairs), BLOCK_ROWS), len(b3))
        for u, h1, h2, g, ug, z in _blocks(pairs, first, second, gates, gated, out):
            _linear(u, w1, b1, h1).relu_()
            _linear(h1, w2, b2, h2).relu_()
            _linear(h2, w3, b3, g)
            _linear(torch.mul(u, g, out=ug), w4, b4, z)
        ctx.save_for_backward(pairs, first, second, gates, *parameters)
        return out

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        pairs, first, second, gates, *parameters = cast(tuple[Tensor, ...], ctx.saved_tensors)
        layers = layer1, layer2, layer3, layer4 = _layer_gradients(parameters)
        grad_pairs = torch.empty_like(pairs)
        rows = min(len(pairs), BLOCK_ROWS)
        scratch = [pairs.new_empty(rows, width) for width in (pairs.shape[1], second.shape[1])]
        saved = (first, second, gates)
        for u, h1, h2, g, dz, du, narrow, wide in _blocks(pairs, *saved, *grad_outputs, grad_pairs, *scratch):
            layer4.add(dz, torch.mul(u, g, out=narrow))
            dug = layer4.back(dz, narrow)
            torch.mul(dug, g, out=du)
            dg = dug.mul_(u)
            layer3.add(dg, h2)
            dh2 = _mask(layer3.back(dg, wide), h2)
            layer2.add(dh2, h1)
            dh1 = _mask(layer2.back(dh2, narrow), h1)
            layer1.add(dh1, u)
            du.addmm_(dh1, layer1.weight_OI)
        return None, grad_pairs, *_collected(layers)


class _Residual(torch.autograd.Function):
    """``x + W2 relu(W1 x)``, each product with its bias."""

    @staticmethod
    def forward(ctx: Any, kept: int, x_ND: Tensor, *parameters: Tensor) -> Tensor:
        w1, b1, w2, b2 = parameters
        inner, out = x_ND.new_empty(kept, len(b1)), x_ND + b2
        for x, h, y in _blocks(x_ND, inner, out):
            _linear(x, w1, b1, h).relu_()
            y.addmm_(h, w2.t())
        ctx.save_for_backward(x_ND, inner, *parameters)
        return out

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        x_ND, inner, *parameters = cast(tuple[Tensor, ...], ctx.saved_tensors)
        layers = layer1, layer2 = _layer_gradients(parameters)
        grad_x = torch.empty_like(x_ND)
        scratch = inner.new_empty(min(len(inner), BLOCK_ROWS), inner.shape[1])
        for x, h, dy, dx, wide in _blocks(x_ND, inner, *grad_outputs, grad_x, scratch):
            layer2.add(dy, h)
            dh = _mask(layer2.back(dy, wide), h)
            layer1.add(dh, x)
            torch.addmm(dy, dh, layer1.weight_OI, out=dx)
        return None, grad_x, *_collected(layers)
