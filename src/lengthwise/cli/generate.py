"""``lengthwise generate``."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lengthwise.cli import pretrained as hf
from lengthwise.cli.completion import complete_run
from lengthwise.errors import InputError

if TYPE_CHECKING:
    from lengthwise.models.base import SequenceModel
    from lengthwise.tasks.tokenizer import Tokenizer


def generate(
    model: Annotated[
        Path,
        typer.Argument(
            help="A run of a language model, or the path of a checkpoint (hf:PATH says that it is one).",
            show_default=False,
            autocompletion=complete_run,
        ),
    ],
    prompt: Annotated[str, typer.Option("--prompt", metavar="TEXT", help="What is gone on from.", show_default=False)],
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="How many are generated.")] = 200,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0, help="Divides the logits; at 0 the largest is taken.")
    ] = 0.0,
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, help="Draw from this many tokens at most.")] = None,
    top_p: Annotated[
        float, typer.Option("--top-p", help="Draw from the fewest tokens that are this probable together.")
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed draws the same tokens.")] = 0,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer", metavar="FILE", help="For a checkpoint: bytes, or another than its tokenizer.json."
        ),
    ] = None,
    remote_code: Annotated[bool, hf.REMOTE_CODE] = False,
) -> None:
    """Print a prompt and how a language model goes on, token by token, in memory that does not grow."""
    import torch

    from lengthwise.models.generation import generate as begin
    from lengthwise.tasks.sources import Document

    folder = hf.folder_of(model)
    if folder is None and (tokenizer or remote_code):
        raise InputError("--tokenizer and --remote-code go with a checkpoint; a run says this in its recipe")
    chosen, reader = _of_run(model) if folder is None else _of_checkpoint(folder, tokenizer, remote_code)
    (symbols,) = reader.encode([Document("of the prompt", os.fsencode(prompt))])
    if not len(symbols):
        raise InputError("the prompt has no token: there is nothing to go on from")
    generator = torch.Generator().manual_seed(seed)
    begun = torch.tensor(symbols.tolist())[None]
    found = begin(chosen, begun, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
    # The prompt goes through the tokenizer as well: how a token is written depends on those before.
    for text in reader.stream(map(int, itertools.chain(symbols, itertools.islice(found, tokens)))):
        sys.stdout.write(text)
        sys.stdout.flush()
    sys.stdout.write("\n")


def _of_run(path: Path) -> tuple[SequenceModel, Tokenizer]:
    from lengthwise.models.base import with_state
    from lengthwise.runs.folder import open_runs
    from lengthwise.runs.run import load_run
    from lengthwise.tasks.language_modelling import LanguageModelling
    from lengthwise.tasks.tokenizer import load_tokenizer

    run, *others = open_runs([path])
    if others:
        raise InputError(f"{path} holds {len(others) + 1} runs: give one of them, such as {run.path}")
    trainer = load_run(run.path)
    if not isinstance(trainer.task, LanguageModelling):
        raise InputError(f"run {run.path} is not of a language model: there is no text to go on with")
    text = trainer.task.text
    return with_state(trainer.model, "generation"), load_tokenizer(text.tokenizer, text.separator)


def _of_checkpoint(path: Path, tokenizer: str | None, remote_code: bool) -> tuple[SequenceModel, Tokenizer]:
    from lengthwise.pretrained.checkpoint import Checkpoint
    from lengthwise.pretrained.clauses import READING
    from lengthwise.tasks.tokenizer import load_tokenizer

    hf.quiet()
    checkpoint = Checkpoint(path, remote_code)
    own = checkpoint.folder / "tokenizer.json"
    if tokenizer is None and not own.is_file():
        raise InputError(
            f"{checkpoint.folder} has no tokenizer.json: give --tokenizer FILE, or bytes for a model of bytes"
        )
    reader = load_tokenizer(tokenizer or str(own))
    checkpoint.require(READING)
    return checkpoint.model(), reader
