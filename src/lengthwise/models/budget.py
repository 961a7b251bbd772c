"""The size of a model: how many numbers are trained, and the width at which that comes nearest to a budget."""

from __future__ import annotations

import contextlib
import functools
import math
from bisect import bisect_right
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

    first_from = functools.partial(_first_from, config, inputs, outputs)
    if math.isinf(first_from(1).parameters):
        # What the model says against a width says it best.
        _size(config, inputs, outputs)
        raise InputError(f"model {_name(config)} can be built at no width up to {_REACH}")
    # Nothing is wider than it has parameters.
    widths = range(1, min(_WIDEST, parameters + 1) + 1)
    above = bisect_right(widths, parameters, key=lambda width: first_from(width).parameters)
    around = [first_from(width) for width in (above, above + 1) if width]
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
    parameters: float


def _first_from(config: ModelConfig, inputs: Space | int, outputs: Space | int, width: int) -> _Built:
    """Return the first width from this one on at which the model can be built; it has no end where there is none."""
    for candidate in range(width, width + _REACH):
        with contextlib.suppress(InputError):
            return _Built(candidate, _size(config.model_copy(update={"width": candidate}), inputs, outputs))
    return _Built(width, math.inf)


def _size(config: ModelConfig, inputs: Space | int, outputs: Space | int) -> int:
    with torch.device("meta"):
        return count_parameters(config.build(inputs, outputs))


def _within(size: float, parameters: int) -> bool:
    return abs(size - parameters) <= TOLERANCE * parameters


def _name(config: Any) -> str:
    return str(getattr(config, "name", type(config).__name__))
