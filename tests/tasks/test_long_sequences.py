"""Pieces: put together they are the sequences that they were cut from, and streams of them go on exactly."""

import numpy as np
import pytest

from lengthwise.errors import InputError
from lengthwise.tasks.base import IGNORE, Point
from lengthwise.tasks.copying import Copying
from lengthwise.tasks.lengths import TrainLengths
from lengthwise.tasks.passkey import Passkey
from lengthwise.tasks.pieces import Pieces
from lengthwise.tasks.regular.task import Regular

TASK = Passkey(digits=2, train=TrainLengths(minimum=16, maximum=20), lengths=(20,))
ANY = Point({})


def test_pieces_put_together_are_samples_of_so_many_training_lengths() -> None:
    pieces, rng = Pieces(TASK, rows=5, loose=2, spans=(2, 4)), np.random.default_rng(0)
    rows: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(3)]
    spans = list[int]()
    for _ in range(40):
        batch = pieces.next_batch(rng, ANY)
        assert batch.inputs.shape == (5, 20)
        assert batch.fresh[:2].all()
        assert (batch.targets[:2, -2:] != IGNORE).all()
        for row, parts in enumerate(rows):
            if batch.fresh[2 + row] and parts:
                targets = np.concatenate([target for _, target in parts])
                assert (targets != IGNORE).sum() == 2
                assert (targets[-2:] != IGNORE).all()
                spans.append(len(parts))
                parts.clear()
            parts.append((batch.inputs[2 + row], batch.targets[2 + row]))
    assert set(spans) == {2, 3, 4}


def test_what_does_not_divide_evenly_is_padded_at_the_end() -> None:
    task = Copying(symbols=3, train=TrainLengths(maximum=5))
    pieces, rng = Pieces(task, rows=2, loose=1, spans=(3, 3)), np.random.default_rng(0)
    read, asked = list[int](), list[int]()
    for _ in range(3):
        batch = pieces.next_batch(rng, ANY)
        read += batch.inputs[1, : batch.lengths[1]].tolist()
        asked += batch.targets[1, : batch.lengths[1]].tolist()
    assert read[15] == 3
    assert asked[15:] == read[:15]
    assert pieces.next_batch(rng, ANY).fresh[1]


def test_a_stream_goes_on_where_it_was_kept() -> None:
    first, rng = Pieces(TASK, rows=6, loose=1, spans=(2, 5)), np.random.default_rng(0)
    for _ in range(7):
        first.next_batch(rng, ANY)
    second, other = Pieces(TASK, rows=6, loose=1, spans=(2, 5)), np.random.default_rng(0)
    second.restore(first.state())
    other.bit_generator.state = rng.bit_generator.state
    for _ in range(9):
        expected, found = first.next_batch(rng, ANY), second.next_batch(other, ANY)
        for name in ("inputs", "targets", "lengths", "fresh"):
            assert (getattr(found, name) == getattr(expected, name)).all()
    with pytest.raises(InputError, match="cannot go on"):
        Pieces(TASK, rows=4, loose=1, spans=(2, 5)).restore(first.state())


def test_languages_have_pieces_too() -> None:
    batch = Pieces(Regular(language="parity"), 4, 2, (2, 3)).next_batch(np.random.default_rng(0), ANY)
    assert batch.inputs.shape == (4, 40)
