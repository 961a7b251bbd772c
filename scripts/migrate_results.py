"""Kept results of format 1, rewritten once in format 2 and checked value by value.

    python scripts/migrate_results.py results            # into a temporary folder, to see that it works
    python scripts/migrate_results.py results --write    # in place, after every folder passed the check

Format 1 had one table for runs on strings (``evaluation.parquet``), one for runs on text (``diagnosis.parquet``), and
all that is constant in a run on each of their rows. It also writes ``digests.json``: the digest that each recipe had in
format 1 -> the one that it has now. This file holds all that it needs of the readers of format 1.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lengthwise.files import write_atomically
from lengthwise.runs.attachments import ATTACHMENTS
from lengthwise.runs.kept import read_kept, write_kept
from lengthwise.runs.rows import Head
from lengthwise.runs.table import KEY, Run, Table

try:
    from lengthwise.runs.migrate_recipe import migrate
except ImportError:

    def migrate(settings: dict[str, Any]) -> dict[str, Any]:
        """Return settings as they are."""
        return settings


try:
    from lengthwise.runs.recipe import Recipe, digest_of
except ImportError:
    Recipe = None

Key = tuple[str, int]
_OLD = ("evaluation.parquet", "diagnosis.parquet", "metrics.parquet", "certificates.jsonl", "certificates.csv")
_TEXT = "language_modelling"
"""The task of what was measured on text."""


@dataclass(frozen=True)
class Old:
    """What a folder of format 1 holds."""

    runs: list[dict[str, Any]]
    strings: list[dict[str, Any]]
    texts: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    certificates: list[dict[str, Any]]
    table: list[dict[str, Any]]
    """The certificates as a table for readers."""

    def by_run(self, rows: list[dict[str, Any]]) -> dict[Key, list[dict[str, Any]]]:
        """Return rows by digest and seed."""
        found: dict[Key, list[dict[str, Any]]] = {}
        for row in rows:
            found.setdefault((row["digest"], row["seed"]), []).append(row)
        return found


def read_old(folder: Path) -> Old:
    """Read a folder of format 1, whose checksums must be right."""
    index = json.loads((folder / "runs.json").read_text(encoding="utf-8"))
    files = {name: (folder / name).read_bytes() for name in index["files"]}
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != index["files"][name]:
            raise SystemExit(f"{folder / name} is not the file that runs.json was written with")

    def rows(name: str) -> list[dict[str, Any]]:
        return pl.read_parquet(io.BytesIO(files[name])).rows(named=True) if name in files else []

    lines = [json.loads(line) for line in files.get("certificates.jsonl", b"").decode().splitlines()]
    table = files.get("certificates.csv")
    texts = dict.fromkeys(("recipe", "digest", "statement", "weights", "counterexample"), pl.String)
    read = {"schema_overrides": texts, "infer_schema_length": None}
    shown = [] if table is None else pl.read_csv(io.BytesIO(table), **read).rows(named=True)
    return Old(index["runs"], *(rows(name) for name in _OLD[:3]), lines, shown)


def convert(old: Old, folder: Path, digests: dict[str, str]) -> Table:
    """Return the table of format 2, and enter the new digests."""
    measured = old.by_run([*old.strings, *old.texts])
    certificates = {_certificate_key(entry): entry for entry in old.certificates}
    attachment = ATTACHMENTS.load("certificate")() if certificates else None
    named = {(entry["recipe"]["name"], entry["seed"]): entry for entry in old.runs}

    def resolved(entry: dict[str, Any]) -> tuple[dict[str, Any], str]:
        before = named.get((entry["recipe"].get("start"), entry["seed"]))
        text = measured[entry["digest"], entry["seed"]][0].get("text", "")
        return _resolved(entry["recipe"], text, entry["digest"], resolved(before)[1] if before else None)

    runs: list[Run] = []
    for entry in old.runs:
        key = (entry["digest"], entry["seed"])
        first = measured[key][0]
        settings, digest = resolved(entry)
        if digests.setdefault(entry["digest"], digest) != digest:
            raise SystemExit(f"{folder}: the digest {entry['digest']} of {entry['run']} would become two")
        found = {"certificate": attachment.load(certificates[key])} if attachment and key in certificates else {}
        head = _head(first, entry, digest)
        runs.append(Run(folder / entry["run"], head, settings, entry["environment"], found, 0.0))
    rows = pl.DataFrame([_row(row, digests) for row in [*old.strings, *old.texts]], infer_schema_length=None)
    metrics = [row | {"digest": digests[row["digest"]]} for row in old.metrics]
    return Table(runs, rows, pl.DataFrame(metrics, infer_schema_length=None), [])


def _resolved(settings: dict[str, Any], data: str, digest: str, start: str | None) -> tuple[dict[str, Any], str]:
    """Return settings of format 2 with all defaults, and their digest, for the text and the start of then."""
    settings = migrate(settings)
    if Recipe is None:
        return settings, digest
    content = ({"task": data.rpartition(" ")[2]} if data else {}) | ({"start": start} if start else {})
    recipe = Recipe.model_validate(settings).model_copy(update={"content": content})
    return _merged(recipe.settings(), settings), digest_of(recipe, content)


def _merged(settings: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return settings with own ones, which stay where a resolved recipe leaves them out because they are defaults."""
    both = {name: _merged(settings[name], own[name]) for name in own if isinstance(settings.get(name), dict)}
    return settings | own | both


def _head(row: dict[str, Any], entry: dict[str, Any], digest: str) -> Head:
    same = {name: row[name] for name in ("recipe", "seed", "model", "step", "sequences", "commit")}
    if "text" in row:
        own = {"trained_on": _TEXT, "data": row["text"], "intervention": row["intervention"]}
        # How large the state is stands in the environment, where convolutions are not counted, as elsewhere they are.
        own |= {"training_length": row["context"]}
    else:
        own = {"trained_on": row["task"], "task_version": row["task_version"]}
        own |= {"training_length": row["training_length"], "state_size": row.get("state_size")}
    parameters = entry["parameters"] if row.get("parameters") is None else row["parameters"]
    return Head(digest=digest, parameters=parameters, **same, **own)


def _row(row: dict[str, Any], digests: dict[str, str]) -> dict[str, Any]:
    same = {"digest": digests[row["digest"]]} | {name: row[name] for name in ("seed", "metric", "value")}
    if "text" in row:
        axes = {"start": row["start"], "end": row["end"], "part": row["part"] or None}
        return same | {"task": _TEXT, "low": row["low"], "high": row["high"], "samples": row["rows"]} | axes
    axes = {"length": row["length"], "distribution": row["distribution"]}
    return same | {"task": row["task"], "low": None, "high": None, "samples": row["samples"]} | axes


def check(old: Old, folder: Path, digests: dict[str, str]) -> None:
    """Find every value of format 1 again in what was written, read anew."""
    new = read_kept(folder)
    before = {(digests[entry["digest"]], entry["seed"]): entry for entry in old.runs}
    _same("runs", sorted(run.key for run in new.runs), sorted(before))
    for run in new.runs:
        entry = before[run.key]
        _same(entry["run"], run.path.relative_to(folder).as_posix(), entry["run"])
        leaves = dict(_leaves(run.settings))
        for place, value in _leaves(migrate(entry["recipe"])):
            _same(f"{'.'.join(place)} in the recipe of {entry['run']}", leaves.get(place), value)
        _same(f"environment of {entry['run']}", run.environment, entry["environment"])
        _same(f"parameters of {entry['run']}", run.head.parameters, entry["parameters"])
    counts = {run.key: run.head.parameters for run in new.runs}
    found = {_place(row): row for row in new.rows.rows(named=True)}
    _same("number of rows", (len(found), new.rows.height), (len(old.strings) + len(old.texts),) * 2)
    for row in (*old.strings, *old.texts):
        key = (digests[row["digest"]], row["seed"])
        expected = dict(row) | {"digest": key[0]}
        if "text" in row:
            renamed = {"rows": "samples", "context": "training_length", "text": "data"}
            expected = {renamed.get(name, name): value for name, value in expected.items()}
            expected |= {"part": row["part"] or None, "task": _TEXT, "trained_on": _TEXT, "task_version": 1}
            expected |= {"parameters": counts[key], "state_size": None}
        else:
            expected |= {"trained_on": row["task"], "data": "", "intervention": "zero", "low": None, "high": None}
            expected["parameters"] = counts[key] if row.get("parameters") is None else row["parameters"]
            expected.setdefault("state_size", None)
        _same(f"row {row}", _given(found[_place(expected)]), _given(expected))
    logged = [_given(row | {"digest": digests[row["digest"]]}) for row in old.metrics]
    kept = [_given(row) for row in new.metrics.rows(named=True)]
    _same("metrics", sorted(map(_ordered, kept)), sorted(map(_ordered, logged)))
    _check_certificates(old, folder, digests)


def _check_certificates(old: Old, folder: Path, digests: dict[str, str]) -> None:
    lines = [line for path in folder.glob("certificates-*.jsonl") for line in path.read_text("utf-8").splitlines()]
    kept: dict[Key, dict[str, Any]] = {}
    for entry in map(json.loads, lines):
        kept[entry.pop("digest"), entry.pop("seed")] = entry
    expected = {(digests[key[0]], key[1]): entry for entry in old.certificates for key in [_certificate_key(entry)]}
    _same("certificates", kept, expected)
    for row in old.table:
        entry = kept[digests[row["digest"]], row["seed"]]
        _same(f"row {row['recipe']} of certificates.csv", _given(_shown(entry)), _given(row))


def _shown(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what certificates.csv said about a certificate."""
    from lengthwise.tasks.regular.writing import write_symbols

    certificate = entry["certificate"]
    training, example, margins = certificate["training"], certificate.get("counterexample"), certificate["margins"]
    wrong: dict[str, Any] = {}
    if example:
        answer = example.get("model_answer", example["answer"])
        symbols = write_symbols(example["symbols"])
        wrong = {"counterexample": symbols, "answer": answer, "truth": example["truth"]}
    names = ("task", "operator", "method", "verdict", "length", "seconds", "statement", "weights")
    return {name: certificate.get(name) for name in names} | {
        **{name: training[name] for name in ("recipe", "digest", "seed", "sequences")},
        **{"training_length": training["longest"], "training_seconds": training["seconds"]},
        **{"states": entry["states"], "elements": certificate.get("monoid")},
        "minimal_states": len(certificate["minimal"]["outputs"]) if "minimal" in certificate else None,
        **{name: margins.get(name) for name in ("margin", "leak")},
        **wrong,
    }


def _certificate_key(entry: dict[str, Any]) -> Key:
    training = entry["certificate"]["training"]
    return training["digest"], training["seed"]


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return what no two rows share."""
    axes = ("length", "distribution", "start", "end", "part")
    return (*(row[name] for name in KEY), row["metric"], *(row.get(name) for name in axes))


def _given(row: dict[str, Any]) -> dict[str, Any]:
    """Return the columns in which something stands; not a number is made equal to itself."""
    nan = {name: "nan" for name, value in row.items() if isinstance(value, float) and math.isnan(value)}
    return {name: value for name, value in row.items() if value is not None} | nan


def _ordered(row: dict[str, Any]) -> list[tuple[str, Any]]:
    first = [("digest", row["digest"]), ("seed", row["seed"]), ("step", row["step"])]
    return first + sorted((name, str(value), value) for name, value in row.items())


def _leaves(settings: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not isinstance(settings, dict):
        yield place, settings
        return
    for name, section in settings.items():
        yield from _leaves(section, (*place, name))


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise SystemExit(f"{what}: found {found!r}, expected {expected!r}")


def folders_of_format_1(root: Path) -> Iterator[Path]:
    """Yield the folders of format 1 below another."""
    for index in sorted(root.rglob("runs.json")):
        if json.loads(index.read_text(encoding="utf-8")).get("format") == "lengthwise-results-1":
            yield index.parent


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def main() -> None:
    """Rewrite all folders, or try to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="the folder of all kept results")
    parser.add_argument("--write", action="store_true", help="rewrite in place")
    arguments = parser.parse_args()
    root: Path = arguments.root
    digests: dict[str, str] = {}
    tables: dict[Path, Table] = {}
    for folder in folders_of_format_1(root):
        old = read_old(folder)
        table = tables[folder] = convert(old, folder, digests)
        with tempfile.TemporaryDirectory() as place:
            write_kept(table, Path(place))
            check(old, Path(place), digests)
            sizes = f"{_size(folder):,} -> {_size(Path(place)):,} bytes"
        counts = f"{len(table.runs)} runs, {table.rows.height:,} rows, {table.metrics.height:,} logged steps"
        proofs = f", {len(old.certificates)} certificates" if old.certificates else ""
        sys.stdout.write(f"{folder}: {counts}{proofs}, every value found again; {sizes}\n")
    if len(set(digests.values())) != len(digests):
        sys.stdout.write("some recipes that had different digests share one now\n")
    changed = sum(old != new for old, new in digests.items())
    sys.stdout.write(f"{len(tables)} folders, {len(digests)} digests, {changed} of them new\n")
    if not arguments.write:
        return
    for folder, table in tables.items():
        write_kept(table, folder)
        for name in _OLD:
            (folder / name).unlink(missing_ok=True)
    text = json.dumps(dict(sorted(digests.items())), indent=0)
    write_atomically(root / "digests.json", f"{text}\n".encode(), "table of digests")


if __name__ == "__main__":
    main()
