"""Speech in noise: clips from a folder, noise of several kinds, and the windows that a repair reads.

Shape letters: B rows, N samples of 1/16,000 s, T frames of 512 samples, C = 128 channels,
K sorts of noise, W windows.
"""

import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from model import CONTEXT, FRAME, WIDTH, SileroVAD
from numpy.typing import NDArray
from pydantic import PrivateAttr
from scipy.signal import lfilter, resample_poly
from torch import nn

from lengthwise import Batch, Point, RecurrentModel, Task, Values
from lengthwise.spaces import Space

RATE = 16_000
Samples = NDArray[np.float32]
Features = NDArray[np.float32]


def clips(folder: Path) -> dict[str, Samples]:
    """Return all recordings of a folder, ``.wav`` of one channel or ``.raw`` of 16,000 numbers a second."""
    found = dict[str, Samples]()
    for path in sorted(folder.iterdir()):
        if path.suffix == ".raw":
            rate, data = RATE, path.read_bytes()
        else:
            with wave.open(str(path)) as file:
                rate, data = file.getframerate(), file.readframes(file.getnframes())
        samples = np.frombuffer(data, "<i2").astype(np.float32) / 32768
        found[path.name] = samples if rate == RATE else resample_poly(samples, RATE, rate).astype(np.float32)
    return found


def noise(rng: np.random.Generator, kind: str, rms: float, count: int) -> Samples:
    """Return noise of a kind: ``white``, ``pink``, ``brown`` (1/f^2), ``fan`` (a low band), ``hum``."""
    white = rng.normal(size=count + RATE)
    if kind == "pink":
        # Three poles whose sum falls by 3 dB an octave.
        made = lfilter([0.049922, -0.095993, 0.050612, -0.004409], [1, -2.494956, 2.017266, -0.522189], white)
    elif kind == "brown":
        made = lfilter([1.0], [1.0, -0.995], white)
    elif kind == "fan":
        made = lfilter([1.0, 0.0, -1.0], [1.0, -1.93, 0.94], white)
    elif kind == "hum":
        tones = [
            np.sin(2 * np.pi * 50 * k * np.arange(len(white)) / RATE + rng.uniform(0, 6.28)) / k for k in (1, 2, 3, 5)
        ]
        made = sum(tones) + 0.3 * white
    else:
        made = white
    made = made[RATE:]
    return (made * (rms / np.sqrt(np.square(made).mean()))).astype(np.float32)


class NoisySpeech(Task):
    """What the cell reads of noise in which speech begins, goes on or does not occur, with nothing said of it.

    The encoder is not trained, so that all is encoded once. The kind and the level of the noise belong to the row:
    the filler that the state of a row has read is of the noise that the row goes on with.
    """

    frames: int = 64
    kinds: tuple[str, ...] = ("white", "pink")
    levels: tuple[float, ...] = (0.0005, 0.001, 0.002, 0.006, 0.012)
    gains: tuple[float, float] = (0.06, 1.0)
    _windows_KWTC: Features = PrivateAttr()
    _filler_KTC: Features = PrivateAttr()

    @property
    def inputs(self) -> Space:
        return Values(WIDTH)

    @property
    def outputs(self) -> Space:
        return Values(1, "binary_cross_entropy")

    def points(self, stage: str) -> Sequence[Point]:
        return [Point({"length": self.frames})]

    def encode(self, model: SileroVAD, speech: Path, windows: int, filler: int) -> dict[str, Features]:
        """Draw and encode windows of each sort of noise, and frames of filler, which are read from anywhere."""
        rng, found = np.random.default_rng(0), list(clips(speech).values())
        sorts = [(kind, level) for level in self.levels for kind in self.kinds]
        drawn = [np.stack([self._window(rng, found, *sort) for _ in range(windows)]) for sort in sorts]
        alone = np.stack([noise(rng, *sort, filler * FRAME) for sort in sorts])
        return {"windows": np.stack([encoded(model, some) for some in drawn]), "filler": encoded(model, alone)}

    def of(self, arrays: Mapping[str, Features]) -> Self:
        """Take what was encoded."""
        self._windows_KWTC, self._filler_KTC = arrays["windows"], arrays["filler"]
        return self

    def _window(self, rng: np.random.Generator, speech: Sequence[Samples], kind: str, level: float) -> Samples:
        length, clip = self.frames * FRAME, speech[int(rng.integers(len(speech)))]
        heard = noise(rng, kind, level, length)
        # From half a window before the clip to its end: what begins, goes on, ends, or has ended.
        place = int(rng.integers(-length // 2, len(clip) + length // 8))
        piece = clip[max(place, 0) : max(place + length, 0)]
        heard[max(-place, 0) : max(-place, 0) + len(piece)] += np.exp(rng.uniform(*np.log(self.gains))) * piece
        return heard

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        frames = self._windows_KWTC[self._sorts(rows), rng.integers(self._windows_KWTC.shape[1], size=rows)]
        return Batch(frames, np.full((*frames.shape[:2], 1), np.nan, np.float32))

    def draw_filler(self, rng: np.random.Generator, rows: int, length: int) -> Features:
        """Return what the cell reads of noise alone, [B, T, C]."""
        places = rng.integers(self._filler_KTC.shape[1] - length, size=rows)
        return self._filler_KTC[self._sorts(rows)[:, None], places[:, None] + np.arange(length)]

    def _sorts(self, rows: int) -> NDArray[np.int64]:
        # Counted from the last row: rows that start from zero stand before those that have read filler.
        return (rows - 1 - np.arange(rows)) % len(self._filler_KTC)


@torch.no_grad()
def encoded(model: SileroVAD, samples_BN: Samples) -> Features:
    """Return what the cell reads, [B, T, C], of samples before which there is silence; 1,000 frames at a time."""
    padded = torch.from_numpy(np.pad(samples_BN, ((0, 0), (CONTEXT, 0))))
    pieces = [
        padded[:, begin : begin + CONTEXT + 1000 * FRAME] for begin in range(0, samples_BN.shape[1], 1000 * FRAME)
    ]
    return torch.cat([model.encode(piece) for piece in pieces], 1).numpy()


def head(model: SileroVAD) -> RecurrentModel:
    """Return the cell and the readout, which share nothing with the model, as a model of what the cell reads."""
    cell, readout = nn.LSTM(WIDTH, WIDTH, batch_first=True), nn.Linear(WIDTH, 1)
    cell.load_state_dict({f"{name}_l0": weight for name, weight in model.lstm_cell.state_dict().items()})
    readout.load_state_dict({"weight": model.final_conv.weight[..., 0], "bias": model.final_conv.bias})
    return RecurrentModel(nn.Identity(), cell, nn.Sequential(nn.ReLU(), readout))


def with_head(model: SileroVAD, trained: RecurrentModel) -> SileroVAD:
    """Return the model with the cell and the readout that were trained."""
    weights = trained.state_dict()
    model.lstm_cell.load_state_dict({name: weights[f"layers.{name}_l0"] for name in model.lstm_cell.state_dict()})
    readout = {"weight": weights["readout.1.weight"][..., None], "bias": weights["readout.1.bias"]}
    model.final_conv.load_state_dict(readout)
    return model
