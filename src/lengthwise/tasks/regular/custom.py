"""Languages that a user gives: a regular expression, or an automaton in a YAML file.

Regular expressions use the symbols ``0`` to ``9`` and ``a`` to ``z``, groups, ``|``, ``*``, ``+``, ``?``,
``{m}``, ``{m,}``, ``{m,n}``, classes such as ``[ab]``, ``[0-3]`` and ``[^0]``, and ``.`` for any symbol, and
mean what `re.fullmatch` means by them. The alphabet is the symbols that the pattern uses; in sorted order,
digits first, they become 0, 1, 2, ... The class is 1 for strings that match.

An automaton is a mapping with these keys::

    alphabet: 2              # or the names of the symbols: [a, b]
    start: even
    accepting: [odd]         # or classes: {even: 0, odd: 1}; a state without a class is outside the domain
    transitions:
      even: [even, odd]      # a state for each symbol, in order
      odd: {0: odd, 1: even} # or by name
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from string import ascii_lowercase, digits
from typing import Any, cast

import numpy as np
import yaml

from lengthwise.errors import InputError
from lengthwise.files import read_text
from lengthwise.registry import nearest_name
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.automaton import Automaton
from lengthwise.tasks.regular.language import Language, Sampling

SYMBOLS = digits + ascii_lowercase
LARGEST_REPETITION = 1000
LARGEST_AUTOMATON = 100_000
KEYS = ("alphabet", "start", "accepting", "classes", "transitions")

_TOKEN = re.compile(
    r"(?P<symbol>[0-9a-z])|(?P<set>\[\^?(?:[0-9a-z]-[0-9a-z]|[0-9a-z])+\])|(?P<repeat>[*+?]|\{\d+(?:,\d*)?\})"
    r"|(?P<other>[().|])"
)


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
    return Language(f"regex:{pattern}", rule, (), automaton, Sampling.BALANCED)


def regex_alphabet(pattern: str) -> list[str]:
    """Return the symbols of a pattern in the order of their numbers; errors as in `regex_language`."""
    kinds = [match.group().replace("^", "") for match in _tokens(pattern) if match.lastgroup in ("symbol", "set")]
    symbols = [symbol for symbol in SYMBOLS if any(re.fullmatch(kind, symbol) for kind in kinds)]
    if not symbols:
        raise InputError(f"the regular expression {pattern!r} has no symbol (0 to 9, a to z)")
    return symbols


def automaton_from_regex(pattern: str) -> Automaton:
    """Return the minimal automaton of a regular expression; arguments and errors as in `regex_language`."""
    from automata.base.exceptions import AutomatonException, RegexException
    from automata.fa.nfa import NFA

    alphabet = regex_alphabet(pattern)
    try:
        nfa = NFA.from_regex(pattern, input_symbols=set(alphabet)).eliminate_lambda()
    except (AutomatonException, RegexException) as error:
        raise InputError(f"the regular expression {pattern!r} does not parse: {error}") from error
    moves = cast("Mapping[Any, Mapping[str, frozenset[Any]]]", nfa.transitions)

    def step(states: frozenset[Any], symbol: int) -> frozenset[Any]:
        return frozenset().union(*(moves[state].get(alphabet[symbol], ()) for state in states if state in moves))

    automaton = Automaton.explore(
        frozenset({nfa.initial_state}),
        step,
        lambda states: int(not states.isdisjoint(nfa.final_states)),
        len(alphabet),
        LARGEST_AUTOMATON,
    )
    if not automaton.outputs_S.any():
        raise InputError(f"the regular expression {pattern!r} matches no string")
    return automaton.minimal()


def dfa_language(path: str | Path) -> Language:
    """Return the language of an automaton in a YAML file; see the head of this module.

    Args:
        path: the file.

    Returns:
        The language, named ``dfa:`` and the path.

    Raises:
        InputError: the file cannot be read, is not YAML, or does not describe an automaton.
    """
    text = read_text(Path(path), "automaton", given=True)
    try:
        content: Any = yaml.safe_load(text)
        automaton = _automaton_from_mapping(content).minimal()
    except yaml.YAMLError as error:
        raise InputError(f"the automaton {path} is not YAML: {error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    rule = f"the class of the state that the automaton in {path} ends in"
    return Language(f"dfa:{path}", rule, (), automaton, Sampling.BALANCED)


def _tokens(pattern: str) -> list[re.Match[str]]:
    """Return the parts of a pattern; what `re` and automata-lib would read differently is refused."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"the regular expression {pattern!r} does not parse: {error.msg} at position {error.pos}"
        ) from error
    matches: list[re.Match[str]] = []
    position = 0
    while position < len(pattern):
        match = _TOKEN.match(pattern, position)
        repeats = match is not None and match.lastgroup == "repeat"
        if match is None or (repeats and (matches[-1].lastgroup == "repeat" or matches[-1].group() == "(")):
            raise InputError(
                f"the regular expression {pattern!r} does not parse: {pattern[position]!r} at position "
                f"{position} is not understood there; use 0 to 9, a to z, ( ) | * + ? . {{m,n}} and [ ]"
            )
        if repeats and any(int(number) > LARGEST_REPETITION for number in re.findall(r"\d+", match.group())):
            raise InputError(
                f"the repetition {match.group()} at position {position} of {pattern!r} is larger than "
                f"{LARGEST_REPETITION}"
            )
        matches.append(match)
        position = match.end()
    return matches


def _automaton_from_mapping(content: object) -> Automaton:
    if not isinstance(content, Mapping):
        raise InputError(f"an automaton is a mapping with the keys {', '.join(KEYS)}")
    fields = cast("Mapping[object, object]", content)
    for key in fields:
        if key not in KEYS:
            raise InputError(f"unknown key {key!r}; {nearest_name(str(key), list(KEYS))}")
    if missing := [key for key in ("alphabet", "start", "transitions") if key not in fields]:
        raise InputError(f"the key {missing[0]!r} is missing")
    alphabet = _alphabet(fields["alphabet"])
    table = _named(fields["transitions"])
    if not table:
        raise InputError("'transitions' maps each state to its next states")
    numbers = {state: number for number, state in enumerate(table)}
    transitions = [_row(state, row, alphabet, numbers) for state, row in table.items()]
    start = _state(fields["start"], numbers, "'start'")
    return Automaton(np.array(transitions), start, np.array(_outputs(fields, numbers)))


def _named(given: object) -> dict[str, object]:
    """Return a mapping by the names of its keys, empty where it is none."""
    fields = cast("Mapping[object, object]", given) if isinstance(given, Mapping) else {}
    return {str(name): value for name, value in fields.items()}


def _alphabet(given: object) -> list[str]:
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return [str(symbol) for symbol in range(given)]
    if isinstance(given, list) and given:
        names = [str(symbol) for symbol in cast("list[object]", given)]
        if len(set(names)) == len(names):
            return names
    raise InputError(f"'alphabet' is a number of symbols or a list of different names, not {given!r}")


def _row(state: str, row: object, alphabet: list[str], numbers: Mapping[str, int]) -> list[int]:
    """Return the next states of one state by symbol."""
    if isinstance(row, list):
        listed = cast("list[object]", row)
        if len(listed) > len(alphabet):
            raise InputError(
                f"state {state!r} has {len(listed)} transitions for {len(alphabet)} symbols ({', '.join(alphabet)})"
            )
        named = dict(zip(alphabet, listed, strict=False))
    elif isinstance(row, Mapping):
        named = _named(row)
    else:
        raise InputError(f"the transitions of state {state!r} are a list or a mapping, not {row!r}")
    for symbol in [*named, *alphabet]:
        if symbol not in alphabet:
            raise InputError(
                f"state {state!r} has a transition for an unknown symbol {symbol!r}; "
                f"the alphabet is {', '.join(alphabet)}"
            )
        if symbol not in named:
            raise InputError(f"state {state!r} has no transition for symbol {symbol!r}")
    return [_state(named[symbol], numbers, f"the transition of {state!r} for symbol {symbol!r}") for symbol in alphabet]


def _outputs(fields: Mapping[object, object], numbers: Mapping[str, int]) -> list[int]:
    """Return the class of each state."""
    if ("accepting" in fields) == ("classes" in fields):
        raise InputError("give either 'accepting', a list of states, or 'classes', a class by state")
    if "accepting" in fields:
        accepting = fields["accepting"]
        if not isinstance(accepting, list) or not accepting:
            raise InputError(f"'accepting' is a list of at least one state, not {accepting!r}")
        chosen = {_state(name, numbers, "'accepting'") for name in cast("list[object]", accepting)}
        return [int(number in chosen) for number in numbers.values()]
    classes = _named(fields["classes"])
    if not classes:
        raise InputError(f"'classes' maps states to classes 0, 1, 2, ..., not {fields['classes']!r}")
    outputs = [IGNORE] * len(numbers)
    for name, label in classes.items():
        number = _state(name, numbers, "'classes'")
        if not isinstance(label, int) or isinstance(label, bool) or label < 0:
            raise InputError(f"the class of state {name!r} is a number of at least 0, not {label!r}")
        outputs[number] = label
    return outputs


def _state(name: object, numbers: Mapping[str, int], where: str) -> int:
    if str(name) not in numbers:
        raise InputError(f"{where} names an unknown state {str(name)!r}; {nearest_name(str(name), list(numbers))}")
    return numbers[str(name)]
