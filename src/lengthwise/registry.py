"""Names to lazily imported objects, open to other packages through entry points."""

from __future__ import annotations

import functools
import re
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from lengthwise.errors import InputError, reason_of

if TYPE_CHECKING:
    from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, SerializationInfo
    from pydantic_core import CoreSchema, SchemaValidator

_MOST_EDITS, _SHORT, _FAR, _MOST_OFFERED = 3, 2, 99, 7
"""Letters in which a misspelt name differs at most, and a name has that is part of none; beyond; names offered."""
_GROUPS = "lengthwise."
"""How the groups of entry points start that add names."""


def nearest_name(name: str, known: list[str]) -> str:
    """Return a phrase that offers the known names which a misspelt one may stand for.

    Args:
        name: the unknown name.
        known: all valid names.

    Returns:
        ``did you mean 'parity'?`` where letters are missing, too many, wrong or swapped, or one is the beginning or a
        word of the other; otherwise the list of known names. A guess at what else could be meant would mislead.
    """
    distances = {each: _distance(name, each) for each in known}
    best = min(distances.values(), default=_FAR)
    if best == _FAR:
        return f"known: {', '.join(known)}"
    near = [repr(each) for each in known if distances[each] == best][:_MOST_OFFERED]
    return f"did you mean {' or '.join(filter(None, (', '.join(near[:-1]), near[-1])))}?"


def _distance(name: str, known: str) -> int:
    """Return in how many letters two names differ, whatever their case and signs; `_FAR` where they are others."""
    one, other = (re.findall(r"[^\W_]+", each.lower()) or [each] for each in (name, known))
    whole, wanted = "".join(one), "".join(other)
    found = _edits(whole, wanted)
    if found == _FAR and min(len(whole), len(wanted)) > _SHORT:
        if whole.startswith(wanted) or wanted.startswith(whole):
            return _MOST_EDITS
        # What is near a part comes after what is near all of it.
        parts = [*(_edits(whole, part) for part in other), *(_edits(part, wanted) for part in one)]
        return min(_FAR, _MOST_EDITS + min(parts))
    return found


def _edits(one: str, other: str) -> int:
    """Return how many letters are to be changed, added, dropped or swapped with the next; `_FAR` where too many are."""
    most = min(_MOST_EDITS, max(len(one), len(other)) // 3)
    if abs(len(one) - len(other)) > most:
        return _FAR
    before, row = list[int](), list(range(len(other) + 1))
    for i, letter in enumerate(one):
        above, row = row, [i + 1]
        for j, wanted in enumerate(other):
            row.append(min(above[j] + (letter != wanted), above[j + 1] + 1, row[j] + 1))
            if i and j and (letter, one[i - 1]) == (other[j - 1], wanted):
                row[-1] = min(row[-1], before[j - 1] + 1)
        before = above
        if min(row) > most:
            return _FAR
    return row[-1] if row[-1] <= most else _FAR


class BrokenPluginError(InputError):
    """Another package declares what cannot be used."""


class BrokenPluginWarning(UserWarning):
    """What another package declares is left out, because it cannot be used."""


class Registry:
    """A table of names whose objects are imported only when they are asked for.

    Args:
        kind: what the names stand for, in the singular, as error messages say it.
        targets: name -> ``"package.module:attribute"``.
        reserved: further names that mean something where these do, so that no package can take them.
        kinds: the plural of the kind; with an s by default.
        base: ``"package.module:Class"``, of which members are subclasses; without it they are callables.

    Other packages add names with an entry point in the group ``lengthwise.<kinds>``. A name stands for one thing: an
    entry point that is called like a built-in, or like that of another package, is an `InputError` when the table is
    first used.
    """

    def __init__(
        self, kind: str, targets: dict[str, str], reserved: Iterable[str] = (), kinds: str = "", base: str = ""
    ) -> None:
        self.kind, self.base = kind, base
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

    def __iter__(self) -> Iterator[str]:
        """Yield all names, in the order in which they were registered."""
        return iter([*self._builtin, *self._added])

    def __contains__(self, name: object) -> bool:
        return name in self._builtin or name in self._added

    def load(self, name: str, make: Callable[[Any], Any] = lambda member: member) -> Any:
        """Import and return the object behind a name.

        Args:
            name: of a member.
            make: what is done with the object; what it returns is returned.

        Raises:
            InputError: the name is unknown; the message offers the nearest known one.
            BrokenPluginError: that of another package fails in any of this.
        """
        self._check(name)
        if point := self._added.get(name):
            try:
                return make(self._fitting(point.load()))
            # Another's module may fail, or leave the program, in any way as it is imported.
            except (Exception, SystemExit) as error:
                raise BrokenPluginError(
                    f"package {_package(point)} declares {self.kind} {name!r} as {point.value}, "
                    f"which cannot be used: {reason_of(error)}"
                ) from error
        return make(resolve_name(self._builtin[name]))

    def members(self, make: Callable[[Any], Any] = lambda member: member) -> Iterator[tuple[str, Any]]:
        """Yield every name with what `load` returns; those of packages that are broken are warned of and left out."""
        for name in self:
            try:
                yield name, self.load(name, make)
            except BrokenPluginError as error:
                # Of this place, wherever the members are wanted, so that each is told once.
                warnings.warn(f"{error}; it is left out", BrokenPluginWarning, stacklevel=1)

    def _fitting(self, member: Any) -> Any:
        """Return what another package brings, once it is seen to be of the kind."""
        if not self.base:
            if not callable(member):
                raise TypeError(f"it is {member!r}, and cannot be called")
        elif not (isinstance(member, type) and issubclass(member, resolve_name(self.base))):
            raise TypeError(f"it is {member!r}, and no subclass of {self.base}")
        elif missing := sorted(getattr(member, "__abstractmethods__", ())):
            raise TypeError(f"it has no {', '.join(missing)}, which {self.base} asks for")
        return member

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
            raise InputError(f"unknown {self.kind} {name!r}; {nearest_name(name, list(self))}")


def plugins() -> dict[str, str]:
    """Return the packages that add names to any registry, each with its version, sorted."""
    return dict(sorted({(point.dist.name, point.dist.version) for point in _declared() if point.dist}))


def failed_plugin(error: BaseException) -> str:
    """Return which package an error comes from, where and what it was; nothing where it comes from no other package."""
    owners = {point.module.partition(".")[0]: point for point in _declared()}
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if point := owners.get(str(frame.f_globals.get("__name__", "")).partition(".")[0]):
            where = f"{frame.f_code.co_filename}, line {line}, in {frame.f_code.co_name}"
            entry = f"{point.group} = {point.name}"
            return f"package {_package(point)}, which declares {entry}, failed in {where}: {reason_of(error)}"
    return ""


def _declared() -> list[EntryPoint]:
    """Return the entry points of all registries."""
    groups = (group for group in entry_points().groups if group.startswith(_GROUPS))
    return [point for group in groups for point in entry_points(group=group)]


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} ({point.dist.version})" if point.dist else point.value


class OneOf:
    """Annotation of a pydantic field: the settings of any member of a registry, told apart by their ``name``.

    A mapping is read as the member that its ``name`` says, which is imported only then. An instance of the field's own
    class is taken as it is, whether the registry knows it or not.

    Args:
        registry: name -> pydantic model with a field ``name`` of that value.
        section: the one member that is meant, whatever the settings say, where they need no name of their own.
    """

    def __init__(self, registry: Registry, section: str | None = None) -> None:
        self.registry, self.section = registry, section

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return a schema that finds a member's own when it is asked for, so that one that is broken stops no other."""
        from pydantic_core import core_schema

        del handler

        def read(value: Any) -> Any:
            return value if isinstance(value, source) else self._validator(value, source).validate_python(value)

        return core_schema.no_info_plain_validator_function(
            read,
            metadata={"pydantic_js_functions": [functools.partial(self._describe, source)]},
            serialization=core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True),
        )

    def _describe(self, source: Any, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the JSON Schema of the field: all members that can be imported."""
        from pydantic_core import core_schema

        del schema
        # What is broken is described as anything: a mistake elsewhere is told as that.
        members = {name: _referred(found) for name, found in self.registry.members() if self._fits(name, found, source)}
        if self.section:
            return handler(core_schema.chain_schema([members.get(self.section, core_schema.any_schema())]))
        return handler(core_schema.tagged_union_schema(members, "name"))

    def _validator(self, value: Any, source: Any) -> SchemaValidator:
        """Return what reads some settings, whose errors have the place that they have in a union of all members."""
        from pydantic_core import PydanticKnownError

        if self.section:
            return self._settings(self.section, source).__pydantic_validator__
        if not isinstance(value, Mapping):
            raise PydanticKnownError("dict_type")
        if "name" not in value:
            raise PydanticKnownError("union_tag_not_found", {"discriminator": "'name'"})
        name = value["name"]
        if not isinstance(name, str) or name not in self.registry:
            known = ", ".join(map(repr, self.registry))
            raise PydanticKnownError(
                "union_tag_invalid", {"discriminator": "'name'", "tag": str(name), "expected_tags": known}
            )
        return _told_apart(name, self._settings(name, source))

    def _settings(self, name: str, source: Any) -> Any:
        """Return the class of a member's settings, whose ``name`` is that of the registry."""
        found = self.registry.load(name)
        if not self._fits(name, found, source):
            origin = self.registry.origin(name) or "lengthwise"
            raise BrokenPluginError(
                f"package {origin} declares {self.registry.kind} {name!r}, which is no {source.__name__} with "
                f"name: Literal[{name!r}] = {name!r}"
            )
        return found

    def _fits(self, name: str, found: Any, source: Any) -> bool:
        """Return whether a member is what stands in the field, under the name that the registry has for it."""
        field = getattr(found, "model_fields", {}).get("name")
        own = self.section is not None or (field is not None and field.default == name)
        return isinstance(found, type) and issubclass(found, source) and own


@functools.cache
def _told_apart(name: str, settings: Any) -> SchemaValidator:
    from pydantic_core import SchemaValidator, core_schema

    return SchemaValidator(core_schema.tagged_union_schema({name: settings.__pydantic_core_schema__}, "name"))


def _referred(settings: Any) -> Any:
    """Return the schema of a class under a name, so that a JSON Schema describes the class once."""
    schema: Any = settings.__pydantic_core_schema__
    name = {"ref": f"{settings.__module__}.{settings.__qualname__}:{id(settings)}"}
    return schema | ({"schema": schema["schema"] | name} if schema["type"] == "definitions" else name)


def _dump(settings: BaseModel, info: SerializationInfo) -> dict[str, Any]:
    return settings.model_dump(mode=info.mode)
