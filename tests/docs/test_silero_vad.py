import json
import os
import wave
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from programs import imported
from safetensors.torch import save_file
from torch import Tensor, nn

from lengthwise import Values, check_contract

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results/pretrained/silero_vad"
JIT = os.environ.get("LENGTHWISE_SILERO_VAD")
needs_weights = pytest.mark.skipif(
    JIT is None, reason="set LENGTHWISE_SILERO_VAD to the silero_vad.jit of silero-vad 6.2.3"
)
SHAPES = {
    **{"stft_conv.weight": (258, 1, 256), "final_conv.weight": (1, 128, 1), "final_conv.bias": (1,)},
    **{"conv1.weight": (128, 129, 3), "conv1.bias": (128,), "conv2.weight": (64, 128, 3), "conv2.bias": (64,)},
    **{"conv3.weight": (64, 64, 3), "conv3.bias": (64,), "conv4.weight": (128, 64, 3), "conv4.bias": (128,)},
    **{"lstm_cell.weight_ih": (512, 128), "lstm_cell.weight_hh": (512, 128)},
    **{"lstm_cell.bias_ih": (512,), "lstm_cell.bias_hh": (512,)},
}


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    with imported("silero_vad", "study") as study:
        yield study


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the shapes of the package, drawn at random."""
    rng, path = torch.Generator().manual_seed(0), tmp_path_factory.mktemp("silero") / "random.safetensors"
    scaled = {
        name: torch.randn(shape, generator=rng) / max(np.prod(shape[1:]), 4) ** 0.5 for name, shape in SHAPES.items()
    }
    save_file(scaled, path)
    return path


def frames(rows: int, count: int) -> Tensor:
    return torch.randn(rows, count, 512, generator=torch.Generator().manual_seed(1))


def as_the_package_does(weights: dict[str, Tensor], frames_TN: Tensor) -> Tensor:
    """Follow its `TinySileroVAD` and the loop around it, frame by frame."""
    cell = nn.LSTMCell(128, 128)
    cell.load_state_dict({name.split(".")[1]: w for name, w in weights.items() if name.startswith("lstm_cell")})
    context, state, found = torch.zeros(1, 64), None, []
    for frame in frames_TN:
        x = torch.cat([context, frame[None]], 1)
        context = x[:, -64:]
        x = nn.functional.pad(x[:, None], (0, 64), "reflect")
        x = nn.functional.conv1d(x, weights["stft_conv.weight"], stride=128)
        x = (x[:, :129] ** 2 + x[:, 129:] ** 2).sqrt()
        for number, stride in enumerate((1, 2, 2, 1), 1):
            weight, bias = weights[f"conv{number}.weight"], weights[f"conv{number}.bias"]
            x = nn.functional.conv1d(x, weight, bias, stride=stride, padding=1).relu()
        state = cell(x.squeeze(-1), state)
        read_out = nn.functional.conv1d(
            state[0].relu()[..., None], weights["final_conv.weight"], weights["final_conv.bias"]
        )
        found.append(read_out.sigmoid().mean())
    return torch.stack(found)


def test_the_adapter_answers_what_the_package_does(example: ModuleType, weights: Path) -> None:
    model = example.SileroVAD(weights).eval()
    heard = frames(2, 12)
    with torch.no_grad():
        found = model(heard).logits.sigmoid()[0, :, 0]
        expected = as_the_package_does(model.state_dict(), heard[0])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_adapter_keeps_the_contract(example: ModuleType, weights: Path) -> None:
    findings = check_contract(example.SileroVAD(weights), frames(2, 23))
    assert findings
    assert not [finding for finding in findings if not finding.holds]


def test_weights_come_back_as_they_were(example: ModuleType, weights: Path, tmp_path: Path) -> None:
    model = example.SileroVAD(weights)
    model.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").stat().st_size == weights.stat().st_size
    again = example.SileroVAD(tmp_path / "again.safetensors").state_dict()
    assert again.keys() == SHAPES.keys()
    assert all(torch.equal(again[name], weight) for name, weight in model.state_dict().items())
    assert len((ROOT / "examples/silero_vad/model.py").read_text().splitlines()) <= 60


def clip(path: Path, seconds: float) -> None:
    samples = (np.random.default_rng(0).normal(size=int(16_000 * seconds)) * 3000).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())


def test_a_repair_needs_no_labels_and_gives_back_the_models_own_file(
    example: ModuleType, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip(tmp_path / "a.wav", 1.5)
    model = example.SileroVAD(weights)
    task = example.NoisySpeech(frames=12, levels=(0.001,))
    assert task.outputs == Values(1, "binary_cross_entropy")
    sounds = task.encode(model, tmp_path, windows=3, filler=200)
    assert [sounds[name].shape for name in ("windows", "filler")] == [(2, 3, 12, 128), (2, 200, 128)]
    repaired = example.repair(example.SileroVAD(weights), sounds, seed=0, steps=10)
    assert "10 " in capsys.readouterr().out
    changed = {
        name for name, weight in model.state_dict().items() if not torch.equal(weight, repaired.state_dict()[name])
    }
    assert changed == {name for name in SHAPES if name.startswith(("lstm_cell", "final_conv"))}
    # The cell and the readout alone answer what the whole does.
    heard = frames(1, 9)
    part, whole = example.head(repaired), repaired(heard).logits
    encoded = torch.from_numpy(example.encoded(repaired, heard.flatten(1).numpy()))
    torch.testing.assert_close(part(encoded).logits, whole)


def test_the_table_names_what_was_measured(example: ModuleType) -> None:
    def rows(model: str, value: float) -> Iterator[dict[str, Any]]:
        for kind, level in example.UNSEEN:
            for gain in example.GAINS:
                for seconds in example.SECONDS:
                    where = {"noise": kind, "level": level, "gain": gain, "seconds": seconds}
                    yield {"model": model, "measure": example.ONSETS, "value": value, "cell": 3.0} | where
        for kind, level in (example.NONE, *example.UNSEEN):
            for gain in (1.0, *example.GAINS):
                where = {"noise": kind, "level": level, "gain": gain}
                yield {"model": model, "measure": example.WHOLE, "value": value} | where

    shown = example.table([*rows("published", 0.5), *rows("r0", 0.75), *rows("r1", 1.0)])
    assert "| white, 0.003 | 0.25 | 50.0 | 50.0, 50.0 | 75.0 / 100.0 | 75.0 / 100.0 | 3.0 |" in shown
    assert "| none | 1.0 | 50.0 | 75.0 / 100.0 |" in shown


def test_the_table_is_that_of_the_rows(example: ModuleType) -> None:
    rows = [json.loads(line) for line in (RESULTS / "runs.jsonl").read_text().splitlines()]
    assert (RESULTS / "table.md").read_text() == example.table(rows)
    assert not any(row.get("flagged") for row in rows if row["model"] == "published")


@needs_weights
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_published_model_is_read_rightly_and_takes_other_weights(example: ModuleType, tmp_path: Path) -> None:
    assert JIT is not None
    model, heard = example.SileroVAD(Path(JIT)).eval(), 0.1 * frames(1, 30)
    for path in (Path(JIT), tmp_path / "changed.jit"):
        package = torch.jit.load(path)
        package.reset_states()
        with torch.no_grad():
            expected = torch.cat([package(frame[None], 16_000)[0] for frame in heard[0]])
            found = model(heard).logits.sigmoid()[0, :, 0]
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
            model.lstm_cell.bias_ih.add_(0.1)
        example.save_package(model, Path(JIT), tmp_path / "changed.jit")
