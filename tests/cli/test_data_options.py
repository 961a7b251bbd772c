"""Text of all kinds through ``--data``: what is measured is the text, and not the syntax around it."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")

from calls_for_tests import call, ok
from test_pretrained import FEW, WORDS, checkpoint

from lengthwise.pretrained.checkpoint import Checkpoint
from lengthwise.runs.folder import find_runs
from lengthwise.runs.pretrained import measured, overrides_of
from lengthwise.runs.rows import read_head


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("checkpoints") / "small", "mamba2")


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, size=60)) for _ in range(60)]


def written(folder: Path, texts: list[str]) -> dict[str, Path]:
    folder.mkdir()
    rows = [{"id": f"note {number}", "text": text} for number, text in enumerate(texts)]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "b.csv").write_text("title,body\n" + "".join(f"{row['id']},{row['text']}\n" for row in rows))
    (folder / "c.txt").write_text(" ".join(texts) * 10)
    return {path.suffix: path for path in folder.iterdir()}


def test_all_forms_of_a_text_are_the_same_symbols(model: Path, texts: list[str], tmp_path: Path) -> None:
    files = written(tmp_path / "data", texts)
    source = Checkpoint(model)
    of_json = measured(source, str(files[".jsonl"])).task
    of_csv = measured(source, str(files[".csv"]), overrides_of({"text_column": "body"})).task
    found = [sorted(documents(task)) for task in (of_json, of_csv)]
    assert found[0] == found[1]
    assert len(found[0]) == 60
    assert all(len(document) == 60 for document in found[0])
    assert len(documents(measured(source, str(files[".txt"])).task)) >= 45


def documents(task: object) -> list[list[int]]:
    corpus = task.corpus
    pieces = [np.split(text.tokens_N, text.starts_D[1:]) for text in (corpus.train, corpus.validation)]
    return [piece[1:].tolist() for side in pieces for piece in side]


@pytest.mark.slow
def test_records_are_diagnosed_and_their_column_is_told_or_asked_for(
    model: Path, texts: list[str], tmp_path: Path
) -> None:
    files = written(tmp_path / "data", texts)
    result = call("diagnose", f"hf:{model}", "--data", files[".jsonl"], "--out", tmp_path / "page", *FEW)
    assert result.exit_code == 0, result.output
    assert f"{files['.jsonl']}: a document is the text in the column 'text'" in result.stderr
    (run,) = find_runs(tmp_path / "page")
    assert read_head(run.evaluation).data.startswith("files ")
    asked = call("diagnose", f"hf:{model}", "--data", files[".csv"], "--out", tmp_path / "other", *FEW)
    assert asked.exit_code == 2
    assert "has text in its columns title, body; say which is read: --text-column body" in asked.stderr
    ok("diagnose", f"hf:{model}", "--data", files[".csv"], "--text-column", 1, "--out", tmp_path / "other", *FEW)
