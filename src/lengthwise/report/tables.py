"""Tables as files: CSV for other programs, LaTeX for a paper."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lengthwise.report.parts import Cell

_LATEX = str.maketrans(
    {
        **{letter: f"\\{letter}" for letter in "&%$#_{}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
        **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
        **{"\N{EN DASH}": "--", "\N{MINUS SIGN}": "$-$", "\N{PLUS-MINUS SIGN}": r"$\pm$", "\N{DAGGER}": r"\dag{}"},
        "\n": " ",
    }
)


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return a table as CSV; what stands smaller below the cells of a column is a column of its own behind it."""
    lines = [list(row) for row in rows]
    noted = {place for line in lines for place, cell in enumerate(line) if cell.note}
    contents = io.StringIO()
    writer = csv.writer(contents, lineterminator="\n")
    heads = [[name, f"{name}: note"] if place in noted else [name] for place, name in enumerate(columns)]
    writer.writerow(name for head in heads for name in head)
    for line in lines:
        cells = [[cell.text, cell.note] if place in noted else [cell.text] for place, cell in enumerate(line)]
        writer.writerow(text.replace("\n", "; ") for cell in cells for text in cell)
    return contents.getvalue()


def as_latex(columns: Sequence[str], rows: Iterable[Sequence[Cell]], note: str = "") -> str:
    r"""Return a table as LaTeX, to be read by a paper that loads ``booktabs``.

    Args:
        columns: headings.
        rows: cells, as many a row as headings; what stands out as good is bold.
        note: how to read it, as a comment.
    """
    lines = [
        *(f"% {line}" for line in ("Needs \\usepackage{booktabs}.", *note.splitlines())),
        f"\\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}",
        r"\toprule",
        " & ".join(name.translate(_LATEX) for name in columns) + r" \\",
        r"\midrule",
        *(" & ".join(map(_latex, row)) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex(cell: Cell) -> str:
    text = cell.text.translate(_LATEX)
    text = f"\\textbf{{{text}}}" if cell.style == "good" else text
    return text + (f" {{\\scriptsize {cell.note.translate(_LATEX)}}}" if cell.note else "")
