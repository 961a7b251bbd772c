"""Certificates as attachments of runs, read from their folders or from where `keep` put them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from lengthwise.certificates.certificate import FILE_NAME, Certificate, hash_weights, read_certificate
from lengthwise.errors import InputError
from lengthwise.runs.attachments import Attachment
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.rows import Head
from lengthwise.tasks.regular.writing import write_symbols

_MOST_BYTES = 100_000
"""Of a certificate that is kept whole: the table of an algebra of 1,000 elements alone would take millions."""


@dataclass(frozen=True)
class Certified:
    """A certificate as a report needs it.

    Args:
        certificate: what was written into the run's folder; where it was too large to be kept whole, without the
            extracted automaton and the multiplication table.
        states: of the extracted automaton; None where nothing was extracted.
    """

    certificate: Certificate
    states: int | None


class CertificateAttachment(Attachment):
    """The certificate of a run; see `lengthwise.certificates.certificate`."""

    file: ClassVar[str] = "certificates"

    def read(self, folder: RunFolder, head: Head) -> Certified | None:
        """Return the certificate in a run's folder, None where there is none.

        Raises:
            InputError: the certificate is not valid, or not about this run or its weights.
        """
        path = folder.path / FILE_NAME
        if not path.exists():
            return None
        certificate = read_certificate(path)
        training, again = certificate.training, f"make it again with: lengthwise certify {folder.path}"
        if (training.digest, training.seed) != (head.digest, head.seed):
            raise InputError(f"{path} is about another run ({training.recipe}, seed {training.seed}); {again}")
        if folder.checkpoint.exists() and hash_weights(folder.checkpoint) != certificate.weights:
            raise InputError(f"{path} is about other weights than those in {folder.checkpoint}; {again}")
        return Certified(certificate, certificate.extracted and len(certificate.extracted.outputs))

    def thin(self, value: Certified) -> Certified:
        """Return it without automaton and multiplication table where they are large."""
        if len(value.certificate.model_dump_json(exclude_none=True)) <= _MOST_BYTES:
            return value
        # With its seal, which says that something is missing.
        return Certified(value.certificate.model_copy(update={"extracted": None, "algebra": None}), value.states)

    def dump(self, value: Certified) -> dict[str, Any]:
        """Return the certificate and the number of states that was extracted."""
        return {"states": value.states, "certificate": json.loads(value.certificate.model_dump_json(exclude_none=True))}

    def load(self, entry: dict[str, Any]) -> Certified:
        """Return what was dumped."""
        return Certified(Certificate.model_validate(entry["certificate"]), entry["states"])


def certificate_row(one: Certified) -> dict[str, str | int | float | None]:
    """Return the row of a certificate in the table for readers."""
    certificate, training, example = one.certificate, one.certificate.training, one.certificate.counterexample
    return {
        "recipe": training.recipe,
        "digest": training.digest,
        "task": certificate.task,
        "operator": certificate.operator,
        "seed": training.seed,
        "method": certificate.method,
        "verdict": certificate.verdict,
        "length": certificate.length,
        "training_length": training.longest,
        "sequences": training.sequences,
        "training_seconds": training.seconds,
        "states": one.states,
        "minimal_states": certificate.minimal and len(certificate.minimal.outputs),
        "elements": certificate.monoid,
        "margin": certificate.margins.get("margin"),
        "leak": certificate.margins.get("leak"),
        "seconds": certificate.seconds,
        "counterexample": example and write_symbols(example.symbols),
        "answer": example and example.given,
        "truth": example and example.truth,
        "statement": certificate.statement,
        "weights": certificate.weights,
    }
