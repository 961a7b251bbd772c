"""Operators that tell on the code that applies them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Brackets:
    """The free magma: a value is the number of the bracketing that made it, so nothing is forgiven."""

    ZERO = "0"

    def __init__(self) -> None:
        self.terms: list[object] = [self.ZERO]
        self.numbers: dict[object, int] = {self.ZERO: 0}
        self.applications = 0
        self.calls = 0

    def number(self, term: object) -> int:
        if term not in self.numbers:
            self.numbers[term] = len(self.terms)
            self.terms.append(term)
        return self.numbers[term]

    def leaves(self, rows: int, length: int) -> Tensor:
        """[rows, length, 1], row r with the leaves named r.0, r.1, ..."""
        names = [[self.number(f"{row}.{t}") for t in range(length)] for row in range(rows)]
        return torch.tensor(names)[:, :, None]

    def named(self, name: str) -> Tensor:
        return torch.tensor([self.number(name)])

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        assert left.shape == right.shape
        self.calls += 1
        self.applications += left.numel()
        joined = [self.number((a, b)) for a, b in zip(left.flatten().tolist(), right.flatten().tolist(), strict=True)]
        return torch.tensor(joined, dtype=torch.int64).reshape(left.shape)

    def show(self, value: int) -> str:
        term = self.terms[value]
        return term if isinstance(term, str) else "".join(["(", *(self.show(part) for part in term), ")"])

    def shown(self, values: Tensor) -> list[str]:
        return [self.show(value) for value in values.flatten().tolist()]


def balanced(row: int, start: int, length: int) -> str:
    """What `tree_reduce` with lone elements carried up is documented to build, top down."""
    if length == 1:
        return f"{row}.{start}"
    half = 1 << ((length - 1).bit_length() - 1)
    return f"({balanced(row, start, half)}{balanced(row, start + half, length - half)})"


def filled(row: int, start: int, length: int, height: int, reading: str) -> str:
    """The same for the two readings that give every leaf the same depth."""
    if length == 0:
        return "p" if height == 0 else "({0}{0})".format(filled(row, start, 0, height - 1, reading))
    if height == 0:
        return f"{row}.{start}"
    half = 1 << (height - 1)
    if length > half:
        left = filled(row, start, half, height - 1, reading)
        return f"({left}{filled(row, start + half, length - half, height - 1, reading)})"
    lone = filled(row, start, length, height - 1, reading)
    return f"(0{lone})" if reading == "zero" else f"({lone}{filled(row, start, 0, height - 1, reading)})"


def reduced(row: int, length: int, reading: str) -> str:
    if reading == "carry":
        return balanced(row, 0, length)
    return filled(row, 0, length, (length - 1).bit_length(), reading)


def folded(row: int, length: int, initial: str = "") -> str:
    """What the scan is documented to build: the dyadic blocks of the prefix, folded from the left."""
    value, start = initial, 0
    for level in reversed(range(length.bit_length())):
        if length >> level & 1:
            block = balanced(row, start, 1 << level)
            value = f"({value}{block})" if value else block
            start += 1 << level
    return value


class Bilinear(nn.Module):
    """Cheap, smooth, neither associative nor commutative."""

    def __init__(self, width: int = 3, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        shape = (3, width, width)
        self.weight = nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64) / width)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        first, second, third = self.weight
        return torch.tanh(left @ first + right @ second + (left * right) @ third + 0.1)
