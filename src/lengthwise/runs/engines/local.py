"""Processes of this machine.

Not those of `concurrent.futures` or loky: there a worker that is killed breaks the pool and takes the other runs with
it, which signal it was is not told, and nothing ends the workers of a sweep that was killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from lengthwise.errors import RunError, reason_of
from lengthwise.runs.engines.base import Engine
from lengthwise.runs.sweep_work import Ending, Result, Work, do

_GRACE = 20.0
"""Seconds that workers have to write a checkpoint once they are told to stop."""


@dataclass
class _Worker:
    work: Work
    process: BaseProcess
    answer: Connection = field(repr=False)


class LocalEngine(Engine):
    """A process of this machine for each run.

    Processes are forked from a server that has imported PyTorch, so that one costs milliseconds; what one run leaves in
    memory never meets the next. Where the system cannot fork, each is started anew.
    """

    def __post_init__(self) -> None:
        forks = "forkserver" in multiprocessing.get_all_start_methods()
        self._context = multiprocessing.get_context("forkserver") if forks else multiprocessing.get_context("spawn")
        # The first step of an optimiser imports the second, which takes a second.
        self._context.set_forkserver_preload([_serve.__module__, "torch._dynamo"])
        self._workers: list[_Worker] = []

    @property
    def cores(self) -> int:
        """The cores that this process may use."""
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    @property
    def running(self) -> list[Work]:
        """What is being worked on."""
        return [worker.work for worker in self._workers]

    def submit(self, work: Work) -> None:
        """Start a process that works on a run.

        Raises:
            RunError: the server that forks workers ended, twice in a row.
        """
        try:
            self._start(work)
        # A server that was ended is started anew by the next call, and what it had forked lives on.
        except (OSError, EOFError):
            try:
                self._start(work)
            except (OSError, EOFError) as error:
                raise RunError(f"cannot start a worker: {reason_of(error)}; the same command goes on") from error

    def _start(self, work: Work) -> None:
        receiving, sending = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_serve, args=(work, sending), daemon=True)
        with sending:
            process.start()
        self._workers.append(_Worker(work, process, receiving))

    def wait(self, timeout: float) -> Iterator[tuple[Work, Result]]:
        """Wait until some worker answers or dies, or for some seconds, and return what ended."""
        # A pipe whose other end is gone counts as ready, so that a dead worker is noticed at once.
        ready = connection.wait([worker.answer for worker in self._workers], timeout)
        for worker in [worker for worker in self._workers if worker.answer in ready]:
            self._workers.remove(worker)
            yield worker.work, _read(worker)

    def close(self) -> None:
        """Let workers write a checkpoint, and end those that take too long."""
        workers, self._workers = self._workers, []
        try:
            for worker in workers:
                worker.process.terminate()
            for worker in workers:
                worker.process.join(_GRACE)
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.join()
                worker.answer.close()


def _read(worker: _Worker) -> Result:
    try:
        return worker.answer.recv()
    except EOFError:
        worker.process.join()
        code = worker.process.exitcode or 0
        cause = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return Result(Ending.KILLED, message=f"the worker, process {worker.process.pid}, was ended {cause}")
    finally:
        worker.answer.close()
        worker.process.join()


def _serve(work: Work, answer: Connection) -> None:
    """Work on a run in a process of its own."""
    stopping = threading.Event()

    def note(*_: object) -> None:
        stopping.set()

    # Ctrl-C reaches all processes of a terminal; what it means is for the one that holds the sweep to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, note)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    answer.send(do(work, stopping.is_set))
    answer.close()


def _die_with_parent() -> None:
    """End this process when the one that holds the sweep is gone; a run may end anywhere."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # only workers call this
    connection.wait([parent.sentinel])
    sys.stderr.flush()
    os._exit(1)
