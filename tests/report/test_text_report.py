import json
import math
import re
from pathlib import Path

import pytest
import vl_convert
from rich.console import Console
from run_folders import read, write_run
from test_page import Outline, unpacked
from text_folders import LOSS, write_text_run

from lengthwise.errors import InputError
from lengthwise.report.axes import log_ticks
from lengthwise.report.comparison import comparison_table, summary_line
from lengthwise.report.diagnosed import Diagnosed, worst
from lengthwise.report.layout import arrange
from lengthwise.report.page import Report
from lengthwise.report.panels import PICKED
from lengthwise.report.results import BY_POSITION
from lengthwise.report.sections.by_position import by_position
from lengthwise.report.sections.perplexity import summarise_text, text_table
from lengthwise.report.sections.sweeps import sweeps
from lengthwise.runs.rows import Head, Row, read_evaluation
from lengthwise.runs.table import read_table

Measured = tuple[Head, list[Row]]


def measured(run: Path) -> Measured:
    return read_evaluation(run / "evaluation.jsonl")


def printed(table: object) -> str:
    console = Console(width=300, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@pytest.mark.parametrize(
    ("rise", "spread", "name"),
    [(0.0, 0.005, "holds"), (0.0, 0.05, "undecided"), (0.02, 0.005, "drifts"), (0.2, 0.005, "fails")],
)
def test_the_verdict_on_rows_follows_the_rule(tmp_path: Path, rise: float, spread: float, name: str) -> None:
    head, rows = measured(write_text_run(tmp_path, rise=rise, spread=spread))
    found, reason = Diagnosed(head, rows).verdict
    assert summary_line(head, rows).startswith(f"{found}: {reason}; perplexity ")
    assert found == name
    assert "that at 33 to 64" in reason
    assert ("32 rows are too few" in reason) == (name == "undecided")


def test_a_run_that_is_hardly_better_than_guessing_has_no_verdict_anywhere(tmp_path: Path) -> None:
    head, rows = measured(write_text_run(tmp_path))
    loss = Diagnosed(head, rows).at_context
    assert loss is not None
    near = head.model_copy(update={"guessing": loss + 0.2, "symbol_bytes": 2.0})
    assert Diagnosed(near, rows).verdict[0] == "no verdict"
    line = summary_line(near, rows)
    assert line.startswith("no verdict: perplexity at positions 33 to 64 is")
    assert f" against {near.guessing / 2 / math.log(2):.2f} bits a byte)" in line
    assert Diagnosed(head.model_copy(update={"guessing": loss + 0.5}), rows).verdict[0] == "holds"
    assert worst(["holds", "fails", "no verdict", "drifts"]) == "no verdict"


def test_an_interval_without_an_end_leaves_the_verdict_open(tmp_path: Path) -> None:
    head, rows = measured(write_text_run(tmp_path))
    assert Diagnosed(head, [row.model_copy(update={"high": None}) for row in rows]).verdict[0] == "undecided"
    with pytest.raises(InputError, match="metric 'ratio'"):
        _ = Diagnosed(head, [row for row in rows if row.metric != "ratio"]).verdict


def test_losses_are_weighted_by_the_width_of_their_bins(tmp_path: Path) -> None:
    head, rows = measured(write_text_run(tmp_path, rise=0.1))
    losses = [row for row in rows if row.metric == "loss"]
    by_bin = [row.model_copy(update={"value": float(row.axes["end"])}) for row in losses]
    run = Diagnosed(head, by_bin)
    assert run.inside == pytest.approx((1 + 2 + sum(half * 2 * half for half in (2, 4, 8, 16, 32))) / 64)
    assert run.at_context == 64
    assert run.loss(48, 96) == pytest.approx((16 * 64 + 32 * 128) / 48), "cut bins count by what lies inside"
    assert run.loss(10_000, 20_000) is None


def test_a_summary_gathers_the_seeds(tmp_path: Path) -> None:
    for seed, rise in enumerate((0.0, 0.3)):
        write_text_run(tmp_path, seed=seed, rise=rise)
    (summary,) = summarise_text(read(tmp_path))
    assert summary.seeds == [0, 1]
    assert summary.verdict == "fails"
    assert summary.verdicts == ["holds", "fails"]
    assert summary.inside is not None
    assert summary.inside.value == pytest.approx(math.exp(LOSS))
    far = summary.ratios[16]
    assert (far.value, far.low, far.high) == pytest.approx((math.exp(0.6), 1, math.exp(1.2)))
    assert summary.last == summary.ratios[64]
    assert (summary.symbols, summary.context) == (800 * 64, 64)
    assert summary.runs[0].head.parameters == 12_345


def test_a_ratio_of_one_seed_has_its_interval(tmp_path: Path) -> None:
    write_text_run(tmp_path, rise=0.1, spread=0.01)
    (summary,) = summarise_text(read(tmp_path))
    assert (summary.ratios[4].low, summary.ratios[4].high) == pytest.approx((math.exp(0.19), math.exp(0.21)))


def test_the_table_says_how_far_it_holds(tmp_path: Path) -> None:
    write_text_run(tmp_path, rise=0.1, reach=16)
    summaries = summarise_text(read(tmp_path))
    table = text_table(summaries)
    named = dict(zip(table.columns, table.rows[0], strict=True))
    assert "ratio at 64 T" not in named
    assert named["ratio at 16 T"].text == f"{math.exp(0.4):.3f}"
    assert named["octave at T"].text == "3.320"
    text = printed(table.terminal())
    assert "states/base" in text
    assert "drifts" in text


def test_before_and_after_stand_side_by_side(tmp_path: Path) -> None:
    before = measured(write_text_run(tmp_path, rise=0.3))
    after = measured(write_text_run(tmp_path, "states/sp", intervention="state_passing"))
    lines = {line.split("  ")[0].strip(): line for line in printed(comparison_table(before, after)).splitlines()}
    assert lines["verdict (T = 64)"].split()[-2:] == ["fails", "holds"]
    assert f"{math.exp(1.8):.3f}" in lines["ratio at 64 T"]
    assert lines["remembrance, half dropped"].split()[-2:] == ["0.600", "0.000"]
    assert lines["state deviation at T"].split()[-2:] == ["1.000", "1.000"]
    assert lines["state deviation at the end"].split()[-2:] == [f"{1 + 0.3 * math.sqrt(6):.3f}", "1.000"]


def test_a_model_without_a_state_has_no_row_for_it(tmp_path: Path) -> None:
    head, rows = measured(write_text_run(tmp_path))
    some = head, [row for row in rows if row.metric in {"loss", "ratio"}]
    shown = printed(comparison_table(some, some))
    assert "remembrance" not in shown
    assert "state" not in shown
    with pytest.raises(InputError, match="no rows"):
        comparison_table((head, rows), (head, []))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("both")
    write_run(root, "parity")
    for name, rise in (("base", 0.3), ("better", 0.02), ("good", 0.0)):
        write_text_run(root, f"states/{name}", rise=rise, layers=2)
    return Report(read_table([root])).write(root / "out")


@pytest.mark.slow
def test_the_page_says_what_became_of_every_series(page: Path) -> None:
    text = " ".join(Outline(page.read_text(encoding="utf-8")).text.split())
    for words in (
        "states/base",
        "states/better",
        "states/good",
        "1 holds, 1 drifts, 1 fails",
        "surely above 1.5 times",
    ):
        assert words in text


@pytest.mark.slow
def test_a_page_of_both_kinds_has_both_parts(page: Path) -> None:
    outline = Outline(page.read_text(encoding="utf-8"))
    text = " ".join(outline.text.split())
    assert "Trained to length 40, tested to 1,000; Trained on windows of 64, read to 4,096" in text
    assert text.index("Models") < text.index("Language modelling")
    assert {"rows.csv"} <= set(outline.references)
    for reference in outline.references:
        inside = reference.removeprefix("#") in outline.ids
        assert reference == "data:," or inside or (page.parent / reference).is_file(), reference
    assert set(outline.labels) <= set(outline.ids)
    assert len(set(outline.ids)) == len(outline.ids)


def test_the_page_holds_every_figure(page: Path) -> None:
    (line,) = re.findall(r"^const panels = (.*);$", page.read_text(encoding="utf-8"), re.MULTILINE)
    figures = json.loads(line)
    assert set(figures) == {
        *("accuracy", "learning", "training"),
        *("perplexity", "remembrance", "state", "state-entries", "perplexity-learning"),
    }
    assert list(figures["state-entries"]) == ["layers.0.matrix", "layers.1.matrix"]
    panel = figures["perplexity"]["gru, T = 64"]
    rows = {name: list(unpacked(groups)) for name, groups in panel["datasets"].items()}
    svg = vl_convert.vegalite_to_svg(panel | {"width": 300, "datasets": rows})
    assert all(label in svg for label in (">base<", ">better<", ">good<", ">T = 64<", ">16 T<"))


def test_crowded_panels_are_parted_by_model(tmp_path: Path) -> None:
    for model in ("gru", "lstm", "gla", "mamba2"):
        write_text_run(tmp_path, f"all/{model}", model=model)
        write_text_run(tmp_path, f"all/{model}.sp", model=model, intervention="state_passing", start=f"all/{model}")
    layout = arrange(read(tmp_path))
    assert layout.titles == [f"{name}, T = 64" for name in ("gla", "gru", "lstm", "mamba2")]
    assert layout.kinds == ["zero", "then state passing"]


def test_many_series_are_explained_in_a_legend(tmp_path: Path) -> None:
    for number in range(7):
        write_text_run(tmp_path, f"many/{number}")
    results = read(tmp_path)
    losses = results.rows.filter(BY_POSITION, metric="loss")
    (panel,) = by_position(results, losses, "perplexity")
    svg = vl_convert.vegalite_to_svg(panel.specification() | {"params": [PICKED], "datasets": panel.data, "width": 900})
    assert svg.count("role-legend-label") == 7
    assert all(f">{number}<" in svg for number in range(7))


def test_series_that_differ_in_one_setting_make_a_sweep(tmp_path: Path) -> None:
    for context, rise in ((32, 0.2), (64, 0.1), (128, 0.05)):
        base = f"sweep/{context}"
        write_text_run(tmp_path, base, context=context, rise=rise, reach=16)
        repaired = {"intervention": "state_passing", "start": base, "steps": 10}
        write_text_run(tmp_path, f"{base}.sp", context=context, reach=16, **repaired)
    results = read(tmp_path)
    (sweep,) = sweeps(results)
    assert sweep.setting == "task.context"
    points = sweep.points.select("kind", "setting", "mean").rows()
    assert [(kind, place) for kind, place, _ in points] == [
        (kind, place) for kind in ("zero", "then state passing") for place in (32, 64, 128)
    ]
    assert [mean for *_, mean in points[:3]] == pytest.approx([math.exp(4 * rise) for rise in (0.2, 0.1, 0.05)])


def test_budgets_are_those_of_the_run_that_was_repaired(tmp_path: Path) -> None:
    for steps in (100, 400):
        write_text_run(tmp_path, f"budget/{steps}", steps=steps)
        repaired = {"intervention": "tbptt", "start": f"budget/{steps}", "steps": 10}
        write_text_run(tmp_path, f"budget/{steps}.tbptt", **repaired)
    results = read(tmp_path)
    (sweep,) = sweeps(results)
    assert sweep.points.filter(kind="then tbptt")["setting"].to_list() == [100 * 8 * 64, 400 * 8 * 64]


def test_steps_of_repair_are_drawn_as_a_share_of_the_training(tmp_path: Path) -> None:
    write_text_run(tmp_path, "base", rise=0.1, steps=400)
    for steps, rise in ((4, 0.05), (40, 0.0)):
        for name in ("state_passing", "zero"):
            repaired = {"intervention": name, "start": "base", "steps": steps, "rise": rise if name != "zero" else 0.1}
            write_text_run(tmp_path, f"repair/{name}_{steps}", **repaired)
    (sweep,) = sweeps(read(tmp_path))
    assert sweep.setting == "post.training.steps"
    assert sweep.points.filter(kind="then state passing")["setting"].to_list() == [1, 10]
    expected = [math.exp(6 * 0.05), 1]
    assert sweep.points.filter(kind="then state passing")["mean"].to_list() == pytest.approx(expected)


def test_sizes_of_the_state_make_a_sweep_and_unrelated_series_none(tmp_path: Path) -> None:
    for size in (16, 64):
        write_text_run(tmp_path / "sizes", f"size/{size}", mixer={"state_size": size})
    results = read(tmp_path / "sizes")
    assert [sweep.setting for sweep in sweeps(results)] == ["model.mixer.state_size"]
    write_text_run(tmp_path / "others", "one", model="gru", context=32)
    write_text_run(tmp_path / "others", "two", model="lstm", context=64)
    results = read(tmp_path / "others")
    assert sweeps(results) == []


@pytest.mark.parametrize(("low", "high"), [(3.1, 3.4), (3, 9), (0.9, 40), (1e-3, 1e9), (173.0, 181.0)])
def test_ticks_are_a_handful_within_the_axis(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 12
    assert all(low <= tick <= high for tick in ticks)
    assert ticks == sorted(set(ticks))
