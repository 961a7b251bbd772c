"""The families of transformers that carry a recurrent state: how each is read, and a small one of each.

This file imports neither torch nor transformers, so that names can be listed at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lengthwise.errors import InputError
from lengthwise.yaml_loader import packaged


@dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture."""

    patch: str
    """What the adapter changes while it reads, for the table of `lengthwise check`."""
    tiny: dict[str, Any]
    """Settings of a small model, beside the shared ones."""
    cache: str = "cache_adapters:DynamicCacheAdapter"
    """What puts the state in and out: a module beside this one, and its class."""
    scan: str = ""
    """The function of the library that reads the state of a chunk."""
    model_type: str = ""
    """The ``model_type`` of the configuration of a small model where it is not the family's name."""
    masks: bool = True
    """Whether an ``attention_mask`` keeps padding out of the recurrent state."""


_TABLE: dict[str, Any] = packaged("lengthwise.pretrained", "families.yaml")

SHARED: dict[str, Any] = _TABLE["every"]
"""Settings that small models of all families have, by transformers' names."""
FAMILIES: Mapping[str, Family] = {name: Family(**fields) for name, fields in _TABLE["families"].items()}
"""Family -> how it is read. The name is the ``model_type`` of a checkpoint's config.json."""
_NOT_YET: list[str] = _TABLE["not_yet"]


def family_of(model_type: str) -> Family:
    """Return the family of a ``model_type``."""
    for name, family in FAMILIES.items():
        if model_type in (name, family.model_type):
            return family
    way = " yet (a model of flash-linear-attention)" if model_type in _NOT_YET else ""
    raise InputError(f"architecture {model_type!r} is not supported here{way}; supported: {', '.join(FAMILIES)}")
