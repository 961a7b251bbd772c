"""Closing the algebra of D_12 on one thread: 819 elements, 670,761 products.

The operator is exactly right: it multiplies in the transition monoid of D_12 on random vectors of width 64. Run
``python benchmarks/algebra.py``; it writes results/benchmarks/algebra.json.
"""

from __future__ import annotations

import time

import torch
from record import Options, write_record
from torch import Tensor

from lengthwise.certificates.algebra import extract_algebra
from lengthwise.certificates.reading import Reading
from lengthwise.tasks import get_language
from lengthwise.tasks.regular.language import Language

TASKS = ("dyck_2", "dyck_6", "dyck_12")
WIDTH = 64


def exact_reading(task: Language) -> Reading:
    """Return an operator that multiplies as the task's transition monoid does."""
    generator = torch.Generator().manual_seed(0)
    monoid = task.automaton.transition_monoid()
    codes = torch.nn.functional.normalize(torch.randn(monoid.size, WIDTH, generator=generator), dim=1)
    product = torch.tensor(monoid.product)
    outputs = torch.tensor(task.automaton.outputs_S[monoid.elements_MS[:, task.automaton.start]])

    def decode(values: Tensor) -> Tensor:
        return (values @ codes.T).argmax(-1)

    def readout(values: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(outputs[decode(values)], task.classes).float()

    def join(left: Tensor, right: Tensor) -> Tensor:
        return codes[product[decode(left), decode(right)]]

    return Reading(join, codes[torch.tensor(monoid.generators)], readout)


def main() -> None:
    """Measure and write."""
    parser = Options(__file__, __doc__, tasks=TASKS[:1])
    parser.add_argument("--tasks", nargs="+", default=TASKS, help="names of tasks")
    arguments = parser.read()
    torch.set_num_threads(1)
    rows: list[dict[str, object]] = []
    for name in arguments.tasks:
        task = get_language(name)
        reading = exact_reading(task)
        began, used = time.perf_counter(), time.process_time()
        algebra = extract_algebra(reading, task.automaton)
        seconds, processor = time.perf_counter() - began, time.process_time() - used
        right = algebra.table.is_associative() and algebra.table.homomorphism(task.automaton) is not None
        row = {"task": name, "elements": algebra.table.size, "right": right}
        rows.append(row | {"seconds": round(seconds, 2), "processor_seconds": round(processor, 2)})
        print(*(f"{key} {value}" for key, value in rows[-1].items()), sep="  ")
    write_record(arguments.out, rows=rows)


if __name__ == "__main__":
    main()
