"""Products of a transition monoid beside a batch: what is drawn, what is read, what is learned."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trainers_for_tests import regular, trainer

from lengthwise.errors import InputError
from lengthwise.models.tree.ldru import LDRU, LDRUConfig
from lengthwise.models.tree.operators import MLPOperatorConfig
from lengthwise.scans import balanced_rounds
from lengthwise.tasks import get_language
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.language import Language
from lengthwise.training.objectives.products import MonoidProducts, ProductsConfig, _Pool, product_losses, word_values

LONGEST = 24


def unit_of(task: Language) -> LDRU:
    torch.manual_seed(0)
    return LDRUConfig(width=12, operator=MLPOperatorConfig()).build(task.vocabulary, task.classes).double()


def associative_unit() -> LDRU:
    torch.manual_seed(0)
    config = LDRUConfig.model_validate({"width": 9, "operator": {"name": "stochastic"}, "level": "plain"})
    return config.build(2, 2).double().eval()


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("name", ["parity", "dyck_3", "tomita_3", "modular_arithmetic", "prefix_2_2"])
def test_products_are_short_strings_with_the_class_of_the_task(name: str, by_class: bool) -> None:
    task = get_language(name)
    products = MonoidProducts(task.automaton, ProductsConfig(candidates=200, by_class=by_class), LONGEST)
    strings, classes = products.draw(np.random.default_rng(0))
    assert len(strings) == len(classes) == 200
    for elements, label in zip(strings, classes, strict=True):
        word = [symbol for element in elements for symbol in products.words[element]]
        assert len(word) <= LONGEST
        assert elements[1:3].all()
        assert label == task.label(np.array([word]))[0] != IGNORE


def test_every_pair_of_elements_is_drawn_and_told_apart_by_its_contexts() -> None:
    task = get_language("dyck_2")
    products = MonoidProducts(task.automaton, ProductsConfig(candidates=20_000), 40)
    strings, _ = products.draw(np.random.default_rng(0))
    pairs = {(x, y) for x, y in strings[:, 1:3].tolist()}
    assert len(pairs) == (len(products.words) - 1) ** 2


@pytest.mark.slow
@pytest.mark.parametrize(("name", "longest"), [("dyck_2", 40), ("dyck_2", 10), ("prefix_1_2", 40)])
def test_classes_that_a_product_can_be_given_are_drawn_equally_often(name: str, longest: int) -> None:
    """Each count lies within six standard deviations; fewer than one seed in a million fails by chance."""
    task = get_language(name)
    told = {}
    for by_class in (False, True):
        config = ProductsConfig(candidates=100_000, by_class=by_class)
        strings, classes = MonoidProducts(task.automaton, config, longest).draw(np.random.default_rng(0))
        told[by_class] = Counter(zip(map(tuple, strings.tolist()), classes.tolist(), strict=True))
    assert set(told[True]) == set(told[False])
    counts = defaultdict[tuple[int, int], Counter[int]](Counter)
    for ((_, x, y, _), label), count in told[True].items():
        counts[x, y][label] += count
    for of_classes in counts.values():
        share = of_classes.total() / len(of_classes)
        assert all(abs(count - share) < 6 * share**0.5 for count in of_classes.values())


@given(
    st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=9).map(tuple), min_size=1, max_size=5), st.integers(0, 9)
)
def test_values_of_words_are_those_of_joining_them_one_by_one(words: list[tuple[int, ...]], seed: int) -> None:
    """The unit is associative, so that brackets do not count: it multiplies matrices."""
    unit = associative_unit()
    found = word_values(unit, words, np.random.default_rng(seed))
    leaves = unit.encoder(torch.arange(2))
    for word, value in zip(words, found, strict=True):
        expected = leaves[word[0]]
        for symbol in word[1:]:
            expected = unit.join(expected[None], leaves[symbol][None])[0]
        torch.testing.assert_close(value, expected)


def test_losses_are_those_of_the_brackets_that_are_promised() -> None:
    task = get_language("dyck_2")
    unit = unit_of(task).eval()
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.normal(size=(5, 12)))
    rows = rng.integers(0, 5, size=(30, 4))
    rows[rng.random(30) < 0.5, 0] = -1
    rows[rng.random(30) < 0.5, 3] = -1
    classes = rng.integers(0, 2, size=30)
    found = product_losses(unit, values, rows, classes)
    for (before, x, y, after), label, loss in zip(rows.tolist(), classes, found, strict=True):
        whole = unit.join(values[x][None], values[y][None])
        whole = unit.join(values[before][None], whole) if before >= 0 else whole
        whole = unit.join(whole, values[after][None]) if after >= 0 else whole
        torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(unit.readout(whole), torch.tensor([label])))


def test_factors_are_nodes_or_shortest_strings_of_their_elements_and_not_too_long() -> None:
    rng = np.random.default_rng(0)
    words = np.arange(1, 7)
    elements = np.concatenate([words, rng.integers(1, 7, size=40)])
    lengths = np.concatenate([words, rng.integers(6, 20, size=40)])
    pool = _Pool(torch.zeros(46, 1), elements, lengths)
    strings = np.stack([rng.integers(low, 7, size=500) for low in (0, 1, 1, 0)], axis=1)
    rows = pool.choose(strings, 32, rng)
    assert ((rows == -1) == (strings == 0)).all()
    assert (elements[rows] == strings)[strings > 0].all()
    assert (rows[:, [0, 3]] < 6).all()
    nodes = (rows[:, 1:3] >= 6).any(1)
    assert 100 < nodes.sum() < 500
    assert np.where(rows >= 0, lengths[rows], 0)[nodes].sum(1).max() <= 32


def test_nodes_drift_from_the_shortest_string_that_acts_like_theirs() -> None:
    task = get_language("dyck_2")
    unit = associative_unit()
    tokens = task.sample(np.random.default_rng(0), 5, 6).tokens
    levels = unit.nodes(torch.from_numpy(tokens), balanced_rounds(6))[1:]
    losses = []
    for merging in (0.0, 2.0):
        products = MonoidProducts(task.automaton, ProductsConfig(merging=merging, hardest=5), 40)
        losses.append(products.loss(unit, levels, tokens, np.random.default_rng(2)))
    expected, seen = [], set()
    for level in levels:
        nodes = level.shared.dense()
        fresh = {}
        for row, (place, (start, end)) in product(range(5), enumerate(zip(level.starts, level.ends, strict=True))):
            word = tuple(tokens[row, start:end].tolist())
            if len(word) > 1 and word not in seen:
                fresh[word] = nodes[row, place]
        seen |= set(fresh)
        likes = [shortest_like(task, products, word) for word in fresh]
        goals = word_values(unit, likes, np.random.default_rng(2))
        expected.append((torch.stack(list(fresh.values())) - goals).square().mean(1))
    assert len(expected) == 3
    farthest = torch.cat(expected).sort(descending=True).values[:5]
    torch.testing.assert_close(losses[1] - losses[0], 2 * farthest.mean())


def shortest_like(task: Language, products: MonoidProducts, word: tuple[int, ...]) -> tuple[int, ...]:
    """Return the listed word that takes every state where another word takes it."""

    def acts(symbols: Iterable[int]) -> list[int]:
        states = np.arange(task.automaton.states)
        for symbol in symbols:
            states = task.automaton.transitions_SA[states, symbol]
        return states.tolist()

    (found,) = [listed for listed in products.words[1:] if acts(listed) == acts(word)]
    return found


def test_the_hardest_of_the_candidates_are_learned() -> None:
    task = get_language("dyck_2")
    unit = unit_of(task).eval()
    tokens = task.sample(np.random.default_rng(0), 5, 6).tokens
    levels = unit.nodes(torch.from_numpy(tokens), balanced_rounds(6))[1:]
    losses = {}
    for hardest in (1, 10, 200):
        config = ProductsConfig(candidates=200, hardest=hardest, merging=0.0)
        products = MonoidProducts(task.automaton, config, 40)
        losses[hardest] = products.loss(unit, levels, tokens, np.random.default_rng(0)).item()
    assert losses[1] > losses[10] > losses[200] > 0


def test_training_reads_products_once_they_count_and_says_how_many() -> None:
    task = regular("dyck_2", 40)
    tree = {"name": "tree", "products": {"candidates": 8, "hardest": 4, "start": 0.5}}
    made = trainer(unit_of(task.definition), task, tree, steps=4, batch_size=3)
    seen = []
    for _ in range(4):
        made.train_step()
        seen.append(made.sequences)
    assert seen == [3, 6, 17, 28]


def test_training_with_products_is_the_same_when_it_is_repeated() -> None:
    task = regular("dyck_2", 40)
    tree = {"name": "tree", "node_weight": 0.0, "products": {"candidates": 8, "start": 0.0}}
    ends = []
    for _ in range(2):
        made = trainer(unit_of(task.definition), task, tree, seed=3, steps=5, batch_size=4)
        ends.append([made.train_step()["loss"] for _ in range(5)])
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    ("products", "maximum", "message"),
    [
        ({}, 1, "fits into the 1 symbols of task.train.maximum"),
        ({"by_class": True}, 1, "fits into the 1 symbols"),
        ({"elements": 5}, 40, "more than 5 elements"),
    ],
)
def test_products_that_do_not_exist_are_refused(products: dict, maximum: int, message: str) -> None:
    task = regular("dyck_2", maximum)
    with pytest.raises(InputError, match=message):
        trainer(unit_of(task.definition), task, {"name": "tree", "products": products})
