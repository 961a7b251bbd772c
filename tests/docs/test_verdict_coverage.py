import json
from pathlib import Path

from lengthwise.evaluation.verdict import unseen_share

ROOT = Path(__file__).parents[2]


def test_the_table_of_coverage_is_that_of_its_record() -> None:
    record = json.loads((ROOT / "results/benchmarks/verdict_coverage.json").read_text())
    page = (ROOT / "docs/diagnostics.md").read_text()
    assert f"--trials {record['trials']}" in page
    for rows, shares in record["coverage"].items():
        cells = " | ".join(f"{100 * share:.1f} %" for share in shares.values())
        none = 100 * (1 - record["share"]) ** int(rows)
        assert f"| {rows} | {cells} | {none:.2g} % | {unseen_share(int(rows)):.2g} % |" in page


def test_a_fifth_of_samples_of_32_rows_cannot_know_of_what_goes_astray() -> None:
    record = json.loads((ROOT / "results/benchmarks/verdict_coverage.json").read_text())
    assert max(record["coverage"]["32"].values()) < record["confidence"] - 0.95**32 + 0.05
