from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from exact_units import exact_reading, sums
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import evaluate, generated, merged

from lengthwise.certificates.algebra import extract_algebra
from lengthwise.certificates.certificate import Certificate
from lengthwise.certificates.limits import Limits
from lengthwise.certificates.product import compare
from lengthwise.certificates.table import FREE, MultiplicationTable
from lengthwise.certificates.trees import shortest_errors
from lengthwise.errors import InputError, RunError
from lengthwise.models.tree.ldru import LDRUConfig
from lengthwise.models.tree.operators import SumOperatorConfig
from lengthwise.scans import tree_reduce
from lengthwise.tasks import get_language

TASKS = ("parity", "even_pairs", "cycle_navigation", "tomita_3", "tomita_7", "dyck_3", "prefix_2_2")


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("limit", [0, 10_000])
def test_an_exact_operator_gives_the_syntactic_semigroup_of_its_task(name: str, limit: int) -> None:
    task = get_language(name)
    algebra = extract_algebra(exact_reading(task, noise=0.01), task.automaton, Limits(products=limit))
    monoid = task.automaton.transition_monoid()
    image = algebra.table.homomorphism(task.automaton)
    assert image is not None
    assert len(set(image.tolist())) == algebra.table.size >= monoid.size - 1
    assert algebra.table.is_associative()
    assert generated(algebra.table)
    assert not algebra.astray
    assert compare(algebra.table.automaton(), task.automaton) is None


def test_strings_outside_the_domain_need_no_products() -> None:
    task = sums()
    algebra = extract_algebra(exact_reading(task), task.automaton)
    assert (algebra.table.products_EE == FREE).any()
    assert evaluate(algebra.table, [1, 0]) == FREE
    assert evaluate(algebra.table, [1, 2, 0]) != FREE
    assert algebra.table.is_associative()
    assert algebra.table.homomorphism(task.automaton) is not None


def test_a_product_that_goes_astray_is_found() -> None:
    task = get_language("parity")
    right = exact_reading(task)
    one = right.leaves_VD[1]

    def join(left: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        both = (torch.isclose(left, one).all(-1) & torch.isclose(other, one).all(-1))[..., None]
        return torch.where(both, one, right._join(left, other))

    algebra = extract_algebra(type(right)(join, right.leaves_VD, right.logits))
    # The unit says that 11 is odd, which is then what its algebra says.
    assert evaluate(algebra.table, [1, 1]) == evaluate(algebra.table, [1])
    assert algebra.table.homomorphism(task.automaton) is None


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (
            Limits(states=3),
            r"more than 3 states.* new with strings of 2 symbols, the last one with 0 1; --states allows",
        ),
        (Limits(elements=10), r"more than 10 elements: 3 .* of 3 symbols, the last ones with 0 0 0, .*with --elements"),
    ],
)
def test_an_algebra_that_does_not_close_says_how_far_it_grew(limits: Limits, message: str) -> None:
    task = get_language("dyck_3")
    with pytest.raises(RunError, match=message):
        extract_algebra(exact_reading(task), task.automaton, limits)


@pytest.mark.slow
def test_an_algebra_as_large_as_that_of_prefix_4_4_closes_by_default() -> None:
    task = get_language("prefix_4_4")
    algebra = extract_algebra(exact_reading(task, width=64), task.automaton)
    assert algebra.table.size == 340
    assert algebra.table.homomorphism(task.automaton) is not None


def test_units_that_cannot_be_read_are_refused() -> None:
    padded = LDRUConfig(width=4, odd="zero", operator=SumOperatorConfig()).build(2, 2).eval()
    with pytest.raises(InputError, match="odd 'carry'"):
        extract_algebra(padded)
    with pytest.raises(InputError, match="training mode"):
        extract_algebra(LDRUConfig(width=4).build(2, 2).train())
    with pytest.raises(InputError, match="symbols"):
        extract_algebra(LDRUConfig(width=4).build(3, 2).eval(), get_language("parity").automaton)


@st.composite
def tables(draw: st.DrawFn) -> MultiplicationTable:
    size = draw(st.integers(2, 4))
    entries = draw(st.lists(st.integers(0, size - 1), min_size=size * size, max_size=size * size))
    classes = draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))
    words = tuple((symbol,) for symbol in range(size))
    return MultiplicationTable(np.reshape(entries, (size, size)), np.arange(size), np.array(classes), words)


@given(tables())
@settings(max_examples=60, deadline=None)
def test_associativity_is_decided_as_by_all_triples(table: MultiplicationTable) -> None:
    times, every = table.products_EE, range(table.size)
    slow = all(times[times[x, y], z] == times[x, times[y, z]] for x, y, z in product(every, repeat=3))
    assert table.is_associative() == slow


@given(tables())
@settings(max_examples=40, deadline=None)
def test_merging_keeps_the_class_of_every_bracketing(table: MultiplicationTable) -> None:
    small = merged(table)
    images = [
        next(e for e in range(small.size) if same_class_everywhere(table, x, small, e)) for x in range(table.size)
    ]
    assert np.array_equal(np.array(images)[table.products_EE], small.products_EE[np.ix_(images, images)])


def same_class_everywhere(table: MultiplicationTable, x: int, small: MultiplicationTable, e: int) -> bool:
    return small.leaves_V[x] == e and small.classes_E[e] == table.classes_E[x]


@given(tables())
@settings(max_examples=25, deadline=None)
def test_trees_are_right_at_every_length_just_where_no_tree_error_is_found(table: MultiplicationTable) -> None:
    # The task that the table itself decides, multiplied from the left, up to a start that has no class.
    goal = table.automaton().minimal()
    errors = list(shortest_errors(table, goal))
    assert [len(word) for word in errors] == sorted(len(word) for word in errors)
    products, longest = torch.from_numpy(table.products_EE), 5 if table.size < 4 else 4
    first = None
    for length in range(1, longest + 1):
        tokens = torch.cartesian_prod(*[torch.arange(table.size)] * length).reshape(-1, length)
        roots = tree_reduce(lambda left, right: products[left, right], tokens)
        wrong = table.classes_E[roots.numpy()] != goal.label(tokens.numpy())
        first = first or (length if wrong.any() else None)
    # No string is shorter than the first that is found.
    assert first == (len(errors[0]) if errors and len(errors[0]) <= longest else None)
    for word in errors[:5]:
        root = tree_reduce(lambda left, right: products[left, right], torch.tensor([word]))
        assert table.classes_E[int(root)] != goal.label(np.array([word]))[0]


def test_the_string_on_which_a_kept_unit_is_wrong_is_the_shortest() -> None:
    (kept,) = (Path(__file__).parents[2] / "results" / "fast").glob("certificates*.jsonl")
    lines = [json.loads(line)["certificate"] for line in kept.read_text().splitlines()]
    wrong = [line for line in lines if line["task"] == "dyck_6" and line.get("algebra")]
    for line in wrong[:1]:
        certificate = Certificate.model_validate(line)
        table, goal = certificate.algebra, get_language("dyck_6").automaton.minimal()
        assert table is not None
        word = next(shortest_errors(table, goal))
        assert len(word) <= 34
        assert table.classes_E[table.balanced(word)] != goal.label(np.array([word]))[0]
