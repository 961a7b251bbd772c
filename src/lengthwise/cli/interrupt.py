"""Ctrl-C and the end of a batch job: finish the step, save, leave."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

from lengthwise.errors import StoppedError


class StopRequest:
    """Says whether a signal asked to stop."""

    def __init__(self) -> None:
        self.signal = 0

    def __call__(self) -> bool:
        """Return whether to stop."""
        return self.signal != 0

    @property
    def exit_code(self) -> int:
        """2 for Ctrl-C, as for all that a user stops and goes on with; else the code that tells which signal it was."""
        return StoppedError.exit_code if self.signal == signal.SIGINT else 128 + self.signal


@contextmanager
def stop_on_signals() -> Generator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a request to stop; a second one ends the program at once."""
    request = StopRequest()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        request.signal = number
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
