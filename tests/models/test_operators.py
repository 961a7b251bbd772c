import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lengthwise.errors import InputError
from lengthwise.models import OPERATORS
from lengthwise.models.mixers.initialisation import truncated_normal_
from lengthwise.models.tree.ldru import LDRUConfig
from lengthwise.models.tree.operators import (
    FeedForward,
    LinearOperatorConfig,
    MatrixOperatorConfig,
    MLPOperator,
    SumOperatorConfig,
    square_root,
)
from lengthwise.models.tree.stochastic import StochasticOperatorConfig

NAMES = list(OPERATORS)


def build(name, width=16):
    torch.manual_seed(0)
    return OPERATORS.load(name)().build(width).double()


def values(count, width=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
def test_every_operator_joins_each_pair_on_its_own(name):
    operator = build(name)
    left, right = operator.admit(values(12, seed=1)), operator.admit(values(12, seed=2))
    together = operator(left.view(3, 4, 16), right.view(3, 4, 16))
    assert together.shape == (3, 4, 16)
    alone = torch.stack([operator(left[i], right[i]) for i in range(12)])
    torch.testing.assert_close(together.view(12, 16), alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_every_operator_passes_gradients_to_both_operands(name):
    operator = build(name)
    left, right = (operator.admit(values(3, seed=s)).requires_grad_() for s in (1, 2))
    weight = values(3, seed=3)
    for gradient in torch.autograd.grad((operator(left, right) * weight).sum(), (left, right)):
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"sum"}))
def test_every_operator_but_the_sum_sees_the_order(name):
    operator = build(name)
    left, right = operator.admit(values(1, seed=1)), operator.admit(values(1, seed=2))
    assert (operator(left, right) - operator(right, left)).abs().max() > 1e-3


@pytest.mark.parametrize("expected", [0.007, 0.05])
def test_a_truncated_normal_has_the_deviation_it_promises(expected):
    torch.manual_seed(0)
    weight = truncated_normal_(torch.empty(512, 512, dtype=torch.float64), expected)
    assert weight.std().item() == pytest.approx(expected, rel=0.01)
    assert weight.mean().item() == pytest.approx(0, abs=0.01 * expected)
    # Cut at two deviations of the normal that was cut.
    assert weight.abs().max().item() <= 2 * expected / 0.87962566103423978


def test_mlp_operator_starts_as_the_paper_says():
    torch.manual_seed(0)
    operator = MLPOperator(64)
    for layer in (operator.left, operator.right, operator.out):
        assert torch.equal(layer.weight, torch.eye(64))
    for name, parameter in operator.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
    sizes = [(layer.weight.shape, layer.weight.std()) for layer in operator.gates if hasattr(layer, "weight")]
    assert [tuple(shape) for shape, _ in sizes] == [(128, 128), (256, 128), (128, 256)]
    for shape, std in sizes:
        assert std.item() == pytest.approx(math.sqrt(2 / sum(shape)), rel=0.03)


def test_mlp_operator_is_the_papers_formula():
    operator = build("mlp", 5)
    for parameter in operator.parameters():
        parameter.data += 0.2 * values(1, parameter.numel()).view(parameter.shape)
    x, y = values(2, 5)
    hidden = torch.cat([x, y])
    for layer in (operator.gates[0], operator.gates[2]):
        hidden = (layer.weight @ hidden + layer.bias).clamp(min=0)
    gates = operator.gates[4].weight @ hidden + operator.gates[4].bias
    left = operator.left.weight @ (gates[:5] * x) + operator.left.bias
    right = operator.right.weight @ (gates[5:] * y) + operator.right.bias
    expected = operator.out.weight @ (left + right) + operator.out.bias
    torch.testing.assert_close(operator(x, y), expected, rtol=1e-12, atol=1e-12)


def test_feed_forward_starts_small_beside_its_input():
    torch.manual_seed(0)
    x = torch.randn(256, 64)
    assert FeedForward(64)(x).std() < 0.05 * x.std()


def test_the_papers_unit_has_its_number_of_parameters():
    width, vocabulary, classes = 64, 2, 2
    gates = 2 * width * (2 * width + 1) + 4 * width * (2 * width + 1) + 2 * width * (4 * width + 1)
    operator = gates + 3 * width * (width + 1)
    feed_forward = 4 * width * (width + 1) + width * (4 * width + 1)
    norm = 2 * width
    expected = operator + 2 * (feed_forward + norm) + vocabulary * width + classes * (width + 1)
    model = LDRUConfig(width=width).build(vocabulary, classes)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected == 161_602


def associator(operator, seed):
    a, b, c = (operator.admit(values(8, operator.width, seed=seed + k)) for k in range(3))
    return (operator(operator(a, b), c) - operator(a, operator(b, c))).abs().max().item()


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_stochastic_and_sum_operators_are_associative(seed):
    stochastic = StochasticOperatorConfig(heads=2).build(32).double()
    assert associator(stochastic, seed) < 1e-12
    assert associator(SumOperatorConfig().build(32), seed) < 1e-12


def test_the_others_are_not_associative_at_the_start():
    for name in sorted(set(NAMES) - {"sum", "stochastic"}):
        assert associator(build(name), 0) > 1e-3, name


def test_matrix_operator_is_the_normed_product():
    operator = build("matrix", 9)
    left, right = values(2, 9)
    product = (left.view(3, 3) @ right.view(3, 3)).flatten()
    expected = (product - product.mean()) / (product.var(unbiased=False) + operator.norm.eps).sqrt()
    torch.testing.assert_close(operator(left, right), expected, rtol=1e-10, atol=1e-10)


@given(seed=st.integers(0, 1000), heads=st.sampled_from([1, 3]), sharpness=st.floats(0.1, 50))
@settings(max_examples=30, deadline=None)
def test_rows_of_a_stochastic_operator_stay_distributions(seed, heads, sharpness):
    config = StochasticOperatorConfig(heads=heads, sharpness=(sharpness, sharpness))
    operator = config.build(16 * heads).double()
    value = operator.admit(values(4, 16 * heads, seed=seed))
    for step in range(20):
        value = operator(value, operator.admit(values(4, 16 * heads, seed=seed + step)))
    rows = value.unflatten(-1, (-1, 4))
    assert (rows >= 0).all()
    torch.testing.assert_close(rows.sum(-1), torch.ones_like(rows[..., 0]), rtol=0, atol=1e-12)


def test_a_stochastic_operator_grows_sharper_along_its_schedule():
    operator = StochasticOperatorConfig(sharpness=(2.0, 10.0), sharpen_from=0.5).build(16)
    seen = []
    for progress in (0.0, 0.5, 0.75, 1.0):
        operator.anneal(progress)
        seen.append(operator.sharpness.item())
    assert seen == pytest.approx([2.0, 2.0, 6.0, 10.0])


def test_a_rounded_stochastic_operator_is_a_deterministic_automaton_with_the_soft_gradient():
    config = StochasticOperatorConfig(sharpness=(4.0, 4.0))
    operator = config.build(25).double()
    leaves = values(50, 25).requires_grad_()
    soft = operator.admit(leaves)
    weight = values(50, 25, seed=1)
    of_soft = torch.autograd.grad((soft * weight).sum(), leaves)
    operator.anneal(1.0)
    rounded = operator.admit(leaves)
    assert torch.equal(rounded.unflatten(-1, (5, 5)).argmax(-1), soft.unflatten(-1, (5, 5)).argmax(-1))
    states, value = torch.arange(5), rounded[0]
    for leaf in rounded[1:]:
        value = operator(value, leaf)
    for leaf in rounded:
        states = leaf.view(5, 5).argmax(-1)[states]
    assert torch.equal(value.view(5, 5), torch.nn.functional.one_hot(states, 5).double())
    torch.testing.assert_close(torch.autograd.grad((rounded * weight).sum(), leaves), of_soft)


def test_the_entropy_of_rows_is_charged_as_the_sharpness_grows():
    operator = StochasticOperatorConfig(sharpness=(1.0, 3.0), determinism=0.5, sharpen_from=0.0).build(16)
    uniform = torch.zeros(2, 16)
    assert operator.penalty(uniform) is None
    operator.anneal(0.5)
    charged = operator.penalty(uniform)
    assert charged is not None
    assert charged.item() == pytest.approx(0.5 * 0.5 * math.log(4))
    operator.anneal(0.95)
    assert operator.penalty(uniform) is None


def test_linear_operator_is_one_map_of_both_operands():
    operator = LinearOperatorConfig().build(6).double()
    left, right = values(2, 6)
    expected = operator.both.weight[:, :6] @ left + operator.both.weight[:, 6:] @ right
    torch.testing.assert_close(operator(left, right), expected, rtol=1e-12, atol=1e-12)


def test_gated_sum_lies_between_its_operands():
    operator = build("gated_sum")
    left, right = values(20, seed=1), values(20, seed=2)
    joined = operator(left, right)
    assert (joined >= torch.minimum(left, right) - 1e-12).all()
    assert (joined <= torch.maximum(left, right) + 1e-12).all()


@pytest.mark.parametrize(("width", "heads"), [(15, 1), (9, 2), (0, 1), (2, 4), (64, 7)])
def test_a_width_that_is_no_square_is_refused_with_the_nearest(width, heads):
    with pytest.raises(InputError, match="nearest"):
        StochasticOperatorConfig(heads=heads).build(width)
    if heads == 1:
        with pytest.raises(InputError, match="nearest"):
            MatrixOperatorConfig().build(width)


@given(size=st.integers(1, 200), heads=st.integers(1, 9))
def test_square_root_of_squares(size, heads):
    assert square_root(heads * size * size, heads) == size


def test_the_nearest_widths_are_named():
    with pytest.raises(InputError, match="got 70, nearest: 64 and 81"):
        square_root(70)


def test_an_unknown_operator_is_offered_the_nearest_name():
    with pytest.raises(InputError, match="did you mean 'stochastic'"):
        OPERATORS.load("stochastik")
