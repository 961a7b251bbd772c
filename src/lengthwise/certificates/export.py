"""The automaton of a certificate in the forms that other programs read."""

from __future__ import annotations

import json
from typing import Any

from lengthwise.errors import InputError
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.automaton import Automaton
from lengthwise.tasks.regular.expression import SYMBOLS

REGEX_STATES = 16
"""From more states on, the expression would fill pages: it can grow by a factor of four with each."""


def to_regex(automaton: Automaton, label: int) -> str:
    """Return a regular expression of the strings of a class."""
    from automata.fa.dfa import DFA
    from automata.fa.gnfa import GNFA

    if automaton.states > REGEX_STATES:
        raise InputError(
            f"a regular expression of {automaton.states} states would fill pages; up to {REGEX_STATES} are written so, "
            "use --format dot or json"
        )
    given = _arguments(automaton, label)
    sets: dict[str, Any] = {name: set(value) for name, value in given.items() if isinstance(value, list)}
    pattern = str(GNFA.from_dfa(DFA(**(given | sets))).to_regex())
    # The alphabet of a pattern is the symbols that it uses; those without a part in the language are none of them.
    unused = "".join(symbol for symbol in given["input_symbols"] if symbol not in pattern)
    return f"({pattern})[{unused}]{{0}}" if unused else pattern


def to_json(automaton: Automaton, label: int) -> str:
    """Return the arguments of automata-lib's ``DFA`` that accepts a class, as JSON; arguments as `to_regex`."""
    return json.dumps(_arguments(automaton, label), indent=1)


def to_dot(automaton: Automaton, name: str) -> str:
    """Return a drawing for Graphviz: each state with its class, arrows with their symbols."""
    lines = [f"digraph {json.dumps(name)} {{", "  rankdir=LR;", '  start [shape=none, label=""];']
    for state, label in enumerate(automaton.outputs_S.tolist()):
        shape = "doublecircle" if automaton.classes == 2 and label == 1 else "circle"
        # Graphviz takes the class for that of a style sheet, and leaves the drawing as it is.
        look = "style=dashed" if label == IGNORE else f"class={label}"
        lines.append(f'  {state} [shape={shape}, {look}, label="{"" if label == IGNORE else label}"];')
    lines.append(f"  start -> {automaton.start};")
    for source in range(automaton.states):
        for target, symbols in arrows(automaton, source).items():
            lines.append(f'  {source} -> {target} [label="{", ".join(map(str, symbols))}"];')
    return "\n".join([*lines, "}"])


def arrows(automaton: Automaton, source: int) -> dict[int, list[int]]:
    """Return for each next state of a state the symbols that lead there."""
    found: dict[int, list[int]] = {}
    for symbol, target in enumerate(automaton.transitions_SA[source].tolist()):
        found.setdefault(target, []).append(symbol)
    return found


def _arguments(automaton: Automaton, label: int) -> dict[str, Any]:
    if automaton.vocabulary > len(SYMBOLS):
        raise InputError(f"{automaton.vocabulary} symbols cannot be written as the {len(SYMBOLS)} of 0 to 9 and a to z")
    final = [str(state) for state, own in enumerate(automaton.outputs_S.tolist()) if own == label]
    if not final:
        raise InputError(f"no string has the class {label}; classes are 0 to {automaton.classes - 1}")
    rows = enumerate(automaton.transitions_SA.tolist())
    return {
        "states": [str(state) for state in range(automaton.states)],
        "input_symbols": list(SYMBOLS[: automaton.vocabulary]),
        "transitions": {str(state): dict(zip(SYMBOLS, map(str, row), strict=False)) for state, row in rows},
        "initial_state": str(automaton.start),
        "final_states": final,
    }
