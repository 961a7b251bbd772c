"""Errors that are meant for people: they say what was wrong, where, and what would be right."""

from collections.abc import Generator
from contextlib import contextmanager


class LengthwiseError(Exception):
    """Base of all errors raised on purpose; its message is complete and needs no traceback."""

    exit_code = 1


class InputError(LengthwiseError):
    """What the user gave cannot be used; the command line ends with exit code 2."""

    exit_code = 2


class RunError(LengthwiseError):
    """A run could not go on although its input was sound; the command line ends with exit code 1."""


class StoppedError(RunError):
    """A run stopped at what its user can change, such as a full disk, and lost nothing; exit code 2."""

    exit_code = 2


@contextmanager
def as_value_error() -> Generator[None]:
    """Turn what cannot be used into the error that pydantic expects of a validator."""
    try:
        yield
    except InputError as error:
        raise ValueError(str(error)) from error


def shortage(error: Exception) -> str:
    """Return what was to be allocated, in words, where an error says that there is not enough memory; else nothing."""
    said = str(error).partition("\n")[0]
    if isinstance(error, MemoryError) or "allocate" in said or "out of memory" in said:
        return f"not enough memory ({said or 'of the machine'}); smaller batches, models or sequences take less"
    return ""


def reason_of(error: BaseException) -> str:
    """Return the kind and the message of another library's error on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
