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


class _Moments(NamedTuple):
    """Enough of a set of numbers to join it with another without cancellation (Chan, Golub and LeVeque 1983)."""

    elements: int
    mean: float
    squares: float
    """Sum of the squared deviations from the mean."""
    largest: float

    def join(self, other: _Moments) -> _Moments:
        elements = self.elements + other.elements
        apart = other.mean - self.mean
        return _Moments(
            elements,
            self.mean + apart * other.elements / elements,
            self.squares + other.squares + apart * apart * self.elements * other.elements / elements,
            max(self.largest, other.largest),
        )


_Heads = dict[str, list[_Moments]]
"""For each recurrent entry the moments of its heads; an entry without heads has one set."""


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
                heads = _moments(piece.output.state)
                found[piece.end] = _join(found[piece.end], heads) if piece.end in found else heads
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


def _entry_moments(entry: Tensor) -> list[_Moments]:
    by_head = entry.movedim(1, 0) if entry.ndim >= 3 else entry[None]
    # On the CPU, since not every device has float64.
    values = by_head.flatten(1).cpu().double()
    mean_H = values.mean(1)
    squares_H = (values - mean_H[:, None]).square().sum(1)
    largest_H = values.abs().amax(1)
    moments = zip(mean_H.tolist(), squares_H.tolist(), largest_H.tolist(), strict=True)
    return [_Moments(values.shape[1], *each) for each in moments]


def _join(left: _Heads, right: _Heads) -> _Heads:
    return {name: [a.join(b) for a, b in zip(left[name], right[name], strict=True)] for name in left}


def _rows(position: int, heads: _Heads) -> Iterable[StateStatistic]:
    entries = {name: reduce(_Moments.join, moments) for name, moments in heads.items()}
    yield _row(position, "whole", None, None, reduce(_Moments.join, entries.values()))
    for name, moments in heads.items():
        yield _row(position, "entry", name, None, entries[name])
        if len(moments) > 1:
            for head, each in enumerate(moments):
                yield _row(position, "head", name, head, each)


def _row(
    position: int, scope: Literal["whole", "entry", "head"], entry: str | None, head: int | None, moments: _Moments
) -> StateStatistic:
    deviation = math.sqrt(moments.squares / moments.elements)
    return StateStatistic(position, scope, entry, head, moments.mean, deviation, moments.largest, moments.elements)


def _check_finite(model: SequenceModel, tokens_BT: Tensor, piece: Piece) -> None:
    """Raise for a recurrent state that is not finite, at the first token after which it is not."""
    if non_finite_entry(piece.output.state, [Kind.RECURRENT]) is None:
        return
    one_by_one = read(model, tokens_BT[:, piece.begin : piece.end], 1, state=piece.before)
    states = ((piece.begin + each.end, each.output.state) for each in one_by_one)
    for tokens, state in chain([(piece.begin, piece.before)], states, [(piece.end, piece.output.state)]):
        if entry := non_finite_entry(state, [Kind.RECURRENT]):
            raise RunError(f"the entry {entry!r} of the state is not finite after {tokens} tokens")
