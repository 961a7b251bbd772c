"""Certificates damaged and forged at random: each is read or refused in words, in bounded time and memory."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import lzma
import random
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from exact_units import exact_certificate
from typer.testing import CliRunner

from lengthwise.certificates.certificate import FILE_NAME, Certificate
from lengthwise.certificates.packing import read_table
from lengthwise.cli.main import app
from lengthwise.tasks import get_language

LONGEST = 20
"""Seconds that looking at one certificate may take."""
MEMORY = 2**30
"""Bytes by which looking at all of them may make the process grow."""
VALUES: list[Any] = [
    *(None, True, -1, 0, 1, 255, 2**31, 2**70, 0.5, 1e308, float("nan"), float("inf"), "", "\ud800", "raw", "snapped"),
    *("rounded", "black_box", "every_length", "up_to_length", "dyck_2", "regex:(0|1)*", "dfa:/dev/zero", "x" * 10_000),
    *([], [[]], [0], [[0, 0]], {}, {"transitions": [[0, 0]], "start": 0, "outputs": [1]}),
    *("int8 99999x99999 x", "int32 4x-4 x", "int16 2x2", "int64 1x1 x", "int8 2x2 {Wp48S^xk9=GL@E0stWa761SMbT8$j-~w(S"),
]
Change = Callable[[random.Random, Any, Any], None]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return all that stands in some JSON: what it stands in, and under which name or number."""
    inner = [*value.items()] if isinstance(value, dict) else [*enumerate(value)] if isinstance(value, list) else []
    return [place for key, one in inner for place in ((value, key), *places(one))]


def replace(rng: random.Random, within: Any, key: Any) -> None:
    within[key] = copy.deepcopy(rng.choice(VALUES))


def remove(rng: random.Random, within: Any, key: Any) -> None:
    del within[key]


def nudge(rng: random.Random, within: Any, key: Any) -> None:
    value = within[key]
    within[key] = value + rng.choice([-1, 1]) if type(value) in (int, float) else value


def repeat(rng: random.Random, within: Any, key: Any) -> None:
    if isinstance(within[key], list | str):
        within[key] = within[key] * rng.choice([2, 50])


def garble(rng: random.Random, within: Any, key: Any) -> None:
    text = within[key]
    if isinstance(text, str) and text:
        at = rng.randrange(len(text))
        within[key] = text[:at] + chr(rng.randrange(33, 127)) + text[at + 1 :]


CHANGES: list[Change] = [replace, remove, nudge, nudge, repeat, garble]


def mutated(rng: random.Random, certificate: dict[str, Any]) -> bytes:
    """Return a certificate with one to three changes, half of the time sealed again, or with other bytes."""
    changed = copy.deepcopy(certificate)
    for _ in range(rng.randint(1, 3)):
        if found := places(changed):
            rng.choice(CHANGES)(rng, *rng.choice(found))
    text = json.dumps(changed)
    if rng.random() < 0.5:
        with contextlib.suppress(ValueError):
            text = json.dumps(Certificate.model_validate(changed).sealed().dump())
    data = bytearray(text.encode())
    if rng.random() < 0.2:
        at = rng.randrange(len(data))
        data[at : at + rng.randint(0, 9)] = rng.randbytes(rng.randint(0, 9))
    return bytes(data)


@pytest.fixture(scope="module")
def certificates() -> list[dict[str, Any]]:
    """One with a small table, one with a packed one, one that is wrong, and those of version 1 kept of three runs."""
    (kept,) = (Path(__file__).parents[2] / "results" / "fast").glob("certificates*.jsonl")
    lines = kept.read_text().splitlines()
    own = [exact_certificate(get_language(name)).dump() for name in ("parity", "dyck_3")]
    return own + [json.loads(lines[place])["certificate"] for place in (0, 12, 16)]


@pytest.fixture
def in_time() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"a certificate was looked at for more than {LONGEST} s")

    before = signal.signal(signal.SIGALRM, late)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def grown() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.slow
def test_damaged_certificates_are_read_or_refused(
    certificates: list[dict[str, Any]], fuzz_budget: int, tmp_path: Path, in_time: None
) -> None:
    path, before = tmp_path / FILE_NAME, grown()
    for seed in range(fuzz_budget):
        rng = random.Random(seed)
        path.write_bytes(mutated(rng, rng.choice(certificates)))
        command = rng.choice([["certify", "--verify"], ["certify", "--verify"], ["export"]])
        signal.alarm(LONGEST)
        result = CliRunner().invoke(app, [*command, str(path)])
        signal.alarm(0)
        assert result.exit_code in (0, 1, 2), (seed, result.output)
        assert result.exception is None or isinstance(result.exception, SystemExit), (seed, result.exception)
    assert grown() - before < MEMORY


@pytest.mark.slow
def test_a_table_that_would_fill_the_memory_is_refused() -> None:
    bomb = base64.b85encode(lzma.compress(bytes(2**27), preset=0)).decode()
    for claimed in ("int8 2x2", "int8 8192x8192", "int8 99999x99999"):
        with pytest.raises(ValueError, match="packed table"):
            read_table(f"{claimed} {bomb}")
