"""Brackets found from strings without labels: symbols that occur equally often, the opening ones first.

What opens and what closes pairs of one kind are as many in every string: a vector with 1 at opening and -1 at closing
symbols is orthogonal to the counts of every string. Those vectors are read off one singular value decomposition.

Shape letters: N strings, V symbols, K vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lengthwise.errors import InputError

ORDERS = 64
"""Orders of the symbols in which a null space is reduced: where several relations hold, each shows in some of them."""


class Brackets(NamedTuple):
    """Symbols of one kind of bracket."""

    opening: tuple[int, ...]
    closing: tuple[int, ...]


def find_brackets(strings: Sequence[Tensor], symbols: int, *, noise: float = 0.0) -> list[Brackets]:
    """Return the kinds of brackets of strings, those that enclose most first.

    Every candidate is checked against the strings themselves: as many closing as opening symbols, and never more
    closing ones on the way. Where one relation implies others, as in ``(a+b)`` that there are as many ``+`` as ``(``,
    the candidate that encloses most is taken.

    Args:
        strings: [T] symbols each.
        symbols: V.
        noise: the fraction of strings whose brackets may not match.

    Raises:
        InputError: there are none.

    Example:
        >>> from torch import tensor
        >>> find_brackets([tensor([0, 2, 1]), tensor([2, 0, 0, 1, 2, 1]), tensor([2, 2])], 3)
        [Brackets(opening=(0,), closing=(1,))]
    """
    rows = [string.cpu().numpy() for string in strings]
    counts_NV = np.array([np.bincount(row, minlength=symbols) for row in rows], dtype=np.float64)
    found = list[tuple[float, NDArray[np.int64]]]()
    for vector_V in _candidates(counts_NV):
        even_N = counts_NV @ vector_V == 0
        if not rows or even_N.mean() < 1 - noise:
            continue
        for signed_V in (vector_V, -vector_V):
            heights = [signed_V[row].cumsum() for row, even in zip(rows, even_N, strict=True) if even and len(row)]
            below = sum(height.min() < 0 for height in heights)
            if heights and even_N.sum() - below >= (1 - noise) * len(rows):
                found.append((float(np.mean([height.mean() for height in heights])), signed_V))
    kinds, taken_V = list[Brackets](), np.zeros(symbols, dtype=np.bool_)
    for _, vector_V in sorted(found, key=lambda one: -one[0]):
        several = any(np.abs(part).sum() < np.abs(vector_V).sum() and _within(part, vector_V) for _, part in found)
        if not several and not taken_V[vector_V != 0].any():
            kinds.append(Brackets(*(tuple(np.flatnonzero(vector_V == sign).tolist()) for sign in (1, -1))))
            taken_V |= vector_V != 0
    if not kinds:
        raise InputError(
            f"{len(rows)} strings have no brackets: no symbols come equally often in all but {noise:.0%} of them, one "
            "always before the other; say which they are (model.brackets: {opening: [...], closing: [...]}), or use "
            "model 'ldru', which needs none"
        )
    return kinds


def _within(part_V: NDArray[np.int64], vector_V: NDArray[np.int64]) -> bool:
    """Return whether a vector is a part of another, which then is several kinds at once."""
    return bool((part_V[part_V != 0] == vector_V[part_V != 0]).all())


def _candidates(counts_NV: NDArray[np.float64]) -> Iterator[NDArray[np.int64]]:
    """Yield distinct vectors of 1, 0 and -1 that are nearly orthogonal to counts."""
    used = np.flatnonzero(counts_NV.any(0))
    if not len(used):
        return
    _, _, right_VV = np.linalg.svd(counts_NV[:, used], full_matrices=True)
    rng, seen = np.random.default_rng(0), set[bytes]()
    for dimensions in range(1, len(used)):
        null_KV = right_VV[-dimensions:]
        for _ in range(ORDERS if dimensions > 1 else 1):
            for reduced in _reduced(null_KV, rng.permutation(len(used))):
                vector = np.zeros(counts_NV.shape[1], dtype=np.int64)
                vector[used] = np.rint(reduced / np.abs(reduced).max())
                if (vector > 0).any() and (vector < 0).any() and vector.tobytes() not in seen:
                    seen.add(vector.tobytes())
                    yield vector


def _reduced(null_KV: NDArray[np.float64], order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a basis of the same space: each vector alone has one of K symbols, the first possible in an order."""
    basis = null_KV.copy()
    for place in range(len(basis)):
        rest = np.abs(basis[place:]).max(0)
        pivot = next((symbol for symbol in order if rest[symbol] > 0.5 * rest.max()), int(rest.argmax()))
        row = place + int(np.abs(basis[place:, pivot]).argmax())
        basis[[place, row]] = basis[[row, place]]
        basis[place] /= basis[place, pivot]
        others = np.arange(len(basis)) != place
        basis[others] -= basis[others, pivot : pivot + 1] * basis[place]
    return basis
