"""``lengthwise post-train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lengthwise.cli import pretrained as hf
from lengthwise.cli.arguments import SET
from lengthwise.cli.completion import complete_run
from lengthwise.cli.evaluate import measure
from lengthwise.cli.train import train_seed
from lengthwise.errors import InputError


def post_train(
    run: Annotated[
        Path,
        typer.Argument(
            help="The folder of a trained run, or the path of a checkpoint (hf:PATH says that it is one).",
            show_default=False,
            autocompletion=complete_run,
        ),
    ],
    intervention: Annotated[
        str, typer.Option(help="zero, random_noise, fitted_noise, state_passing, tbptt, or one of your own.")
    ] = "state_passing",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 500,
    set_: Annotated[list[str] | None, SET] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="For hf:PATH: where the post-trained checkpoint is written.")
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="For hf:PATH: let it take the place of one that was written to --out before."),
    ] = False,
    data: Annotated[str | None, hf.DATA] = None,
    text_column: Annotated[Any, hf.TEXT_COLUMN] = None,
    context: Annotated[int | None, hf.CONTEXT] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="For hf:PATH: windows a step and process; 128 by default, 192 for GLA and RWKV-6."),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="For hf:PATH: the peak; 0.003 by default. That of pretraining is a good start."),
    ] = None,
    accumulation: Annotated[
        int | None, typer.Option(min=1, help="For hf:PATH: parts in which the windows of a step are read.")
    ] = None,
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="For hf:PATH: compute products in bfloat16.")] = False,
    gradient_checkpointing: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="TOKENS",
            help="For hf:PATH: keep what the backward pass needs of so many tokens at a time, compute the rest again.",
        ),
    ] = None,
    also_measure: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Another text, on which a language model is measured before and after as well: what it forgot.",
        ),
    ] = None,
    reach: Annotated[int | None, hf.REACH] = None,
    rows: Annotated[int | None, hf.ROWS] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="For hf:PATH: of windows and chance; 0 by default.")] = None,
    device: Annotated[str | None, hf.DEVICE] = None,
    remote_code: Annotated[bool, hf.REMOTE_CODE] = False,
) -> None:
    """Repair a model that falls apart on long inputs, measured before and after.

    What is not said is as it repaired the family of the model. A run gets a new run beside it. A checkpoint
    is written to --out in its own format; under torchrun several processes train it together. The
    same command goes on with what was interrupted.
    """
    options = hf.given_options(locals())
    overrides = set_ or []
    if (folder := hf.folder_of(run)) is None:
        purpose = "these options go with hf:PATH; a run gets a new one beside it, whose settings --set changes"
        hf.refuse_options(options, {"run", "intervention", "steps", "set_", "also_measure"}, purpose)
        _post_train_run(run, intervention, steps, overrides, also_measure)
    elif out is None:
        raise InputError(f"hf:{folder} needs --out DIR, where the post-trained checkpoint is written")
    else:
        hf.post_train_checkpoint(hf.open_checkpoint(folder, options), options, overrides, out)


def _post_train_run(run: Path, intervention: str, steps: int, overrides: list[str], elsewhere: str | None) -> None:
    from lengthwise.runs.folder import RunFolder, run_path
    from lengthwise.runs.repair import post_training, runs_folder
    from lengthwise.runs.run import read_run

    before = RunFolder(run)
    base, seed = read_run(before)
    recipe = post_training(base, seed, intervention, steps, overrides)
    root = runs_folder(run, base, seed)
    also = [] if elsewhere is None else [hf.elsewhere(each, seed, elsewhere) for each in (base, recipe)]
    # The model as it was, before the work: a text that will not do is told at once.
    others = [hf.measure_without_steps(each, root) for each in also[:1]]
    after = RunFolder(run_path(root, recipe.name, seed))
    train_seed(recipe, seed, root)
    for folder in (before, after):
        measure(folder)
    hf.say_difference(before, after)
    if elsewhere is not None:
        hf.say_elsewhere(elsewhere, [*others, *(hf.measure_without_steps(each, root) for each in also[1:])])
