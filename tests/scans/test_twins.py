"""Fast paths against their slow twins: values and gradients in float64."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from operators_for_tests import Bilinear
from slow_twins import reduce_prefixes_reference, reduce_reference, scan_reference

from lengthwise.models.tree.operators import MLPOperator
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
LENGTHS = [*range(1, 21), 23, 31, 32, 33, 39, 40]


def elements(length, width=3, rows=2, seed=0):
    generator = torch.Generator().manual_seed(1000 * seed + length)
    return torch.randn(rows, length, width, generator=generator, dtype=torch.float64, requires_grad=True)


def one(width=3, seed=7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(width, generator=generator, dtype=torch.float64, requires_grad=True)


def gradients(value, inputs):
    """Gradients of a fixed random functional of the value."""
    weight = torch.randn(value.shape, generator=torch.Generator().manual_seed(3), dtype=value.dtype)
    return torch.autograd.grad((value * weight).sum(), inputs, allow_unused=True, retain_graph=True)


def assert_same(fast, slow, inputs):
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)
    for one_of_fast, one_of_slow in zip(gradients(fast, inputs), gradients(slow, inputs), strict=True):
        if one_of_slow is None or one_of_fast is None:
            assert one_of_slow is one_of_fast
        else:
            torch.testing.assert_close(one_of_fast, one_of_slow, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("length", LENGTHS)
def test_reduce(length, reading):
    operator, x = Bilinear(), elements(length)
    pad = one() if reading == "pad" else None
    inputs = [x, *operator.parameters(), *([pad] if pad is not None else [])]
    fast = tree_reduce(operator, x, odd=reading, pad_D=pad)
    slow = reduce_reference(operator, x, odd=reading, pad_D=pad)
    if length > 1:
        assert_same(fast, slow, inputs)
    else:
        assert torch.equal(fast, slow)


@pytest.mark.parametrize("with_initial", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
def test_scan(length, with_initial):
    operator, x = Bilinear(), elements(length)
    initial = elements(2, seed=1)[:, 0].detach().requires_grad_() if with_initial else None
    inputs = [x, *operator.parameters(), *([initial] if initial is not None else [])]
    fast = tree_scan(operator, x, initial_BD=initial)
    slow = scan_reference(operator, x, initial_BD=initial)
    if length > 1 or with_initial:
        assert_same(fast, slow, inputs)
    else:
        assert torch.equal(fast, slow)


@pytest.mark.parametrize("reading", READINGS)
def test_prefixes(reading):
    operator, x = Bilinear(), elements(40)
    pad = one() if reading == "pad" else None
    lengths = [40, *range(1, 41), 3, 3]
    fast = tree_reduce_prefixes(operator, x, lengths, odd=reading, pad_D=pad)
    slow = reduce_prefixes_reference(operator, x, lengths, odd=reading, pad_D=pad)
    assert_same(fast, slow, [x, *operator.parameters(), *([pad] if pad is not None else [])])


def test_the_papers_operator_in_every_function():
    torch.manual_seed(0)
    operator = MLPOperator(4).double()
    x, initial = elements(13, 4), elements(2, 4, seed=2)[:, 0].detach().requires_grad_()
    inputs = [x, *operator.parameters()]
    assert_same(tree_reduce(operator, x), reduce_reference(operator, x), inputs)
    assert_same(
        tree_scan(operator, x, initial_BD=initial),
        scan_reference(operator, x, initial_BD=initial),
        [*inputs, initial],
    )
    lengths = [13, 7, 11, 2]
    assert_same(tree_reduce_prefixes(operator, x, lengths), reduce_prefixes_reference(operator, x, lengths), inputs)


@pytest.mark.slow
@pytest.mark.parametrize("reading", READINGS)
@given(lengths=st.lists(st.integers(2, 70), min_size=1, max_size=4), seed=st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_ragged_rows_are_as_each_row_alone(reading, lengths, seed):
    operator, x = Bilinear(), elements(max(lengths), rows=len(lengths), seed=seed)
    pad = one() if reading == "pad" else None
    together = tree_reduce(operator, x, lengths_B=torch.tensor(lengths), odd=reading, pad_D=pad)
    alone = [reduce_reference(operator, x[row : row + 1, :n], odd=reading, pad_D=pad) for row, n in enumerate(lengths)]
    inputs = [x, *operator.parameters()]
    assert_same(together, torch.cat(alone), inputs)
    (gradient, *_) = gradients(together, inputs)
    for row, length in enumerate(lengths):
        assert not gradient[row, length:].any()


def test_padding_of_ragged_rows_may_hold_any_finite_value():
    operator, lengths = Bilinear(), torch.tensor([5, 1, 12])
    x = elements(12, rows=3).detach()
    junk = x.clone()
    for row, length in enumerate(lengths):
        junk[row, length:] = 1e300
    assert torch.equal(tree_reduce(operator, x, lengths_B=lengths), tree_reduce(operator, junk, lengths_B=lengths))


@given(st.integers(2, 90), st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_random_brackets(length, seed):
    flags = random_bracketing(length, torch.Generator().manual_seed(seed))
    operator, x = Bilinear(), elements(length, seed=seed)
    fast = tree_reduce(operator, x, carry_first=flags)
    assert_same(fast, reduce_reference(operator, x, carry_first=flags), [x, *operator.parameters()])


@pytest.mark.slow
@given(
    cuts=st.lists(st.integers(1, 16), min_size=2, max_size=5),
    reading=st.sampled_from(READINGS),
    with_initial=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_a_stream_cut_anywhere(cuts, reading, with_initial):
    operator, x = Bilinear(), elements(sum(cuts))
    initial = elements(2, seed=1)[:, 0].detach().requires_grad_() if with_initial else None
    pad = one() if reading == "pad" else None
    given_tensors = [tensor for tensor in (initial, pad) if tensor is not None]
    inputs = [x, *operator.parameters(), *given_tensors]

    scanned = OnlineReduction(operator, initial_BD=initial)
    fast = torch.cat([scanned.scan(chunk) for chunk in x.split(cuts, 1)], 1)
    assert_same(fast, scan_reference(operator, x, initial_BD=initial), inputs)

    pushed = OnlineReduction(operator, initial_BD=initial)
    for chunk in x.split(cuts, 1):
        pushed.push(chunk)
    slow = reduce_reference(operator, x, odd=reading, pad_D=pad)
    slow = slow if initial is None else operator(initial[:, None], slow[:, None])[:, 0]
    assert_same(pushed.reduced(reading, pad), slow, inputs)
    assert_same(pushed.value(), fast[:, -1], inputs)


@given(cuts=st.lists(st.integers(1, 40), min_size=2, max_size=5))
@settings(max_examples=15, deadline=None)
def test_a_stream_that_continues_from_saved_partial_reductions(cuts):
    operator, x = Bilinear(), elements(sum(cuts)).detach()
    partials, values = {}, []
    for begin, end in pairwise([0, *torch.tensor(cuts).cumsum(0).tolist()]):
        online = OnlineReduction(operator, partials, count=begin)
        values.append(online.scan(x[:, begin:end]))
        partials = online.partials
    torch.testing.assert_close(torch.cat(values, 1), tree_scan(operator, x), rtol=1e-12, atol=1e-12)


@given(length=st.integers(2, 60), seed=st.integers(0, 20), scrambled=st.booleans())
@settings(max_examples=25, deadline=None)
def test_shared_nodes_have_the_values_and_gradients_of_all_nodes(length, seed, scrambled):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(3, (4, length), generator=generator)
    flags = random_bracketing(length, generator) if scrambled else []
    operator = Bilinear()
    table = elements(3, rows=1, seed=seed)
    nodes = SharedNodes(table[0], tokens)
    for lefts in balanced_rounds(length, flags):
        nodes = nodes.join(operator, lefts)
    dense = tree_reduce(operator, table[0][tokens], carry_first=flags)
    assert_same(nodes.dense()[:, 0], dense, [table, *operator.parameters()])


def test_shared_nodes_name_a_place_where_each_row_of_the_table_stands():
    tokens = torch.randint(2, (8, 21), generator=torch.Generator().manual_seed(0))
    nodes = SharedNodes(elements(2, rows=1)[0].detach(), tokens)
    for lefts in random_tree(21, torch.Generator().manual_seed(1)):
        nodes = nodes.join(Bilinear(), lefts)
        flat = nodes.index_BM.flatten()
        assert torch.equal(flat[nodes.occurrence()], torch.arange(nodes.fresh or len(nodes.table_UD)))
        assert len(flat.unique()) == len(nodes.table_UD)


@given(st.integers(1, 40))
@settings(max_examples=15, deadline=None)
def test_shared_blocks_are_the_dyadic_blocks(length):
    tokens = torch.randint(2, (3, length), generator=torch.Generator().manual_seed(length))
    operator, table = Bilinear(), elements(2, rows=1)[0].detach()
    nodes, dense = SharedNodes(table, tokens), table[tokens]
    while dense.shape[1] > 1:
        whole = dense[:, : dense.shape[1] // 2 * 2]
        dense, nodes = operator(whole[:, 0::2], whole[:, 1::2]), nodes.blocks(operator)
        torch.testing.assert_close(nodes.dense(), dense, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("length", [1, 6, 16, 27])
def test_many_seeds_at_once_under_vmap(length):
    x = elements(length).detach()
    weights = torch.stack([Bilinear(seed=seed).weight.detach() for seed in range(3)])

    def scan_with(weight):
        return tree_scan(lambda a, b: torch.tanh(a @ weight[0] + b @ weight[1] * (a @ weight[2])), x)

    together = torch.func.vmap(scan_with)(weights)
    torch.testing.assert_close(together, torch.stack([scan_with(weight) for weight in weights]))


@given(chunks=st.integers(0, 4), rest=st.integers(1, 31))
@settings(max_examples=25, deadline=None)
def test_shared_dyadic_blocks_continue_a_stream(chunks, rest):
    sizes = [32] * chunks + [rest]
    tokens = torch.randint(2, (3, sum(sizes)), generator=torch.Generator().manual_seed(rest))
    operator, table = Bilinear(), elements(2, rows=1)[0]
    online = OnlineReduction(operator)
    for piece in tokens.split(sizes, 1):
        for level, block in SharedNodes(table, piece).dyadic_blocks(operator):
            online.push(block, level)
    assert online.count == sum(sizes)
    assert_same(online.reduced(), tree_reduce(operator, table[tokens]), [table, *operator.parameters()])


def test_a_string_without_symbols_has_no_dyadic_blocks():
    assert SharedNodes(torch.zeros(2, 3), torch.zeros(4, 0, dtype=torch.int64)).dyadic_blocks(Bilinear()) == []
