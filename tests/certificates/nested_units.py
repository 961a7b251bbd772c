"""Nested units whose operator is a lookup table over the values of a task, right or with some joins changed."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

from lengthwise.models.tree.nested import Given, Nested, NestedConfig
from lengthwise.tasks.base import Task
from lengthwise.tasks.nesting import Nesting, Value


class Features(nn.Module):
    """What a readout sees of a value: all of it."""

    def features(self, value: Tensor) -> Tensor:
        return value


class Lookup(nn.Module):
    """An operator on one-hot values."""

    def __init__(self, products_EE: Tensor) -> None:
        super().__init__()
        self.products_EE, self.dropout, self.operator = products_EE, nn.Identity(), Features()

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return torch.eye(len(self.products_EE))[self.products_EE[left.argmax(-1), right.argmax(-1)]]


class Leaves(nn.Module):
    def __init__(self, leaves_VD: Tensor) -> None:
        super().__init__()
        self.leaves_VD = leaves_VD

    def forward(self, symbols: Tensor) -> Tensor:
        return self.leaves_VD[symbols]


def exact_unit(task: Task, changes: int = 0, seed: int = 0, copies: int = 1, nesting: Nesting | None = None) -> Nested:
    """Return a unit that joins as a nesting does.

    Args:
        task: what it reads and answers.
        changes: so many joins lead elsewhere.
        seed: of the changes.
        copies: vectors that each value has, all of which behave alike.
        nesting: that of the task by default.
    """
    told = nesting or task.nesting()  # type: ignore[attr-defined]
    leaves = [told.leaf(symbol) for symbol in range(told.symbols)]
    values = _closed(told, [*dict.fromkeys([None, *leaves])])
    number = {value: place for place, value in enumerate(values)}
    size = len(values)
    products = np.zeros((size, size), dtype=np.int64)
    for left, right in product(values[1:], repeat=2):
        products[number[left], number[right]] = number[told.join(left, right)]
    rng = np.random.default_rng(seed)
    for _ in range(changes):
        left, right = rng.choice(np.argwhere(products > 0))
        products[left, right] = rng.integers(1, size)
    products = np.kron(products, np.ones((copies, copies), dtype=np.int64)) * copies
    products += rng.integers(copies, size=products.shape)
    brackets = Given(opening=told.opening, closing=told.closing)
    unit = NestedConfig(width=copies * size, brackets=brackets).build(task.inputs, task.outputs).eval()
    unit.encoder = Leaves(torch.eye(copies * size)[[copies * number[leaf] for leaf in leaves]])  # type: ignore[assignment]
    unit.join = Lookup(torch.from_numpy(products))  # type: ignore[assignment]
    classes = torch.tensor([0, *(max(told.answer(value), 0) for value in values[1:])]).repeat_interleave(copies)
    with torch.no_grad():
        unit.classifier.weight.copy_(nn.functional.one_hot(classes, task.outputs.size).T)
        unit.classifier.bias.zero_()
    return unit


def _closed(nesting: Nesting, values: list[Value]) -> list[Value]:
    """Return all values that some lead to, None first."""
    while new := {nesting.join(*pair) for pair in product(values[1:], repeat=2)} - {*values}:
        values = [*values, *sorted(new, key=repr)]
    return values
