"""Draw the curves of the study, and write its table beside the rows.

python examples/textgenrnn/figure.py results/pretrained/textgenrnn/runs.jsonl docs/figures
"""

import json
import sys
from pathlib import Path
from typing import Any

import polars as pl

from lengthwise.report.axes import position_axis, value_axis
from lengthwise.report.panels import Panel, over_seeds
from lengthwise.report.parts import Figure

NAMES = {
    "read_anew": "read anew",
    "base": "as published",
    "zero": "zero",
    "random_noise": "random noise",
    "fitted_noise": "fitted noise",
    "state_passing": "state passing",
    "tbptt": "TBPTT",
}
CONTEXT = 40


def series(line: dict[str, Any]) -> str:
    """Return what a line is called: the published weights are read with two windows."""
    name = NAMES.get(line["training"], line["training"])
    return f"{name}, window {line['window']}" if line["training"] == "base" else name


def figure(lines: list[dict[str, Any]]) -> Figure:
    points = [
        {"series": series(line), "position": end, "value": bits}
        for line in lines
        for _, end, bits, _ in line.get("curve", [])
    ]
    rows = pl.DataFrame(points).with_columns(kind="series")
    spread = over_seeds(rows, "position")
    panel = Panel(
        "",
        list(dict.fromkeys(rows["series"])),
        key="position",
        x=position_axis(CONTEXT, spread["position"]),
        y=value_axis([*spread["low"], *spread["high"]]),
        quantity="bits per character",
        number=".3f",
        height=300,
    )
    panel.add_rule("x", [CONTEXT], "its window, {}", [4, 3], upper=True)
    panel.add_series(spread)
    panel.add_labels(spread)
    heading = "textgenrnn with its state carried: bits per character by position"
    note = "After 500 steps of each intervention; lines are means over seeds, bands reach from lowest to highest."
    return Figure(name="textgenrnn", heading=heading, note=note, caption=heading, drawings=[panel], width=520)


def table(lines: list[dict[str, Any]]) -> str:
    """Return a Markdown table with all seeds."""
    bins = [f"[{start - 1}, {end})" for start, end, *_ in lines[0]["table"]]
    head = [f"| training | {' | '.join(bins)} |", f"| --- | {' | '.join('---:' for _ in bins)} |"]
    body: dict[str, list[list[float]]] = {}
    for line in lines:
        body.setdefault(series(line), []).append([bits for _, _, bits, _ in line["table"]])
    for name, seeds in body.items():
        cells = [" / ".join(f"{bits:.2f}" for bits in at) for at in zip(*seeds, strict=True)]
        head.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(head)


def main() -> None:
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    order = list(NAMES)
    lines = [json.loads(line) for line in source.read_text("utf-8").splitlines()]
    lines.sort(key=lambda line: (order.index(line["training"]), -line["window"], line["seed"]))
    figure(lines).write(out)
    source.with_name("table.md").write_text(table(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
