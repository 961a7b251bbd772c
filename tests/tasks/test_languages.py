import doctest
from importlib import import_module

import numpy as np
import pytest
from automata.fa.dfa import DFA
from automata.fa.nfa import NFA
from language_rules import EXPRESSION_RULES, RULES, all_expressions, all_texts, to_text, to_tokens

from lengthwise.errors import InputError
from lengthwise.tasks import LANGUAGES, TASKS, get_language, get_task
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.automaton import Automaton
from lengthwise.tasks.regular.languages import (
    build_modular_arithmetic,
    build_tomita,
)

LONGEST = {2: 12, 3: 12, 4: 8, 8: 6}
MONOID_SIZES = {
    "parity": 2,
    "cycle_navigation": 5,
    "tomita_3": 26,
    "tomita_4": 12,
    "tomita_5": 4,
    "tomita_6": 3,
    "tomita_7": 9,
    "dyck_2": 15,
    "dyck_3": 31,
    "dyck_4": 56,
    "dyck_6": 141,
    "dyck_8": 286,
    "dyck_12": 820,
}


def expected(name: str, texts: list[str]) -> list[int]:
    labels = [RULES[name](text) for text in texts]
    return [IGNORE if label is None else label for label in labels]


def as_acceptor(automaton: Automaton) -> DFA:
    return DFA(
        states=set(range(automaton.states)),
        input_symbols={str(symbol) for symbol in range(automaton.vocabulary)},
        transitions={
            state: {str(symbol): successor for symbol, successor in enumerate(row)}
            for state, row in enumerate(automaton.transitions_SA.tolist())
        },
        initial_state=automaton.start,
        final_states=set(np.flatnonzero(automaton.outputs_S == 1).tolist()),
    )


def test_every_language_is_registered_and_has_an_independent_rule():
    assert set(LANGUAGES) == set(RULES)
    assert len(list(LANGUAGES)) == 24


@pytest.mark.parametrize("name", list(LANGUAGES))
def test_labels_agree_with_the_rule_on_all_short_strings(name: str):
    language = get_language(name)
    for length in range(LONGEST[language.vocabulary] + 1):
        texts = all_texts(language.vocabulary, length)
        assert language.label(to_tokens(texts)).tolist() == expected(name, texts)


@pytest.mark.parametrize("name", list(EXPRESSION_RULES))
def test_arithmetic_agrees_with_the_rule_on_all_expressions_of_five_numbers(name: str):
    rule, language = EXPRESSION_RULES[name], get_language(name)
    for numbers in range(1, 6):
        tokens = all_expressions(numbers)
        assert len(tokens) == 5**numbers * 3 ** (numbers - 1)
        assert (language.label(tokens) == rule(tokens)).all()


@pytest.mark.parametrize("name", list(EXPRESSION_RULES))
def test_the_rule_for_many_expressions_is_that_for_one(name: str):
    tokens = all_expressions(3)
    assert EXPRESSION_RULES[name](tokens).tolist() == expected(name, [to_text(one) for one in tokens])


@pytest.mark.parametrize("name", list(LANGUAGES))
def test_labels_of_prefixes_and_spans_are_those_of_the_strings_alone(name: str):
    language = get_language(name)
    tokens = language.sample(np.random.default_rng(0), 3, 37).tokens
    prefixes, spans = language.automaton.label_prefixes(tokens), language.automaton.label_spans(tokens)
    for start in range(tokens.shape[1]):
        assert (spans[:, start, : start + 1] == IGNORE).all()
        for end in range(start + 1, tokens.shape[1] + 1):
            assert (spans[:, start, end] == language.label(tokens[:, start:end])).all()
    assert (prefixes == spans[:, 0, 1:]).all()


@pytest.mark.parametrize("name", list(LANGUAGES))
def test_worked_examples_follow_the_rule(name: str):
    language = get_language(name)
    assert len(language.examples) == 2
    assert len({*language.examples.values()}) == 2
    for written, label in language.examples.items():
        tokens = [language.symbols.index(letter) for letter in written]
        assert RULES[name]("".join(map(str, tokens))) == label
        assert language.label(np.array([tokens], dtype=np.int64)).tolist() == [label]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(LANGUAGES))
def test_no_two_states_of_an_automaton_give_all_continuations_the_same_class(name: str):
    automaton = get_language(name).automaton
    longest = 14 if automaton.vocabulary == 2 else 4
    classes = [automaton.outputs_S[automaton.words(length)] for length in range(longest + 1)]
    assert len(np.unique(np.concatenate(classes, axis=1), axis=0)) == automaton.states


@pytest.mark.parametrize(
    ("number", "pattern"),
    [
        (1, "1*"),
        (2, "(10)*"),
        (3, "0*((11)+0+|1(11)*(00)+)*1*"),
        (4, "(1|01|001)*(0|00)?"),
        (5, "((00|11)|(01|10)(00|11)*(01|10))*"),
        (6, "(01|(1|00)(10)*(0|11))*"),
        (7, "0*1*0*1*"),
    ],
)
def test_tomita_languages_are_those_of_their_expressions(number: int, pattern: str):
    oracle = DFA.from_nfa(NFA.from_regex(pattern, input_symbols={"0", "1"}))
    automaton = build_tomita(number)
    assert as_acceptor(automaton) == oracle
    assert automaton.minimal().states == len(oracle.to_complete().minify().states)


@pytest.mark.parametrize(("name", "size"), MONOID_SIZES.items())
def test_transition_monoids_have_the_published_sizes(name: str, size: int):
    assert get_language(name).automaton.transition_monoid().size == size


def test_arithmetic_monoids_before_and_after_minimisation():
    # A state for each value and pending operation gives 522 maps; but (0, +) acts like (1, *) and (0, -) like
    # (4, *), so the minimal automaton, whose monoid is the syntactic one, has two states and four maps fewer.
    plain = build_modular_arithmetic()
    assert (plain.states, plain.transition_monoid().size) == (21, 522)
    assert (plain.minimal().states, plain.minimal().transition_monoid().size) == (19, 518)
    precedence = build_modular_arithmetic(precedence=True).minimal()
    assert (precedence.states, precedence.transition_monoid().size) == (51, 518)


def test_misspelt_names_are_answered_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'cycle_navigation'"):
        get_language("cycle_navigatoin")
    with pytest.raises(InputError, match="did you mean 'regex'"):
        get_language("regexp:0*")


def test_a_language_is_built_once():
    assert get_language("dyck_4") is get_language("dyck_4")


@pytest.mark.parametrize(
    "module", ["lengthwise.tasks", "lengthwise.tasks.regular.automaton", "lengthwise.tasks.regular.custom"]
)
def test_examples_in_docstrings_run(module: str):
    results = doctest.testmod(import_module(module))
    assert results.attempted > 0
    assert results.failed == 0


def test_a_task_that_is_no_language_is_not_one():
    assert "language_modelling" in TASKS
    with pytest.raises(InputError, match="unknown language 'language_modelling'"):
        get_language("language_modelling")
    assert not set(TASKS) & set(LANGUAGES)


@pytest.mark.parametrize("name", ["dyck_2", "tomita_5", "prefix_2_2", "modular_arithmetic", "regex:(ab)*", "regex:a*"])
def test_the_classes_at_a_length_are_those_that_its_strings_have(name: str):
    language = get_language(name)
    for length in range(8):
        counts = language.class_counts(length)
        assert language.classes_at(length) == [label for label, count in enumerate(counts) if count]
    assert language.classes_at(10_001) == language.classes_at(7)


def test_a_language_of_one_class_says_that_there_is_nothing_to_tell_apart():
    assert get_task("regex:[ab]*").notes()[0].endswith("has class 1: there is nothing to tell apart")
    assert not get_task("parity").notes()
