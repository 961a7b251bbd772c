from itertools import product

import numpy as np
import pytest
from automata.fa.dfa import DFA
from hypothesis import given, settings
from hypothesis import strategies as st

from lengthwise.certificates.product import Product, compare, meetings, same
from lengthwise.errors import InputError
from lengthwise.tasks import LANGUAGES, get_language
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.automaton import Automaton


@st.composite
def automata(draw: st.DrawFn, classes: int = 3, vocabulary: int = 2, least: int = 0) -> Automaton:
    states = draw(st.integers(1, 5))
    row = st.lists(st.integers(0, states - 1), min_size=vocabulary, max_size=vocabulary)
    transitions = draw(st.lists(row, min_size=states, max_size=states))
    outputs = draw(st.lists(st.integers(least, classes - 1), min_size=states, max_size=states))
    return Automaton(np.array(transitions), draw(st.integers(0, states - 1)), np.array(outputs))


def first_difference(extracted: Automaton, task: Automaton, longest: int) -> tuple[int, ...] | None:
    for length in range(1, longest + 1):
        for string in product(range(task.vocabulary), repeat=length):
            truth = task.label(np.array([string]))[0]
            if truth != IGNORE and extracted.label(np.array([string]))[0] != truth:
                return string
    return None


@settings(max_examples=60)
@given(automata(), automata(least=IGNORE))
def test_finds_the_first_string_that_brute_force_finds(extracted: Automaton, task: Automaton) -> None:
    found = compare(extracted, task)
    brute = first_difference(extracted, task, 6)
    if found is None:
        assert brute is None
    elif len(found.symbols) <= 6:
        assert tuple(found.symbols) == brute
        assert found.answer == extracted.label(np.array([found.symbols]))[0] == extracted.outputs_S[found.states[-1]]
        assert found.truth == task.label(np.array([found.symbols]))[0] != found.answer
        assert found.states[0] == extracted.start
    else:
        assert brute is None


@settings(max_examples=60)
@given(automata(classes=2), automata(classes=2))
def test_agrees_with_automata_lib_on_two_classes(one: Automaton, other: Automaton) -> None:
    def nonempty(automaton: Automaton) -> DFA:
        end = automaton.states
        rows = [*automaton.transitions_SA.tolist(), automaton.transitions_SA[automaton.start].tolist()]
        return DFA(
            states=set(range(end + 1)),
            input_symbols={"0", "1"},
            transitions={state: {"0": row[0], "1": row[1]} for state, row in enumerate(rows)},
            initial_state=end,
            final_states={state for state in range(end) if automaton.outputs_S[state] == 1},
        )

    assert (compare(one, other) is None) == (nonempty(one) == nonempty(other))


@settings(max_examples=60)
@given(automata(least=IGNORE), st.randoms(use_true_random=False))
def test_copies_with_states_renamed_and_doubled_are_equal(task: Automaton, random: object) -> None:
    twice = np.arange(2 * task.states)
    random.shuffle(twice)  # type: ignore[attr-defined]
    place = np.argsort(twice)
    # Copy 0 leads to copy 1 and back, so that both are reached.
    rows = [[place[2 * target + 1 - old % 2] for target in task.transitions_SA[old // 2]] for old in twice]
    outputs = task.outputs_S[twice // 2]
    copy = Automaton(np.array(rows), int(place[2 * task.start]), outputs)
    assert compare(copy, task) is None
    assert same(Product.of(copy, task).automaton.minimal(), task.minimal())


@pytest.mark.parametrize("name", [*LANGUAGES])
def test_a_wrong_class_anywhere_is_found(name: str) -> None:
    task = get_language(name).automaton.minimal()
    assert compare(task, task) is None
    reached = {target for target in task.transitions_SA.flatten().tolist() if task.outputs_S[target] != IGNORE}
    for state in sorted(reached)[:12]:
        outputs = task.outputs_S.copy()
        outputs[state] = (outputs[state] + 1) % task.classes
        assert compare(Automaton(task.transitions_SA, task.start, outputs), task) is not None


def test_the_empty_string_does_not_count() -> None:
    parity = get_language("tomita_6").automaton
    other_start = Automaton(
        np.vstack([parity.transitions_SA, parity.transitions_SA[parity.start]]),
        parity.states,
        np.append(parity.outputs_S, 7),
    )
    assert compare(other_start, parity) is None


def test_only_strings_that_can_count_are_walked() -> None:
    task = Automaton(np.array([[1, 2], [1, 1], [2, 2]]), 0, np.array([IGNORE, 1, IGNORE]))
    edges, labelled = meetings(Product.of(task, task))
    assert edges.tolist() == [[0, 0, 1], [1, 0, 1], [1, 1, 1]]
    assert labelled.tolist() == [[1, 1]]


def test_alphabets_must_agree() -> None:
    with pytest.raises(InputError, match="3 symbols cannot solve a task over 2"):
        compare(get_language("cycle_navigation").automaton, get_language("parity").automaton)


def test_a_wrong_class_is_found_before_the_states_that_follow_are_visited() -> None:
    parity = get_language("parity").automaton
    product = Product(0, lambda state: (2 * state + 1, 2 * state + 2), lambda state: 0, parity, limit=10)
    assert product.difference is not None
    assert product.difference.symbols == [1]
    with pytest.raises(InputError, match="more than 10 states"):
        _ = product.automaton
    right = Product((0, 0), lambda at: ((at[0] + 1, at[1]), (at[0] + 1, 1 - at[1])), lambda at: at[1], parity, limit=10)
    with pytest.raises(InputError, match=r"more than 10 states: .* the last ones with"):
        _ = right.difference
    with pytest.raises(ValueError, match="not all visited"):
        product.walk()


@pytest.mark.parametrize("limit", [7, 10, 14])
def test_a_wrong_class_among_the_states_found_when_there_are_too_many_is_the_shortest(limit: int) -> None:
    # States are the strings themselves, so that the limit is met in the middle of a length; two answers are wrong.
    parity = get_language("parity").automaton
    wrong = {(1, 0), (0, 1, 1), (1, 1, 0)}

    def longer(string: tuple[int, ...]) -> list[tuple[int, ...]]:
        return [(*string, 0), (*string, 1)]

    product = Product((), longer, lambda string: sum(string) % 2 ^ (string in wrong), parity, limit)
    assert product.difference is not None
    assert product.difference.symbols == [1, 0]
    for _ in range(2):
        with pytest.raises(InputError, match=f"more than {limit} states"):
            _ = product.automaton
    right = Product((), longer, lambda string: sum(string) % 2, parity, limit)
    for _ in range(2):
        with pytest.raises(InputError, match=f"more than {limit} states"):
            _ = right.difference


@settings(max_examples=40)
@given(automata(), automata(least=IGNORE))
def test_states_are_numbered_by_the_shortest_strings_that_lead_to_them(automaton: Automaton, task: Automaton) -> None:
    walked = Product.of(automaton, task).automaton
    assert same(
        walked,
        Automaton.explore(
            automaton.start,
            lambda state, symbol: int(automaton.transitions_SA[state, symbol]),
            lambda state: int(automaton.outputs_S[state]),
            automaton.vocabulary,
        ),
    )
