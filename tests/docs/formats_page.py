"""The table of ``docs/pretrained_formats.md``: what `lengthwise check` finds of checkpoints of every official package.

Run ``python tests/docs/formats_page.py FOLDER`` with a folder of their weights, tokens and logits; rows are kept in
``results/pretrained/formats.jsonl``. Without a folder the table is made from the rows that are kept.

A file ``NAME.safetensors`` holds ``weights.*`` in the names of its format, ``tokens`` and ``logits``, and in its
metadata the ``config``; ``tiny_rwkv/NAME.pth`` are trained models of bytes, beside their logits after ``"in``.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner

from lengthwise.cli.main import app

ROOT = Path(__file__).parents[2]
ROWS = ROOT / "results" / "pretrained" / "formats.jsonl"
PAGE = ROOT / "docs" / "pretrained_formats.md"
MARKS = "<!-- table -->", "<!-- end of table -->"
SETTINGS = {
    "state_spaces_mamba1": {"d_model": 64, "n_layer": 2, "ssm_cfg": {}},
    "state_spaces_mamba2": {"d_model": 64, "n_layer": 2, "ssm_cfg": {"layer": "Mamba2", "d_state": 16, "headdim": 16}},
    "xlstm": {"embedding_dim": 128, "num_heads": 4, "num_blocks": 2, "vocab_size": 48},
}
"""Those of the fixtures that say none themselves."""
OF_RWKV = ("4v0-660K", "7v0-834K")
HEAD = "| checkpoint | format | family | logits: largest difference | state contract: largest difference | given back |"


def unpack(file: Path, folder: Path) -> Path:
    """Write what a file of fixtures holds as its own package would: a folder, and beside it what is expected of it."""
    out = folder / file.stem
    out.mkdir()
    with safe_open(file, "pt") as opened:
        held = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        config = json.loads((opened.metadata() or {}).get("config", "null"))
    weights = {name.removeprefix("weights."): t for name, t in held.items() if name.startswith("weights.")}
    save_file({"tokens": held["tokens"], "logits": held["logits"]}, folder / f"{file.stem}.expected.safetensors")
    settings = config or SETTINGS[file.stem]
    if file.stem == "xlstm":
        (out / "config.yaml").write_text(yaml.safe_dump(settings))
    else:
        (out / "config.json").write_text(json.dumps(settings))
    if file.stem.startswith("state_spaces"):
        torch.save(weights, out / "pytorch_model.bin")
    else:
        save_file(weights, out / "model.safetensors", {"format": "pt"})
    return out


def checkpoints(fixtures: Path, folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each checkpoint with the file of what is expected of it."""
    for file in sorted(fixtures.glob("*.safetensors")):
        yield unpack(file, folder), folder / f"{file.stem}.expected.safetensors"
    for name in OF_RWKV:
        logits = torch.frombuffer(
            bytearray((fixtures / "tiny_rwkv" / f"expected-logits-{name}.bin").read_bytes()), dtype=torch.float32
        )
        expected = folder / f"{name}.expected.safetensors"
        save_file({"tokens": torch.tensor([list(b'"in')]), "logits": logits[None].clone()}, expected)
        yield fixtures / "tiny_rwkv" / f"{name}.pth", expected


def row(checkpoint: Path, expected: Path, commit: str) -> dict[str, Any]:
    """Return what `lengthwise check` finds."""
    command = ["check", str(checkpoint), "--expected", str(expected), "--json"]
    ran = CliRunner().invoke(app, command)
    named = {"checkpoint": checkpoint.name, "commit": commit}
    if not ran.stdout.startswith("{"):
        return named | {"refused": " ".join(ran.stderr.split()).replace(f"{checkpoint.parent}/", "")}
    found = json.loads(ran.stdout)
    with safe_open(expected, "pt") as opened:
        largest = float(opened.get_tensor("logits").abs().max())
    gaps = {each["clause"]: each["difference"] for each in found["findings"]}
    logits, files = gaps.pop("logits as of its own package"), gaps.pop("given back byte for byte")
    return named | {
        "format": found["format"],
        "family": found["family"],
        "logits": logits,
        "largest_logit": round(largest, 2),
        "contract": max(gaps.values()),
        "files_changed": int(files),
        "holds": all(each["holds"] for each in found["findings"]),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as they stand on the page."""
    lines = [HEAD, f"|{'---|' * (HEAD.count('|') - 1)}"]
    for one in rows:
        if "refused" in one:
            lines.append(f"| {one['checkpoint']} | | | refused: {one['refused'].removeprefix('error: ')} | | |")
            continue
        differs = f"{one['logits']:.1e}, of {one['largest_logit']:g}"
        back = "byte for byte" if not one["files_changed"] else f"{one['files_changed']} files differ"
        cells = (one["checkpoint"], one["format"], one["family"], differs, f"{one['contract']:.0e}", back)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def with_table(page: str, rows: list[dict[str, Any]]) -> str:
    """Return a page with the table between its marks."""
    before, _, rest = page.partition(MARKS[0])
    return f"{before}{MARKS[0]}\n{table(rows)}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}"


def kept() -> list[dict[str, Any]]:
    """Return the rows that are kept."""
    return [json.loads(line) for line in ROWS.read_text().splitlines()]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        with tempfile.TemporaryDirectory() as there:
            rows = [row(*each, commit) for each in checkpoints(Path(sys.argv[1]), Path(there))]
        ROWS.write_text("".join(json.dumps(each) + "\n" for each in rows))
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), kept()), encoding="utf-8")
