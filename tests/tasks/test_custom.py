import random
import re
from pathlib import Path

import numpy as np
import pytest
from language_rules import all_texts, to_tokens

from lengthwise.errors import InputError
from lengthwise.tasks import get_language
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.expression import automaton_from_regex, regex_alphabet

ATOMS = ("0", "1", "2", ".", "[01]", "[^0]", "[0-2]", "[^12]", "()", "(|1)", "(0|)")
REPEATS = ("*", "+", "?", "{0}", "{2}", "{1,}", "{0,2}", "{1,3}", "{0,0}", "{,2}", "{,}", "{0,}")


def check_against_re(pattern: str) -> None:
    """Hold the automaton of a pattern over 0, 1 and 2 to what Python's own engine says of short strings."""
    compiled = re.compile(pattern)
    automaton = automaton_from_regex(pattern)
    for length in range(5):
        texts = all_texts(3, length)
        matched = [int(compiled.fullmatch(text) is not None) for text in texts]
        assert automaton.label(to_tokens(texts)).tolist() == matched, pattern


def random_pattern(rng: random.Random, depth: int) -> str:
    def inner() -> str:
        return random_pattern(rng, depth - 1)

    match rng.randrange(4) if depth else 0:
        case 0:
            return rng.choice(ATOMS)
        case 1:
            return inner() + inner()
        case 2:
            return f"({inner()}|{inner()})"
        case _:
            return f"({inner()}){rng.choice(REPEATS)}"


@pytest.mark.fuzz
def test_regular_expressions_mean_what_re_means(fuzz_budget: int):
    for seed in range(fuzz_budget):
        # The leading group gives every pattern the alphabet 0, 1, 2.
        check_against_re(f"(012)?{random_pattern(random.Random(seed), 3)}")


@pytest.mark.parametrize(
    "pattern",
    ["{}{{0}}1", "{}{{0,0}}1", "2?({}1){{0}}", "({}{{0}}1)*", "{}{{,0}}", "{}{{0}}", "{}(|){{0}}2", "(1|{}{{0}})2"],
)
@pytest.mark.parametrize("repeated", ["0", "(01)", "[02]", "."])
def test_a_repetition_of_none_is_the_empty_string(pattern: str, repeated: str):
    check_against_re(f"(012)?{pattern.format(repeated)}")


@pytest.mark.parametrize("pattern", ["(0|)1", "(|0)1", "(|)1", "()1", "1|", "|1", "(0||1)*2", "((|0)|)*1", "1(0|1|)"])
def test_a_branch_may_be_empty(pattern: str):
    # A bar at the top would make the leading group a branch of its own.
    check_against_re(f"(012)?({pattern})")


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
        ("(01", "'\\(' at position 0 is not closed"),
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
        ("[b-a]", "position 0 has a range whose end comes before its beginning"),
        ("0{2000}", "'.2000.' at position 1 is larger than 1,000"),
        ("0{999999999999999999999}", "position 1 is larger than 1,000"),
        (f"0{{{'9' * 5000}}}", "is larger than 1,000"),
        ("0{3,2}", "position 1 has its larger number first"),
        ("|*", "'\\*' at position 1 repeats nothing"),
        ("0*{2}", "position 2 repeats a repetition"),
        ("0{\u0662}", "'{' at position 1 is not understood"),
        ("(0{1000}){1000}", "too large: with its repetitions written out it has more than 10,000 symbols"),
        ("(((0{100}){100}){100}){100}", "more than 10,000 symbols"),
        ("(0|1)*1(0|1){30}", "too large: the automaton has more than 10000 states"),
        ("(0|1)*1(0|1){12}", "too large: the automaton has 8,192 states; 2,500 are the most"),
        ("([0-9a-z]*a){300}", "too large: its automaton takes more than 500,000 steps"),
        ("0" * 10_001, "10,000 characters at most, not 10,001"),
        ("(" * 51 + "0" + ")" * 51, "at position 50 opens more than 50 groups"),
        (".*", "has no symbol"),
        ("", "has no symbol"),
        ("()", "has no symbol"),
        ("[^0]", "matches no string"),
    ],
)
def test_patterns_that_cannot_be_used_are_explained(pattern: str, message: str):
    with pytest.raises(InputError, match=message):
        get_language(f"regex:{pattern}")


@pytest.mark.parametrize(
    ("pattern", "states"),
    [("0{1000}", 1002), ("(0?){1000}", 1002), ("[0-9a-z]{100}", 102), ("((((){1000}){1000}){1000}){1000}0", 3)],
)
def test_large_repetitions_that_fit_are_read(pattern: str, states: int):
    assert automaton_from_regex(pattern).states == states


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
        (
            "even: [even, odd]",
            "even: 3",
            "one name for each symbol, not '3' (at even)",
        ),
        ("start: even", "start: evne", "'start' names an unknown state 'evne'; did you mean 'even'"),
        ("start: even\n", "", "the key 'start' is missing"),
        ("start: even", "begin: even", "unknown key 'begin'"),
        ("accepting: [odd]", "accepting: odd", "'accepting' is a list"),
        ("accepting: [odd]", "accepting: [od]", "unknown state 'od'"),
        ("accepting: [odd]", "accepting: [odd]\nclasses: {odd: 1}", "either 'accepting'"),
        ("accepting: [odd]\n", "", "either 'accepting'"),
        ("accepting: [odd]", "classes: {odd: one}", "not 'one'"),
        ("accepting: [odd]", "classes: [odd]", "'classes' is a mapping of states to classes 0, 1, 2, ..., not ['odd']"),
        ("accepting: [odd]", "classes: {odd: 1000000000}", "a number from 0 to 999, not '1000000000'"),
        ("accepting: [odd]", "classes: {odd: -1}", "not '-1'"),
        ("alphabet: 2", "alphabet: none", "not 'none'"),
        ("alphabet: 2", "alphabet: [a, a]", "different names"),
        ("alphabet: 2", "alphabet: 0", "not '0'"),
        ("alphabet: 2", "alphabet: 1000000000", "1,000 at most"),
        ("alphabet: 2", f"alphabet: {'9' * 5000}", "1,000 at most"),
        ("alphabet: 2", f"alphabet: {list(range(2000))}", "1 to 1,000 different names"),
        ("start: even", "start: [even]", "'start' is the name of a state, not ['even']"),
        ("even: [even, odd]", "even: [even, [odd]]", "one name for each symbol, not ['odd'] (at even, 1)"),
        ("even: [even, odd]", "even: {0: even, 1: odd, 1: even}", "line 5: '1' (in transitions.even) is given twice"),
        (
            "even: [even, odd]",
            "even: [even, odd]\n  even: [odd, odd]",
            "line 6: 'even' (in transitions) is given twice",
        ),
        ("even: [even, odd]", "even: [even", "is not valid YAML"),
        (PARITY, "- 1", "a mapping with the keys"),
        ("transitions:", "transitions: 3\naccepting_:", "unknown key"),
    ],
)
def test_malformed_automata_are_explained(tmp_path: Path, old: str, new: str, message: str):
    assert old in PARITY
    with pytest.raises(InputError, match=re.escape(message)):
        get_language(write(tmp_path, PARITY.replace(old, new)))


@pytest.mark.parametrize(
    ("symbols", "states"),
    [("[on, off]", "[yes, no]"), ("[0, 00]", "[007, 7]"), ("[1.0, 1]", "[null, ~]"), ("[1e1, '10']", "[a, on]")],
)
def test_names_are_read_as_they_are_written(tmp_path: Path, symbols: str, states: str):
    names, (first, second) = symbols[1:-1].replace("'", "").split(", "), states[1:-1].split(", ")
    text = (
        f"alphabet: {symbols}\nstart: {first}\naccepting: [{second}]\n"
        f"transitions:\n  {first}: [{first}, {second}]\n  {second}: [{second}, {first}]\n"
    )
    language = get_language(write(tmp_path, text))
    assert language.symbols == tuple(names)
    assert language.automaton.equivalent(get_language("parity").automaton)


def test_a_name_that_yaml_would_take_for_another_is_unknown(tmp_path: Path):
    with pytest.raises(InputError, match="unknown state '00'"):
        get_language(write(tmp_path, PARITY.replace("even", "0").replace("start: 0", "start: 00")))


def test_an_automaton_that_cannot_be_sampled_from_is_refused(tmp_path: Path):
    rows = "".join(f"  q{n}: [q{min(n + 1, 2999)}]\n" for n in range(3000))
    text = f"alphabet: 1\nstart: q0\naccepting: [q2999]\ntransitions:\n{rows}"
    with pytest.raises(InputError, match="3,000 states; 2,500 are the most"):
        get_language(write(tmp_path, text))


def test_an_automaton_without_a_class_is_refused(tmp_path: Path):
    text = "alphabet: 1\nstart: a\nclasses: {b: 0}\ntransitions: {a: [a], b: [b]}\n"
    with pytest.raises(InputError, match="no state that strings reach has a class"):
        get_language(write(tmp_path, text))


def test_a_file_that_is_missing_or_is_not_text_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="cannot read the automaton"):
        get_language(f"dfa:{tmp_path / 'none.yaml'}")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        get_language(f"dfa:{tmp_path / 'binary.yaml'}")
    (tmp_path / "large.yaml").write_bytes(b"#" * (5 << 20))
    with pytest.raises(InputError, match="4,194,304"):
        get_language(f"dfa:{tmp_path / 'large.yaml'}")
    for irregular in ("/dev/zero", tmp_path):
        with pytest.raises(InputError, match=str(irregular)):
            get_language(f"dfa:{irregular}")
