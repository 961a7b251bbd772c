"""Every statistical bound is five standard errors: a false alarm once in 1.7 million comparisons, under 1e-4 in all."""

import math

import numpy as np
import pytest
import torch
from models_for_interventions import Shifted, final, generator, tokens
from torch import Tensor

from lengthwise.interventions.noise import FittedNoise, FittedNoiseConfig, RandomNoiseConfig
from lengthwise.state import Kind, State

ROWS = 4000


def assert_normal(sample: Tensor, mean: float, deviation: float) -> None:
    errors = 5 / math.sqrt(sample.numel())
    assert sample.mean().item() == pytest.approx(mean, abs=errors * deviation)
    assert sample.std().item() == pytest.approx(deviation, abs=errors * deviation / math.sqrt(2))
    inside = ((sample - mean).abs() < deviation).double().mean().item()
    assert inside == pytest.approx(0.6827, abs=errors * math.sqrt(0.6827 * 0.3173))


def assert_independent(sample: Tensor) -> None:
    """Hold the correlation of columns, which are elements of one row, against chance."""
    correlation = torch.corrcoef(sample.flatten(1).T)
    others = correlation[~torch.eye(len(correlation), dtype=torch.bool)]
    assert others.abs().max().item() < 5 / math.sqrt(len(sample))


def assert_others_initial(model: Shifted, state: State) -> None:
    for name, entry in model.initial_state(state.batch_size).items():
        if state.kinds[name] is not Kind.RECURRENT:
            assert torch.equal(state[name], entry)


@pytest.mark.parametrize("sigma", [1.0, 0.3])
def test_random_noise_has_one_deviation_everywhere(sigma: float) -> None:
    model = Shifted()
    state = RandomNoiseConfig(sigma=sigma).build().begin(model, ROWS, generator())
    for head in (state["heads"][:, 0], state["heads"][:, 1], state["hidden"]):
        assert_normal(head, 0.0, sigma)
    assert_independent(torch.cat([state["heads"].flatten(1), state["hidden"]], 1))
    assert_others_initial(model, state)


def test_noise_of_size_zero_is_the_control() -> None:
    model = Shifted()
    state = RandomNoiseConfig(sigma=0.0).build().begin(model, 5, generator())
    assert all(torch.equal(state[name], entry) for name, entry in model.initial_state(5).items())


def test_noise_comes_from_the_given_generator_alone() -> None:
    model, noise = Shifted(), RandomNoiseConfig().build()
    before = torch.get_rng_state()
    first, again, other = (noise.begin(model, 5, generator(seed))["heads"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def fitted(model: Shifted, *seen: State, momentum: float = 0.5, per_channel: bool = False) -> FittedNoise:
    noise = FittedNoiseConfig(momentum=momentum, per_channel=per_channel).build()
    noise.begin(model, 1, generator())
    for state in seen:
        noise.observe(state)
    return noise


def spread(rows: int, seed: int) -> State:
    """A final state whose heads and channels differ in mean and deviation."""
    state = final(Shifted(), rows, seed)
    heads = state["heads"] * torch.tensor([0.2, 3.0]).double().view(1, 2, 1) + torch.tensor([5.0, -1.0]).view(1, 2, 1)
    hidden = state["hidden"] * torch.tensor([1.0, 2.0, 0.1, 0.0]) + torch.tensor([0.0, 1.0, -2.0, 4.0])
    return State({**state, "heads": heads, "hidden": hidden}, state.kinds)


def test_fitted_noise_has_the_moments_of_each_head() -> None:
    model, seen = Shifted(), spread(50, 0)
    state = fitted(model, seen).begin(model, ROWS, generator())
    for head in range(2):
        values = seen["heads"][:, head].numpy()
        assert_normal(state["heads"][:, head], values.mean(), values.std())
    hidden = seen["hidden"].numpy()
    for channel in range(4):
        assert_normal(state["hidden"][:, channel], hidden.mean(), hidden.std())
    assert_independent(torch.cat([state["heads"].flatten(1), state["hidden"]], 1))
    assert_others_initial(model, state)


def test_entries_without_heads_can_have_moments_for_each_channel() -> None:
    model, seen = Shifted(), spread(50, 0)
    state = fitted(model, seen, per_channel=True).begin(model, ROWS, generator())
    hidden = seen["hidden"].numpy()
    for channel in range(3):
        assert_normal(state["hidden"][:, channel], hidden[:, channel].mean(), hidden[:, channel].std())
    assert torch.equal(state["hidden"][:, 3], torch.full((ROWS,), 4.0, dtype=torch.float64))
    assert state["heads"][:, 0].mean().item() == pytest.approx(5.0, abs=0.1)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 1.0])
def test_moments_are_weighted_averages_over_all_steps(momentum: float) -> None:
    steps = [spread(rows, seed) for rows, seed in ((8, 0), (8, 10), (8, 20))]
    shifted = [s.map(lambda t, by=by: t + by if t.is_floating_point() else t) for by, s in enumerate(steps)]
    moments = fitted(Shifted(), *shifted, momentum=momentum).moments["heads"]
    weights = np.array([momentum**2, momentum, 1.0])
    weights /= weights.sum()
    values = np.stack([state["heads"].numpy() for state in shifted])
    for head in range(2):
        mean = weights @ values[:, :, head].mean((1, 2))
        square = weights @ (values[:, :, head] ** 2).mean((1, 2))
        assert moments.mean[0, head, 0].item() == pytest.approx(mean, rel=1e-12)
        assert moments.deviation[0, head, 0].item() == pytest.approx(math.sqrt(square - mean**2), rel=1e-10)


def test_a_mean_far_from_zero_does_not_hide_the_deviation_in_float32() -> None:
    model = Shifted(torch.float32)
    start = model.initial_state(200)
    heads = 1000 + 0.05 * torch.randn(200, 2, 3, generator=generator())
    seen = State({**start, "heads": heads}, start.kinds)
    noise = fitted(model, seen, seen, seen)
    assert noise.moments["heads"].deviation.flatten().tolist() == pytest.approx([0.05, 0.05], rel=0.2)


def test_fitted_noise_follows_training() -> None:
    model, noise = Shifted(), FittedNoiseConfig().build()
    for seed in range(3):
        state = noise.begin(model, 6, generator(seed))
        assert bool(state["heads"].any()) is (seed > 0)
        noise.observe(model(tokens(6, 5, seed), state).state)
    assert noise.weight == pytest.approx(1 + 0.99 + 0.99**2)
