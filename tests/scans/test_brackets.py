"""Every function of `scans` builds exactly the brackets that it documents."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from operators_for_tests import Brackets, balanced, folded, reduced
from slow_twins import reduce_prefixes_reference, reduce_reference, scan_reference

from lengthwise.scans import (
    OnlineReduction,
    SharedNodes,
    balanced_rounds,
    random_bracketing,
    random_tree,
    tree_reduce,
    tree_reduce_prefixes,
    tree_scan,
)

READINGS = ["carry", "zero", "pad"]
LENGTHS = range(1, 41)


def pad_for(brackets, reading):
    return brackets.named("p") if reading == "pad" else None


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("reduce", [tree_reduce, reduce_reference])
def test_reduce_builds_the_documented_tree(reduce, reading):
    for length in LENGTHS:
        brackets = Brackets()
        root = reduce(brackets, brackets.leaves(2, length), odd=reading, pad_D=pad_for(brackets, reading))
        assert brackets.shown(root) == [reduced(row, length, reading) for row in range(2)]


def test_seven_elements_as_the_documentation_shows_them():
    brackets = Brackets()
    x = brackets.leaves(1, 7)
    (right,) = brackets.shown(tree_reduce(brackets, x))
    left = brackets.shown(tree_scan(brackets, x))[-1]
    assert right.replace("0.", "") == "(((01)(23))((45)6))"
    assert left.replace("0.", "") == "((((01)(23))(45))6)"


def test_scan_and_reduce_agree_exactly_where_a_length_has_at_most_two_set_bits():
    brackets = Brackets()
    x = brackets.leaves(1, 130)
    prefixes = brackets.shown(tree_scan(brackets, x))
    roots = brackets.shown(tree_reduce_prefixes(brackets, x, list(range(1, 131))))
    same = [a == b for a, b in zip(prefixes, roots, strict=True)]
    assert same == [length.bit_count() <= 2 for length in range(1, 131)]


@pytest.mark.parametrize("scan", [tree_scan, scan_reference])
@pytest.mark.parametrize("initial", ["", "i"])
def test_scan_folds_dyadic_blocks_from_the_left(scan, initial):
    for length in LENGTHS:
        brackets = Brackets()
        given_BD = brackets.named(initial)[None].expand(2, 1) if initial else None
        values = scan(brackets, brackets.leaves(2, length), initial_BD=given_BD)
        expected = [folded(row, t + 1, initial) for row in range(2) for t in range(length)]
        assert brackets.shown(values) == expected


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("prefixes", [tree_reduce_prefixes, reduce_prefixes_reference])
@given(length=st.integers(1, 70), data=st.data())
@settings(max_examples=40, deadline=None)
def test_prefixes_have_the_tree_of_each_length(prefixes, reading, length, data):
    lengths = data.draw(st.lists(st.integers(1, length), min_size=1, max_size=12))
    brackets = Brackets()
    x = brackets.leaves(2, length)
    roots = prefixes(brackets, x, lengths, odd=reading, pad_D=pad_for(brackets, reading))
    assert brackets.shown(roots) == [reduced(row, n, reading) for row in range(2) for n in lengths]


@pytest.mark.parametrize("reading", READINGS)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_ragged_rows_have_the_tree_of_each_row_alone(reading, lengths):
    brackets = Brackets()
    x = brackets.leaves(len(lengths), max(lengths))
    for row, length in enumerate(lengths):
        x[row, length:] = brackets.named("junk")
    pad = pad_for(brackets, reading)
    roots = tree_reduce(brackets, x, lengths_B=torch.tensor(lengths), odd=reading, pad_D=pad)
    assert brackets.shown(roots) == [reduced(row, n, reading) for row, n in enumerate(lengths)]


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    flags=st.lists(st.booleans(), max_size=7),
    reading=st.sampled_from(["carry", "zero"]),
)
@settings(max_examples=60, deadline=None)
def test_brackets_that_carry_the_first_element_match_the_reference_in_ragged_rows(lengths, flags, reading):
    brackets = Brackets()
    longest = max(lengths)
    x = brackets.leaves(len(lengths), longest)
    whole = tree_reduce(brackets, x, odd=reading, carry_first=flags)
    assert torch.equal(whole, reduce_reference(brackets, x, odd=reading, carry_first=flags))
    ragged = brackets.shown(tree_reduce(brackets, x, lengths_B=torch.tensor(lengths), odd=reading, carry_first=flags))
    for row, (length, shown) in enumerate(zip(lengths, ragged, strict=True)):
        leaves = shown.translate(str.maketrans("()", "  ")).replace(f"{row}.", f" {row}.").split()
        assert [leaf for leaf in leaves if leaf != "0"] == [f"{row}.{t}" for t in range(length)]
        if length == longest:
            assert shown == brackets.show(int(whole[row]))


@given(st.integers(1, 300), st.integers(0, 50), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_random_brackets_keep_the_order_and_cost_one_application_less_than_elements(length, seed, probability):
    flags = random_bracketing(length, torch.Generator().manual_seed(seed), probability)
    brackets = Brackets()
    root = tree_reduce(brackets, brackets.leaves(1, length), carry_first=flags)
    assert brackets.applications == length - 1
    assert brackets.calls == len(flags)
    leaves = brackets.shown(root)[0].replace("(", " ").replace(")", " ").replace("0.", " ").split()
    assert [int(leaf) for leaf in leaves] == list(range(length))


def test_random_brackets_that_never_carry_the_first_element_are_the_balanced_tree():
    flags = random_bracketing(100, torch.Generator().manual_seed(0), 0.0)
    assert flags == [False] * 7


def test_random_brackets_reach_every_shape_of_four_elements_that_levels_allow():
    generator = torch.Generator().manual_seed(0)
    shapes = set()
    for _ in range(50):
        brackets = Brackets()
        x = brackets.leaves(1, 4)
        shapes.update(brackets.shown(tree_reduce(brackets, x, carry_first=random_bracketing(4, generator))))
    assert {shape.replace("0.", "") for shape in shapes} == {"((01)(23))", "((0(12))3)", "(0((12)3))"}


@given(st.integers(1, 600))
@settings(max_examples=80, deadline=None)
def test_cost_and_depth_of_a_reduction(length):
    brackets = Brackets()
    tree_reduce(brackets, brackets.leaves(1, length))
    assert brackets.applications == length - 1
    assert brackets.calls == math.ceil(math.log2(length))


@given(st.integers(1, 600), st.booleans())
@settings(max_examples=80, deadline=None)
def test_cost_and_depth_of_a_scan(length, with_initial):
    brackets = Brackets()
    initial = brackets.named("i")[None] if with_initial else None
    tree_scan(brackets, brackets.leaves(1, length), initial_BD=initial)
    assert brackets.applications <= 2 * length
    assert brackets.calls <= 2 * math.ceil(math.log2(length)) + 1


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.booleans())
@settings(max_examples=80, deadline=None)
def test_a_stream_cut_anywhere_has_the_brackets_of_the_scan(cuts, with_initial):
    brackets = Brackets()
    x = brackets.leaves(2, max(sum(cuts), 1))
    initial = brackets.named("i")[None].expand(2, 1) if with_initial else None
    expected = tree_scan(brackets, x, initial_BD=initial)
    scanned = OnlineReduction(brackets, initial_BD=initial)
    pushed = OnlineReduction(brackets, initial_BD=initial)
    for chunk in x[:, : sum(cuts)].split(cuts, 1):
        if not chunk.shape[1]:
            continue
        begin = scanned.count
        assert torch.equal(scanned.scan(chunk), expected[:, begin : begin + chunk.shape[1]])
        pushed.push(chunk)
        assert torch.equal(pushed.value(), expected[:, pushed.count - 1])
        assert torch.equal(scanned.value(), pushed.value())
        assert sorted(scanned.partials) == sorted(pushed.partials)
        assert all(torch.equal(scanned.partials[k], pushed.partials[k]) for k in pushed.partials)


@pytest.mark.parametrize("reading", READINGS)
@given(cuts=st.lists(st.integers(1, 30), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_a_stream_reduces_to_the_tree_of_its_length(reading, cuts):
    brackets = Brackets()
    x = brackets.leaves(2, sum(cuts))
    pad = pad_for(brackets, reading)
    expected = [reduced(row, sum(cuts), reading) for row in range(2)]
    online = OnlineReduction(brackets)
    for chunk in x.split(cuts, 1):
        online.push(chunk)
    assert brackets.shown(online.reduced(reading, pad)) == expected


def test_an_initial_operand_is_joined_last_on_the_left_of_a_reduction():
    brackets = Brackets()
    online = OnlineReduction(brackets, initial_BD=brackets.named("i")[None])
    online.push(brackets.leaves(1, 6))
    assert brackets.shown(online.reduced()) == [f"(i{balanced(0, 0, 6)})"]


def test_pushing_one_by_one_costs_one_application_an_element_and_keeps_one_partial_a_set_bit():
    brackets = Brackets()
    online = OnlineReduction(brackets)
    for count, element in enumerate(brackets.leaves(1, 200).split(1, 1), 1):
        online.push(element)
        assert len(online.partials) == count.bit_count()
    assert brackets.applications == 200 - (200).bit_count()


@given(
    strings=st.integers(1, 4).flatmap(
        lambda rows: st.integers(1, 40).flatmap(
            lambda n: st.lists(st.lists(st.integers(0, 2), min_size=n, max_size=n), min_size=rows, max_size=rows)
        )
    ),
    flags=st.lists(st.booleans(), max_size=7),
)
@settings(max_examples=60, deadline=None)
def test_shared_nodes_build_the_same_tree_and_no_subtree_twice(strings, flags):
    brackets = Brackets()
    table = torch.tensor([[brackets.number(symbol)] for symbol in "abc"])
    tokens = torch.tensor(strings)
    nodes = SharedNodes(table, tokens)
    for lefts in balanced_rounds(tokens.shape[1], flags):
        before = brackets.applications
        keys = {(row[left], row[left + 1]) for row in nodes.index_BM.tolist() for left in lefts}
        nodes = nodes.join(brackets, lefts)
        assert brackets.applications - before == len(keys)
    assert torch.equal(nodes.dense()[:, 0], reduce_reference(brackets, table[tokens], carry_first=flags))


@given(st.integers(1, 40), st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_random_trees_keep_the_order_and_join_everything_once(length, seed):
    brackets = Brackets()
    table = torch.tensor([[brackets.number(symbol)] for symbol in map(chr, range(200, 200 + length))])
    nodes = SharedNodes(table, torch.arange(length)[None])
    for lefts in random_tree(length, torch.Generator().manual_seed(seed)):
        assert all(later - left >= 2 for left, later in pairwise(lefts))
        nodes = nodes.join(brackets, lefts)
    (shown,) = brackets.shown(nodes.dense()[:, 0])
    assert "".join(c for c in shown if c not in "()") == "".join(map(chr, range(200, 200 + length)))
    assert brackets.applications == length - 1


class NeighbourBrackets(Brackets):
    """Joins neighbours where they lie, and says so."""

    in_place = 0

    def neighbours(self, x_BTD):
        self.in_place += x_BTD[:, 0::2].numel()
        return self(x_BTD[:, 0::2], x_BTD[:, 1::2])


@given(length=st.integers(2, 70), cut=st.integers(1, 69))
@settings(max_examples=30, deadline=None)
def test_an_operator_that_reads_neighbours_in_place_is_given_all_of_them(length, cut):
    brackets = NeighbourBrackets()
    x = brackets.leaves(2, length)
    assert brackets.shown(tree_reduce(brackets, x)) == [balanced(row, 0, length) for row in range(2)]
    assert brackets.in_place >= 2 * (length - length.bit_count())
    expected = [folded(row, t + 1) for row in range(2) for t in range(length)]
    assert brackets.shown(tree_scan(brackets, x)) == expected
    online = OnlineReduction(brackets)
    values = [online.scan(chunk) for chunk in (x[:, :cut], x[:, cut:]) if chunk.shape[1]]
    assert brackets.shown(torch.cat(values, 1)) == expected
    lengths = [length, (length + 1) // 2]
    roots = brackets.shown(tree_reduce_prefixes(brackets, x, lengths))
    assert roots == [balanced(row, 0, n) for row in range(2) for n in lengths]
