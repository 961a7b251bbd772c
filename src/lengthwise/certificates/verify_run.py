"""Verification of the certificate of a run, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lengthwise.certificates.certificate import FILE_NAME, Certificate, read_certificate
from lengthwise.certificates.verification import verify_claims, verify_weights
from lengthwise.errors import InputError
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.shipped import read_settings


def verify_certificate(path: Path, folder: Path | None = None) -> tuple[Certificate, bool]:
    """Check a certificate again: its automata, and the weights that it is about.

    Args:
        path: the file, or a run's folder that holds one.
        folder: the run; by default the folder of the file, where that is a run.

    Returns:
        The certificate, and whether the weights were there to be checked.

    Raises:
        InputError: the certificate is not one, something in it does not hold, or the weights are others; the message
            names all that differs.
    """
    file = path / FILE_NAME if path.is_dir() else path
    certificate = read_certificate(file)
    problems = verify_claims(certificate)
    run = RunFolder(folder or file.parent)
    has_weights = folder is not None or run.checkpoint.exists()
    if has_weights:
        problems += verify_weights(certificate, run.checkpoint, _model(run))
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise InputError(f"certificate {file} does not hold:\n{listed}")
    return certificate, has_weights


def _model(run: RunFolder) -> dict[str, Any]:
    """Return the resolved section ``model`` of a run's recipe."""
    try:
        return dict(read_settings(run.recipe, "recipe", given=False)["model"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{run.recipe} is not the recipe of a run") from error
