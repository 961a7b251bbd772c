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
from typing import Any

from lengthwise.errors import InputError
from lengthwise.files import read_text
from lengthwise.registry import nearest_name
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.described import MOST_SYMBOLS, Described, as_class, listed, whole_number
from lengthwise.tasks.regular.dot import from_dot
from lengthwise.tasks.regular.expression import automaton_from_regex, regex_alphabet
from lengthwise.tasks.regular.foreign import from_automata_lib, from_jflap, moves
from lengthwise.tasks.regular.language import Language, Sampling
from lengthwise.yaml_loader import parse_yaml

LARGEST_FILE = 4 << 20
"""Bytes of a file that holds an automaton."""
KEYS = ("alphabet", "start", "accepting", "classes", "transitions")


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
    return Language(f"regex:{pattern}", rule, (), automaton, Sampling.BALANCED, symbols=tuple(alphabet))


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
    return Language(name, rule, (), automaton, Sampling.BALANCED, symbols=tuple(found.alphabet))


def _described(text: str, suffix: str) -> Described:
    if suffix == ".jff":
        return from_jflap(text)
    if suffix in (".dot", ".gv"):
        return from_dot(text)
    content = parse_yaml(text, "the automaton", as_written=True)
    if not isinstance(content, Mapping):
        raise InputError(f"an automaton is a mapping with the keys {', '.join(KEYS)}")
    return from_automata_lib(content) if "input_symbols" in content else _own(content)


def _own(fields: Mapping[str, Any]) -> Described:
    for key in fields:
        if key not in KEYS:
            raise InputError(f"unknown key {key!r}; {nearest_name(key, list(KEYS))}")
    if missing := [key for key in ("alphabet", "start", "transitions") if key not in fields]:
        raise InputError(f"the key {missing[0]!r} is missing")
    alphabet, table = _alphabet(fields["alphabet"]), fields["transitions"]
    if not isinstance(table, Mapping) or not table:
        raise InputError("'transitions' maps each state to its next states")
    classes, otherwise = _classes(fields)
    return Described(
        alphabet=alphabet,
        states=list(table),
        start=str(fields["start"]),
        moves=moves({state: _by_name(state, row, alphabet) for state, row in table.items()}),
        classes=classes,
        otherwise=otherwise,
    )


def _alphabet(given: Any) -> list[str]:
    if isinstance(given, list) and given and all(isinstance(name, str) for name in given):
        return given
    if number := whole_number(given, MOST_SYMBOLS):
        return [str(symbol) for symbol in range(number)]
    shown = repr_in_short(given)
    raise InputError(
        f"'alphabet' is a number of symbols, {MOST_SYMBOLS:,} at most, or a list of different names, not {shown}"
    )


def _by_name(state: str, row: Any, alphabet: list[str]) -> Any:
    """Return the next states of one state by symbol."""
    if isinstance(row, list):
        if len(row) > len(alphabet):
            raise InputError(
                f"state {state!r} has {len(row)} transitions for {len(alphabet)} symbols ({listed(alphabet)})"
            )
        return dict(zip(alphabet, row, strict=False))
    if not isinstance(row, Mapping):
        raise InputError(f"the transitions of state {state!r} are a list or a mapping, not {repr_in_short(row)}")
    return row


def _classes(fields: Mapping[str, Any]) -> tuple[dict[str, int], int]:
    """Return the classes of states, and that of the others."""
    if ("accepting" in fields) == ("classes" in fields):
        raise InputError("give either 'accepting', a list of states, or 'classes', a class by state")
    if "accepting" in fields:
        accepting = fields["accepting"]
        if not isinstance(accepting, list) or not accepting or not all(isinstance(name, str) for name in accepting):
            raise InputError(f"'accepting' is a list of at least one state, not {repr_in_short(accepting)}")
        return dict.fromkeys(accepting, 1), 0
    classes = fields["classes"]
    if not isinstance(classes, Mapping) or not classes:
        raise InputError(f"'classes' maps states to classes 0, 1, 2, ..., not {repr_in_short(classes)}")
    return {name: as_class(name, label) for name, label in classes.items()}, IGNORE
