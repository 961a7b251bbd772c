"""Text of any size: read in pieces, in bounded memory, and made symbols once."""

import errno
import gzip
import json
import os
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lengthwise.errors import InputError, StoppedError
from lengthwise.tasks import corpus as corpora
from lengthwise.tasks import plain, splitting
from lengthwise.tasks.corpus import Corpus, TextConfig
from lengthwise.tasks.plain import cut, whole
from lengthwise.tasks.sources import Document, FilesSource, SourceConfig

MARK = b"\xef\xbb\xbf"


def load(path: Path, tokenizer: str = "bytes", limit: int | None = None, **settings: Any) -> Corpus:
    return Corpus.load.__wrapped__(  # not that of another test
        TextConfig(source=FilesSource(paths=(str(path),), **settings), tokenizer=tokenizer, limit=limit)
    )


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each piece of text that is copied, so that time can be judged without a clock."""
    sizes: list[int] = []
    end = plain._end

    def count(text: bytes, size: int) -> int:
        sizes.append(len(text))
        return end(text, size)

    monkeypatch.setattr(plain, "_end", count)
    return sizes


def test_one_long_line_is_cut_behind_words_in_linear_time(tmp_path: Path, counted: list[int]) -> None:
    text = b"some words in one line without an end " * 20_000
    (tmp_path / "a.txt").write_bytes(text)
    pieces = list(cut(tmp_path / "a.txt", len(text) // 50))
    assert b"".join(pieces) == text
    assert 45 <= len(pieces) <= 50
    assert all(piece.endswith(b" ") for piece in pieces)
    assert sum(counted) <= 3 * len(text)
    corpus = load(tmp_path / "a.txt", pieces=len(text) // 50)
    assert min(len(corpus.train.starts_D), len(corpus.validation.starts_D)) >= 1


@pytest.mark.parametrize("size", [16, 100, 5000])
def test_pieces_end_at_lines_where_they_can_and_never_in_a_letter(size: int, tmp_path: Path) -> None:
    text = ("one line\nand another of them\n" * 30 + "日本語のテキスト" * 90 + "\nend").encode()
    (tmp_path / "a.txt").write_bytes(text)
    pieces = list(cut(tmp_path / "a.txt", size))
    assert b"".join(pieces) == text
    assert all(piece.decode() and len(piece) >= min(size, len(text)) for piece in pieces)
    assert all(len(piece) <= 3 * size + 4 for piece in pieces)
    if size == 100:
        assert pieces[0].endswith(b"\n")


@pytest.mark.parametrize("chunk", [1, 2, 3, 2**20])
def test_a_mark_is_no_text_and_lines_end_alike(chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "_CHUNK", chunk)
    for written, read in (
        (MARK + b"a\r\nb\r\n", b"a\nb\n"),
        (b"a" + MARK + b"\r", b"a" + MARK + b"\r"),
        (b"\r\r\n\n\r", b"\r\n\n\r"),
        (MARK, b""),
        (b"", b""),
    ):
        (tmp_path / "a.txt").write_bytes(written)
        assert whole(tmp_path / "a.txt") == read
        assert b"".join(cut(tmp_path / "a.txt", 16)) == read
        (tmp_path / "a.txt.gz").write_bytes(gzip.compress(written))
        assert whole(tmp_path / "a.txt.gz") == read


def test_lines_that_end_in_crlf_are_told(tmp_path: Path) -> None:
    source = FilesSource(paths=(str(tmp_path),))
    (tmp_path / "a.txt").write_bytes(b"a\r\nb\r\n")
    assert source.notes() == [f"{tmp_path / 'a.txt'}: lines end in CRLF, which is read as LF"]
    (tmp_path / "a.txt").write_bytes(b"a\nb\r")
    assert source.notes() == []


def test_a_text_that_fits_into_no_memory_asks_for_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_bytes(b"a" * 1000)
    monkeypatch.setattr(plain, "LONGEST", 999)
    with pytest.raises(InputError, match=r"more than 999 bytes, too many for one text; .*pieces: 65536"):
        whole(tmp_path / "a.txt")
    assert len(list(cut(tmp_path / "a.txt", 100))) >= 5


@pytest.mark.slow
def test_memory_does_not_grow_with_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.dumps({"text": "a line of a few words that is one document " * 20}) + "\n"
    (tmp_path / "a.jsonl").write_text(line * 8000)
    assert (tmp_path / "a.jsonl").stat().st_size > 6.9e6
    monkeypatch.setattr(splitting, "IN_MEMORY", 2**20)
    tracemalloc.start()
    try:
        corpus = load(tmp_path / "a.jsonl")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert corpus.train.tokens_N.nbytes + corpus.validation.tokens_N.nbytes > 13e6
    assert peak < 5e6
    monkeypatch.setattr(splitting, "IN_MEMORY", 2**30)
    assert load(tmp_path / "a.jsonl").fingerprint == corpus.fingerprint
    assert corpus.rows("validation", 4, 50).shape == (4, 51)


LARGE = """
import resource, sys
from lengthwise.tasks import splitting
from lengthwise.tasks.corpus import Corpus, TextConfig
from lengthwise.tasks.sources import FilesSource

splitting.IN_MEMORY, splitting._MAPPED = 2**20, 2**20
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
corpus = Corpus.load(TextConfig(source=FilesSource(paths=(sys.argv[1],), pieces=65536)))
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(corpus.train.tokens_N.nbytes + corpus.validation.tokens_N.nbytes, 1024 * grown)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts in the units of Linux")
def test_the_process_does_not_grow_with_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"some words in one line without an end " * 2_000_000)
    command = [sys.executable, "-c", LARGE, str(tmp_path / "a.txt")]
    symbols, grown = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert symbols > 150e6
    assert grown < 40e6


class Counting(SourceConfig):
    """Documents of which it is known how often they were tokenized."""

    def documents(self) -> Iterator[Document]:
        yield from (Document(str(number), b"%05d" % number * 10) for number in range(3000))


def test_what_lies_beyond_the_limit_is_hardly_tokenized(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    encode = splitting.Tokenizer.encode
    tokenizer = corpora.load_tokenizer("bytes")
    encode = tokenizer.encode

    def count(documents: Any) -> Any:
        encoded.append(len(documents))
        return encode(documents)

    monkeypatch.setattr(tokenizer, "encode", count)
    for limit in (None, 100_000, 1000, 51, 50, 1):
        encoded.clear()
        train, _ = splitting.Splitting(0.1, 0, limit).split(Counting(), tokenizer)
        if limit is None:
            complete = train
        else:
            assert train.tokens_N.tolist() == complete.tokens_N[:limit].tolist()
            assert train.starts_D.tolist() == [start for start in complete.starts_D.tolist() if start < limit]
            assert sum(encoded) < 1000 or limit > 1000


@pytest.fixture
def words(tmp_path: Path) -> Path:
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed (extra hf)")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0, "the": 1, "cat": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "texts").mkdir()
    for number in range(20):
        (tmp_path / "texts" / f"{number}.txt").write_text(f"the cat {number}")
    return tmp_path


@pytest.fixture
def tokenized(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    split = splitting.Splitting.split

    def count(self: Any, *arguments: Any) -> Any:
        calls.append(1)
        return split(self, *arguments)

    monkeypatch.setattr(splitting.Splitting, "split", count)
    return calls


def test_symbols_are_made_once(words: Path, tokenized: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENGTHWISE_CACHE", str(words / "cache"))
    tokenizer, texts = str(words / "tokenizer.json"), words / "texts"
    first, second = load(texts, tokenizer), load(texts, tokenizer)
    assert tokenized == [1]
    assert second.fingerprint == first.fingerprint
    for split in ("train", "validation"):
        assert np.array_equal(first.text(split).tokens_N, second.text(split).tokens_N)
        assert np.array_equal(first.text(split).starts_D, second.text(split).starts_D)
        assert not second.text(split).tokens_N.flags.writeable
    assert second.rows("train", 2, 3).tolist() == first.rows("train", 2, 3).tolist()
    (texts / "3.txt").write_text("another")
    assert load(texts, tokenizer).fingerprint != first.fingerprint
    assert load(texts, tokenizer, limit=9).train.tokens_N.tolist() == load(texts, tokenizer).train.tokens_N[:9].tolist()
    assert len(tokenized) == 3
    assert len(list((words / "cache").rglob("*.safetensors"))) == 3
    load(texts)
    load(texts)
    assert len(tokenized) == 5, "bytes are made as fast as they are read"
    assert len(list((words / "cache").rglob("*.safetensors"))) == 3


def test_a_cache_that_is_damaged_or_gone_or_in_the_way_changes_nothing(
    words: Path, tokenized: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, texts, tokenizer = words / "cache", words / "texts", str(words / "tokenizer.json")
    monkeypatch.setenv("LENGTHWISE_CACHE", str(cache))
    right = load(texts, tokenizer)
    (kept,) = cache.rglob("*.safetensors")
    good = kept.read_bytes()
    victim = words / "victim"
    for damage in (
        lambda: kept.write_bytes(good[:-1] + b"\x07"),
        lambda: kept.write_bytes(good[:20]),
        lambda: kept.write_bytes(b"\xff" * 100),
        lambda: kept.write_bytes(b""),
        lambda: (kept.unlink(), victim.write_bytes(good[:-1] + b"\x07"), kept.symlink_to(victim)),
        lambda: (kept.unlink(), os.mkfifo(kept)),
        lambda: (kept.unlink(), kept.mkdir()),
    ):
        tokenized.clear()
        damage()
        assert load(texts, tokenizer).fingerprint == right.fingerprint
        assert tokenized == [1]
        if not kept.is_dir():
            assert kept.read_bytes() == good
            assert not kept.is_symlink()
    assert victim.read_bytes() == good[:-1] + b"\x07"
    (words / "file").touch()
    for place in (str(words / "file"), "/proc/nothing", ""):
        monkeypatch.setenv("LENGTHWISE_CACHE", place)
        assert load(texts, tokenizer).fingerprint == right.fingerprint
    assert list(words.glob("**/*.partial")) == []


def test_the_cache_lies_in_that_of_the_user(words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LENGTHWISE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(words / "xdg"))
    load(words / "texts", str(words / "tokenizer.json"))
    assert len(list((words / "xdg" / "lengthwise" / "tokens").glob("*.safetensors"))) == 1


def test_a_disk_without_room_for_symbols_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        (tmp_path / f"{number}.txt").write_bytes(b"text" * 1000)

    def full(*arguments: object, **settings: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(splitting, "IN_MEMORY", 100)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StoppedError, match=r"cannot write symbols to .*: No space left on device; TMPDIR=FOLDER"):
        load(tmp_path)
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(StoppedError, match="cannot write symbols to"):
        load(tmp_path)
