"""Sentences and tables of ``docs/brackets.md`` and ``docs/ldru.md`` that hold numbers: trees are built and counted."""

import math
from collections.abc import Iterator

import torch
from measured import in_program
from torch import Tensor

from lengthwise.scans.online import tree_scan
from lengthwise.scans.tree import random_bracketing, tree_reduce

REDUCED = {4: "((01)(23))", 5: "(((01)(23))4)", 6: "(((01)(23))(45))", 7: "(((01)(23))((45)6))"}
SCANNED = REDUCED | {7: "((((01)(23))(45))6)"}
LEAVES = torch.linspace(0.3, 1.7, 8, dtype=torch.float64)[None, :, None]


def brackets() -> Iterator[str]:
    """Yield what the page on brackets says."""
    for count in REDUCED:
        elements = LEAVES[:, :count]
        assert math.isclose(tree_reduce(join, elements).item(), told(REDUCED[count]))
        assert math.isclose(tree_scan(join, elements)[0, -1].item(), told(SCANNED[count]))
        yield f"| {count} | `{REDUCED[count]}` | `{SCANNED[count]}` |"
    assert [2**place for place in (2, 1, 0) if 7 & 2**place] == [4, 2, 1]
    yield "perfect trees of the sizes that the binary digits of its length name: 7 is 4 + 2 + 1"
    assert all(joins(count, "carry") == count - 1 for count in range(1, 65))
    yield "n elements cost exactly n - 1 applications"
    yield "the log-depth recurrent unit of Pert, Alrajeh and Russo (2026) can be read"
    yield "the cost stays at n - 1 applications; only the brackets move"
    levels = len(random_bracketing(1_000, torch.Generator().manual_seed(0)))
    assert levels - math.ceil(math.log2(1_000)) in (0, 1)
    yield "a value of k elements still lies about log2 k joins deep"
    low, rest = in_program("src/lengthwise/scans/bracketing.py", r"probability = (0\.\d) \+ (0\.\d) \* float")
    assert float(low) + float(rest) == 1
    yield f"uniform in {low} to 1; each round then joins"
    yield f"With p near 1 the tree is nearly balanced, with p near {low} it is deep and lopsided"
    yield "A string of n symbols still takes n - 1 joins"


def unit() -> Iterator[str]:
    """Yield what the page on the log-depth unit says."""
    yield "It applies the same learned operator n - 1 times, in only ceil(log2 n) levels"
    for count in range(2, 65):
        assert joins(count, "carry") == count - 1
        assert count - 1 <= joins(count, "zero") <= count - 1 + math.ceil(math.log2(count))
        assert joins(count, "pad") <= 2 * count
    yield "| `carry` | goes up unchanged | exactly n - 1 |"
    yield "| about n - 1 + log2 n |"
    yield "| up to 2n |"
    yield "measures this contract in float64, gradients included"


def join(left: Tensor, right: Tensor) -> Tensor:
    """Join two values as no other brackets of these leaves would."""
    return left * (right + 2).sqrt() + right


def told(written: str) -> float:
    """Return the value of brackets as the page writes them."""
    stack = list[list[Tensor]]([[]])
    for mark in written:
        if mark == "(":
            stack.append([])
        elif mark == ")":
            left, right = stack.pop()
            stack[-1].append(join(left, right))
        else:
            stack[-1].append(LEAVES[0, int(mark), 0])
    return stack[0][0].item()


def joins(count: int, odd: str) -> int:
    """Return how often an operator is applied to so many elements."""
    applied = list[int]()

    def counting(left: Tensor, right: Tensor) -> Tensor:
        applied.append(left.shape[:-1].numel())
        return left + right

    padding = torch.zeros(1) if odd == "pad" else None
    tree_reduce(counting, torch.ones(1, count, 1), odd=odd, pad_D=padding)  # pyright: ignore[reportArgumentType]
    return sum(applied)
