"""The contract of an engine, which works on the runs of a sweep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

from lengthwise.runs.sweep_work import Result, Work


@dataclass(eq=False)
class Engine(AbstractContextManager["Engine"], ABC):
    """Works on several runs at a time.

    Args:
        workers: the most runs at a time; None for as many as the cores hold.
        retries: how often the engine itself works on a run again whose worker died, where it can.
        address: of the machines, where the engine has one.
    """

    workers: int | None = None
    retries: int = 1
    address: str | None = None

    has_address: ClassVar[bool] = False
    """Whether an address can be given."""

    @abstractmethod
    def __post_init__(self) -> None:
        """Get ready."""

    @property
    @abstractmethod
    def cores(self) -> int:
        """The cores that there are now."""

    @property
    @abstractmethod
    def running(self) -> list[Work]:
        """What is being worked on."""

    @abstractmethod
    def submit(self, work: Work) -> None:
        """Start to work on a run."""

    @abstractmethod
    def wait(self, timeout: float) -> Iterator[tuple[Work, Result]]:
        """Wait until some work ends, or for some seconds, and return what ended."""

    @abstractmethod
    def close(self) -> None:
        """End all workers."""

    def has_room(self, threads: int) -> bool:
        """Return whether one more run of so many threads can start."""
        running = self.running
        if self.workers is not None:
            return len(running) < self.workers
        return not running or sum(work.threads for work in running) + threads <= self.cores

    def __exit__(self, *exception: object) -> None:
        self.close()
