"""Small language models whose diagnostics are known: shape letters B rows, T tokens, D width, H heads, V symbols."""

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lengthwise.models.base import Output, SequenceModel
from lengthwise.state import Kind, State

VOCABULARY, HEADS, WIDTH = 5, 2, 3


class Layered(SequenceModel):
    """Two layers of h <- tanh(W h + u): the first with heads [B, H, D], the second without [B, D]."""

    counts_positions = False

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, HEADS * WIDTH)
        self.first = nn.Linear(HEADS * WIDTH, HEADS * WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)
        self.readout = nn.Linear(WIDTH, VOCABULARY)
        self.tokens_read: list[int] = []
        self.double()

    def initial_state(self, batch_size: int) -> State:
        weight = self.readout.weight
        entries = {
            "layers.0.hidden": weight.new_zeros(batch_size, HEADS, WIDTH),
            "layers.1.hidden": weight.new_zeros(batch_size, WIDTH),
            "conv": weight.new_zeros(batch_size, WIDTH),
        }
        kinds = {"conv": Kind.CONV}
        if self.counts_positions:
            entries["position"], kinds["position"] = torch.zeros(batch_size, dtype=torch.int64), Kind.POSITION
        return State(entries, kinds)

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        state = self.initial_state(len(tokens)) if state is None else state
        self.tokens_read.append(tokens.numel())
        first_BD, second_BD = state["layers.0.hidden"].flatten(1), state["layers.1.hidden"]
        logits = []
        for x_BD in self.embedding(tokens).unbind(1):
            first_BD = torch.tanh(self.first(first_BD) + x_BD)
            second_BD = torch.tanh(self.second(second_BD) + first_BD[:, :WIDTH])
            logits.append(self.readout(second_BD + 0.1 * state["conv"]))
            state = State({**state, "conv": x_BD[:, :WIDTH]}, state.kinds)
        entries = {"layers.0.hidden": first_BD.unflatten(1, (HEADS, WIDTH)), "layers.1.hidden": second_BD}
        if self.counts_positions:
            entries["position"] = state["position"] + tokens.shape[1]
        return Output(torch.stack(logits, 1), State({**state, **entries}, state.kinds))


class LayeredWithPosition(Layered):
    counts_positions = True


class Uniform(SequenceModel):
    """Predicts every symbol alike."""

    def initial_state(self, batch_size: int) -> State:
        return State({"nothing": torch.zeros(batch_size, 1)})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        return Output(torch.zeros(*tokens.shape, VOCABULARY), state or self.initial_state(len(tokens)))


class Window(SequenceModel):
    """Predicts from the last few tokens, and from where it stands in them, and from nothing else."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def initial_state(self, batch_size: int) -> State:
        return State({"window": torch.full((batch_size, self.width), -1.0, dtype=torch.float64)})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        state = self.initial_state(len(tokens)) if state is None else state
        line_BT = torch.cat([state["window"], tokens.double()], 1)
        seen_BTK = line_BT.unfold(1, self.width, 1)[:, 1:] if self.width else line_BT.new_zeros(*tokens.shape, 1)
        weights_KV = torch.arange(1, seen_BTK.shape[-1] * VOCABULARY + 1).double().sin().view(-1, VOCABULARY)
        return Output(seen_BTK @ weights_KV, State({"window": line_BT[:, line_BT.shape[1] - self.width :]}))


class Counter(SequenceModel):
    """Its state grows in a straight line: head h, element d is (h + 1) (d - 1) t after t tokens."""

    def initial_state(self, batch_size: int) -> State:
        return State({"count": torch.zeros(batch_size, HEADS, WIDTH, dtype=torch.float64)})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        state = self.initial_state(len(tokens)) if state is None else state
        slope_HD = torch.outer(torch.arange(1.0, HEADS + 1), torch.arange(WIDTH) - 1.0).double()
        logits = torch.zeros(*tokens.shape, VOCABULARY)
        return Output(logits, State({"count": state["count"] + slope_HD * tokens.shape[1]}))


class Bursting(Layered):
    """Sound until a given token, after which one layer is infinite and every prediction NaN."""

    def __init__(self, burst: int, entry: str = "layers.1.hidden") -> None:
        super().__init__()
        self.burst, self.entry = burst, entry

    def initial_state(self, batch_size: int) -> State:
        state = super().initial_state(batch_size)
        read = {"read": torch.zeros(batch_size, dtype=torch.int64)}
        return State({**state, **read}, {**state.kinds, "read": Kind.POSITION})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        state = self.initial_state(len(tokens)) if state is None else state
        logits, after = super().forward(tokens, state)
        read_B = state["read"] + tokens.shape[1]
        burst_BT = state["read"][:, None] + 1 + torch.arange(tokens.shape[1]) >= self.burst
        over = read_B[:, None] >= self.burst
        broken = after[self.entry].flatten(1).masked_fill(over, torch.inf).view_as(after[self.entry])
        logits = logits.masked_fill(burst_BT[..., None], torch.nan)
        return Output(logits, State({**after, "read": read_B, self.entry: broken}, after.kinds))


class PeakMemory(TorchDispatchMode):
    """Records the most bytes held at once by tensors that were made inside, shared storage counted once."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        given = {storage._cdata for storage in self._storages((args, kwargs))}
        for storage in self._storages(made):
            if storage._cdata not in given:
                self._live[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self._live = {key: (held, size) for key, (held, size) in self._live.items() if not held.expired()}
        self.bytes = max(self.bytes, sum(size for _, size in self._live.values()))
        return made

    @staticmethod
    def _storages(values: object) -> list[torch.UntypedStorage]:
        return [leaf.untyped_storage() for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def random_tokens(rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))
