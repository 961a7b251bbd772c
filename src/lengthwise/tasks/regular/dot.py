"""Drawings for Graphviz as automata: ours, those of AALpy, and those made by hand."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

from lengthwise.errors import InputError
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.described import Described, as_class, in_order

_DOT_TOKEN = re.compile(
    r"(?P<space>\s+|//[^\n]*|/\*.*?\*/|(?<![^\n])\#[^\n]*)"
    r"|(?P<quoted>\"(?:\\.|[^\"\\])*\")|(?P<id>[^\W\d]\w*|-?(?:\.\d+|\d+(?:\.\d*)?))|(?P<mark>->|--|[{}\[\];,=:])|(?P<strange>.)",
    re.DOTALL,
)
_SHAPELESS = {"none", "point", "plaintext", "plain"}


def from_dot(text: str) -> Described:
    """Return the automaton in a drawing for Graphviz.

    A node without a shape, whose one arrow has no label, points at the start. Double circles accept, unless nodes have
    a ``class``, as ours do, or a label ``name|class``, as the Moore machines of AALpy do.
    """
    nodes, edges = _Drawing(text).read()
    entered = {target for _, target, _ in edges}
    pointers = [
        name
        for name, look in nodes.items()
        if name not in entered and (look.get("shape") in _SHAPELESS or look.get("style") == "invis")
    ]
    starts = [target for source, target, look in edges if source in pointers and not look.get("label")]
    if len(starts) != 1:
        raise InputError(
            "one arrow without a label, from a node without a shape (shape=none or point), shows the start; "
            f"there are {len(starts)}"
        )
    states = [name for name in nodes if name not in pointers]
    arrows = [(source, _symbols(source, look), target) for source, target, look in edges if source not in pointers]
    classes, otherwise = _classes({name: nodes[name] for name in states})
    return Described(
        alphabet=in_order(symbol for _, symbols, _ in arrows for symbol in symbols),
        states=states,
        start=starts[0],
        moves=[(source, symbol, target) for source, symbols, target in arrows for symbol in symbols],
        classes=classes,
        otherwise=otherwise,
    )


def _symbols(source: str, look: Mapping[str, str]) -> list[str]:
    """Return the symbols that an arrow is labelled with."""
    label = look.get("label", "").strip()
    symbols = [symbol.strip() for symbol in re.split(r",|\n|\\n", label)] if label != "," else [label]
    if not all(symbols):
        raise InputError(f"an arrow of {source!r} reads nothing; an automaton here is deterministic")
    if any("/" in symbol[1:] for symbol in symbols):
        raise InputError(f"an arrow of {source!r} says {label!r}: Mealy machines, which answer on arrows, are not read")
    return symbols


def _classes(nodes: Mapping[str, Mapping[str, str]]) -> tuple[dict[str, int], int]:
    """Return the classes of nodes, and that of the others."""
    said = {name: look["class"] for name, look in nodes.items() if "class" in look}
    if not said and any(look.get("shape") == "record" for look in nodes.values()):
        said = {name: look.get("label", "").strip("{}").rpartition("|")[2] for name, look in nodes.items()}
    if said:
        return {name: as_class(name, label) for name, label in said.items()}, IGNORE
    double = [
        name for name, look in nodes.items() if look.get("shape") == "doublecircle" or look.get("peripheries") == "2"
    ]
    if not double:
        raise InputError(
            "no node accepts: double circles do (shape=doublecircle or peripheries=2), or nodes have a class "
            "attribute, or a label 'name|class' and shape=record"
        )
    return dict.fromkeys(double, 1), 0


class _Drawing:
    """A drawing, statement by statement."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, int]] = []
        self._place = 0
        line = 1
        for token in _DOT_TOKEN.finditer(text):
            if token.lastgroup == "strange":
                raise InputError(f"line {line}: {token.group()!r} is not understood; only plain names and labels are")
            if token.lastgroup != "space":
                self._tokens.append((token.group(), line))
            line += token.group().count("\n")
        self._tokens.append(("", line))

    def read(self) -> tuple[dict[str, dict[str, str]], list[tuple[str, str, dict[str, str]]]]:
        """Return how each node looks, and each arrow: from where, to where and how it looks."""
        self._skip("strict")
        self._expect("digraph")
        if self._next() != "{":
            self._name()
        self._expect("{")
        nodes: dict[str, dict[str, str]] = {}
        edges: list[tuple[str, str, dict[str, str]]] = []
        usual: dict[str, dict[str, str]] = {"node": {}, "edge": {}, "graph": {}}
        while not self._skip("}"):
            if self._next().lower() in usual:
                usual[self._take().lower()] |= self._look()
            elif self._next().lower() in ("subgraph", "{"):
                raise self._wrong("a drawing within a drawing is not read")
            else:
                names = [self._name()]
                if self._skip("="):
                    usual["graph"][names.pop()] = self._name()
                while self._skip("->"):
                    names.append(self._name())
                look = self._look()
                for name in names:
                    nodes.setdefault(name, dict(usual["node"]))
                if len(names) == 1:
                    nodes[names[0]] |= look
                edges += [(*pair, usual["edge"] | look) for pair in itertools.pairwise(names)]
            self._skip(";")
        if self._next():
            raise self._wrong("something stands behind the drawing")
        return nodes, edges

    def _look(self) -> dict[str, str]:
        """Return the attributes that follow."""
        found: dict[str, str] = {}
        while self._skip("["):
            while not self._skip("]"):
                name = self._name()
                self._expect("=")
                found[name] = self._name()
                self._skip(",")
                self._skip(";")
        return found

    def _name(self) -> str:
        if self._next() in ("", "->", "--", *"{}[];,=:"):
            raise self._wrong("a name is missing here")
        name = self._take()
        while self._skip(":"):
            self._take()
        return name[1:-1].replace('\\"', '"') if name.startswith('"') else name

    def _next(self) -> str:
        return self._tokens[self._place][0]

    def _take(self) -> str:
        self._place = min(self._place + 1, len(self._tokens) - 1)
        return self._tokens[self._place - 1][0]

    def _skip(self, wanted: str) -> bool:
        """Return whether a word or mark comes next, and leave it behind."""
        found = self._next().lower() == wanted
        self._place += found
        return found

    def _expect(self, wanted: str) -> None:
        if not self._skip(wanted):
            raise self._wrong(f"{wanted!r} is missing here")

    def _wrong(self, problem: str) -> InputError:
        return InputError(f"line {self._tokens[self._place][1]}: {problem}, at {self._next() or 'the end'!r}")
