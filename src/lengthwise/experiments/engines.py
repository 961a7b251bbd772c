"""Engines: where the runs of a sweep are worked on."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from lengthwise.errors import InputError, RunError
from lengthwise.experiments.sweep_work import Ending, Result, Work, do

_GRACE = 20.0
"""Seconds that workers have to write a checkpoint once they are told to stop."""


class Engine(ABC):
    """Works on several runs at a time.

    Args:
        workers: the most runs at a time; None for as many as the cores hold.
    """

    def __init__(self, workers: int | None) -> None:
        self.workers = workers

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

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@dataclass
class _Worker:
    work: Work
    process: BaseProcess
    answer: Connection = field(repr=False)


class LocalEngine(Engine):
    """A process of this machine for each run.

    Processes are forked from a server that has imported PyTorch, so that one costs milliseconds; what one run leaves in
    memory never meets the next.

    Args:
        workers: the most runs at a time; by default as many as the cores hold.
    """

    def __init__(self, workers: int | None = None) -> None:
        super().__init__(workers)
        self._context = multiprocessing.get_context("forkserver")
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

    @property
    def processes(self) -> list[int]:
        """The ids of the workers, in the order of `running`."""
        return [worker.process.pid or 0 for worker in self._workers]

    def submit(self, work: Work) -> None:
        """Start a process that works on a run."""
        receiving, sending = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_serve, args=(work, sending), daemon=True)
        process.start()
        sending.close()
        self._workers.append(_Worker(work, process, receiving))

    def wait(self, timeout: float) -> Iterator[tuple[Work, Result]]:
        """Wait until some worker answers or dies, or for some seconds, and return what ended."""
        # A pipe whose other end is gone counts as ready, so that a dead worker is noticed at once.
        ready = connection.wait([worker.answer for worker in self._workers], timeout)
        for worker in [worker for worker in self._workers if worker.answer in ready]:
            result = _read(worker)
            worker.answer.close()
            self._workers.remove(worker)
            yield worker.work, result

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


class RayEngine(Engine):
    """Tasks on a Ray cluster whose nodes share the folder of runs.

    Args:
        address: of the cluster, ``auto`` for the one that this machine belongs to; by default one is started here.
        workers: the most runs at a time; by default as many as the cluster's cores hold.
        retries: how often Ray runs a task again whose worker or node died.

    Raises:
        InputError: Ray is not installed.
        RunError: there is no cluster at the address.
    """

    def __init__(self, address: str | None = None, workers: int | None = None, retries: int = 1) -> None:
        super().__init__(workers)
        if find_spec("ray") is None:
            raise InputError("--engine ray needs Ray; install it with: pip install 'lengthwise[ray]'")
        import ray

        # A cluster that is started here for a sweep needs no page of its own, and reports to nobody.
        local: dict[str, Any] = {"include_dashboard": False} if address is None else {}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **local)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise RunError(f"cannot use a Ray cluster at {address or 'this machine'}: {error}") from error
        self._ray: Any = ray
        self._task: Any = ray.remote(max_retries=retries)(do)
        self._works: dict[Any, Work] = {}

    @property
    def cores(self) -> int:
        """The cores of the nodes that are alive."""
        return int(self._ray.cluster_resources().get("CPU", 0))

    @property
    def running(self) -> list[Work]:
        """What was given to Ray and did not end yet."""
        return list(self._works.values())

    def submit(self, work: Work) -> None:
        """Give a run to Ray."""
        self._works[self._task.options(num_cpus=work.threads).remote(work)] = work

    def wait(self, timeout: float) -> Iterator[tuple[Work, Result]]:
        """Wait until some task ends, or for some seconds, and return what ended."""
        references = list(self._works)
        if not references:
            return
        ended, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
        if not ended:
            ended, _ = self._ray.wait(references, num_returns=1, timeout=timeout)
        for reference in ended:
            work = self._works.pop(reference)
            try:
                yield work, self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                message = str(error).strip().partition("\n")[0]
                yield work, Result(Ending.KILLED, message=f"{type(error).__name__}: {message}")

    def close(self) -> None:
        """Cancel what is running and leave the cluster; one that was started here ends."""
        for reference in self._works:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.cancel(reference, force=True)
        self._works = {}
        self._ray.shutdown()


def _read(worker: _Worker) -> Result:
    try:
        result: Result = worker.answer.recv()
    except EOFError:
        worker.process.join()
        code = worker.process.exitcode or 0
        cause = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return Result(Ending.KILLED, message=f"the worker, process {worker.process.pid}, was ended {cause}")
    worker.process.join()
    return result


def _serve(work: Work, answer: Connection) -> None:
    """Work on a run in a process of its own."""
    stopping = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        del number, frame
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
