"""``lengthwise check`` for models of transformers: the library alone beside our patches."""

from __future__ import annotations

import typer

from lengthwise.cli.progress import print_table, say
from lengthwise.errors import InputError
from lengthwise.extras import import_extra

_COLUMNS = ("family", "clause", "library alone", "with our patch", "result")


def check_pretrained(kind: str, name: str, overrides: list[str], *, remote_code: bool, seed: int) -> None:
    """Check a checkpoint, or a small random model of a family or of all; exit code 1 where a patched model is broken.

    Args:
        kind: ``hf`` or ``hf-config``.
        name: of a folder, or of a family, or ``all``.
        overrides: ``path=value`` each, for the one family.
        remote_code: whether Python files in the checkpoint are run.
        seed: of parameters and tokens.
    """
    import torch
    import transformers

    from lengthwise.pretrained import load_huggingface
    from lengthwise.pretrained.families import FAMILIES, family_of
    from lengthwise.pretrained.library import TOLERANCE, check_library, written
    from lengthwise.pretrained.loading import tiny_model
    from lengthwise.pretrained.patches import SEEN_RIGHT
    from lengthwise.runs.overrides import apply_overrides

    every = (kind, name) == ("hf-config", "all")
    if overrides and kind == "hf":
        raise InputError("a checkpoint has its own settings; --set goes with hf-config:FAMILY")
    if overrides and every:
        raise InputError("families differ in their settings; --set goes with one of them, such as hf-config:mamba2")
    quiet()
    rows = list[tuple[str, ...]]()
    for family in FAMILIES if every else [name]:
        torch.manual_seed(seed)
        if kind == "hf":
            model = load_huggingface(name, remote_code).float()
        else:
            model = tiny_model(family, **apply_overrides({}, overrides))
        findings = check_library(model, seed=seed)
        if not every:
            say(
                f"{model.family if kind == 'hf' else family}: transformers {transformers.__version__} (patches seen "
                f"right with {', '.join(SEEN_RIGHT)}), torch {torch.__version__.partition('+')[0]}; largest relative "
                f"difference in float32, allowed {TOLERANCE:.0e}; patch: {family_of(model.family).patch}"
            )
        for clause, alone, patched in findings:
            result = "not asked" if patched is None else "holds" if patched.holds else "BROKEN"
            rows.append((family, clause, written(alone), written(patched), result))
    first = 0 if every else 1
    print_table(_COLUMNS[first:], [row[first:] for row in rows])
    if any(row[-1] == "BROKEN" for row in rows):
        raise typer.Exit(1)


def quiet() -> None:
    """Keep the library from telling, once a function, that it runs without kernels, and from drawing bars."""
    logging = import_extra("transformers.utils.logging", "a model of Hugging Face")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
