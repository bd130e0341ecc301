"""Chapter 5: which records `flush` waits for, and what is true when it returns True."""

from __future__ import annotations

import threading

from lual_conformance.harness.background import Background
from lual_conformance.harness.flood import bring_inside
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.system import System
from lual_conformance.outcomes import expect
from lual_conformance.registry import rule

#: Real seconds that a flush gets to look at the queue, where nothing tells that it has.
_MOMENTS = (0.0, 0.5, 2.0)


@rule(
    "5.1",
    "`flush` returns True only after every record admitted before the call has its outcome, "
    "the one inside an output included.",
    hint="what flush waits for: records that were taken from the queue count until dispatched",
    assumes=("5.11",),
    level="smoke",
)
def flush_waits_for_the_record_inside_an_output(kit: Kit) -> None:
    system = kit.running()
    bring_inside(kit, system, "inside")
    flush = system.flushing()
    kit.never(flush.has_ended, "flush returned while a record was still inside the output")
    system.output.open()
    answer = flush.result("flush never returned though the output went on")
    expect(answer is True, f"flush returned {answer!r} though every record was written in time")
    expect("inside" in system.output.done, "flush returned True before the record was written")


@rule(
    "5.2",
    "`flush` waits for any number of batches.",
    hint="one batch isn't all: flush ends when everything before its position is finished",
    assumes=("3.1", "3.3", "5.1", "5.11"),
)
def flush_drains_any_number_of_batches(kit: Kit) -> None:
    system = kit.running(batch_size=5)
    names = [f"r{n}" for n in range(38)]
    if not kit.isolates:
        items = [system.item(name) for name in names]
        system.output.hooks["first"] = lambda: [system.backend.submit(item) for item in items]
        system.submit("first")
        system.push(lambda: "first" in system.output.done)
        _expect_all_written(system, names)
        return
    system.hold("first")
    system.submit(*names)
    system.output.hold(names[-1])
    flush = system.flushing()
    system.output.release("first")
    system.output.until(
        lambda: flush.has_ended() or names[-1] in system.output.begun,
        f"a flush was waiting, but only {len(system.output.begun) - 1} of 38 records reached "
        "the output",
    )
    kit.never(flush.has_ended, "flush returned before the last of 38 records was written")
    system.output.open()
    answer = flush.result("flush never returned though all 38 records could be written")
    expect(answer is True, f"flush returned {answer!r} though all 38 records were written in time")
    _expect_written(system, names)


def _expect_all_written(system: System, names: list[str]) -> None:
    answer = system.flush()
    expect(answer is True, f"flush returned {answer!r} though nothing kept it waiting")
    _expect_written(system, names)


def _expect_written(system: System, names: list[str]) -> None:
    missing = [name for name in names if name not in system.output.done]
    expect(not missing, f"flush returned True before {missing} were written")


@rule(
    "5.5",
    "`flush` does not wait for records admitted after it was called.",
    hint="flush needs a watermark: the position in the queue at the moment of the call",
    needs=("isolates_slow_outputs",),
    assumes=("3.3", "5.1", "5.11"),
)
def flush_ignores_later_records(kit: Kit) -> None:
    _flush_under_a_busy_producer(kit)
    attempts = (_flush_before_stuck_records(kit, moment) for moment in _MOMENTS)
    expect(any(attempts), "flush waited for records that were submitted after it was called")


def _flush_under_a_busy_producer(kit: Kit) -> None:
    """Each record submits the next one before it ends: there is never nothing to do."""
    system = kit.running(batch_size=1)
    goes_on = True
    numbers = iter(range(1, 10**9))

    def follow() -> None:
        if goes_on:
            name = f"r{next(numbers)}"
            system.output.hooks[name] = follow
            system.backend.submit(system.item(name))

    system.output.hooks["r0"] = follow
    try:
        system.submit("r0")
        flush = system.flushing()
        answer = flush.result("flush never returned while a producer went on submitting")
    finally:
        goes_on = False
    expect(answer is True, f"flush returned {answer!r} while a producer went on submitting")


def _flush_before_stuck_records(kit: Kit, moment: float) -> bool:
    """Tells whether a flush ends while records after it are stuck in an output.

    Args:
        kit: The check's.
        moment: Real seconds that the flush gets to begin.
    """
    system = kit.running()
    system.hold("first")
    flush = system.flushing()
    flush.has_ended(moment)
    system.output.hold("later 1")
    system.submit(*(f"later {n}" for n in range(1, 7)))
    system.output.release("first")
    if not flush.has_ended(kit.patience / 2):
        return False
    answer = flush.result()
    expect(answer is True, f"flush returned {answer!r} though all records before it were written")
    return True


@rule(
    "5.8",
    "Concurrent flushes each have their own watermark, and each gets its own answer.",
    hint="one position per call of flush; wake everybody who waits, not just one",
    assumes=("5.1", "5.2", "5.5", "5.11"),
)
def concurrent_flushes_each_have_their_own_answer(kit: Kit) -> None:
    system = kit.running()
    bring_inside(kit, system, "first")
    flushes = [system.flushing() for _ in range(4)]
    system.output.open()
    for flush in flushes:
        answer = flush.result("one of four concurrent flushes never returned")
        expect(answer is True, f"one of four concurrent flushes returned {answer!r}")
    expect("first" in system.output.done, "a flush returned True before the record was written")
    if kit.isolates:
        attempts = (_flushes_end_apart(kit, moment) for moment in _MOMENTS)
        expect(any(attempts), "a flush waited for a record of which only a later flush knew")


def _flushes_end_apart(kit: Kit, moment: float) -> bool:
    """Tells whether the earlier of two flushes ends while the later one must wait."""
    system = kit.running()
    system.hold("first")
    earlier = system.flushing()
    earlier.has_ended(moment)
    system.output.hold("second")
    system.submit("second")
    later: Background[bool] = system.flushing()
    system.output.release("first")
    if not earlier.has_ended(kit.patience / 2):
        system.output.open()
        return False
    kit.never(later.has_ended, "a flush was answered for an earlier one, before its own records")
    system.output.open()
    for flush in (earlier, later):
        answer = flush.result("one of two flushes never returned though all was written")
        expect(answer is True, f"one of two flushes returned {answer!r} though all was written")
    expect("second" in system.output.done, "flush returned True before its record was written")
    return True


@rule(
    "5.11",
    "`flush` does not wait for the interval: it asks for a batch itself.",
    hint="flush must wake a worker that is parked, every time",
    level="smoke",
)
def flush_wakes_a_parked_worker(kit: Kit) -> None:
    system = kit.running()
    for name in ("a", "b", "c"):
        system.submit(name)
        flush = system.flushing()
        answer = flush.result(f"flush never returned; the record {name!r} waited for its interval")
        expect(answer is True, f"flush returned {answer!r} though nothing kept it waiting")


@rule(
    "5.12",
    "The dispatch's own `flush()`, if it has one, is called after the last record before "
    "`flush` returns True.",
    hint="call dispatch_func.flush() where dispatching happens, once a flush's records are done",
    assumes=("5.1", "5.11", "7.1"),
)
def outputs_are_flushed_before_flush_returns_true(kit: Kit) -> None:
    output = kit.new_batch_output()
    system = kit.running(output=output)
    system.submit("a", "b", "c")
    _expect_flushed_after(system, "c")
    system.submit(*(f"full {n}" for n in range(5)))
    kit.becomes_true(lambda: len(output.done) >= 8, kit.patience / 4)
    _expect_flushed_after(system, "full 4")  # a batch that ended before the call
    system.submit("last")
    _expect_flushed_after(system, "last")
    output.failures["bad"] = ValueError("on purpose")
    flushes: list[int] = []
    output.hooks["bad"] = lambda: flushes.append(output.events.count("flush"))
    system.submit("bad")
    answer = system.flush()
    expect(answer is True, f"flush returned {answer!r} though the record's outcome was known")
    expect(
        bool(flushes) and output.events.count("flush") > flushes[0],
        "flush returned True, but the dispatch's own flush() was not called after 'bad', which "
        "failed",
    )
    if kit.isolates and not kit.is_process:
        expect(
            threading.current_thread() not in output.flushers,
            "the dispatch's own flush() was called on the thread that called flush, and not where "
            "dispatching happens",
        )


def _expect_flushed_after(system: System, name: str) -> None:
    answer = system.flush()
    expect(answer is True, f"flush returned {answer!r} though nothing kept it waiting")
    events = list(system.output.events)
    expect(name in events, f"flush returned True before {name!r} was written")
    expect(
        "flush" in events[events.index(name) :],
        f"flush returned True, but the dispatch's own flush() was not called after {name!r}",
    )


@rule(
    "5.13",
    "A record that failed was reported before `flush` returns True.",
    hint="call error_callback before you answer the flushes that wait for the record",
    assumes=("5.1", "5.11", "7.1"),
)
def failures_are_reported_before_flush_returns(kit: Kit) -> None:
    system = kit.running()
    for name in ("a", "b", "c"):
        system.output.failures[name] = ValueError(f"{name} is bad")
        system.submit(name)
        answer = system.flush()
        expect(answer is True, f"flush returned {answer!r} though the record's outcome was known")
        expect(name in system.output.begun, f"flush returned True before {name!r} was dispatched")
        reported = any(f"{name} is bad" in message for message in list(system.errors))
        expect(reported, f"flush returned True before the failure of {name!r} was reported")
