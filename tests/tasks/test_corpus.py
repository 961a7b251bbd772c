import gzip
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lengthwise.errors import InputError
from lengthwise.tasks.corpus import Corpus, TextConfig
from lengthwise.tasks.sources import Document, FilesSource, HuggingFaceSource, StdlibSource
from lengthwise.tasks.tokenizer import load_tokenizer

SEPARATOR = 256


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return folder


def numbered(count: int) -> dict[str, bytes]:
    return {f"{number:03}.txt": b"document %d, " % number * (number + 1) for number in range(count)}


def config(folder: Path, **settings: Any) -> TextConfig:
    return TextConfig(source=FilesSource(paths=(str(folder),)), **settings)


def documents(corpus: Corpus, split: Any) -> list[bytes]:
    """Cut a text at its separators, apart from what the corpus says about where documents start."""
    text = corpus.text(split)
    pieces = np.split(text.tokens_N, np.flatnonzero(text.tokens_N == SEPARATOR))
    assert pieces[0].size == 0
    return [piece[1:].astype(np.uint8).tobytes() for piece in pieces[1:]]


def names(source: FilesSource) -> list[str]:
    return [document.name for document in source.documents()]


def test_every_document_is_on_one_side_whole_and_opened_by_a_separator(tmp_path: Path) -> None:
    files = numbered(40)
    corpus = Corpus.load(config(write(tmp_path, files), held_out=0.3))
    train, validation = documents(corpus, "train"), documents(corpus, "validation")
    assert sorted(train + validation) == sorted(files.values())
    for text in (corpus.train, corpus.validation):
        assert np.flatnonzero(text.tokens_N == SEPARATOR).tolist() == text.starts_D.tolist()
        assert text.tokens_N.dtype == np.uint16
        assert not text.tokens_N.flags.writeable
    assert (corpus.vocabulary, corpus.separator) == (257, SEPARATOR)


@pytest.mark.slow
@given(
    present=st.sets(st.integers(0, 999), min_size=30, max_size=60),
    added=st.integers(1000, 1999),
    seed=st.integers(0, 5),
)
def test_adding_a_document_moves_no_other(
    present: set[int], added: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = write(tmp_path_factory.mktemp("texts"), {f"{number}.txt": b"%d" % number for number in present})
    settings = {"held_out": 0.5, "seed": seed}
    before = Corpus.load(config(folder, **settings))
    write(folder, {f"{added}.txt": b"new"})
    # The limit only makes this another corpus than the one that was read before.
    after = Corpus.load(config(folder, **settings, limit=10**6))
    assert len(documents(after, "train") + documents(after, "validation")) == len(present) + 1
    for split in ("train", "validation"):
        assert [text for text in documents(after, split) if text != b"new"] == documents(before, split)
    assert before.fingerprint != after.fingerprint


def test_seeds_split_and_order_differently_and_the_share_is_as_asked(tmp_path: Path) -> None:
    folder = write(tmp_path, {f"{number:03}.txt": b"%03d" % number for number in range(1000)})
    first, second = (Corpus.load(config(folder, held_out=0.2, seed=seed)) for seed in (0, 1))
    assert set(documents(first, "validation")) != set(documents(second, "validation"))
    assert 150 < len(first.validation.starts_D) < 250
    assert documents(first, "train") != sorted(documents(first, "train"))


def test_a_smaller_limit_keeps_a_part_of_a_larger_one(tmp_path: Path) -> None:
    folder = write(tmp_path, numbered(40))
    whole, large, small = (Corpus.load(config(folder, limit=limit)) for limit in (None, 3000, 1000))
    for limited, limit in ((large, 3000), (small, 1000)):
        assert limited.train.tokens_N.tolist() == whole.train.tokens_N[:limit].tolist()
        assert limited.train.starts_D.tolist() == [s for s in whole.train.starts_D.tolist() if s < limit]
        assert limited.validation.tokens_N.tolist() == whole.validation.tokens_N.tolist()


def test_the_fingerprint_is_that_of_the_text_wherever_it_lies(tmp_path: Path) -> None:
    here, there, changed = (write(tmp_path / name, numbered(20)) for name in ("here", "there", "changed"))
    (changed / "007.txt").write_bytes(b"other")
    prints = [Corpus.load(config(folder)).fingerprint for folder in (here, there, changed)]
    assert prints[0] == prints[1] != prints[2]


def test_a_corpus_is_read_once(tmp_path: Path) -> None:
    folder = write(tmp_path, numbered(20))
    assert Corpus.load(config(folder)) is Corpus.load(config(folder))
    assert Corpus.load(config(folder)) is not Corpus.load(config(folder, documents="separate"))


def test_the_standard_library_is_read_by_default() -> None:
    corpus = Corpus.load(TextConfig())
    code = {document.name: document.text for document in StdlibSource().documents() if document.text}
    assert len(code) == len(corpus.train.starts_D) + len(corpus.validation.starts_D)
    root = Path(sysconfig.get_paths()["stdlib"])
    assert all((root / name).read_bytes() == code[name] for name in ("ast.py", "json/decoder.py", "typing.py"))
    assert not any("site-packages" in name or "_sysconfigdata" in name for name in code)
    without = {document.name for document in StdlibSource(tests=False).documents() if document.text}
    assert without < code.keys() or without == code.keys()
    assert not any({"test", "tests", "idle_test"} & set(Path(name).parts) for name in without)


def test_files_are_found_by_folder_suffix_and_pattern(tmp_path: Path) -> None:
    files = ("a.txt", "deep/b.txt", "deep/c.md", "deep/d.txt.gz", ".hidden/e.txt", "deep/.f.txt", "g.log")
    write(tmp_path, dict.fromkeys(files, b"text"))
    folder, inside = str(tmp_path), str(tmp_path / "deep" / "b.txt")
    assert names(FilesSource(paths=(folder,))) == ["a.txt", "deep/b.txt", "deep/d.txt.gz"]
    assert names(FilesSource(paths=(folder,), suffixes=(".md", ".log"))) == ["deep/c.md", "g.log"]
    assert names(FilesSource(paths=(f"{folder}/**/*.md", f"{folder}/g.log"))) == ["deep/c.md", "g.log"]
    assert names(FilesSource(paths=(folder, inside))) == ["a.txt", "deep/b.txt", "deep/d.txt.gz"]


def test_compressed_files_give_their_text(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt.gz": b"compressed \xff", "b.txt": b"plain"})
    assert [document.text for document in FilesSource(paths=(str(tmp_path),)).documents()] == [
        b"compressed \xff",
        b"plain",
    ]


def test_a_boundary_cuts_a_file_into_documents(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": b"preface\n# One\ntext # not here\n# Two\n"})
    found = list(FilesSource(paths=(str(tmp_path),), boundary="^# ").documents())
    assert found == [("a.txt#0", b"preface\n"), ("a.txt#1", b"# One\ntext # not here\n"), ("a.txt#2", b"# Two\n")]
    # The last two are expressions of text, but not of bytes.
    for wrong in ("(", "x{99999999999}", r"\u2028", "(?u)x"):
        with pytest.raises(ValidationError, match="not a regular expression"):
            FilesSource(paths=("a.txt",), boundary=wrong)


def test_empty_documents_are_left_out(tmp_path: Path) -> None:
    corpus = Corpus.load(config(write(tmp_path, numbered(20) | {"empty.txt": b""})))
    assert len(corpus.train.starts_D) + len(corpus.validation.starts_D) == 20


def test_settings_survive_a_recipe(tmp_path: Path) -> None:
    settings = config(tmp_path, documents="separate", limit=5)
    assert TextConfig.model_validate(settings.model_dump(mode="json")) == settings
    with pytest.raises(ValidationError):
        TextConfig.model_validate({"source": {"name": "files", "path": "a"}})


@pytest.mark.parametrize(
    ("files", "path", "message"),
    [
        ({}, "nowhere", "nowhere, which does not exist"),
        ({"a.pdf": b"x", "b.bin": b"y"}, "", r"ends in \.txt or \.md .*; it holds \.bin, \.pdf"),
        ({}, "", "holds no files"),
        ({"a.txt": b"x"}, "*.md", r"no file matches '.*\*\.md'"),
        ({"a.txt": b"", "b.txt": b""}, "", r"the text source 'files' \(.*\) holds no text"),
        ({"a.txt": b"x"}, "", "one document, which leaves no document for validation: .*pieces .*boundary"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, files: dict[str, bytes], path: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Corpus.load(config(write(tmp_path, files) / path, held_out=0.01))


def test_of_few_documents_each_side_has_one(tmp_path: Path) -> None:
    folder = write(tmp_path, {f"{number}.txt": b"%d" % number for number in range(3)})
    whole = Corpus.load(config(folder, held_out=0.5, seed=1))
    everything = documents(whole, "validation") + documents(whole, "train")
    for held_out, count in ((1e-9, 1), (1 - 1e-9, 2)):
        corpus = Corpus.load(config(folder, held_out=held_out, seed=1))
        assert documents(corpus, "validation") == everything[:count]
        assert documents(corpus, "train") == everything[count:]


def test_a_broken_compressed_file_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(bytes(range(256)) * 10)
    for number, data in enumerate((whole[:-20], b"not compressed", whole[:50] + b"\0" * 50 + whole[100:])):
        path = tmp_path / f"{number}.gz"
        path.write_bytes(data)
        with pytest.raises(InputError, match=f"cannot read the text file .*{number}.gz"):
            list(FilesSource(paths=(str(path),)).documents())


def test_a_data_set_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(InputError, match=r"needs datasets, which is not installed: pip install 'lengthwise\[hf\]'"):
        Corpus.load(TextConfig(source=HuggingFaceSource(path="wikitext")))


def test_a_data_set_gives_a_document_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    pytest.importorskip("datasets", reason="datasets is not installed (extra hf)")
    write(tmp_path / "set", {"train.jsonl": b'{"text": "one"}\n{"text": "two"}\n'})
    source = HuggingFaceSource(path=str(tmp_path / "set"))
    assert list(source.documents()) == [("0", b"one"), ("1", b"two")]
    with pytest.raises(InputError, match=r"no column 'test'; did you mean 'text'\?"):
        list(source.model_copy(update={"column": "test"}).documents())
    with pytest.raises(InputError, match="cannot load the data set"):
        list(source.model_copy(update={"split": "nothing"}).documents())


@pytest.fixture
def tokenizer_file(tmp_path: Path) -> Path:
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed (extra hf)")
    words = {"<end>": 0, "<unk>": 1, "the": 2, "cat": 3, "sat": 4}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding()
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_a_tokenizer_file_makes_the_symbols(tmp_path: Path, tokenizer_file: Path) -> None:
    folder = write(tmp_path / "texts", {f"{number}.txt": b"the cat sat, the cat" for number in range(20)})
    own = Corpus.load(config(folder, tokenizer=str(tokenizer_file)))
    assert own.train.tokens_N[:8].tolist() == [5, 2, 3, 4, 1, 2, 3, 5]
    assert (own.vocabulary, own.separator, own.train.tokens_N.dtype) == (6, 5, np.uint8)
    given = Corpus.load(config(folder, tokenizer=str(tokenizer_file), separator="<end>"))
    assert given.train.tokens_N[:8].tolist() == [0, 2, 3, 4, 1, 2, 3, 0]
    assert (given.vocabulary, given.separator) == (5, 0)


def test_symbols_know_how_much_text_they_stand_for(tmp_path: Path, tokenizer_file: Path) -> None:
    text = b"the cat sat " * 20
    folder = write(tmp_path / "long", {f"{number}.txt": text for number in range(6)})
    corpus = Corpus.load(config(folder, held_out=0.4))
    assert corpus.symbol_bytes == pytest.approx(len(text) / (len(text) + 1))
    tokens = load_tokenizer(str(tokenizer_file), "<end>")
    (found,) = tokens.encode([Document("", text)])
    assert tokens.bytes_of(found) == tokens.bytes_of(np.append(found, tokens.separator))
    assert tokens.bytes_of(found) == len(text) - 1


def test_tokenizers_that_do_not_fit_are_refused(tmp_path: Path, tokenizer_file: Path) -> None:
    (tmp_path / "other.json").write_text('{"model": 1}')
    for name, separator, message in [
        (str(tmp_path / "none.json"), None, "cannot read the tokenizer file .*none.json: No such file"),
        (str(tmp_path), None, "is a folder, and not a regular file"),
        (str(tmp_path / "other.json"), None, "other.json is not a tokenizer file"),
        (str(tokenizer_file), "<ent>", r"no token '<ent>' .*did you mean '<end>'\?"),
        ("bytes", "<end>", "symbol 256, not by '<end>'"),
    ]:
        with pytest.raises(InputError, match=message):
            load_tokenizer(name, separator)
    folder = write(tmp_path / "texts", {f"{number}.txt": b"caf\xe9" for number in range(20)})
    with pytest.raises(InputError, match=r"\d\.txt is not UTF-8 \(byte 0xe9 at position 3\)"):
        Corpus.load(config(folder, tokenizer=str(tokenizer_file)))
