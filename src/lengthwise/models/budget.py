"""The size of a model: how many numbers are trained, and the width at which that comes nearest to a budget."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from lengthwise.errors import InputError
from lengthwise.models.base import ModelConfig
from lengthwise.spaces import Space

TOLERANCE = 0.1
"""How far from a budget a model may be, as a fraction of it."""

_WIDEST = 2**20
_REACH = 512
"""Widths in a row that are tried before there is said to be none: squares and multiples of heads lie closer."""


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers of a model are trained; shared ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def solve_width(config: ModelConfig, inputs: Space | int, outputs: Space | int, parameters: int) -> int:
    """Return the width at which a model's number of parameters comes nearest to a budget.

    Widths that the model refuses, such as those that its heads do not divide, are left out. Nothing is allocated.

    Args:
        config: the model's settings, whose width does not matter.
        inputs: what the model reads.
        outputs: what it answers.
        parameters: the budget.

    Raises:
        InputError: the model has no setting for its width, or none comes within a tenth of the budget.

    Example:
        >>> from lengthwise.models.tree.ldru import LDRUConfig
        >>> solve_width(LDRUConfig(), 2, 2, parameters=160_000)
        64
    """
    if "width" not in type(config).model_fields:
        raise InputError(f"model {_name(config)} has no setting for its width, so it cannot be brought to a size")

    around = _around(functools.partial(_first_from, config, inputs, outputs), parameters)
    if not around:
        # What the model says against a width says it best.
        _size(config, inputs, outputs)
        raise InputError(f"model {_name(config)} can be built at no width up to {_REACH}")
    nearest = min(around, key=lambda built: abs(built.parameters - parameters))
    if not _within(nearest.parameters, parameters):
        raise InputError(
            f"no width of model {_name(config)} comes within {TOLERANCE:.0%} of {parameters:,} parameters; "
            f"the nearest, {nearest.width}, has {nearest.parameters:,}"
        )
    return nearest.width


def within_budget(config: ModelConfig, inputs: Space | int, outputs: Space | int, parameters: int) -> ModelConfig:
    """Return a model's settings with the width that a budget asks for, or with the one they have if that keeps to it.

    Args:
        config: the model's settings; a width that was given, and is no default, stays.
        inputs: what the model reads.
        outputs: what it answers.
        parameters: the budget.

    Raises:
        InputError: the width that was given does not come within a tenth of the budget, or none does.
    """
    if "width" not in config.model_fields_set:
        return config.model_copy(update={"width": solve_width(config, inputs, outputs, parameters)})
    size = _size(config, inputs, outputs)
    if not _within(size, parameters):
        raise InputError(
            f"model.width {getattr(config, 'width', None)} makes {size:,} parameters, "
            f"which is not within {TOLERANCE:.0%} of {parameters:,}; leave model.width out, and it is solved for"
        )
    return config


class _Built(NamedTuple):
    """A width at which a model can be built, and its size."""

    width: int
    parameters: int


def _around(first_from: Callable[[int], _Built | None], parameters: int) -> list[_Built]:
    """Return the widest model within a budget and the next wider one, as far as there are such."""
    low, high = first_from(1), None
    if low is None or low.parameters > parameters:
        return [low] if low else []
    while high is None:
        wider = first_from(2 * low.width)
        if wider is None or wider.width > _WIDEST:
            return [low]
        low, high = (low, wider) if wider.parameters > parameters else (wider, None)
    end = high.width
    while end - low.width > 1:
        middle = (low.width + end) // 2
        found = first_from(middle)
        if found is None or found.parameters > parameters:
            end, high = middle, found or high
        else:
            low = found
    return [low, high]


def _first_from(config: ModelConfig, inputs: Space | int, outputs: Space | int, width: int) -> _Built | None:
    """Return the first width from this one on at which the model can be built."""
    for candidate in range(width, width + _REACH):
        try:
            size = _size(config.model_copy(update={"width": candidate}), inputs, outputs)
        except InputError:
            continue
        return _Built(candidate, size)
    return None


def _size(config: ModelConfig, inputs: Space | int, outputs: Space | int) -> int:
    with torch.device("meta"):
        return count_parameters(config.build(inputs, outputs))


def _within(size: int, parameters: int) -> bool:
    return abs(size - parameters) <= TOLERANCE * parameters


def _name(config: Any) -> str:
    return str(getattr(config, "name", type(config).__name__))
