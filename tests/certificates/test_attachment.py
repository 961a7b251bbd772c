"""Certificates beside runs, as kept results and reports read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lengthwise.certificates.attachment import CertificateAttachment, Certified, certificate_row
from lengthwise.certificates.certificate import FILE_NAME, AlgebraTable, AutomatonTable, Certificate, Training
from lengthwise.errors import InputError
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.rows import Head
from lengthwise.tasks import get_language


@pytest.fixture
def certificate() -> Certificate:
    automaton = get_language("parity").automaton.minimal()
    table = AutomatonTable.of(automaton)
    return Certificate(
        verdict="every_length",
        method="raw",
        statement="right at every length",
        operator="stochastic",
        task="parity",
        task_version=1,
        extracted=table,
        minimal=table,
        task_automaton=table,
        isomorphism=[0, 1],
        monoid=2,
        margins={"margin": 4.25},
        weights="0" * 64,
        training=Training(recipe="a", digest="d", seed=1, step=4, sequences=40, seconds=1.5, longest=9),
        seconds=0.125,
        versions={},
    ).sealed()


def head(seed: int) -> Head:
    return Head(recipe="a", digest="d", seed=seed, trained_on="parity", model="ldru", step=4, sequences=40)


def test_a_certificate_is_read_from_its_run_alone(certificate: Certificate, tmp_path: Path) -> None:
    folder, attachment = RunFolder(tmp_path), CertificateAttachment()
    assert attachment.read(folder, head(1)) is None
    (tmp_path / FILE_NAME).write_text(certificate.to_json())
    assert attachment.read(folder, head(1)) == Certified(certificate, 2)
    with pytest.raises(InputError, match=r"about another run \(a, seed 1\); make it again with: lengthwise certify"):
        attachment.read(folder, head(2))


def test_a_line_is_read_as_it_was_written(certificate: Certificate) -> None:
    attachment = CertificateAttachment()
    line = json.dumps(attachment.dump(Certified(certificate, 2)))
    assert attachment.load(json.loads(line)) == Certified(certificate, 2)
    with pytest.raises(KeyError):
        attachment.load({"states": 2})


def test_a_large_table_is_not_kept_but_its_size_is(certificate: Certificate) -> None:
    product = [[(row + column) % 250 for column in range(250)] for row in range(250)]
    algebra = AlgebraTable(product=product, leaves=[0, 1], outputs=[element % 2 for element in range(250)])
    large = Certified(certificate.model_copy(update={"algebra": algebra, "monoid": 250}).sealed(), 252)
    attachment = CertificateAttachment()
    kept = attachment.thin(large)
    assert (kept.certificate.algebra, kept.certificate.extracted) == (None, None)
    assert kept.certificate.seal == large.certificate.seal
    row = certificate_row(kept)
    assert (row["states"], row["minimal_states"], row["elements"], row["counterexample"]) == (252, 2, 250, None)
    assert attachment.thin(Certified(certificate, 2)) == Certified(certificate, 2)
