"""An evaluation that was ended, at whatever row, goes on with what it has and ends with the same rows."""

import errno
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_run import trained

from lengthwise import files
from lengthwise.errors import StoppedError
from lengthwise.evaluation import by_point
from lengthwise.evaluation.by_point import ByPoint
from lengthwise.evaluation.rows import Row
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.recipe import Recipe, load_recipe
from lengthwise.runs.run import evaluate_run, train_run

COPYING = {
    "task": {"name": "copying", "train": {"maximum": 4}, "lengths": [2, 5, 9], "samples": 40},
    "model": {"name": "backbone", "mixer": {"name": "gru"}, "width": 8},
    "training": {"steps": 2, "batch_size": 4},
}


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many answers were scored in each pass of the model."""
    counts: list[int] = []
    score = by_point._score

    def count(*scored: Any) -> Any:
        counts.append(scored[-1])
        return score(*scored)

    monkeypatch.setattr(by_point, "_score", count)
    return counts


class Full:
    """A disk on which there is room for so many rows."""

    def __init__(self, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.append = room, files.append
        monkeypatch.setattr("lengthwise.runs.measured.append", self)

    def __call__(self, path: Path, text: str) -> None:
        if not self.left:
            with path.open("a", encoding="utf-8") as file:
                file.write(text[: len(text) // 2])
            raise StoppedError(f"cannot write {path}: {os.strerror(errno.ENOSPC)}")
        self.left -= 1
        self.append(path, text)


def recipe_of(settings: dict[str, Any], tmp_path: Path) -> Recipe:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings))
    return load_recipe(str(tmp_path / "recipe.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["tiny", "copying"])
def test_rows_are_those_of_an_evaluation_that_was_not_ended(
    what: str, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scored: list[int]
) -> None:
    recipe = tiny if what == "tiny" else recipe_of(COPYING, tmp_path)
    monkeypatch.setattr(by_point, "ROWS", 16)
    run = RunFolder(tmp_path / "run")
    train_run(recipe, 0, run.path)
    whole = evaluate_run(run.path)
    written, passes = run.evaluation.read_bytes(), len(scored)
    for room in (0, len(whole) // 2, len(whole)):
        run.evaluation.unlink()
        with monkeypatch.context() as patch:
            Full(room, patch)
            with pytest.raises(StoppedError, match="No space left on device"):
                evaluate_run(run.path)
        assert not run.evaluation.exists()
        assert len(run.part.read_text().splitlines()) == room + 2
        scored.clear()
        told: list[Row] = []
        assert evaluate_run(run.path, told.append) == whole == told
        assert run.evaluation.read_bytes() == written
        assert not run.part.exists()
        assert len(scored) < passes or not room
    assert scored == []


def test_a_full_disk_at_the_end_loses_nothing(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scored: list[int]
) -> None:
    run = trained(tiny, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
        with pytest.raises(StoppedError, match=r"evaluation\.jsonl: No space left"):
            evaluate_run(run.path)
    assert sorted(path.name for path in run.path.glob("*evaluation*")) == ["evaluation.part.jsonl"]
    scored.clear()
    assert evaluate_run(run.path)
    assert scored == []


def test_what_is_measured_again_or_failed_or_is_of_another_run_is_not_gone_on_with(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tiny, tmp_path)
    whole = evaluate_run(run.path)
    head = json.loads(run.evaluation.read_text().splitlines()[0])
    head.pop("format")
    false = whole[0].model_copy(update={"value": 0.123}).model_dump()
    lines = [{"head": head}, {"by": 0, "row": false}]
    part = "".join(json.dumps(line) + "\n" for line in lines)
    run.part.write_text(part)
    assert evaluate_run(run.path, again=True) == whole
    run.evaluation.unlink()
    run.part.write_text(part.replace('"seed": 0', '"seed": 1'))
    assert evaluate_run(run.path) == whole
    run.evaluation.unlink()
    run.part.write_text(part)
    assert evaluate_run(run.path)[0].value == 0.123
    run.evaluation.unlink()

    def failing(self: ByPoint, *arguments: Any) -> Iterator[Row]:
        yield from itertools.islice(whole, 3)
        raise ValueError("somebody's mistake")

    with monkeypatch.context() as patch:
        patch.setattr(ByPoint, "go_on", failing)
        with pytest.raises(ValueError, match="somebody's mistake"):
            evaluate_run(run.path)
    assert not run.part.exists()
    assert evaluate_run(run.path) == whole
