"""Rows: one measured number each, with the axes along which it was measured."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from lengthwise.settings import SEED

Axis: TypeAlias = Annotated[int, Field(ge=-SEED, le=SEED)] | float | str


class Row(BaseModel):
    """One measured number.

    A field that is added here is a column of every table, without a change elsewhere.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    task: str
    """What was measured on."""
    metric: str
    """What was measured: the name of a metric or of a part of a diagnostic."""
    value: float
    low: float | None = None
    """Lower end of the 95 % confidence interval, where it does not follow from the value and the samples."""
    high: float | None = None
    samples: int = Field(ge=1, le=SEED)
    """Independent sequences that the number was taken from."""
    axes: dict[str, Axis] = {}
    """Where it was measured: length, depth, split, first and last position, and so on."""
