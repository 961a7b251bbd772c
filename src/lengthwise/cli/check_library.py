"""``lengthwise check`` for models of transformers: the library alone beside our patches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from lengthwise.cli.progress import print_table, say
from lengthwise.errors import InputError

if TYPE_CHECKING:
    from lengthwise.pretrained.library import Cell, LibraryFinding

NOT_ASKED = "no mask"


class Checked(NamedTuple):
    """A family and what was found."""

    name: str
    patch: str
    findings: list[LibraryFinding]

    @property
    def holds(self) -> bool:
        """Whether the patched model keeps every clause."""
        return all(finding.holds for finding in self.findings)


def check_checkpoint(path: str, overrides: list[str], *, remote_code: bool, seed: int) -> None:
    """Check a checkpoint, and end with exit code 1 where the patched model breaks the contract.

    Args:
        path: its folder.
        overrides: refused, because a checkpoint has settings of its own.
        remote_code: whether Python files in the folder may be run.
        seed: of the tokens.

    Raises:
        InputError: the folder cannot be loaded, or there are overrides.
    """
    from lengthwise.pretrained.families import family_of
    from lengthwise.pretrained.library import check_library
    from lengthwise.pretrained.loading import load_huggingface

    if overrides:
        raise InputError("a checkpoint has its own settings; --set goes with hf-config:FAMILY")
    quiet()
    model = load_huggingface(path, remote_code)
    patch = family_of(model.family).patch
    _print_one(Checked(model.family, patch, check_library(model.float(), seed=seed)))


def check_families(name: str, overrides: list[str], *, seed: int, markdown: bool) -> None:
    """Check a small random model of a family, or of all.

    Args:
        name: of the family, or ``all``.
        overrides: ``setting=value`` of transformers' configuration.
        seed: of the parameters and the tokens.
        markdown: whether to print the page of all families.

    Raises:
        InputError: the family or a setting is unknown, or the page is asked for one family.
    """
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
        print_table(("family", "clause", "library alone", "with our patch", "result"), _rows_of_all(checked))
    if not all(one.holds for one in checked):
        raise typer.Exit(1)


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

    from lengthwise.experiments.overrides import apply_overrides
    from lengthwise.pretrained.families import FAMILIES
    from lengthwise.pretrained.library import check_library
    from lengthwise.pretrained.loading import tiny_model

    torch.manual_seed(seed)
    model = tiny_model(name, **apply_overrides({}, overrides))
    return Checked(name, FAMILIES[name].patch, check_library(model, seed=seed))


def _print_one(checked: Checked) -> None:
    import torch
    import transformers

    from lengthwise.pretrained.library import TOLERANCE
    from lengthwise.pretrained.patches import SEEN_RIGHT

    say(
        f"{checked.name}: transformers {transformers.__version__} (patches seen right with {', '.join(SEEN_RIGHT)}), "
        f"torch {torch.__version__}; largest relative difference in float32, allowed {TOLERANCE:.0e}; "
        f"patch: {checked.patch}"
    )
    print_table(("clause", "library alone", "with our patch", "result"), [row[1:] for row in _rows_of_all([checked])])
    if not checked.holds:
        raise typer.Exit(1)


def _rows_of_all(checked: list[Checked]) -> list[tuple[str, ...]]:
    return [
        (one.name, f.clause, _text(f.alone), _text(f.patched), _verdict(f)) for one in checked for f in one.findings
    ]


def _verdict(finding: LibraryFinding) -> str:
    if finding.patched is None:
        return "not asked"
    return "holds" if finding.holds else "BROKEN"


def _text(cell: Cell | None) -> str:
    return NOT_ASKED if cell is None else str(cell)


def _page(checked: list[Checked]) -> Iterator[str]:
    import platform
    from importlib.resources import files

    import torch
    import transformers

    from lengthwise.pretrained.library import CLAUSES, TOLERANCE
    from lengthwise.pretrained.patches import SEEN_RIGHT

    text = files("lengthwise.cli").joinpath("pretrained_contract.md").read_text(encoding="utf-8")
    versions: dict[str, Any] = {
        "transformers": transformers.__version__,
        "torch": torch.__version__.partition("+")[0],
        "python": platform.python_version(),
        "seen_right": ", ".join(SEEN_RIGHT),
        "tolerance": f"{TOLERANCE:.0e}",
    }
    yield text.format(**versions).rstrip()
    yield ""
    yield f"| family | {' | '.join(CLAUSES)} | patch |"
    yield f"|{'---|' * (len(CLAUSES) + 2)}"
    for one in checked:
        cells = (f"{_marked(f.alone)} → {_marked(f.patched)}" if f.alone else NOT_ASKED for f in one.findings)
        yield f"| {one.name} | {' | '.join(cells)} | {one.patch} |"
    yield ""
    yield "Errors, as the library raises them:"
    yield ""
    failures = {f.alone.failure: None for one in checked for f in one.findings if f.alone and f.alone.failure}
    yield from (f"- `{failure}`" for failure in failures)


def _marked(cell: Cell | None) -> str:
    if cell is None:
        return NOT_ASKED
    short = cell.failure.partition(":")[0] or str(cell)
    return short if cell.holds else f"**{short}**"
