"""State passing in a training loop of one's own: three lines around a model that is not ours either."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise import StatePassingConfig
from lengthwise.models.base import Output, SequenceModel
from lengthwise.state import State

SYMBOLS, WIDTH, BATCH_SIZE, LENGTH, STEPS = 16, 32, 16, 32, 200


class CharacterGRU(SequenceModel):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.recurrence = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.readout = nn.Linear(WIDTH, SYMBOLS)

    def initial_state(self, batch_size: int) -> State:
        return State({"hidden": self.readout.weight.new_zeros(batch_size, WIDTH)})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        start = self.initial_state(len(tokens)) if state is None else state
        values, last = self.recurrence(self.embedding(tokens), start["hidden"][None])
        return Output(self.readout(values), State({"hidden": last[0]}))


def random_text(length: int, rng: torch.Generator) -> Tensor:
    """Every symbol is followed by one of four others."""
    followers = torch.stack([torch.randperm(SYMBOLS, generator=rng)[:4] for _ in range(SYMBOLS)]).tolist()
    text = [0]
    for choice in torch.randint(4, (length - 1,), generator=rng).tolist():
        text.append(followers[text[-1]][choice])
    return torch.tensor(text)


torch.manual_seed(0)
rng = torch.Generator().manual_seed(0)
text = random_text(20_000, rng)
model = CharacterGRU()
optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
passing = StatePassingConfig().build()

for step in range(1, STEPS + 1):
    starts = torch.randint(len(text) - LENGTH, (BATCH_SIZE, 1), generator=rng)
    window = text[starts + torch.arange(LENGTH + 1)]
    state = passing.begin(model, BATCH_SIZE, rng)
    logits, state = model(window[:, :-1], state)
    passing.observe(state)
    loss = F.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if step in (1, STEPS):
        print(f"step {step}: perplexity {loss.exp():.1f}, of {SYMBOLS} symbols")

with torch.no_grad():
    nats = F.cross_entropy(model(text[None, :-1]).logits[0], text[1:])
print(f"the whole text, {len(text) // LENGTH} times as long as a window: perplexity {nats.exp():.1f}")
