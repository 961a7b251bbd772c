"""A plain PyTorch language model as a `SequenceModel`: checked, diagnosed, and repaired with state passing."""

import torch
from torch import Tensor, nn

from lengthwise import StatePassingConfig, check_contract, position_losses
from lengthwise.interventions.zero import Zero
from lengthwise.models.base import Output, SequenceModel
from lengthwise.state import State

SYMBOLS, WIDTH, CONTEXT, ENTRIES = 8, 32, 16, ("hidden", "cell")


class PlainLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.recurrence = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.readout = nn.Linear(WIDTH, SYMBOLS)
        # Forget gates that start open keep memory for long, and here for longer than a window can teach.
        nn.init.constant_(self.recurrence.bias_hh_l0.data[WIDTH : 2 * WIDTH], 6.0)

    def forward(self, tokens: Tensor, start: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        values, final = self.recurrence(self.embedding(tokens), start)
        return self.readout(values), final


class Wrapped(SequenceModel):
    def __init__(self, model: PlainLSTM) -> None:
        super().__init__()
        self.model = model

    def initial_state(self, batch_size: int) -> State:
        return State({name: self.model.readout.weight.new_zeros(batch_size, WIDTH) for name in ENTRIES})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        before = state or self.initial_state(len(tokens))
        logits, final = self.model(tokens, tuple(before[name][None] for name in ENTRIES))
        return Output(logits, State({name: entry[0] for name, entry in zip(ENTRIES, final, strict=True)}))


def text(length: int, rows: int = 32) -> Tensor:
    """Each row favours one symbol of eight at a time, and another one after 100 symbols or so."""
    chance, symbols = torch.rand(2, rows, length), torch.randint(SYMBOLS, (2, rows, length))
    return torch.where(chance[0] < 0.5, symbols[0].gather(1, (chance[1] < 0.01).cumsum(1)), symbols[1])


torch.manual_seed(0)
model, held_out, rng = Wrapped(PlainLSTM()), text(64 * CONTEXT + 1), torch.Generator().manual_seed(0)
print("the contract holds:", all(finding.holds for finding in check_contract(model, SYMBOLS)))
for intervention in (Zero(), StatePassingConfig().build()):
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.003)
    for window in (text(CONTEXT + 1) for _ in range(600)):
        logits, state = model(window[:, :-1], intervention.begin(model, len(window), rng))
        intervention.observe(state)
        optimiser.zero_grad()
        nn.functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten()).backward()
        optimiser.step()
    losses = position_losses(model, held_out, bins=1)
    print(intervention.name, *(f"{loss.end}: {loss.perplexity:.2f}" for loss in losses))
