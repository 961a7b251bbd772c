import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lengthwise.models.tree.ldru import LDRUConfig
from lengthwise.training.config import OptimiserConfig
from lengthwise.training.optimisation import build_optimisers, learning_rate, prepare_gradients


def parameters(seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(4, 3), (3,), (), (2, 3, 4)]
    return [nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64)) for shape in shapes]


def with_gradients(scale: float, seed: int = 1) -> list[nn.Parameter]:
    owned = parameters()
    for parameter, gradient in zip(owned, parameters(seed), strict=True):
        parameter.grad = scale * gradient.detach()
    return owned


def norm(gradients: list[Tensor]) -> float:
    return math.sqrt(sum(float((gradient**2).sum()) for gradient in gradients))


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("constant", {0.05: 0.5, 0.1: 1.0, 0.55: 1.0, 1.0: 1.0}),
        ("cosine", {0.05: 0.5, 0.1: 1.0, 0.325: (1 + math.sqrt(0.5)) / 2, 0.55: 0.5, 1.0: 0.0}),
    ],
)
def test_the_learning_rate_rises_and_then_follows_its_tail(tail: str, expected: dict[float, float]) -> None:
    config = OptimiserConfig(learning_rate=0.02, warm_up=0.1, tail=tail)
    found = {progress: learning_rate(config, progress) / 0.02 for progress in expected}
    assert found == pytest.approx(expected, abs=1e-12)


@given(
    warm_up=st.floats(0, 1), progress=st.floats(0, 1, exclude_min=True), tail=st.sampled_from(["constant", "cosine"])
)
def test_the_learning_rate_never_exceeds_its_peak(warm_up: float, progress: float, tail: str) -> None:
    rate = learning_rate(OptimiserConfig(learning_rate=3.0, warm_up=warm_up, tail=tail), progress)
    assert 0 <= rate <= 3.0 * (1 + 1e-12)


def test_training_that_only_warms_up_ends_at_the_peak() -> None:
    config = OptimiserConfig(learning_rate=1.0, warm_up=1.0, tail="cosine")
    assert learning_rate(config, 0.5) == pytest.approx(0.5)
    assert learning_rate(config, 1.0) == pytest.approx(1.0)


def test_centralised_gradients_have_no_mean_over_the_outputs() -> None:
    owned = with_gradients(1.0)
    given_gradients = [parameter.grad.clone() for parameter in owned]
    prepare_gradients(owned, OptimiserConfig(clip=None))
    for parameter, before in zip(owned, given_gradients, strict=True):
        expected = before.clone()
        if before.ndim > 1:
            for output in range(len(before)):
                expected[output] -= sum(before) / len(before)
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-12, atol=1e-12)


def test_gradients_are_left_alone_where_nothing_is_asked() -> None:
    owned = with_gradients(100.0)
    before = [parameter.grad.clone() for parameter in owned]
    found = prepare_gradients(owned, OptimiserConfig(clip=None, centralise=False))
    assert all(torch.equal(parameter.grad, gradient) for parameter, gradient in zip(owned, before, strict=True))
    assert found.item() == pytest.approx(norm(before))


@pytest.mark.parametrize(("scale", "clipped"), [(100.0, True), (1e-3, False)])
def test_the_norm_is_bounded_after_the_mean_is_taken_off(scale: float, clipped: bool) -> None:
    owned, centralised = with_gradients(scale), with_gradients(scale)
    prepare_gradients(centralised, OptimiserConfig(clip=None))
    before = [parameter.grad for parameter in centralised]
    found = prepare_gradients(owned, OptimiserConfig(clip=0.5))
    assert found.item() == pytest.approx(norm(before))
    factor = 0.5 / norm(before) if clipped else 1.0
    for parameter, gradient in zip(owned, before, strict=True):
        torch.testing.assert_close(parameter.grad, factor * gradient, rtol=1e-5, atol=0)


def test_parameters_without_a_gradient_are_passed_over() -> None:
    owned = with_gradients(1.0)
    owned[0].grad = None
    prepare_gradients(owned, OptimiserConfig())
    assert owned[0].grad is None


@pytest.mark.parametrize("amsgrad", [True, False])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_the_optimiser_takes_the_steps_of_its_formula(amsgrad: bool, weight_decay: float) -> None:
    rate, (beta1, beta2), epsilon = 0.1, (0.8, 0.95), 1e-8
    owned = parameters()
    config = OptimiserConfig(learning_rate=rate, betas=(beta1, beta2), amsgrad=amsgrad, weight_decay=weight_decay)
    (optimiser,) = build_optimisers(nn.ParameterList(owned), config)
    expected = [parameter.detach().clone() for parameter in owned]
    first, second, largest = ([torch.zeros_like(value) for value in expected] for _ in range(3))
    # Gradients that shrink, so that a kept maximum differs from the latest moment.
    for step in range(1, 6):
        for index, gradient in enumerate(parameters(seed=step)):
            g = gradient.detach() / step**2
            owned[index].grad = g
            expected[index] *= 1 - rate * weight_decay
            first[index] = beta1 * first[index] + (1 - beta1) * g
            second[index] = beta2 * second[index] + (1 - beta2) * g**2
            largest[index] = torch.maximum(largest[index], second[index]) if amsgrad else second[index]
            spread = (largest[index] / (1 - beta2**step)).sqrt() + epsilon
            expected[index] -= rate * first[index] / (1 - beta1**step) / spread
        optimiser.step()
        for parameter, value in zip(owned, expected, strict=True):
            torch.testing.assert_close(parameter.detach(), value, rtol=1e-10, atol=1e-10)


def test_muon_takes_the_matrices_inside_and_adamw_the_rest() -> None:
    model = LDRUConfig(width=8).build(3, 4)
    adamw, muon = build_optimisers(model, OptimiserConfig(name="muon", learning_rate=0.5))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    of_adamw, of_muon = (
        {names[id(parameter)] for group in optimiser.param_groups for parameter in group["params"]}
        for optimiser in (adamw, muon)
    )
    assert of_adamw.isdisjoint(of_muon)
    assert of_adamw | of_muon == set(names.values())
    assert {"encoder.embedding.weight", "classifier.weight", "classifier.bias", "join.norm.weight"} <= of_adamw
    assert of_muon == {
        name for name in names.values() if name.endswith("weight") and ("feed_forward" in name or "operator" in name)
    }


def test_a_step_of_muon_is_orthogonal_and_of_the_size_of_a_step_of_adamw() -> None:
    torch.manual_seed(0)
    model = LDRUConfig(width=32).build(2, 2)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    before = model.join.operator.out.weight.detach().clone()
    for optimiser in build_optimisers(model, OptimiserConfig(name="muon", learning_rate=0.1)):
        optimiser.step()
    step = before - model.join.operator.out.weight.detach()
    assert step.square().mean().sqrt().item() == pytest.approx(0.1 * 0.2, rel=0.2)
    singular = torch.linalg.svdvals(step)
    assert singular.max() < 2 * singular.min()


def test_a_model_without_inner_matrices_is_left_to_adamw() -> None:
    model = LDRUConfig.model_validate({"width": 4, "level": "plain", "operator": {"name": "stochastic"}}).build(2, 2)
    assert len(build_optimisers(model, OptimiserConfig(name="muon"))) == 1
