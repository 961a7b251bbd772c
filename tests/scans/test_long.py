"""Long sequences, and an implementation that is not ours."""

import pytest
import torch
from torch._higher_order_ops.associative_scan import associative_scan

from lengthwise.scans import OnlineReduction, SharedNodes, balanced_rounds, tree_reduce, tree_reduce_prefixes, tree_scan

MILLION = 1_000_000


def not_associative(left, right):
    return torch.cos(left + 2 * right)


def million():
    return torch.randn(1, MILLION, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("chunk", [1 << 16, 99_991])
def test_a_million_elements_in_chunks_reduce_as_at_once(chunk):
    x = million()
    whole = tree_reduce(not_associative, x)
    online = OnlineReduction(not_associative)
    for piece in x.split(chunk, 1):
        online.push(piece)
    torch.testing.assert_close(online.reduced(), whole, rtol=0, atol=1e-12)


def test_a_million_prefixes_end_in_the_prefixes_reduced_one_by_one():
    x = million()
    lengths = [MILLION, MILLION - 1, 1 << 19, 3]
    roots = tree_reduce_prefixes(not_associative, x, lengths)
    alone = [tree_reduce(not_associative, x[:, :length]) for length in lengths]
    torch.testing.assert_close(roots, torch.stack(alone, 1), rtol=0, atol=1e-12)
    scanned = tree_scan(not_associative, x)
    # At most two set bits: the scan has the brackets of the reduction.
    torch.testing.assert_close(scanned[:, (1 << 19) - 1], roots[:, 2], rtol=0, atol=1e-12)


def test_a_million_shared_symbols_reduce_as_at_once():
    tokens = torch.randint(2, (1, MILLION), generator=torch.Generator().manual_seed(0))
    table = torch.tensor([[0.3], [-1.1]], dtype=torch.float64)
    nodes = SharedNodes(table, tokens)
    for lefts in balanced_rounds(MILLION):
        nodes = nodes.join(not_associative, lefts)
    torch.testing.assert_close(nodes.dense()[:, 0], tree_reduce(not_associative, table[tokens]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 4, 8, 16, 64])
def test_scan_has_the_brackets_of_pytorchs_own(length):
    x = torch.randn(3, length, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    theirs = associative_scan(not_associative, x, dim=1, combine_mode="generic")
    torch.testing.assert_close(tree_scan(not_associative, x), theirs, rtol=0, atol=1e-12)
