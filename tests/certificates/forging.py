"""Forging of certificates, as somebody does who knows about the seal, and about what follows from what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lengthwise.certificates.certificate import FILE_NAME, Certificate, read_certificate


def changed(certificate: Certificate, **changes: Any) -> Certificate:
    """Return another certificate, sealed."""
    return Certificate.model_validate(certificate.dump() | changes).sealed()


def renewed(certificate: Certificate, **changes: Any) -> Certificate:
    """Return another certificate, its verdict and statement what follows from its evidence."""
    other = Certificate.model_validate(certificate.dump() | changes)
    claim = other.finding().claim
    return other.model_copy(update={"verdict": claim.verdict, "statement": claim.statement}).sealed()


def rewrite(run: Path, **changes: Any) -> Path:
    """Change the certificate of a run."""
    (run / FILE_NAME).write_text(changed(read_certificate(run / FILE_NAME), **changes).to_json())
    return run
