"""Engines: where the runs of a sweep are worked on."""

from lengthwise.registry import Registry

ENGINES: Registry = Registry(
    "engine",
    {
        "local": "lengthwise.experiments.engines.local:LocalEngine",
        "ray": "lengthwise.experiments.engines.ray:RayEngine",
    },
)
