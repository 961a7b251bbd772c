"""Training: one loop for any task, model, objective and start."""

from lengthwise.registry import Registry

OBJECTIVES: Registry = Registry(
    "objective",
    {
        "asked": "lengthwise.training.objectives.asked:AskedConfig",
        "prefixes": "lengthwise.training.objectives.prefixes:PrefixesConfig",
        "distil": "lengthwise.training.objectives.distil:DistilConfig",
        "tree": "lengthwise.training.objectives.tree:TreeConfig",
        "counterexamples": "lengthwise.certificates.counterexamples:CounterexamplesConfig",
    },
    base="lengthwise.training.objectives.base:ObjectiveConfig",
)
"""Objective name -> the class of its settings."""

CURRICULA: Registry = Registry(
    "curriculum",
    {
        "uniform": "lengthwise.training.curriculum:Uniform",
        "log_uniform": "lengthwise.training.curriculum:LogUniform",
        "growing": "lengthwise.training.curriculum:Growing",
    },
    kinds="curricula",
    base="lengthwise.training.curriculum:Curriculum",
)
"""Curriculum name -> its class."""

TRACKERS: Registry = Registry(
    "tracker",
    {
        "tensorboard": "lengthwise.training.trackers:TensorBoard",
        "mlflow": "lengthwise.training.trackers:MLflow",
        "wandb": "lengthwise.training.trackers:WeightsAndBiases",
    },
    base="lengthwise.training.trackers:Tracker",
)
"""Tracker name -> its class."""
