"""Effective remembrance: how far the prediction at the end rests on the tokens at the beginning.

Shape letters: B rows, T tokens, N starts, V symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lengthwise.errors import InputError, RunError
from lengthwise.evaluation.perplexity import standard_error
from lengthwise.models.answers import distances, space_of
from lengthwise.models.base import SequenceModel, last_logits, spans
from lengthwise.models.reading import check_places, check_tokens, non_finite_entry
from lengthwise.spaces import Space
from lengthwise.state import Kind, State


class Remembrance(NamedTuple):
    """How much the prediction changes when the first tokens are dropped."""

    start: int
    """How many tokens were dropped: t."""
    value: float
    """Mean over rows of the distance: the total variation, in 0..1, of classes."""
    standard_error: float
    """Standard error of the mean over rows; NaN for one row."""
    rows: int


def remembrance_starts(length: int, count: int = 32, scale: Literal["linear", "log"] = "linear") -> list[int]:
    """Return numbers of tokens to drop, from 0 or 1 to just before the last token.

    Args:
        length: number of tokens T.
        count: how many at most; equal ones are given once.
        scale: ``linear`` from 0 to T - 1, or ``log`` from 1 to T - 1.

    Raises:
        InputError: there are fewer than two tokens or starts, or no such scale.
    """
    if length < 2 or count < 2:
        raise InputError(f"starts need at least 2 tokens and 2 starts, not {length} and {count}")
    if scale not in ("linear", "log"):
        raise InputError(f"starts are spaced 'linear' or 'log', not {scale!r}")
    shares = [i / (count - 1) for i in range(count)]
    last = length - 1
    return sorted({round(last * share) if scale == "linear" else round(last**share) for share in shares})


@torch.no_grad()
def effective_remembrance(
    model: SequenceModel,
    tokens_BT: Tensor,
    starts: Sequence[int],
    *,
    outputs: Space | None = None,
    chunk: int = 512,
    batch_size: int = 64,
) -> list[Remembrance]:
    """Return the effective remembrance of the first t tokens, for each t.

    EffRem_T(t) = TV(q(. | x[0:T]), q(. | x[t:T])) = 1/2 sum_v |q(v | x[0:T]) - q(v | x[t:T])|, where q is the model's
    distribution of the token after the last and the second reading starts from the initial state at t. Where values are
    answered it is the L2 norm of the difference of the two answers over that of the first, and where probabilities are
    (``Values(n, "binary_cross_entropy")``) their mean absolute difference: `lengthwise.models.answers.distances`.

    All starts are read in one sweep over the tokens, restarts joining the batch as it passes them, so that start t
    costs T - t tokens a row. States with positions or caches, or with shapes that change along the way, cannot share a
    batch; they are read one after the other at the same cost in tokens.

    Args:
        model: a model with logits [B, T, V], or [B, V] after the last token; left in evaluation mode.
        tokens_BT: [B, T] symbols, or [B, T, F] values, on the model's device.
        starts: values of t in 0..T - 1.
        outputs: what is answered; by default symbols where symbols are read, and values where values are.
        chunk: tokens read at a time; changes memory and speed only.
        batch_size: readings, rows times starts, held at a time; changes memory and speed only.

    Returns:
        One result a start, increasing, each start once.

    Raises:
        InputError: the tokens cannot be read, or a start is not within them.
        RunError: a prediction is not finite; says after which restart, and the first entry of the state that is not.

    Source: Buitrago Ruiz and Gu 2025 (arXiv 2507.02782), effective remembrance.
    """
    check_tokens(tokens_BT, 1, batch_size, "reading is held")
    rows, length = tokens_BT.shape[:2]
    check_places("starts", starts, range(length), f"the places of the {length} tokens")
    model.eval()
    wanted = sorted(set(starts))
    with_whole = sorted({0, *wanted})
    groups = tokens_BT.split(max(1, batch_size // len(with_whole)))
    found = [_distances(model, rows_BT, with_whole, outputs, chunk, batch_size) for rows_BT in groups]
    distances_NB = torch.cat(found, 1)
    chosen_NB = distances_NB[len(with_whole) - len(wanted) :]
    results = zip(wanted, chosen_NB.mean(1).tolist(), standard_error(chosen_NB, 1).tolist(), strict=True)
    return [Remembrance(start, value, error, rows) for start, value, error in results]


def _distances(
    model: SequenceModel,
    tokens_BT: Tensor,
    starts: Sequence[int],
    outputs: Space | None,
    chunk: int,
    batch_size: int,
) -> Tensor:
    """Return the distance of each start from the first, which is 0: [N, B], float64, on the CPU."""
    together = max(1, batch_size // len(tokens_BT))
    pieces = [
        _predictions(model, tokens_BT, starts[first : first + together], chunk)
        for first in range(0, len(starts), together)
    ]
    logits_NBV = torch.cat(pieces)
    return distances(space_of(tokens_BT, outputs, logits_NBV), logits_NBV, logits_NBV[:1])


class _Cohort(NamedTuple):
    """Readings that share a batch: row i reads row i modulo B of the tokens."""

    starts: tuple[int, ...]
    place: int
    """How many of the tokens lie behind."""
    state: State
    logits: Tensor


def _predictions(model: SequenceModel, tokens_BT: Tensor, starts: Sequence[int], chunk: int) -> Tensor:
    """Return the answer after the last token for each start, [N, B, V], on the CPU."""
    rows = len(tokens_BT)
    complete: list[_Cohort] = []
    cohort = _restart(model, rows, starts[0])
    for start in starts[1:]:
        cohort, fresh = _read_on(model, cohort, tokens_BT[:, :start], chunk), _restart(model, rows, start)
        if _joinable(cohort.state, fresh.state):
            state = State.concat([cohort.state, fresh.state])
            cohort = _Cohort((*cohort.starts, start), start, state, fresh.logits)
        else:
            complete.append(_read_on(model, cohort, tokens_BT, chunk))
            cohort = fresh
    complete.append(_read_on(model, cohort, tokens_BT, chunk))
    for cohort in complete:
        _check_finite(cohort, rows)
    return torch.cat([cohort.logits.unflatten(0, (len(cohort.starts), rows)).cpu() for cohort in complete])


def _restart(model: SequenceModel, rows: int, start: int) -> _Cohort:
    return _Cohort((start,), start, model.initial_state(rows).of_rows(rows), torch.empty(0))


def _read_on(model: SequenceModel, cohort: _Cohort, tokens_BT: Tensor, chunk: int) -> _Cohort:
    """Read from the place of a cohort to the end of the tokens."""
    state, last = cohort.state, cohort.logits
    rest_BT = tokens_BT[:, cohort.place :]
    for begin, end in spans(rest_BT.shape[1], chunk):
        logits, state = model(torch.cat([rest_BT[:, begin:end]] * len(cohort.starts)), state)
        # A view would keep the logits of the whole piece.
        last = last_logits(logits).clone()
    return _Cohort(cohort.starts, tokens_BT.shape[1], state, last)


def _joinable(running: State, fresh: State) -> bool:
    """Return whether nothing but values tells a running state from a fresh one."""
    same = dict(running.kinds) == dict(fresh.kinds) and all(
        running[name].shape[1:] == fresh[name].shape[1:] for name in fresh
    )
    return same and set(fresh.kinds.values()) <= {Kind.RECURRENT, Kind.CONV}


def _check_finite(cohort: _Cohort, rows: int) -> None:
    broken = (~cohort.logits.isfinite()).any(-1).nonzero()
    if len(broken):
        reading = int(broken[0])
        entry = non_finite_entry(cohort.state.rows([reading]))
        cause = f"the entry {entry!r} of the state is not finite" if entry else "every entry of the state is finite"
        start = cohort.starts[reading // rows]
        raise RunError(f"the prediction after the last token is not finite when reading from token {start}: {cause}")
