"""Metrics by point: how right a model is at each length, split, depth or whatever axes a task has.

Shape letters: B rows, T positions, N answers or prefix lengths, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby, islice
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from lengthwise.errors import InputError, RunError
from lengthwise.evaluation.diagnostic import Diagnostic
from lengthwise.evaluation.intervals import student_interval
from lengthwise.evaluation.metrics import metrics_of
from lengthwise.evaluation.rows import Row
from lengthwise.models.base import SequenceModel, StringModel
from lengthwise.models.reading import on_device
from lengthwise.state import Kind
from lengthwise.tasks.base import IGNORE, Batch, Point, Task, checked
from lengthwise.tasks.capabilities import FairPrefixes, PrefixLabels

ELEMENTS = 16_000_000
"""Values held at a time: bounds the memory of an evaluation at about ten times as many bytes."""

ROWS = 1024
"""Sequences of several points that are read in one pass, at most."""

TEST_SAMPLES = 0x1E57
"""Of the generator of the sequences that are measured, beside the seed: the same ones whatever is measured of them."""
_Metrics = Mapping[str, Callable[..., object]]
_Scores = dict[str, Tensor]
"""Metric -> one score a sequence."""
_Score = Callable[[Tensor, Tensor, Tensor, int], _Scores]
"""All metrics of some answers; arguments as in `lengthwise.evaluation.metrics`."""


class ByPoint(Diagnostic):
    """The metrics of a task at each of its points, dropout off.

    Where every prefix of a sample is a sample, the points that share prefixes are read off one set of sequences; their
    results are then not independent of each other. Elsewhere each point has sequences of its own.
    """

    name: ClassVar[str] = "by_point"

    def measure(self, model: StringModel, task: Task, seed: int) -> Iterator[Row]:
        """Yield a row for each point and metric, in the order of the task's points."""
        yield from self.go_on(model, task, seed, ())

    def go_on(self, model: StringModel, task: Task, seed: int, known: Sequence[Row]) -> Iterator[Row]:
        """Yield the rows of the points that follow on those that are known."""
        points, rng = task.points("test"), np.random.default_rng([seed, TEST_SAMPLES])
        rows = evaluate_points(model, task, points, rng, known=len(known) // len(task.metrics))
        yield from islice(rows, len(known) % len(task.metrics), None)

    def check(self, model: StringModel, task: Task) -> None:
        """Refuse metrics that there are not or that do not fit the task, and tasks without a point, before training."""
        if not task.points("test"):
            raise InputError(f"{task.label} has no points to be measured at; give its settings for tests some")
        metrics_of(task)

    def curve(self, model: StringModel, task: Task, seed: int) -> dict[str, float]:
        """Return each metric at the points of a learning curve, as ``<metric>_<length>``.

        Where lengths do not tell the points apart, their other coordinates follow.
        """
        points = task.points("curve")
        rows = evaluate_points(model, task, points, np.random.default_rng([seed, 0xC02E]), shared=False)
        apart = len({point.length for point in points} - {None}) == len(points)
        return {f"{row.metric}_{_place(row, apart)}": row.value for row in rows}


@torch.inference_mode()
def evaluate_points(
    model: StringModel,
    task: Task,
    points: Sequence[Point],
    rng: np.random.Generator,
    *,
    shared: bool = True,
    known: int = 0,
    metrics: _Metrics | None = None,
) -> Iterator[Row]:
    """Evaluate a model at some points.

    Args:
        model: any model; left in evaluation mode.
        task: what it is measured on.
        points: where.
        rng: source of all samples, which do not depend on the model.
        shared: whether points that share prefixes are read off one set of sequences.
        known: of how many points, the first ones, nothing is yielded; their samples are drawn all the same, and the
            model reads no others than it would with none known, so that the rows of the rest are bit-equal.
        metrics: what scores the answers (`lengthwise.evaluation.metrics`), by name; those of the task by default.

    Yields:
        A row for each point and metric.
    """
    model.eval()
    score = partial(_score, task, metrics_of(task) if metrics is None else metrics)
    for (together, _), group in groupby(points, lambda point: (shared and _shares(task, point), _others(point))):
        evaluate, those = _prefixes if together else _apart, list(group)
        for point, scores in evaluate(model, task, those, rng, min(known, len(those)), score):
            yield from _rows(task, point, scores)
        known = max(0, known - len(those))


def _place(row: Row, by_length: bool) -> str:
    return str(row.axes["length"]) if by_length else "_".join(map(str, row.axes.values()))


def _shares(task: Task, point: Point) -> bool:
    return isinstance(task, FairPrefixes) and task.shares_prefixes(point)


def _others(point: Point) -> list[tuple[str, Any]]:
    """Return the axes of a point but its length."""
    return sorted((name, value) for name, value in point.axes.items() if name != "length")


def _rows(task: Task, point: Point, scores: _Scores) -> Iterator[Row]:
    for metric, scores_B in scores.items():
        if wrong := int(scores_B.isnan().sum()):
            raise InputError(
                f"metric {metric!r} of {task.label} at {dict(point.axes)} is not a number for {wrong} of "
                f"{len(scores_B)} sequences; a sequence that is asked nothing has no score"
            )
        low = high = None
        # The interval of a proportion follows from its value and the samples.
        if not bool(((scores_B == 0) | (scores_B == 1)).all()):
            low, high = student_interval(scores_B.tolist())
        samples, axes = len(scores_B), dict(point.axes)
        value = float(scores_B.sum()) / samples
        yield Row(task=task.label, metric=metric, value=value, low=low, high=high, samples=samples, axes=axes)


def _prefixes(
    model: StringModel, task: Task, points: Sequence[Point], rng: np.random.Generator, known: int, score: _Score
) -> Iterator[tuple[Point, _Scores]]:
    """Evaluate points that differ in their lengths on the prefixes of one set of sequences."""
    lengths, samples = [point.length or 0 for point in points], points[0].samples
    batch = task.sample(rng, samples, points[-1])
    if known == len(points):
        return
    assert isinstance(task, PrefixLabels)  # prefixes that are samples have labels
    targets_BN = task.label_prefixes(batch).targets[:, np.asarray(lengths) - 1]
    if missing := [n for n, column_B in zip(lengths, targets_BN.T, strict=True) if (column_B == IGNORE).any()]:
        raise InputError(f"strings of length {missing[0]} of {task.label} are not all labelled")
    size, found = max(1, ELEMENTS // (_width(model) * 2 * lengths[-1])), list[_Scores]()
    for start in range(0, samples, size):
        piece = slice(start, start + size)
        inputs, targets = on_device(model, batch.inputs[piece], targets_BN[piece])
        logits_BNC = model.prefix_logits(inputs, lengths)
        rows = torch.arange(targets.numel(), device=targets.device)
        found.append(score(logits_BNC.flatten(0, 1), targets.flatten(), rows, targets.numel()))
    by_metric = {name: torch.cat([scores[name] for scores in found]).view(samples, -1) for name in found[0]}
    for number, point in enumerate(points[known:], start=known):
        yield point, {name: scores_BN[:, number] for name, scores_BN in by_metric.items()}


def _apart(
    model: StringModel, task: Task, points: Sequence[Point], rng: np.random.Generator, known: int, score: _Score
) -> Iterator[tuple[Point, _Scores]]:
    """Evaluate each point on sequences of its own."""
    found: list[list[_Scores]] = [[] for _ in points]
    for pieces in _together(model, task, _drawn(task, points, rng)):
        if pieces[-1][0] < known:
            continue
        batch = Batch.joined([piece for _, piece in pieces])
        inputs, targets, asked_BT = on_device(model, batch.inputs, batch.targets, batch.asked)
        answers = model.asked_logits(inputs, asked_BT)
        scores = score(answers, targets[asked_BT], asked_BT.nonzero()[:, 0], len(batch))
        end = 0
        for place, piece in pieces:
            begin, end = end, end + len(piece)
            found[place].append({name: each[begin:end] for name, each in scores.items()})
        # As soon as it is whole, so that an evaluation can be watched, and left, at every row.
        while known < len(points) and _count(parts := found[known]) == points[known].samples:
            yield points[known], {name: torch.cat([scores[name] for scores in parts]) for name in parts[0]}
            known += 1
    if known < len(points):
        raise InputError(f"{task.label} has other than {points[known].samples} samples at {dict(points[known].axes)}")


def _count(parts: Sequence[_Scores]) -> int:
    return sum(len(next(iter(scores.values()), ())) for scores in parts)


def _score(task: Task, metrics: _Metrics, answers: Tensor, targets: Tensor, rows: Tensor, count: int) -> _Scores:
    # The largest of logits that are not numbers is the first of them: to a metric that is an answer like any other.
    if wrong := int(answers.isnan().any(-1).sum()):
        raise RunError(f"the model gives NaN for {wrong} of {len(answers)} answers to {task.label}")
    scored = _Scores()
    for name, metric in metrics.items():
        scores = metric(answers, targets, rows, count)
        if not isinstance(scores, Tensor) or scores.shape != (count,):
            what = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise InputError(f"metric {name!r} gives one score a sequence, [{count}], not {what}")
        scored[name] = scores.cpu()
    return scored


def _drawn(task: Task, points: Sequence[Point], rng: np.random.Generator) -> Iterator[tuple[int, Batch]]:
    """Draw the sequences of each point, in batches that do not depend on the model."""
    for number, point in enumerate(points):
        rows = max(1, ELEMENTS // (2 * max(point.length or ROWS, 1)))
        for batch in task.batches(rng, point, rows):
            yield number, checked(batch, task, point)


def _together(
    model: StringModel, task: Task, batches: Iterable[tuple[int, Batch]]
) -> Iterator[list[tuple[int, Batch]]]:
    """Cut batches to what a model can read at a time, and join them where it reads many lengths in one pass."""
    own = 2 if _forgets(model) else 2 * _width(model)
    most = ROWS if model.gives_every_prefix() else 0
    held, count, longest = list[tuple[int, Batch]](), 0, 0
    for number, batch in batches:
        # Where much is asked, answers are what takes the memory.
        many = int(batch.asked.sum()) > len(batch)
        symbols = ELEMENTS // max(own, task.outputs.size if many else 0)
        rows = max(1, min(most or symbols, symbols // batch.inputs.shape[1]))
        for start in range(0, len(batch), rows):
            piece = batch.rows(slice(start, start + rows))
            count, longest = count + len(piece), max(longest, piece.inputs.shape[1])
            if held and (count > most or count * longest > symbols):
                yield held
                held, count, longest = [], len(piece), piece.inputs.shape[1]
            held.append((number, piece))
    if held:
        yield held


def _forgets(model: StringModel) -> bool:
    """Whether what a model holds does not grow with the length of what it read."""
    return isinstance(model, SequenceModel) and Kind.CACHE not in model.initial_state(1).kinds.values()


def _width(model: StringModel) -> int:
    """Return the values that a model holds of a symbol; a guess where its settings do not say."""
    return getattr(getattr(model, "config", None), "width", 64)
