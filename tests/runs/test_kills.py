import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_commands_that_are_killed_go_on_and_leave_what_they_would_have_left(fuzz_budget: int) -> None:
    """A few kills of each; as a program it does hundreds."""
    program, kills = Path(__file__).with_name("kills.py"), max(1, fuzz_budget // 4)
    only = [part for name in ("train", "evaluate", "certify", "keep", "results") for part in ("--only", name)]
    command = [sys.executable, str(program), "--kills", str(kills), *only]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{kills} kills, 0 that left something else" in ended.stdout
