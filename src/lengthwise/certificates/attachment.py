"""Certificates as attachments of a run."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from lengthwise.certificates.certificate import Certificate
from lengthwise.certificates.certified import Certified, read_certified
from lengthwise.runs.attachments import Attachment
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.rows import Head


class CertificateAttachment(Attachment):
    """The certificate of a run; see `lengthwise.certificates.certificate`."""

    file: ClassVar[str] = "certificates"

    def read(self, folder: RunFolder, head: Head) -> Certified | None:
        """Return the certificate in a run's folder."""
        return read_certified(folder, head.digest, head.seed)

    def thin(self, value: Certified) -> Certified:
        """Return it without automaton and multiplication table where they are large."""
        return value.kept()

    def dump(self, value: Certified) -> dict[str, Any]:
        """Return the certificate and the number of states that was extracted."""
        return {"states": value.states, "certificate": json.loads(value.certificate.model_dump_json(exclude_none=True))}

    def load(self, entry: dict[str, Any]) -> Certified:
        """Return what was dumped."""
        return Certified(Certificate.model_validate(entry["certificate"]), entry["states"])
