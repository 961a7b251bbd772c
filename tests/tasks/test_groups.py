import itertools

import numpy as np
import pytest

from lengthwise.errors import InputError
from lengthwise.tasks import get_language, get_task
from lengthwise.tasks.regular.groups import MOST_ELEMENTS

ORDERS = {
    "C1": 1,
    "S1": 1,
    "A2": 1,
    "C2": 2,
    "C6": 6,
    "Z60": 60,
    "D3": 6,
    "D4": 8,
    "S3": 6,
    "S4": 24,
    "A4": 12,
    "A5": 60,
    "S5": 120,
    "C2xC4": 8,
    "C2xC2": 4,
    "S3xC2": 12,
}


@pytest.mark.parametrize("name", ORDERS)
def test_a_word_problem_has_the_table_of_a_group(name: str):
    automaton = get_language(f"group:{name}").automaton
    table = automaton.transitions_SA
    order = ORDERS[name]
    assert table.shape == (order, order)
    assert automaton.minimal().states == order
    assert automaton.outputs_S.tolist() == list(range(order))
    # The identity first, every row and column a permutation, and associative.
    assert (table[0] == np.arange(order)).all()
    assert (table[:, 0] == np.arange(order)).all()
    assert (np.sort(table, 0) == np.arange(order)[:, None]).all()
    assert (np.sort(table, 1) == np.arange(order)).all()
    assert (table[table] == table[:, table]).all()


def element_orders(name: str) -> list[int]:
    table = get_language(f"group:{name}").automaton.transitions_SA
    found = list[int]()
    for element in range(len(table)):
        power, order = element, 1
        while power:
            power, order = int(table[power, element]), order + 1
        found.append(order)
    return sorted(found)


@pytest.mark.parametrize(
    ("name", "orders"),
    [
        ("D4", [1, 2, 2, 2, 2, 2, 4, 4]),
        ("C2xC4", [1, 2, 2, 2, 4, 4, 4, 4]),
        ("C6", [1, 2, 3, 3, 6, 6]),
        ("S3", [1, 2, 2, 2, 3, 3]),
        ("A4", [1, *[2] * 3, *[3] * 8]),
        ("A5", [1, *[2] * 15, *[3] * 20, *[5] * 24]),
    ],
)
def test_elements_have_the_orders_that_are_known_of_a_group(name: str, orders: list[int]):
    assert element_orders(name) == orders


def test_a_class_is_the_product_from_left_to_right():
    language = get_language("group:S3")
    permutations = sorted(itertools.permutations(range(3)))
    for length in range(1, 4):
        words = list(itertools.product(range(6), repeat=length))
        products = list[int]()
        for word in words:
            places = [0, 1, 2]
            for symbol in word:
                places = [permutations[symbol][place] for place in places]
            products.append(permutations.index(tuple(places)))
        assert language.label(np.array(words)).tolist() == products
    assert language.symbols == ("()", "(2 3)", "(1 2)", "(1 2 3)", "(1 3 2)", "(1 3)")


@pytest.mark.parametrize(("name", "symbols", "order"), [("S5/2", 2, 120), ("S5/32", 32, 120), ("A5/12", 12, 60)])
def test_few_elements_generate_the_group_and_are_the_same_ever_after(name: str, symbols: int, order: int):
    language = get_language(f"group:{name}")
    assert (language.vocabulary, language.classes) == (symbols, order)
    assert language.symbols == get_language(f"group:{name}").symbols
    # Every element is the product of some string.
    assert len(set(language.automaton.minimal().outputs_S.tolist())) == order


def test_symbols_of_many_points_are_numbers():
    assert get_language("group:Z60").symbols == tuple(map(str, range(60)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Q8", "no group that is known here"),
        ("", "no group that is known here"),
        ("C2x", "no group that is known here"),
        ("C0", "no group that is known here"),
        ("S٣", "no group that is known here"),
        ("D2", "D3 is the smallest"),
        ("S6", f"more than {MOST_ELEMENTS} elements"),
        ("A9999", f"more than {MOST_ELEMENTS} elements"),
        ("C401", f"more than {MOST_ELEMENTS} elements"),
        ("S4xS4", f"more than {MOST_ELEMENTS} elements"),
        ("C2" + "xC2" * 500, f"more than {MOST_ELEMENTS} elements"),
        ("S5/1", "do not generate it"),
        ("S5/0", "has 120 elements"),
        ("S5/121", "has 120 elements"),
        ("S5/", "has 120 elements"),
        ("S5/2/3", "has 120 elements"),
    ],
)
def test_what_is_no_group_or_too_large_is_refused(name: str, message: str):
    with pytest.raises(InputError, match=message):
        get_language(f"group:{name}")


def test_the_name_says_all_that_a_recipe_needs():
    task = get_task("group:S3/2")
    assert task.identity() == ""
    assert task.label == "group:S3/2"
    batch = task.sample(np.random.default_rng(0), 8, task.points("train")[-1])
    assert (batch.targets[:, -1] == task.automaton.label(batch.inputs)).all()
