"""Reading long sequences in pieces with the state carried, so that memory does not grow with the length.

Shape letters: B batch rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.models.base import Output, SequenceModel
from lengthwise.state import Kind, State


class Piece(NamedTuple):
    """One call of the model within a longer reading."""

    begin: int
    """How many tokens were read before."""
    end: int
    """How many tokens have been read after it."""
    before: State
    output: Output


def read(
    model: SequenceModel, tokens_BT: Tensor, chunk: int, cuts: Iterable[int] = (), state: State | None = None
) -> Iterator[Piece]:
    """Read tokens, a piece at a time.

    Args:
        model: the model, in the mode it is in.
        tokens_BT: [B, T] symbols.
        chunk: tokens read at a time, at most.
        cuts: numbers of tokens, each in 1..T, after which a piece must end as well.
        state: before the first token; by default the initial one.

    Yields:
        The pieces in order; together they are all T tokens.
    """
    before = model.initial_state(len(tokens_BT)) if state is None else state
    for begin, end in spans(tokens_BT.shape[1], chunk, cuts):
        output = model(tokens_BT[:, begin:end], before)
        yield Piece(begin, end, before, output)
        before = output.state


def spans(length: int, chunk: int, cuts: Iterable[int] = ()) -> list[tuple[int, int]]:
    """Return begin and end of the pieces of a sequence.

    Args:
        length: number of tokens.
        chunk: tokens in a piece, at most.
        cuts: numbers of tokens, each in 0..length, after which a piece must end as well.

    Raises:
        InputError: the chunk is empty.
    """
    if chunk < 1:
        raise InputError(f"a chunk holds at least 1 token, not {chunk}")
    ends = sorted({*range(chunk, length, chunk), *cuts, length} - {0})
    return list(zip([0, *ends[:-1]], ends, strict=True))


def non_finite_entry(state: State, kinds: Iterable[Kind] = tuple(Kind)) -> str | None:
    """Return the name of the first entry, of these kinds, that holds an infinity or a NaN."""
    chosen = set(kinds)
    names = (name for name in state if state.kinds[name] in chosen)
    return next((name for name in names if not bool(torch.isfinite(state[name]).all())), None)


@torch.no_grad()
def first_not_finite(model: SequenceModel, tokens_BT: Tensor, state: State) -> tuple[int, str | None] | None:
    """Read tokens one by one up to the first after which the state or the prediction is not finite.

    In one call that is not to be told: what one position holds may reach those beside it, times zero.

    Args:
        model: the model, in the mode it is in.
        tokens_BT: [B, T] symbols.
        state: before the first of them.

    Returns:
        The number of tokens read, and the first entry of the state that is not finite, if it is the state; None where
        everything is finite.
    """
    for piece in read(model, tokens_BT, 1, state=state):
        entry = non_finite_entry(piece.output.state)
        if entry or not bool(torch.isfinite(piece.output.logits).all()):
            return piece.end, entry
    return None


def check_tokens(tokens_BT: Tensor, least: int) -> None:
    """Refuse tokens that are not rows of symbols.

    Args:
        tokens_BT: [B, T] symbols.
        least: the smallest T that will do.

    Raises:
        InputError: the tokens are no integers, have no two dimensions, no rows, or too few columns.
    """
    if tokens_BT.ndim != 2 or tokens_BT.is_floating_point() or not len(tokens_BT):
        raise InputError(
            f"tokens must be integers of shape [rows, tokens] with at least one row, "
            f"not {tokens_BT.dtype} of shape {list(tokens_BT.shape)}"
        )
    if tokens_BT.shape[1] < least:
        raise InputError(f"rows of at least {least} tokens are needed, these have {tokens_BT.shape[1]}")
