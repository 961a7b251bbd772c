import random
import re
from pathlib import Path

import numpy as np
import pytest
from aalpy.automata import Dfa, DfaState, MooreMachine, MooreState
from automata.fa.dfa import DFA

from lengthwise.certificates.export import to_dot, to_json, to_regex
from lengthwise.errors import InputError
from lengthwise.tasks import get_language
from lengthwise.tasks.regular.automaton import Automaton
from lengthwise.tasks.regular.language import Language

JFLAP = """<?xml version="1.0" encoding="UTF-8" standalone="no"?><!--Created with JFLAP 7.1.--><structure>
<type>fa</type><automaton>
<state id="0" name="q0"><x>90.0</x><y>99.0</y><initial/></state>
<state id="1" name="q1"><x>220.0</x><y>99.0</y><final/></state>
<transition><from>0</from><to>1</to><read>b</read></transition>
<transition><from>0</from><to>0</to><read>a</read></transition>
<transition><from>1</from><to>0</to><read>b</read></transition>
<transition><from>1</from><to>1</to><read>a</read></transition>
</automaton></structure>"""
GRAPHVIZ = """// an odd number of b
digraph finite_state_machine {
  rankdir=LR; size="8,5"
  node [shape = doublecircle]; odd;
  node [shape = circle];
  "" [shape=none]  /* where it starts */
  "" -> even
  even -> odd -> even [label = "b"];
  even -> even [label=a]
  odd -> odd [label="a", weight=2];
}"""
YAML = "alphabet: [a, b]\nstart: even\naccepting: [odd]\ntransitions: {even: [even, odd], odd: [odd, even]}\n"
JSON = DFA(
    states={"even", "odd"},
    input_symbols={"a", "b"},
    transitions={"even": {"a": "even", "b": "odd"}, "odd": {"a": "odd", "b": "even"}},
    initial_state="even",
    final_states={"odd"},
)
KEPT = {
    "jff": JFLAP,
    "dot": GRAPHVIZ,
    "yaml": YAML,
    "json": """{"states": ["even", "odd"], "input_symbols": ["a", "b"],
  "initial_state": "even", "final_states": ["odd"],
  "transitions": {"even": {"a": "even", "b": "odd"}, "odd": {"a": "odd", "b": "even"}}}""",
}


def read(folder: Path, text: str, suffix: str, kind: str = "dfa") -> Language:
    (path := folder / f"automaton.{suffix}").write_text(text, encoding="utf-8")
    return get_language(f"{kind}:{path}")


@pytest.mark.parametrize("suffix", KEPT)
def test_each_form_is_the_language_it_describes(tmp_path: Path, suffix: str):
    language = read(tmp_path, KEPT[suffix], suffix)
    assert language.symbols == ("a", "b")
    assert language.automaton.equivalent(get_language("parity").automaton)
    for text in ("", "a", "b", "abba", "babb"):
        tokens = np.array([["ab".index(letter) for letter in text]], dtype=np.int64)
        assert language.label(tokens).tolist() == [int(JSON.accepts_input(text))]


def test_drawings_of_aalpy_are_read(tmp_path: Path):
    states = [DfaState("s0"), DfaState("s1", is_accepting=True)]
    states[0].transitions, states[1].transitions = {"a": states[0], "b": states[1]}, {"a": states[1], "b": states[0]}
    Dfa(states[0], states).save(str(tmp_path / "dfa"), file_type="dot")
    language = get_language(f"dfa:{tmp_path / 'dfa.dot'}")
    assert language.automaton.equivalent(get_language("parity").automaton)
    places = [MooreState(f"s{place}", place) for place in range(3)]
    for place in range(3):
        places[place].transitions = {letter: places[(place + step) % 3] for step, letter in enumerate("xyz")}
    MooreMachine(places[0], places).save(str(tmp_path / "moore"), file_type="dot")
    language = get_language(f"dfa:{tmp_path / 'moore.dot'}")
    assert language.symbols == ("x", "y", "z")
    tokens = np.random.default_rng(0).integers(3, size=(50, 7))
    assert language.label(tokens).tolist() == (tokens.sum(1) % 3).tolist()


@pytest.mark.parametrize(
    ("suffix", "old", "new", "message"),
    [
        ("jff", "<to>0</to><read>a</read>", "<to>1</to><read>b</read>", "state 'q0' has no transition for symbol 'a'"),
        ("jff", "<to>1</to><read>b</read>", "<to>1</to><read>a</read>", "two transitions for symbol 'a', to 'q1'"),
        ("jff", "<read>b</read>", "<read/>", "state 'q0' reads nothing (an epsilon move)"),
        ("jff", "<read>b</read>", "<read>bb</read>", "reads 'bb' at once"),
        ("jff", "<initial/>", "", "0 initial states"),
        ("jff", "<type>fa</type>", "<type>pda</type>", "type 'pda'"),
        ("jff", "<to>1</to>", "<to>7</to>", "unknown state '7'"),
        ("jff", "</structure>", "", "not XML"),
        ("jff", "<structure>", "<!DOCTYPE x [<!ENTITY a 'b'>]><structure>", "declares a document type"),
        ("dot", "odd -> odd", "even -> odd", "two transitions for symbol 'a', to 'even' and to 'odd'"),
        ("dot", "[label=a]", "", "reads nothing"),
        ("dot", "[label=a]", '[label="a/1"]', "Mealy machines"),
        ("dot", '"" -> even', "", "there are 0"),
        ("dot", "rankdir=LR", "subgraph x {a -> b}", "line 3: a drawing within a drawing"),
        ("dot", "digraph", "graph", "'digraph' is missing"),
        ("dot", "[label=a]", "[label=<b>a</b>]", "line 9: '<' is not understood"),
        ("dot", ";\n}", ";", "at 'the end'"),
        ("dot", "shape = doublecircle", "class=many", "not 'many'"),
        (
            "json",
            '"b": "odd"',
            '"b": ["odd", "even"]',
            "it is deterministic, not ['odd', 'even'] (at even, b)",
        ),
        ("json", '"b": "odd"', '"a": "odd"', "'a' (in transitions.even) is given twice"),
        ("json", '"initial_state"', '"start"', "unknown key 'start'"),
        ("json", '["odd"]', '"odd"', "'final_states' is a list"),
        ("json", "}}}", "}}", "not valid YAML"),
        ("yaml", "even: [even, odd]", "even: {a: even}", "write dfa+sink:"),
    ],
)
def test_what_is_not_one_deterministic_automaton_is_refused(
    tmp_path: Path, suffix: str, old: str, new: str, message: str
):
    assert old in KEPT[suffix]
    with pytest.raises(InputError, match=re.escape(message)):
        read(tmp_path, KEPT[suffix].replace(old, new, 1), suffix)


@pytest.mark.parametrize(
    ("suffix", "old", "new"),
    [
        ("jff", "<transition><from>1</from><to>0</to><read>b</read></transition>", ""),
        ("dot", "even -> odd -> even", "even -> odd"),
        ("json", ', "b": "even"', ""),
        ("yaml", "odd: [odd, even]", "odd: {a: odd}"),
    ],
)
def test_what_is_missing_leads_to_a_sink_where_that_is_said(tmp_path: Path, suffix: str, old: str, new: str):
    assert old in KEPT[suffix]
    text = KEPT[suffix].replace(old, new)
    with pytest.raises(InputError, match="no transition for symbol 'b'"):
        read(tmp_path, text, suffix)
    language = read(tmp_path, text, suffix, "dfa+sink")
    assert language.automaton.equivalent(get_language("regex:a*ba*").automaton)
    if suffix == "json":
        said = text.replace("{", '{"allow_partial": true, ', 1)
        assert read(tmp_path, said, suffix).automaton.equivalent(language.automaton)


def random_automaton(rng: np.random.Generator, lowest: int = 0, classes: int = 2) -> Automaton:
    states, symbols = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    outputs = rng.integers(lowest, classes, size=states)
    outputs[0] = 1
    return Automaton(rng.integers(states, size=(states, symbols)), 0, outputs).minimal()


@pytest.mark.parametrize("seed", range(20))
def test_what_is_exported_is_read_back(tmp_path: Path, seed: int):
    two = random_automaton(np.random.default_rng(seed))
    many = random_automaton(np.random.default_rng(seed), lowest=-1, classes=4)
    assert read(tmp_path, to_json(two, 1), "json").automaton.equivalent(two)
    assert get_language(f"regex:{to_regex(two, 1)}").automaton.equivalent(two)
    for automaton in (two, many):
        assert read(tmp_path, to_dot(automaton, 'a "name"'), "dot").automaton.equivalent(automaton)


def damaged(text: str, rng: random.Random) -> str:
    """Take out, put in or change some letters, or double a piece."""
    for _ in range(rng.randint(1, 3)):
        place, end = sorted(rng.choices(range(len(text) + 1), k=2))
        match rng.randrange(4):
            case 0:
                text = text[:place] + text[min(end, place + 8) :]
            case 1:
                text = text[:end] + text[place:end] + text[end:]
            case 2:
                text = (
                    text[:place]
                    + rng.choice(["on", "00", "~", "&a", "*a", "[", "{", '"', "\0", "-1", "9" * 30, "<", "]"])
                    + text[place:]
                )
            case _:
                text = text[:place] + chr(rng.choice([*range(32, 127), 0x2028, 0xD7FF])) + text[place + 1 :]
    return text


@pytest.mark.fuzz
def test_a_damaged_file_is_an_automaton_or_is_refused_in_words(tmp_path: Path, fuzz_budget: int):
    for seed in range(fuzz_budget):
        rng = random.Random(seed)
        suffix = rng.choice(list(KEPT))
        try:
            language = read(tmp_path, damaged(KEPT[suffix], rng), suffix, rng.choice(["dfa", "dfa+sink"]))
        except InputError:
            continue
        assert len(language.symbols) == language.vocabulary <= 1000
        assert language.label(np.zeros((2, 3), dtype=np.int64)).shape == (2,)


def test_a_drawing_in_which_nothing_accepts_is_refused(tmp_path: Path):
    """Its labels may say what accepts in a form that is not known: it is not read as the empty language."""
    text = 'digraph { s [shape=none]; s -> a; a [label="a/yes"]; a -> b [label="0"]; b -> a [label="0"]; }'
    with pytest.raises(InputError, match=r"no node accepts: double circles do"):
        read(tmp_path, text, "dot")
