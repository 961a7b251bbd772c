import hashlib
import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from folders import write_run

from lengthwise.certificates.certificate import FILE_NAME, Certificate
from lengthwise.errors import InputError
from lengthwise.runs.kept import keep, read_kept, write_kept
from lengthwise.runs.table import read_table


@pytest.fixture
def certified(tmp_path: Path) -> Path:
    """Two runs of which one has a certificate that is committed with the package's results."""
    (lines,) = (Path(__file__).parents[2] / "results" / "fast").glob("certificates*.jsonl")
    certificate = Certificate.model_validate(json.loads(lines.read_text().splitlines()[0])["certificate"])
    training = certificate.training
    own = {"trained_on": certificate.task, "step": training.step, "sequences": training.sequences}
    run = write_run(tmp_path / "runs", training.recipe, training.seed, digest=training.digest, **own)
    (run / FILE_NAME).write_text(certificate.to_json())
    write_run(tmp_path / "runs", seed=1)
    return run


def test_certificates_are_kept_with_their_runs(certified: Path, tmp_path: Path) -> None:
    table = keep([tmp_path / "runs"], tmp_path / "kept")
    (proved,) = [run for run in read_kept(tmp_path / "kept").runs if run.attachments]
    own = read_table([certified]).runs[0]
    assert proved.key == own.key
    assert proved.attachments == own.attachments
    assert len(table.runs) == 2
    (lines,) = (tmp_path / "kept").glob("certificates-*.jsonl")
    assert json.loads(lines.read_text())["digest"] == own.head.digest


def test_a_certificate_follows_its_run_to_another_digest(certified: Path, tmp_path: Path) -> None:
    table = read_table([certified])
    (run,) = table.runs
    later = {"digest": pl.lit("a later digest")}
    moved = replace(
        table,
        runs=[replace(run, head=run.head.model_copy(update={"digest": "a later digest"}))],
        rows=table.rows.with_columns(**later),
        metrics=table.metrics.with_columns(**later),
    )
    write_kept(moved, tmp_path)
    (kept,) = read_kept(tmp_path).runs
    assert kept.key == ("a later digest", run.head.seed)
    assert kept.attachments == run.attachments


def test_a_certificate_that_appears_later_is_added_and_one_that_is_gone_is_missed(
    certified: Path, tmp_path: Path
) -> None:
    text = (certified / FILE_NAME).read_text()
    (certified / FILE_NAME).unlink()
    keep([tmp_path / "runs"], tmp_path / "kept")
    (certified / FILE_NAME).write_text(text)
    told: list[str] = []
    keep([certified], tmp_path / "kept", tell=told.append)
    assert [line.partition(" of ")[0] for line in told] == ["add the certificate"]
    (certified / FILE_NAME).unlink()
    with pytest.raises(InputError, match=r"\(other certificate\); --replace"):
        keep([certified], tmp_path / "kept")


def test_a_certificate_of_another_run_is_refused(certified: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", seed=5)
    (other / FILE_NAME).write_text((certified / FILE_NAME).read_text())
    with pytest.raises(InputError, match="it is about another run: its recipe is"):
        read_table([other])


def test_kept_lines_that_are_not_certificates_are_named(certified: Path, tmp_path: Path) -> None:
    keep([certified], tmp_path / "kept")
    index = tmp_path / "kept" / "runs.json"
    (lines,) = (tmp_path / "kept").glob("certificates-*.jsonl")
    lines.write_text('{"digest": "a", "seed": 0}\n')
    entries = json.loads(index.read_text())
    entries["files"]["certificate"]["sha256"] = hashlib.sha256(lines.read_bytes()).hexdigest()
    index.write_text(json.dumps(entries))
    with pytest.raises(InputError, match=r"jsonl, line 1 is not a kept certificate"):
        read_kept(tmp_path / "kept")


@pytest.mark.parametrize(
    ("field", "value"),
    [("statement", "right at every length"), ("monoid", 6), ("verdict", "every_length"), ("task", "parity")],
)
def test_a_kept_certificate_that_was_edited_is_refused_though_the_index_vouches_for_it(
    certified: Path, tmp_path: Path, field: str, value: object
) -> None:
    out = tmp_path / "kept"
    keep([certified], out)
    (lines,) = out.glob("certificates-*.jsonl")
    entry = json.loads(lines.read_text())
    entry["certificate"] |= {field: value, "schema_version": 2}
    other = Certificate.model_validate(entry["certificate"]).sealed()
    lines.write_text(json.dumps(entry | {"certificate": other.dump()}) + "\n")
    entries = json.loads((out / "runs.json").read_text())
    entries["files"]["certificate"]["sha256"] = hashlib.sha256(lines.read_bytes()).hexdigest()
    (out / "runs.json").write_text(json.dumps(entries))
    with pytest.raises(InputError, match=r"the certificate kept of .* does not hold"):
        read_kept(out)
