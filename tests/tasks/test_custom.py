import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from language_rules import all_texts, to_tokens

from lengthwise.errors import InputError
from lengthwise.tasks import get_language
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.custom import automaton_from_regex, regex_alphabet

ATOMS = st.sampled_from(["0", "1", "2", ".", "[01]", "[^0]", "[0-2]", "[^12]"])
REPEATS = st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}", "{1,3}"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, REPEATS).map(lambda pair: f"({pair[0]}){pair[1]}"),
    ),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, derandomize=True)
@given(PATTERNS)
def test_regular_expressions_mean_what_re_means(pattern: str):
    # The leading group gives every pattern the alphabet 0, 1, 2.
    pattern = f"(012)?{pattern}"
    compiled = re.compile(pattern)
    automaton = automaton_from_regex(pattern)
    for length in range(6):
        texts = all_texts(3, length)
        matched = [int(compiled.fullmatch(text) is not None) for text in texts]
        assert automaton.label(to_tokens(texts)).tolist() == matched


def test_symbols_are_numbered_in_sorted_order_digits_first():
    assert regex_alphabet("b(a|9)*[c-e]{2}") == ["9", "a", "b", "c", "d", "e"]
    language = get_language("regex:b*a")
    assert language.vocabulary == 2
    assert language.label(np.array([[1, 1, 0], [0, 0, 1]])).tolist() == [1, 0]
    assert "0 is 'a', 1 is 'b'" in language.rule


def test_a_regular_expression_samples_both_classes():
    batch = get_language("regex:(01)*1?").sample(np.random.default_rng(0), 40, 13)
    assert 20 <= (batch.targets == 1).sum() < 40


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(01", "position 0"),
        ("0(1|*)", "position 4"),
        ("01)", "position 2"),
        ("0**", "position 2"),
        ("0*?1", "'\\?' at position 2"),
        ("0 1", "' ' at position 1"),
        ("0^1", "'\\^' at position 1"),
        ("0&1", "'&' at position 1"),
        ("A*", "'A' at position 0"),
        ("a{2", "'{' at position 1"),
        ("(?:0)", "'\\?' at position 1"),
        (r"\d", r"at position 0"),
        ("[b-a]", "position 1"),
        ("0{2000}", "larger than 1000"),
        (".*", "has no symbol"),
        ("", "has no symbol"),
        ("[^0]", "matches no string"),
    ],
)
def test_patterns_that_cannot_be_used_are_explained(pattern: str, message: str):
    with pytest.raises(InputError, match=message):
        get_language(f"regex:{pattern}")


def test_a_pattern_whose_automaton_explodes_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lengthwise.tasks.regular.custom.LARGEST_AUTOMATON", 1000)
    with pytest.raises(InputError, match="more than 1000 states"):
        get_language("regex:(0|1)*1(0|1){12}")


PARITY = """\
alphabet: 2
start: even
accepting: [odd]
transitions:
  even: [even, odd]
  odd: {1: even, 0: odd}
"""


def write(folder: Path, text: str) -> str:
    path = folder / "automaton.yaml"
    path.write_text(text, encoding="utf-8")
    return f"dfa:{path}"


def test_an_automaton_from_a_file_is_the_language_it_describes(tmp_path: Path):
    language = get_language(write(tmp_path, PARITY))
    assert language.automaton.equivalent(get_language("parity").automaton)


def test_classes_leave_other_states_outside_the_domain(tmp_path: Path):
    text = (
        "alphabet: [left, right]\nstart: 0\nclasses: {1: 2, 2: 0}\n"
        "transitions:\n  0: [1, 2]\n  1: {left: 0, right: 0}\n  2: [0, 0]\n"
    )
    language = get_language(write(tmp_path, text))
    assert language.classes == 3
    assert language.label(np.array([[0], [1]])).tolist() == [2, 0]
    assert language.label(np.array([[0, 1]])).tolist() == [IGNORE]
    assert language.nearest_length(4) == 3
    assert set(language.sample(np.random.default_rng(0), 50, 3).targets.tolist()) == {0, 2}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("even: [even, odd]", "even: [even]", "'even' has no transition for symbol '1'"),
        ("{1: even, 0: odd}", "{1: even}", "'odd' has no transition for symbol '0'"),
        ("{1: even, 0: odd}", "{1: even, 0: odd, 2: odd}", "unknown symbol '2'; the alphabet is 0, 1"),
        ("even: [even, odd]", "even: [even, odd, odd]", "3 transitions for 2 symbols"),
        ("even: [even, odd]", "even: [evn, odd]", "unknown state 'evn'; did you mean 'even'"),
        ("even: [even, odd]", "even: 3", "a list or a mapping, not 3"),
        ("start: even", "start: evne", "'start' names an unknown state 'evne'; did you mean 'even'"),
        ("start: even\n", "", "the key 'start' is missing"),
        ("start: even", "begin: even", "unknown key 'begin'"),
        ("accepting: [odd]", "accepting: odd", "'accepting' is a list"),
        ("accepting: [odd]", "accepting: [od]", "unknown state 'od'"),
        ("accepting: [odd]", "accepting: [odd]\nclasses: {odd: 1}", "either 'accepting'"),
        ("accepting: [odd]\n", "", "either 'accepting'"),
        ("accepting: [odd]", "classes: {odd: one}", "not 'one'"),
        ("accepting: [odd]", "classes: [odd]", "maps states to classes"),
        ("alphabet: 2", "alphabet: none", "not 'none'"),
        ("alphabet: 2", "alphabet: [a, a]", "different names"),
        ("alphabet: 2", "alphabet: 0", "not 0"),
        ("even: [even, odd]", "even: [even", "is not YAML"),
        (PARITY, "- 1", "a mapping with the keys"),
        ("transitions:", "transitions: 3\naccepting_:", "unknown key"),
    ],
)
def test_malformed_automata_are_explained(tmp_path: Path, old: str, new: str, message: str):
    assert old in PARITY
    with pytest.raises(InputError, match=re.escape(message)):
        get_language(write(tmp_path, PARITY.replace(old, new)))


def test_a_file_that_is_missing_or_is_not_text_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="cannot read the automaton"):
        get_language(f"dfa:{tmp_path / 'none.yaml'}")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        get_language(f"dfa:{tmp_path / 'binary.yaml'}")
