"""Silero VAD (package silero-vad 6.2.3, MIT) at 16 kHz, from its ``.safetensors`` or its ``.jit``, as a sequence model.

It reads B rows of T frames of 512 samples, [B, T, 512], and answers the logit of speech in each, [B, T, 1].
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lengthwise import SequenceModel, State
from lengthwise.models.base import Output
from lengthwise.state import Kind

FRAME, CONTEXT, WIDTH = 512, 64, 128
JIT = {"stft_conv.weight": "stft.forward_basis_buffer", "lstm_cell": "decoder.rnn", "final_conv": "decoder.decoder.2"}
JIT |= {f"conv{number + 1}": f"encoder.{number}.reparam_conv" for number in range(4)}


class SileroVAD(SequenceModel):
    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        for number, (inner, outer, stride) in enumerate(((129, 128, 1), (128, 64, 2), (64, 64, 2), (64, 128, 1)), 1):
            self.add_module(f"conv{number}", nn.Conv1d(inner, outer, 3, stride=stride, padding=1))
        self.lstm_cell, self.final_conv = nn.LSTMCell(WIDTH, WIDTH), nn.Conv1d(WIDTH, 1, 1)
        own = self.state_dict()
        self.jit = {n: f"_model.{n.replace(part, JIT[part])}" for n in own for part in JIT if n.startswith(part)}
        jit = weights.suffix == ".jit"
        found = torch.jit.load(weights).state_dict() if jit else load_file(weights)
        self.load_state_dict({name: found[there if jit else name] for name, there in self.jit.items()})

    def initial_state(self, batch_size: int) -> State:
        zeros = [self.final_conv.weight.new_zeros(batch_size, size) for size in (WIDTH, WIDTH, CONTEXT)]
        return State(dict(zip(("hidden", "cell", "context"), zeros, strict=True)), {"context": Kind.CONV})

    def encode(self, samples: Tensor) -> Tensor:
        """Return what the cell reads, [B, T, 128], of samples with the 64 before them."""
        x = nn.functional.pad(samples.unfold(1, CONTEXT + FRAME, FRAME).flatten(0, 1), (0, CONTEXT), "reflect")
        x = self.stft_conv(x[:, None]).unflatten(1, (2, 129)).square().sum(1).sqrt()
        for number in range(1, 5):
            x = self.get_submodule(f"conv{number}")(x).relu()
        return x.view(len(samples), -1, WIDTH)

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        before = self.initial_state(len(tokens)) if state is None else state
        samples = torch.cat([before["context"], tokens.flatten(1)], 1)
        start, cell = (before["hidden"][None], before["cell"][None]), list(self.lstm_cell.parameters())
        y_BTC, h, c = torch.lstm(self.encode(samples), start, cell, True, 1, 0.0, False, False, True)
        after = State({"hidden": h[0], "cell": c[0], "context": samples[:, -CONTEXT:]}, {"context": Kind.CONV})
        return Output(self.final_conv(y_BTC.relu().transpose(1, 2)).transpose(1, 2), after)

    def gives_every_prefix(self) -> bool:
        return True

    def save(self, path: Path) -> None:
        save_file({name: weight.contiguous() for name, weight in self.state_dict().items()}, path)
