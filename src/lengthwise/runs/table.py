"""One tidy table of everything that was measured: a row a number, with what made it."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import call
from pathlib import Path
from typing import Any, TypeAlias, cast, get_args

import polars as pl
from pydantic import BaseModel, ValidationError

from lengthwise.errors import InputError, reason_of
from lengthwise.files import read_bytes, read_object
from lengthwise.runs.attachments import ATTACHMENTS, Attachment, attachment_kinds
from lengthwise.runs.folder import RunFolder, find_runs, no_run
from lengthwise.runs.rows import Head, Row, read_evaluation
from lengthwise.runs.shipped import read_settings

INDEX = "runs.json"
"""The file that marks a folder of kept results."""
FORMAT = "lengthwise-results-2"

_FOLDERS = re.compile(r"""(^|[\s:='"])/(?:[^/\s'"]+/)+""")
"""The folders of a whole path in a command: what is published does not say where somebody's files lie."""

_WHOLE = re.compile(r"(?:/[^/\s]+){2,}/?")

Key: TypeAlias = tuple[str, int]
"""Digest and seed of a run."""
KEY = ("digest", "seed")


def _columns(model: type[BaseModel]) -> pl.Schema:
    """Return a column for each field of a model but ``axes``, whose names are columns themselves."""
    types = {str: pl.String, int: pl.Int64, float: pl.Float64}
    fields = {name: field.annotation for name, field in model.model_fields.items() if name != "axes"}
    return pl.Schema(
        {name: types[next(kind for kind in (of, *get_args(of)) if kind in types)] for name, of in fields.items()}
    )


HEAD, ROW = _columns(Head), _columns(Row)
KEYS = pl.Schema({name: HEAD[name] for name in KEY})
_REQUIRED = {*KEY, "task", "metric", "value", "samples"}
"""The columns of every table, in order; those of the axes follow."""
METRICS = pl.Schema(
    {"digest": pl.String, "seed": pl.Int64, "step": pl.Int64, "sequences": pl.Int64}
    | dict.fromkeys(("seconds", "loss", "accuracy"), pl.Float64)
)
"""The columns that metrics have at least."""


@dataclass(frozen=True)
class Run:
    """What one run was, apart from its numbers."""

    path: Path
    """The run's folder when it was read."""
    head: Head
    settings: dict[str, Any]
    """The resolved recipe."""
    environment: dict[str, Any]
    """Command, commit and machine; empty where the run did not record them."""
    attachments: dict[str, Any]
    """Name of a member of `ATTACHMENTS` -> what it read; those that the run does not have are left out."""
    seconds: float
    """Processor time of training; 0 where it was not logged."""

    @property
    def key(self) -> Key:
        """Digest and seed; no other run of a table has the same."""
        return self.head.digest, self.head.seed


@dataclass(frozen=True)
class Table:
    """Evaluated runs and all their numbers.

    Args:
        runs: in the order given.
        rows: one row a number; the columns of `HEAD`, then of `ROW`, then one an axis, null where a row has none.
        metrics: one row a logged step; the columns of `METRICS`, then whatever else was logged.
        waiting: run folders that are not evaluated, whose rows are therefore missing.
    """

    runs: list[Run]
    rows: pl.DataFrame
    metrics: pl.DataFrame
    waiting: list[Path]

    def only(self, keys: Iterable[Key]) -> Table:
        """Return the runs of some digests and seeds."""
        wanted = set(keys)
        frame = pl.DataFrame(sorted(wanted), schema=KEYS, orient="row")
        return Table(
            [run for run in self.runs if run.key in wanted],
            self.rows.join(frame, on=KEY, how="semi", maintain_order="left"),
            self.metrics.join(frame, on=KEY, how="semi", maintain_order="left"),
            self.waiting,
        )

    def refuse_waiting(self) -> Table:
        """Return the table itself, of which nothing is missing.

        Raises:
            InputError: runs are not evaluated; it names them and the command that evaluates them.
        """
        if self.waiting:
            names = ", ".join(map(str, self.waiting))
            raise InputError(f"no evaluation yet in {names}; make it with: lengthwise evaluate {self.waiting[0]}")
        return self


def read_table(paths: Iterable[Path]) -> Table:
    """Read evaluated runs.

    Args:
        paths: run folders, folders of kept results (see `keep`), or folders that hold some.

    Returns:
        All their rows.

    Raises:
        InputError: there is no run in a folder, no run was evaluated, or two runs have the same recipe and seed.
    """
    folders, kept = find_sources(paths)
    tables = [read_run(folder) for folder in folders if folder.evaluation.exists()]
    tables += [read_kept(folder) for folder in kept]
    waiting = [folder.path for folder in folders if not folder.evaluation.exists()]
    if not tables:
        raise InputError(f"none of {len(waiting)} runs is evaluated; make rows with: lengthwise evaluate {waiting[0]}")
    return replace(merge_tables(tables), waiting=waiting)


def find_sources(paths: Iterable[Path]) -> tuple[list[RunFolder], list[Path]]:
    """Return the run folders, and the folders of kept results, at or below some paths, each once.

    Raises:
        InputError: there is neither at or below one of them.
    """
    runs: dict[Path, RunFolder] = {}
    kept: dict[Path, None] = {}
    for path in paths:
        found, indices = find_runs(path), sorted(path.rglob(INDEX))
        if not found and not indices:
            raise no_run(path)
        runs |= {run.path: run for run in found}
        kept |= dict.fromkeys(index.parent for index in indices)
    return list(runs.values()), list(kept)


def merge_tables(tables: Sequence[Table]) -> Table:
    """Return the runs of some tables, one after another.

    Raises:
        InputError: two runs are the same recipe and seed; it names the first two.
    """
    runs = [run for table in tables for run in table.runs]
    seen: dict[Key, Path] = {}
    for run in runs:
        if run.key in seen:
            raise InputError(f"{run.path} and {seen[run.key]} are the same recipe and seed; name one of them only")
        seen[run.key] = run.path
    rows = _stack(HEAD | ROW, [table.rows for table in tables])
    waiting = [path for table in tables for path in table.waiting]
    return Table(runs, rows, _stack(METRICS, [table.metrics for table in tables]), waiting)


def beside(own: Table, others: Table) -> Table:
    """Return some runs and, behind them, those of others on the same tasks, without what both are.

    Raises:
        InputError: the others were trained on other tasks only; it names both.
    """
    tasks, theirs = ({run.head.trained_on for run in table.runs} for table in (own, others))
    if not tasks & theirs:
        names = [", ".join(sorted(of)) for of in (tasks, theirs)]
        raise InputError(f"nothing to set beside runs on {names[0]}: the other results are on {names[1]}")
    known = {run.key for run in own.runs}
    chosen = [run.key for run in others.runs if run.head.trained_on in tasks and run.key not in known]
    return merge_tables([own, others.only(chosen)])


def read_run(folder: RunFolder) -> Table:
    """Read one evaluated run.

    Raises:
        InputError: it was not evaluated, or one of its files is not valid.
    """
    head, measured = read_evaluation(folder.evaluation)
    if not measured:
        raise InputError(
            f"{folder.evaluation} holds no rows; make them with: lengthwise evaluate --again {folder.path}"
        )
    settings = check_settings(read_settings(folder.recipe, "recipe", given=False), f"recipe {folder.recipe}")
    folder.check_recipe()
    if (settings.get("name", head.recipe), settings.get("seeds", [head.seed])) != (head.recipe, [head.seed]):
        raise InputError(
            f"{folder.evaluation} is of {head.recipe}, seed {head.seed}, and not of the recipe beside it; "
            f"make its own with: lengthwise evaluate --again {folder.path}"
        )
    values = [row.model_dump(exclude={"axes"}) | row.axes for row in measured]
    rows = _stack(ROW, [pl.DataFrame(values, strict=False, infer_schema_length=None)])
    _refuse_twice(rows, folder.evaluation)
    key = {"digest": pl.lit(head.digest), "seed": pl.lit(head.seed, dtype=pl.Int64)}
    logged = pl.DataFrame(folder.metrics_rows(), infer_schema_length=None).with_columns(**key)
    metrics = _stack(METRICS, [logged] if logged.width > len(KEY) else [])
    seconds = metrics["seconds"].drop_nulls()
    recorded = read_object(folder.environment, "environment") if folder.environment.exists() else {}
    found = {name: kind.read(folder, head) for name, kind in attachment_kinds().items()}
    run = Run(
        path=folder.path,
        head=head,
        settings=settings,
        environment=_environment(recorded, folder.environment),
        attachments={name: value for name, value in found.items() if value is not None},
        seconds=float(seconds[-1]) if len(seconds) else 0.0,
    )
    return Table([run], _headed(rows.with_columns(**key), [run]), metrics, [])


def read_kept(folder: Path) -> Table:
    """Read what `keep` wrote.

    Args:
        folder: one that holds a ``runs.json``.

    Returns:
        The runs, without the steps that were not kept.

    Raises:
        InputError: files are missing, changed, or not those of kept results.
    """
    index = _read_index(folder / INDEX)
    try:
        return _indexed(folder, index)
    # What panics in polars is no ordinary exception of it.
    except (
        *(KeyError, TypeError, ValueError, AttributeError),
        *(pl.exceptions.PolarsError, pl.exceptions.PanicException),
    ) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else reason_of(error)
        raise InputError(f"{folder / INDEX} is not the index of kept results: {what}; keep the runs again") from error


def _indexed(folder: Path, index: dict[str, Any]) -> Table:
    """Return the runs that an index lists."""
    files = {role: _checked(folder, **file) for role, file in index["files"].items()}
    rows, metrics = (pl.read_parquet(io.BytesIO(files.pop(role))) for role in ("rows", "metrics"))
    # By index, before anything is joined: a table may be whole and yet not one of these.
    rows, metrics = _typed(rows, KEYS | ROW, _REQUIRED), _typed(metrics, METRICS, {*KEY, "step"})
    attached: dict[Key, dict[str, Any]] = {}
    for role, data in files.items():
        kind: Attachment = ATTACHMENTS.load(role, call)
        for number, line in enumerate(data.decode().splitlines(), start=1):
            try:
                entry = json.loads(line)
                attached.setdefault((entry["digest"], entry["seed"]), {})[role] = kind.load(entry)
            except (ValueError, KeyError, TypeError) as error:
                where = f"{folder / index['files'][role]['name']}, line {number}"
                raise InputError(f"{where} is not a kept {role}: {error}") from error
    metrics = _stack(METRICS, [metrics])
    timed = metrics.group_by(KEY).agg(pl.col("seconds").drop_nulls().last()).drop_nulls()
    seconds: dict[Key, float] = {(digest, seed): last for digest, seed, last in timed.iter_rows()}
    runs: list[Run] = []
    for entry in index["runs"]:
        try:
            head = Head.model_validate(entry["head"])
        except ValidationError as error:
            raise InputError(f"{folder / INDEX}, run {entry['run']} is not valid: {error}") from error
        key = (head.digest, head.seed)
        settings = check_settings(entry["recipe"], f"the recipe of {entry['run']} in {folder / INDEX}")
        environment = _environment(dict(entry["environment"]), folder / INDEX)
        own = (settings, environment, attached.get(key, {}), seconds.get(key, 0.0))
        for role, value in attached.get(key, {}).items():
            ATTACHMENTS.load(role, call).check(value, head)
        runs.append(Run(folder / entry["run"], head, *own))
    for table, all_have in ((rows, True), (metrics, False)):
        found, listed = set(table.select(KEY).unique().rows()), {run.key for run in runs}
        if found - listed or (all_have and listed - found):
            raise ValueError("its runs are not those of its tables")
    _refuse_twice(rows, folder)
    return Table(runs, _headed(_stack(ROW, [rows]), runs), metrics, [])


def _typed(table: pl.DataFrame, columns: pl.Schema, required: set[str]) -> pl.DataFrame:
    """Return a table whose columns have their types, and a value in each row where one is required."""
    table = table.cast({name: kind for name, kind in columns.items() if name in required or name in table.columns})
    if empty := [name for name in required if table[name].null_count()]:
        raise ValueError(f"its table has rows without {', '.join(sorted(empty))}")
    return table


def _refuse_twice(rows: pl.DataFrame, where: Path) -> None:
    """Refuse numbers that stand there twice, which every mean would count twice, and those of no sample."""
    places = rows.select(pl.exclude("value", "low", "high", "samples"))
    if places.is_duplicated().any() or (rows["samples"] < 1).any():
        raise InputError(f"{where} has a number twice, or one of no sample; evaluate the runs again")


def _environment(found: dict[str, Any], where: Path) -> dict[str, Any]:
    """Return what a run recorded of its first process, and of each that went on with it."""
    later = found.get("resumed", [])
    if not isinstance(later, list) or not all(isinstance(one, dict) for one in cast("list[object]", later)):
        raise InputError(f"{where} is not the environment of a run: resumed is {later!r:.100}")
    processes = [_process(dict(one), where) for one in cast("list[dict[str, Any]]", later)]
    return _process(found, where) | ({"resumed": processes} if processes else {})


def _process(found: dict[str, Any], where: Path) -> dict[str, Any]:
    """Return what was recorded of a process, whose parts are what they are in every other."""
    for name, kind in (("packages", dict), ("plugins", dict), ("machine", dict), ("command", str), ("started", str)):
        if not isinstance(found.get(name, kind()), kind):
            raise InputError(f"{where} is not the environment of a run: {name} is {found[name]!r:.100}")
    if "command" in found:
        found["command"] = _FOLDERS.sub(r"\1", found["command"])
    return found


def check_settings(settings: Any, where: str) -> dict[str, Any]:
    """Return the settings of a recipe as they were recorded, but for the folders of whole paths.

    Files are known by their content: a digest does not depend on where they lay.

    Raises:
        InputError: they are not; recipes of packages that are not here are not known any better.
    """
    sections = ("model", "training", "evaluation", "objective", "intervention")
    if not isinstance(settings, dict) or not all(isinstance(settings.get(name, {}), dict) for name in sections):
        raise InputError(f"{where} is not that of a run; {', '.join(sections)} are sections with settings of their own")
    return cast("dict[str, Any]", _without_folders(settings))


def _without_folders(value: Any) -> Any:
    """Return a setting with the last part of every whole path in it."""
    if isinstance(value, dict):
        return {name: _without_folders(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_folders(inner) for inner in value]
    return Path(value).name if isinstance(value, str) and _WHOLE.fullmatch(value) else value


def _read_index(path: Path) -> dict[str, Any]:
    index = read_object(path, "index")
    if index.get("format") != FORMAT:
        raise InputError(f"{path} lists no kept results of this version; 'lengthwise keep RUN... --out DIR' does")
    return index


def _checked(folder: Path, name: str, sha256: str) -> bytes:
    """Return what is in a file that the index vouches for."""
    path = folder / name
    data = read_bytes(path, "table")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"{path} is not the table that {folder / INDEX} was written with; keep the runs again")
    return data


def _stack(columns: pl.Schema | dict[str, Any], frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return the rows of some frames under the given columns, which come first, and all others."""
    return pl.concat([pl.DataFrame(schema=columns), *frames], how="diagonal_relaxed")


def _headed(rows: pl.DataFrame, runs: Sequence[Run]) -> pl.DataFrame:
    """Return rows, which have the key of their run, with all that is in its head."""
    heads = pl.DataFrame([run.head.model_dump() for run in runs], schema=HEAD)
    joined = rows.join(heads, on=KEY, maintain_order="left")
    return joined.select(*HEAD, *ROW, pl.exclude(*HEAD, *ROW))
