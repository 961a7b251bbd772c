"""Names to lazily imported objects, open to other packages through entry points."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from lengthwise.errors import InputError

if TYPE_CHECKING:
    from pydantic import BaseModel, GetCoreSchemaHandler, SerializationInfo
    from pydantic_core import CoreSchema


def nearest_name(name: str, known: list[str]) -> str:
    """Return a phrase that offers the known names nearest to a misspelt one.

    Args:
        name: the unknown name.
        known: all valid names.

    Returns:
        ``did you mean 'parity'?`` when something is near, otherwise the list of known names.
    """
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {matches[0]!r}?" if matches else f"known: {', '.join(known)}"


class Registry:
    """A table of names whose objects are imported only when they are asked for.

    Args:
        kind: what the names stand for, in the singular, as error messages say it.
        targets: name -> ``"package.module:attribute"``.

    Other packages add names with an entry point in the group ``lengthwise.<kind>s``.
    """

    def __init__(self, kind: str, targets: dict[str, str]) -> None:
        self.kind = kind
        self._builtin = targets

    @cached_property
    def _targets(self) -> dict[str, str]:
        group = f"lengthwise.{self.kind.replace(' ', '_')}s"
        return self._builtin | {point.name: point.value for point in entry_points(group=group)}

    def names(self) -> list[str]:
        """Return all names, in the order in which they were registered."""
        return list(self._targets)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._targets

    def load(self, name: str) -> Any:
        """Import and return the object behind a name.

        Raises:
            InputError: the name is unknown; the message offers the nearest known one.
        """
        if name not in self._targets:
            raise InputError(f"unknown {self.kind} {name!r}; {nearest_name(name, self.names())}")
        module, _, attribute = self._targets[name].partition(":")
        return getattr(import_module(module), attribute)


class OneOf:
    """Annotation of a pydantic field: the settings of any member of a registry, told apart by their ``name``.

    A mapping is read as the member that its ``name`` says. An instance of the field's own class is taken as it is,
    whether the registry knows it or not.

    Args:
        registry: name -> pydantic model with a field ``name`` of that value.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Build the tagged union when the class of the field is made, so that packages can add members."""
        from pydantic_core import core_schema

        def accept(value: Any, read: core_schema.ValidatorFunctionWrapHandler) -> Any:
            return value if isinstance(value, source) else read(value)

        choices = {name: handler.generate_schema(self.registry.load(name)) for name in self.registry}
        return core_schema.no_info_wrap_validator_function(
            accept,
            core_schema.tagged_union_schema(choices, discriminator="name"),
            serialization=core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True),
        )


def _dump(settings: BaseModel, info: SerializationInfo) -> dict[str, Any]:
    return settings.model_dump(mode=info.mode)
