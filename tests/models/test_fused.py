"""The fused kernels against the modules that they stand for."""

import pytest
import torch
from pydantic import ValidationError

from lengthwise.errors import InputError
from lengthwise.models.tree import fused
from lengthwise.models.tree.ldru import LDRUConfig
from lengthwise.models.tree.operators import FeedForward, MLPOperator


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(fused, "BLOCK_ROWS", 4)


def shaken(module):
    """The module in float64, away from its initialisation, where half of it is the identity or zero."""
    generator = torch.Generator().manual_seed(1)
    module.double()
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return module


def rows(count, width):
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, width, generator=generator, dtype=torch.float64, requires_grad=True)


def assert_same(fast, slow, inputs):
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)
    weight = torch.randn(slow.shape, generator=torch.Generator().manual_seed(2), dtype=slow.dtype)
    pairs = zip(
        torch.autograd.grad((fast * weight).sum(), inputs),
        torch.autograd.grad((slow * weight).sum(), inputs),
        strict=True,
    )
    for of_fast, of_slow in pairs:
        torch.testing.assert_close(of_fast, of_slow, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
@pytest.mark.usefixtures("small_blocks")
def test_operator_is_its_twin_at_any_number_of_rows(count):
    operator, pairs = shaken(MLPOperator(6)), rows(count, 12)
    slow = operator(pairs[:, :6], pairs[:, 6:])
    assert_same(fused.mlp_operator(pairs, operator), slow, [pairs, *operator.parameters()])


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
@pytest.mark.usefixtures("small_blocks")
def test_residual_feed_forward_is_its_twin_at_any_number_of_rows(count):
    layers, x = shaken(FeedForward(6)), rows(count, 6)
    assert_same(fused.residual_feed_forward(x, layers), x + layers(x), [x, *layers.parameters()])


@pytest.mark.usefixtures("small_blocks")
def test_operator_reads_neighbours_and_uneven_rows_in_place():
    operator, x = shaken(MLPOperator(6)), rows(7, 24)
    assert_same(
        fused.mlp_operator(x[1::2, 4:16], operator),
        operator(x[1::2, 4:10], x[1::2, 10:16]),
        [x, *operator.parameters()],
    )
    neighbours = x.reshape(14, 2, 6)
    assert_same(fused.mlp_operator(x.reshape(14, 12), operator), operator(neighbours[:, 0], neighbours[:, 1]), [x])


@pytest.mark.usefixtures("small_blocks")
def test_gradients_against_finite_differences():
    operator, layers = shaken(MLPOperator(3)), shaken(FeedForward(3))
    assert torch.autograd.gradcheck(lambda pairs, *_: fused.mlp_operator(pairs, operator), rows(6, 6))
    assert torch.autograd.gradcheck(lambda x, *_: fused.residual_feed_forward(x, layers), rows(6, 3))


@pytest.mark.parametrize("count", [0, 3, 4, 11])
@pytest.mark.usefixtures("small_blocks")
def test_values_without_gradients_are_the_same(count):
    operator, layers = shaken(MLPOperator(6)), shaken(FeedForward(6))
    pairs, x = rows(count, 12), rows(count, 6)
    with torch.no_grad():
        joined, added = fused.mlp_operator(pairs, operator), fused.residual_feed_forward(x, layers)
    assert not joined.requires_grad
    assert not added.requires_grad
    assert torch.equal(joined, fused.mlp_operator(pairs, operator))
    assert torch.equal(added, fused.residual_feed_forward(x, layers))


def test_gradient_that_is_the_same_in_all_places():
    operator, pairs = shaken(MLPOperator(4)), rows(5, 8)
    fast = torch.autograd.grad(fused.mlp_operator(pairs, operator).sum(), pairs)
    slow = torch.autograd.grad(operator(pairs[:, :4], pairs[:, 4:]).sum(), pairs)
    torch.testing.assert_close(fast, slow)


def test_second_derivatives_are_refused():
    operator, pairs = shaken(MLPOperator(4)), rows(5, 8)
    value = fused.mlp_operator(pairs, operator)
    (gradient,) = torch.autograd.grad(value.square().sum(), pairs, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_rows_of_another_width_are_refused():
    with pytest.raises(InputError, match=r"rows of width 8, \[N, 8\], got \[5, 7\]"):
        fused.mlp_operator(torch.zeros(5, 7), MLPOperator(4))
    with pytest.raises(InputError, match="rows of width 4"):
        fused.residual_feed_forward(torch.zeros(2, 5, 4), FeedForward(4))


@pytest.mark.parametrize("level", ["residual", "plain"])
@pytest.mark.parametrize("readout", ["root", "prefixes"])
@pytest.mark.parametrize("odd", ["carry", "zero", "pad"])
@pytest.mark.usefixtures("small_blocks")
def test_unit_is_the_same_with_either_kernel(level, readout, odd):
    models = []
    for kernel in ("eager", "fused"):
        torch.manual_seed(0)
        config = LDRUConfig(width=6, kernel=kernel, level=level, readout=readout, odd=odd)
        models.append(shaken(config.build(3, 2)))
    tokens = torch.randint(3, (4, 13), generator=torch.Generator().manual_seed(0))
    eager, fast = (model(tokens).logits for model in models)
    torch.testing.assert_close(fast, eager, rtol=1e-10, atol=1e-10)
    gradients = [
        torch.autograd.grad(logits.square().sum(), list(model.parameters()), allow_unused=True)
        for model, logits in zip(models, (eager, fast), strict=True)
    ]
    for of_eager, of_fused in zip(*gradients, strict=True):
        torch.testing.assert_close(of_fused, of_eager, rtol=1e-8, atol=1e-10)


def test_dropout_falls_on_the_same_channels_with_either_kernel():
    outputs = []
    for kernel in ("eager", "fused"):
        torch.manual_seed(0)
        model = shaken(LDRUConfig(width=6, kernel=kernel, dropout=0.5).build(2, 2))
        torch.manual_seed(1)
        outputs.append(model(torch.ones(3, 9, dtype=torch.int64)).logits)
    torch.testing.assert_close(*outputs)


def test_an_operator_without_a_fused_kernel_is_refused_by_name():
    with pytest.raises(ValidationError, match="kernel 'fused' knows the operator 'mlp' only, not 'grc'"):
        LDRUConfig(kernel="fused", operator={"name": "grc"})
