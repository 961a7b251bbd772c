import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lengthwise.cli.main import app


def offered(line: str) -> list[str]:
    """Return what bash is offered behind a line."""
    words = {"_LENGTHWISE_COMPLETE": "complete_bash", "COMP_WORDS": f"lengthwise {line}"}
    words["COMP_CWORD"] = str(len(line.split()) - (not line.endswith(" ")) + 1)
    result = CliRunner().invoke(app, prog_name="lengthwise", env=os.environ | words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.stdout.split()


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("rep", "report"),
        ("train fast/pari", "fast/parity"),
        ("show fast/pari", "fast/parity"),
        ("sweep demo/", "demo/operators"),
        ("label pari", "parity"),
        ("sample tomita_3", "tomita_3"),
        ("check mamba1", "mamba1"),
        ("list rec", "recipes"),
        ("report x --beside baselines", "baselines"),
    ],
)
def test_names_are_offered(line: str, first: str) -> None:
    assert offered(line)[:1] == [first]


@pytest.mark.parametrize("command", ["evaluate", "certify", "report", "diagnose", "post-train", "keep --out x"])
def test_runs_are_offered_and_other_folders_elsewhere(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        run = tmp_path / f"runs/fast/parity/seed-{seed}"
        run.mkdir(parents=True)
        (run / "recipe.yaml").write_text("task: parity\n", encoding="utf-8")
    (tmp_path / "kept").mkdir()
    assert offered(f"{command} runs/fa") == ["runs/fast/parity/seed-0", "runs/fast/parity/seed-1"]
    assert offered(f"{command} ke") == ["kept/"]


@pytest.mark.parametrize("line", ["trian fast", "train nothing-like-it", "evaluate nowhere/", "label "])
def test_what_is_unknown_ends_in_no_traceback(line: str) -> None:
    offered(line)
