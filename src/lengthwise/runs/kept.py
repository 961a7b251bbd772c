"""Kept results: the rows, recipes and environments of many runs in a few small files, for a repository to hold."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import polars as pl

from lengthwise.errors import InputError
from lengthwise.files import write_atomically
from lengthwise.registry import nearest_name
from lengthwise.runs.attachments import attachment_kinds
from lengthwise.runs.folder import run_path
from lengthwise.runs.lock import FOREVER, hold
from lengthwise.runs.table import (
    FORMAT,
    HEAD,
    INDEX,
    KEY,
    KEYS,
    METRICS,
    ROW,
    Run,
    Table,
    find_sources,
    merge_tables,
    read_kept,
    read_table,
)

__all__ = ["keep", "read_kept", "remove", "write_kept"]

_EVERY_STEP = {*METRICS, "mean_loss", "learning_rate", "gradient_norm", "length"}
"""What is logged of every step; all else is a point of a learning curve, of whatever metric."""
_ORDER = " order"
_MOST_STEPS = 500
"""Logged steps kept of a run; more cannot be told apart in a figure."""
_OURS = re.compile(r"\.?[a-z_]+-[0-9a-f]{12}\.(parquet|jsonl)(\.partial)?|\.runs\.json\.partial")
"""Names of files that the index may name, and of what a killed process left of them."""

Tell = Callable[[str], None]


def keep(paths: Sequence[Path], out: Path, *, replace: bool = False, tell: Tell = lambda _: None) -> Table:
    """Add what reports are drawn from, without checkpoints, to the results that a folder keeps.

    Every row of an evaluation is kept, but for those of single heads of a state. Of the metrics, evenly spaced steps
    are, 500 at most, and all points of the learning curve. Whatever ends the process, the folder then holds the old set
    or the new one.

    Args:
        paths: evaluated run folders, folders that hold some, or folders of kept results.
        out: made where it is missing; what it keeps already stays there. It holds ``runs.json`` (head, recipe and
            environment of each run, and the names of the tables), ``rows-HASH.parquet``, ``metrics-HASH.parquet``, and
            one file for each kind of attachment that a run has.
        replace: whether kept runs make place for those of the same recipe and seed, or of the same name and seed.
        tell: is called with each change, in words, before anything is written.

    Returns:
        All that the folder now keeps.

    Raises:
        InputError: there is no run, a run is not finished or not evaluated, two are of the same recipe and seed, or
            kept runs would be replaced without `replace`.
        StoppedError: the files cannot be written; what was kept before is intact.
    """
    new = _read_new(paths, out)
    with hold(out, FOREVER):
        old = read_kept(out) if (out / INDEX).exists() else new.only([])
        lost = _replaced(old, new)
        if lost and not replace:
            what = "; ".join(f"{name} ({why})" for name, why in lost.values())
            raise InputError(f"{out} keeps other results under the same names: {what}; --replace lets them go")
        for name, why in lost.values():
            tell(f"replace {name} ({why})")
        before = {run.key: run.attachments for run in old.runs}
        for run in new.runs:
            if run.key not in before and _name(run) not in {name for name, _ in lost.values()}:
                tell(f"add {_name(run)}")
            for role in sorted(set(run.attachments) - set(before.get(run.key, run.attachments))):
                tell(f"add the {role} of {_name(run)}")
        stay = set(before) - {run.key for run in new.runs} - set(lost)
        return write_kept(merge_tables([old.only(stay), new]), out)


def remove(names: Iterable[str], out: Path, *, tell: Tell = lambda _: None) -> Table:
    """Take runs away from the results that a folder keeps.

    Args:
        names: of runs such as ``fast/parity/seed-0``, of recipes, or of their folders such as ``fast``.
        out: a folder of kept results.
        tell: is called with each change, in words, before anything is written.

    Returns:
        What is left.

    Raises:
        InputError: no run has one of the names, or none would be left.
        StoppedError: the files cannot be written; what was kept before is intact.
    """
    if not (out / INDEX).exists():
        raise InputError(f"{out} keeps no results")
    with hold(out, FOREVER):
        old = read_kept(out)
        gone: dict[tuple[str, int], Run] = {}
        for name in names:
            found = {run.key: run for run in old.runs if f"{_name(run)}/".startswith(f"{name.rstrip('/')}/")}
            if not found:
                paths = [Path(_name(run)) for run in old.runs]
                known = dict.fromkeys(str(each) for path in paths for each in (*reversed(path.parents[:-1]), path))
                raise InputError(f"{out} keeps no run {name!r}; {nearest_name(name, [*known])}")
            gone |= found
        left = [run.key for run in old.runs if run.key not in gone]
        if not left:
            raise InputError(f"nothing would be left in {out}; delete the folder if that is meant")
        for run in gone.values():
            tell(f"remove {_name(run)}")
        return write_kept(old.only(left), out)


def write_kept(table: Table, out: Path) -> Table:
    """Write a table as the results that a folder keeps; the index is replaced last, in one step, and commits it.

    Args:
        table: what to keep, all of it.
        out: the folder, which exists.

    Returns:
        The table in the order in which it is kept.

    Raises:
        StoppedError: the files cannot be written; what was kept before is intact.
    """
    runs = sorted(table.runs, key=lambda run: (run.head.recipe, run.head.seed, run.head.digest))
    axes = table.rows.select(*KEY, *ROW, pl.exclude(*HEAD, *ROW))
    tables = {"rows": _parquet(axes, runs, list(ROW)), "metrics": _parquet(table.metrics, runs, list(METRICS)[2:])}
    contents = {role: (f"{role}-{_hash(data)[:12]}.parquet", data) for role, data in tables.items()}
    for role, kind in attachment_kinds().items():
        if data := "".join(_line(run, kind.dump(run.attachments[role])) for run in runs if role in run.attachments):
            contents[role] = (f"{kind.file}-{_hash(data.encode())[:12]}.jsonl", data.encode())
    for name, data in contents.values():
        write_atomically(out / name, data, "table")
    files = {role: {"name": name, "sha256": _hash(data)} for role, (name, data) in contents.items()}
    write_atomically(out / INDEX, _index(runs, files).encode(), "index of kept results")
    named = {name for name, _ in contents.values()}
    for path in out.iterdir():
        # Best effort, because the new set is there already, and nothing reads what its index does not name.
        if _OURS.fullmatch(path.name) and path.name not in named:
            with contextlib.suppress(OSError):
                path.unlink()
    return changed(table, runs=runs)


def _read_new(paths: Sequence[Path], out: Path) -> Table:
    folders, kept = find_sources(paths)
    unfinished = [str(folder.path) for folder in folders if not folder.finished.exists()]
    if unfinished:
        raise InputError(f"not trained to the end: {', '.join(unfinished)}; 'lengthwise train' with its recipe goes on")
    tables = [_thinned(read_table(folder.path for folder in folders).refuse_waiting())] if folders else []
    return merge_tables([*tables, *(read_kept(folder) for folder in kept if folder.resolve() != out.resolve())])


def _thinned(table: Table) -> Table:
    """Return what is kept of runs that were read from their folders."""
    count, place = pl.len().over(KEY), pl.int_range(pl.len()).over(KEY)
    stride = (count + _MOST_STEPS - 1) // _MOST_STEPS
    # Counted from the end, because the last row holds the time that training took.
    evenly = (count - 1 - place) % stride == 0
    points = [pl.col(name).is_not_null() for name in table.metrics.columns if name not in _EVERY_STEP]
    rows = table.rows
    if "part" in rows.columns:
        rows = rows.filter(~pl.col("part").cast(pl.String).fill_null("").str.contains("/", literal=True))
    return changed(table, rows=rows, metrics=table.metrics.filter(pl.any_horizontal(evenly, *points)))


def _replaced(old: Table, new: Table) -> dict[tuple[str, int], tuple[str, str]]:
    """Return key -> name of each kept run that others would take the place of, and why."""
    same = {run.key: run for run in new.runs}
    named = {(run.head.recipe, run.head.seed): run.head.digest for run in new.runs}
    found: dict[tuple[str, int], tuple[str, str]] = {}
    for run in old.runs:
        if run.key in same:
            differing = _differing(run, same[run.key], old, new)
            why = f"other {', '.join(differing)}" if differing else ""
        else:
            digest = named.get((run.head.recipe, run.head.seed))
            why = f"recipe {run.head.digest[:6]}, now {digest[:6]}" if digest else ""
        if why:
            found[run.key] = (_name(run), why)
    return found


def _differing(old: Run, new: Run, old_table: Table, new_table: Table) -> list[str]:
    """Return what a kept run has that another of the same recipe and seed has not, or has otherwise."""
    one, other = old_table.only([old.key]), new_table.only([new.key])
    parts = {
        "head": old.head == new.head,
        "recipe": old.settings == new.settings,
        "environment": old.environment == new.environment,
        "rows": _equal(*(table.rows.select(pl.exclude(*HEAD)) for table in (one, other))),
        "metrics": _equal(one.metrics, other.metrics),
        **{role: new.attachments.get(role) == value for role, value in old.attachments.items()},
    }
    return [part for part, equal in parts.items() if not equal]


def _equal(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    """Return whether two tables hold the same, wherever their columns are and whichever have nothing in them."""
    both = pl.concat([one, other], how="diagonal_relaxed")
    return one.height == other.height and both.head(one.height).equals(both.tail(other.height))


def _parquet(table: pl.DataFrame, runs: Sequence[Run], first: Sequence[str]) -> bytes:
    """Return the file of the rows of some runs, in their order: key, the first columns, and others that hold any."""
    places = [(*run.key, place) for place, run in enumerate(runs)]
    order = pl.DataFrame(places, schema=KEYS | {_ORDER: pl.Int64}, orient="row")
    rows = table.join(order, on=KEY, maintain_order="left").sort(_ORDER, maintain_order=True)
    others = sorted(name for name in table.columns if name not in {*KEY, *first} and rows[name].count())
    buffer = io.BytesIO()
    rows.select(*KEY, *first, *others).write_parquet(buffer, compression="zstd", compression_level=12)
    return buffer.getvalue()


def _index(runs: Sequence[Run], files: dict[str, dict[str, str]]) -> str:
    """Return the index with a run a line, so that a change of one run is a change of one line."""
    head = json.dumps({"format": FORMAT, "files": files})
    entries = [
        {"run": _name(run), "head": run.head.model_dump(), "recipe": run.settings, "environment": run.environment}
        for run in runs
    ]
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    return f'{head[:-1]}, "runs": [\n{lines}\n]}}\n'


def _line(run: Run, value: dict[str, Any]) -> str:
    entry = dict(zip(KEY, run.key, strict=True)) | value
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n"


def _name(run: Run) -> str:
    return run_path(Path(), run.head.recipe, run.head.seed).as_posix()


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
