"""The worker of a sweep: it trains and evaluates one run, and says how that went in plain data."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from lengthwise.errors import InputError, LengthwiseError, reason_of, shortage
from lengthwise.registry import failed_plugin
from lengthwise.runs.folder import run_path
from lengthwise.runs.lock import InUseError
from lengthwise.runs.recipe import validate_recipe
from lengthwise.runs.run import Outcome, evaluate_run, train_run

PATIENCE = 2.0
"""Seconds that a worker waits for a folder that another process holds before it leaves it for later.

A longer wait would make two drivers of one sweep follow each other from run to run, the second always waiting for what
the first holds."""


class Ending(StrEnum):
    """How the work on a run ended."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    """What was given cannot be used, so that trying again is of no use."""
    KILLED = "killed"
    """The worker died."""
    BUSY = "busy"
    """Another process works on the run."""
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Work:
    """One run, as it is sent to a worker.

    Args:
        settings: the resolved recipe.
        seed: of the run.
        root: the folder of all runs, absolute.
        command: the command line that the run is made by.
    """

    settings: dict[str, Any]
    seed: int
    root: Path
    command: tuple[str, ...]

    @property
    def key(self) -> tuple[str, int]:
        """The name of the recipe, and the seed."""
        return self.settings["name"], self.seed

    @property
    def threads(self) -> int:
        """The threads of its worker."""
        return self.settings["threads"]


@dataclass(frozen=True)
class Result:
    """How the work on a run ended.

    Args:
        ending: in one word.
        seconds: processor time that it took; None where the worker did not live to tell.
        message: what went wrong, in a line.
        trace: where in the program, when it was not foreseen.
    """

    ending: Ending
    seconds: float | None = None
    message: str = ""
    trace: str = ""


class _StopError(Exception):
    """Leaves an evaluation, which keeps nothing until it is whole."""


def do(work: Work, stop: Callable[[], bool] = lambda: False, patience: float = PATIENCE) -> Result:
    """Train and evaluate a run, as far as that was not done.

    Args:
        work: the run.
        stop: asked after every step and every row; once it says yes, the run is left so that it can go on.
        patience: seconds to wait for another process to leave the run's folder.

    Returns:
        How it ended; nothing is raised.
    """
    began = time.process_time()
    # The run records the command of its process, which is the sweep's wherever the worker runs.
    sys.argv[:] = work.command
    try:
        ending, message, trace = _attempt(work, stop, patience), "", ""
    except InUseError as error:
        ending, message, trace = Ending.BUSY, str(error), ""
    except InputError as error:
        ending, message, trace = Ending.REFUSED, str(error), ""
    except LengthwiseError as error:
        ending, message, trace = Ending.FAILED, str(error), ""
    except Exception as error:
        ending, trace = Ending.FAILED, traceback.format_exc()
        message = failed_plugin(error) or shortage(error) or reason_of(error)
    return Result(ending, round(time.process_time() - began, 3), message, trace)


def _attempt(work: Work, stop: Callable[[], bool], patience: float) -> Ending:
    recipe = validate_recipe(work.settings, f"recipe {work.key[0]}")
    folder = run_path(work.root, *work.key)

    def leave(row: object) -> None:
        del row
        if stop():
            raise _StopError

    outcome = train_run(recipe, work.seed, folder, stop=stop, patience=patience)
    if outcome is Outcome.INTERRUPTED:
        return Ending.INTERRUPTED
    try:
        evaluate_run(folder, leave, patience=patience)
    except _StopError:
        return Ending.INTERRUPTED
    return Ending.DONE
