"""Automata that JFLAP wrote."""

from __future__ import annotations

from xml.etree import ElementTree

from lengthwise.errors import InputError
from lengthwise.tasks.regular.described import Described, in_order


def from_jflap(text: str) -> Described:
    """Return the finite automaton in a file of JFLAP."""
    if "<!DOCTYPE" in text:
        raise InputError("it declares a document type, which files of JFLAP do not have")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"it is not XML: {error}") from error
    if (kind := (root.findtext("type") or "").strip()) != "fa":
        raise InputError(f"it is of type {kind!r}; only finite automata (fa) of JFLAP are read")
    states = list(root.iter("state"))
    names = {state.get("id", ""): state.get("name") or state.get("id", "") for state in states}
    if len(set(names.values())) < len(states):
        names = {number: number for number in names}
    starts = [state for state in states if state.find("initial") is not None]
    if len(starts) != 1 or len(names) < len(states):
        raise InputError(f"it has {len(starts)} initial states and {len(names)} different ones in {len(states)}")
    edges = [
        tuple((transition.findtext(part) or "").strip() for part in ("from", "read", "to"))
        for transition in root.iter("transition")
    ]
    for source, symbol, _ in edges:
        if len(symbol) != 1:
            what = f"reads {symbol!r} at once" if symbol else "reads nothing (an epsilon move)"
            raise InputError(
                f"a transition of state {names.get(source, source)!r} {what}; an automaton here is deterministic, and "
                "reads one symbol a transition"
            )
    return Described(
        alphabet=in_order(symbol for _, symbol, _ in edges),
        states=list(names.values()),
        start=names[starts[0].get("id", "")],
        moves=[(names.get(source, source), symbol, names.get(target, target)) for source, symbol, target in edges],
        classes={names[state.get("id", "")]: 1 for state in states if state.find("final") is not None},
    )
