"""State statistics: does the recurrent state settle, or does it keep drifting as more tokens are read?

Shape letters: B rows, T tokens, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import chain
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lengthwise.errors import InputError, RunError
from lengthwise.models.base import Piece, SequenceModel, read
from lengthwise.models.reading import check_places, check_tokens, non_finite_entry
from lengthwise.state import Kind, State


class StateStatistic(NamedTuple):
    """Mean, standard deviation and size of one part of the state after some tokens."""

    position: int
    """How many tokens were read."""
    scope: Literal["whole", "entry", "head"]
    """All recurrent entries together, one entry (a layer), or one head of an entry."""
    entry: str | None
    """Name of the entry; none for the whole."""
    head: int | None
    """Number of the head, from 0; none for the whole and for an entry."""
    mean: float
    standard_deviation: float
    """Over all elements of the part in all rows, with their number in the denominator."""
    largest: float
    """The largest absolute value."""
    elements: int
    """How many elements, over all rows."""


_Heads = dict[str, Tensor]
"""For each recurrent entry the moments of its heads, [H, 4]; an entry without heads has one set.

They are the number of elements, their mean, the sum of the squared deviations from it, and the largest absolute value:
enough to join a set of numbers with another without cancellation (Chan, Golub and LeVeque 1983).
"""


@torch.no_grad()
def state_statistics(
    model: SequenceModel, tokens_BT: Tensor, positions: Sequence[int], *, chunk: int = 512, batch_size: int = 8
) -> list[StateStatistic]:
    """Return mean, standard deviation and largest absolute value of the recurrent state at some positions.

    The standard deviation at position t is sqrt(mean (s - mean s)^2) over all elements s, of all rows, of the part of
    the state after t tokens. Parts are the whole (all recurrent entries together), each entry, and each head: the
    slices along dimension 1 of entries with three dimensions or more. Conv states, positions and caches are left out.

    Args:
        model: the model, left in evaluation mode.
        tokens_BT: [B, T] symbols on the model's device; each row starts from the initial state.
        positions: numbers of tokens, in 1..T, such as `log_edges` gives.
        chunk: tokens read at a time; changes memory and speed only.
        batch_size: rows read at a time; changes memory and speed only.

    Returns:
        For each position, increasing: the whole, then each entry followed by its heads.

    Raises:
        InputError: the tokens cannot be read, a position is not within them, or the model carries no recurrent state.
        RunError: the recurrent state is not finite; names the first entry (layer) and the first position.

    Source: Buitrago Ruiz and Gu 2025 (arXiv 2507.02782), standard deviation of the state; layers and heads are ours.
    """
    check_tokens(tokens_BT, 1, batch_size)
    check_places("positions", positions, range(1, tokens_BT.shape[1] + 1), "the tokens read")
    model.eval()
    found: dict[int, _Heads] = {}
    for rows_BT in tokens_BT.split(batch_size):
        for piece in read(model, rows_BT[:, : max(positions)], chunk, positions):
            _check_finite(model, rows_BT, piece)
            if piece.end in positions:
                heads, before = _moments(piece.output.state), found.get(piece.end)
                found[piece.end] = {n: _joined(before[n], heads[n]) for n in heads} if before else heads
    return [row for position, heads in sorted(found.items()) for row in _rows(position, heads)]


def _moments(state: State) -> _Heads:
    entries = {
        name: tensor
        for name, tensor in state.items()
        if state.kinds[name] is Kind.RECURRENT and tensor.is_floating_point() and tensor.numel()
    }
    if not entries:
        carried = ", ".join(f"{name} ({state.kinds[name]})" for name in state) or "nothing"
        raise InputError(f"state statistics need a recurrent state with floating-point entries; carried: {carried}")
    return {name: _entry_moments(tensor) for name, tensor in entries.items()}


def _entry_moments(entry: Tensor) -> Tensor:
    by_head = entry.movedim(1, 0) if entry.ndim >= 3 else entry[None]
    # On the CPU, since not every device has float64.
    values = by_head.flatten(1).cpu().double()
    mean_H = values.mean(1)
    squares_H = (values - mean_H[:, None]).square().sum(1)
    return torch.stack([torch.full_like(mean_H, values.shape[1]), mean_H, squares_H, values.abs().amax(1)], -1)


def _joined(left: Tensor, right: Tensor) -> Tensor:
    """Return the moments of two sets of numbers as one, [..., 4] each."""
    (n, mean, squares, largest), (m, other, more, larger) = left.unbind(-1), right.unbind(-1)
    apart, elements = other - mean, n + m
    squares = squares + more + apart * apart * n * m / elements
    return torch.stack([elements, mean + apart * m / elements, squares, torch.maximum(largest, larger)], -1)


def _rows(position: int, heads: _Heads) -> Iterable[StateStatistic]:
    entries = {name: reduce(_joined, moments_H4) for name, moments_H4 in heads.items()}
    yield _row(position, "whole", None, None, reduce(_joined, entries.values()))
    for name, moments_H4 in heads.items():
        yield _row(position, "entry", name, None, entries[name])
        if len(moments_H4) > 1:
            for head, moments_4 in enumerate(moments_H4):
                yield _row(position, "head", name, head, moments_4)


def _row(
    position: int, scope: Literal["whole", "entry", "head"], entry: str | None, head: int | None, moments_4: Tensor
) -> StateStatistic:
    elements, mean, squares, largest = moments_4.tolist()
    return StateStatistic(position, scope, entry, head, mean, math.sqrt(squares / elements), largest, int(elements))


def _check_finite(model: SequenceModel, tokens_BT: Tensor, piece: Piece) -> None:
    """Raise for a recurrent state that is not finite, at the first token after which it is not."""
    if non_finite_entry(piece.output.state, [Kind.RECURRENT]) is None:
        return
    one_by_one = read(model, tokens_BT[:, piece.begin : piece.end], 1, state=piece.before)
    states = ((piece.begin + each.end, each.output.state) for each in one_by_one)
    for tokens, state in chain([(piece.begin, piece.before)], states, [(piece.end, piece.output.state)]):
        if entry := non_finite_entry(state, [Kind.RECURRENT]):
            raise RunError(f"the entry {entry!r} of the state is not finite after {tokens} tokens")
