"""Checkpoints, ``hf:PATH`` or a path alone, as ``diagnose`` and ``post-train`` take them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lengthwise.cli.check_library import quiet
from lengthwise.cli.evaluate import measure
from lengthwise.cli.interrupt import stop_on_signals
from lengthwise.cli.progress import print_drawn, say
from lengthwise.cli.train import say_notes, train_seed
from lengthwise.errors import InputError, StoppedError
from lengthwise.extras import import_extra
from lengthwise.files import move_into_place, read_bytes, write_atomically

if TYPE_CHECKING:
    from lengthwise.pretrained.checkpoint import Checkpoint
    from lengthwise.runs.folder import RunFolder
    from lengthwise.runs.recipe import Recipe

PREFIX = "hf:"
RUNS = "lengthwise"
"""The folder in that of a post-trained checkpoint which holds its runs, before and after."""
OF_SOURCE = f"{RUNS}/source"
"""Where it holds those of its source, if that was post-trained itself."""

DATA: Any = typer.Option(
    "--data",
    metavar="PATH",
    help="For hf:PATH: a folder, file or pattern of text or of records (.jsonl, .csv, .parquet, a saved data set), or "
    "stdlib for Python's own source.",
)
TEXT_COLUMN: Any = typer.Option(
    "--text-column",
    parser=lambda given: int(given) if given.isdigit() else given,
    metavar="NAME",
    help="For hf:PATH: the column of .jsonl, .csv, .parquet and the like that holds the text; a number from 0 where "
    "the first row is no header.",
)
CONTEXT: Any = typer.Option(
    "--context", min=1, help="For hf:PATH: T, the tokens it was trained on at a time; 512 by default."
)
REACH: Any = typer.Option("--reach", min=2, help="For hf:PATH: measure up to this many times T; 16 by default.")
ROWS: Any = typer.Option("--rows", min=2, help="For hf:PATH: stretches of held-out text; 32 by default.")
DEVICE: Any = typer.Option("--device", help="For hf:PATH: cpu, cuda, mps or auto; cpu by default.")
REMOTE_CODE: Any = typer.Option("--remote-code", help="Run Python files in the checkpoint.")


def folder_of(target: Path) -> Path | None:
    """Return the checkpoint that a path is, with ``hf:`` before it or as it is; None where the target is a run."""
    if str(target).startswith(PREFIX):
        return Path(str(target).removeprefix(PREFIX))
    of_weights = (target / "config.json", target / "config.yaml", *target.glob("*.pth")) if target.is_dir() else ()
    run = (target / "recipe.yaml").exists()
    return target if target.is_file() or (not run and any(map(Path.is_file, of_weights))) else None


def given_options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return those parameters of a command that were given or have a default."""
    return {name: value for name, value in parameters.items() if value not in (None, []) and value is not False}


def refuse_options(options: Mapping[str, Any], allowed: Collection[str], purpose: str) -> None:
    """Refuse options that do not go with a run."""
    if wrong := [f"--{name.strip('_').replace('_', '-')}" for name in options if name not in allowed]:
        raise InputError(f"{', '.join(wrong)}: {purpose}")


def open_checkpoint(folder: Path, options: Mapping[str, Any]) -> Checkpoint:
    """Return a checkpoint, of which nothing but its settings is read yet."""
    from lengthwise.pretrained.checkpoint import Checkpoint

    quiet()
    # What is written at the end needs it: missed here, and not after all the work.
    import_extra("jinja2", "a page")
    if "data" not in options:
        raise InputError(f"hf:{folder} needs text: --data FOLDER, --data FILE or --data stdlib")
    return Checkpoint(folder, "remote_code" in options)


def diagnose_checkpoint(recipe: Recipe, root: Path, *, again: bool) -> RunFolder:
    """Measure a checkpoint as it is, in a run without steps, and say the verdict."""
    from lengthwise.runs.folder import RunFolder, run_path
    from lengthwise.runs.run import train_run

    folder = RunFolder(run_path(root, recipe.name, recipe.seeds[0]))
    say_notes(recipe)
    train_run(recipe, recipe.seeds[0], folder.path)
    say(f"{recipe.settings()['model']['path']}: {measure(folder, again, recipe)}")
    return folder


def elsewhere(recipe: Recipe, seed: int, data: str) -> Recipe:
    """Return the recipe that measures the run of another on another text."""
    from lengthwise.runs.pretrained import source_of
    from lengthwise.runs.repair import on_another_text

    return on_another_text(recipe, seed, source_of(data))


def measure_without_steps(recipe: Recipe, root: Path) -> RunFolder:
    """Measure what a recipe without steps starts from, unless that was done, and return the run."""
    from lengthwise.runs.folder import RunFolder, run_path
    from lengthwise.runs.run import train_run

    folder = RunFolder(run_path(root, recipe.name, recipe.seeds[0]))
    train_run(recipe, recipe.seeds[0], folder.path)
    measure(folder, recipe=recipe)
    return folder


def say_elsewhere(data: str, runs: Sequence[RunFolder]) -> None:
    """Print what post-training changed on another text."""
    say(f"on {data}:")
    say_difference(*runs)


def post_train_checkpoint(
    checkpoint: Checkpoint, options: Mapping[str, Any], overrides: Sequence[str], out: Path
) -> None:
    """Measure a checkpoint, post-train it, and write it to a folder of its own with both measurements.

    All of it happens in ``OUT.partial``, which gets its name when it is whole. Under torchrun every process calls this,
    and the first one measures and writes.
    """
    from lengthwise.pretrained.clauses import TRAINING
    from lengthwise.runs.folder import RunFolder, run_path
    from lengthwise.runs.pretrained import measured, overrides_of, post_trained, shared_overrides
    from lengthwise.runs.run import train_run
    from lengthwise.training.processes import processes_here

    changes = [*overrides_of(options), *overrides]
    before = measured(checkpoint, options["data"], shared_overrides(changes), TRAINING)
    recipe = post_trained(checkpoint, before, options["intervention"], options["steps"], changes)
    seed, other = recipe.seeds[0], options.get("also_measure")
    also = [] if other is None else [elsewhere(each, seed, other) for each in (before, recipe)]
    if _finished_before(out, recipe, before, also, str(other)):
        return
    partial = _partial_of(out, checkpoint.path, [before, recipe, *also], "replace" in options)
    unread = checkpoint.unread
    after = RunFolder(run_path(partial / RUNS, recipe.name, seed))
    with processes_here(recipe.device) as processes:
        if not processes.first:
            with stop_on_signals() as stop:
                train_run(recipe, seed, after.path, stop=stop, processes=processes)
            return
        first = diagnose_checkpoint(before, partial / RUNS, again=False)
        # The model as it was, before the work: a text that will not do is told at once.
        others = [measure_without_steps(each, partial / RUNS) for each in also[:1]]
        train_seed(recipe, seed, partial / RUNS, processes)
    measure(after, recipe=recipe)
    others += [measure_without_steps(each, partial / RUNS) for each in also[1:]]
    _write(checkpoint, _card(checkpoint, recipe, first, after, unread), after, partial)
    move_into_place(partial, out, replace="replace" in options)
    say(f"the checkpoint: {checkpoint.format.call_for(out)}")
    placed = [RunFolder(out / run.path.relative_to(partial)) for run in (first, after, *others)]
    say_difference(*placed[:2])
    if other is not None:
        say_elsewhere(other, placed[2:])


def say_difference(before: RunFolder, after: RunFolder) -> None:
    """Print what post-training changed."""
    from lengthwise.report.comparison import comparison_table
    from lengthwise.runs.rows import read_evaluation

    measured = [read_evaluation(folder.evaluation) for folder in (before, after)]
    print_drawn(comparison_table(*measured))
    by_position = any(row.metric == "loss" for row in measured[1][1])
    say(f"the charts: lengthwise {'diagnose' if by_position else 'report'} {before.path} {after.path}")


def _finished_before(out: Path, recipe: Recipe, before: Recipe, also: Sequence[Recipe], other: str) -> bool:
    """Say what is there already where the same command made it."""
    from lengthwise.runs.folder import RunFolder, run_path
    from lengthwise.runs.run import differing

    runs = [RunFolder(run_path(out / RUNS, each.name, each.seeds[0])) for each in (before, recipe, *also)]
    first, after = runs[:2]
    if not all(run.evaluation.exists() for run in runs) or differing(after, recipe, recipe.seeds[0]):
        return False
    say(f"{out}: finished before; nothing to do")
    say_difference(first, after)
    if also:
        say_elsewhere(other, runs[2:])
    return True


def _partial_of(out: Path, source: Path, recipes: Sequence[Recipe], replace: bool) -> Path:
    """Return the folder in which the checkpoint grows, once both it and its place were seen to be free."""
    from lengthwise.runs.folder import find_runs, run_path
    from lengthwise.runs.run import differing

    place, given = out.resolve(), source.resolve()
    if given.is_relative_to(place) or place.is_relative_to(given):
        raise InputError(f"--out {out} is the checkpoint itself, in it or around it, and that is never changed")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        if not (out / RUNS).is_dir():
            raise InputError(f"--out {out} exists and is not what this command makes; give a new folder, or delete it")
        if not replace:
            raise InputError(
                f"--out {out} holds a checkpoint that was post-trained in another way; give a new folder, or add "
                "--replace, which keeps it until the new one is whole"
            )
    partial = out.resolve().with_name(f"{out.resolve().name}.partial")
    if partial.exists() and not (partial / RUNS).is_dir():
        raise InputError(f"{partial} exists, where the checkpoint grows before it gets the name {out}; move it away")
    own = {run_path(partial / RUNS, recipe.name, recipe.seeds[0]): recipe for recipe in recipes}
    for run in find_runs(partial / RUNS):
        if (recipe := own.get(run.path)) is None and not run.path.is_relative_to(partial / OF_SOURCE):
            raise InputError(f"{partial} holds another run ({run.path}); give another --out, or delete that folder")
        if recipe and run.begun and (found := differing(run, recipe, recipe.seeds[0])):
            raise InputError(
                f"{partial} was begun with other settings ({'; '.join(found)}); give another --out, or delete it"
            )
    return partial


def _card(checkpoint: Checkpoint, recipe: Recipe, before: RunFolder, after: RunFolder, unread: list[str]) -> bytes:
    """Return the model card of the source, extended; what in it is no UTF-8 stays as it is."""
    from lengthwise.report.model_card import model_card

    readme = checkpoint.path / "README.md"
    source = read_bytes(readme, "model card", given=True) if readme.is_file() else b""
    return model_card(source.decode(errors="surrogateescape"), before, after, recipe.settings(), unread).encode(
        errors="surrogateescape"
    )


def _write(checkpoint: Checkpoint, card: bytes, after: RunFolder, partial: Path) -> None:
    """Put the checkpoint beside its runs."""
    from lengthwise.training.checkpoint import load_checkpoint
    from lengthwise.training.loop import under

    def place(file: Path) -> Path:
        """Put the runs of a source that was post-trained itself below those of this one."""
        return Path(OF_SOURCE, *file.parts[1:]) if file.parts[0] == RUNS else file

    weights = under("model.", load_checkpoint(after.checkpoint)[0])
    try:
        checkpoint.export(weights, partial, place)
        write_atomically(partial / "README.md", card, "model card")
    except OSError as error:
        raise StoppedError(
            f"cannot write {partial}: {error.strerror or error}; what was trained is kept, and the same command goes on"
        ) from error
