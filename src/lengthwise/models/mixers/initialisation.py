"""How fast a fresh mixer forgets: ranges in its settings, and parameters drawn from them."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Gt
from pydantic import AfterValidator
from torch import Tensor, nn


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError(f"the smallest comes first: [{ends[1]:g}, {ends[0]:g}]")
    return ends


PositiveRange = Annotated[tuple[Annotated[float, Gt(0)], Annotated[float, Gt(0)]], AfterValidator(_ascending)]
"""The smallest and the largest of some positive numbers."""


def log_uniform(ends: tuple[float, float], size: int) -> Tensor:
    """Return numbers [size] whose logarithms are uniform over a range."""
    low, high = (math.log(end) for end in ends)
    return torch.empty(size).uniform_(low, high).exp()


def truncated_normal_(weight: Tensor, deviation: float) -> Tensor:
    """Fill a tensor with numbers of a standard deviation, from a normal distribution that is cut at two of its own."""
    # The cut leaves .8796 of it.
    std = deviation / 0.87962566103423978
    return nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def inverse_softplus(x: Tensor) -> Tensor:
    """Return what softplus maps to these positive numbers."""
    return x + torch.log(-torch.expm1(-x))


def precise(x: Tensor) -> Tensor:
    """Return the values in float32 at least: what ends up in an exponent or is carried on needs it."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
