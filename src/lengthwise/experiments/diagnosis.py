"""A diagnosis: all that is measured of a language model beyond its training context, as rows without their run.

Shape letters: B rows, S = T + 1 symbols of a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from lengthwise.diagnostics.remembrance import effective_remembrance, remembrance_starts
from lengthwise.diagnostics.state_statistics import StateStatistic, state_statistics
from lengthwise.diagnostics.verdict import student_quantile, verdict
from lengthwise.evaluation.perplexity import RowLosses, log_edges, octave_edges, restarted_losses, row_losses
from lengthwise.experiments.results import Metric
from lengthwise.interventions.base import initial_start, recurrent_entries
from lengthwise.models.base import SequenceModel
from lengthwise.tasks.corpus import Corpus

_WINDOWS = 512
"""Windows that start anew which are read at a time: bounds memory."""


class DiagnosisConfig(BaseModel):
    """What is measured of a language model, in multiples of its training context T."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    reach: int = Field(default=64, ge=2)
    """Perplexity and state are followed up to this many times T."""
    rows: int = Field(default=64, ge=2)
    """Stretches of held-out text, spread evenly."""
    bins: int = Field(default=4, ge=1)
    """Parts of an octave of positions."""
    chunk: int = Field(default=256, ge=1)
    """Symbols read at a time, with the state carried; changes memory and speed only."""
    remembrance_reach: int = Field(default=4, ge=1)
    """Effective remembrance is taken after this many times T symbols."""
    remembrance_starts: int = Field(default=24, ge=0)
    """At how many places the reading is started anew; 0 leaves effective remembrance out."""
    state_rows: int = Field(default=16, ge=0)
    """Stretches over which the state is followed; 0 leaves its statistics out."""
    curve_every: int = Field(default=0, ge=0)
    """Steps between points of the curve of losses against training; none by default. No choice rests on it."""
    curve_rows: int = Field(default=16, ge=2)
    """Stretches for those points."""


class Measurement(NamedTuple):
    """One number of a diagnosis; the fields are those of `DiagnosisRow`."""

    metric: Metric
    part: str
    start: int
    end: int
    value: float
    low: float | None
    high: float | None
    rows: int


def diagnose(model: SequenceModel, corpus: Corpus, context: int, config: DiagnosisConfig) -> Iterator[Measurement]:
    """Measure perplexity by position, effective remembrance and state statistics on held-out text.

    Args:
        model: a language model with logits [B, T, V]; left in evaluation mode.
        corpus: whose held-out side is read.
        context: T, the training context in symbols.
        config: what is measured.

    Returns:
        ``loss`` by position, then ``ratio`` by octave, ``remembrance`` by start, and ``state_*`` by position. A model
        without a recurrent state has no ``state_*``.

    Raises:
        InputError: the held-out text is too short, or does not go with the model.
        RunError: a loss, a prediction or the state is not finite; says where.
    """
    length = config.reach * context
    tokens_BS = _tokens(model, corpus, config.rows, length)
    losses = _row_losses(model, tokens_BS, context, config)
    yield from _by_position(losses, log_edges(length, config.bins))
    edges = octave_edges(length, context)
    restarted = restarted_losses(model, tokens_BS, context, edges, batch_size=_WINDOWS)
    for ratio in verdict(losses.by_octave(edges), context, restarted.by_octave(edges)).ratios:
        yield Measurement(
            "ratio", "", ratio.start - 1, ratio.end, ratio.ratio, ratio.low, ratio.high, len(losses.sums_BN)
        )
    if config.remembrance_starts:
        yield from _remembrance(model, corpus, context, config)
    if config.state_rows and recurrent_entries(initial_start(model, 1)):
        tokens_BT = _tokens(model, corpus, config.state_rows, length)[:, :-1]
        positions = log_edges(length, config.bins)[1:]
        for statistic in state_statistics(model, tokens_BT, positions, chunk=config.chunk):
            yield from _of_state(statistic, config.state_rows)


def loss_curve(model: SequenceModel, corpus: Corpus, context: int, config: DiagnosisConfig) -> dict[str, float]:
    """Return the mean loss of the octaves that end at T, 4 T, 16 T and so on, as ``loss_<last position>``.

    Args:
        model: as in `diagnose`.
        corpus: as in `diagnose`.
        context: as in `diagnose`.
        config: how far, and on how many rows.
    """
    length = config.reach * context
    losses = _row_losses(model, _tokens(model, corpus, config.curve_rows, length), context, config)
    octaves = losses.by_octave(octave_edges(length, context))
    return {f"loss_{octave.end}": math.fsum(octave.row_means) / len(octave.row_means) for octave in octaves[::2]}


def _row_losses(model: SequenceModel, tokens_BS: Tensor, context: int, config: DiagnosisConfig) -> RowLosses:
    length = tokens_BS.shape[1] - 1
    edges = sorted({*log_edges(length, config.bins), *octave_edges(length, context)})
    return row_losses(model, tokens_BS, edges, chunk=config.chunk, batch_size=len(tokens_BS))


def _tokens(model: SequenceModel, corpus: Corpus, rows: int, length: int) -> Tensor:
    return torch.from_numpy(corpus.rows("validation", rows, length)).to(next(model.parameters()).device)


def _by_position(losses: RowLosses, edges: Sequence[int]) -> Iterator[Measurement]:
    half = student_quantile(0.975, len(losses.sums_BN) - 1)
    for place in losses.by_position(edges):
        reach = half * place.standard_error
        low, high = place.mean - reach, place.mean + reach
        yield Measurement("loss", "", place.start - 1, place.end, place.mean, low, high, place.rows)


def _remembrance(model: SequenceModel, corpus: Corpus, context: int, config: DiagnosisConfig) -> Iterator[Measurement]:
    length = config.remembrance_reach * context
    tokens_BT = _tokens(model, corpus, config.rows, length)[:, :-1]
    half = student_quantile(0.975, config.rows - 1)
    for found in effective_remembrance(model, tokens_BT, remembrance_starts(length, config.remembrance_starts)):
        reach = half * found.standard_error
        low, high = max(0.0, found.value - reach), min(1.0, found.value + reach)
        yield Measurement("remembrance", "", found.start, length, found.value, low, high, found.rows)


def _of_state(statistic: StateStatistic, rows: int) -> Iterator[Measurement]:
    part = statistic.entry or ""
    if statistic.head is not None:
        part = f"{part}/{statistic.head}"
    values: tuple[tuple[Metric, float], ...] = (
        ("state_std", statistic.standard_deviation),
        ("state_mean", statistic.mean),
        ("state_max", statistic.largest),
    )
    for metric, value in values:
        yield Measurement(metric, part, 0, statistic.position, value, None, None, rows)
