import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
import safetensors.numpy
from certificates import make_certificate, up_to, write_certificate, wrong_on
from hypothesis import given
from hypothesis import strategies as st
from run_folders import read, write_run

from lengthwise.certificates.attachment import certificate_row
from lengthwise.certificates.automaton_drawing import (
    HEIGHT,
    WIDTH,
    AutomatonPanel,
    can_be_drawn,
    layout,
    symbols_in_short,
)
from lengthwise.certificates.certificate import FILE_NAME, hash_weights
from lengthwise.certificates.section import Certificates, automata_figure, certificate_rows
from lengthwise.errors import InputError
from lengthwise.report.page import Report
from lengthwise.runs.table import read_table
from lengthwise.tasks import LANGUAGES, get_language
from lengthwise.tasks.regular.automaton import Automaton


def finished_run(root: Path, task: str, seed: int = 0) -> Path:
    run = write_run(root, task, seed)
    (run / "finished").touch()
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two proofs of parity, one of them up to a length, one of a large automaton, a wrong run and one without."""
    root = tmp_path_factory.mktemp("runs")
    write_certificate(finished_run(root, "parity", 0))
    write_certificate(finished_run(root, "parity", 1), **up_to(1234))
    write_certificate(finished_run(root, "tomita_3"), **wrong_on(1, 1, 1))
    write_certificate(finished_run(root, "prefix_4_2"))
    finished_run(root, "tomita_7")
    return root


@pytest.fixture(scope="module")
def page(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Report(read_table([runs])).write(tmp_path_factory.mktemp("report"))


@pytest.mark.slow
def test_the_page_shows_a_row_a_run_and_draws_what_was_proved(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.index(">Accuracy in percent<") < text.index(">Certificates<") < text.index(">Proved automata<")
    assert "right up to length 1,234" in text
    assert "Too many states or arrows to be drawn: Prefix 4 2 (31 states)." in text
    (line,) = re.findall(r"^const panels = (.*);$", text, re.MULTILINE)
    assert list(json.loads(line)["automata"]) == ["Parity"]
    for name in ("automata.svg", "automata-dark.svg", "automata.png", "automata.pdf"):
        assert page.with_name(name).stat().st_size > 1000
    words = [
        "".join(node.itertext())
        for node in ElementTree.parse(page.with_name("automata.svg")).iter("{http://www.w3.org/2000/svg}text")
    ]
    assert sorted(set(words) & {"0", "1"}) == ["0", "1"]


def test_the_table_says_what_each_certificate_says(runs: Path) -> None:
    table = certificate_rows(read(runs))
    assert table
    assert {len(row) for row in table.rows} == {len(table.columns)}
    cells = [{name: cell.text for name, cell in zip(table.columns, row, strict=True)} for row in table.rows]
    named = {(row["recipe"], row["seed"]): row for row in cells}
    assert len(named) == 4
    assert named["fast/parity", "0"]["N"] == "∞"
    assert named["fast/parity", "1"]["N"] == "1,234"
    assert (named["fast/parity", "0"]["extracted states"], named["fast/parity", "0"]["minimal states"]) == ("2", "2")
    assert named["fast/parity", "0"]["margin"] == "4.25"
    assert named["fast/tomita_3", "0"]["verdict"] == "wrong"
    assert named["fast/tomita_3", "0"]["counterexample"] == "111"


def test_counterexamples_are_shown_on_demand(tmp_path: Path) -> None:
    write_certificate(finished_run(tmp_path, "tomita_3"), **wrong_on(*[1] * 1322))
    write_certificate(finished_run(tmp_path, "parity"))
    write_certificate(finished_run(tmp_path, "parity", 1), method="black_box", margins={"asked": 9.0})
    table = certificate_rows(read(tmp_path))
    lines = ["symbols: 1^1322", "states: 0^1323", "answer 0, truth 1, the network itself answers 0"]
    assert table.folds["Counterexamples"] == {"fast/tomita_3, seed 0": lines}
    text = Report(read_table([tmp_path])).write(tmp_path / "report").read_text()
    folded = re.search(r"<details>\n<summary>Counterexamples</summary>(.*?)</details>", text, re.DOTALL)
    assert folded
    assert all(f"<div>{line}</div>" in folded[1] for line in lines)
    assert "its answers only, never a proof" in text


@pytest.mark.slow
def test_a_table_lies_beside_the_page(runs: Path, page: Path) -> None:
    run = next(runs.rglob("finished")).parent
    rows = pl.read_csv(page.with_name("certificates.csv"), schema_overrides={"counterexample": pl.String})
    assert rows.columns == [*certificate_row(make_certificate(run))]
    wrong = rows.row(by_predicate=pl.col("verdict") == "wrong", named=True)
    assert (wrong["counterexample"], wrong["answer"], wrong["truth"]) == ("111", 0, 1)


def test_a_report_without_certificates_does_not_speak_of_them(tmp_path: Path) -> None:
    write_run(tmp_path, "parity")
    assert not Certificates().applies(read(tmp_path))
    assert not {"certificates", "automata"} & {piece.name for piece in Report(read_table([tmp_path])).pieces}


def test_a_certificate_of_another_run_or_other_weights_is_refused(tmp_path: Path) -> None:
    run = finished_run(tmp_path, "parity")
    other = write_certificate(finished_run(tmp_path / "other", "parity", 7))
    (run / FILE_NAME).write_text(other.to_json())
    with pytest.raises(InputError, match=r"another run: its seed is 7, .* 0\n(.|\n)*make it again with"):
        read_table([run])
    checkpoint = run / "checkpoint.safetensors"
    safetensors.numpy.save_file({"model.weight": np.ones(2)}, checkpoint)
    write_certificate(run)
    with pytest.raises(InputError, match=f"is about other weights than those in (.|\n)*: lengthwise certify {run}"):
        read_table([run])
    write_certificate(run, weights=hash_weights(checkpoint))
    with pytest.raises(InputError, match="about the operator 'stochastic', the run has 'mlp'"):
        read_table([run])
    (run / FILE_NAME).write_text("{}")
    with pytest.raises(InputError, match="is not a certificate"):
        read_table([run])


def test_automata_that_are_not_proved_are_not_drawn(tmp_path: Path) -> None:
    write_certificate(write_run(tmp_path, "parity"), method="black_box", margins={"asked": 9.0})
    results = read(tmp_path)
    assert certificate_rows(results).rows
    assert automata_figure(results) is None


@pytest.mark.parametrize("task", [name for name in LANGUAGES if can_be_drawn(get_language(name).automaton.minimal())])
def test_states_stand_apart_on_the_panel(task: str) -> None:
    automaton = get_language(task).automaton.minimal()
    places = layout(automaton)
    assert places.shape == (automaton.states, 2)
    assert ((places > 40) & (places < [WIDTH - 40, HEIGHT - 30])).all() | (automaton.states > 10)
    distances = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))[~np.eye(automaton.states, dtype=bool)]
    assert distances.min() > 22
    assert places[:, 0].argmin() == automaton.start


def test_a_cycle_is_drawn_as_one() -> None:
    steps = np.random.default_rng(0).permutation(9)
    transitions = np.empty((9, 1), int)
    transitions[steps, 0] = np.roll(steps, -1)
    places = layout(Automaton(transitions, 0, np.zeros(9, int)))
    sides = np.hypot(*(places - places[transitions[:, 0]]).T)
    assert np.allclose(sides, sides[0])


def test_an_automaton_is_described_in_words() -> None:
    assert AutomatonPanel("Parity", get_language("parity").automaton.minimal(), 2).described() == (
        "Automaton of Parity, start in state 0. state 0, class 0: 0 to itself; 1 to 1. "
        "state 1, class 1: 0 to itself; 1 to 0."
    )


@given(st.sets(st.integers(0, 11), min_size=1))
def test_symbols_are_shortened_without_loss(symbols: set[int]) -> None:
    short = symbols_in_short(sorted(symbols), 12)
    if short == "all":
        assert len(symbols) == 12
        return
    ends = [[int(end) for end in part.split("\N{EN DASH}")] for part in short.split(", ")]
    assert sorted(symbol for end in ends for symbol in range(end[0], end[-1] + 1)) == sorted(symbols)
