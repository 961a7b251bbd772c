"""Settings of training."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lengthwise.training.curriculum import AnyLengths, UniformLengths


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class OptimiserConfig(_Settings):
    """Settings of the optimiser and its learning-rate schedule."""

    name: Literal["adamw", "muon"] = "adamw"
    """``muon``: matrices inside the operator and the feed-forward layers take orthogonalised steps of the size that
    AdamW's have; all other parameters stay with AdamW."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """The peak learning rate."""
    amsgrad: bool = True
    """Whether second moments keep their maximum."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the first and second moments."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay."""
    warm_up: float = Field(default=0.2, ge=0, le=1)
    """The fraction of training over which the learning rate rises linearly."""
    tail: Literal["constant", "cosine"] = "constant"
    """What the learning rate does after the warm-up."""
    clip: float | None = Field(default=1.0, gt=0)
    """Largest global norm of the gradient; none for no bound."""
    centralise: bool = True
    """Whether the mean over the output axis is taken off the gradient of every matrix."""


class AssociativityConfig(_Settings):
    """A penalty on the difference that brackets make, on unlabelled strings longer than those trained on.

    The strings are put together from nodes of the batch's trees and reduced twice, with different brackets.
    """

    weight: float = Field(default=0.0, ge=0)
    """Factor of the mean squared difference of the roots."""
    strings: int = Field(default=32, ge=1)
    """Strings a step."""
    pieces: int = Field(default=16, ge=3)
    """Nodes in a string."""
    start: float = Field(default=0.0, ge=0, lt=1)
    """The fraction of training after which the penalty counts."""


class ProductsConfig(_Settings):
    """Products of any two elements of the task's transition monoid, beside the batch.

    A product is learned where it can be told: as the string ``a x y b`` with brackets ``(a (x y)) b``, where x and y
    are two elements, as the shortest strings that act like them or as nodes of the batch's trees, and a and b are a
    context that tells elements apart. No string is longer than the longest of the batches.
    """

    weight: float = Field(default=1.0, gt=0)
    """Factor of their mean loss beside that of the batch."""
    merging: float = Field(default=1.0, ge=0)
    """Factor of the mean squared difference between the vector of a node in the batch's trees and that of the shortest
    string which acts like the substring under it, over the nodes that are farthest off: it keeps long strings from
    drifting away from short ones."""
    candidates: int = Field(default=256, ge=1)
    """Products that are read in a step, drawn evenly over all pairs; each counts as a sequence seen."""
    by_class: bool = Field(default=False, exclude_if=lambda chosen: not chosen)
    """Whether the class that a product is to show is drawn evenly from those it can show, and then a context for it;
    otherwise contexts are drawn evenly, and few show anything where most strings are rejected."""
    hardest: int = Field(default=128, ge=1)
    """How many of them are learned, those with the highest loss; and how many nodes are farthest off."""
    start: float = Field(default=0.2, ge=0, lt=1)
    """The fraction of training after which they count."""
    elements: int = Field(default=5_000, ge=1)
    """The largest monoid that is listed."""


class CounterexamplesConfig(_Settings):
    """Strings on which the automaton inside a unit is wrong once it is rounded, found as training goes on.

    They are no longer than the longest of the batches, take the place of rows of a batch, and go on as these rows do
    where the batch is longer.
    """

    share: float = Field(default=0.3, gt=0, lt=1)
    """The fraction of a batch that begins with a counterexample, once some are known."""
    start: float = Field(default=0.3, ge=0, lt=1)
    """The fraction of training after which they are looked for."""
    every: int = Field(default=50, ge=1)
    """Steps between two searches."""
    keep: int = Field(default=512, ge=1)
    """How many are kept, the latest first; the latest are drawn most often."""


class StopConfig(_Settings):
    """When training ends before all its steps are taken: its loss has been next to zero for long."""

    loss_below: float = Field(gt=0)
    """What the running mean of the training loss must stay below; it is the mean over about 50 steps."""
    steps: int = Field(default=300, ge=1)
    """For how many steps in a row."""


class LoopConfig(_Settings):
    """Settings of any training."""

    steps: int = Field(default=1000, ge=1)
    """Optimiser steps."""
    batch_size: int = Field(default=256, ge=1)
    """Rows a step."""
    checkpoint_every: int = Field(default=500, ge=1)
    """Steps between checkpoints."""
    log_every: int = Field(default=50, ge=1)
    """Steps between rows of metrics."""


class TrainingConfig(LoopConfig):
    """Settings of training on strings of a language."""

    lengths: AnyLengths = UniformLengths()
    """Which length the next batch has."""
    optimiser: OptimiserConfig = OptimiserConfig()
    """The optimiser and its schedule."""
    mixture: dict[str, float] = {"standard": 1.0}
    """Share of each kind of string in a batch; the task says which kinds it knows."""
    bracketing: Literal["balanced", "shifted", "random"] = "balanced"
    """Of an LDRU's trees, drawn for each batch. ``shifted``: each level carries its first node up unpaired with
    probability 1/2; ``random``: trees of any shape from balanced to very deep (see `random_tree`)."""
    supervision: Literal["root", "prefixes", "nodes"] = "root"
    """``root``: one label a string; ``prefixes``: one for each of its prefixes, for models that give logits after every
    token and for the stochastic operator, whose first row is enough; ``nodes``: beside the root every node of an LDRU
    learns the label of the substring under it."""
    node_weight: float = Field(default=1.0, ge=0)
    """Factor of the nodes' mean loss beside that of the root."""
    share_subtrees: bool = True
    """Whether an LDRU computes equal substrings of a batch once; needs odd levels that carry."""
    associativity: AssociativityConfig = AssociativityConfig()
    """A penalty that makes an LDRU's operator associative."""
    # What follows is left out of resolved recipes where there is none: the digests of older results stay true.
    products: ProductsConfig | None = Field(default=None, exclude_if=lambda products: products is None)
    """Products of the task's transition monoid that an LDRU's operator learns; none by default."""
    counterexamples: CounterexamplesConfig | None = Field(default=None, exclude_if=lambda found: found is None)
    """Strings on which a unit with the stochastic operator is wrong once rounded; needs prefixes; none by default."""
    stop: StopConfig | None = Field(default=None, exclude_if=lambda stop: stop is None)
    """When training ends early; never by default."""


class TextOptimiserConfig(OptimiserConfig):
    """Settings of the optimiser for language models, with defaults of their own."""

    amsgrad: bool = False
    """Whether second moments keep their maximum."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay of the first and second moments."""
    warm_up: float = Field(default=0.1, ge=0, le=1)
    """The fraction of training over which the learning rate rises linearly."""
    tail: Literal["constant", "cosine"] = "cosine"
    """What the learning rate does after the warm-up."""
    centralise: bool = False
    """Whether the mean over the output axis is taken off the gradient of every matrix."""


class TextTrainingConfig(LoopConfig):
    """Settings of training a language model on text."""

    steps: int = Field(default=1000, ge=0)
    """Optimiser steps; 0 measures a pretrained model as it is."""
    batch_size: int = Field(default=32, ge=1)
    """Windows a step, of each process."""
    context: int = Field(default=64, ge=1)
    """T, the symbols that a window predicts: the training context."""
    # Left out of resolved recipes at their defaults: the digests of results that are older than they stay true.
    accumulation: int = Field(default=1, ge=1, exclude_if=lambda parts: parts == 1)
    """Parts of a step's windows that are read one after the other: less memory, the same gradient."""
    precision: Literal["float32", "bfloat16"] = Field(default="float32", exclude_if=lambda name: name == "float32")
    """``bfloat16``: matrix products are computed in it; parameters, states and their sums stay in float32."""
    recompute: int | None = Field(default=None, ge=1, exclude_if=lambda tokens: tokens is None)
    """Gradient checkpointing along time: windows are read in pieces of so many tokens with the state carried, and the
    backward pass computes each piece once more instead of keeping what it computed; never by default."""
    optimiser: TextOptimiserConfig = TextOptimiserConfig()
    """The optimiser and its schedule."""
