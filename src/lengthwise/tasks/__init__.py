"""Tasks: what is learned, settings and a pure sampler each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import call
from typing import TYPE_CHECKING

from lengthwise.errors import InputError
from lengthwise.registry import Registry, nearest_name

if TYPE_CHECKING:
    from lengthwise.tasks.base import Task
    from lengthwise.tasks.regular.language import Language

_BUILT_IN = (
    *("parity", "even_pairs", "cycle_navigation", "modular_arithmetic", "modular_arithmetic_precedence"),
    *(f"tomita_{number}" for number in range(1, 8)),
    *(f"dyck_{depth}" for depth in (2, 3, 4, 6, 8, 12)),
    *(f"prefix_{symbols}_{base}" for symbols in (1, 2, 4) for base in (2, 4)),
)

LANGUAGES: Registry = Registry("language", {name: f"lengthwise.tasks.regular.languages:{name}" for name in _BUILT_IN})
"""Name of a regular language -> a factory without arguments, in the order of the paper's table."""


TASKS: Registry = Registry(
    "task",
    {
        "regular": "lengthwise.tasks.regular.task:Regular",
        "language_modelling": "lengthwise.tasks.language_modelling:LanguageModelling",
        "listops": "lengthwise.tasks.listops:ListOps",
        "brackets": "lengthwise.tasks.brackets:Brackets",
        "copying": "lengthwise.tasks.copying:Copying",
        "selective_copying": "lengthwise.tasks.selective_copying:SelectiveCopying",
        "mqar": "lengthwise.tasks.mqar:MQAR",
        "passkey": "lengthwise.tasks.passkey:Passkey",
        "babilong": "lengthwise.tasks.babilong:BabiLong",
        "classification": "lengthwise.tasks.classification:Classification",
        "signals": "lengthwise.tasks.signals:Signals",
    },
    reserved=_BUILT_IN,
    base="lengthwise.tasks.base:Task",
)
"""Task name -> its class, a `lengthwise.tasks.base.Task`."""


def spell_task(task: object) -> object:
    """Return the settings that a plain name stands for: a task's defaults, or a regular language.

    Args:
        task: a name such as ``parity``, ``regex:(ab)*`` or ``copying``; anything else is returned as it is.
    """
    if not isinstance(task, str):
        return task
    return {"name": task} if task in TASKS else {"name": "regular", "language": task}


def get_task(name: str) -> Task:
    """Return a task with its default settings by its name.

    Args:
        name: a name that `TASKS` or `LANGUAGES` knows, ``regex:PATTERN``, ``group:NAME`` or ``dfa:PATH``.

    Raises:
        InputError: the name is unknown, or the pattern or file does not describe an automaton.

    Example:
        >>> get_task("parity").outputs
        Tokens(size=2, kinds=1)
    """
    if name in TASKS:
        return TASKS.load(name, call)
    if ":" not in name and name not in LANGUAGES:
        raise InputError(f"unknown task {name!r}; {nearest_name(name, [*TASKS, *LANGUAGES])}")
    get_language(name)
    return TASKS.load("regular")(language=name)


def _made(make: Callable[[], object]) -> Language:
    from lengthwise.tasks.regular.language import Language

    if not isinstance(language := make(), Language):
        raise TypeError(f"it returns {language!r}, which is no Language")
    return language


def get_language(name: str) -> Language:
    """Return a regular language, with its automaton and all of its samplers.

    Args:
        name: a name that `LANGUAGES` knows, ``regex:PATTERN``, ``group:NAME``, ``dfa:PATH`` or ``dfa+sink:PATH``; see
            `lengthwise.tasks.regular.custom` and `lengthwise.tasks.regular.groups`.

    Raises:
        InputError: the name is unknown, or the pattern or file does not describe an automaton.

    Example:
        >>> get_language("tomita_4").class_counts(3)
        [1, 7]
    """
    kind, colon, rest = name.partition(":")
    if not colon:
        return LANGUAGES.load(name, _made)
    from lengthwise.tasks.regular import custom, groups

    makers: dict[str, Callable[[str], Language]] = {
        "regex": custom.regex_language,
        "dfa": custom.dfa_language,
        "dfa+sink": partial(custom.dfa_language, sink=True),
        "group": groups.group_language,
    }
    if kind not in makers:
        raise InputError(f"unknown kind of language {kind!r} in {name!r}; {nearest_name(kind, list(makers))}")
    return makers[kind](rest)
