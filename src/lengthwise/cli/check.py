"""``lengthwise check``."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lengthwise.cli.arguments import SET
from lengthwise.cli.check_library import print_findings
from lengthwise.cli.completion import complete_model
from lengthwise.errors import InputError, reason_of
from lengthwise.registry import nearest_name

if TYPE_CHECKING:
    from lengthwise.models.base import ModelConfig

_SYMBOLS = 7
"""The different symbols that are read."""


def check(
    model: Annotated[
        str,
        typer.Argument(
            help="A model, a mixer, package.module:Config, a checkpoint's path (hf:PATH where a model is called so), "
            "hf-config:FAMILY for a small random model of transformers, hf-config:all, or package.module:step, a "
            "server's (tokens, state) -> (logits, state).",
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
    serving: Annotated[
        bool,
        typer.Option(
            "--serving",
            help="Ask what servers get wrong too: every cut, short chunks, shared prefixes, snapshots, bfloat16.",
        ),
    ] = False,
    symbols: Annotated[
        int | None, typer.Option(min=2, help="Of a step: the different symbols that it reads; 7.")
    ] = None,
) -> None:
    """Check the state contract of a model: reading in one call equals reading in pieces.

    Models of transformers are checked in float32, with the library alone and with our patches; others in float64. A
    step is asked what servers get wrong, as it is.
    """
    kind, _, name = model.partition(":")
    if kind not in ("hf", "hf-config") and _is_path(model):
        kind, name = "hf", model
    if kind in ("hf", "hf-config"):
        if length is not None:
            raise InputError("models of transformers are checked on chunks of 19 and 13 tokens; leave --length out")
        if symbols is not None:
            raise InputError("a checkpoint has its own symbols; --symbols goes with a step, package.module:step")
        from lengthwise.cli.check_library import check_checkpoint, check_families

        if kind == "hf-config":
            check_families(name, set_ or [], seed=seed, serving=serving)
        elif set_:
            raise InputError("a checkpoint has its own settings; --set goes with hf-config:FAMILY")
        else:
            check_checkpoint(
                Path(name), remote_code=remote_code, seed=seed, expected=expected, as_json=as_json, serving=serving
            )
    else:
        _check_own(model, set_ or [], length, seed, serving, symbols)


def _is_path(model: str) -> bool:
    """Return whether what was given is the path of something, or a name on the hub, and no model of ours."""
    from lengthwise.models import MIXERS, MODELS

    if model in MODELS or model in MIXERS or ":" in model:
        return False
    return Path(model).exists() or "/" in model


def _check_own(
    model: str, overrides: list[str], length: int | None, seed: int, serving: bool, symbols: int | None
) -> None:
    import torch

    from lengthwise.evaluation.contract import check_contract
    from lengthwise.evaluation.serving import check_serving
    from lengthwise.models.base import with_state
    from lengthwise.spaces import Tokens

    found = _found(model) if ":" in model else None
    if found is not None and not isinstance(found, type):
        if overrides:
            raise InputError(f"{model} is a step as it is; --set goes with the settings of a model")
        findings = check_serving(found, symbols or _SYMBOLS, length=length or 37, seed=seed)
    else:
        if symbols is not None:
            raise InputError("a model is made for the symbols that it is checked with; --symbols goes with a step")
        torch.manual_seed(seed)
        config = _model(model, overrides)
        built = with_state(config.build(Tokens(_SYMBOLS), Tokens(_SYMBOLS)).double(), "the state contract")
        tokens = _default_length(config) if length is None else length
        findings = check_contract(built, _SYMBOLS, length=tokens, seed=seed)
        if serving:
            findings += check_serving(built, _SYMBOLS, length=tokens, seed=seed)
    print_findings(findings)
    if any(finding.broken for finding in findings):
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
    found = _found(model)
    if not (isinstance(found, type) and issubclass(found, ModelConfig)):
        raise InputError(f"{model} is not a subclass of lengthwise.models.base.ModelConfig")
    return found


def _found(path: str) -> Callable[..., Any]:
    """Return what is called ``package.module:name``, here or installed: settings of a model, or a step."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        found: object = pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"cannot import {path}: {error}") from error
    # The module is the user's, and does whatever it does when it is imported.
    except Exception as error:
        raise InputError(f"cannot import {path}: {reason_of(error)}") from error
    if not callable(found):
        raise InputError(f"{path} is neither a step (tokens, state) -> (logits, state) nor the settings of a model")
    return found
