"""Fuzzing: damaged inputs from a seed, and the program called on them in this process, its time and memory bounded."""

import contextlib
import json
import random
import resource
import signal
import traceback
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from lengthwise.cli import main
from lengthwise.cli.interrupt import StopRequest
from lengthwise.runs import run

SECONDS = 20
"""Of the processor that a call may take; of the clock six times as many, on a machine that does other things."""
_MEMORY = 4 << 30
"""Addresses beyond those that the process has already."""

EXTREMES: list[Any] = [
    *(0, 1, -1, 2, 7, 255, 10**3, 10**5, 10**6, 10**9, 2**31, 2**40, 2**63 - 1, 2**63, 2**64, 2**70, 10**30, -(10**9)),
    *(0.0, 0.5, -0.5, 1.0, 1e-300, 1e300, float("inf"), float("-inf"), float("nan")),
    *(None, True, False, "", " ", "a", "none", "../x", "/dev/zero", "\x00", "é", "x" * 5000, "0x10", "1e999", "on"),
    *([], [[]], [1], [2, -5], [0, 0], list(range(2000)), {}, {"name": "x"}, {"a": {"b": {}}}, [None], ["a", 1]),
]


class TooSlowError(BaseException):
    """The program did not come to an end."""


@contextlib.contextmanager
def bounded(seconds: int = SECONDS, memory: int = _MEMORY) -> Generator[None]:
    """End what takes too long, and let what takes too much memory fail, while the context lasts."""

    def ring(*_: object) -> None:
        raise TooSlowError

    # Of data and not of addresses, of which a page's browser engine reserves many times more than it uses.
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    used = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[5]) * resource.getpagesize()
    before = {number: signal.signal(number, ring) for number in (signal.SIGALRM, signal.SIGPROF)}
    resource.setrlimit(resource.RLIMIT_DATA, (used + memory, hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.alarm(6 * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def complaint(*arguments: object) -> str:
    """Call the program, and return what is wrong with how it ended; empty where it told people in a line, or worked."""
    try:
        with bounded():
            result = CliRunner().invoke(main.app, [str(argument) for argument in arguments])
    except TooSlowError:
        return f"it takes more than {SECONDS} s"
    if isinstance(result.exception, TooSlowError):
        return f"it takes more than {SECONDS} s"
    if result.exception is not None and not isinstance(result.exception, SystemExit | typer.Exit):
        return "".join(traceback.format_exception(result.exception))
    if result.exit_code not in {0, 1, 2}:
        return f"exit code {result.exit_code}"
    if "Traceback" in result.output:
        return result.output
    return "" if result.exit_code == 0 or result.output.strip() else f"exit code {result.exit_code} without a word"


def told(complaints: dict[int, tuple[str, str]]) -> str:
    """Return what went wrong with each seed, and with what input, for people."""
    return "\n".join(f"seed {seed}: {said}\nwith: {given}" for seed, (said, given) in complaints.items())


def leave_after_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `train` end after its first step, as if Ctrl-C had been pressed in it.

    A point of the learning curve may ask for hours of work, of people who want it: it has begun, and that is enough.
    """
    measure = run._curve

    def begun(*arguments: Any) -> dict[str, float]:
        try:
            return measure(*arguments)
        except TooSlowError:
            return {}

    monkeypatch.setattr("lengthwise.runs.run._curve", begun)

    @contextlib.contextmanager
    def pressed() -> Generator[StopRequest]:
        request = StopRequest()
        request.signal = signal.SIGINT
        yield request

    monkeypatch.setattr("lengthwise.cli.train.stop_on_signals", pressed)


def places(settings: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every section, item and value of nested settings."""
    items = (
        settings.items() if isinstance(settings, dict) else enumerate(settings) if isinstance(settings, list) else ()
    )
    return [place for key, below in items for place in [(*above, key), *places(below, (*above, key))]]


def damage_settings(settings: Any, chance: random.Random, values: Sequence[Any] = EXTREMES) -> None:
    """Change, take away or rename one setting in place."""
    *above, last = chance.choice(places(settings))
    node = settings
    for key in above:
        node = node[key]
    match chance.random():
        case share if share < 0.08:
            del node[last]
        case share if share < 0.14 and isinstance(node, dict):
            node[chance.choice(["name", "x", "", "format", "base", 3])] = node.pop(last)
        case share if share < 0.24 and isinstance(node[last], int | float):
            node[last] = node[last] * chance.choice([-1, 10, 1000, 10**6, 0.5])
        case _:
            node[last] = chance.choice(values)


def damage_json(text: str, chance: random.Random) -> str:
    """Change a setting of one line of JSON, or of one document."""
    lines = text.splitlines()
    if not lines:
        return "{}"
    at = 0 if chance.random() < 0.3 else chance.randrange(len(lines))
    try:
        content = json.loads(lines[at])
    except ValueError:
        at, lines = 0, [text]
        content = json.loads(text)
    if not places(content):
        return chance.choice(["{}", "[1]", "null"])
    damage_settings(content, chance)
    lines[at] = json.dumps(content)
    return "\n".join(lines) + "\n"


def damage_bytes(data: bytes, chance: random.Random) -> bytes:
    """Cut, flip, repeat or replace some bytes."""
    if not data:
        return chance.randbytes(chance.randrange(1, 100))
    at, span = chance.randrange(len(data)), chance.choice([1, 1, 1, 4, 64, 1024])
    changes: list[Callable[[], bytes]] = [
        lambda: data[:at],
        lambda: b"",
        lambda: data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :],
        lambda: data[:at] + chance.randbytes(span) + data[at + span :],
        lambda: data[:at] + data[at : at + span] * 3 + data[at + span :],
        lambda: data[:at] + data[at + span :],
        lambda: data[:at] + bytes(span) + data[at + span :],
        lambda: chance.choice(
            [b"null", b"[]", b"{}", b"0", b'""', b"\xff\xfe", b"\n", b"[[" * 5000, b"PAR1", b"\0" * 200]
        ),
    ]
    return chance.choice(changes)()
