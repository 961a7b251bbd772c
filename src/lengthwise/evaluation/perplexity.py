"""Perplexity by position: cross-entropy at each distance from the start, in memory that is flat in the length.

Shape letters: B rows, S = length + 1 tokens of a row, T tokens of a piece, V symbols, N bins, M coarser bins.
Position t, from 1, is the prediction of the token with index t from the t tokens before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from lengthwise.errors import InputError, RunError
from lengthwise.evaluation.losses import PositionLoss
from lengthwise.models.answers import answer_losses, space_of
from lengthwise.models.base import Piece, SequenceModel, read
from lengthwise.models.reading import check_tokens, non_finite_entry
from lengthwise.spaces import Space, Tokens
from lengthwise.state import State


@dataclass(frozen=True)
class RowLosses:
    """Sums of the cross-entropy of every row in every bin: one reading from which any coarser bins follow.

    Args:
        edges: increasing; bin n holds the positions edges[n] + 1 to edges[n + 1].
        sums_BN: [B, N] nats, float64, on the CPU.
    """

    edges: tuple[int, ...]
    sums_BN: Tensor

    def means(self, edges: Sequence[int]) -> Tensor:
        """Return the mean cross-entropy of each row between these edges, [B, M] nats.

        Args:
            edges: M + 1 increasing edges, all among the edges of the reading.

        Raises:
            InputError: an edge was not one of the reading.
        """
        missing = sorted(set(edges) - set(self.edges))
        if missing:
            raise InputError(f"the losses were not cut at {', '.join(map(str, missing))}: read them with that edge")
        places = [self.edges.index(edge) for edge in edges]
        means = [self.sums_BN[:, i:j].sum(1) / (self.edges[j] - self.edges[i]) for i, j in pairwise(places)]
        return torch.stack(means, 1)

    def by_position(self, edges: Sequence[int]) -> list[PositionLoss]:
        """Return mean and standard error over rows, and the rows' own means, between these edges."""
        means_BM = self.means(edges)
        columns = means_BM.mean(0).tolist(), standard_error(means_BM, 0).tolist(), means_BM.T.tolist()
        bins = zip(pairwise(edges), *columns, strict=True)
        return [PositionLoss(a + 1, b, mean, error, len(own), tuple(own)) for (a, b), mean, error, own in bins]


def standard_error(values: Tensor, dim: int) -> Tensor:
    """Return the standard error of the mean over independent values.

    Args:
        values: of any shape.
        dim: the dimension that the mean is over.

    Returns:
        std / sqrt(n), with n - 1 in the denominator of the variance; NaN for a single value.
    """
    count = values.shape[dim]
    if count < 2:
        return torch.full_like(values.sum(dim), math.nan)
    return values.std(dim) / math.sqrt(count)


def log_edges(length: int, bins: int = 4) -> list[int]:
    """Return the edges of log-spaced bins of the positions 1 to a length.

    The edges are 0 and round(2^(i / bins)) for i = 0, 1, 2, ..., each once, up to the length, and the length itself:
    every power of two is an edge, and far out each octave has the same number of bins of equal ratio.

    Args:
        length: the last position.
        bins: parts of an octave.

    Raises:
        InputError: there are no positions or no bins.
    """
    if length < 1 or bins < 1:
        raise InputError(f"log-spaced bins need a length and bins of at least 1, not {length} and {bins}")
    inner = {round(2 ** (i / bins)) for i in range(math.ceil(bins * math.log2(length)) + 1)}
    return sorted({0, length, *(edge for edge in inner if edge < length)})


def octave_edges(length: int, context: int) -> list[int]:
    """Return the edges T/2, T, 2 T, 4 T, ... of the octaves around a training context T.

    The last octave ends with the length. Where less than half of it would be left, that joins the octave before.

    Args:
        length: the last position.
        context: the training context T, in tokens.

    Raises:
        InputError: the context has no octave, or nothing lies beyond it.
    """
    if context < 2:
        raise InputError(f"a training context has at least 2 tokens, not {context}")
    if length <= context:
        raise InputError(
            f"nothing lies beyond the training context of {context} in {length} positions: "
            f"give rows of {2 * context + 1} tokens or more"
        )
    edges = [context // 2, context]
    while edges[-1] < length:
        edges.append(min(2 * edges[-1], length))
    if len(edges) > 3 and 2 * (edges[-1] - edges[-2]) < edges[-2]:
        del edges[-2]
    return edges


def position_losses(
    model: SequenceModel,
    tokens_BS: Tensor,
    *,
    targets: Tensor | None = None,
    outputs: Space | None = None,
    bins: int = 4,
    chunk: int = 512,
    batch_size: int = 8,
) -> list[PositionLoss]:
    """Return the loss by position in log-spaced bins: the cross-entropy, or what the answers are said to have.

    At position t row b has the loss -log p(x[b, t] | x[b, 0:t]), t = 1, ..., S - 1. A bin's mean is over its positions
    and all rows. The losses of one row depend on each other, so the standard error is that of the B means of the rows:
    their standard deviation (B - 1 in the denominator) over the square root of B.

    Args:
        model: a language model with logits [B, T, V]; left in evaluation mode.
        tokens_BS: [B, S] symbols, or [B, S, F] values, on the model's device; each row starts from the initial state.
        targets: where something else is asked than what comes next: [B, S] classes or [B, S, F] values, that at index
            t - 1 after t inputs. All S inputs are read then.
        outputs: what is answered, with its loss, such as ``Values(1, "binary_cross_entropy")``; by default symbols
            where symbols are read, and values with the squared error where values are.
        bins: parts of an octave, see `log_edges`.
        chunk: tokens read at a time, with the state carried; changes memory and speed only.
        batch_size: rows read at a time; changes memory and speed only.

    Returns:
        One result a bin, in order.

    Raises:
        InputError: the tokens cannot be read, or lie outside the model's vocabulary.
        RunError: a loss is not finite; says where, and which entry of the state is the first that is not.

    Source: Buitrago Ruiz and Gu 2025 (arXiv 2507.02782), perplexity by position; the bins are our choice.
    """
    edges = log_edges(_pair(tokens_BS, targets)[0].shape[1], bins)
    found = row_losses(model, tokens_BS, edges, targets=targets, outputs=outputs, chunk=chunk, batch_size=batch_size)
    return found.by_position(edges)


def unigram_loss(tokens_BS: Tensor) -> float:
    """Return the mean loss of guessing each predicted symbol by its frequency among them, in nats.

    Args:
        tokens_BS: [B, S] symbols, as in `position_losses`; the first of each row is not predicted.

    Example:
        >>> unigram_loss(torch.tensor([[0, 1, 2, 3, 4]])) == math.log(4)
        True
    """
    counts = torch.bincount(tokens_BS[:, 1:].flatten().cpu()).double()
    shares = counts[counts > 0] / counts.sum()
    return -float((shares * shares.log()).sum())


def octave_losses(
    model: SequenceModel,
    tokens_BS: Tensor,
    context: int,
    *,
    targets: Tensor | None = None,
    outputs: Space | None = None,
    chunk: int = 512,
    batch_size: int = 8,
) -> list[PositionLoss]:
    """Return each row's mean loss in the octaves (T/2, T], (T, 2 T], (2 T, 4 T], ... of a training context T.

    Args:
        model: as in `position_losses`.
        tokens_BS: as in `position_losses`, with S - 1 > T.
        context: the training context T, in tokens.
        targets: as in `position_losses`.
        outputs: as in `position_losses`.
        chunk: as in `position_losses`.
        batch_size: as in `position_losses`.

    Returns:
        The octave that ends at T first, then those beyond it, see `octave_edges`.

    Raises:
        InputError: as in `position_losses`, or nothing lies beyond the context.
        RunError: as in `position_losses`.
    """
    edges = octave_edges(_pair(tokens_BS, targets)[0].shape[1], context)
    found = row_losses(model, tokens_BS, edges, targets=targets, outputs=outputs, chunk=chunk, batch_size=batch_size)
    return found.by_position(edges)


@torch.no_grad()
def row_losses(
    model: SequenceModel,
    tokens_BS: Tensor,
    edges: Sequence[int],
    *,
    targets: Tensor | None = None,
    outputs: Space | None = None,
    chunk: int = 512,
    batch_size: int = 8,
    state: State | None = None,
) -> RowLosses:
    """Read rows once and sum the loss of each in each bin.

    Kept are the sums, one piece of logits of `batch_size` x `chunk` positions, and the state: nothing grows with S.

    Args:
        model: as in `position_losses`.
        tokens_BS: as in `position_losses`.
        edges: increasing integers in 0..S - 1; bin n holds the positions edges[n] + 1 to edges[n + 1]. The union of
            `log_edges` and `octave_edges` serves both with one reading.
        targets: as in `position_losses`.
        outputs: as in `position_losses`.
        chunk: as in `position_losses`.
        batch_size: as in `position_losses`.
        state: of B rows, that they start from; the initial one by default.

    Raises:
        InputError: as in `position_losses`, or the edges are not increasing integers within the rows.
        RunError: as in `position_losses`.
    """
    inputs, asked = _pair(tokens_BS, targets)
    _check_bins(inputs, edges, batch_size)
    model.eval()
    sums = list[Tensor]()
    for begin in range(0, len(inputs), batch_size):
        rows = slice(begin, begin + batch_size)
        start = None if state is None else state.rows(rows)
        sums.append(_sums(model, inputs[rows], asked[rows], outputs, edges, chunk, start))
    return RowLosses(tuple(edges), torch.cat(sums))


@torch.no_grad()
def restarted_losses(
    model: SequenceModel,
    tokens_BS: Tensor,
    context: int,
    edges: Sequence[int],
    *,
    targets: Tensor | None = None,
    outputs: Space | None = None,
    batch_size: int = 8,
    burn_in: int | None = None,
) -> RowLosses:
    """Sum the loss of the same symbols, each read at places T/2 + 1 to T of a window that starts anew.

    Windows of T symbols begin every T/2 and start from the initial state; the second half of each counts. So every
    symbol beyond the first T/2 is read once, as in training near the end of the context. Against `row_losses` on the
    same edges only the state differs, not the text. With another burn-in N windows begin every T - N.

    Args:
        model: as in `position_losses`.
        tokens_BS: as in `position_losses`, with S - 1 >= T.
        context: the training context T, in tokens.
        edges: as in `row_losses`, from T/2 on, such as `octave_edges` gives.
        targets: as in `position_losses`.
        outputs: as in `position_losses`.
        batch_size: rows times windows read at a time; changes memory and speed only.
        burn_in: symbols at the start of a window that do not count, less than T; those of the row's first window do
            where edges ask for them. T/2 by default.

    Raises:
        InputError: as in `row_losses`, or an edge is before T/2 or the rows are shorter than a window.
        RunError: as in `position_losses`; the position is that in the window.
    """
    inputs, asked = _pair(tokens_BS, targets)
    _check_bins(inputs, edges, batch_size)
    half, length = context // 2 if burn_in is None else burn_in, inputs.shape[1]
    if burn_in is not None and not 0 <= burn_in < context:
        raise InputError(f"a burn-in of {burn_in} leaves nothing of windows of {context}")
    if not 2 <= context <= length or (burn_in is None and edges[0] < half):
        raise InputError(
            f"windows of {context} in rows of {length} positions read each symbol from place {half + 1} on: "
            f"edges start at {half} or later, not {edges[0]}"
        )
    model.eval()
    sums_BN = torch.zeros(len(inputs), len(edges) - 1, dtype=torch.float64)
    begins = [*range(0, length - context, context - half), length - context]
    together = max(1, batch_size // len(inputs))
    read_to = min(half, edges[0])
    for some in (begins[i : i + together] for i in range(0, len(begins), together)):
        # Windows first, then rows, of inputs as of what is asked after them.
        windows = [torch.cat([every[:, begin : begin + context] for begin in some]) for every in (inputs, asked)]
        # An edge at every position, so that a bin holds a position of the window.
        groups = zip(*(window.split(batch_size) for window in windows), strict=True)
        by_place = [_sums(model, read, right, outputs, range(context + 1), context) for read, right in groups]
        losses_WBT = torch.cat(by_place).unflatten(0, (len(some), len(inputs)))
        for begin, losses_BT in zip(some, losses_WBT, strict=True):
            positions = torch.arange(read_to + 1, begin + context + 1)
            kept = (positions > edges[0]) & (positions <= edges[-1])
            places = torch.bucketize(positions[kept], torch.tensor(edges[1:]))
            sums_BN.index_add_(1, places, losses_BT[:, read_to - begin :][:, kept])
            read_to = begin + context
    return RowLosses(tuple(edges), sums_BN)


def _pair(tokens_BS: Tensor, targets: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return what is read, [B, T] or [B, T, F], and what is asked after each of it.

    Raises:
        InputError: there is nothing to be read, or not one target an input.
    """
    check_tokens(tokens_BS, 2 if targets is None else 1)
    if targets is None:
        return tokens_BS[:, :-1], tokens_BS[:, 1:]
    if targets.shape[:2] != tokens_BS.shape[:2] or targets.ndim != (3 if targets.is_floating_point() else 2):
        raise InputError(
            f"targets are classes [rows, positions] or values [rows, positions, numbers], one for each input of "
            f"{list(tokens_BS.shape[:2])}, not {targets.dtype} of shape {list(targets.shape)}"
        )
    if targets.is_floating_point() and bool(targets.isnan().any()):
        raise InputError("targets hold NaN: by position something is asked after every input")
    return tokens_BS, targets


def _check_bins(inputs: Tensor, edges: Sequence[int], batch_size: int) -> None:
    check_tokens(inputs, 1, batch_size)
    length = inputs.shape[1]
    increasing = all(left < right for left, right in pairwise(edges))
    if len(edges) < 2 or not increasing or edges[0] < 0 or edges[-1] > length:
        raise InputError(f"edges of bins must be two or more increasing integers in 0..{length}, not {list(edges)}")


def _sums(
    model: SequenceModel,
    inputs: Tensor,
    targets: Tensor,
    outputs: Space | None,
    edges: Sequence[int],
    chunk: int,
    state: State | None = None,
) -> Tensor:
    sums_BN = torch.zeros(len(inputs), len(edges) - 1, dtype=torch.float64)
    ends_N = torch.tensor(edges[1:])
    for piece in read(model, inputs[:, : edges[-1]], chunk, state=state):
        losses_BT = _losses(piece, inputs, targets[:, piece.begin : piece.end], outputs)
        if not bool(losses_BT.isfinite().all()):
            raise _not_finite(model, inputs, piece, losses_BT)
        skipped = max(0, edges[0] - piece.begin)
        positions_T = torch.arange(piece.begin + 1, piece.end + 1)[skipped:]
        # On the CPU, since not every device has float64.
        sums_BN.index_add_(1, torch.bucketize(positions_T, ends_N), losses_BT[:, skipped:].cpu().double())
    return sums_BN


def _losses(piece: Piece, inputs: Tensor, targets: Tensor, outputs: Space | None) -> Tensor:
    """Return the loss at every position of a piece, [B, T], in float32 or better."""
    logits_BTV = piece.output.logits
    if logits_BTV.ndim != 3:
        raise InputError(
            "perplexity needs logits at every token, [rows, tokens, symbols]; "
            f"this model gives {list(logits_BTV.shape)}"
        )
    space = space_of(inputs, outputs, logits_BTV)
    if isinstance(space, Tokens) and int(targets.max()) >= logits_BTV.shape[-1]:
        raise InputError(
            f"token {int(targets.max())} is outside the model's vocabulary of {logits_BTV.shape[-1]}: "
            "the text and the model must use the same tokenizer"
        )
    losses = answer_losses(space, logits_BTV.flatten(0, 1), targets.flatten(0, 1))
    return losses.view(logits_BTV.shape[:2])


def _not_finite(model: SequenceModel, inputs: Tensor, piece: Piece, losses_BT: Tensor) -> RunError:
    """Return the error for a piece with a loss that is not finite, having read that piece again up to there."""
    read_on = int((~losses_BT.isfinite()).any(0).nonzero()[0]) + 1
    state = model(inputs[:, piece.begin : piece.begin + read_on], piece.before).state
    entry = non_finite_entry(state)
    cause = f"the entry {entry!r} of the state is not finite there" if entry else "every entry of the state is finite"
    return RunError(f"the loss at position {piece.begin + read_on} is not finite: {cause}")
