import numpy as np
import pytest
from automata.fa.dfa import DFA
from hypothesis import given, settings
from hypothesis import strategies as st

from lengthwise.errors import InputError
from lengthwise.tasks.base import IGNORE, Ints
from lengthwise.tasks.regular.automaton import Automaton


@st.composite
def automata(draw: st.DrawFn, vocabulary: int | None = None, largest_class: int = 2) -> Automaton:
    symbols = vocabulary or draw(st.integers(1, 3))
    states = draw(st.integers(1, 7))
    state = st.integers(0, states - 1)
    transitions = draw(st.lists(st.lists(state, min_size=symbols, max_size=symbols), min_size=states, max_size=states))
    low = IGNORE if largest_class > 1 else 0
    outputs = draw(st.lists(st.integers(low, largest_class), min_size=states, max_size=states))
    return Automaton(np.array(transitions), draw(state), np.array(outputs))


def walk(automaton: Automaton, symbols: list[int]) -> list[int]:
    """The states after each symbol, one step at a time."""
    states, state = [], automaton.start
    for symbol in symbols:
        state = int(automaton.transitions_SA[state, symbol])
        states.append(state)
    return states


def acceptor(automaton: Automaton) -> DFA:
    return DFA(
        states=set(range(automaton.states)),
        input_symbols={"0", "1"},
        transitions={s: {"0": row[0], "1": row[1]} for s, row in enumerate(automaton.transitions_SA.tolist())},
        initial_state=automaton.start,
        final_states={s for s in range(automaton.states) if automaton.outputs_S[s] == 1},
    )


def strings(automaton: Automaton, rows: int, length: int, seed: int) -> Ints:
    return np.random.default_rng(seed).integers(automaton.vocabulary, size=(rows, length))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(automata(), st.integers(0, 40), st.integers(0, 1000))
def test_running_by_words_is_running_by_symbols(automaton: Automaton, length: int, seed: int):
    tokens = strings(automaton, 3, length, seed)
    walked = [walk(automaton, row) for row in tokens.tolist()]
    assert automaton.trace(tokens).tolist() == walked
    assert automaton.run(tokens).tolist() == [row[-1] if row else automaton.start for row in walked]
    cut = length // 3
    assert (automaton.run(tokens[:, cut:], automaton.run(tokens[:, :cut])) == automaton.run(tokens)).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(automata(vocabulary=2, largest_class=1))
def test_minimal_automata_agree_with_an_independent_minimisation(automaton: Automaton):
    minimal = automaton.minimal()
    assert acceptor(minimal) == acceptor(automaton)
    assert minimal.states == len(acceptor(automaton).minify().states)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(automata(), st.permutations(range(7)), st.integers(0, 6))
def test_minimal_automata_do_not_depend_on_numbering_or_spare_states(
    automaton: Automaton, numbering: list[int], copied: int
):
    states = automaton.states
    order = np.array([number for number in numbering if number < states])
    renumbered = np.empty_like(automaton.transitions_SA)
    renumbered[order] = order[automaton.transitions_SA]
    outputs = np.empty_like(automaton.outputs_S)
    outputs[order] = automaton.outputs_S
    twin = copied % states
    enlarged = Automaton(
        np.vstack([renumbered, renumbered[twin]]),
        int(order[automaton.start]),
        np.append(outputs, outputs[twin]),
    )
    ours, theirs = automaton.minimal(), enlarged.minimal()
    assert (ours.transitions_SA == theirs.transitions_SA).all()
    assert (ours.outputs_S == theirs.outputs_S).all()
    assert (ours.start, theirs.start) == (0, 0)
    assert automaton.equivalent(enlarged)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(automata(vocabulary=2, largest_class=1), automata(vocabulary=2, largest_class=1))
def test_shortest_differences_agree_with_an_independent_product(left: Automaton, right: Automaton):
    difference = left.shortest_difference(right)
    oracle = acceptor(left).symmetric_difference(acceptor(right))
    if difference is None:
        assert oracle.isempty()
        assert left.equivalent(right)
        return
    tokens = np.array([difference], dtype=np.int64)
    assert left.label(tokens) != right.label(tokens)
    assert len(difference) == oracle.minimum_word_length()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(automata())
def test_monoids_hold_every_string_once_and_multiply_like_strings(automaton: Automaton):
    try:
        monoid = automaton.transition_monoid(limit=300)
    except InputError:
        return
    assert (monoid.elements_MS[0] == np.arange(automaton.states)).all()
    assert len(np.unique(monoid.elements_MS, axis=0)) == monoid.size
    assert (automaton.transitions_SA == monoid.elements_MS[monoid.generators].T).all()
    rng = np.random.default_rng(0)
    for left, right in rng.integers(monoid.size, size=(20, 2)):
        performed = monoid.elements_MS[right][monoid.elements_MS[left]]
        assert (monoid.elements_MS[monoid.product[left, right]] == performed).all()
        word = np.array([monoid.word(int(left))], dtype=np.int64)
        every = np.arange(automaton.states)
        assert (automaton.run(word.repeat(automaton.states, axis=0), every) == monoid.elements_MS[left]).all()


def test_a_monoid_beyond_the_limit_is_refused():
    symmetric = Automaton(np.array([[1, 1], [2, 0], [3, 2], [4, 3], [0, 4]]), 0, np.arange(5))
    assert symmetric.transition_monoid().size == 120
    with pytest.raises(InputError, match="more than 119 elements"):
        symmetric.transition_monoid(limit=119)


@pytest.mark.slow
def test_a_million_symbols_end_where_one_step_at_a_time_ends():
    automaton = Automaton(np.array([[1, 2], [0, 2], [2, 1]]), 0, np.array([0, 1, 0]))
    tokens = strings(automaton, 1, 1_000_003, 5)
    states = automaton.trace(tokens)[0]
    assert states.tolist() == walk(automaton, tokens[0].tolist())
    assert automaton.run(tokens)[0] == states[-1]


def test_automata_cannot_be_changed_after_they_were_made():
    table = np.array([[0, 1], [1, 0]])
    automaton = Automaton(table, 0, np.array([0, 1]))
    table[:] = 0
    assert automaton.label(np.array([[1, 1, 1]])).tolist() == [1]
    with pytest.raises(ValueError, match="read-only"):
        automaton.transitions_SA[0, 0] = 1


@pytest.mark.parametrize(
    ("transitions", "start", "outputs", "message"),
    [
        ([[0, 2], [1, 0]], 0, [0, 1], "outside the states 0 to 1"),
        ([[0, 1], [1, 0]], 2, [0, 1], "the start 2"),
        ([[0, 1], [1, 0]], 0, [0], "2 states need 2 classes"),
        ([[0, 1], [1, 0]], 0, [0, -2], "at least 0"),
        ([0, 1], 0, [0, 1], "states by symbols"),
    ],
)
def test_impossible_automata_are_refused(transitions: list[list[int]], start: int, outputs: list[int], message: str):
    with pytest.raises(InputError, match=message):
        Automaton(np.array(transitions), start, np.array(outputs))


def test_symbols_outside_the_alphabet_are_named():
    parity = Automaton(np.array([[0, 1], [1, 0]]), 0, np.array([0, 1]))
    with pytest.raises(InputError, match="symbol 3 at position 2 of string 1"):
        parity.label(np.array([[0, 1, 1], [0, 1, 3]]))
    with pytest.raises(InputError, match="rows of symbols"):
        parity.label(np.array([0, 1]))
    with pytest.raises(InputError, match="2 and 3 symbols"):
        parity.equivalent(Automaton(np.array([[0, 0, 0]]), 0, np.array([0])))


def test_endless_rules_stop_at_the_limit():
    with pytest.raises(InputError, match="more than 50 states"):
        Automaton.explore(0, lambda state, symbol: state + symbol, lambda state: 0, 2, limit=50)


def test_a_chain_of_many_states_is_merged_in_time():
    following = np.minimum(np.arange(1, 6001), 5999)
    chain = Automaton(np.column_stack([following, following]), 0, np.arange(6000) == 5000)
    assert chain.minimal().states == 5002


@pytest.mark.parametrize("seed", range(30))
def test_states_are_merged_when_no_string_tells_them_apart(seed: int):
    rng = np.random.default_rng(seed)
    automaton = Automaton(rng.integers(8, size=(8, 2)), 0, rng.integers(-1, 2, size=8))
    minimal = automaton.minimal()
    assert automaton.equivalent(minimal)
    pairs = [(one, other) for one in range(minimal.states) for other in range(one)]
    assert all(
        not Automaton(minimal.transitions_SA, one, minimal.outputs_S).equivalent(
            Automaton(minimal.transitions_SA, other, minimal.outputs_S)
        )
        for one, other in pairs
    )
