import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lengthwise.errors import InputError
from lengthwise.tasks.base import Batch, Ints
from lengthwise.tasks.corpus import Corpus, Text, TextConfig
from lengthwise.tasks.sources import FilesSource
from lengthwise.tasks.windows import AlignedWindows, RandomWindows, Windows


def corpus_of(lengths: list[int], documents: Literal["packed", "separate"]) -> Corpus:
    """Return a corpus whose symbols are all different, so that a symbol tells where it stands."""
    starts_D = np.cumsum([0, *lengths[:-1]], dtype=np.int64)
    tokens_N = np.arange(sum(lengths), dtype=np.int32)
    text = Text(tokens_N, starts_D)
    return Corpus(text, text, len(tokens_N), 0, documents, f"{lengths}")


def document_of(tokens: Ints, corpus: Corpus) -> Ints:
    return np.searchsorted(corpus.train.starts_D, tokens, side="right")


def symbols(batch: Batch) -> Ints:
    """Return the symbols [B, S] of windows, each but the first of which is predicted from those before it."""
    assert (batch.inputs[:, 1:] == batch.targets[:, :-1]).all()
    assert batch.inputs.dtype == batch.targets.dtype
    assert batch.asked.all()
    assert (batch.lengths == batch.inputs.shape[1]).all()
    return np.concatenate([batch.inputs[:, :1], batch.targets], 1)


def batches(windows: Windows, rng: np.random.Generator, count: int) -> list[Batch]:
    return [windows.next_batch(rng) for _ in range(count)]


some_lengths = st.lists(st.integers(2, 40), min_size=1, max_size=8)
sizes = {"lengths": some_lengths, "length": st.integers(1, 12), "seed": st.integers(0, 99)}


@given(**sizes, documents=st.sampled_from(["packed", "separate"]), batch_size=st.integers(1, 5))
def test_random_windows_are_contiguous_and_inside_one_document_when_separate(
    lengths: list[int], length: int, seed: int, documents: Any, batch_size: int
) -> None:
    corpus = corpus_of(lengths, documents)
    assume(length < (sum(lengths) if documents == "packed" else max(lengths)))
    windows = RandomWindows(corpus, "train", length, batch_size)
    batch = windows.next_batch(np.random.default_rng(seed))
    assert symbols(batch).shape == (batch_size, length + 1)
    assert symbols(batch).dtype == np.int64
    assert (np.diff(symbols(batch)) == 1).all()
    assert batch.fresh.all()
    if documents == "separate":
        found = document_of(symbols(batch), corpus)
        assert (found == found[:, :1]).all()
    assert windows.too_short == (0 if documents == "packed" else sum(size <= length for size in lengths))


def test_every_place_is_drawn_equally_often() -> None:
    corpus = corpus_of([3, 8, 5, 2, 6], "separate")
    windows = RandomWindows(corpus, "train", 4, 28_000)
    first = symbols(windows.next_batch(np.random.default_rng(0)))[:, 0]
    places, counts = np.unique(first, return_counts=True)
    assert places.tolist() == [3, 4, 5, 6, 11, 18, 19]
    assert (abs(counts - 4000) < 4 * 4000**0.5).all()


@given(**sizes, batch_size=st.integers(1, 5), steps=st.integers(1, 30))
def test_rows_of_packed_windows_walk_through_the_text(
    lengths: list[int], length: int, seed: int, batch_size: int, steps: int
) -> None:
    size = sum(lengths)
    assume(length < size)
    windows = AlignedWindows(corpus_of(lengths, "packed"), "train", length, batch_size)
    found = batches(windows, np.random.default_rng(seed), steps)
    walked = np.concatenate([symbols(found[0])[:, :1], *(symbols(batch)[:, 1:] for batch in found)], 1)
    assert ((walked - walked[:, :1]) % size == np.arange(steps * length + 1) % size).all()
    assert [batch.fresh.tolist() for batch in found] == [[number == 0] * batch_size for number in range(steps)]


@pytest.mark.slow
@given(**sizes, batch_size=st.integers(1, 5), steps=st.integers(1, 30), reset=st.booleans())
def test_rows_of_separate_windows_walk_through_one_document_after_the_other(
    lengths: list[int], length: int, seed: int, batch_size: int, steps: int, reset: bool
) -> None:
    assume(length < max(lengths))
    corpus = corpus_of(lengths, "separate")
    windows = AlignedWindows(corpus, "train", length, batch_size, reset)
    found = batches(windows, np.random.default_rng(seed), steps)
    for number, batch in enumerate(found):
        documents = document_of(symbols(batch), corpus)
        assert (np.diff(symbols(batch)) == 1).all()
        assert (documents == documents[:, :1]).all()
        for row, first in enumerate(symbols(batch)[:, 0]):
            last = symbols(found[number - 1])[row, -1] if number else None
            begins = first in corpus.train.starts_D
            assert begins or first == last
            if begins and last is not None:
                document = document_of(last, corpus) - 1
                assert corpus.train.starts_D[document] + lengths[document] - last <= length
            assert batch.fresh[row] == (begins if reset else number == 0)


@given(
    **sizes,
    kind=st.sampled_from(["random", "packed", "separate", "reset"]),
    before=st.integers(0, 8),
    batch_size=st.integers(1, 4),
)
def test_a_resumed_stream_goes_on_exactly(
    lengths: list[int], length: int, seed: int, kind: str, before: int, batch_size: int
) -> None:
    assume(length < max(lengths))
    corpus = corpus_of(lengths, "separate" if kind in ("separate", "reset") else "packed")

    def build() -> Windows:
        if kind == "random":
            return RandomWindows(corpus, "train", length, batch_size)
        return AlignedWindows(corpus, "train", length, batch_size, reset=kind == "reset")

    rng, windows = np.random.default_rng(seed), build()
    batches(windows, rng, before)
    values, generator = json.loads(json.dumps(windows.state())), rng.bit_generator.state
    expected = batches(windows, rng, 6)
    again = np.random.default_rng()
    again.bit_generator.state = generator
    resumed = build()
    resumed.restore(values)
    for one, other in zip(expected, batches(resumed, again, 6), strict=True):
        assert symbols(one).tolist() == symbols(other).tolist()
        assert one.fresh.tolist() == other.fresh.tolist()


@given(
    lengths=some_lengths,
    length=st.integers(1, 30),
    rows=st.integers(1, 12),
    documents=st.sampled_from(["packed", "separate"]),
)
def test_rows_are_different_and_disjoint_where_the_text_allows(
    lengths: list[int], length: int, rows: int, documents: Any
) -> None:
    corpus = corpus_of(lengths, documents)
    stretches = [sum(lengths)] if documents == "packed" else lengths
    places = sum(max(stretch - length, 0) for stretch in stretches)
    if places < rows:
        with pytest.raises(InputError, match=r"so the largest length is|different windows of length"):
            corpus.rows("validation", rows, length)
        return
    tokens_RS = corpus.rows("validation", rows, length)
    assert tokens_RS.shape == (rows, length + 1)
    assert (np.diff(tokens_RS) == 1).all()
    assert len(np.unique(tokens_RS[:, 0])) == rows
    if documents == "separate":
        found = document_of(tokens_RS, corpus)
        assert (found == found[:, :1]).all()
    if sum(stretch // (length + 1) for stretch in stretches) >= rows:
        assert len(np.unique(tokens_RS)) == tokens_RS.size


def test_rows_reach_beyond_131072_symbols() -> None:
    corpus = corpus_of([500_000, 100_000], "packed")
    tokens_RS = corpus.rows("validation", 3, 131_072 + 1000)
    assert tokens_RS[:, 0].tolist() == [0, 2 * tokens_RS.shape[1], 3 * tokens_RS.shape[1]]


def test_windows_that_do_not_fit_are_refused() -> None:
    lengths = [30, 10]
    with pytest.raises(
        InputError, match=r"longest train document has 30, so the largest length is 29 .*packed, it is 3"
    ):
        RandomWindows(corpus_of(lengths, "separate"), "train", 30)
    with pytest.raises(
        InputError, match=r"the whole validation text has 40, so the largest length is 39; a text of about \d+ symbols"
    ):
        AlignedWindows(corpus_of(lengths, "packed"), "validation", 40, 2)
    assert RandomWindows(corpus_of(lengths, "separate"), "train", 29).too_short == 1
    with pytest.raises(InputError, match="at least 1, not 0 and 2"):
        AlignedWindows(corpus_of(lengths, "packed"), "train", 0, 2)
    with pytest.raises(InputError, match="needs documents: separate"):
        AlignedWindows(corpus_of(lengths, "packed"), "train", 4, 2, reset=True)


@pytest.mark.parametrize("documents", ["packed", "separate"])
@pytest.mark.parametrize("loose", [0, 1, 3])
def test_loose_rows_are_fresh_at_random_places_and_the_others_walk(documents: Any, loose: int) -> None:
    corpus = corpus_of([500, 700, 600], documents)
    windows = AlignedWindows(corpus, "train", 5, batch_size=3, loose=loose)
    first, *later = batches(windows, np.random.default_rng(0), 40)
    assert first.fresh.all()
    for before, after in zip([first, *later], later, strict=False):
        assert after.fresh.tolist() == [True] * loose + [False] * (3 - loose)
        continues = symbols(after)[:, 0] == symbols(before)[:, -1]
        assert not continues[:loose].any()
    walked = (
        []
        if loose == 3
        else [
            (symbols(b)[loose:, 0] == symbols(a)[loose:, -1]).mean()
            for a, b in zip([first, *later], later, strict=False)
        ]
    )
    assert loose == 3 or np.mean(walked) > 0.9
    starts = np.array([symbols(batch)[:loose, 0] for batch in later])
    assert loose == 0 or len(np.unique(starts)) > 0.9 * starts.size


def test_there_are_not_more_loose_rows_than_rows() -> None:
    with pytest.raises(InputError, match="loose rows are 0 to all 2 of the batch, not 3"):
        AlignedWindows(corpus_of([50], "packed"), "train", 5, batch_size=2, loose=3)


def test_a_state_of_other_windows_is_refused() -> None:
    packed, separate = corpus_of([30, 10], "packed"), corpus_of([30, 10], "separate")
    rng = np.random.default_rng(0)
    windows = AlignedWindows(packed, "train", 4, 2)
    windows.next_batch(rng)
    for other, message in [
        (
            AlignedWindows(corpus_of([40], "packed"), "train", 4, 2),
            r"its fingerprint is \[40\], that of the run is \[30",
        ),
        (AlignedWindows(packed, "train", 4, 3), "has 2 rows, the batch has 3"),
        (AlignedWindows(separate, "train", 4, 2), "does not belong to documents: separate"),
    ]:
        with pytest.raises(InputError, match=message):
            other.restore(windows.state())
    with pytest.raises(InputError, match=r"made by random windows"):
        windows.restore(RandomWindows(packed, "train", 4).state())


def test_windows_of_files_give_their_bytes(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.txt").write_text(f"text number {number:02}")
    config = TextConfig(source=FilesSource(paths=(str(tmp_path),)), documents="separate")
    batch = AlignedWindows(Corpus.load(config), "train", 14, 4, reset=True).next_batch(np.random.default_rng(0))
    assert (symbols(batch)[:, 0] == 256).all()
    for row in symbols(batch)[:, 1:]:
        assert bytes(row.tolist()).decode().startswith("text number ")
