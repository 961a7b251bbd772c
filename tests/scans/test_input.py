"""What cannot be reduced is refused with a message that says what would do."""

import pytest
import torch

from lengthwise.errors import InputError
from lengthwise.scans import OnlineReduction, tree_reduce, tree_reduce_prefixes, tree_scan

x = torch.zeros(2, 5, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tree_reduce(torch.add, x[:, :0]), r"T at least 1, got \[2, 0, 3\]"),
        (lambda: tree_scan(torch.add, x[:, :0]), r"T at least 1, got \[2, 0, 3\]"),
        (lambda: tree_reduce(torch.add, torch.zeros(3)), r"shape \[B, T, ...\]"),
        (lambda: tree_reduce(torch.add, x, odd="wrap"), "'wrap'; known: carry, zero, pad"),
        (lambda: tree_reduce(torch.add, x, odd="pad"), "padding element with odd='pad', and only then"),
        (lambda: tree_reduce(torch.add, x, pad_D=x[0, 0]), "and only then"),
        (lambda: tree_reduce(torch.add, x, lengths_B=torch.tensor([5])), r"2 lengths in 1..5, got \[5\]"),
        (lambda: tree_reduce(torch.add, x, lengths_B=torch.tensor([0, 5])), r"1..5, got \[0, 5\]"),
        (lambda: tree_reduce(torch.add, x, lengths_B=torch.tensor([6, 5])), r"1..5, got \[6, 5\]"),
        (lambda: tree_reduce_prefixes(torch.add, x, [1, 6]), r"1..5; got \[1, 6\]"),
        (lambda: tree_reduce_prefixes(torch.add, x, []), r"1..5; got \[\]"),
        (lambda: OnlineReduction(torch.add).value(), "push an element first"),
        (lambda: OnlineReduction(torch.add).reduced(), "push an element first"),
        (lambda: OnlineReduction(torch.add, {1: x[:, 0]}, 3), r"levels \[0, 1\], got \[1\]"),
    ],
)
def test_message(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_blocks_that_do_not_line_up_are_refused_and_nothing_is_lost():
    online = OnlineReduction(torch.add)
    online.push(torch.ones(1, 3, 1))
    with pytest.raises(InputError, match="blocks of 4 elements cannot follow 3 elements"):
        online.push(torch.ones(1, 1, 1), 2)
    assert online.value().item() == 3


def test_an_initial_operand_is_the_value_of_nothing():
    assert torch.equal(OnlineReduction(torch.add, initial_BD=x[:, 0] + 1).value(), x[:, 0] + 1)
