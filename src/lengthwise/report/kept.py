"""Results without their runs: the rows, recipes and environments of many runs in a few small files."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from lengthwise.errors import InputError, RunError
from lengthwise.report.certified import certificate_lines, certificate_table, read_lines
from lengthwise.report.records import (
    DIAGNOSIS,
    EVALUATION,
    INDEX,
    METRICS,
    Record,
    find_sources,
    read_record,
    refuse_twins,
    refuse_waiting,
)
from lengthwise.runs.folder import RunFolder, run_path

_FORMAT = "lengthwise-results-1"
_EVALUATION, _DIAGNOSIS, _METRICS = "evaluation.parquet", "diagnosis.parquet", "metrics.parquet"
_CERTIFICATES, _CERTIFICATE_TABLE = "certificates.jsonl", "certificates.csv"
_KEY = ("digest", "seed")
_POINTS = ("accuracy_", "loss_")
"""How the names of metrics start that are points of a learning curve."""
_MOST_STEPS = 500
"""Logged steps kept of a run; more cannot be told apart in a figure."""


def keep(paths: Sequence[Path], out: Path, *, renew: bool = False) -> list[Record]:
    """Write what reports are drawn from, without checkpoints, for a repository to hold.

    Every evaluation row is kept, but for those of single heads of a state. Of the metrics, evenly spaced steps are, 500
    at most, and all points of the learning curve.

    Args:
        paths: evaluated run folders, folders that hold some, or folders of kept results.
        out: made where it is missing; results kept there before are replaced, other files are not touched.
            It holds ``runs.json`` (name, recipe, environment and number of parameters of each run),
            ``evaluation.parquet`` where there are runs on strings, ``diagnosis.parquet`` where there are runs on text,
            and ``metrics.parquet``; their rows name their run by `digest` and `seed`. Where there are certificates,
            ``certificates.jsonl`` has one a line, without automaton and multiplication table where it would take more
            than 100 kB, and ``certificates.csv`` what they say, for readers.
        renew: whether kept rows make place for those of a run with the same name and seed, whatever its recipe was.

    Returns:
        What was kept.

    Raises:
        InputError: there is no run, a run is not finished or not evaluated, or two are of the same recipe and seed.
        RunError: the files cannot be written; those of an earlier call may then have to be made again.
    """
    runs, folders = find_sources(paths)
    _refuse_unfinished(runs)
    refuse_waiting(runs)
    records = [_thinned(read_record(run)) for run in runs]
    renewed = {(record.recipe, record.seed) for record in records} if renew else set()
    kept = [record for folder in folders for record in read_kept(folder)]
    records += [record for record in kept if (record.recipe, record.seed) not in renewed]
    refuse_twins(records)
    records.sort(key=lambda record: (record.recipe, record.seed, record.digest))
    tables = {name: _parquet(table) for name, table in _tables(records).items()} | _certificates(records)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, data in tables.items():
            _replace(out / name, data)
        # Last, because it vouches for the tables.
        _replace(out / INDEX, _index(records, tables).encode())
        for name in {_EVALUATION, _DIAGNOSIS, _CERTIFICATES, _CERTIFICATE_TABLE} - set(tables):
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"cannot keep results in {out}: {error.strerror}") from error
    return records


def read_kept(folder: Path) -> list[Record]:
    """Read what `keep` wrote.

    Args:
        folder: one that holds a ``runs.json``.

    Returns:
        The runs, without the steps that were not kept.

    Raises:
        InputError: files are missing, changed, or not those of kept results.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{folder / INDEX} is not JSON: {error}") from error
    if not isinstance(index, dict) or index.get("format") != _FORMAT:
        raise InputError(f"{folder / INDEX} does not list kept results; 'lengthwise keep RUN... --out DIR' writes some")
    files = {name: _checked(folder / name, checksum) for name, checksum in index["files"].items()}
    tables = {name: _table(data) for name, data in files.items() if name.endswith(".parquet")}
    certified = read_lines(files.get(_CERTIFICATES, b"").decode(), folder / _CERTIFICATES)

    def rows(table: str, run: dict[str, Any], schema: pl.Schema) -> pl.DataFrame:
        """Return the rows of a run; tables kept before a column was added have none of it."""
        empty = pl.DataFrame(schema=schema)
        found = tables.get(table, {}).get((run["digest"], run["seed"]))
        return empty if found is None else pl.concat([empty, found], how="diagonal")

    return [
        Record(
            path=folder / run["run"],
            settings=run["recipe"],
            environment=run["environment"],
            parameters=run["parameters"],
            evaluation=rows(_EVALUATION, run, EVALUATION).select(EVALUATION.names()),
            diagnosis=rows(_DIAGNOSIS, run, DIAGNOSIS).select(DIAGNOSIS.names()),
            metrics=rows(_METRICS, run, METRICS).drop(_KEY, strict=False),
            certified=certified.get((run["digest"], run["seed"])),
        )
        for run in index["runs"]
    ]


def _refuse_unfinished(runs: Sequence[RunFolder]) -> None:
    unfinished = [str(run.path) for run in runs if not run.finished.exists()]
    if unfinished:
        raise InputError(f"not trained to the end: {', '.join(unfinished)}; 'lengthwise train' with its recipe goes on")


def _thinned(record: Record) -> Record:
    metrics = record.metrics
    stride = -(-metrics.height // _MOST_STEPS) or 1
    points = [pl.col(name).is_not_null() for name in metrics.columns if name.startswith(_POINTS)]
    # Counted from the end, because the last row holds the time that training took.
    from_end = metrics.height - 1 - pl.int_range(pl.len())
    return replace(
        record,
        metrics=metrics.filter(pl.any_horizontal(from_end % stride == 0, *points)),
        diagnosis=record.diagnosis.filter(~pl.col("part").str.contains("/", literal=True)),
        certified=record.certified and record.certified.kept(),
    )


def _tables(records: Sequence[Record]) -> dict[str, pl.DataFrame]:
    """Return the tables by the names of their files; a kind of run that is not there has none."""
    tables = {
        _EVALUATION: pl.concat(record.evaluation for record in records),
        _DIAGNOSIS: pl.concat(record.diagnosis for record in records),
    }
    metrics = pl.concat((_keyed(record) for record in records), how="diagonal_relaxed")
    return {name: table for name, table in tables.items() if len(table)} | {_METRICS: metrics}


def _keyed(record: Record) -> pl.DataFrame:
    return record.metrics.with_columns(digest=pl.lit(record.digest), seed=pl.lit(record.seed, dtype=pl.Int64))


def _parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd", compression_level=12)
    return buffer.getvalue()


def _index(records: Sequence[Record], tables: Mapping[str, bytes]) -> str:
    """Return the index with a run a line, so that a change of one run is a change of one line."""
    head = json.dumps({"format": _FORMAT, "files": {name: _checksum(data) for name, data in tables.items()}})
    runs = ",\n".join(json.dumps(_entry(record), ensure_ascii=False) for record in records)
    return f'{head[:-1]}, "runs": [\n{runs}\n]}}\n'


def _entry(record: Record) -> dict[str, Any]:
    return {
        "run": run_path(Path(), record.recipe, record.seed).as_posix(),
        "digest": record.digest,
        "seed": record.seed,
        "parameters": record.parameters,
        "recipe": record.settings,
        "environment": record.environment,
    }


def _certificates(records: Sequence[Record]) -> dict[str, bytes]:
    """Return the files of what was proved, none where nothing was."""
    certified = [record.certified for record in records if record.certified]
    if not certified:
        return {}
    table = certificate_table(certified).write_csv().encode()
    return {_CERTIFICATES: certificate_lines(certified).encode(), _CERTIFICATE_TABLE: table}


def _table(data: bytes) -> dict[tuple[Any, ...], pl.DataFrame]:
    return pl.read_parquet(io.BytesIO(data)).partition_by(_KEY, as_dict=True)


def _checked(path: Path, checksum: str) -> bytes:
    """Return what is in a file that the index vouches for."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if _checksum(data) != checksum:
        raise InputError(f"{path} is not the table that {path.parent / INDEX} was written with; keep the runs again")
    return data


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _replace(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
