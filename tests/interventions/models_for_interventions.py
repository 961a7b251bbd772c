import numpy as np
import torch
from torch import Tensor, nn

from lengthwise.models.base import Output, SequenceModel
from lengthwise.spaces import Tokens
from lengthwise.state import Kind, State
from lengthwise.tasks.base import Batch, Ints, Point, Stage, Task

VOCABULARY = 5


class Shifted(SequenceModel):
    """Heads with a decay, a hidden vector, a token shift and a count: one entry of each kind."""

    def __init__(self, dtype: torch.dtype = torch.float64, learned_start: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(VOCABULARY, 6)
        self.recurrent = nn.Linear(4, 4)
        self.readout = nn.Linear(10, VOCABULARY)
        self.start = nn.Parameter(torch.randn(4)) if learned_start else None
        self.to(dtype)

    def initial_state(self, batch_size: int) -> State:
        new = self.readout.weight.new_zeros
        position = torch.zeros(batch_size, dtype=torch.int64, device=self.readout.weight.device)
        hidden = new(batch_size, 4) if self.start is None else self.start.expand(batch_size, 4)
        entries = {"heads": new(batch_size, 2, 3), "hidden": hidden, "shift": new(batch_size, 6), "position": position}
        return State(entries, {"shift": Kind.CONV, "position": Kind.POSITION})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        state = self.initial_state(len(tokens)) if state is None else state
        heads, hidden, shift, position = (state[name] for name in ("heads", "hidden", "shift", "position"))
        decay = torch.tensor([0.5, 0.9]).to(heads).view(1, 2, 1)
        values = []
        for x in self.embedding(tokens).unbind(1):
            mixed, shift = x + 0.7 * shift, x
            heads = decay * heads + mixed.view(-1, 2, 3)
            hidden = torch.tanh(self.recurrent(hidden) + mixed[:, :4])
            values.append(torch.cat([heads.flatten(1), hidden], 1))
        entries = {"heads": heads, "hidden": hidden, "shift": shift, "position": position + tokens.shape[1]}
        return Output(self.readout(torch.stack(values, 1)), State(entries, state.kinds))


class Stateless(SequenceModel):
    """Carries the entries that it is given, none of which is recurrent."""

    def __init__(self, **kinds: Kind) -> None:
        super().__init__()
        self.kinds = kinds
        self.embedding = nn.Embedding(VOCABULARY, VOCABULARY)

    def initial_state(self, batch_size: int) -> State:
        return State({name: torch.zeros(batch_size, 2) for name in self.kinds}, self.kinds)

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        return Output(self.embedding(tokens), self.initial_state(len(tokens)) if state is None else state)


class Prose(Task):
    """A task with filler of any symbols."""

    @property
    def inputs(self) -> Tokens:
        return Tokens(VOCABULARY)

    @property
    def outputs(self) -> Tokens:
        return Tokens(VOCABULARY)

    def points(self, stage: Stage) -> list[Point]:
        return [Point({"length": 6})]

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        drawn = self.draw_filler(rng, rows, point.length or 0)
        return Batch(drawn, drawn)

    def draw_filler(self, rng: np.random.Generator, rows: int, length: int) -> Ints:
        return rng.integers(VOCABULARY, size=(rows, length))


def tokens(rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def final(model: Shifted, rows: int, seed: int = 0) -> State:
    """A final state in which every element of every entry tells where it comes from."""
    start = model.initial_state(rows)
    entries = {
        name: torch.randn(entry.shape, generator=generator(seed + i), dtype=torch.float64).to(entry.dtype)
        for i, (name, entry) in enumerate(start.items())
    }
    return State({**entries, "position": start["position"] + 7}, start.kinds)
