"""``lengthwise label``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lengthwise.cli.arguments import TASK
from lengthwise.errors import InputError

if TYPE_CHECKING:
    from lengthwise.tasks.regular.language import Language

LONGEST_LINE = 8 << 20
"""Bytes."""
Kind = Literal["either", "names", "numbers"]
"""What symbols are given by."""


def label(
    task: Annotated[str, TASK],
    symbols: Annotated[Kind, typer.Option("--symbols", help="What symbols are given by.")] = "either",
) -> None:
    """Read strings, one a line, and print the class of each.

    Symbols are the letters of the pattern or the names in the file, side by side or separated by spaces, or their
    numbers, as ``sample`` prints them; a tab and what follows it are ignored. An empty line is the empty string. A
    string outside the task's domain has no class: it gets a dash.
    """
    import numpy as np

    from lengthwise.tasks import get_language
    from lengthwise.tasks.base import IGNORE

    language = get_language(task)
    say_symbols(language)
    for number, line in enumerate(_lines(), start=1):
        tokens = parse_string(line, number, language, symbols)
        found = int(language.label(np.asarray([tokens], dtype=np.int64))[0])
        sys.stdout.write("-\n" if found == IGNORE else f"{found}\n")


def say_symbols(language: Language) -> None:
    """Say which number each symbol has, beside the output, where people write the symbols otherwise."""
    if any(name != str(number) for number, name in enumerate(language.symbols)):
        sys.stderr.write(f"symbols: {_listed(language)}\n")


def parse_string(line: str, number: int, language: Language, kind: Kind = "either") -> list[int]:
    """Return the symbols of one line.

    Args:
        line: a string; a tab and what follows it are ignored.
        number: of the line, as the message says it.
        language: what the symbols are of.
        kind: whether they are names, numbers or either.

    Raises:
        InputError: something else stands there, or it is one string by names and another one by numbers.
    """
    words = line.partition("\t")[0].split()
    readings = {
        "names": _by_names(words, language.symbols) if kind != "numbers" else None,
        "numbers": _by_numbers(words, language.vocabulary) if kind != "names" else None,
    }
    found = [reading for reading in readings.values() if reading is not None]
    if not found:
        wrong = next((word for word in words if word not in language.symbols), words[0])
        raise InputError(f"line {number}: {wrong[:40]!r} is not a symbol; symbols are {_listed(language)}")
    if len(found) == 2 and found[0] != found[1]:
        raise InputError(
            f"line {number}: {' '.join(words)[:40]!r} can be names or numbers of symbols ({_listed(language)}); "
            "say --symbols names or --symbols numbers"
        )
    return found[0]


def _lines() -> Iterator[str]:
    """Return what stands on standard input, line by line."""
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise InputError("strings are read from standard input, which is closed")
    number = 0
    while line := sys.stdin.buffer.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise InputError(f"line {number} is longer than {LONGEST_LINE:,} bytes")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"line {number} is not UTF-8: byte {error.start} is {line[error.start]:#04x}") from error


def _by_names(words: list[str], symbols: tuple[str, ...]) -> list[int] | None:
    numbers = {name: number for number, name in enumerate(symbols)}
    if not all(word in numbers for word in words):
        # Letters may stand side by side.
        words = list("".join(words))
    return [numbers[word] for word in words] if all(word in numbers for word in words) else None


def _by_numbers(words: list[str], vocabulary: int) -> list[int] | None:
    fitting = all(word.isascii() and word.isdigit() and len(word) < 10 and int(word) < vocabulary for word in words)
    return [int(word) for word in words] if fitting else None


def _listed(language: Language) -> str:
    names = language.symbols
    if all(name == str(number) for number, name in enumerate(names)):
        return f"integers from 0 to {len(names) - 1}"
    more = f", ... ({len(names):,})" if len(names) > 40 else ""
    return ", ".join(f"{name} is {number}" for number, name in enumerate(names[:40])) + more
