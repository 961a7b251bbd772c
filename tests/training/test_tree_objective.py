import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from trainers_for_tests import loss_of, regular, strings

from lengthwise.models import OPERATORS
from lengthwise.models.tree.ldru import LDRU, LDRUConfig
from lengthwise.models.tree.stochastic import StochasticOperatorConfig
from lengthwise.scans import balanced_rounds
from lengthwise.tasks import get_language
from lengthwise.tasks.base import IGNORE, Batch
from lengthwise.training.objectives.base import Loss
from lengthwise.training.objectives.tree import AssociativityConfig, associativity_penalty


def unit(language: str = "parity", operator: str = "mlp", **choices: object) -> LDRU:
    torch.manual_seed(0)
    task = regular(language)
    config = LDRUConfig(**{"width": 9, "operator": OPERATORS.load(operator)()} | choices)
    return config.build(task.inputs, task.outputs).double().train()


def batch_of(length: int, language: str = "parity", rows: int = 12) -> Batch:
    return strings(regular(language), length, rows)


def loss(model: LDRU, batch: Batch, language: str = "parity", progress: float = 0.5, **choices: object) -> Loss:
    """Return the loss of trees, of their roots alone unless a weight of the nodes is given."""
    return loss_of(model, regular(language), batch, "tree", progress, **{"node_weight": 0.0} | choices)


def gradients(model: LDRU, total: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(total, list(model.parameters()), materialize_grads=True))


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("bracketing", ["balanced", "shifted"])
@pytest.mark.parametrize("operator", ["mlp", "grc", "stochastic"])
def test_sharing_equal_subtrees_changes_neither_loss_nor_gradients(operator: str, bracketing: str) -> None:
    model = unit(operator=operator)
    for length in (1, 2, 7, 24):
        batch = batch_of(length)
        shared, dense = (loss(model, batch, bracketing=bracketing, share_subtrees=choice) for choice in (True, False))
        assert_close(shared.total, dense.total)
        assert shared.accuracy == dense.accuracy
        for one, other in zip(gradients(model, shared.total), gradients(model, dense.total), strict=True):
            assert_close(one, other)


def test_the_root_learns_the_label_of_the_string() -> None:
    model, batch = unit(), batch_of(13)
    found = loss(model, batch)
    logits = model(torch.from_numpy(batch.inputs)).logits
    assert_close(found.total, F.cross_entropy(logits, torch.from_numpy(batch.targets[:, -1])))
    assert found.accuracy == (logits.argmax(-1).numpy() == batch.targets[:, -1]).mean()


def test_every_prefix_learns_its_label() -> None:
    model, batch = unit("modular_arithmetic", readout="prefixes"), batch_of(9, "modular_arithmetic")
    found = loss_of(model, regular("modular_arithmetic"), batch, "prefixes")
    automaton = get_language("modular_arithmetic").automaton
    terms = []
    for length in range(1, 10):
        prefix = batch.inputs[:, :length]
        logits = model(torch.from_numpy(prefix)).logits[:, -1]
        labels = automaton.label(prefix)
        terms += [-torch.log_softmax(row, -1)[k] for row, k in zip(logits, labels, strict=True) if k != IGNORE]
    assert len(terms) == 12 * 5
    assert_close(found.total, torch.stack(terms).mean())


def level_losses(model: LDRU, task: str, batch: Batch, sizes: list[int]) -> list[Tensor]:
    """The mean loss of the distinct labelled blocks of each size, one string at a time."""
    automaton, losses = get_language(task).automaton, []
    for size in sizes:
        blocks = {tuple(row[at : at + size]) for row in batch.inputs for at in range(0, batch.inputs.shape[1], size)}
        terms = []
        for block in sorted(blocks):
            tokens = np.array([block])
            label = automaton.label(tokens)[0]
            if label != IGNORE:
                terms.append(-torch.log_softmax(model(torch.from_numpy(tokens)).logits[0], -1)[label])
        losses += [torch.stack(terms).mean()] if terms else []
    return losses


@pytest.mark.parametrize("task", ["parity", "dyck_2", "tomita_3"])
def test_every_distinct_node_learns_the_label_of_its_substring(task: str) -> None:
    model, batch = unit(task), batch_of(16, task)
    root = loss(model, batch, task).total
    nodes = torch.stack(level_losses(model, task, batch, [1, 2, 4, 8])).mean()
    assert_close(loss(model, batch, task, node_weight=1.0).total, root + nodes)
    assert_close(loss(model, batch, task, node_weight=0.3).total, root + 0.3 * nodes)


def test_nodes_whose_substring_has_no_class_are_left_out() -> None:
    task = "modular_arithmetic"
    model, batch = unit(task), batch_of(3, task, 40)
    root = loss(model, batch, task).total
    # After the lone third symbol was carried up, only the pairs are new: a digit and an operator, never a class.
    levels = level_losses(model, task, batch, [1])
    assert_close(loss(model, batch, task, node_weight=1.0).total, root + torch.stack(levels).mean())


def test_one_symbol_has_no_node_but_its_root() -> None:
    model, batch = unit(), batch_of(1)
    assert torch.equal(loss(model, batch, node_weight=1.0).total, loss(model, batch).total)


@pytest.mark.parametrize("bracketing", ["shifted", "random"])
def test_brackets_change_the_loss_of_an_operator_that_is_not_associative_only(bracketing: str) -> None:
    for operator, alike in (("mlp", False), ("stochastic", True), ("sum", True)):
        model, batch = unit(operator=operator, level="plain"), batch_of(21)
        drawn, balanced = (loss(model, batch, bracketing=kind).total.item() for kind in (bracketing, "balanced"))
        assert math.isclose(drawn, balanced, rel_tol=1e-11) == alike, operator


def penalty(operator: str, **choices: int) -> Tensor:
    model, batch = unit(operator=operator, level="plain"), batch_of(20)
    levels = model.nodes(torch.from_numpy(batch.inputs), balanced_rounds(20))
    config = AssociativityConfig(weight=1.0, **choices)
    return associativity_penalty(model, levels, config, torch.Generator().manual_seed(0))


def test_the_associativity_penalty_is_zero_for_associative_operators_only() -> None:
    for operator in OPERATORS:
        found = penalty(operator).item()
        if operator in ("stochastic", "sum"):
            assert 0 <= found < 1e-24, operator
        else:
            assert found > 1e-12, operator


def test_the_associativity_penalty_of_three_pieces_is_the_squared_associator() -> None:
    # Three pieces have two bracketings, so a pair of draws gives the associator or nothing.
    found = []
    for seed in range(40):
        model = unit(level="plain")
        levels = model.nodes(torch.tensor([[0]]), [])
        config = AssociativityConfig(weight=1.0, pieces=3, strings=2)
        generator = torch.Generator().manual_seed(seed)
        found.append(associativity_penalty(model, levels, config, generator).item())
    x = model.leaves(torch.tensor([[0]])).dense()[:, 0]
    associator = model.join(model.join(x, x), x) - model.join(x, model.join(x, x))
    expected = associator.square().mean().item()
    assert {round(value / expected, 6) for value in found} == {0.0, 1.0}
    assert 5 < sum(value > 0 for value in found) < 35


def test_the_associativity_penalty_counts_after_its_start_and_by_its_weight() -> None:
    model, batch = unit(), batch_of(12)
    plain = loss(model, batch).total
    values = [
        loss(model, batch, progress=progress, associativity=AssociativityConfig(weight=weight, start=0.5)).total
        for progress, weight in itertools.product((0.5, 0.6), (1.0, 3.0))
    ]
    assert torch.equal(values[0], plain)
    assert torch.equal(values[1], plain)
    assert values[2] > plain
    assert_close(values[3] - plain, 3 * (values[2] - plain))


def test_the_penalty_of_the_operator_is_added() -> None:
    model, batch = unit(operator="stochastic", level="plain"), batch_of(12)
    charged = LDRUConfig(width=9, level="plain", operator=StochasticOperatorConfig(determinism=0.2))
    other = charged.build(2, 2).double()
    other.load_state_dict(model.state_dict())
    for sharpened in (model, other):
        sharpened.anneal(0.7)
    extra = other.penalty()
    assert extra is not None
    assert extra > 0
    assert_close(loss(other, batch).total, loss(model, batch).total + extra)
