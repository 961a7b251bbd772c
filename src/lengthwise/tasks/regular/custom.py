"""Languages that a user gives: a regular expression, or an automaton in a file.

Regular expressions use the symbols ``0`` to ``9`` and ``a`` to ``z``, groups, ``|``, ``*``, ``+``, ``?``,
``{m}``, ``{m,}``, ``{,n}``, ``{m,n}``, classes such as ``[ab]``, ``[0-3]`` and ``[^0]``, and ``.`` for any symbol, and
mean what `re.fullmatch` means by them. The alphabet is the symbols that the pattern uses; in sorted order,
digits first, they become 0, 1, 2, ... The class is 1 for strings that match.

An automaton is a mapping in YAML or JSON with these keys, whose names are read as they are written::

    alphabet: 2              # or the names of the symbols: [a, b]
    start: even
    accepting: [odd]         # or classes: {even: 0, odd: 1}; a state without a class is outside the domain
    transitions:
      even: [even, odd]      # a state for each symbol, in order
      odd: {0: odd, 1: even} # or by name

A file of JFLAP (``.jff``), a drawing for Graphviz (``.dot``, ``.gv``) and the arguments of automata-lib's ``DFA`` in
JSON are read too. Where transitions are missing, ``dfa+sink:`` leads them to a state that is never left.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from reprlib import repr as repr_in_short
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from lengthwise.errors import InputError
from lengthwise.files import read_text
from lengthwise.registry import nearest_name
from lengthwise.settings import Recorded
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.described import MOST_SYMBOLS, Described, as_class, listed, whole_number
from lengthwise.tasks.regular.dot import from_dot
from lengthwise.tasks.regular.expression import automaton_from_regex, regex_alphabet
from lengthwise.tasks.regular.jflap import from_jflap
from lengthwise.tasks.regular.language import Language, Sampling
from lengthwise.yaml_loader import parse_yaml

LARGEST_FILE = 4 << 20
"""Bytes of a file that holds an automaton."""


def regex_language(pattern: str) -> Language:
    """Return the language of a regular expression; see the head of this module.

    Args:
        pattern: the expression.

    Returns:
        The language, named ``regex:`` and the pattern; class 1 is a match.

    Raises:
        InputError: the pattern does not parse, has no symbol, matches nothing or needs too many states.

    Example:
        >>> import numpy as np
        >>> regex_language("(ab)*").label(np.array([[0, 1, 0, 1], [0, 0, 1, 1]])).tolist()
        [1, 0]
    """
    alphabet = regex_alphabet(pattern)
    automaton = automaton_from_regex(pattern)
    names = ", ".join(f"{number} is {symbol!r}" for number, symbol in enumerate(alphabet))
    rule = f"1 if the string matches {pattern}, where {names}"
    return Language(f"regex:{pattern}", rule, {}, automaton, Sampling.BALANCED, symbols=tuple(alphabet))


def dfa_language(path: str | Path, *, sink: bool = False) -> Language:
    """Return the language of an automaton in a file; see the head of this module.

    Args:
        path: the file.
        sink: whether transitions that are missing lead to a state that is never left and does not accept.

    Returns:
        The language, named ``dfa:``, or ``dfa+sink:``, and the path.

    Raises:
        InputError: the file cannot be read, or does not describe a deterministic automaton within bounds.
    """
    text = read_text(Path(path), "automaton", given=True, most=LARGEST_FILE)
    try:
        found = _described(text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}"), Path(path).suffix.lower())
        automaton = found.automaton(sink=sink)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    rule = f"the class of the state that the automaton in {path} ends in"
    name = f"dfa{'+sink' if sink else ''}:{path}"
    return Language(name, rule, {}, automaton, Sampling.BALANCED, symbols=tuple(found.alphabet))


def _described(text: str, suffix: str) -> Described:
    if suffix == ".jff":
        return from_jflap(text)
    if suffix in (".dot", ".gv"):
        return from_dot(text)
    content = parse_yaml(text, "the automaton", as_written=True)
    if not isinstance(content, dict):
        raise InputError(f"an automaton is a mapping with the keys {', '.join(_Own.model_fields)}")
    kind = _OfAutomataLib if "input_symbols" in content else _Own
    try:
        return kind.model_validate(content).described()
    except ValidationError as error:
        raise _in_words(error.errors(), content, kind) from error


def _in_words(problems: list[ErrorDetails], content: Mapping[str, Any], kind: type[BaseModel]) -> InputError:
    """Return the first problem of a file, an unknown key before others: what its key is, and what stands there."""
    problem = min(problems, key=lambda each: each["type"] != "extra_forbidden")
    key, *inside = map(str, problem["loc"])
    if key not in kind.model_fields:
        return InputError(f"unknown key {key!r}; {nearest_name(key, list(kind.model_fields))}")
    if key not in content:
        return InputError(f"the key {key!r} is missing")
    # Which of two types a value was tried as is named like a type.
    names = [name for name in inside if name not in ("list[str]", "dict[str,str]")]
    where = f" (at {', '.join(names)})" if names else ""
    return InputError(f"{key!r} is {kind.model_fields[key].description}, not {repr_in_short(problem['input'])}{where}")


def _counted(given: Any) -> Any:
    """Return the names of so many symbols where a number of them is given."""
    number = whole_number(given, MOST_SYMBOLS)
    return [str(symbol) for symbol in range(number)] if number else given


class _Own(Recorded):
    """What a file of our own holds, its keys described as messages say it."""

    alphabet: Annotated[list[str], BeforeValidator(_counted), Field(min_length=1)]
    """a number of symbols, 1,000 at most, or a list of different names"""
    start: str
    """the name of a state"""
    accepting: list[str] = Field(default=[], min_length=1)
    """a list of at least one state"""
    classes: dict[str, str] = Field(default={}, min_length=1)
    """a mapping of states to classes 0, 1, 2, ..."""
    transitions: dict[str, list[str] | dict[str, str]] = Field(min_length=1)
    """a mapping of each state to a list or a mapping of its next states, one name for each symbol"""

    def described(self) -> Described:
        """Return the automaton by names."""
        if bool(self.accepting) == bool(self.classes):
            raise InputError("give either 'accepting', a list of states, or 'classes', a class by state")
        classes = {name: as_class(name, label) for name, label in self.classes.items()}
        return Described(
            alphabet=self.alphabet,
            states=list(self.transitions),
            start=self.start,
            moves=_moves({state: self._by_name(state, row) for state, row in self.transitions.items()}),
            classes=classes or dict.fromkeys(self.accepting, 1),
            otherwise=IGNORE if classes else 0,
        )

    def _by_name(self, state: str, row: list[str] | dict[str, str]) -> dict[str, str]:
        """Return the next states of one state by symbol."""
        if len(row) > len(self.alphabet) and isinstance(row, list):
            symbols = f"{len(self.alphabet)} symbols ({listed(self.alphabet)})"
            raise InputError(f"state {state!r} has {len(row)} transitions for {symbols}")
        return dict(zip(self.alphabet, row, strict=False)) if isinstance(row, list) else row


class _OfAutomataLib(Recorded):
    """The arguments of automata-lib's ``DFA``, described as messages say it."""

    states: list[str]
    """a list of names"""
    input_symbols: list[str]
    """a list of names"""
    transitions: dict[str, dict[str, str]]
    """a mapping of states to mappings of symbols, to the name of one state each: it is deterministic"""
    initial_state: str
    """the name of a state"""
    final_states: list[str]
    """a list of names"""
    allow_partial: Literal["true", "false"] = "false"
    """true or false"""

    def described(self) -> Described:
        """Return the automaton by names."""
        return Described(
            alphabet=self.input_symbols,
            states=self.states,
            start=self.initial_state,
            moves=_moves(self.transitions),
            classes=dict.fromkeys(self.final_states, 1),
            sink=self.allow_partial == "true",
        )


def _moves(table: Mapping[str, Mapping[str, str]]) -> list[tuple[str, str, str]]:
    return [(state, symbol, target) for state, row in table.items() for symbol, target in row.items()]
