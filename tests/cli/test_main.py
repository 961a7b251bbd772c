import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lengthwise.cli import main
from lengthwise.registry import Registry

Declare = Callable[[str], None]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.app, arguments)


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Let another package declare commands, as the next use of the program sees them."""

    def declare(entry: str) -> None:
        folder = tmp_path / "outer-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: outer\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[lengthwise.commands]\n{entry}\n")
        (tmp_path / "outer.py").write_text(
            'def greet(whom: str):\n    """Greet somebody."""\n    print("hello", whom)\n'
        )
        monkeypatch.syspath_prepend(tmp_path)
        own = {"list": "lengthwise.cli.listing:list_"}
        monkeypatch.setattr(main, "COMMANDS", Registry("command", own))

    return declare


def test_only_the_command_that_is_asked_for_is_imported() -> None:
    program = (
        "import sys; from lengthwise.cli.main import app; app(['list', '--help'], standalone_mode=False); "
        "print([name for name in sys.modules if name.startswith('lengthwise.cli.')], 'torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "'lengthwise.cli.listing'" in shown
    assert "lengthwise.cli.train" not in shown
    assert shown.endswith("False\n")


def test_every_command_has_a_line_in_the_help() -> None:
    shown = run("--help").output
    places = [shown.index(f"│ {name} ") for name in main.COMMANDS]
    assert places == sorted(places)
    assert "Train a recipe, one run a seed" in shown


def test_an_unknown_command_is_answered_with_the_nearest() -> None:
    ended = run("trian")
    assert ended.exit_code == 2
    assert ended.stderr == "error: unknown command 'trian'; did you mean 'train'?\n"


def test_another_package_brings_a_command(declare: Declare) -> None:
    declare("greet = outer:greet")
    assert "Greet somebody." in run("--help").output
    assert run("greet", "Ada").output == "hello Ada\n"


def test_another_package_cannot_replace_a_command(declare: Declare) -> None:
    declare("list = outer:greet")
    for arguments in (("--help",), ("list", "models")):
        ended = run(*arguments)
        assert ended.exit_code == 2
        assert "package outer (1.0) declares an entry point lengthwise.commands = list" in ended.stderr
