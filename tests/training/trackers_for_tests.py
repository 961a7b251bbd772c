"""Trackers that keep what they are told in a file, or fail."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lengthwise.training.trackers import Tracker


class Kept(Tracker):
    def __init__(self, folder: Path, name: str, settings: Mapping[str, Any], known: str) -> None:
        super().__init__(folder, name, settings, known)
        self.known = known or f"{name}, trained with {settings['training']['batch_size']} rows"
        self._file = folder.parent / "told.jsonl"

    def _tell(self, said: object) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(said) + "\n")

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._tell([self.known, step, metrics["loss"]])

    def close(self, *, finished: bool) -> None:
        self._tell(finished)


class Failing(Kept):
    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        raise ConnectionResetError("the other side\nis gone")
