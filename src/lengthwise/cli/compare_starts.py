"""``lengthwise compare-starts``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lengthwise.cli import pretrained as hf
from lengthwise.cli.arguments import SET
from lengthwise.cli.completion import complete_run
from lengthwise.cli.progress import print_drawn, say

if TYPE_CHECKING:
    from lengthwise.runs.folder import RunFolder


def compare_starts(
    model: Annotated[
        Path,
        typer.Argument(
            help="The folder of a trained run, or the path of a checkpoint (hf:PATH says that it is one).",
            show_default=False,
            autocompletion=complete_run,
        ),
    ],
    repaired: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The run or the checkpoint that a repair of it made: read as it is."),
    ] = None,
    every: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Positions between resets; T by default.")
    ] = None,
    burn_in: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Positions read before those that count; T / 2 by default.")
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the page is written, and for hf:PATH the runs.")
    ] = Path("starts"),
    data: Annotated[str | None, hf.DATA] = None,
    text_column: Annotated[Any, hf.TEXT_COLUMN] = None,
    context: Annotated[int | None, hf.CONTEXT] = None,
    reach: Annotated[int | None, typer.Option(min=2, help="Measure up to this many times T; 64 by default.")] = None,
    rows: Annotated[int | None, typer.Option(min=2, help="Held-out sequences; 32 by default.")] = None,
    device: Annotated[str | None, hf.DEVICE] = None,
    set_: Annotated[list[str] | None, SET] = None,
    remote_code: Annotated[bool, hf.REMOTE_CODE] = False,
) -> None:
    """Compare ways to start a model that falls apart: whole, reset, burn-in, a state kept, and repaired.

    The loss at T, 4 T, 16 T and so on, what is read for it, and the numbers that are kept, in one table.
    """
    options = hf.given_options(locals())
    given = {"every": every, "burn_in": burn_in, "reach": reach, "rows": rows}
    chosen = [f"evaluation.starts.{name}={value}" for name, value in given.items() if value is not None]
    from lengthwise.report.page import Report
    from lengthwise.runs.table import read_table

    folders = [_measured(model, options, [*chosen, *(set_ or [])], out)]
    if repaired is not None:
        folders.append(_measured(repaired, options, [*chosen, "evaluation.starts.ways=['whole']", *(set_ or [])], out))
    report = Report(read_table([folder.path for folder in folders]).refuse_waiting())
    for piece in report.pieces:
        if piece.name.endswith("starts") and (table := piece.terminal()):
            print_drawn(table)
    say(str(report.write(out)))


def _measured(target: Path, options: dict[str, Any], overrides: list[str], out: Path) -> RunFolder:
    """Return a run without steps in which the ways to start were measured."""
    from lengthwise.runs.folder import RunFolder
    from lengthwise.runs.pretrained import measured, overrides_of
    from lengthwise.runs.repair import left_out, measured_otherwise, runs_folder
    from lengthwise.runs.run import read_run
    from lengthwise.tasks.language_modelling import LanguageModelling

    if (folder := hf.folder_of(target)) is not None:
        checkpoint = hf.open_checkpoint(folder, options)
        shared = [one for one in overrides_of(options) if not one.startswith("evaluation.")]
        shared += [f"evaluation.perplexity.{name}={options[name]}" for name in ("reach", "rows") if name in options]
        shared += [*left_out(LanguageModelling.diagnostics), "evaluation.starts.rows=32"]
        recipe = measured(checkpoint, options["data"], [*shared, *overrides]).told_apart(".starts")
        return hf.diagnose_checkpoint(recipe, out / "runs", again=True)
    purpose = "a run says this in its recipe; these options go with hf:PATH"
    hf.refuse_options(options, {"model", "repaired", "every", "burn_in", "out", "reach", "rows", "set_"}, purpose)
    run = RunFolder(target)
    base, seed = read_run(run)
    recipe = measured_otherwise(base, seed, "starts", [*left_out(base.task.diagnostics), *overrides])
    return hf.measure_without_steps(recipe, runs_folder(target, base, seed))
