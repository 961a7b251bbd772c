import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from programs import imported

from lengthwise import check_contract

ROOT = Path(__file__).parents[2]
CACHE = os.environ.get("LENGTHWISE_TEXTGENRNN")
needs_weights = pytest.mark.skipif(
    CACHE is None, reason="set LENGTHWISE_TEXTGENRNN to a folder that examples/textgenrnn/study.py has filled"
)
SIZES = {"vocabulary": 7, "embedding": 3, "units": 5}


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    pytest.importorskip("h5py", reason="h5py is not installed")
    with imported("textgenrnn", "model") as model:
        yield model


def random_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    v, e, h = SIZES.values()
    shapes = {"embedding/embeddings:0": (v, e), "attention/attention_W:0": (e + 2 * h, 1)}
    for layer, width in (("rnn_1", e), ("rnn_2", h)):
        shapes |= {f"{layer}/kernel:0": (width, 4 * h), f"{layer}/recurrent_kernel:0": (h, 4 * h)}
        shapes |= {f"{layer}/bias:0": (8 * h,)}
    shapes |= {"output/kernel:0": (e + 2 * h, v), "output/bias:0": (v,)}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def keras_lstm(arrays: dict[str, np.ndarray], layer: str, inputs: np.ndarray) -> np.ndarray:
    """Follow Keras: its own conversion of CuDNNLSTM to LSTM, then the equations of an LSTM."""
    kernel, recurrent = arrays[f"{layer}/kernel:0"], arrays[f"{layer}/recurrent_kernel:0"]
    kernel = np.hstack([gate.T.reshape(gate.shape, order="F") for gate in np.hsplit(kernel, 4)])
    recurrent = np.hstack([gate.T for gate in np.hsplit(recurrent, 4)])
    bias = sum(np.split(arrays[f"{layer}/bias:0"], 2))
    hidden = cell = np.zeros(len(recurrent))
    outputs = []
    for vector in inputs:
        i, f, g, o = np.split(vector @ kernel + hidden @ recurrent + bias, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        cell = f * cell + i * np.tanh(g)
        hidden = o * np.tanh(cell)
        outputs.append(hidden)
    return np.array(outputs)


def keras_prediction(arrays: dict[str, np.ndarray], tokens: list[int]) -> np.ndarray:
    """Follow textgenrnn: a window of characters to the probabilities of the next."""
    embedded = arrays["embedding/embeddings:0"][tokens]
    first = keras_lstm(arrays, "rnn_1", embedded)
    features = np.hstack([embedded, first, keras_lstm(arrays, "rnn_2", first)])
    scores = (features @ arrays["attention/attention_W:0"])[:, 0]
    weights = np.exp(scores - scores.max())
    average = (features * (weights / weights.sum())[:, None]).sum(0)
    logits = average @ arrays["output/kernel:0"] + arrays["output/bias:0"]
    return np.exp(logits) / np.exp(logits).sum()


def small_model(example: ModuleType, window: int = 40) -> torch.nn.Module:
    torch.manual_seed(0)
    return example.TextGenRNN(**SIZES, window=window).double()


def test_converted_weights_predict_what_keras_does(example: ModuleType) -> None:
    arrays = random_arrays()
    model = small_model(example)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in example.from_keras(arrays).items()})
    tokens = np.random.default_rng(1).integers(7, size=40).tolist()
    with torch.no_grad():
        nothing = model.initial_state(1).map(torch.zeros_like)
        anew = model(torch.tensor([tokens]), nothing).logits[0, -1].softmax(-1)
        first = model(torch.tensor([[3]])).logits[0, 0].softmax(-1)
    np.testing.assert_allclose(anew.numpy(), keras_prediction(arrays, tokens), rtol=1e-9)
    np.testing.assert_allclose(first.numpy(), keras_prediction(arrays, [0] * 39 + [3]), rtol=1e-9)


def test_weights_go_back_to_what_they_were(example: ModuleType, tmp_path: Path) -> None:
    model, read = small_model(example), small_model(example)
    for parameter in read.parameters():
        torch.nn.init.zeros_(parameter)
    example.save_weights(model, tmp_path / "weights.hdf5")
    example.load_weights(read, tmp_path / "weights.hdf5")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), read.parameters(), strict=True))
    arrays = random_arrays()
    back = example.to_keras(example.from_keras(arrays))
    assert arrays.keys() == back.keys()
    assert all(np.array_equal(arrays[name], back[name]) for name in arrays)


@pytest.mark.parametrize("window", [40, 3, 1])
def test_the_window_is_part_of_the_state(example: ModuleType, window: int) -> None:
    findings = check_contract(small_model(example, window), 7, length=53)
    assert not [finding for finding in findings if not finding.holds]


def test_articles_are_split_by_their_number_and_read_as_textgenrnn_does(example: ModuleType, tmp_path: Path) -> None:
    from articles import load_articles

    (tmp_path / "textgenrnn_vocab.json").write_text(json.dumps({"<s>": 1, "a": 2, "b": 3, "\n": 4}))
    rows = [f'{number},{"a" * number},"bé"' for number in range(1, 41)]
    (tmp_path / "NewsArticles.csv").write_text("\n".join(["article_id,title,text", *rows]), encoding="utf-8")
    validation, test = (load_articles(tmp_path, side) for side in ("validation", "test"))
    sides = [validation.train, validation.validation, test.validation]
    assert sum(len(side.starts_D) for side in sides) == 40
    assert all((side.tokens_N[side.starts_D] == 1).all() for side in sides)
    assert np.array_equal(sides[0].tokens_N[-3:], [4, 3, 0])
    assert (validation.vocabulary, validation.separator) == (5, 1)


@needs_weights
def test_the_pretrained_model_predicts_in_its_window_and_fails_beyond(example: ModuleType) -> None:
    import study

    assert CACHE is not None
    model = example.TextGenRNN()
    example.load_weights(model, Path(CACHE) / "textgenrnn_weights.hdf5")
    tokens_RS = study.articles_from_start(study.load_articles(Path(CACHE), "validation"), 8)
    anew = {end: bits for _, end, bits, _ in study.bits_read_anew(model, tokens_RS, stride=64)["table"]}
    stateful = {end: bits for _, end, bits, _ in study.bits_by_position(model, tokens_RS)["table"]}
    assert anew[1024] < 2.7
    assert stateful[1024] > 6
