"""Chapter 4: what starts a batch, and that nothing else keeps a worker awake."""

from __future__ import annotations

import threading
import time
from collections import Counter

import lual
from lual.backend import WorkItem
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.queue import ProbeQueue
from lual_conformance.harness.system import System
from lual_conformance.outcomes import expect
from lual_conformance.registry import rule

#: Calls of clock and queue by one thread in half a glance, above which it counts as polling.
_MOST_CALLS = 4

#: Share of that time that a process may compute in while it has nothing to do.
_MOST_CPU = 0.5

#: Glances after which a worker should have come to rest.
_WINDOWS = 6


@rule(
    "4.5",
    "`batch_size` waiting records start a batch, without waiting for the interval.",
    hint="compare with >=, wake the worker each time, and look again after every batch",
    level="smoke",
    assumes=("3.1", "3.6"),
    seed="Batch processing triggers",
)
def a_full_batch_starts_at_once(kit: Kit) -> None:
    system = kit.running()
    for batch in (1, 2, 3):
        system.submit(*(f"batch {batch} record {n}" for n in range(1, 6)))
        _await(system, 5 * batch, f"a full batch of five waited ({batch} in a row)")
    system.submit("one", "two", "three")
    system.submit("four", "five")
    _await(system, 20, "three records and then two waited, batch_size is 5")
    if not kit.is_cooperative:  # else the next batch is for the next call
        _check_backlog(kit)


def _check_backlog(kit: Kit) -> None:
    """Lets more than a batch gather while the output is busy."""
    system = kit.running()
    backlog = [system.item(f"backlog {n}") for n in range(1, 13)]
    system.output.hooks["busy"] = lambda: [system.backend.submit(item) for item in backlog]
    system.submit("busy", "two", "three", "four", "five")
    _await(system, 15, "twelve records gathered while a batch of five ran, batch_size is 5")


@rule(
    "4.6",
    "A partial batch starts no later than `flush_interval` after its first record came; without "
    "a thread of its own, at the next submit after that.",
    hint="the deadline counts from the oldest record and does not move; 0 means at once; the "
    "worker waits for it by config.clock.wait",
    assumes=("1.6", "3.1"),
    seed="Batch processing triggers",
)
def a_partial_batch_starts_after_the_interval(kit: Kit) -> None:
    interval = kit.seconds(10.0)
    system = kit.running(flush_interval=interval, batch_size=20)
    for batch in (1, 2):
        before = len(system.output.begun)
        _submit_and_wait(system, f"first {batch}", 0.6 * interval)
        _submit_and_wait(system, f"second {batch}", 0.45 * interval + kit.grace)
        if kit.is_cooperative:
            system.submit(f"next call {batch}")
        system.output.until_begun(
            before + 1,
            f"partial batch {batch} in a row: a record had waited {1.05 * interval:g} s with "
            f"flush_interval {interval:g}, and was not dispatched",
        )
        system.drain(lambda before=before: len(system.output.begun) >= before + 2)  # type: ignore[misc]
    if kit.isolates:
        _check_busy(kit, interval)
    hasty = kit.running(flush_interval=0.0)
    hasty.submit("at once")
    hasty.output.until_begun(1, "with flush_interval 0 a record was not dispatched at once")


def _check_busy(kit: Kit, interval: float) -> None:
    """Lets the interval of a record pass while the output is busy with another one."""
    system = kit.running(flush_interval=interval, batch_size=20)
    system.hold()
    system.submit("meanwhile")
    system.advance(1.05 * interval + kit.grace)
    system.output.open()
    reached = kit.becomes_true(lambda: "meanwhile" in system.output.begun, kit.patience)
    expect(
        reached,
        f"a record had waited {1.05 * interval:g} s with flush_interval {interval:g}, while the "
        "output was busy, and was not dispatched after that",
    )


def _submit_and_wait(system: System, name: str, seconds: float) -> None:
    """Submits a record, lets the backend see that, and then time pass."""
    system.submit(name)
    clock = system.clock
    if clock.is_manual and not system.kit.is_cooperative:
        # A worker that hasn't noticed it yet would count from the moment when it does.
        system.kit.becomes_true(clock.is_timing, 0.2)
    system.advance(seconds)


class _WatchedQueue(ProbeQueue):
    """A queue that counts, by thread, how often it is looked at."""

    def __init__(self) -> None:
        self.looks: Counter[threading.Thread] = Counter()
        super().__init__(100)

    def size(self) -> int:
        """Returns how many items wait."""
        self.looks[threading.current_thread()] += 1
        return super().size()

    def is_empty(self) -> bool:
        """Tells whether none waits."""
        self.looks[threading.current_thread()] += 1
        return super().is_empty()

    def oldest(self) -> int | None:
        """Returns the position of the oldest item that still waits, or None."""
        self.looks[threading.current_thread()] += 1
        return super().oldest()

    def extract_batch(self, n: int, *, before: int | None = None) -> list[WorkItem]:
        """Takes a batch."""
        self.looks[threading.current_thread()] += 1
        return super().extract_batch(n, before=before)


@rule(
    "4.8",
    "An idle backend parks; it does not poll.",
    hint="wait on a condition, a queue or a future without short timeouts",
    must=False,
    stochastic=True,
)
def an_idle_backend_parks(kit: Kit) -> None:
    queue = _WatchedQueue()
    system = kit.running(queue=queue)
    _expect_rest(system, queue, "nothing to do")
    system.submit("waits for its batch")
    _expect_rest(system, queue, "one record that waits for its batch")
    system.drain(lambda: bool(system.output.done))
    _expect_rest(system, queue, "nothing to do any more")


def _expect_rest(system: System, queue: _WatchedQueue, having: str) -> None:
    """Looks several times, because coming to rest may take a while on a busy machine."""
    seen = ""
    for _ in range(_WINDOWS):
        seen = _unrest(system, queue)
        if not seen:
            return
    expect(not seen, f"with {having}, {seen}")


def _unrest(system: System, queue: _WatchedQueue) -> str:
    """Returns what happened in a moment in which nothing should; "" if nothing did."""
    seconds = system.kit.glance / 2
    before = _calls(system, queue)
    cpu = time.process_time()
    time.sleep(seconds)
    worked = time.process_time() - cpu
    most = max((_calls(system, queue) - before).values(), default=0)
    if most > _MOST_CALLS:
        return f"a thread looked at the clock or the queue {most} times in {seconds:g} s"
    if worked > _MOST_CPU * seconds:
        return f"the process computed for {worked:.3f} of {seconds:g} s"
    return ""


def _calls(system: System, queue: _WatchedQueue) -> Counter[threading.Thread]:
    """Returns how often each thread has looked at the clock and the queue."""
    of_clock = Counter[threading.Thread](getattr(system.clock, "calls", ()))
    return of_clock + Counter(queue.looks)


@rule(
    "4.11",
    "A record at `flush_level` or above starts a batch at once, whatever the worker does.",
    hint="compare with >= config.flush_level, and don't lose the demand while a batch runs",
    assumes=("3.1", "3.6"),
)
def an_urgent_record_starts_a_batch(kit: Kit) -> None:
    for level in (lual.WARNING, lual.CRITICAL):
        system = kit.running(flush_level=lual.WARNING)
        system.submit("waiting")
        system.submit("urgent", level=level)
        _await(
            system,
            2,
            f"a record of level {level} came with flush_level {lual.WARNING}, behind one more",
        )
    if kit.is_cooperative:
        return  # the call in progress is the one that looks
    system = kit.running(flush_level=lual.WARNING)
    urgent = system.item("urgent", lual.WARNING)
    system.output.hooks["busy"] = lambda: system.backend.submit(urgent)
    system.submit("busy", level=lual.WARNING)
    _await(system, 2, "an urgent record came while the output was busy with another one")


def _await(system: System, count: int, what: str) -> None:
    """Waits until that many records have reached the output, with no further call."""
    begun = system.output.begun
    reached = system.kit.becomes_true(lambda: len(begun) >= count, system.kit.patience)
    expect(reached, f"{what}, and only {len(begun)} of {count} records reached the output")
