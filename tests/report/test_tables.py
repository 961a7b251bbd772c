import csv
from pathlib import Path

from run_folders import write_run

from lengthwise.report.page import Report
from lengthwise.report.parts import Cell
from lengthwise.report.tables import as_csv, as_latex
from lengthwise.runs.table import read_table


def test_every_table_of_a_page_is_a_file_for_programs_and_one_for_papers(tmp_path: Path) -> None:
    write_run(tmp_path, recipe="a_b/parity")
    write_run(tmp_path, recipe="c/parity", wrong={("standard", 50): 500})
    out = tmp_path / "out"
    Report(read_table([tmp_path])).write(out)
    assert {path.stem for path in out.glob("*.tex")} == {"accuracy-table", "published-1", "significance", "table"}
    with (out / "table.csv").open(encoding="utf-8", newline="") as file:
        head, parity, footer = csv.reader(file)
    assert head == ["task", "a_b", "a_b: note", "c", "c: note"]
    assert parity == ["Parity", "100.0", "of 3.0k", "97.5", "of 3.0k"]
    assert footer[1::2] == ["1 of 1", "0 of 1"]
    latex = (out / "table.tex").read_text(encoding="utf-8")
    assert r"task & a\_b & c \\" in latex
    assert r"\textbf{100.0} {\scriptsize of 3.0k}" in latex


def test_names_that_mean_something_to_latex_or_csv_stay_what_they_are() -> None:
    hostile = [[Cell(r"50% of a_b & \c{#1} ~ ^ $x$"), Cell('say "x", y', "one\ntwo \N{EN DASH} \N{PLUS-MINUS SIGN}")]]
    latex = as_latex(["x", "y"], hostile, "first\nsecond")
    assert latex.splitlines()[:3] == [r"% Needs \usepackage{booktabs}.", "% first", "% second"]
    escaped = r"50\% of a\_b \& \textbackslash{}c\{\#1\} \textasciitilde{} \textasciicircum{} \$x\$"
    assert escaped in latex
    assert r"{\scriptsize one two -- $\pm$}" in latex
    head, line = csv.reader(as_csv(["x", "y"], hostile).splitlines())
    assert head == ["x", "y", "y: note"]
    assert line == [hostile[0][0].text, 'say "x", y', "one; two \N{EN DASH} \N{PLUS-MINUS SIGN}"]


def test_a_table_without_rows_is_one() -> None:
    assert as_csv(["x"], []) == "x\n"
    assert as_latex(["x"], []).count(r"\\") == 1
