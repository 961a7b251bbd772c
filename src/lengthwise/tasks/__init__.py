"""What is learned: pure samplers with a rule each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lengthwise.errors import InputError
from lengthwise.registry import Registry, nearest_name

if TYPE_CHECKING:
    from lengthwise.tasks.base import Task
    from lengthwise.tasks.language import Language

LANGUAGES: tuple[str, ...] = (
    *("parity", "even_pairs", "cycle_navigation", "modular_arithmetic", "modular_arithmetic_precedence"),
    *(f"tomita_{number}" for number in range(1, 8)),
    *(f"dyck_{depth}" for depth in (2, 3, 4, 6, 8, 12)),
    *(f"prefix_{symbols}_{base}" for symbols in (1, 2, 4) for base in (2, 4)),
)
"""The names of the regular languages that ship with the package."""

TASKS: Registry = Registry("task", {name: f"lengthwise.tasks.languages:{name}" for name in LANGUAGES})
"""Task name -> a factory without arguments."""


def get_task(name: str) -> Task:
    """Return a task by its name.

    Args:
        name: a name that `TASKS` knows, ``regex:PATTERN`` or ``dfa:PATH``; see `lengthwise.tasks.custom`.

    Returns:
        The task.

    Raises:
        InputError: the name is unknown, or the pattern or file does not describe an automaton.

    Example:
        >>> get_task("parity").classes
        2
    """
    kind, colon, rest = name.partition(":")
    if not colon:
        return TASKS.load(name)()
    from lengthwise.tasks import custom

    makers = {"regex": custom.regex_language, "dfa": custom.dfa_language}
    if kind not in makers:
        raise InputError(f"unknown kind of task {kind!r} in {name!r}; {nearest_name(kind, list(makers))}")
    return makers[kind](rest)


def get_language(name: str) -> Language:
    """Return a task that is a regular language, with its automaton and all of its samplers.

    Args:
        name: as in `get_task`.

    Returns:
        The language.

    Raises:
        InputError: as in `get_task`, and when the task is not a regular language.

    Example:
        >>> get_language("tomita_4").class_counts(3)
        [1, 7]
    """
    from lengthwise.tasks.language import Language

    task = get_task(name)
    if not isinstance(task, Language):
        raise InputError(f"the task {name!r} is not a regular language; such are {', '.join(LANGUAGES)}")
    return task
