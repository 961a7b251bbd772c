"""The page in a real browser: nothing to complain of, readable, and all of it reachable by keyboard."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import NAMES, Page, browse, find_browser
from certificates import write_certificate, wrong_on
from run_folders import write_run, write_table

from lengthwise.report.page import Report
from lengthwise.runs.table import read_table

LENGTHS = (*range(1, 501, 60), 1000)
MODELS = ["elman", "gru", "lstm", "attention", "s5", "deltanet_negative", "mamba2", "slstm"]

FOCUSABLE = """
[...document.querySelectorAll("a[href], button, summary, [tabindex]")]
  .filter(element => element.tabIndex >= 0 && element.checkVisibility())
  .map(element => (element.getAttribute("aria-label") || element.textContent).trim().slice(0, 30))
"""
FOCUSED = """
(document.activeElement.getAttribute("aria-label") || document.activeElement.textContent).trim().slice(0, 30)
"""
HIDDEN_SCROLLING = """
[...document.querySelectorAll("main *")]
  .filter(element => element.scrollWidth > element.clientWidth + 1
    && ["auto", "scroll"].includes(getComputedStyle(element).overflowX))
  .filter(element => element.tabIndex < 0
    || !(element.getAttribute("aria-label") || element.getAttribute("aria-labelledby")))
  .map(element => element.outerHTML.slice(0, 80))
"""
LOWEST_CONTRAST = """
(() => {
  const channels = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const luminance = colour => channels(colour).map(value => value / 255)
    .map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const ground = element => {
    const own = getComputedStyle(element).backgroundColor;
    return own === "rgba(0, 0, 0, 0)" && element.parentElement ? ground(element.parentElement) : own;
  };
  const said = [...document.querySelectorAll("main h1, h2, h3, p, li, th, td, small, button, a, figcaption")];
  return Math.min(...said.map(element => contrast(getComputedStyle(element).color, ground(element))));
})()
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_table(root, ["parity", "even_pairs"], MODELS, LENGTHS)
    write_certificate(root / "fast/parity/seed-0")
    write_certificate(root / "fast/even_pairs/seed-0", **wrong_on(*[1, 0, 0] * 20))
    for operator in ("sum", "mlp"):
        model = {"name": "ldru", "operator": {"name": operator}}
        write_run(root, "parity", recipe=f"operators/{operator}-parity", lengths=LENGTHS, longest=500, model=model)
    return Report(read_table([root])).write(root / "out")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    program = find_browser()
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    with browse(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_the_page_is_drawn_without_complaint_and_fits(report: Path, page: Page, width: int, scheme: str) -> None:
    page.open(report, width, scheme)
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(HIDDEN_SCROLLING) == []
    assert page.evaluate(LOWEST_CONTRAST) >= 4.5
    lightness = page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")
    assert lightness > 200 if scheme == "light" else lightness < 60


@pytest.mark.slow
def test_a_change_of_scheme_redraws_the_charts(report: Path, page: Page) -> None:
    page.open(report, 1280, "light")
    colour = "document.querySelector('.chart svg text')?.getAttribute('fill')"
    light = page.evaluate(colour)
    page.set_scheme("dark")
    look = f"const look = () => {colour} !== {light!r} ? done(true) : requestAnimationFrame(look); look();"
    assert page.evaluate(f"new Promise(done => {{ {look} }})")
    assert page.complaints == []


def test_all_of_the_page_is_reached_by_tabs_in_its_order(report: Path, page: Page) -> None:
    page.open(report, 1280)
    expected = page.evaluate(FOCUSABLE)
    reached: list[str] = []
    for _ in expected:
        page.press("Tab")
        reached.append(page.evaluate(FOCUSED))
    assert reached == expected
    assert "Models by task" in reached, "the region that scrolls has a name"
    assert "Counterexamples" in reached
    assert all(reached)
    assert len([name for name in reached if name.startswith("100.0")]) == 2, "a grid is one stop"


def test_cells_are_walked_with_arrows_and_tell_their_details(report: Path, page: Page) -> None:
    page.open(report, 1280)
    page.evaluate("document.querySelector('[data-cell]').focus()")
    page.press("ArrowDown")
    page.press("ArrowRight")
    told = page.evaluate("document.getElementById('details').innerText")
    assert "elman" in told or "attention" in told
    assert "Even pairs" in told
    assert {"seed 0", "near misses", "parameters", "state size"} <= set(told.splitlines())
    assert page.evaluate("document.activeElement.getAttribute('aria-describedby')") == "details"
    page.press("Escape")
    assert page.evaluate("document.getElementById('details').hidden")


def test_a_name_of_the_legend_picks_its_lines(report: Path, page: Page) -> None:
    page.open(report, 1280)
    page.evaluate("document.querySelector('.legend button:nth-child(3)').focus()")
    page.press("Enter")
    name = page.evaluate("document.activeElement.dataset.kind")
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    figure = page.evaluate("document.activeElement.dataset.figure")
    picked = f"charts.find(chart => chart.dataset.figure === '{figure}').drawn.view.signal('picked')"
    assert page.evaluate(picked) == name
    page.press("Enter")
    assert page.evaluate(picked) == ""


def test_what_is_linked_to_is_unfolded_and_what_is_beyond_the_edge_is_said(report: Path, page: Page) -> None:
    page.open(report, 400)
    closed = "document.querySelectorAll('details.fold').forEach(fold => fold.open = false)"
    page.evaluate(closed)
    page.evaluate("location.hash = 'training-title'; new Promise(done => setTimeout(done))")
    assert page.evaluate("document.getElementById('training-title').closest('details').open")
    grid = "document.querySelector('.grid').closest('.wider')"
    assert page.evaluate(f"{grid}.classList.contains('more')")
    page.evaluate(f"{grid}.firstElementChild.scrollLeft = 10000; new Promise(done => requestAnimationFrame(done))")
    assert not page.evaluate(f"{grid}.classList.contains('more')")
