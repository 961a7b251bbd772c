import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import vl_convert
from run_folders import read, write_run

from lengthwise.report.page import Report
from lengthwise.report.sections.accuracy import by_length, caption
from lengthwise.report.summary import summarise
from lengthwise.runs.table import read_table


class Outline(HTMLParser):
    """What a page refers to, and its text outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.text = ""
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        linked = [value for name in ("src", "href") if (value := named.get(name))]
        self.references += [value for value in linked if tag != "a" or not value.startswith("https://")]
        self.ids += [value for value in (named.get("id"),) if value]
        self.labels += [value for value in (named.get("aria-labelledby"),) if value]
        if tag in {"script", "style"}:
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and tag == self._inside[-1]:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.text += data


def unpacked(groups: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for group in groups:
        for row in group["rows"]:
            yield group["words"] | dict(zip(group["names"], row, strict=True))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        write_run(root, "parity", seed)
        write_run(root, "tomita_3", seed, wrong={("standard", 55): 100 * (seed + 1)})
    write_run(root, "regex:</script>&lt;", recipe="own/hostile", lengths=(1, 2, 41, 60))
    return Report(read_table([root])).write(root / "out")


def test_the_page_needs_no_network(report: Path) -> None:
    outline = Outline(report.read_text(encoding="utf-8"))
    assert outline.references
    for reference in outline.references:
        inside = reference.removeprefix("#") in outline.ids
        assert reference == "data:," or inside or (report.parent / reference).is_file(), reference


def test_the_page_says_what_was_measured_and_what_made_it(report: Path) -> None:
    text = " ".join(Outline(report.read_text(encoding="utf-8")).text.split())
    assert "Trained to length 40, tested to 1,000" in text
    assert "lengthwise train fast/tomita_3 --seed 1" in text
    assert "0123abcd" in text
    assert "2 of 3 recipes classified every string right" in text
    assert "the lowest mean is 85.00 %, of fast/tomita_3 at length 55" in text
    assert "regex:</script>&lt;" in text, "names are shown as they are"


def test_the_page_begins_with_its_contents_each_of_which_leads_to_a_heading(report: Path) -> None:
    outline = Outline(report.read_text(encoding="utf-8"))
    led = [reference.removeprefix("#") for reference in outline.references if reference.startswith("#")]
    assert set(led) <= set(outline.ids)
    assert {"accuracy-table-title", "accuracy-title", "made-title"} <= set(led)


def test_labels_point_at_headings(report: Path) -> None:
    outline = Outline(report.read_text(encoding="utf-8"))
    assert set(outline.labels) <= set(outline.ids)
    assert len(set(outline.ids)) == len(outline.ids)


def test_every_panel_of_the_page_can_be_drawn(report: Path) -> None:
    (line,) = re.findall(r"^const panels = (.*);$", report.read_text(encoding="utf-8"), re.MULTILINE)
    figures = json.loads(line)
    assert {name: len(panels) for name, panels in figures.items()} == {"accuracy": 3, "learning": 3, "training": 3}
    for specification in figures["accuracy"].values():
        rows = {name: list(unpacked(groups)) for name, groups in specification["datasets"].items()}
        svg = vl_convert.vegalite_to_svg(specification | {"width": 300, "datasets": rows})
        assert "trained to 40" in svg


@pytest.mark.parametrize("name", ["accuracy", "accuracy-dark", "learning", "training"])
def test_figures_lie_beside_the_page(report: Path, name: str) -> None:
    drawing = report.with_name(f"{name}.svg")
    words = {"".join(text.itertext()) for text in ElementTree.parse(drawing).iter("{http://www.w3.org/2000/svg}text")}
    assert {"Parity", "Tomita 3", "100%"} <= words
    if "dark" not in name:
        assert drawing.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        assert drawing.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_rows_and_provenance_lie_beside_the_page(report: Path) -> None:
    lines = report.with_name("rows.csv").read_text().splitlines()
    assert len(lines) == 1 + 4 * 62 + 5
    assert json.loads(report.with_name("provenance.json").read_text())["seeds"] == ["0", "1"]


def test_kinds_of_recipes_keep_their_colour_over_panels(tmp_path: Path) -> None:
    for recipe, task in (("fast/parity", "parity"), ("matrix/parity", "parity"), ("matrix/tomita_3", "tomita_3")):
        write_run(tmp_path, task, recipe=recipe)
    results = read(tmp_path)
    assert results.families == ["fast", "matrix"]
    for task in ("parity", "tomita_3"):
        layers = by_length(results, task).embedded()["layer"]
        scales = [layer["encoding"]["color"]["scale"] for layer in layers if "color" in layer["encoding"]]
        assert all(scale == {"domain": ["fast", "matrix"]} for scale in scales)


def test_names_beside_the_lines_do_not_overlap(tmp_path: Path) -> None:
    for kind in ("fast", "matrix", "paper"):
        write_run(tmp_path, recipe=f"{kind}/parity")
    results = read(tmp_path)
    panel = by_length(results, "parity")
    (places,) = [[row["place"] for row in rows] for rows in panel.data.values() if "place" in rows[0]]
    assert len(places) == 3
    assert all(above - below > 0.08 for above, below in itertools.pairwise(places))


def test_values_under_the_pointer_name_their_recipe(tmp_path: Path) -> None:
    write_run(tmp_path)
    panel = by_length(read(tmp_path), "parity")
    drawn = json.dumps(vl_convert.vegalite_to_vega(panel.embedded() | {"width": 300}))
    shown = re.findall(r'"tooltip": \{"signal": "(.*?)"\}', drawn)
    assert len(shown) == 3, "of the line, the dots and the diamonds"
    for text in shown:
        fields = re.findall(r"datum[^ ,)]*", text)
        assert {r"datum[\"series\"]", r"datum[\"mean\"]"} <= set(fields)
        assert not any("datum.datum" in field for field in fields)


@pytest.mark.parametrize(("language", "thin"), [("dyck_2", [1, 0]), ("tomita_5", [1, 0]), ("parity", [])])
def test_lengths_at_which_nothing_is_accepted_have_a_line_of_their_own(
    language: str, thin: list[int], tmp_path: Path
) -> None:
    write_run(tmp_path, language, wrong={("standard", length): 400 for length in range(2, 61, 2)})
    panel = by_length(read(tmp_path), language)
    layers = [layer for layer in panel.specification()["layer"] if layer["mark"]["type"] == "line"]
    parities = [{row["length"] % 2 for row in panel.data[layer["data"]["name"]]} for layer in layers]
    assert parities == [{parity} for parity in thin] or (parities, thin) == ([{0, 1}], [])
    widths = [layer["mark"]["strokeWidth"] for layer in layers]
    assert widths == sorted(widths)


def test_a_flawless_report_says_so(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert caption(summarise(read(tmp_path))) == "Every string was classified right."


def test_a_report_that_fails_on_near_misses_only_says_so(tmp_path: Path) -> None:
    write_run(tmp_path, wrong={("near_miss", 50): 250})
    shown = caption(summarise(read(tmp_path)))
    assert shown.endswith("the lowest mean is 75.00 %, of fast/parity on near misses.")


@pytest.mark.slow
def test_reports_do_not_need_torch() -> None:
    program = "import sys, lengthwise.report.page; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
