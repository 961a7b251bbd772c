"""Evaluation: metrics at the points of a task, and diagnostics of what happens beyond the training length."""

from lengthwise.registry import Registry

METRICS: Registry = Registry(
    "metric",
    {
        name: f"lengthwise.evaluation.metrics:{name}"
        for name in ("accuracy", "sequence_accuracy", "cross_entropy", "squared_error", "binary_cross_entropy")
    },
)
"""Metric name -> a function ``(answers, targets, rows, count) -> scores``; see `lengthwise.evaluation.metrics`."""

DIAGNOSTICS: Registry = Registry(
    "diagnostic",
    {
        "by_point": "lengthwise.evaluation.by_point:ByPoint",
        "floors": "lengthwise.evaluation.floors:Floors",
        "perplexity": "lengthwise.evaluation.beyond:Perplexity",
        "remembrance": "lengthwise.evaluation.beyond:EffectiveRemembrance",
        "starts": "lengthwise.evaluation.starts:Starts",
        "state_statistics": "lengthwise.evaluation.beyond:StateStatistics",
    },
    # What else stands where their sections do.
    reserved=("curve_every", "diagnostics", "filled"),
    base="lengthwise.evaluation.diagnostic:Diagnostic",
)
"""Diagnostic name -> its class, a `lengthwise.evaluation.diagnostic.Diagnostic`."""
