"""``lengthwise label``."""

from __future__ import annotations

import sys
from typing import Annotated

from lengthwise.cli.arguments import TASK
from lengthwise.errors import InputError


def label(task: Annotated[str, TASK]) -> None:
    """Read strings as ``sample`` prints them, with or without a class, and print the class of each on a line.

    A string outside the task's domain has none: it gets a dash.
    """
    import numpy as np

    from lengthwise.tasks import get_language
    from lengthwise.tasks.base import IGNORE

    language = get_language(task)
    for number, line in enumerate(sys.stdin, start=1):
        tokens = parse_string(line, number, language.vocabulary)
        found = int(language.label(np.asarray([tokens], dtype=np.int64))[0])
        sys.stdout.write("-\n" if found == IGNORE else f"{found}\n")


def parse_string(line: str, number: int, vocabulary: int) -> list[int]:
    """Return the symbols of one line.

    Args:
        line: integers separated by spaces; a tab and what follows it are ignored.
        number: of the line, as the message says it.
        vocabulary: the symbols are ``0 .. vocabulary - 1``.

    Raises:
        InputError: something else stands there.
    """
    symbols = line.partition("\t")[0].split()
    for symbol in symbols:
        if not (symbol.isascii() and symbol.isdigit() and int(symbol) < vocabulary):
            raise InputError(
                f"line {number}: {symbol!r} is not a symbol; symbols are integers from 0 to {vocabulary - 1}"
            )
    return [int(symbol) for symbol in symbols]
