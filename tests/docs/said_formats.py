"""Sentences and tables of the pages on other packages' formats and on transformers, as rows and code give them."""

from collections.abc import Iterator

from formats_page import kept, table
from measured import ROOT, in_program, lines_of

from lengthwise.errors import InputError
from lengthwise.models.mixers.rwkv6 import RWKV6Config
from lengthwise.pretrained.clauses import FIRST, SECOND


def formats() -> Iterator[str]:
    """Yield what the page on formats says."""
    yield from table(kept()).splitlines()
    yield "Weights in 16 bits are computed with in 32, as `mamba_ssm` asks for, and come back in 16"
    # The rows do not say the version of xlstm.
    yield "xlstm 2.0.6 with its native ones"
    # The modules of these limits need transformers.
    (within,) = in_program("src/lengthwise/pretrained/examined.py", r"\nTOLERANCE = (\S+)")
    yield f"The allowed difference of a logit is {within}; rows are in"
    again = lines_of("pretrained/reloaded_by_rwkv.jsonl")
    (steps,) = {row["made_by"].partition("--steps ")[2].split()[0] for row in again}
    yield f"the two models of bytes were post-trained for {steps} steps on the texts of free"
    yield "(a tokenizer of 256 bytes, `task.text.separator` the end of a line)"
    (version,), (tokens,) = {row["rwkv"] for row in again}, {row["tokens"] for row in again}
    gaps = [f"{_short(row['largest_difference'])} of {row['largest_logit']:.1f}" for row in again]
    yield (
        f"the package rwkv {version} gives the logits of lengthwise on the files that were written, within "
        f"{' and '.join(gaps)} on {tokens} bytes"
    )
    yield f"Each ends with exit code {InputError.exit_code} before anything is written"
    yield f"where it is {RWKV6Config().norm_epsilon * 1e5:.0f}e-5, computes something else in fla"


def contract() -> Iterator[str]:
    """Yield what the page on the state of transformers says; it prints its own table."""
    page = (ROOT / "docs" / "pretrained_contract.md").read_text(encoding="utf-8")
    # What was measured stands in the page alone, with the versions that it was measured on.
    yield from (row for row in page.splitlines() if row.startswith("| "))
    (made_with,) = (sentence for sentence in page.replace("\n", " ").split(". ") if sentence.startswith("It was made"))
    yield made_with
    (seen_right,) = in_program("src/lengthwise/pretrained/patches.py", r'SEEN_RIGHT = \("([\d.]+)",\)')
    assert f"transformers {seen_right}," in made_with
    yield "on small random models (seed 0), with the library alone"
    yield "both end with exit code 1 where the patched model is wrong"
    yield f"The patches were seen right with transformers {seen_right};"
    rows, within = in_program("src/lengthwise/pretrained/library.py", r"\nROWS = (\d)\nTOLERANCE = (\S+)")
    yield f"**Bold** is wrong, beyond {float(within):.0e};"
    yield f"- **chunks of {FIRST} and {SECOND}**: logits of two chunks"
    assert rows == "3", "three"
    yield f"logits of {FIRST + SECOND} single tokens, in a batch of three rows"
    half = SECOND // 2
    yield (
        f"of the logits of {SECOND} tokens to the recurrent state before them, which was reached after {FIRST}; "
        f"read in one call, against {half} and {SECOND - half}"
    )
    (padding,) = in_program("src/lengthwise/pretrained/library.py", r"padding_B = (\d+) \* torch.arange\(ROWS")
    first, second, third = (int(padding) * row for row in range(3))
    yield f"rows padded on the left by {first}, {second} and {third} tokens"
    yield "(nemotron_h and zamba2 clamp the step on one of them only)"


def _short(value: float) -> str:
    return f"{value:.0e}".replace("e-0", "e-")
