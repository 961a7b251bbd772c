"""The depthwise convolution against torch's."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import RunError
from lengthwise.scans.convolution import depthwise_convolution


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "length"), [(1, 1), (3, 2), (5, 300), (40, 9)])
@pytest.mark.parametrize("taps", [1, 2, 4])
@pytest.mark.parametrize("biased", [True, False])
def test_equals_a_grouped_convolution_in_value_and_gradient(rows, length, taps, biased):
    generator = torch.Generator().manual_seed(length)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)

    inputs = [normal(rows, length + taps - 1, 700), normal(taps, 700), *([normal(700)] if biased else [])]
    context, weight, *bias = inputs
    y = depthwise_convolution(context, weight, *bias)
    expected = F.conv1d(context.mT, weight.t()[:, None], *bias, groups=700).mT
    torch.testing.assert_close(y, expected)
    functional = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    found, wanted = (torch.autograd.grad((t * functional).sum(), inputs) for t in (y, expected))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_second_derivatives_that_do_not_exist_are_refused():
    context = torch.randn(1, 5, 2, requires_grad=True)
    y = depthwise_convolution(context, torch.ones(2, 2))
    with pytest.raises(RunError, match="no second derivatives"):
        torch.autograd.grad(y.square().sum(), context, create_graph=True)
