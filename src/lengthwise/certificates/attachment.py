"""Attachment of a run: its certificate, read from the run's folder and kept as one line of JSON.

Reading, keeping and tabulating import no torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from lengthwise.certificates.certificate import FILE_NAME, Certificate, hash_weights, read_certificate
from lengthwise.errors import InputError
from lengthwise.runs.attachments import Attachment
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.rows import Head
from lengthwise.tasks.writing import write_symbols

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

    @property
    def key(self) -> tuple[str, int]:
        """Digest and seed of the run."""
        return self.certificate.training.digest, self.certificate.training.seed

    @property
    def minimal_states(self) -> int | None:
        """The number of states of the minimal automaton; None where the extracted one is wrong or there is none."""
        return None if self.certificate.minimal is None else len(self.certificate.minimal.outputs)


class CertificateAttachment(Attachment):
    """The certificate of a run; see `lengthwise.certificates.certificate`."""

    file: ClassVar[str] = "certificates"

    def read(self, folder: RunFolder, head: Head) -> Certified | None:
        """Return the certificate in a run's folder."""
        return read(folder.path, head.digest, head.seed)

    def thin(self, value: Certified) -> Certified:
        """Return it without automaton and multiplication table where they are large."""
        return thin(value)

    def dump(self, value: Certified) -> dict[str, Any]:
        """Return the certificate and the number of states that was extracted."""
        return {"states": value.states, "certificate": json.loads(value.certificate.model_dump_json(exclude_none=True))}

    def load(self, entry: dict[str, Any]) -> Certified:
        """Return what was dumped."""
        return Certified(Certificate.model_validate(entry["certificate"]), entry["states"])


def read(folder: Path, digest: str, seed: int) -> Certified | None:
    """Return the certificate of a run, None where there is none.

    Args:
        folder: the run's folder.
        digest: of its recipe.
        seed: of the run.

    Raises:
        InputError: the certificate is not valid, or not about this run or its weights.
    """
    path, checkpoint = folder / FILE_NAME, RunFolder(folder).checkpoint
    if not path.exists():
        return None
    certificate = read_certificate(path)
    certified = Certified(certificate, None if certificate.extracted is None else len(certificate.extracted.outputs))
    again = f"make it again with: lengthwise certify {folder}"
    if certified.key != (digest, seed):
        named = f"{certificate.training.recipe}, seed {certificate.training.seed}"
        raise InputError(f"{path} is about another run ({named}); {again}")
    if checkpoint.exists() and hash_weights(checkpoint) != certificate.weights:
        raise InputError(f"{path} is about other weights than those in {checkpoint}; {again}")
    return certified


def thin(certified: Certified) -> Certified:
    """Return what is kept of a certificate: all but tables that are too large, with the seal that misses them."""
    if len(certified.certificate.model_dump_json(exclude_none=True)) <= _MOST_BYTES:
        return certified
    return replace(certified, certificate=certified.certificate.model_copy(update={"extracted": None, "algebra": None}))


def row(certified: Certified) -> dict[str, str | int | float | None]:
    """Return the row of the table of certificates, by column; what a certificate does not have is None."""
    certificate, training = certified.certificate, certified.certificate.training
    example = certificate.counterexample
    own = example and (example.answer if example.model_answer is None else example.model_answer)
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
        "states": certified.states,
        "minimal_states": certified.minimal_states,
        "elements": certificate.monoid,
        "margin": certificate.margins.get("margin"),
        "leak": certificate.margins.get("leak"),
        "seconds": certificate.seconds,
        "counterexample": example and write_symbols(example.symbols),
        "answer": own,
        "truth": example and example.truth,
        "statement": certificate.statement,
        "weights": certificate.weights,
    }
