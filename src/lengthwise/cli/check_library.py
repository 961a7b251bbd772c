"""``lengthwise check`` for models of transformers: the library alone beside our patches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import typer

from lengthwise.cli.progress import print_table, say
from lengthwise.errors import InputError
from lengthwise.extras import import_extra

if TYPE_CHECKING:
    from lengthwise.pretrained.adapter import HuggingFaceModel
    from lengthwise.pretrained.library import Cell, LibraryFinding

NOT_ASKED = "no mask"
_COLUMNS = ("family", "clause", "library alone", "with our patch", "result")


class Checked(NamedTuple):
    """A family and what was found."""

    name: str
    patch: str
    findings: list[LibraryFinding]

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Return a row of a table for each clause."""
        for clause, alone, patched in self.findings:
            result = "not asked" if patched is None else "holds" if patched.holds else "BROKEN"
            yield self.name, clause, str(alone or NOT_ASKED), str(patched or NOT_ASKED), result


def check_pretrained(
    kind: str, name: str, overrides: list[str], *, remote_code: bool, seed: int, markdown: bool
) -> None:
    """Check a checkpoint, or a small random model of a family or of all; exit code 1 where a patched model is broken.

    Args:
        kind: ``hf`` or ``hf-config``.
        name: of a folder, or of a family, or ``all``.
        overrides: ``path=value`` each, for the one family.
        remote_code: whether Python files in the checkpoint are run.
        seed: of parameters and tokens.
        markdown: whether a page is printed.
    """
    from lengthwise.pretrained import load_huggingface
    from lengthwise.pretrained.families import FAMILIES

    every = (kind, name) == ("hf-config", "all")
    if overrides and kind == "hf":
        raise InputError("a checkpoint has its own settings; --set goes with hf-config:FAMILY")
    if markdown and not every:
        raise InputError("the page is of all families: lengthwise check hf-config:all --markdown")
    if overrides and every:
        raise InputError("families differ in their settings; --set goes with one of them, such as hf-config:mamba2")
    quiet()
    if kind == "hf":
        checked = [_check(load_huggingface(name, remote_code).float(), seed)]
    else:
        checked = [_check_family(family, overrides, seed) for family in (FAMILIES if every else [name])]
    if markdown:
        say("\n".join(_page(checked)))
    elif every:
        print_table(_COLUMNS, [row for one in checked for row in one.rows()])
    else:
        _print_one(checked[0])
    if not all(finding.holds for one in checked for finding in one.findings):
        raise typer.Exit(1)


def quiet() -> None:
    """Keep the library from telling, once a function, that it runs without kernels, and from drawing bars."""
    logging = import_extra("transformers.utils.logging", "a model of Hugging Face")
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _check_family(name: str, overrides: list[str], seed: int) -> Checked:
    import torch

    from lengthwise.pretrained.loading import tiny_model
    from lengthwise.runs.overrides import apply_overrides

    torch.manual_seed(seed)
    return _check(tiny_model(name, **apply_overrides({}, overrides)), seed)._replace(name=name)


def _check(model: HuggingFaceModel, seed: int) -> Checked:
    from lengthwise.pretrained.families import family_of
    from lengthwise.pretrained.library import check_library

    return Checked(model.family, family_of(model.family).patch, check_library(model, seed=seed))


def _print_one(checked: Checked) -> None:
    versions = _versions()
    say(
        f"{checked.name}: transformers {versions['transformers']} (patches seen right with {versions['seen_right']}), "
        f"torch {versions['torch']}; largest relative difference in float32, allowed {versions['tolerance']}; "
        f"patch: {checked.patch}"
    )
    print_table(_COLUMNS[1:], [row[1:] for row in checked.rows()])


def _versions() -> dict[str, str]:
    import platform

    import torch
    import transformers

    from lengthwise.pretrained.library import TOLERANCE
    from lengthwise.pretrained.patches import SEEN_RIGHT

    return {
        "transformers": transformers.__version__,
        "torch": torch.__version__.partition("+")[0],
        "python": platform.python_version(),
        "seen_right": ", ".join(SEEN_RIGHT),
        "tolerance": f"{TOLERANCE:.0e}",
    }


def _page(checked: list[Checked]) -> Iterator[str]:
    from importlib.resources import files

    from lengthwise.pretrained.library import CLAUSES

    text = files("lengthwise.cli").joinpath("pretrained_contract.md").read_text(encoding="utf-8")
    yield text.format(**_versions())
    yield f"| family | {' | '.join(CLAUSES)} | patch |"
    yield f"|{'---|' * (len(CLAUSES) + 2)}"
    for one in checked:
        cells = (f"{_marked(f.alone)} → {_marked(f.patched)}" if f.alone else NOT_ASKED for f in one.findings)
        yield f"| {one.name} | {' | '.join(cells)} | {one.patch} |"
    yield "\nErrors, as the library raises them:\n"
    failures = {f.alone.failure: None for one in checked for f in one.findings if f.alone and f.alone.failure}
    yield from (f"- `{failure}`" for failure in failures)


def _marked(cell: Cell | None) -> str:
    short = str(cell or NOT_ASKED).partition(":")[0]
    return short if cell is None or cell.holds else f"**{short}**"
