"""Certificates as attachments of runs, read from their folders or from where `keep` put them."""

from __future__ import annotations

from typing import Any, ClassVar

from lengthwise.certificates.certificate import FILE_NAME, Certificate, read_certificate
from lengthwise.certificates.finding import PROVED
from lengthwise.certificates.verification import refuse
from lengthwise.runs.attachments import Attachment
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.rows import Head
from lengthwise.tasks.regular.writing import write_symbols


class CertificateAttachment(Attachment):
    """The certificate of a run; see `lengthwise.certificates.certificate`."""

    file: ClassVar[str] = "certificates"

    def read(self, folder: RunFolder, head: Head) -> Certificate | None:
        """Return the certificate in a run's folder, checked again; None where there is none."""
        path = folder.path / FILE_NAME
        if not path.exists():
            return None
        certificate = read_certificate(path)
        refuse(certificate, str(path), folder, head)
        return certificate

    def dump(self, value: Certificate) -> dict[str, Any]:
        """Return what a certificate's file holds."""
        return {"certificate": value.dump()}

    def load(self, entry: dict[str, Any]) -> Certificate:
        """Return what was dumped."""
        # Large tables were once left out, and their number of states kept beside them.
        beside = {"states": entry["states"]} if "states" in entry else {}
        return Certificate.model_validate(beside | entry["certificate"])

    def check(self, value: Certificate, head: Head) -> None:
        """Check a kept certificate again."""
        refuse(value, f"the certificate kept of {head.recipe}, seed {head.seed},", head=head)


def certificate_row(certificate: Certificate) -> dict[str, str | int | float | None]:
    """Return the row of a certificate in the table for readers."""
    training, example, margins = certificate.training, certificate.counterexample, certificate.margins
    goal = certificate.task_automaton
    return {
        "recipe": training.recipe,
        "digest": training.digest,
        "task": certificate.task,
        "operator": certificate.operator,
        "seed": training.seed,
        "method": certificate.method,
        "verdict": certificate.verdict,
        "proof": "kept" if certificate.has_proof() else "not kept",
        "length": certificate.length,
        "training_length": training.longest,
        "sequences": training.sequences,
        "training_seconds": training.seconds,
        "states": certificate.count_states(),
        "minimal_states": goal.states if goal and certificate.verdict in PROVED else None,
        "elements": certificate.monoid,
        "margin": margins.get("margin"),
        "leak": margins.get("leak"),
        "seconds": certificate.seconds,
        "counterexample": example and write_symbols(example.symbols),
        "answer": example and example.given,
        "truth": example and example.truth,
        "statement": certificate.statement,
        "weights": certificate.weights,
    }
