"""``lengthwise check``."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lengthwise.cli.arguments import SET
from lengthwise.cli.check_library import print_findings
from lengthwise.cli.completion import complete_model
from lengthwise.errors import InputError
from lengthwise.registry import nearest_name

if TYPE_CHECKING:
    from lengthwise.models.base import ModelConfig


def check(
    model: Annotated[
        str,
        typer.Argument(
            help="A model, a mixer, package.module:Config, a checkpoint's path (hf:PATH where a model is called so), "
            "hf-config:FAMILY for a small random model of transformers, or hf-config:all.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ],
    set_: Annotated[list[str] | None, SET] = None,
    length: Annotated[
        int | None,
        typer.Option(
            min=8,
            help="Tokens a row; by default 37, or two chunks and a token where a mixer reads in chunks. "
            "Models of transformers always read 19 + 13.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the parameters and the tokens.")] = 0,
    remote_code: Annotated[bool, typer.Option("--remote-code", help="Run Python files in the checkpoint.")] = False,
    expected: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Of a checkpoint: tokens and logits of its own package (safetensors)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Of a checkpoint: print what was found as JSON.")] = False,
) -> None:
    """Check the state contract of a model: reading in one call equals reading in pieces.

    Models of transformers are checked in float32, with the library alone and with our patches; others in float64.
    """
    kind, _, name = model.partition(":")
    if kind not in ("hf", "hf-config") and _is_path(model):
        kind, name = "hf", model
    if kind in ("hf", "hf-config"):
        if length is not None:
            raise InputError("models of transformers are checked on chunks of 19 and 13 tokens; leave --length out")
        from lengthwise.cli.check_library import check_checkpoint, check_families

        if kind == "hf-config":
            check_families(name, set_ or [], seed=seed)
        elif set_:
            raise InputError("a checkpoint has its own settings; --set goes with hf-config:FAMILY")
        else:
            check_checkpoint(Path(name), remote_code=remote_code, seed=seed, expected=expected, as_json=as_json)
    else:
        _check_own(model, set_ or [], length, seed)


def _is_path(model: str) -> bool:
    """Return whether what was given is the path of something, or a name on the hub, and no model of ours."""
    from lengthwise.models import MIXERS, MODELS

    if model in MODELS or model in MIXERS or ":" in model:
        return False
    return Path(model).exists() or "/" in model


def _check_own(model: str, overrides: list[str], length: int | None, seed: int) -> None:
    import torch

    from lengthwise.evaluation.contract import check_contract
    from lengthwise.models.base import with_state
    from lengthwise.spaces import Tokens

    vocabulary = 7
    torch.manual_seed(seed)
    config = _model(model, overrides)
    built = config.build(Tokens(vocabulary), Tokens(vocabulary)).double()
    tokens = _default_length(config) if length is None else length
    findings = check_contract(with_state(built, "the state contract"), vocabulary, length=tokens, seed=seed)
    print_findings(findings)
    if not all(finding.holds for finding in findings):
        raise typer.Exit(1)


def _default_length(config: ModelConfig) -> int:
    """Return how many tokens are read: more than two chunks where a mixer reads in chunks, so that cuts fall on one."""
    chunk = getattr(getattr(config, "mixer", None), "chunk", None)
    return 37 if chunk is None else max(37, 2 * chunk + 1)


def _model(name: str, overrides: list[str]) -> ModelConfig:
    """Return the settings of a model, or of a small backbone around a mixer."""
    from pydantic import ValidationError

    from lengthwise.models import MIXERS
    from lengthwise.models.backbone import BackboneConfig
    from lengthwise.runs.overrides import apply_overrides
    from lengthwise.runs.problems import explain

    kind: Any = MIXERS.load(name) if name in MIXERS else _find(name)
    try:
        config = kind.model_validate(apply_overrides(kind().model_dump(mode="json"), overrides))
    except ValidationError as error:
        raise InputError(f"model {name}:\n{explain(error, kind.model_json_schema())}") from error
    return BackboneConfig(mixer=config) if name in MIXERS else config


def _find(model: str) -> type[ModelConfig]:
    from lengthwise.models import MIXERS, MODELS
    from lengthwise.models.base import ModelConfig

    if ":" not in model:
        if model not in MODELS:
            raise InputError(f"unknown model {model!r}; {nearest_name(model, [*MODELS, *MIXERS])}")
        return MODELS.load(model)
    try:
        found = pkgutil.resolve_name(model)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"cannot import {model}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, ModelConfig)):
        raise InputError(f"{model} is not a subclass of lengthwise.models.base.ModelConfig")
    return found
