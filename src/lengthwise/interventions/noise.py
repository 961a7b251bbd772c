"""Noise in place of the initial state, of one size or fitted to the final states seen in training.

Shape letters: B batch rows, H heads, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.interventions.base import (
    Intervention,
    InterventionConfig,
    ObservingIntervention,
    check_carries_state,
    from_zero,
    initial_start,
    recurrent_entries,
    where_rows,
)
from lengthwise.interventions.filler import Filler, ready
from lengthwise.models.base import SequenceModel
from lengthwise.state import State
from lengthwise.tasks.base import Task

FITTED = 32
"""Sequences to whose states noise is fitted once."""


class RandomNoiseConfig(InterventionConfig):
    """Settings of random noise."""

    name: Literal["random_noise"] = "random_noise"
    sigma: float = Field(default=1.0, ge=0)
    """Standard deviation of every recurrent entry, in the units of the state."""
    zero_share: float = Field(default=0.0, ge=0, le=1, exclude_if=lambda share: share == 0)
    """The fraction of rows that always start from the initial state, so that it is not forgotten."""

    def build(self) -> RandomNoise:
        """Return the intervention."""
        return RandomNoise(self)


class RandomNoise(Intervention):
    """Every element of every recurrent entry is drawn from N(0, sigma^2).

    Args:
        config: the settings.

    Source: Buitrago Ruiz and Gu 2025, section 4, "random noise".
    """

    name = "random_noise"

    def __init__(self, config: RandomNoiseConfig) -> None:
        self.config = config

    def begin(
        self, model: SequenceModel, batch_size: int, rng: torch.Generator, fresh_B: Tensor | None = None
    ) -> State:
        """Return an initial state with noise for its recurrent entries."""
        check_carries_state(model, self)
        start = initial_start(model, batch_size)
        noise = {name: self.config.sigma * _normal_like(start[name], rng) for name in recurrent_entries(start)}
        return _beside_zero(start, noise, self.config.zero_share, rng)


class FittedNoiseConfig(InterventionConfig):
    """Settings of fitted noise."""

    name: Literal["fitted_noise"] = "fitted_noise"
    momentum: float = Field(default=0.99, ge=0, le=1)
    """Weight of the past in the running moments, each step; at 1 all steps count alike."""
    per_channel: bool = False
    """Whether entries without heads, [B, D], have a mean and a standard deviation for each channel."""
    zero_share: float = Field(default=0.0, ge=0, le=1, exclude_if=lambda share: share == 0)
    """The fraction of rows that always start from the initial state, so that it is not forgotten."""
    after: int | None = Field(default=None, ge=1, exclude_if=lambda after: after is None)
    """Fitted once, before the first step, to the states after so many training lengths of the task's filler. A running
    fit feeds on itself: noise makes final states larger, which are fitted. By default it runs."""

    def build(self) -> FittedNoise:
        """Return an intervention that starts from the initial state until it has seen a final one."""
        return FittedNoise(self)


class Moments(NamedTuple):
    """Running moments of an entry, in float64, of a shape that spreads over [B, ...]."""

    mean: Tensor
    square: Tensor

    @property
    def deviation(self) -> Tensor:
        """The standard deviation."""
        return (self.square - self.mean**2).clamp(min=0).sqrt()


class FittedNoise(ObservingIntervention):
    """Every element of a recurrent entry is drawn from N(mu, sigma^2), fitted to the final states seen in training.

    An entry [B, H, ...] has one mean and one standard deviation for each head (dimension 1); an entry [B, D] has one
    of each, or one for each channel. Entries are told apart by layer, so the fit is one for each layer and head.

    Args:
        config: the settings.

    Source: Buitrago Ruiz and Gu 2025, section 4, "fitted noise".
    """

    name = "fitted_noise"

    def __init__(self, config: FittedNoiseConfig) -> None:
        super().__init__()
        self.config = config
        self.moments: dict[str, Moments] = {}
        """Entry -> its running moments."""
        self.weight = 0.0
        """Sum of the weights of all steps that were seen."""
        self.filler: Filler | None = None

    def prepare(self, task: Task) -> None:
        """Take the task's filler where the fit is to be made to it.

        Raises:
            InputError: it has none.
        """
        if self.config.after:
            self.filler = Filler(task, self.name)

    def _begin(self, model: SequenceModel, batch_size: int, rng: torch.Generator, fresh_B: Tensor | None) -> State:
        if self.config.after and not self.moments:
            self._fit(model, self.config.after, rng)
        if not self.moments:
            return model.initial_state(batch_size)
        start = initial_start(model, batch_size)
        noise = {name: self._draw(name, start[name], rng) for name in recurrent_entries(start)}
        return _beside_zero(start, noise, self.config.zero_share, rng)

    def _fit(self, model: SequenceModel, stretches: int, rng: torch.Generator) -> None:
        """Fit the moments to states after filler."""
        state, filler = model.initial_state(FITTED), ready(self.filler, self.name)
        for _ in range(stretches):
            state = filler.read(model, state, rng)
        start = model.start_from(state)
        self.weight, self.moments = 1.0, {name: self._measure(start[name].detach()) for name in self._kept(start)}

    @torch.no_grad()
    def observe(self, final: State) -> None:
        """Fit the moments to a final state too, where the fit runs."""
        if not self.config.after:
            super().observe(final)

    def _draw(self, name: str, entry: Tensor, rng: torch.Generator) -> Tensor:
        if name not in self.moments:
            raise InputError(f"{self.name!r} was fitted to entries {', '.join(self.moments)}; the model has {name!r}")
        moments = self.moments[name]
        normal = _normal_like(entry, rng)
        return torch.addcmul(moments.mean.to(entry), moments.deviation.to(entry), normal)

    def _remember(self, start: State) -> None:
        self.weight = self.config.momentum * self.weight + 1
        for name, entry in start.items():
            seen = self._measure(entry)
            # Dividing by the sum of the weights leaves no trace of where the running means began.
            old = self.moments.get(name, seen)
            self.moments[name] = Moments(*(a + (b - a) / self.weight for a, b in zip(old, seen, strict=True)))

    def _measure(self, entry: Tensor) -> Moments:
        by_head = entry.ndim > 2 or (entry.ndim == 2 and self.config.per_channel)
        dimensions = [d for d in range(entry.ndim) if d != 1 or not by_head]
        wide = entry.to(torch.promote_types(entry.dtype, torch.float32))
        # Two plain passes are many times faster than torch.var_mean over these dimensions, and as exact.
        mean = wide.mean(dimensions, keepdim=True)
        variance = (wide - mean).square().mean(dimensions, keepdim=True)
        # Moments about zero can be averaged over steps whose means differ; float64 keeps their difference exact.
        mean, variance = mean.double(), variance.double()
        return Moments(mean, variance + mean**2)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the running moments and their weight."""
        tensors = {f"{name}.{field}": value for name, m in self.moments.items() for field, value in m._asdict().items()}
        return tensors, {"weight": self.weight} if tensors else {}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go back to running moments that `state` returned."""
        names = {name.removesuffix(".mean") for name in tensors if name.endswith(".mean")}
        expected = {f"{name}.{field}" for name in names for field in Moments._fields}
        if set(tensors) != expected or set(values) != ({"weight"} if names else set()):
            raise InputError(f"this is not the memory of {self.name!r}: {', '.join([*tensors, *values])}")
        self.moments = {name: Moments(tensors[f"{name}.mean"], tensors[f"{name}.square"]) for name in sorted(names)}
        self.weight = float(values.get("weight", 0.0))


def _beside_zero(start: State, noise: Mapping[str, Tensor], share: float, rng: torch.Generator) -> State:
    """Return a state with noise in all rows but those that start from the initial state."""
    if (zero_B := from_zero(share, 0.0, start.batch_size, rng)) is not None:
        noise = {name: where_rows(zero_B, start[name], entry) for name, entry in noise.items()}
    return State({**start, **noise}, start.kinds)


def _normal_like(entry: Tensor, rng: torch.Generator) -> Tensor:
    """Draw standard normal noise on the CPU, so that every device sees the same, and move it to where the entry is."""
    dtype = torch.promote_types(entry.dtype, torch.float32)
    return torch.randn(entry.shape, generator=rng, dtype=dtype).to(entry)
