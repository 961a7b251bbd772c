"""Provenance: what made the numbers, that is commands, commits, machines, versions, seeds."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from lengthwise.runs.table import Run


def describe_provenance(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return what made a report, in words; each list holds different values once.

    Args:
        runs: of the report.

    Returns:
        Heading -> values, for the headings commands, commits, seeds, machines, versions and dates.
    """
    environments = [run.environment for run in runs if run.environment]
    return {
        "commands": _once(_command(run) for run in runs),
        "commits": _once(_commit(environment) for environment in environments),
        "seeds": [str(seed) for seed in sorted({run.head.seed for run in runs})],
        "machines": _once(_machine(environment.get("machine", {})) for environment in environments),
        "versions": _once(_versions(environment) for environment in environments),
        "dates": _once(str(environment.get("started", ""))[:10] for environment in environments),
    }


def _command(run: Run) -> str:
    recorded = run.environment.get("command")
    return recorded or shlex.join(["lengthwise", "train", run.head.recipe, "--seed", str(run.head.seed)])


def _commit(environment: dict[str, Any]) -> str:
    commit = environment.get("commit")
    if not commit:
        return f"lengthwise {environment.get('lengthwise', 'of an unknown version')}, installed without its repository"
    return f"{commit} with uncommitted changes" if environment.get("modified") else str(commit)


def _machine(machine: dict[str, Any]) -> str:
    parts = [machine.get("processor"), f"{machine['cores']} cores" if "cores" in machine else None]
    return ", ".join(str(part) for part in (*parts, machine.get("system")) if part)


def _versions(environment: dict[str, Any]) -> str:
    packages = environment.get("packages", {})
    named = {"lengthwise": environment.get("lengthwise"), "Python": environment.get("python"), **packages}
    return ", ".join(f"{name} {version}" for name, version in named.items() if version)


def _once(values: Iterable[str]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value]
