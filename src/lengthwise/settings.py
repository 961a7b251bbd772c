"""Settings: frozen, with unknown names refused, each field described where it stands."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Base of everything that a recipe may say."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
