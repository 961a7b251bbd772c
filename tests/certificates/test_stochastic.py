from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lengthwise.certificates import leakage
from lengthwise.certificates.cells import singletons
from lengthwise.certificates.leakage import LeakageBound
from lengthwise.certificates.methods import certify_raw, certify_rounded, soft_automaton
from lengthwise.certificates.product import Product
from lengthwise.certificates.rounding import certify_stochastic, search_leaking
from lengthwise.certificates.stochastic import SoftAutomaton
from lengthwise.errors import InputError
from lengthwise.models.tree.ldru import LDRU, LDRUConfig
from lengthwise.models.tree.operators import MLPOperatorConfig
from lengthwise.models.tree.stochastic import StochasticOperatorConfig
from lengthwise.tasks import get_language
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.automaton import Automaton

NAMES = ("parity", "cycle_navigation", "modular_arithmetic", "tomita_7", "dyck_3", "prefix_2_2")


def exact_unit(name: str, gap: float, readout: str = "start") -> LDRU:
    """A unit whose rounded leaves are the minimal automaton of a task, with the largest logit ahead by a gap."""
    task = get_language(name)
    machine = task.automaton.minimal()
    size = machine.states
    operator = StochasticOperatorConfig(readout=readout, sharpness=(1.0, 1.0))
    unit = LDRUConfig(width=size * size, operator=operator, level="plain").build(task.vocabulary, task.classes)
    order = np.argsort(np.arange(size) != machine.start, kind="stable")
    place = np.argsort(order)
    leaves = np.zeros((task.vocabulary, size, size))
    for symbol, row in product(range(task.vocabulary), range(size)):
        leaves[symbol, row, place[machine.transitions_SA[order[row], symbol]]] = gap
    classes = np.eye(task.classes)[:, np.maximum(machine.outputs_S[order], 0)] * 4.0
    weight = np.zeros((task.classes, size if readout == "start" else size * size))
    weight[:, :size] = classes
    with torch.no_grad():
        unit.encoder.embedding.weight.copy_(torch.from_numpy(leaves.reshape(task.vocabulary, -1)))
        unit.classifier.weight.copy_(torch.from_numpy(weight))
        unit.classifier.bias.zero_()
    return unit.eval()


def rounded(unit: SoftAutomaton) -> Product[tuple[int, ...]]:
    """The automaton of a unit with rounded rows, walked beside a task that asks nothing."""
    vocabulary = len(unit.logits_VHKK)
    return unit.product(Automaton(np.zeros((1, vocabulary), int), 0, np.array([IGNORE])))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("readout", ["start", "all"])
def test_leaves_that_are_an_automaton_are_proved_at_every_length(name: str, readout: str) -> None:
    unit = exact_unit(name, 8.0, readout)
    unit.join.operator.rounded.fill_(True)
    found = certify_raw(unit, get_language(name))
    assert (found.verdict, found.method) == ("every_length", "raw")
    assert found.elements() == get_language(name).automaton.minimal().transition_monoid().size
    assert certify_rounded(exact_unit(name, 1.0, readout), get_language(name)).verdict == "every_length"


@pytest.mark.parametrize("name", NAMES)
def test_saturated_rows_are_exact_and_leaking_rows_are_bounded(name: str) -> None:
    task = get_language(name)
    assert certify_raw(exact_unit(name, 120.0), task).verdict == "every_length"
    leaking = certify_raw(exact_unit(name, 12.0), task)
    assert leaking.verdict == "up_to_length"
    assert leaking.length is not None
    assert 100 < leaking.length <= leaking.margins["exact_length"]


def test_one_wrong_row_is_wrong_on_the_shortest_string() -> None:
    unit = exact_unit("dyck_3", 8.0)
    task = get_language("dyck_3")
    rows = unit.encoder.embedding.weight.data.view(2, 6, 6)
    # The state after 000 is given the rows of the state after 00.
    states = rounded(soft_automaton(unit))
    deep, middle = (states.found[states.automaton.run(np.array([word]))[0]][0] for word in ([0, 0, 0], [0, 0]))
    rows[0, deep] = rows[0, middle]
    found = certify_rounded(unit, task)
    assert found.verdict == "wrong"
    assert found.counterexample is not None
    machine = rounded(soft_automaton(unit)).automaton
    wrong = [
        string
        for length in range(1, 10)
        for string in product(range(2), repeat=length)
        if machine.label(np.array([string])) != task.label(np.array([string]))
    ]
    assert tuple(found.counterexample.symbols) == wrong[0]
    assert certify_raw(unit, task).verdict == "not_proved"


def test_rows_that_no_string_visits_are_free() -> None:
    unit = exact_unit("dyck_2", 20.0)
    task = get_language("dyck_2")
    before = certify_raw(unit, task)
    operator = StochasticOperatorConfig(sharpness=(1.0, 1.0))
    wider = LDRUConfig(width=49, operator=operator, level="plain").build(2, 2)
    with torch.no_grad():
        rows = torch.full((2, 7, 7), 0.0)
        rows[:, :5, :5] = unit.encoder.embedding.weight.view(2, 5, 5)
        rows[:, :5, 5:] = -30.0
        wider.encoder.embedding.weight.copy_(rows.reshape(2, -1))
        wider.classifier.weight.zero_()
        wider.classifier.weight[:, :5] = unit.classifier.weight
        wider.classifier.bias.zero_()
    after = certify_raw(wider.eval(), task)
    assert after.verdict == before.verdict == "up_to_length"
    assert after.length is not None
    assert after.length > 10_000


@st.composite
def soft_units(draw: st.DrawFn) -> tuple[SoftAutomaton, Automaton]:
    """A unit with random leaks, and the task that its rounded rows solve, on some of its strings."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    heads, size, classes = draw(st.integers(1, 2)), draw(st.integers(2, 4)), draw(st.integers(2, 3))
    moves = rng.integers(size, size=(2, heads, size))
    logits = rng.normal(size=(2, heads, size, size)) * draw(st.sampled_from([0.3, 1.0, 3.0]))
    logits += draw(st.sampled_from([3.0, 6.0, 9.0])) * (moves[..., None] == np.arange(size))
    every = draw(st.booleans())
    seen = [(head, row) for head in range(heads) for row in (range(size) if every else range(1))]
    weight = rng.normal(size=(classes, len(seen), size)) * 3.0
    unit = SoftAutomaton(logits, False, *np.array(seen).T, weight, rng.normal(size=classes) * 0.1)
    machine = rounded(unit).automaton
    outputs = machine.outputs_S.copy()
    outputs[rng.random(machine.states) < 0.2] = IGNORE
    assume((outputs >= 0).any())
    return unit, Automaton(machine.transitions_SA, machine.start, outputs)


@pytest.mark.slow
@settings(max_examples=20)
@given(soft_units(), st.integers(0, 2**32 - 1))
def test_no_answer_changes_up_to_the_bound(pair: tuple[SoftAutomaton, Automaton], seed: int) -> None:
    unit, task = pair
    cells = LeakageBound(unit, singletons(unit, unit.product(task)))
    found = certify_stochastic(unit, task)
    longest = max(cells.longest(floating=False), int(found.margins.get("exact_length", 0)), found.length or 0)
    rng = np.random.default_rng(seed)
    strings = [list(string) for string in product(range(2), repeat=min(longest, 6))]
    strings += [rng.integers(2, size=min(longest, 200)).tolist() for _ in range(4)]
    strings += [[0] * min(longest, 200), [1] * min(longest, 200), cells.leakiest(min(longest, 200))]
    for string in filter(None, strings):
        truths = task.label_prefixes(np.array([string]))[0]
        wrong = (truths != IGNORE) & (unit.answers(string) != truths)
        assert not wrong.any(), (longest, string)


@settings(max_examples=12)
@given(soft_units())
def test_a_wrong_answer_that_is_found_lies_beyond_the_bound(pair: tuple[SoftAutomaton, Automaton]) -> None:
    unit, task = pair
    example = search_leaking(unit, task, LeakageBound(unit, singletons(unit, unit.product(task))), 400)
    if example is not None:
        assert len(example.symbols) > (certify_stochastic(unit, task).length or 0)
        assert unit.answers(example.symbols)[-1] == example.answer != example.truth
        assert task.label(np.array([example.symbols]))[0] == example.truth


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["start", "all"]), st.integers(1, 2), st.booleans())
def test_the_unit_read_from_tensors_computes_what_the_model_does(
    seed: int, readout: str, heads: int, rounds: bool
) -> None:
    torch.manual_seed(seed)
    operator = StochasticOperatorConfig(heads=heads, readout=readout, sharpness=(2.0, 9.0))
    model = LDRUConfig(width=9 * heads, operator=operator, level="plain").build(3, 4).double().eval()
    model.join.operator.rounded.fill_(rounds)
    tokens = torch.randint(3, (1, 23))
    expected = torch.cat([model(tokens[:, :end]).logits for end in range(1, 24)]).argmax(-1)
    unit = soft_automaton(model)
    assert unit.answers(tokens[0].tolist()).tolist() == expected.tolist()
    hard = replace(unit, rounds=True)
    assert (
        hard.answers(tokens[0].tolist()).tolist() == rounded(unit).automaton.label_prefixes(tokens.numpy())[0].tolist()
    )


def test_float32_units_keep_their_answers_up_to_the_bound() -> None:
    unit, task = exact_unit("cycle_navigation", 5.0), get_language("cycle_navigation")
    length = certify_raw(unit, task).length
    assert length is not None
    assert length > 10
    rng = np.random.default_rng(0)
    batch = task.sample(rng, 256, length)
    assert (unit.string_logits(torch.from_numpy(batch.tokens)).argmax(-1).numpy() == batch.targets).all()


def test_units_that_are_no_products_of_row_stochastic_matrices_are_refused() -> None:
    task = get_language("parity")
    with pytest.raises(InputError, match="not 'mlp'"):
        certify_rounded(LDRUConfig(width=16, operator=MLPOperatorConfig()).build(2, 2), task)
    operator = StochasticOperatorConfig()
    with pytest.raises(InputError, match="only 'plain' is proved as it is or rounded, --method snapped"):
        certify_rounded(LDRUConfig(width=16, operator=operator).build(2, 2), task)
    with pytest.raises(InputError, match="only 'carry' can be proved"):
        certify_rounded(LDRUConfig(width=16, operator=operator, level="plain", odd="pad").build(2, 2), task)
    with pytest.raises(
        InputError, match=r"more than 2 states: .* strings of \d+ symbols, the last ones with .*--states"
    ):
        certify_stochastic(soft_automaton(exact_unit("dyck_3", 8.0)), task.automaton, "rounded", limit=2)


def test_a_tie_that_float32_cannot_decide_is_not_proved() -> None:
    unit = exact_unit("parity", 1e-7)
    unit.join.operator.rounded.fill_(True)
    found = certify_raw(unit, get_language("parity"))
    assert found.verdict == "not_proved"
    assert "within the error of float32" in found.statement


def test_a_checkpoint_with_a_value_that_is_not_a_number_is_refused_by_name() -> None:
    unit = exact_unit("parity", 200.0)
    with torch.no_grad():
        unit.classifier.bias[1] = float("nan")
    with pytest.raises(InputError, match=r"'classifier.bias' of the checkpoint holds values that are not finite"):
        soft_automaton(unit)


def test_a_unit_that_is_wrong_early_is_shown_wrong_however_many_states_it_has() -> None:
    unit, task = soft_automaton(exact_unit("dyck_3", 8.0)), get_language("dyck_3").automaton
    other = Automaton(task.transitions_SA, task.start, 1 - task.outputs_S)
    found = certify_stochastic(unit, other, "rounded", limit=3)
    assert found.verdict == "wrong"
    assert found.extracted is None
    assert found.counterexample is not None
    assert found.counterexample.symbols == [0]
    with pytest.raises(InputError, match="more than 3 states"):
        certify_stochastic(unit, task, "rounded", limit=3)


@pytest.mark.parametrize("name", ["cycle_navigation", "dyck_3"])
def test_where_paths_would_be_too_many_every_symbol_counts_as_the_leakiest(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit, task = soft_automaton(exact_unit(name, 9.0)), get_language(name).automaton
    product = unit.product(task)
    along = LeakageBound(unit, singletons(unit, product))
    monkeypatch.setattr(leakage, "PATHS_LIMIT", 1)
    coarse = LeakageBound(unit, along.cells)
    for floating in (True, False):
        length = coarse.longest(floating)
        assert 0 < length <= along.longest(floating)
