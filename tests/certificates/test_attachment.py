"""Certificates beside runs, as kept results and reports read them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from forging import changed

from lengthwise.certificates.attachment import CertificateAttachment, certificate_row
from lengthwise.certificates.certificate import FILE_NAME, Certificate, Training
from lengthwise.certificates.finding import Finding
from lengthwise.certificates.table import MultiplicationTable
from lengthwise.errors import InputError
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.rows import Head
from lengthwise.tasks import get_language

MARGINS = {"margin": 4.25, "readout_error": 1e-6, "row_gap": 8.0, "leak": 0.0}


def certificate_of(finding: Finding, task: str) -> Certificate:
    return Certificate(
        verdict=finding.verdict,
        method=finding.method,
        statement=finding.statement,
        operator="stochastic" if finding.table is None else "mlp",
        task=task,
        task_version=1,
        extracted=finding.extracted,
        states=finding.automaton and finding.automaton.states,
        task_automaton=finding.task,
        algebra=finding.table,
        monoid=finding.elements(),
        margins=dict(finding.margins),
        weights="0" * 64,
        training=Training(recipe="a", digest="d", seed=1, step=4, sequences=40, seconds=1.5, longest=9),
        seconds=0.125,
        versions={},
    ).sealed()


@pytest.fixture
def certificate() -> Certificate:
    automaton = get_language("parity").automaton.minimal()
    return certificate_of(Finding("raw", automaton, automaton, margins=MARGINS), "parity")


def head(seed: int = 1, task: str = "parity") -> Head:
    return Head(
        recipe="a", digest="d", seed=seed, trained_on=task, model="ldru", training_length=9, step=4, sequences=40
    )


def test_a_certificate_is_read_from_its_run_alone(certificate: Certificate, tmp_path: Path) -> None:
    folder, attachment = RunFolder(tmp_path), CertificateAttachment()
    assert attachment.read(folder, head()) is None
    (tmp_path / FILE_NAME).write_text(certificate.to_json())
    assert attachment.read(folder, head()) == certificate
    with pytest.raises(InputError, match=r"its seed is 1, that of the run beside it 2(.|\n)*lengthwise certify"):
        attachment.read(folder, head(2))


@pytest.mark.parametrize("claim", [{"monoid": 3}, {"statement": "right"}, {"weights": "1" * 64, "seal": "0" * 64}])
def test_a_certificate_that_was_changed_is_neither_read_nor_kept(
    certificate: Certificate, claim: dict[str, object], tmp_path: Path
) -> None:
    forged = changed(certificate, **claim)
    forged = forged.model_copy(update={"seal": claim.get("seal", forged.seal)})
    (tmp_path / FILE_NAME).write_text(json.dumps(forged.dump()))
    attachment = CertificateAttachment()
    with pytest.raises(InputError, match="does not hold"):
        attachment.read(RunFolder(tmp_path), head())
    with pytest.raises(InputError, match="does not hold"):
        attachment.check(attachment.load(attachment.dump(forged)), head())


def test_a_line_is_read_as_it_was_written(certificate: Certificate) -> None:
    attachment = CertificateAttachment()
    line = json.dumps(attachment.dump(certificate))
    assert attachment.load(json.loads(line)) == certificate
    attachment.check(certificate, head())
    with pytest.raises(KeyError):
        attachment.load({"states": 2})


def test_a_large_table_is_kept_whole_and_in_little_room() -> None:
    # The cyclic group that parity is the image of: 820 elements are what strings of D_12 do.
    size = np.arange(820)
    table = MultiplicationTable((size[:, None] + size) % 820, np.array([0, 1]), size % 2)
    parity = get_language("parity").automaton.minimal()
    large = certificate_of(Finding("snapped", parity, table=table, margins={"margin": 1.0, "astray": 0.0}), "parity")
    attachment = CertificateAttachment()
    line = json.dumps(attachment.dump(large))
    assert len(line) < 20_000
    kept = attachment.load(json.loads(line))
    attachment.check(kept, head())
    assert kept == large
    assert kept.algebra is not None
    assert np.array_equal(kept.algebra.products_EE, table.products_EE)
    row = certificate_row(kept)
    assert (row["states"], row["minimal_states"], row["elements"], row["proof"]) == (822, 2, 820, "kept")


def test_a_claim_whose_table_was_once_left_out_is_read_and_called_one(certificate: Certificate) -> None:
    entry = {"states": 252, "certificate": certificate.dump() | {"schema_version": 1, "method": "snapped"}}
    del entry["certificate"]["states"], entry["certificate"]["extracted"]
    old = CertificateAttachment().load(entry)
    CertificateAttachment().check(old, head())
    assert old.verdict == "every_length_snapped"
    row = certificate_row(old)
    assert (row["states"], row["proof"]) == (252, "not kept")
