"""Settings of evaluation: which diagnostics measure a trained model."""

from __future__ import annotations

from operator import call
from typing import TYPE_CHECKING, Annotated, Any, Optional

from pydantic import Field, create_model

from lengthwise.evaluation import DIAGNOSTICS
from lengthwise.evaluation.diagnostic import Diagnostic
from lengthwise.registry import OneOf
from lengthwise.settings import STEPS, Settings


class EvaluationConfig(Settings):
    """What is measured: a section for each diagnostic, by its name."""

    curve_every: int = Field(default=0, ge=0, le=STEPS)
    """Steps between points of the learning curve; none by default. No choice rests on it."""

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """Those that are asked for, in the order of the registry."""
        return [found for name in DIAGNOSTICS if (found := getattr(self, name, None)) is not None]

    def filled(self, names: tuple[str, ...]) -> EvaluationConfig:
        """Return the settings with diagnostics that a task is measured with by default."""
        missing = {name: DIAGNOSTICS.load(name, call) for name in names if getattr(self, name, None) is None}
        return self.model_copy(update=missing) if missing else self


def _with_sections() -> type[EvaluationConfig]:
    """Return the settings with a section for every registered diagnostic, those of other packages among them."""
    sections: dict[str, Any] = {
        name: (
            Optional[Annotated[Diagnostic, OneOf(DIAGNOSTICS, name)]],  # noqa: UP045
            Field(default=None, exclude_if=lambda section: section is None),
        )
        for name in DIAGNOSTICS
    }
    return create_model("Evaluation", __base__=EvaluationConfig, **sections)


if TYPE_CHECKING:
    Evaluation = EvaluationConfig
else:
    Evaluation = _with_sections()
