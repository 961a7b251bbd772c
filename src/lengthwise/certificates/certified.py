"""Certificates of runs, read from their folders or from where `keep` put them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from lengthwise.certificates.certificate import FILE_NAME, Certificate, hash_weights, read_certificate
from lengthwise.errors import InputError
from lengthwise.runs.folder import RunFolder
from lengthwise.tasks.regular.writing import write_symbols

_MOST_BYTES = 100_000
"""Of a certificate that is kept whole: the table of an algebra of 1,000 elements alone would take millions."""

COLUMNS = pl.Schema(
    {
        "recipe": pl.String,
        "digest": pl.String,
        "task": pl.String,
        "operator": pl.String,
        "seed": pl.Int64,
        "method": pl.String,
        "verdict": pl.String,
        "length": pl.Int64,
        "training_length": pl.Int64,
        "sequences": pl.Int64,
        "training_seconds": pl.Float64,
        "states": pl.Int64,
        "minimal_states": pl.Int64,
        "elements": pl.Int64,
        "margin": pl.Float64,
        "leak": pl.Float64,
        "seconds": pl.Float64,
        "counterexample": pl.String,
        "answer": pl.Int64,
        "truth": pl.Int64,
        "statement": pl.String,
        "weights": pl.String,
    }
)
"""The columns of the table of certificates."""


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

    def kept(self) -> Certified:
        """Return what is kept of it."""
        if len(self.certificate.model_dump_json(exclude_none=True)) <= _MOST_BYTES:
            return self
        # With its seal, which says that something is missing.
        return Certified(self.certificate.model_copy(update={"extracted": None, "algebra": None}), self.states)


def read_certified(folder: RunFolder, digest: str, seed: int) -> Certified | None:
    """Return the certificate of a run, None where there is none.

    Args:
        folder: the run's folder.
        digest: of its recipe.
        seed: of the run.

    Raises:
        InputError: the certificate is not valid, or not about this run or its weights.
    """
    path = folder.path / FILE_NAME
    if not path.exists():
        return None
    certificate = read_certificate(path)
    certified = Certified(certificate, None if certificate.extracted is None else len(certificate.extracted.outputs))
    again = f"make it again with: lengthwise certify {folder.path}"
    if certified.key != (digest, seed):
        named = f"{certificate.training.recipe}, seed {certificate.training.seed}"
        raise InputError(f"{path} is about another run ({named}); {again}")
    if folder.checkpoint.exists() and hash_weights(folder.checkpoint) != certificate.weights:
        raise InputError(f"{path} is about other weights than those in {folder.checkpoint}; {again}")
    return certified


def certificate_table(certified: Sequence[Certified]) -> pl.DataFrame:
    """Return one row a certificate, with the columns of `COLUMNS`; what a certificate does not have is empty."""
    return pl.DataFrame([_row(one) for one in certified], schema=COLUMNS, orient="row")


def _row(one: Certified) -> tuple[str | int | float | None, ...]:
    certificate, training = one.certificate, one.certificate.training
    example = certificate.counterexample
    wrong = (None, None, None)
    if example is not None:
        answer = example.answer if example.model_answer is None else example.model_answer
        wrong = (write_symbols(example.symbols), answer, example.truth)
    return (
        *(training.recipe, training.digest, certificate.task, certificate.operator, training.seed),
        *(certificate.method, certificate.verdict, certificate.length),
        *(training.longest, training.sequences, training.seconds),
        *(one.states, one.minimal_states, certificate.monoid),
        *(certificate.margins.get("margin"), certificate.margins.get("leak"), certificate.seconds),
        *wrong,
        *(certificate.statement, certificate.weights),
    )
