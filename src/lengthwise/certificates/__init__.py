"""Certificates: finite automata and algebras extracted from trained models, and proofs about them.

A method of certification is a function ``(model: SequenceModel, task: Language, limits: Limits) -> Finding``; that of
nested units, ``pushdown``, takes a bracketed `Task` and returns a `NestedFinding`.
"""

from lengthwise.registry import Registry

METHODS: Registry = Registry(
    "method",
    {
        "raw": "lengthwise.certificates.methods:certify_raw",
        "rounded": "lengthwise.certificates.methods:certify_rounded",
        "snapped": "lengthwise.certificates.snapped:certify_snapped",
        "pushdown": "lengthwise.certificates.nested:certify_nested",
        "black_box": "lengthwise.certificates.blackbox:certify_black_box",
    },
)
"""Method name -> what finds out by it about a model; see `lengthwise.certificates.certificate.Method`."""
