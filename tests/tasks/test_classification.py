"""Classification of texts: sources, segments and their matches, lines through counts of words, what is left out."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lengthwise.errors import InputError
from lengthwise.evaluation.by_point import ByPoint
from lengthwise.evaluation.floors import Floors
from lengthwise.models.backbone import BackboneConfig
from lengthwise.spaces import Tokens
from lengthwise.tasks.base import IGNORE, Point
from lengthwise.tasks.classification import Classification

TRAIN = Point({"split": "train"})


def task_of(folder: Path, rows: str, tests: str = "", ending: str = "tsv", **settings: Any) -> Classification:
    folder.mkdir(exist_ok=True)
    (folder / f"train.{ending}").write_text(rows)
    (folder / f"test.{ending}").write_text(tests or rows)
    return Classification(source=str(folder), **settings)


def test_columns_are_chosen_by_name_or_place(tmp_path: Path) -> None:
    rows = "label\tstars\ttext\n1\t9\tfine\n0\t2\tdull\n"
    named = task_of(tmp_path / "a", rows, column="label", texts=("text",))
    placed = task_of(tmp_path / "b", rows.partition("\n")[2], texts=(-1,))
    assert named.splits == placed.splits
    assert named.splits["train"] == [("1", "fine"), ("0", "dull")]
    with pytest.raises(InputError, match=r"row 1: no text in column words of 3 \(texts\)"):
        task_of(tmp_path / "a", rows, column="label", texts=("words",)).identity()


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_records_are_read(tmp_path: Path, ending: str) -> None:
    rows = [{"label": 1, "text": "fine"}, {"label": 0, "text": None}]
    for split in ("train", "test"):
        path = tmp_path / f"{split}.{ending}"
        if ending == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            pl.DataFrame(rows).write_parquet(path)
    task = Classification(source=str(tmp_path), column="label")
    assert task.splits["test"] == [("1", "fine"), ("0", "")]
    assert task.encode("").tolist() == [0]


def test_a_folder_of_folders_has_a_label_each(tmp_path: Path) -> None:
    for split, label, text in [("train", "pos", "fine\nfilm"), ("train", "neg", "dull"), ("test", "neg", "so dull")]:
        path = tmp_path / split / label / "1.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    task = Classification(source=str(tmp_path))
    assert task.splits["train"] == [("neg", "dull"), ("pos", "fine\nfilm")]
    assert task.splits["test"] == [("neg", "so dull")]


def test_files_of_a_split_are_named(tmp_path: Path) -> None:
    for name in ("train_a", "train_b", "train_c", "test"):
        (tmp_path / f"{name}.tsv").write_text(f"1\t{name}\n")
    task = Classification(source=str(tmp_path), files={"train": ("train_[ab].tsv",), "test": ("test.tsv",)})
    assert [text.text for text in task.splits["train"]] == ["train_a", "train_b"]
    missing = Classification(source=str(tmp_path), files={"train": ("train_a.tsv",), "validation": ("val.tsv",)})
    with pytest.raises(InputError, match=r"no folder with a file called val.tsv: it holds test.tsv, train_a.tsv"):
        missing.identity()


def test_a_data_set_of_hugging_face_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(InputError, match=r"hf:glue:mrpc needs datasets, which is not installed: pip install 'length"):
        Classification(source="hf:glue:mrpc").identity()


def test_words_of_a_pair_tell_what_the_other_has(tmp_path: Path) -> None:
    task = task_of(tmp_path / "a", "1\ta big dog\tbig dog runs a\n0\tx\ty\n", segments="matched")
    assert task.inputs == Tokens(3 * task.words, 3)
    (kinds,) = [batch.inputs // task.words for batch in task.batches(np.random.default_rng(0), TRAIN, 1)][1:]
    # The symbol between the segments is of kind 0; a word beside the same neighbour in both is of kind 2.
    assert kinds.tolist() == [[1, 2, 2, 0, 2, 2, 0, 1]]
    words = task.encode(("a big dog", "big dog runs a")) % task.words
    assert words[3] == task.words - 1
    assert words[1:3].tolist() == words[4:6].tolist()
    # Words that were never seen have one symbol, and match all the same.
    assert (task.encode(("new thing", "thing odd")) // task.words).tolist() == [0, 1, 0, 1, 0]


def test_segments_are_cut_alike(tmp_path: Path) -> None:
    task = task_of(tmp_path / "a", "1\ta b c d\te f g h\n0\tx\ty\n", segments="apart", longest=5)
    assert [len(batch.inputs[0]) for batch in task.batches(np.random.default_rng(0), TRAIN, 1)] == [3, 5]


def test_texts_are_read_as_far_as_points_say(tmp_path: Path) -> None:
    task = task_of(
        tmp_path / "a", "1\ta b c\n0\td e f g\n", "1\ta b c d e f\n0\td\n", longest=2, lengths=(5, 2), least=3
    )
    points = task.points("test")
    assert [dict(point.axes) for point in points] == [{"split": "test", "length": 2}, {"split": "test", "length": 5}]
    assert [point.samples for point in points] == [1, 1]
    assert [next(task.batches(np.random.default_rng(0), point, 9)).inputs.shape[1] for point in points] == [2, 5]
    assert task.training_length == 2
    with pytest.raises(InputError, match=r"no text of 9 symbols in the split 'test' \(least\)"):
        Classification(source=task.source, least=9).points("test")


def test_words_are_dropped_in_training_alone(tmp_path: Path) -> None:
    rows = "1\t" + "word " * 50 + "\tword\n0\tother\tother\n"
    task = task_of(tmp_path / "a", rows, segments="matched", word_dropout=0.5, longest=200)
    batch = task.sample(np.random.default_rng(0), 64, TRAIN)
    asked = batch.inputs[batch.lengths > 9]
    assert 0.4 < (asked % task.words == 0).mean() < 0.6
    # What a word tells of the other segment stays, and so does what is measured.
    assert ((asked // task.words)[:, 10:50] > 0).all()
    measured = next(task.batches(np.random.default_rng(0), Point({"split": "test"}), 2))
    assert (measured.inputs[1] % task.words > 0).all()
    plain = task_of(tmp_path / "a", rows, segments="matched", longest=200)
    assert (plain.sample(np.random.default_rng(0), 9, TRAIN).inputs % plain.words > 0).any(1).all()


def test_shares_of_training_are_nested_and_have_words_of_their_own(tmp_path: Path) -> None:
    rows = "".join(f"{n % 2}\ttext{n}\n" for n in range(200))
    shares = [task_of(tmp_path / "a", rows, train_share=share) for share in (0.25, 0.5, 1.0)]
    few, half, all_of_them = ({text.text for text in task.splits["train"]} for task in shares)
    assert few < half < all_of_them
    assert 30 < len(few) < 70
    assert len({task.identity() for task in shares}) == 3
    assert [task.inputs.size for task in shares] == [len(few) + 1, len(half) + 1, 201]
    assert [len(task.splits["test"]) for task in shares] == [200] * 3


def test_new_settings_are_left_out_where_they_are_not_used(tmp_path: Path) -> None:
    task = task_of(tmp_path / "a", "1\ta\n0\tb\n")
    assert set(task.model_dump()) == {
        *("name", "source", "column", "pattern", "test_share", "tokens", "common", "longest"),
    }


@pytest.fixture
def topics(tmp_path: Path) -> Classification:
    rng = np.random.default_rng(0)
    words = [["goal", "match", "team"], ["bank", "share", "price"]]
    rows = [(label, " ".join(rng.choice(words[label] + ["the", "of"], size=6))) for label in (0, 1) * 60]
    return task_of(tmp_path / "topics", "".join(f"{label}\t{text}\n" for label, text in rows), least=3)


def test_a_line_through_counts_of_words_stands_beside_a_model(topics: Classification) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra lines)")
    model = BackboneConfig(width=8, layers=1).build(topics.inputs, topics.outputs)
    rows = {row.metric: row for row in Floors(sequences=100, compared=("tf_idf",)).measure(model, topics, 0)}
    (own,) = ByPoint().measure(model, topics, 0)
    assert rows["floor_tf_idf"].value > 0.95
    assert rows["above_tf_idf"].value == pytest.approx(own.value - rows["floor_tf_idf"].value)
    low, high = rows["above_tf_idf"].low, rows["above_tf_idf"].high
    assert low is not None
    assert high is not None
    assert low < rows["above_tf_idf"].value < high
    with pytest.raises(InputError, match=r"no guess 'tfidf' at classification .*did you mean 'tf_idf'"):
        list(Floors(compared=("tfidf",)).measure(model, topics, 0))


def test_a_line_needs_two_classes_and_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra lines)")
    with pytest.raises(InputError, match="needs texts of two classes or more"):
        task_of(tmp_path / "a", "1\ta\n1\tb\n").shortcuts()
    monkeypatch.setitem(__import__("sys").modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(InputError, match=r"needs sklearn, which is not installed: pip install 'lengthwise\[lines\]'"):
        task_of(tmp_path / "a", "1\ta\n0\tb\n").shortcuts()


def test_matches_tell_paraphrases(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra lines)")
    rng = np.random.default_rng(0)
    drawn = [[f"w{n}" for n in rng.integers(500, size=8)] for _ in range(80)]
    rows = [
        (n % 2, " ".join(one), " ".join(one[::-1] if n % 2 else other))
        for n, (one, other) in enumerate(pairwise(drawn))
    ]
    text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    task = task_of(tmp_path / "a", text, segments="matched")
    model = BackboneConfig(width=8, layers=1).build(task.inputs, task.outputs)
    values = {row.metric: row.value for row in Floors(sequences=50).measure(model, task, 0)}
    assert values["floor_overlap"] > 0.95
    batch = next(task.batches(np.random.default_rng(0), TRAIN, 4))
    assert (batch.targets != IGNORE).sum() == 4
