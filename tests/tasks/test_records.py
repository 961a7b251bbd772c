"""Texts in columns of files: what is read, what is asked about, and what is refused, with the call that mends it."""

import bz2
import contextlib
import csv
import gzip
import json
import lzma
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lengthwise.errors import InputError
from lengthwise.tasks.corpus import Corpus, TextConfig
from lengthwise.tasks.records import Column, read_texts, text_column
from lengthwise.tasks.sources import FilesSource

TEXTS = ["one, two", 'said "three"\nand four', "füñf 六", "7"]
ROWS: list[dict[str, Any]] = [{"id": number, "text": text, "score": 0.5} for number, text in enumerate(TEXTS)]


def json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def json_array(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def separated(path: Path, rows: list[dict[str, Any]], delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def semicolons(path: Path, rows: list[dict[str, Any]]) -> None:
    separated(path, rows, ";")


def parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pl.DataFrame(rows).write_parquet(path, row_group_size=2)


def arrow(path: Path, rows: list[dict[str, Any]]) -> None:
    pl.DataFrame(rows).write_ipc(path)


def streamed(path: Path, rows: list[dict[str, Any]]) -> None:
    pl.DataFrame(rows).write_ipc_stream(path)


FORMS = [
    ("a.jsonl", json_lines),
    ("a.json", json_lines),
    ("b.json", json_array),
    ("a.csv", separated),
    ("b.csv", semicolons),
    ("a.parquet", parquet),
    ("a.arrow", arrow),
    ("b.arrow", streamed),
]


@pytest.mark.parametrize(("name", "write"), FORMS)
def test_each_record_is_a_document(name: str, write: Callable[[Path, Any], None], tmp_path: Path) -> None:
    path = tmp_path / name
    write(path, ROWS)
    assert text_column(path, None) == "text"
    assert list(read_texts(path, None)) == TEXTS
    found = list(FilesSource(paths=(str(path),)).documents())
    assert [document.text.decode() for document in found] == TEXTS
    assert [document.name for document in found] == [f"{name}#{number}" for number in range(4)]
    with pytest.raises(InputError, match="no column 'txt'; did you mean 'text'"):
        list(read_texts(path, "txt"))


DAMAGE = [b"", b"\0", b"\xff\xfe", b'"', b",", b"[{", b"\r\n"]


def compress(data: bytes, end: str) -> bytes:
    if end == ".zst":
        return pytest.importorskip("zstandard", reason="zstandard is not installed").compress(data)
    return {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[end](data)


@pytest.mark.parametrize("end", [".gz", ".bz2", ".xz", ".zst"])
def test_compressed_records_are_read_and_broken_ones_named(end: str, tmp_path: Path) -> None:
    json_lines(tmp_path / "a.jsonl", ROWS * 100)
    path = tmp_path / f"a.jsonl{end}"
    packed = compress((tmp_path / "a.jsonl").read_bytes(), end)
    path.write_bytes(packed)
    assert list(read_texts(path, None)) == TEXTS * 100
    path.write_bytes(packed[: len(packed) // 2] + b"broken" + packed[len(packed) // 2 :])
    with pytest.raises(InputError, match=f"a.jsonl{end}"):
        list(read_texts(path, None))


def test_a_tab_ends_a_column_whatever_stands_around_it(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('label\tsentence\n1\t"so" it goes\n0\t" half\n')
    assert list(read_texts(tmp_path / "a.tsv", None)) == ['"so" it goes', '" half']


def test_a_column_can_be_named_or_numbered(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('2,"Giants win","A late goal"\n1,"Rain","All day"\n')
    assert list(read_texts(tmp_path / "a.csv", 2)) == ["A late goal", "All day"]
    assert list(read_texts(tmp_path / "a.csv", "2")) == ["1"]
    (tmp_path / "b.csv").write_text("2,title\nyes,no\n")
    assert list(read_texts(tmp_path / "b.csv", "2")) == ["yes"]


def test_a_first_row_that_is_no_header_is_asked_about(tmp_path: Path) -> None:
    """As many public data sets come: the first text would be taken for the name of the column."""
    (tmp_path / "a.csv").write_text('3,"Wall; St.;","An end; to; it all"\n1,"Rain","All day; and night"\n')
    (tmp_path / "b.tsv").write_text("hide new secretions\t0\ncontains no wit\t1\n")
    (tmp_path / "c.csv").write_text(f"label,{'a long text ' * 9}\nx,another\n")
    for name, number in (("a.csv", 2), ("b.tsv", 0), ("c.csv", 1)):
        with pytest.raises(InputError, match=f"{name} seems to be no header: .*--text-column {number}"):
            list(read_texts(tmp_path / name, None))
    assert list(read_texts(tmp_path / "a.csv", 2)) == ["An end; to; it all", "All day; and night"]
    assert list(read_texts(tmp_path / "b.tsv", 0)) == ["hide new secretions", "contains no wit"]


def test_columns_are_told_apart_by_what_separates_every_row(tmp_path: Path) -> None:
    for mark in ",;|\t":
        rows = [["id", "text"], ["1", "one; two, three | four"], ["2", "five; six; seven"]]
        with (tmp_path / "a.csv").open("w", newline="") as file:
            csv.writer(file, delimiter=mark).writerows(rows)
        assert list(read_texts(tmp_path / "a.csv", None)) == ["one; two, three | four", "five; six; seven"]
    (tmp_path / "a.csv").write_text("text,text\na,b\n")
    with pytest.raises(InputError, match="several columns 'text'; say which by its number"):
        list(read_texts(tmp_path / "a.csv", "text"))


def test_what_is_empty_or_missing_has_no_text(tmp_path: Path) -> None:
    json_lines(tmp_path / "a.jsonl", [{"text": "one"}, {"text": None}, {"other": 1}, {"text": ""}])
    assert list(read_texts(tmp_path / "a.jsonl", None)) == ["one", "", "", ""]


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("a.jsonl", '{"title": "a", "body": "longer"}', None, r"columns title, body; .*--text-column body"),
        (
            "a.jsonl",
            '{"id": 1, "turns": [{"a": "b"}]}',
            None,
            r"no column of .* holds text: id \(int\), turns \(list\)",
        ),
        ("a.csv", "id,score\n1,0.5\n2,1e-3\n", None, r"no column of .* holds text: id \(number\), score \(number\)"),
        ("a.jsonl", '{"text": "a"}\n{"text": 5}', None, "holds '5' in row 1, not text"),
        ("a.jsonl", '"text"', None, r"line 1: text is no object|'text' is no object"),
        ("a.jsonl", '{"text": "a"}\n{"text"', None, "line 2: not JSON .*; a file of JSON has an object a line"),
        ("a.json", '{\n "text": "a"\n}', None, "line 1: not JSON"),
        ("a.json", "[" * 100_000, None, "not JSON"),
        ("a.jsonl", '{"text": "a"}\n{"text": "b", "text": "c"}', None, "line 2: not JSON .'text' is given twice"),
        ("a.json", '[{"text": "b", "of": {"x": 1, "x": 1}}]', None, "not JSON .'x' is given twice"),
        ("a.jsonl", "", None, "holds no records"),
        ("a.csv", "id,text\n", None, "holds no records"),
        ("a.csv", "id,text\n1,a, b\n", None, "row 0 has 3 columns, and the first has 2; .* stands in quotes"),
        ("a.parquet", "PAR1 not", None, "cannot read the records in .*a.parquet"),
        ("a.arrow", "ARROW1 not", None, "cannot read the records in .*a.arrow"),
        ("a.jsonl", '{"text": "\\ud800"}', None, "row 0, letter 0: half of a surrogate pair"),
    ],
)
def test_what_cannot_be_read_is_said_with_what_mends_it(
    name: str, content: str, column: Column | None, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        list(FilesSource(paths=(str(tmp_path / name),), column=column).documents())


def test_other_encodings_are_refused_with_the_call_that_mends_them(tmp_path: Path) -> None:
    for name, encoding, call in (("a.csv", "utf-16", "UTF-16"), ("b.jsonl", "latin-1", "LATIN1")):
        (tmp_path / name).write_bytes(
            'id,text\n1,"café"\n'.encode(encoding) if name == "a.csv" else b'{"text": "\xe9"}'
        )
        with pytest.raises(InputError, match=f"{name} is not UTF-8 .*: iconv -f {call} -t UTF-8 OLD > NEW"):
            list(read_texts(tmp_path / name, None))


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet(tmp_path / "a.parquet", ROWS)
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(InputError, match=r"needs polars.*: pip install 'lengthwise\[report\]'"):
        list(read_texts(tmp_path / "a.parquet", None))
    (tmp_path / "a.jsonl.zst").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    with pytest.raises(InputError, match="needs zstandard: pip install zstandard"):
        list(read_texts(tmp_path / "a.jsonl.zst", None))


def test_a_saved_data_set_is_a_folder_of_records(tmp_path: Path) -> None:
    def save(folder: Path) -> None:
        folder.mkdir(parents=True)
        for number in range(2):
            streamed(folder / f"data-0000{number}-of-00002.arrow", ROWS[2 * number :][:2])
        names = [{"filename": f"data-0000{number}-of-00002.arrow"} for number in range(2)]
        (folder / "state.json").write_text(json.dumps({"_data_files": names, "_fingerprint": "f"}))
        (folder / "dataset_info.json").write_text("{}")

    save(tmp_path / "one")
    found = list(FilesSource(paths=(str(tmp_path / "one"),)).documents())
    assert [document.text.decode() for document in found] == TEXTS
    save(tmp_path / "both" / "train")
    (tmp_path / "both" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(InputError, match=r"several splits; name one of them: .*both/train or .*both/test"):
        list(FilesSource(paths=(str(tmp_path / "both"),)).documents())


def test_a_folder_of_text_and_records_is_asked_about(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("what it is")
    json_lines(tmp_path / "a.jsonl", ROWS)
    source = FilesSource(paths=(str(tmp_path),))
    with pytest.raises(InputError, match=r"text \(README.md\) and records \(a.jsonl\); .*\*\*/\*.jsonl"):
        list(source.documents())
    assert len(list(FilesSource(paths=(f"{tmp_path}/**/*.jsonl",)).documents())) == 4
    (tmp_path / "README.md").unlink()
    assert len(list(source.documents())) == 4
    assert source.notes() == [
        f"{tmp_path / 'a.jsonl'}: a document is the text in the column 'text' (--text-column takes another)"
    ]
    assert source.model_copy(update={"column": "text"}).notes() == []
    (tmp_path / "a.txt").write_text("as before, these alone are read")
    assert [document.name for document in source.documents()] == ["a.txt"]
    assert source.notes() == [f"{tmp_path}: files that end in .jsonl are not read (setting: suffixes)"]


def test_records_are_split_like_files(tmp_path: Path) -> None:
    json_lines(tmp_path / "a.jsonl", [{"text": f"note {number}"} for number in range(200)])
    source = FilesSource(paths=(str(tmp_path / "a.jsonl"),))
    corpus = Corpus.load(TextConfig(source=source, documents="separate"))
    assert len(corpus.train.starts_D) + len(corpus.validation.starts_D) == 200
    assert 5 < len(corpus.validation.starts_D) < 40


@pytest.mark.fuzz
@pytest.mark.parametrize(("name", "write"), FORMS)
def test_damaged_records_are_refused_in_words(
    name: str, write: Callable[[Path, Any], None], fuzz_budget: int, tmp_path: Path
) -> None:
    path, rng = tmp_path / name, random.Random(name)
    write(path, ROWS)
    good = path.read_bytes()
    for _ in range(fuzz_budget):
        data = bytearray(good)
        for _ in range(rng.randint(1, 5)):
            place = rng.randrange(len(data) + 1)
            data[place : place + rng.choice([0, 1, 30])] = rng.choice(DAMAGE)
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            source = FilesSource(paths=(str(path),), column=rng.choice([None, "text", 1]))
            assert all(isinstance(document.text, bytes) for document in source.documents())


@pytest.mark.parametrize("row", ['1,"never closed', '1,"a quote" in a text"'])
def test_a_quote_that_is_not_closed_does_not_take_the_rest_of_a_file(row: str, tmp_path: Path) -> None:
    (path := tmp_path / "a.csv").write_text(f"id,text\n0,first\n{row}\n2,last\n")
    with pytest.raises(
        InputError, match=r"a\.csv, line \d, is not a row of separated columns: .*; a column in quotes ends"
    ):
        list(FilesSource(paths=(str(path),)).documents())


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tgz", "b.PDF", "c.docx"])
def test_bytes_of_archives_are_no_text(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"text.txt\0\0\0 some words")
    with pytest.raises(InputError, match="is no file of text or of records; give what is in it"):
        list(FilesSource(paths=(str(tmp_path / name),)).documents())
