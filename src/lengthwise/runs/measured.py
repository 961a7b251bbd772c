"""Rows as they are measured, in a file that another process goes on with once a full disk or a kill ended the first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lengthwise.evaluation.rows import Row
from lengthwise.files import append, read_rows, write_atomically
from lengthwise.runs.rows import Head


class Measured:
    """The rows of an evaluation until it is whole, by the place of the diagnostic that measured them.

    Args:
        path: the file; what it holds is gone on with where it is of the same head, and otherwise replaced.
        head: of the evaluation.

    Raises:
        StoppedError: the file cannot be written.
        InputError: there is something else than a file.
    """

    def __init__(self, path: Path, head: Head) -> None:
        self._path = path
        self.rows: dict[int, list[Row]] = {}
        """Place of a diagnostic -> what it measured."""
        self.done: set[int] = set()
        """The places of those that measured everything."""
        first = json.loads(json.dumps({"head": head.model_dump()}))
        lines, kept = read_rows(path, whole=False), [first]
        if lines[:1] == [first]:
            kept += [line for line in lines[1:] if self._take(line)]
        # Without what a kill tore, so that what follows begins a line.
        write_atomically(path, "".join(map(_line, kept)).encode(), "rows measured so far", to_disk=False)

    def add(self, place: int, row: Row) -> None:
        """Note a row.

        Raises:
            StoppedError: it cannot be written.
        """
        append(self._path, _line({"by": place, "row": row.model_dump()}))

    def finish(self, place: int) -> None:
        """Note that a diagnostic has no more rows.

        Raises:
            StoppedError: it cannot be written.
        """
        append(self._path, _line({"done": place}))

    def _take(self, line: dict[str, Any]) -> bool:
        """Take what a line says, and return whether it says anything."""
        try:
            if "done" in line:
                self.done.add(int(line["done"]))
            else:
                self.rows.setdefault(int(line["by"]), []).append(Row.model_validate(line["row"]))
        except (KeyError, TypeError, ValidationError, ValueError):
            return False
        return True


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value) + "\n"
