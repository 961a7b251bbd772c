"""``lengthwise check`` for models of transformers: the library alone beside our patches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import typer

from lengthwise.cli.progress import print_table, say
from lengthwise.errors import InputError

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


def check_checkpoint(path: str, overrides: list[str], *, remote_code: bool, seed: int) -> None:
    """Check a checkpoint, and end with exit code 1 where the patched model breaks the contract."""
    from lengthwise.pretrained import load_huggingface

    if overrides:
        raise InputError("a checkpoint has its own settings; --set goes with hf-config:FAMILY")
    quiet()
    _print_one(_check(load_huggingface(path, remote_code).float(), seed))


def check_families(name: str, overrides: list[str], *, seed: int, markdown: bool) -> None:
    """Check a small random model of a family, or of all."""
    from lengthwise.pretrained.families import FAMILIES

    if name != "all" and markdown:
        raise InputError("the page is of all families: lengthwise check hf-config:all --markdown")
    if name == "all" and overrides:
        raise InputError("families differ in their settings; --set goes with one of them, such as hf-config:mamba2")
    quiet()
    if name != "all":
        _print_one(_check_family(name, overrides, seed))
        return
    checked = [_check_family(family, [], seed) for family in FAMILIES]
    if markdown:
        say("\n".join(_page(checked)))
    else:
        print_table(_COLUMNS, [row for one in checked for row in one.rows()])
    _end(checked)


def quiet() -> None:
    """Keep the library from telling, once a function, that it runs without kernels, and from drawing bars."""
    try:
        from transformers.utils import logging
    except ImportError:
        return
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


def _end(checked: list[Checked]) -> None:
    if not all(finding.holds for one in checked for finding in one.findings):
        raise typer.Exit(1)


def _print_one(checked: Checked) -> None:
    versions = _versions()
    say(
        f"{checked.name}: transformers {versions['transformers']} (patches seen right with {versions['seen_right']}), "
        f"torch {versions['torch']}; largest relative difference in float32, allowed {versions['tolerance']}; "
        f"patch: {checked.patch}"
    )
    print_table(_COLUMNS[1:], [row[1:] for row in checked.rows()])
    _end([checked])


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
