"""Reading long sequences in pieces with the state carried, so that memory does not grow with the length.

Shape letters: B batch rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.models.base import Output, SequenceModel, StringModel, read
from lengthwise.state import Kind, State


def answers_at_ends(
    model: SequenceModel, inputs: Tensor, asked_BT: Tensor, lengths_B: NDArray[np.int64], state: State | None = None
) -> Output:
    """Return what `SequenceModel.answers` does, of rows padded on the right, with each row's state where it ends.

    The rows are read in pieces that end where one of them does.

    Args:
        model: the model, in the mode it is in.
        inputs: [B, T] symbols or [B, T, F] values.
        asked_BT: [B, T] where something is asked.
        lengths_B: [B] the positions of each row.
        state: before the first position; by default the initial one.
    """
    state = (model.initial_state(len(inputs)) if state is None else state).of_rows(len(inputs))
    rows, begin = torch.arange(len(inputs)), 0
    answers, places, finals, order = list[Tensor](), list[Tensor](), list[State](), list[Tensor]()
    for end in sorted({int(length) for length in lengths_B}):
        piece_BT = asked_BT[rows, begin:end]
        logits_NC, state = model.answers(inputs[rows, begin:end], piece_BT, state)
        rows_N, places_N = piece_BT.nonzero(as_tuple=True)
        answers.append(logits_NC)
        places.append(rows[rows_N.cpu()] * inputs.shape[1] + begin + places_N.cpu())
        here_B = torch.from_numpy(lengths_B)[rows] == end
        finals.append(as_start(model, state.rows(here_B.to(inputs.device))))
        order.append(rows[here_B])
        rows, state, begin = rows[~here_B], state.rows((~here_B).to(inputs.device)), end
    final = State.concat(finals).rows(torch.cat(order).argsort().to(inputs.device))
    return Output(torch.cat(answers)[torch.cat(places).argsort().to(inputs.device)], final)


def as_start(model: SequenceModel, final: State) -> State:
    """Return what a sequence could start from, whose entries do not depend on the length, with the conv states kept.

    States after different numbers of positions can be joined then.
    """
    start = model.start_from(final)
    kept = {name: final[name] for name in start if start.kinds[name] is Kind.CONV}
    return State({**start, **kept}, start.kinds)


def non_finite_entry(state: State, kinds: Iterable[Kind] = tuple(Kind)) -> str | None:
    """Return the name of the first entry, of these kinds, that holds an infinity or a NaN."""
    chosen = set(kinds)
    return next((name for name in state.non_finite() if state.kinds[name] in chosen), None)


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


def on_device(model: StringModel, *arrays: NDArray[Any]) -> list[Tensor]:
    """Return arrays as tensors on a model's device, real numbers in its dtype."""
    parameter = next(model.parameters())
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    return [t.to(parameter) if t.is_floating_point() else t.to(parameter.device) for t in tensors]


def check_tokens(tokens_BT: Tensor, least: int, batch_size: int = 1, together: str = "row is read") -> None:
    """Refuse what is not rows of symbols or of vectors.

    Args:
        tokens_BT: [B, T] symbols or [B, T, F] values.
        least: the smallest T that will do.
        batch_size: what is read at a time, at least 1.
        together: what that counts, in words.

    Raises:
        InputError: these are neither, there are no rows, too few positions, or nothing is read at a time.
    """
    fitting = tokens_BT.ndim == (3 if tokens_BT.is_floating_point() else 2)
    if not fitting or not len(tokens_BT):
        raise InputError(
            f"tokens must be integers of shape [rows, tokens], or values of shape [rows, positions, numbers], with at "
            f"least one row, not {tokens_BT.dtype} of shape {list(tokens_BT.shape)}"
        )
    if tokens_BT.shape[1] < least:
        raise InputError(f"rows of at least {least} tokens are needed, these have {tokens_BT.shape[1]}")
    if batch_size < 1:
        raise InputError(f"at least 1 {together} at a time, not {batch_size}")


def check_places(what: str, given: Sequence[int], allowed: range, meaning: str) -> None:
    """Refuse places in a sequence that are not there.

    Args:
        what: what is placed, as the error message says it.
        given: the places.
        allowed: those that there are.
        meaning: what these are, in words.

    Raises:
        InputError: there is no place, or one that is not allowed.
    """
    wrong = sorted(set(given).difference(allowed))
    if wrong or not given:
        found = f"{wrong[0]} is not" if wrong else "none was given"
        raise InputError(f"{what} must lie in {allowed.start}..{allowed.stop - 1}, {meaning}: {found}")
