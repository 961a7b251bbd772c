"""What ``diagnose`` and ``post-train`` do with a checkpoint of transformers, ``hf:PATH``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lengthwise.cli.check_library import quiet
from lengthwise.cli.evaluate import measure
from lengthwise.cli.interrupt import stop_on_signals
from lengthwise.cli.progress import print_drawn, say
from lengthwise.cli.train import train_seed
from lengthwise.errors import InputError

if TYPE_CHECKING:
    from lengthwise.runs.folder import RunFolder
    from lengthwise.runs.recipe import TextRecipe

PREFIX = "hf:"

DATA: Any = typer.Option(
    "--data", metavar="PATH", help="For hf:PATH: a folder, file or pattern of text, or stdlib for Python's own source."
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


def refuse_options(options: Mapping[str, Any], purpose: str) -> None:
    """Refuse options that were given for something they do not go with.

    Args:
        options: name -> value; those that are None or false were not given.
        purpose: what would be right, as the message says it.

    Raises:
        InputError: one was given.
    """
    if given := [name for name, value in options.items() if value is not None and value is not False]:
        raise InputError(f"{', '.join(given)}: {purpose}")


def before_recipe(
    folder: Path, data: str | None, remote_code: bool, settings: Mapping[str, Any], overrides: Sequence[str] = ()
) -> TextRecipe:
    """Return the recipe that measures a checkpoint; settings that are None stay at their defaults."""
    from lengthwise.experiments.pretrained import measured

    quiet()
    if data is None:
        raise InputError(f"hf:{folder} needs text: --data FOLDER, --data FILE or --data stdlib")
    return measured(folder, data, remote_code=remote_code, settings=_given(settings), overrides=overrides)


def diagnose_checkpoint(recipe: TextRecipe, root: Path, *, again: bool) -> RunFolder:
    """Measure a checkpoint as it is, in a run without steps, and say the verdict."""
    from lengthwise.runs.folder import RunFolder, run_path
    from lengthwise.runs.run import train_run

    folder = RunFolder(run_path(root, recipe.name, recipe.seeds[0]))
    train_run(recipe, recipe.seeds[0], folder.path)
    say(f"{recipe.settings()['model']['path']}: {measure(folder, again)}")
    return folder


def post_train_checkpoint(
    before: TextRecipe, intervention: str, steps: int, settings: Mapping[str, Any], overrides: Sequence[str], out: Path
) -> None:
    """Measure a checkpoint, post-train it, and write it to a folder of its own with both measurements.

    Under torchrun every process calls this, and the first one measures and writes.
    """
    from lengthwise.experiments.pretrained import RUNS, check_out, post_trained
    from lengthwise.models.huggingface.config import HuggingFaceConfig
    from lengthwise.runs.folder import RunFolder, run_path
    from lengthwise.runs.run import train_run
    from lengthwise.training.processes import processes_here

    assert isinstance(before.model, HuggingFaceConfig) and before.model.path is not None  # noqa: PT018
    recipe, root = post_trained(before, intervention, steps, _given(settings), overrides), out / RUNS
    check_out(out, before.model.path)
    seed = recipe.seeds[0]
    after = RunFolder(run_path(root, recipe.name, seed))
    with processes_here(recipe.device) as processes:
        if not processes.first:
            with stop_on_signals() as stop:
                train_run(recipe, seed, after.path, stop=stop, processes=processes)
            return
        first = diagnose_checkpoint(before, root, again=False)
        train_seed(recipe, seed, root, processes)
    _write(recipe, first, after, before.model, out)


def _write(recipe: TextRecipe, before: RunFolder, after: RunFolder, config: Any, out: Path) -> None:
    from lengthwise.experiments.pretrained import export
    from lengthwise.files import write_atomically
    from lengthwise.report.comparison import comparison_table
    from lengthwise.report.model_card import model_card
    from lengthwise.runs.rows import read_evaluation

    export(after, config, out)
    measure(after)
    readme = config.path / "README.md"
    source = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    card = model_card(source, before, after, recipe.settings())
    write_atomically(out / "README.md", card.encode(), "model card")
    print_drawn(comparison_table(*(read_evaluation(folder.evaluation) for folder in (before, after))))
    say(f"the checkpoint: AutoModelForCausalLM.from_pretrained({str(out)!r})")
    say(f"the charts: lengthwise diagnose {before.path} {after.path}")


def _given(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in settings.items() if value is not None}
