"""The page ``docs/pretrained_contract.md``, measured on the installed transformers.

Run ``python tests/docs/contract_page.py``; its words stand in ``tests/docs/pretrained_contract.md``.
"""

import platform
from collections.abc import Iterator
from pathlib import Path

import torch
import transformers

from lengthwise.evaluation.contract import Finding
from lengthwise.pretrained.families import FAMILIES, Family
from lengthwise.pretrained.library import CLAUSES, TOLERANCE, LibraryFinding, check_library, written
from lengthwise.pretrained.loading import tiny_model
from lengthwise.pretrained.patches import SEEN_RIGHT

WORDS = Path(__file__).with_name("pretrained_contract.md")
PAGE = Path(__file__).parents[2] / "docs" / "pretrained_contract.md"


def page(families: dict[str, Family]) -> str:
    """Measure families and return what the page says of them."""
    checked = {name: measured(name) for name in families}
    lines = [
        WORDS.read_text(encoding="utf-8").format(
            transformers=transformers.__version__,
            torch=torch.__version__.partition("+")[0],
            python=platform.python_version(),
            seen_right=", ".join(SEEN_RIGHT),
            tolerance=f"{TOLERANCE:.0e}",
        ),
        f"| family | {' | '.join(CLAUSES)} | patch |",
        f"|{'---|' * (len(CLAUSES) + 2)}",
        *(f"| {name} | {' | '.join(cells(found))} | {families[name].patch} |" for name, found in checked.items()),
        "\nErrors in full:\n",
        *dict.fromkeys(
            f"- `{f.alone.where}`" for found in checked.values() for f in found if f.alone and f.alone.where
        ),
    ]
    return "\n".join(lines) + "\n"


def measured(name: str) -> list[LibraryFinding]:
    """Measure a small random model of a family."""
    torch.manual_seed(0)
    return check_library(tiny_model(name))


def cells(findings: list[LibraryFinding]) -> Iterator[str]:
    """Yield what stands in the row of a family."""
    for _, alone, patched in findings:
        yield f"{marked(alone)} → {marked(patched)}" if alone and patched else written(None)


def marked(finding: Finding) -> str:
    """Return a finding in short, bold where it is wrong."""
    short = written(finding).partition(":")[0]
    return short if finding.holds else f"**{short}**"


if __name__ == "__main__":
    transformers.utils.logging.set_verbosity_error()
    PAGE.write_text(page(dict(FAMILIES)), encoding="utf-8")
