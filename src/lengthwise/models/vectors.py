"""Vectors of symbols from which ones stand near each other: what embeddings begin as, from inputs without answers.

Shape letters: V symbols, D width, K dimensions that are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from lengthwise.errors import InputError
from lengthwise.models.base import SummedEmbedding
from lengthwise.settings import Settings

_ROUNDS = 4
"""Of subspace iteration; more change no vector that matters."""


class Neighbours(Settings):
    """Embeddings begin as vectors of the symbols that stand near each other, found before training."""

    strings: int = Field(default=20_000, ge=1)
    """Training sequences that are looked at, without their answers."""
    window: int = Field(default=5, ge=1)
    """Positions up to which one symbol is near another."""
    smoothing: float = Field(default=0.75, gt=0, le=1)
    """Power of the counts of neighbours: below 1, rare ones weigh less."""


@torch.no_grad()
def begin_with(embedding: nn.Module, strings: Sequence[Tensor], settings: Neighbours) -> None:
    """Let the rows of an embedding be those vectors, as long in the mean as the rows are; what was not seen stays.

    Raises:
        InputError: the model reads vectors.
    """
    if not isinstance(embedding, nn.Embedding):
        raise InputError("model.vectors are of symbols; this task gives vectors")
    symbols = embedding.words if isinstance(embedding, SummedEmbedding) else embedding.num_embeddings
    rows = embedding.weight[:symbols]
    vectors_VD = neighbour_vectors(strings, symbols, rows.shape[1], settings).to(rows)
    seen_V = vectors_VD.any(1)
    if seen_V.any():
        size = rows.square().mean().sqrt() / vectors_VD[seen_V].square().mean().sqrt()
        rows[seen_V] = size * vectors_VD[seen_V]


def neighbour_vectors(strings: Sequence[Tensor], symbols: int, width: int, settings: Neighbours) -> Tensor:
    """Return the vectors [V, D] of symbols: a factor of how much more often than by chance they are near each other.

    Args:
        strings: [T] symbols each, of which the remainders by V count.
        symbols: V.
        width: D; what is beyond the rank is zero.
        settings: what is near.

    Source: positive pointwise mutual information, factored; Levy, Goldberg, Dagan 2015, section 2.
    """
    keys = list[np.ndarray]()
    for string in strings:
        row = string.cpu().numpy() % symbols
        keys += [row[:-gap] * symbols + row[gap:] for gap in range(1, min(settings.window, len(row) - 1) + 1)]
    if not keys:
        return torch.zeros(symbols, width)
    pairs, counts = np.unique(np.concatenate(keys), return_counts=True)
    left, right = (
        np.concatenate([pairs // symbols, pairs % symbols]),
        np.concatenate([pairs % symbols, pairs // symbols]),
    )
    counts = np.concatenate([counts, counts]).astype(np.float64)
    often_V = np.bincount(left, counts, minlength=symbols)
    smooth_V = often_V**settings.smoothing
    chance = often_V[left] * smooth_V[right] / smooth_V.sum()
    more = np.log(counts / chance)
    near = more > 0
    places = torch.from_numpy(np.stack([left[near], right[near]]))
    matrix_VV = torch.sparse_coo_tensor(places, torch.from_numpy(more[near]), (symbols, symbols), check_invariants=True)
    left_VK, sizes_K = _largest_directions(matrix_VV, min(width, symbols))
    return nn.functional.pad(left_VK * sizes_K.sqrt(), (0, width - len(sizes_K))).float()


def _largest_directions(matrix_VV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return left singular vectors [V, K] and values [K] of a sparse matrix, the largest first."""
    drawn_VK = torch.randn(len(matrix_VV), count, dtype=matrix_VV.dtype, generator=torch.Generator().manual_seed(0))
    basis_VK = torch.linalg.qr(matrix_VV @ drawn_VK).Q
    for _ in range(_ROUNDS):
        basis_VK = torch.linalg.qr(matrix_VV @ (matrix_VV.t() @ basis_VK)).Q
    small, sizes_K, _ = torch.linalg.svd((matrix_VV.t() @ basis_VK).t(), full_matrices=False)
    return basis_VK @ small, sizes_K
