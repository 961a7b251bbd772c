"""Checkpoints of transformers, ``hf:PATH``, as ``diagnose`` and ``post-train`` take them."""

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
from lengthwise.errors import InputError

if TYPE_CHECKING:
    from lengthwise.pretrained.checkpoint import Checkpoint
    from lengthwise.runs.folder import RunFolder
    from lengthwise.runs.recipe import Recipe

PREFIX = "hf:"
RUNS = "lengthwise"
"""The folder in that of a post-trained checkpoint which holds its runs, before and after."""

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
    """Return the folder that ``hf:PATH`` names; None where the target is a run."""
    return Path(str(target).removeprefix(PREFIX)) if str(target).startswith(PREFIX) else None


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


def post_train_checkpoint(
    checkpoint: Checkpoint, options: Mapping[str, Any], overrides: Sequence[str], out: Path
) -> None:
    """Measure a checkpoint, post-train it, and write it to a folder of its own with both measurements.

    Under torchrun every process calls this, and the first one measures and writes.
    """
    from lengthwise.runs.folder import RunFolder, run_path
    from lengthwise.runs.pretrained import measured, overrides_of, post_trained, shared_overrides
    from lengthwise.runs.run import train_run
    from lengthwise.training.processes import processes_here

    changes = [*overrides_of(options), *overrides]
    before = measured(checkpoint, options["data"], shared_overrides(changes))
    recipe = post_trained(checkpoint, before, options["intervention"], options["steps"], changes)
    _check_out(out, checkpoint.path)
    root, seed = out / RUNS, recipe.seeds[0]
    after = RunFolder(run_path(root, recipe.name, seed))
    with processes_here(recipe.device) as processes:
        if not processes.first:
            with stop_on_signals() as stop:
                train_run(recipe, seed, after.path, stop=stop, processes=processes)
            return
        first = diagnose_checkpoint(before, root, again=False)
        train_seed(recipe, seed, root, processes)
    _write(checkpoint, recipe, first, after, out)


def say_difference(before: RunFolder, after: RunFolder) -> None:
    """Print what post-training changed."""
    from lengthwise.report.comparison import comparison_table
    from lengthwise.runs.rows import read_evaluation

    measured = [read_evaluation(folder.evaluation) for folder in (before, after)]
    print_drawn(comparison_table(*measured))
    by_position = any(row.metric == "loss" for row in measured[1][1])
    say(f"the charts: lengthwise {'diagnose' if by_position else 'report'} {before.path} {after.path}")


def _check_out(out: Path, source: Path) -> None:
    if out.resolve() == source.resolve():
        raise InputError(f"--out {out} is the checkpoint itself; give another folder, the source is never changed")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; give a new folder")
    if out.is_dir() and any(out.iterdir()) and not (out / RUNS).is_dir():
        raise InputError(f"--out {out} exists and is not of an earlier post-training; give a new folder")


def _write(checkpoint: Checkpoint, recipe: Recipe, before: RunFolder, after: RunFolder, out: Path) -> None:
    from lengthwise.files import read_text, write_atomically
    from lengthwise.report.model_card import model_card
    from lengthwise.training.checkpoint import load_checkpoint

    tensors, _ = load_checkpoint(after.checkpoint)
    weights = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    checkpoint.export(weights, out)
    measure(after, recipe=recipe)
    readme = checkpoint.path / "README.md"
    source = read_text(readme, "model card", given=True) if readme.is_file() else ""
    card = model_card(source, before, after, recipe.settings())
    write_atomically(out / "README.md", card.encode(), "model card")
    say(f"the checkpoint: AutoModelForCausalLM.from_pretrained({str(out)!r})")
    say_difference(before, after)
