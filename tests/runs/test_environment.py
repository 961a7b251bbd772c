import subprocess
from pathlib import Path
from typing import Any

import pytest

from lengthwise.runs import environment
from lengthwise.runs.environment import describe_environment


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of the user's own with one commit, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").touch()
    author = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for command in (("init", "-q"), ("add", "."), (*author, "commit", "-qm", "Begin")):
        subprocess.run(["git", *command], check=True)
    return tmp_path


def users(environment: dict[str, Any]) -> tuple[str | None, bool]:
    return environment["user_commit"], environment["user_modified"]


def test_the_commit_of_the_users_own_repository_is_noted(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    (repository / "runs").mkdir()
    (repository / "runs" / "metrics.jsonl").touch()
    monkeypatch.chdir(repository / "runs")
    assert users(describe_environment(0)) == (head, False)
    (repository / "new.py").touch()
    assert users(describe_environment(0)) == (head, True)
    (repository / "new.py").unlink()
    (repository / "own.py").write_text("changed")
    assert users(describe_environment(0)) == (head, True)


def test_the_packages_own_repository_is_not_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    assert users(describe_environment(0)) == (None, False)


def test_where_git_says_nothing_of_the_package_its_repository_is_not_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = environment._git

    def failing(folder: Path, *command: str) -> str | None:
        return None if command[0] == "ls-files" else asked(folder, *command)

    monkeypatch.setattr(environment, "_git", failing)
    monkeypatch.chdir(Path(__file__).parent)
    assert users(describe_environment(0)) == (None, False)


def test_without_a_repository_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert users(describe_environment(0)) == (None, False)


def test_plug_ins_are_noted_with_their_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "outer-1.5.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: outer\nVersion: 1.5\n")
    (folder / "entry_points.txt").write_text("[lengthwise.tasks]\nelsewhere = fractions:Fraction\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert describe_environment(0)["plugins"]["outer"] == "1.5"
