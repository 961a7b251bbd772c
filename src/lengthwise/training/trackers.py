"""Trackers: programs that show the metrics of a run while it trains, beside the file that it writes anyway."""

from __future__ import annotations

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lengthwise.errors import InputError, LengthwiseError, StoppedError, reason_of
from lengthwise.extras import import_extra
from lengthwise.files import read_object, write_atomically
from lengthwise.training import TRACKERS

TRACKED = "trackers.json"
"""In the folder of a run: what each tracker calls it, and the last step that it was told."""
_PROJECT = "lengthwise"


class Tracker(ABC):
    """Where the metrics of a run go too; it is told of each step once, whatever ended the process in between.

    Args:
        folder: the run's.
        name: what the run is called, such as ``fast/parity/seed-0``.
        settings: the resolved recipe.
        known: what the tracker called the run when an earlier process began it; empty at first.
    """

    def __init__(self, folder: Path, name: str, settings: Mapping[str, Any], known: str) -> None:
        self.folder, self.name, self.settings, self.known = folder, name, settings, known

    @abstractmethod
    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take in the metrics of a step."""

    @abstractmethod
    def close(self, *, finished: bool) -> None:
        """Write what is left; a run that is not finished may go on later."""


class TensorBoard(Tracker):
    """TensorBoard: events in the folder ``tensorboard`` of the run."""

    def __init__(self, folder: Path, name: str, settings: Mapping[str, Any], known: str) -> None:
        super().__init__(folder, name, settings, known)
        import_extra("tensorboard", "tracker 'tensorboard'")
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(folder / "tensorboard")
        if not known:
            self._writer.add_text("recipe", f"```json\n{json.dumps(settings, indent=2)}\n```")
        self.known = "tensorboard"

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take in the metrics of a step."""
        for key, value in metrics.items():
            self._writer.add_scalar(key, value, step)
        self._writer.flush()

    def close(self, *, finished: bool) -> None:
        """Close the file of events."""
        del finished
        self._writer.close()


class MLflow(Tracker):
    """MLflow: a run of the experiment ``lengthwise``, where ``MLFLOW_TRACKING_URI`` says."""

    def __init__(self, folder: Path, name: str, settings: Mapping[str, Any], known: str) -> None:
        super().__init__(folder, name, settings, known)
        mlflow = import_extra("mlflow", "tracker 'mlflow'")
        self._client: Any = mlflow.MlflowClient()
        if known:
            self._client.set_terminated(known, "RUNNING")
            return
        experiment = self._client.get_experiment_by_name(_PROJECT)
        where = experiment.experiment_id if experiment else self._client.create_experiment(_PROJECT)
        self.known = self._client.create_run(where, run_name=name).info.run_id
        for key, value in _flat(settings):
            self._client.log_param(self.known, key, value)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take in the metrics of a step."""
        for key, value in metrics.items():
            self._client.log_metric(self.known, key, value, step=step)

    def close(self, *, finished: bool) -> None:
        """Say whether the run is finished."""
        self._client.set_terminated(self.known, "FINISHED" if finished else "KILLED")


class WeightsAndBiases(Tracker):
    """Weights & Biases: a run of the project ``lengthwise``, or of that in ``WANDB_PROJECT``."""

    def __init__(self, folder: Path, name: str, settings: Mapping[str, Any], known: str) -> None:
        super().__init__(folder, name, settings, known)
        wandb = import_extra("wandb", "tracker 'wandb'")
        project = wandb.Settings().project or _PROJECT
        again = {"id": known, "resume": "allow"} if known else {}
        self._run: Any = wandb.init(project=project, name=name, dir=str(folder), config=dict(settings), **again)
        self.known = self._run.id

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take in the metrics of a step."""
        self._run.log(dict(metrics), step=step)

    def close(self, *, finished: bool) -> None:
        """End the run; one that may go on is left as it is."""
        self._run.finish(exit_code=0 if finished else 1)


class Tracked:
    """The trackers of a run, each told of every logged step once.

    What a step is told is written down before it is told: a process that is killed in between leaves it out rather than
    twice. Steps that are trained again after a kill are the same, and were told.

    Args:
        names: of trackers; without any nothing is written.
        folder: the run's.
        name: what the run is called.
        settings: the resolved recipe.

    Raises:
        InputError: a tracker cannot begin, such as one whose library is not installed; the message says how it can.
    """

    def __init__(self, names: Sequence[str], folder: Path, name: str, settings: Mapping[str, Any]) -> None:
        self._path = folder / TRACKED
        told: dict[str, Any] = read_object(self._path, "list of trackers") if self._path.exists() else {}
        self._told, self._trackers = told, dict[str, Tracker]()
        for one in names:
            known = told.get(one, {"id": "", "step": 0})
            with _told_in_words(one, "cannot begin", InputError):
                tracker: Tracker = TRACKERS.load(one)(folder, name, settings, known["id"])
            self._trackers[one], self._told[one] = tracker, known | {"id": tracker.known}
        if names:
            self._write()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Tell those that were not told of this step."""
        new = [name for name in self._trackers if self._told[name]["step"] < step]
        for name in new:
            self._told[name]["step"] = step
        if new:
            self._write()
        for name in new:
            with _told_in_words(name, f"failed at step {step}; the same command goes on", StoppedError):
                self._trackers[name].log(step, metrics)

    def close(self, *, finished: bool) -> None:
        """Close all of them."""
        for tracker in self._trackers.values():
            tracker.close(finished=finished)

    def _write(self) -> None:
        write_atomically(self._path, json.dumps(self._told, indent=2).encode(), "list of trackers", to_disk=False)


@contextlib.contextmanager
def _told_in_words(name: str, what: str, kind: type[LengthwiseError]) -> Generator[None]:
    """Raise what a tracker's library raises as an error for people, with the call that does without it."""
    try:
        yield
    except LengthwiseError:
        raise
    except Exception as error:
        without = "--set training.trackers=[] does without"
        raise kind(f"tracker {name!r} {what}; {without}: {reason_of(error)}") from error


def _flat(settings: Mapping[str, Any], place: str = "") -> list[tuple[str, Any]]:
    """Return the settings by their dotted paths."""
    found: list[tuple[str, Any]] = []
    for name, value in settings.items():
        found += _flat(value, f"{place}{name}.") if isinstance(value, Mapping) else [(f"{place}{name}", value)]
    return found
