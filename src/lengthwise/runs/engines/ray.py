"""Tasks on a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

from lengthwise.errors import RunError
from lengthwise.extras import import_extra
from lengthwise.runs.engines.base import Engine
from lengthwise.runs.sweep_work import Ending, Result, Work, do

_PATIENCE = 15
"""Seconds for the head of a cluster to answer."""


class RayEngine(Engine):
    """Tasks on a Ray cluster whose nodes share the folder of runs.

    Args:
        workers: the most runs at a time; by default as many as the cluster's cores hold.
        retries: how often Ray runs a task again whose worker or node died.
        address: of the cluster, ``auto`` for the one that this machine belongs to; by default one is started here.

    Raises:
        InputError: Ray is not installed.
        RunError: there is no cluster at the address.
    """

    has_address = True

    def __post_init__(self) -> None:
        ray = import_extra("ray", "--engine ray")
        # A cluster that is started here for a sweep needs no page of its own, and reports to nobody.
        local: dict[str, Any] = {} if self.address else {"include_dashboard": False}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # What Ray waits for a head that ends in the middle of a call, before it ends this process with a message.
        os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(_PATIENCE))
        try:
            ray.init(address=self.address or "local", log_to_driver=False, logging_level=logging.ERROR, **local)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise RunError(f"cannot use a Ray cluster at {self.address or 'this machine'}: {error}") from error
        self._ray: Any = ray
        self._task: Any = ray.remote(max_retries=self.retries)(do)
        self._works: dict[Any, Work] = {}
        self._head: str = ray.get_runtime_context().gcs_address
        self._lost = False

    @property
    def cores(self) -> int:
        """The cores of the nodes that are alive."""
        self._ask_head()
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
        self._ask_head()
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

    def _ask_head(self) -> None:
        """Refuse to wait for a cluster whose head is gone: Ray itself would wait, and then end this process."""
        # Not by a call of Ray's, which holds all threads of this process while the head does not answer.
        host, _, port = self._head.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE):
                pass
        except OSError as error:
            self._lost = True
            raise RunError(
                f"the head of the Ray cluster at {self._head} does not answer ({error.strerror or error}); "
                "runs have their checkpoints, and the same command goes on"
            ) from error

    def close(self) -> None:
        """Cancel what is running and leave the cluster; one that was started here ends."""
        # Nothing can be cancelled without the head.
        for reference in () if self._lost else self._works:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.cancel(reference, force=True)
        self._works = {}
        self._ray.shutdown()
