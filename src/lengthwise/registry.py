"""Names to lazily imported objects, open to other packages through entry points."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from lengthwise.errors import InputError

if TYPE_CHECKING:
    from pydantic import BaseModel, GetCoreSchemaHandler, SerializationInfo
    from pydantic_core import CoreSchema

_GROUPS = "lengthwise."
"""How the groups of entry points start that add names."""


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
        reserved: further names that mean something where these do, so that no package can take them.
        kinds: the plural of the kind; with an s by default.

    Other packages add names with an entry point in the group ``lengthwise.<kinds>``. A name stands for one thing: an
    entry point that is called like a built-in, or like that of another package, is an `InputError` when the table is
    first used.
    """

    def __init__(self, kind: str, targets: dict[str, str], reserved: Iterable[str] = (), kinds: str = "") -> None:
        self.kind = kind
        self.group = f"{_GROUPS}{(kinds or f'{kind}s').replace(' ', '_')}"
        self._builtin = targets
        self._reserved = {*targets, *reserved}

    @cached_property
    def _added(self) -> dict[str, EntryPoint]:
        added: dict[str, EntryPoint] = {}
        for point in entry_points(group=self.group):
            entry = f"an entry point {self.group} = {point.name}"
            if point.name in self._reserved:
                raise InputError(
                    f"package {_package(point)} declares {entry}, which is the name of a built-in; give it another name"
                )
            if (other := added.setdefault(point.name, point)) is not point:
                raise InputError(
                    f"packages {_package(other)} and {_package(point)} both declare {entry}; "
                    "give one of them another name, or uninstall one of the packages"
                )
        return added

    def names(self) -> list[str]:
        """Return all names, in the order in which they were registered."""
        return [*self._builtin, *self._added]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._builtin or name in self._added

    def load(self, name: str) -> Any:
        """Import and return the object behind a name.

        Raises:
            InputError: the name is unknown; the message offers the nearest known one.
        """
        self._check(name)
        if point := self._added.get(name):
            try:
                return point.load()
            except (ImportError, AttributeError) as error:
                raise InputError(
                    f"package {_package(point)} declares {self.kind} {name!r} as {point.value}, "
                    f"which cannot be imported: {error}"
                ) from error
        module, _, attribute = self._builtin[name].partition(":")
        return getattr(import_module(module), attribute)

    def origin(self, name: str) -> str | None:
        """Return the package that declares a name, as ``package==version``; None for a built-in.

        Raises:
            InputError: the name is unknown; the message offers the nearest known one.
        """
        self._check(name)
        distribution = self._added[name].dist if name in self._added else None
        return f"{distribution.name}=={distribution.version}" if distribution else None

    def _check(self, name: str) -> None:
        if name not in self:
            raise InputError(f"unknown {self.kind} {name!r}; {nearest_name(name, self.names())}")


def plugins() -> dict[str, str]:
    """Return the packages that add names to any registry, each with its version, sorted."""
    groups = (group for group in entry_points().groups if group.startswith(_GROUPS))
    points = (point for group in groups for point in entry_points(group=group))
    return dict(sorted({(point.dist.name, point.dist.version) for point in points if point.dist}))


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} ({point.dist.version})" if point.dist else point.value


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

        choices = {name: handler.generate_schema(self._settings(name, source)) for name in self.registry}
        return core_schema.no_info_wrap_validator_function(
            accept,
            core_schema.tagged_union_schema(choices, discriminator="name"),
            serialization=core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True),
        )

    def _settings(self, name: str, source: Any) -> Any:
        """Return the class of a member's settings, whose ``name`` is that of the registry."""
        found = self.registry.load(name)
        field = getattr(found, "model_fields", {}).get("name")
        if not (isinstance(found, type) and issubclass(found, source) and field and field.default == name):
            origin = self.registry.origin(name) or "lengthwise"
            raise InputError(
                f"package {origin} declares {self.registry.kind} {name!r}, which is no {source.__name__} with "
                f"name: Literal[{name!r}] = {name!r}"
            )
        return found


def _dump(settings: BaseModel, info: SerializationInfo) -> dict[str, Any]:
    return settings.model_dump(mode=info.mode)
