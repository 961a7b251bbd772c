"""How a sequence starts: initial-state interventions, the only thing that they change about training."""

from lengthwise.registry import Registry

INTERVENTIONS: Registry = Registry(
    "intervention",
    {
        "zero": "lengthwise.interventions.zero:ZeroConfig",
        "random_noise": "lengthwise.interventions.noise:RandomNoiseConfig",
        "fitted_noise": "lengthwise.interventions.noise:FittedNoiseConfig",
        "state_passing": "lengthwise.interventions.passing:StatePassingConfig",
        "filler_passing": "lengthwise.interventions.filler:FillerPassingConfig",
        "tbptt": "lengthwise.interventions.passing:TBPTTConfig",
    },
    base="lengthwise.interventions.base:InterventionConfig",
)
