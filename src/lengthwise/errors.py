"""Errors that are meant for people: they say what was wrong, where, and what would be right."""


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


def reason_of(error: Exception) -> str:
    """Return the kind and the message of another library's error on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
