"""Jobs of a Slurm cluster, submitted by submitit."""

from __future__ import annotations

import contextlib
import getpass
import logging
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lengthwise.errors import RunError
from lengthwise.extras import import_extra
from lengthwise.runs.engines.base import Engine
from lengthwise.runs.sweep_work import Ending, Result, Work, do

JOBS = ".slurm"
"""Folder among the runs, for what Slurm and submitit write of each job."""
_MINUTES = 24 * 60
"""Of a job, where ``SBATCH_TIMELIMIT`` says nothing else."""
_ASK_EVERY = 5.0
"""Seconds between two questions to the queue, which all users of a cluster share."""
_LATE = 30.0
"""Seconds for the answer of a job that has left the queue to be seen on a shared disk."""


class SlurmEngine(Engine):
    """A job for each run, on a cluster whose nodes share the folder of runs and this Python.

    sbatch reads ``SBATCH_ACCOUNT``, ``SBATCH_TIMELIMIT`` and its other variables of the environment.

    Args:
        workers: the most jobs at a time; by default all are handed in, and Slurm says when each begins.
        retries: not used: a run whose job ended is handed in again by the sweep.
        address: a partition, by default that of the cluster.

    Raises:
        InputError: submitit is not installed.
        RunError: there is no Slurm here.
    """

    has_address = True

    def __post_init__(self) -> None:
        self._submitit: Any = import_extra("submitit", "--engine slurm")
        # It asks for the accounts of jobs, which a cluster need not keep; the queue is asked here.
        logging.getLogger("submitit").setLevel(logging.ERROR)
        if shutil.which("sbatch") is None:
            raise RunError("there is no Slurm here: sbatch is not found; --engine slurm is for its login node")
        self._jobs: dict[Any, Work] = {}
        self._gone: dict[Any, float] = {}
        self._asked = -_ASK_EVERY

    @property
    def cores(self) -> int:
        """The cores of the cluster."""
        return int(_asked("sinfo", "-h", "-o", "%C").partition("\n")[0].rpartition("/")[2])

    @property
    def running(self) -> list[Work]:
        """What was handed in and did not end yet."""
        return list(self._jobs.values())

    def has_room(self, threads: int) -> bool:
        """Whether one more job may be handed in."""
        del threads
        return self.workers is None or len(self._jobs) < self.workers

    def submit(self, work: Work) -> None:
        """Hand in the job of a run.

        Raises:
            RunError: Slurm refuses it.
        """
        executor = self._submitit.AutoExecutor(folder=work.root / JOBS / "%j", cluster="slurm")
        partition = {"slurm_partition": self.address} if self.address else {}
        name = f"{work.key[0].replace('/', '-')}-{work.key[1]}"
        executor.update_parameters(name=name, timeout_min=_MINUTES, cpus_per_task=work.threads, **partition)
        try:
            self._jobs[executor.submit(do, work)] = work
        except (self._submitit.core.utils.FailedJobError, subprocess.CalledProcessError) as error:
            raise RunError(f"Slurm refuses a job: {str(error).strip()}") from error

    def wait(self, timeout: float) -> Iterator[tuple[Work, Result]]:
        """Wait until some job ends, or for some seconds, and return what ended."""
        until = time.monotonic() + timeout
        while not (ended := self._ended()) and self._jobs and time.monotonic() < until:
            time.sleep(min(0.5, timeout))
        for job in ended:
            work = self._jobs.pop(job)
            yield work, self._result(job)

    def close(self) -> None:
        """Cancel what is handed in; a run goes on from its checkpoint."""
        for job in self._jobs:
            with contextlib.suppress(subprocess.CalledProcessError):
                job.cancel(check=True)
        self._jobs = {}

    def _ended(self) -> list[Any]:
        """Return the jobs that answered, and those that left the queue and did not answer for long."""
        answered = [job for job in self._jobs if _answer(job).exists()]
        now = time.monotonic()
        if answered or not self._jobs or now - self._asked < _ASK_EVERY:
            return answered
        self._asked = now
        queued = set(_asked("squeue", "-h", "-u", getpass.getuser(), "-o", "%A").split())
        left = [job for job in self._jobs if job.job_id not in queued]
        self._gone = {job: self._gone.get(job, now) for job in left}
        return [job for job, since in self._gone.items() if now - since >= _LATE]

    def _result(self, job: Any) -> Result:
        if not _answer(job).exists():
            return Result(
                Ending.KILLED, message=f"Slurm ended job {job.job_id}, which left no answer in {job.paths.folder}"
            )
        try:
            return job.result()
        # What it raises is what the job raised, or that it raised; both are of the worker, and not of the sweep.
        except Exception as error:
            return Result(Ending.KILLED, message=f"job {job.job_id}: {str(error).strip().rpartition(chr(10))[2]}")


def _answer(job: Any) -> Path:
    return Path(job.paths.result_pickle)


def _asked(*command: str) -> str:
    """Return what a command of Slurm says.

    Raises:
        RunError: it does not answer.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunError(
            f"{command[0]} does not answer: {done.stderr.strip()}; the same command goes on where its runs are"
        )
    return done.stdout
