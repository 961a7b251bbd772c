"""Optimisers: AdamW, AMSGrad or Muon, with warm-up, clipping and gradient centralisation."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lengthwise.training.config import OptimiserConfig


def build_optimisers(model: nn.Module, config: OptimiserConfig) -> list[torch.optim.Optimizer]:
    """Return the optimisers that share a model's parameters between them.

    Args:
        model: whose parameters are trained.
        config: the settings; with ``muon`` every matrix but those of embeddings and of the classifier is Muon's.

    Source: Loshchilov, Hutter 2019 (AdamW); Reddi et al. 2018 (AMSGrad); Jordan et al. 2024 (Muon), with steps scaled
    to the size of AdamW's after Liu et al. 2025.
    """
    named = list(model.named_parameters())
    inner = {
        name
        for name, parameter in named
        if config.name == "muon" and parameter.ndim == 2 and not name.startswith(("encoder.embedding", "classifier"))
    }
    adamw = torch.optim.AdamW(
        [parameter for name, parameter in named if name not in inner],
        lr=config.learning_rate,
        betas=config.betas,
        weight_decay=config.weight_decay,
        amsgrad=config.amsgrad,
        fused=True,
    )
    if not inner:
        return [adamw]
    muon = torch.optim.Muon(
        [parameter for name, parameter in named if name in inner],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    return [adamw, muon]


def learning_rate(config: OptimiserConfig, progress: float) -> float:
    """Return the learning rate at a point of training.

    Args:
        config: the schedule.
        progress: the fraction of all steps that this step completes, in (0, 1].
    """
    if progress < config.warm_up:
        return config.learning_rate * progress / config.warm_up
    if config.tail == "constant":
        return config.learning_rate
    fraction = (progress - config.warm_up) / max(1.0 - config.warm_up, 1e-9)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(fraction, 1.0)))


def prepare_gradients(parameters: Iterable[nn.Parameter], config: OptimiserConfig) -> Tensor:
    """Centralise and clip the gradients in place and return their norm before clipping.

    Source: Yong et al. 2020 (gradient centralisation); the mean is over the output axis, as in the paper's code.
    """
    owned = list(parameters)
    if config.centralise:
        for parameter in owned:
            if parameter.grad is not None and parameter.grad.ndim > 1:
                parameter.grad.sub_(parameter.grad.mean(0, keepdim=True))
    bound = math.inf if config.clip is None else config.clip
    return nn.utils.clip_grad_norm_(owned, bound)
