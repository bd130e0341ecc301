"""Chapter 14: quantities, each against a plain backend that runs beside on the same machine."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

import lual
from lual.backend import BoundedQueue, WorkItem
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.system import NEVER, System
from lual_conformance.outcomes import Blocked, expect
from lual_conformance.registry import rule
from lual_conformance.target import Target

#: What stands beside the backend.
_REFERENCE = "lual_conformance.reference.threads:plugin"

#: How many times slower than that a backend may be; it is plain, and far from fast.
_FACTOR = 20.0

#: Rounds of a measurement, of which the best counts: the others were disturbed.
_ROUNDS = 3

#: Real seconds for which an idle backend is watched.
_IDLE = 0.5


class _Sink:
    """A dispatch function that only counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, logger: Any, record: Any) -> None:
        self.count += 1


def _loaded(kit: Kit, count: int) -> System:
    """Returns a running system that takes so many records without a drop."""
    queue = BoundedQueue(2 * count)
    return kit.running(output=_Sink(), queue=queue, max_size=2 * count, batch_size=50)


def _items(count: int) -> list[WorkItem]:
    record = lual.Record.build("a record", logger_name="kit", level=lual.INFO)
    now = time.time()
    return [WorkItem("kit", record, None, now, lual.INFO) for _ in range(count)]


def _flush(system: System) -> None:
    flush = system.kit.background(lambda: system.backend.flush(NEVER), "flush(inf)")
    if not flush.has_ended(10 * system.kit.patience):
        raise Blocked("the records could not be brought through the output")


def _best(kit: Kit, measure: Callable[[Kit], float]) -> tuple[float, float]:
    """Returns the best of some measurements of the backend, and of the one beside it."""
    beside = Kit(Target.find(_REFERENCE), kit.settings)
    try:
        pairs = [(measure(kit), measure(beside)) for _ in range(_ROUNDS)]
    finally:
        beside.close()
    return min(mine for mine, _ in pairs), min(other for _, other in pairs)


def _submit_time(kit: Kit) -> float:
    """Returns the seconds that 99 of 100 calls of submit take at most."""
    items = _items(2000)
    system = _loaded(kit, len(items))
    submit, clock = system.backend.submit, time.perf_counter
    taken = []
    for item in items:
        start = clock()
        submit(item)
        taken.append(clock() - start)
    _flush(system)
    system.stop(kit.seconds(1.0))
    return sorted(taken)[len(taken) * 99 // 100]


def _time_for_all(kit: Kit) -> float:
    """Returns the seconds that many records take until all are written."""
    items = _items(3000)
    system = _loaded(kit, len(items))
    start = time.perf_counter()
    for item in items:
        system.backend.submit(item)
    _flush(system)
    taken = time.perf_counter() - start
    system.stop(kit.seconds(1.0))
    return taken


@rule(
    "14.1",
    "99 of 100 calls of `submit` are about as fast as those of a plain backend.",
    hint="submit appends to the queue and wakes the worker for a reason only",
    must=False,
    needs=("isolates_slow_outputs", "!worker:process"),
    assumes=("4.5", "5.1"),
    level="stress",
    stochastic=True,
)
def submit_is_quick_under_load(kit: Kit) -> None:
    mine, other = _best(kit, _submit_time)
    expect(
        mine <= _FACTOR * other,
        f"99 of 100 submits took up to {mine * 1e6:.0f} us, those of a plain backend beside it "
        f"{other * 1e6:.0f} us",
    )


@rule(
    "14.2",
    "Many records are written about as fast as by a plain backend.",
    hint="look for work that grows with the number of records that wait",
    must=False,
    needs=("!worker:process",),
    assumes=("4.5", "5.1", "5.2"),
    level="stress",
    stochastic=True,
)
def throughput_is_that_of_a_plain_backend(kit: Kit) -> None:
    mine, other = _best(kit, _time_for_all)
    expect(
        mine <= _FACTOR * other,
        f"3000 records took {mine:.2f} s, with a plain backend beside it {other:.2f} s",
    )


@rule(
    "14.3",
    "Memory doesn't grow with the number of records written.",
    hint="forget an item when its outcome is booked",
    must=False,
    assumes=("4.5", "4.9", "5.1", "5.2"),
    level="stress",
    stochastic=True,
)
def memory_returns_to_where_it_was(kit: Kit) -> None:
    count = 1000 if kit.is_process else 4000
    system = _loaded(kit, count)
    blocks = []
    for _ in range(3):
        for item in _items(count):
            system.backend.submit(item)
        _flush(system)
        gc.collect()
        blocks.append(sys.getallocatedblocks())
    grown = blocks[-1] - blocks[0]
    expect(
        grown <= count / 2,
        f"{2 * count} further records left {grown} further blocks of memory allocated",
    )


@rule(
    "14.4",
    "An idle backend uses next to no processor time.",
    hint="park until there is something to do",
    must=False,
    assumes=("4.8",),
    level="full",
    stochastic=True,
)
def an_idle_backend_uses_no_processor_time(kit: Kit) -> None:
    without = _processor_share()
    system = kit.running()
    system.deliver("a", "b", "c", "d", "e")
    share = _processor_share() - without
    expect(share < 0.05, f"the idle backend used {share:.1%} of a processor")


def _processor_share() -> float:
    """Returns how much of a processor this process uses while the check does nothing."""
    wall, used = time.monotonic(), time.process_time()
    time.sleep(_IDLE)
    return (time.process_time() - used) / (time.monotonic() - wall)
