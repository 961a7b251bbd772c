"""Settings: frozen, with unknown names refused and numbers within reach, each field described where it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

from annotated_types import Le
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails

LARGEST = 10_000_000
"""Of whole numbers whose field names no bound of its own: no size, length or count comes near it."""
STEPS = 10**12
"""The most steps, of training or between two things that happen in it."""
LAYERS = 1000
"""The most layers of a model, which are built one by one."""
SEED = 2**63 - 1
"""The largest seed: what a generator of PyTorch and a column of a table can hold."""


class Recorded(BaseModel):
    """Base of what was found and written down."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Settings(Recorded):
    """Base of everything that a recipe may say."""

    model_config = ConfigDict(allow_inf_nan=False)

    @model_validator(mode="after")
    def _within_reach(self) -> Self:
        wrong = [
            InitErrorDetails(type="less_than_equal", loc=(name,), input=number, ctx={"le": LARGEST})
            for name, field in type(self).model_fields.items()
            if not any(isinstance(bound, Le) for bound in field.metadata)
            for number in _whole_numbers(getattr(self, name))
            if abs(number) > LARGEST
        ]
        if wrong:
            raise ValidationError.from_exception_data(type(self).__name__, wrong)
        return self


def _whole_numbers(value: Any) -> Iterator[int]:
    """Yield the whole numbers in a value, a list or a mapping; sections check their own."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _whole_numbers(item)
    elif isinstance(value, Mapping):
        yield from _whole_numbers(list(value.values()))
