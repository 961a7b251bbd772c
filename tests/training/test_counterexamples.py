"""Strings on which a rounded unit is wrong: how they are found, how a batch takes them in, what comes of it."""

import numpy as np
import pytest
import torch
from trainers_for_tests import regular, strings, trainer

from lengthwise.certificates.counterexamples import Counterexamples, CounterexamplesConfig
from lengthwise.certificates.differences import find_differences
from lengthwise.certificates.methods import certify_rounded, soft_automaton
from lengthwise.errors import InputError
from lengthwise.models.tree.ldru import LDRU, LDRUConfig
from lengthwise.tasks import get_language
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.language import Language
from lengthwise.training.loop import Trainer

NAMES = ["parity", "dyck_3", "modular_arithmetic", "prefix_2_2"]


def unit_of(task: Language, seed: int = 0, heads: int = 2) -> LDRU:
    """A unit of random automata of six states, side by side."""
    torch.manual_seed(seed)
    operator = {"name": "stochastic", "heads": heads, "gumbel": 1.0}
    settings = {"width": 36 * heads, "operator": operator, "level": "plain"}
    return LDRUConfig.model_validate(settings).build(task.vocabulary, task.classes)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_differences_are_wrong_at_their_end_and_the_shortest_is_among_them(name: str, seed: int) -> None:
    task = get_language(name)
    unit = soft_automaton(unit_of(task, seed))
    found = find_differences(unit, task.automaton, 40, np.random.default_rng(0))
    difference = unit.product(task.automaton).difference
    machine = unit.product(task.automaton).automaton
    for word in found:
        answers, truth = (one.label_prefixes(np.array([word]))[0] for one in (machine, task.automaton))
        wrong = (truth != IGNORE) & (answers != truth)
        assert wrong.tolist() == [False] * (len(word) - 1) + [True]
    assert difference is not None
    assert min(map(len, found)) == len(difference.symbols)


def test_differences_keep_to_their_limits() -> None:
    task = get_language("dyck_3")
    unit = soft_automaton(unit_of(task))
    rng = np.random.default_rng(0)
    every = find_differences(unit, task.automaton, 40, rng)
    assert len(set(every)) == len(every) > 3
    assert len(find_differences(unit, task.automaton, 40, rng, limit=3)) == 3
    assert not find_differences(unit, task.automaton, min(map(len, every)) - 1, rng)


def test_a_unit_that_is_right_has_no_difference() -> None:
    task = get_language("parity")
    unit = unit_of(task)
    with torch.no_grad():
        moves = torch.eye(6).repeat(2, 2, 1, 1)
        moves[1] = moves[1].roll(1, -1)
        unit.encoder.embedding.weight.copy_(moves.flatten(1))
        unit.classifier.weight.zero_()
        unit.classifier.weight[1, 1:6:2] = 2.0
        unit.classifier.bias.copy_(torch.tensor([1.0, 0.0]))
    assert certify_rounded(unit.eval(), task).verdict != "wrong"
    assert find_differences(soft_automaton(unit), task.automaton, 40, np.random.default_rng(0)) == []


def test_rows_begin_with_counterexamples_and_go_on_as_they_were() -> None:
    task = regular("dyck_3", 12)
    config = CounterexamplesConfig(share=0.5, start=0.0, every=1)
    found = Counterexamples(unit_of(task.definition), task, config)
    rng = np.random.default_rng(0)
    batch = strings(task, 12, 40)
    mixed = found.mix(batch, 0, 0.5, rng)
    known = [tuple(row[row >= 0].tolist()) for row in found.strings_PL]
    changed = 0
    for before, after in zip(batch.inputs, mixed.inputs, strict=True):
        changed += (before != after).any()
        assert (before == after).all() or any(
            tuple(after[: len(word)]) == word and (before[len(word) :] == after[len(word) :]).all() for word in known
        )
    assert 5 < changed <= 20
    assert (mixed.targets[:, -1] == task.automaton.label(mixed.inputs)).all()
    assert mixed.asked.sum() == 40


def test_nothing_is_looked_for_before_its_time() -> None:
    task = regular("dyck_3", 12)
    found = Counterexamples(unit_of(task.definition), task, CounterexamplesConfig(start=0.5, every=10))
    rng = np.random.default_rng(0)
    batch = strings(task, 12, 4)
    assert found.mix(batch, 10, 0.4, rng) is batch
    assert found.mix(batch, 11, 0.6, rng) is batch
    assert found.mix(batch, 20, 0.6, rng) is not batch


def counterexample_trainer(name: str, steps: int, seed: int, heads: int = 2) -> Trainer:
    task = regular(name, 40)
    objective = {"name": "counterexamples", "start": 0.2, "every": 10}
    optimiser = {"learning_rate": 0.03, "warm_up": 0.1, "centralise": False}
    unit = unit_of(task.definition, heads=heads)
    return trainer(unit, task, objective, seed=seed, steps=steps, batch_size=64, optimiser=optimiser)


@pytest.mark.slow
def test_training_with_counterexamples_ends_in_a_unit_that_is_right_once_rounded() -> None:
    made = counterexample_trainer("tomita_4", 400, seed=0, heads=3)
    while not made.finished:
        made.train_step()
    assert certify_rounded(made.model.eval(), get_language("tomita_4")).verdict == "every_length"


@pytest.mark.slow
def test_a_resumed_run_remembers_its_counterexamples() -> None:
    whole, first, second = (counterexample_trainer("dyck_3", 60, seed=1) for _ in range(3))
    losses = [whole.train_step()["loss"] for _ in range(60)]
    for _ in range(33):
        first.train_step()
    second.restore(*first.state())
    assert isinstance(second.objective, Counterexamples)
    assert len(second.objective.strings_PL)
    assert [second.train_step()["loss"] for _ in range(27)] == losses[33:]


def test_a_unit_without_an_automaton_inside_is_refused() -> None:
    unit = LDRUConfig.model_validate({"operator": {"name": "mlp"}, "width": 12, "readout": "prefixes"}).build(2, 2)
    with pytest.raises(InputError, match="only the operator 'stochastic' is proved"):
        trainer(unit, regular("dyck_2"), {"name": "counterexamples"})
