"""textgenrnn 2.0.0 (Max Woolf, MIT licence) without Keras: a pretrained character model that carries its state.

Shape letters: B batch rows, T characters, H = 128 units, E = 100 embedding, F = E + 2 H features, W window of the
average, S = W - 1 + T places that a call looks at, V = 465 characters.
"""

from pathlib import Path
from typing import cast

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lengthwise.models.base import Output, SequenceModel
from lengthwise.state import Kind, State

LAYERS = ("rnn_1", "rnn_2")
WINDOW = 40
"""The characters that textgenrnn reads for each one that it predicts, and averages over."""


class TextGenRNN(SequenceModel):
    """Embedding, two LSTMs, an average of the last feature vectors weighted by attention, and a softmax.

    The average makes this no pure recurrent model: beside the vectors of the LSTMs the state holds the W - 1 feature
    vectors that the next character still sees, of kind conv, as those of a convolution. textgenrnn fills the 40 places
    before the first character with padding, character 0, and reads it; the initial state is what that leaves.

    Args:
        vocabulary: V.
        embedding: E.
        units: H.
        window: W, the places that the average is over: 40 in textgenrnn; with 1 the recurrence stands alone.
    """

    def __init__(self, vocabulary: int = 465, embedding: int = 100, units: int = 128, window: int = WINDOW) -> None:
        super().__init__()
        self.window = window
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.rnn_1 = nn.LSTM(embedding, units, batch_first=True)
        self.rnn_2 = nn.LSTM(units, units, batch_first=True)
        self.attention = nn.Linear(embedding + 2 * units, 1, bias=False)
        self.output = nn.Linear(embedding + 2 * units, vocabulary)

    def initial_state(self, batch_size: int) -> State:
        """Return what 39 characters of padding leave behind."""
        padding = torch.zeros(1, WINDOW - 1, dtype=torch.long, device=self.output.weight.device)
        zeros = self.output.weight.new_zeros(1, self.rnn_1.hidden_size)
        nothing = State({f"{name}.{part}": zeros for name in LAYERS for part in ("h", "c")})
        features_BTF, vectors = self._features(padding, nothing)
        start = {**vectors, "window": features_BTF[:, WINDOW - self.window :]}
        return State(start, {"window": Kind.CONV}).map(lambda entry: entry.expand(batch_size, *entry.shape[1:]))

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        """Read tokens [B, T]; attention takes memory that grows with T squared, so read long texts in pieces."""
        before = self.initial_state(len(tokens)) if state is None else state
        features_BTF, vectors = self._features(tokens, before)
        window_BSF = torch.cat([before["window"], features_BTF], 1)
        inside_TS = torch.ones(tokens.shape[1], window_BSF.shape[1], dtype=torch.bool, device=tokens.device)
        outside_TS = ~(inside_TS.triu() & inside_TS.tril(self.window - 1))
        scores_B1S = self.attention(window_BSF).transpose(1, 2)
        average_BTF = scores_B1S.masked_fill(outside_TS, -torch.inf).softmax(-1) @ window_BSF
        after = State({**vectors, "window": window_BSF[:, tokens.shape[1] :]}, before.kinds)
        return Output(self.output(average_BTF), after)

    def _features(self, tokens: Tensor, before: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the embedding and what both LSTMs say of it, [B, T, F], and their vectors after it."""
        features, vectors = [self.embedding(tokens)], dict[str, Tensor]()
        for name in LAYERS:
            start = (before[f"{name}.h"][None].contiguous(), before[f"{name}.c"][None].contiguous())
            values_BTH, (hidden, cell) = getattr(self, name)(features[-1], start)
            features.append(values_BTH)
            vectors |= {f"{name}.h": hidden[0], f"{name}.c": cell[0]}
        return torch.cat(features, -1), vectors


def load_weights(model: TextGenRNN, path: Path) -> None:
    """Copy the weights of a file that textgenrnn wrote (Keras 2, layers CuDNNLSTM) into a model."""
    with h5py.File(path) as file:
        arrays = {name: np.asarray(file[_place(name)]) for name in _NAMES}
    model.load_state_dict({ours: torch.from_numpy(a) for ours, a in from_keras(arrays).items()})


def save_weights(model: TextGenRNN, path: Path) -> None:
    """Write the weights as textgenrnn reads them."""
    with h5py.File(path, "w") as file:
        layers = list(dict.fromkeys(name.split("/")[0] for name in _NAMES))
        file.attrs.update({"layer_names": [layer.encode() for layer in layers], "backend": b"tensorflow"})
        for name, array in to_keras({ours: t.numpy(force=True) for ours, t in model.state_dict().items()}).items():
            file[_place(name)] = array
        for layer in layers:
            names = [name.encode() for name in _NAMES if name.startswith(f"{layer}/")]
            file[layer].attrs["weight_names"] = names


Arrays = dict[str, NDArray[np.float32]]
_NAMES = (
    "embedding/embeddings:0",
    *(f"{layer}/{part}:0" for layer in LAYERS for part in ("kernel", "recurrent_kernel", "bias")),
    "attention/attention_W:0",
    "output/kernel:0",
    "output/bias:0",
)


def from_keras(arrays: Arrays) -> Arrays:
    """Return a state dict of `TextGenRNN` from the arrays of Keras.

    CuDNNLSTM keeps input, forget, cell and output gate beside each other, as torch does below each other. The input
    kernel [in, 4 H] holds of each gate the numbers of torch's [H, in] in the same order in memory, in another shape;
    the recurrent kernel [H, 4 H] holds torch's [H, H]; the bias is that of the input, then the recurrent one.
    """
    weights = {
        "embedding.weight": arrays["embedding/embeddings:0"],
        "attention.weight": arrays["attention/attention_W:0"].T,
        "output.weight": arrays["output/kernel:0"].T,
        "output.bias": arrays["output/bias:0"],
    }
    for layer in LAYERS:
        kernel, recurrent = arrays[f"{layer}/kernel:0"], arrays[f"{layer}/recurrent_kernel:0"]
        shape = (len(recurrent), len(kernel))
        gates = [np.ascontiguousarray(gate).reshape(shape) for gate in np.split(kernel, 4, 1)]
        biases = np.split(arrays[f"{layer}/bias:0"], 2)
        weights[f"{layer}.weight_ih_l0"] = np.concatenate(gates)
        weights[f"{layer}.weight_hh_l0"] = np.concatenate(np.split(recurrent, 4, 1))
        weights[f"{layer}.bias_ih_l0"], weights[f"{layer}.bias_hh_l0"] = biases
    return {name: np.ascontiguousarray(array) for name, array in weights.items()}


def to_keras(weights: Arrays) -> Arrays:
    """Return the arrays of Keras from a state dict of `TextGenRNN`: the inverse of `from_keras`."""
    arrays = {
        "embedding/embeddings:0": weights["embedding.weight"],
        "attention/attention_W:0": weights["attention.weight"].T,
        "output/kernel:0": weights["output.weight"].T,
        "output/bias:0": weights["output.bias"],
    }
    for layer in LAYERS:
        inputs, recurrent = weights[f"{layer}.weight_ih_l0"], weights[f"{layer}.weight_hh_l0"]
        gates = [gate.reshape(inputs.shape[1], -1) for gate in np.split(np.ascontiguousarray(inputs), 4)]
        arrays[f"{layer}/kernel:0"] = np.concatenate(gates, 1)
        arrays[f"{layer}/recurrent_kernel:0"] = np.concatenate(np.split(recurrent, 4), 1)
        arrays[f"{layer}/bias:0"] = np.concatenate([weights[f"{layer}.bias_{part}_l0"] for part in ("ih", "hh")])
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _place(name: str) -> str:
    """Return where Keras keeps an array: under the layer's name twice."""
    return cast(str, f"{name.split('/')[0]}/{name}")
