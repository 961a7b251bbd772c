"""Engines: where the runs of a sweep are worked on."""

from lengthwise.registry import Registry

ENGINES: Registry = Registry(
    "engine",
    {
        "local": "lengthwise.runs.engines.local:LocalEngine",
        "ray": "lengthwise.runs.engines.ray:RayEngine",
        "slurm": "lengthwise.runs.engines.slurm:SlurmEngine",
    },
    base="lengthwise.runs.engines.base:Engine",
)
