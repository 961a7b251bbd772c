"""``lengthwise check`` for checkpoints and for models of transformers: the library alone beside our patches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lengthwise.cli.progress import print_table, say
from lengthwise.errors import InputError
from lengthwise.extras import import_extra

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lengthwise.evaluation.contract import Finding
    from lengthwise.pretrained.adapter import HuggingFaceModel
    from lengthwise.pretrained.model import PretrainedModel

_COLUMNS = ("family", "clause", "library alone", "with our patch", "result")


def check_families(name: str, overrides: list[str], *, seed: int, serving: bool) -> None:
    """Check a small random model of a family or of all; exit code 1 where a patched model is broken.

    Args:
        name: of a family, or ``all``.
        overrides: ``path=value`` each, for the one family.
        seed: of parameters and tokens.
        serving: whether it is asked too what servers get wrong.
    """
    import torch

    from lengthwise.pretrained.families import FAMILIES
    from lengthwise.pretrained.loading import tiny_model
    from lengthwise.runs.overrides import apply_overrides

    if overrides and name == "all":
        raise InputError("families differ in their settings; --set goes with one of them, such as hf-config:mamba2")
    quiet()
    models: dict[str, HuggingFaceModel] = {}
    for family in FAMILIES if name == "all" else [name]:
        torch.manual_seed(seed)
        models[family] = tiny_model(family, **apply_overrides({}, overrides))
    _check_patches(models, seed, serving)


def check_checkpoint(
    path: Path, *, remote_code: bool, seed: int, expected: Path | None, as_json: bool, serving: bool
) -> None:
    """Check a checkpoint; exit code 1 where its state is not carried, its logits differ, or it would not come back.

    Args:
        path: where it lies.
        remote_code: whether Python files in it are run.
        seed: of the tokens.
        expected: a file with tokens and the logits that its own package gave for them.
        as_json: whether a JSON object is printed instead of a table.
        serving: whether it is asked too what servers get wrong.
    """
    from lengthwise.pretrained.checkpoint import Checkpoint
    from lengthwise.pretrained.examined import examine
    from lengthwise.pretrained.loading import TransformersFormat

    quiet()
    checkpoint = Checkpoint(path, remote_code)
    if isinstance(checkpoint.format, TransformersFormat) and expected is None and not as_json:
        loaded: HuggingFaceModel = checkpoint.format.load().float()
        _check_patches({loaded.family: loaded}, seed, serving)
        return
    findings = examine(checkpoint, expected, seed=seed)
    if serving:
        findings += _served(checkpoint.model(), seed)
    if as_json:
        found = [
            finding._asdict()
            | {"holds": finding.holds, "difference": None if finding.not_asked else finding.difference}
            for finding in findings
        ]
        head = {"path": str(path), "format": type(checkpoint.format).__name__, "family": checkpoint.family}
        typer.echo(json.dumps(head | {"own_package": checkpoint.format.call, "findings": found}))
    else:
        say(f"{checkpoint.family}, {type(checkpoint.format).__name__}: {path}")
        print_findings(findings)
    if any(finding.broken for finding in findings):
        raise typer.Exit(1)


def print_findings(findings: Sequence[Finding]) -> None:
    """Print a row for each finding."""
    rows = list[tuple[str, ...]]()
    for finding in findings:
        result = "holds" if finding.holds else f"BROKEN: {finding.where}"
        said = (f"{finding.difference:.1e}", f"{finding.tolerance:.0e}", result)
        rows.append((finding.clause, *(("", "", f"not asked: {finding.not_asked}") if finding.not_asked else said)))
    print_table(("clause", "difference", "tolerance", "result"), rows)


def quiet() -> None:
    """Keep the library from telling, once a function, that it runs without kernels, and from drawing bars."""
    logging = import_extra("transformers.utils.logging", "a model of Hugging Face")
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _served(model: PretrainedModel, seed: int) -> list[Finding]:
    from lengthwise.evaluation.serving import check_serving
    from lengthwise.pretrained.clauses import FIRST, SECOND

    return check_serving(model, model.vocabulary, length=FIRST + SECOND, seed=seed)


def _check_patches(models: dict[str, HuggingFaceModel], seed: int, serving: bool) -> None:
    """Print the contract of models of transformers, with the library alone and with our patches."""
    import torch
    import transformers

    from lengthwise.pretrained.families import family_of
    from lengthwise.pretrained.library import TOLERANCE, check_library, written
    from lengthwise.pretrained.patches import SEEN_RIGHT

    rows = list[tuple[str, ...]]()
    for family, model in models.items():
        if len(models) == 1:
            say(
                f"{family}: transformers {transformers.__version__} (patches seen "
                f"right with {', '.join(SEEN_RIGHT)}), torch {torch.__version__.partition('+')[0]}; largest relative "
                f"difference in float32, allowed {TOLERANCE:.0e}; patch: {family_of(model.family).patch}"
            )
        for clause, alone, patched in check_library(model, seed=seed):
            result = "not asked" if patched is None else "holds" if patched.holds else "BROKEN"
            rows.append((family, clause, written(alone), written(patched), result))
    first = 0 if len(models) > 1 else 1
    print_table(_COLUMNS[first:], [row[first:] for row in rows])
    served = {family: _served(model, seed) for family, model in models.items() if serving}
    for family, findings in served.items():
        say(f"{family}: what servers get wrong")
        print_findings(findings)
    if any(row[-1] == "BROKEN" for row in rows) or any(f.broken for found in served.values() for f in found):
        raise typer.Exit(1)
