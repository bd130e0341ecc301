"""Chapter 4: how often, in which order and how many at once records are dispatched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

import lual
from lual.backend import WorkItem
from lual_conformance.harness.background import Background
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.output import Output
from lual_conformance.harness.system import System
from lual_conformance.outcomes import Blocked, Violation, expect
from lual_conformance.registry import rule
from lual_conformance.rules.submission import submitting


@rule(
    "4.1",
    "A record is dispatched at most once, also around a flush, a failure, the death of a "
    "worker, a stop and the next start.",
    hint="what keeps a record after its call has begun, and gives it out again",
    assumes=("3.3", "7.1"),
)
def a_record_is_dispatched_at_most_once(kit: Kit) -> None:
    system = kit.running()
    system.output.failures["failing"] = ValueError("on purpose")
    if kit.isolates:
        system.hold("inside a flush")
        system.submit("a", "b")
        flush = system.flushing(kit.seconds(1.0))
        system.output.open()
        flush.has_ended(kit.glance)
    see(system, "c", "failing", "d", "e", "f", "g", "h")
    ask_for_flush(system)
    see(system, "i", "j")
    ask_for_flush(system)
    _expect_no_duplicates(system)
    _kill_with_one_inside(system)
    _expect_no_duplicates(system)
    _end_and_restart(system)
    _expect_no_duplicates(system)


def see(system: System, *names: str) -> None:
    """Submits records and waits until the output has seen them, or nothing helps."""
    system.submit(*names)
    system.drain(lambda: set(names) <= set(system.output.begun))


def ask_for_flush(system: System) -> None:
    system.flushing(system.kit.seconds(1.0)).has_ended(system.kit.glance)


def _kill_with_one_inside(system: System) -> None:
    """Kills the worker while a record is inside the output and others wait."""
    kit = system.kit
    faults = kit.target.faults(system.backend)
    if faults is None or not kit.isolates or kit.claims("delivery:at_least_once"):
        return
    system.hold("inside at the death")
    system.submit("waiting 1", "waiting 2")
    faults.kill_worker()
    system.output.open()
    see(system, "after the death")


def _end_and_restart(system: System) -> None:
    """Stops with a partial batch waiting, and starts again if that is claimed."""
    kit = system.kit
    system.submit("at stop 1", "at stop 2")
    quiet_stop(system)
    if not kit.claims("restartable"):
        return
    try:
        system.start()
    except Exception:  # noqa: BLE001  whether a start works is another rule's
        return
    see(system, "after the restart")
    quiet_stop(system)


def quiet_stop(system: System) -> None:
    """Stops; how long that takes and what it answers is another rule's."""
    stop = system.stopping(system.kit.seconds(5.0))
    if not stop.has_ended(system.kit.glance * 3):
        system.advance(system.kit.seconds(6.0))
        stop.has_ended(system.kit.glance * 3)


def _expect_no_duplicates(system: System) -> None:
    counts = Counter(system.output.begun)
    twice = {name: count for name, count in counts.items() if count > 1}
    expect(not twice, f"records were dispatched more than once: {twice}")


@rule(
    "4.2",
    "Records of one thread are dispatched in the order of submission, and with `fifo` those of "
    "all threads in the order of admission.",
    hint="anything that overtakes the queue: urgent records, retries, what a dead worker held",
    needs=("ordering:fifo|producer",),
    assumes=("3.3",),
)
def records_are_dispatched_in_order(kit: Kit) -> None:
    system = kit.running()
    system.output.failures["first 4"] = ValueError("on purpose")
    if kit.isolates:
        system.hold()
    submitted: list[str] = []
    producers = {name: _Producer(system) for name in ("first", "second")}
    _submit_in_turn(producers, submitted, range(4))
    kit.background(lambda: system.backend.flush(0), "flush(0)").has_ended(kit.glance / 4)
    _submit_in_turn(producers, submitted, range(4, 8))
    faults = kit.target.faults(system.backend)
    if faults is not None:
        faults.kill_worker()
    system.output.open()
    _submit_in_turn(producers, submitted, range(8, 10))
    for thread in producers.values():
        thread.end()
    system.drain(lambda: set(submitted) <= set(system.output.begun))
    seen = [name for name in dict.fromkeys(system.output.begun) if name in submitted]
    if kit.claims("ordering:fifo"):
        _expect_order(seen, submitted)
    for producer in producers:
        mine = [name for name in seen if name.startswith(producer)]
        _expect_order(mine, [name for name in submitted if name.startswith(producer)])
    if kit.isolates:
        _another_batch_waits_for_the_first(kit)


def _another_batch_waits_for_the_first(kit: Kit) -> None:
    """Lets a batch stall at its first record: a second worker must not overtake the rest."""
    system = kit.running(batch_size=5)
    names = [f"in turn {n}" for n in range(15)]
    system.output.hold(names[0])
    system.submit(*names[:5])
    if not system.push(lambda: names[0] in system.output.begun):
        raise Blocked("no record could be brought into the output")
    system.submit(*names[5:])
    system.output.has_begun(2, kit.glance / 2)
    system.output.open()
    system.drain(lambda: len(system.output.begun) >= len(names))
    _expect_order(list(system.output.begun), names)


class _Producer:
    """A thread that submits whenever it is told to: order is promised to one thread.

    Args:
        system: Where to.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self._answers: list[bool] = []
        self._turns: SimpleQueue[list[WorkItem]] = SimpleQueue()
        self._call = system.kit.background(self._work, "submit(work_item)")

    def _work(self) -> None:
        while items := self._turns.get():
            for item in items:
                self._answers.append(self.system.backend.submit(item))

    def submit(self, items: list[WorkItem]) -> list[bool]:
        """Submits in the thread, and returns the answers."""
        before = len(self._answers)
        after = before + len(items)
        self._turns.put(items)
        if not self.system.kit.becomes_true(
            lambda: len(self._answers) >= after or self._call.has_ended(), self.system.kit.patience
        ):
            raise Violation("submit(work_item) had not returned after a long time")
        if len(self._answers) < after:
            self._call.result()
        return self._answers[before:after]

    def end(self) -> None:
        """Ends the thread."""
        self._turns.put([])


def _submit_in_turn(
    producers: Mapping[str, _Producer], submitted: list[str], numbers: Iterable[int]
) -> None:
    """Submits three records each from two threads, one thread at a time."""
    for number in numbers:
        producer = "second" if number % 2 else "first"
        names = [f"{producer} {3 * number + n}" for n in range(3)]
        levels = [lual.INFO, lual.INFO, lual.ERROR if number % 3 == 1 else lual.DEBUG]
        system = producers[producer].system
        items = [system.item(*pair) for pair in zip(names, levels, strict=True)]
        answers = producers[producer].submit(items)
        submitted += [name for name, taken in zip(names, answers, strict=True) if taken]


def _expect_order(seen: Sequence[str], submitted: Sequence[str]) -> None:
    wanted = [name for name in submitted if name in seen]
    for got, due in zip(seen, wanted, strict=True):
        expect(got == due, f"{got!r} was dispatched when it was the turn of {due!r}")


@rule(
    "4.4",
    "At most `dispatch_concurrency` dispatches are in progress at once, whoever asks for them.",
    hint="a flush or stop that helps out, or a second worker, beside one that is busy",
    assumes=("4.1",),
    stochastic=True,
)
def dispatches_run_one_after_another(kit: Kit) -> None:
    limit = kit.capabilities.get("dispatch_concurrency") or 1
    system = kit.running(batch_size=2)
    output = system.output
    output.close()
    calls = [_submit_behind(system, f"{n}", 5) for n in range(limit + 2)]
    if not system.push(lambda: bool(output.begun)):
        raise Blocked("no record could be brought into the output")
    for timeout in (0.0, kit.seconds(1000.0), kit.seconds(1000.0)):
        calls.append(_flush_behind(system, timeout))
    too_many = f"with dispatch_concurrency {limit}, more calls of the output ran at once"
    _watch(kit, output, limit, f"{too_many}, beside a flush")
    calls += [_submit_behind(system, f"late {n}", 5) for n in range(2)]
    calls += [_stop_behind(system) for _ in range(2)]
    _watch(kit, output, limit, f"{too_many}, beside a stop")
    output.open()
    for call in calls:
        call.has_ended(kit.glance)
    expect(output.deepest <= limit, f"{too_many}: {output.deepest}")


def _submit_behind(system: System, prefix: str, count: int) -> Background[Any]:
    """Submits records where it may stall; one of them is urgent."""
    items = [system.item(f"{prefix}-{n}") for n in range(count)]
    items.append(system.item(f"{prefix}-urgent", lual.ERROR))
    return submitting(system, items)


def _flush_behind(system: System, timeout: float) -> Background[bool]:
    return system.kit.background(lambda: system.backend.flush(timeout), f"flush({timeout:g})")


def _stop_behind(system: System) -> Background[bool]:
    timeout = system.kit.seconds(1000.0)
    return system.kit.background(lambda: system.backend.stop(timeout), f"stop({timeout:g})")


def _watch(kit: Kit, output: Output, limit: int, observed: str) -> None:
    kit.never(lambda: output.deepest > limit, observed)
