"""Filler: what rows start from is the state after stretches that were read apart, and nothing of training."""

import pytest
import torch
from models_for_interventions import Prose, Shifted, generator, tokens

from lengthwise.errors import InputError
from lengthwise.interventions.filler import FillerPassing, FillerPassingConfig
from lengthwise.interventions.noise import FittedNoise, FittedNoiseConfig, RandomNoiseConfig
from lengthwise.tasks import get_task


class Recorded(Prose):
    """Keeps the stretches that it drew."""

    def draw_filler(self, rng, rows, length):
        stretch = super().draw_filler(rng, rows, length)
        DRAWN.append(torch.from_numpy(stretch))
        return stretch


DRAWN: list[torch.Tensor] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    DRAWN.clear()


def passing(**settings: object) -> FillerPassing:
    built = FillerPassingConfig(**settings).build()
    built.prepare(Recorded())
    return built


def test_rows_start_after_all_stretches_that_were_read_and_nothing_else() -> None:
    model, filler = Shifted(), passing(reset=0.0, length=4)
    for _ in range(3):
        start = filler.begin(model, 4, generator())
        filler.observe(model(tokens(4, 5), start).state)
    assert [tuple(stretch.shape) for stretch in DRAWN] == [(2, 4)] * 3
    read = model(torch.cat(DRAWN, 1)).state
    for name in ("heads", "hidden", "shift"):
        assert not start[name][:2].any()
        torch.testing.assert_close(start[name][2:], read[name])
    assert not start["position"].any()


def test_stretches_begin_anew_by_chance() -> None:
    model, filler = Shifted(), passing(reset=1.0, zero_share=0.0)
    for _ in range(2):
        start = filler.begin(model, 3, generator())
    torch.testing.assert_close(start["heads"], model(DRAWN[-1]).state["heads"])
    assert DRAWN[-1].shape == (3, 6)


def test_noise_that_is_fitted_once_is_that_of_states_after_filler_and_stays() -> None:
    model, noise = Shifted(), FittedNoise(FittedNoiseConfig(after=3, zero_share=0.5))
    noise.prepare(Recorded())
    noise.begin(model, 4, generator())
    read = model(torch.cat(DRAWN, 1)).state["heads"]
    torch.testing.assert_close(noise.moments["heads"].mean, read.mean((0, 2), keepdim=True))
    torch.testing.assert_close(noise.moments["heads"].deviation, read.std((0, 2), correction=0, keepdim=True))
    before = noise.state()[0]
    start = noise.begin(model, 4, generator())
    noise.observe(model(tokens(4, 5), start).state)
    assert all(torch.equal(value, before[name]) for name, value in noise.state()[0].items())
    assert not start["heads"][:2].any()
    assert start["heads"][2:].all()
    assert len(DRAWN) == 3


def test_a_share_of_rows_has_no_noise() -> None:
    start = RandomNoiseConfig(zero_share=0.25).build().begin(Shifted(), 4, generator())
    assert not start["heads"][0].any()
    assert start["heads"][1:].all()


@pytest.mark.parametrize("name", ["filler_passing", "fitted_noise"])
def test_a_task_without_filler_is_refused(name: str) -> None:
    config = FillerPassingConfig() if name == "filler_passing" else FittedNoiseConfig(after=2)
    with pytest.raises(InputError, match=f"'{name}' needs a task that has stretches .*; parity does not"):
        config.build().prepare(get_task("parity"))
    with pytest.raises(InputError, match=r"call prepare\(task\) before the first step"):
        config.build().begin(Shifted(), 2, generator())
