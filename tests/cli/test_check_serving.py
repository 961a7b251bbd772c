"""``lengthwise check`` of steps, and of what servers get wrong."""

import json
from pathlib import Path

import official_checkpoints
import pytest
from calls_for_tests import call, ok, refused

from lengthwise.evaluation.serving import PREFIX, SERVING

SERVER = """
import torch
from torch import nn

torch.manual_seed(0)
embedding, cell, readout = nn.Embedding(7, 8), nn.GRUCell(8, 8), nn.Linear(8, 7)
nothing = 3

def sound(tokens, state):
    state = torch.zeros(len(tokens), 8) if state is None else state
    logits = []
    for token in tokens.T:
        state = cell(embedding(token), state)
        logits.append(readout(state))
    return torch.stack(logits, 1), state

def in_place(tokens, state):
    logits, after = sound(tokens, state)
    return logits, after if state is None else state.copy_(after)
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current folder, which nobody installed; each test imports one of its own."""
    monkeypatch.chdir(tmp_path)
    name = f"server_of_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(SERVER)
    return name


def results(shown: str) -> dict[str, str]:
    rows = [line.split("\t") for line in shown.splitlines() if line.count("\t") == 3]
    return {row[0]: row[3] for row in rows[1:]}


def test_a_step_of_ones_own_is_asked_what_servers_get_wrong(server: str) -> None:
    shown = results(ok("check", f"{server}:sound"))
    assert list(shown) == list(SERVING)
    assert [result.partition(":")[0] for result in shown.values()] == ["holds"] * 3 + ["not asked"] * 3
    wrong = call("check", f"{server}:in_place", "--length", 13, "--seed", 1)
    assert wrong.exit_code == 1
    assert results(wrong.stdout)[PREFIX].startswith("BROKEN: the logits at [")


def test_what_is_no_step_is_refused(server: str, tmp_path: Path) -> None:
    assert "neither a step" in refused("check", f"{server}:nothing")
    assert "has no attribute 'other'" in refused("check", f"{server}:other")
    assert "is a step as it is; --set" in refused("check", f"{server}:sound", "--set", "width=1")
    assert "at least 13 tokens" in refused("check", f"{server}:sound", "--length", 8)
    assert "IndexError: index out of range" in refused("check", f"{server}:sound", "--symbols", 9)
    assert "--symbols goes with a step" in refused("check", "gru", "--symbols", 9)
    assert "--symbols goes with a step" in refused("check", "hf-config:mamba2", "--symbols", 9)
    (tmp_path / f"{server}_that_falls.py").write_text("raise RuntimeError('no device')")
    assert "cannot import" in refused("check", f"{server}_that_falls:step")


def test_models_are_asked_too_where_it_is_wanted(tmp_path: Path) -> None:
    assert not set(SERVING) & set(results(ok("check", "gru")))
    shown = results(ok("check", "gru", "--serving"))
    assert list(shown)[-6:] == list(SERVING)
    assert set(shown.values()) == {"holds"}
    shown = results(ok("check", "attention", "--serving", "--length", 13))
    assert [result.partition(":")[0] for result in shown.values()].count("not asked") == 1


@pytest.mark.slow
def test_checkpoints_are_asked_too(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")
    folder = official_checkpoints.rwkv6(tmp_path / "own")
    assert list(results(ok("check", folder, "--serving")))[-6:] == list(SERVING)
    found = json.loads(ok("check", folder, "--serving", "--json"))["findings"]
    assert [finding["clause"] for finding in found][-6:] == list(SERVING)
    shown = ok("check", "hf-config:jamba", "--serving")
    assert "jamba: what servers get wrong\n" in shown
    assert "rows at different positions in one batch\t\t\tnot asked: states whose entry 'layers.1.keys'" in shown
