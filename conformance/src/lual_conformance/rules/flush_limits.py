"""Chapter 5, on: how long `flush` may take, and what it answers where it can't wait."""

from __future__ import annotations

import contextlib
import math
import threading

from lual_conformance.harness.kit import Kit
from lual_conformance.harness.output import BatchOutput
from lual_conformance.harness.system import NEVER, System
from lual_conformance.outcomes import Violation, expect
from lual_conformance.registry import rule

_AN_HOUR = 3600.0


@rule(
    "5.3",
    "`flush(t)` returns False by `t` while records are without an outcome, whatever an output "
    "does.",
    hint="the deadline of flush, and whether its answer looks at what is still in hand",
    needs=("isolates_slow_outputs",),
    assumes=("1.6", "4.5", "5.1", "5.2", "5.11", "5.12"),
    seed="Flush timeout behavior; Flush timeout",
    level="smoke",
)
def flush_gives_up_at_its_deadline(kit: Kit) -> None:
    system = kit.running()
    system.hold()
    system.submit("a", "b")  # so that the answer doesn't depend on the stalled one alone
    _expect_timeout(kit, system, "a record was inside the output")
    _timeout_while_the_outputs_are_flushed(kit)
    _timeout_while_records_trickle(kit)
    _timeout_while_the_calendar_is_set_back(kit)


def _timeout_while_the_calendar_is_set_back(kit: Kit) -> None:
    system = kit.running()
    if not system.clock.is_manual:
        return
    system.hold()
    flush = system.flushing(5.0)
    system.clock.set_time(system.clock.time() - _AN_HOUR)
    answer = "nothing"
    with contextlib.suppress(Violation):  # another message says more
        answer = repr(system.until_ended(flush, 5.0))
    expect(
        answer == "False",
        f"flush(5) returned {answer} within 5 s of config.clock.now(), after config.clock.time() "
        "was set back by an hour: deadlines count on the monotonic clock",
    )


def _expect_timeout(kit: Kit, system: System, why: str) -> None:
    timeout = kit.seconds(5.0)
    answer = system.until_ended(system.flushing(timeout), timeout)
    expect(answer is False, f"flush({timeout:g}) returned {answer!r} while {why}")


class _StallingFlush(BatchOutput):
    """Stalls in its own `flush` until `open`."""

    def __init__(self, patience: float) -> None:
        super().__init__(patience)
        self._may_end = threading.Event()

    def open(self) -> None:
        """Lets all calls go on."""
        super().open()
        self._may_end.set()

    def flush(self) -> None:
        """Stalls."""
        self._may_end.wait()
        super().flush()


def _timeout_while_the_outputs_are_flushed(kit: Kit) -> None:
    system = kit.running(output=_StallingFlush(kit.patience))
    system.submit("a")
    _expect_timeout(kit, system, "the dispatch's own flush() was stalled")


def _timeout_while_records_trickle(kit: Kit) -> None:
    """Lets records through while time passes, which must not put the deadline off."""
    system = kit.running(batch_size=1)
    system.output.close()
    system.submit(*(f"r{n}" for n in range(8)))
    system.output.until_begun(1)
    flush = system.flushing(10.0)
    if not (system.clock.is_manual and system.clock.is_parked(flush.thread)):
        return  # nobody can tell when it began
    for count in (2, 3, 4):
        system.advance(3.0)
        system.output.step()
        system.output.until_begun(count)
    system.advance(2.0)
    expect(
        flush.has_ended(kit.patience),
        "flush(10) had not returned after 11 s, in which a record was written now and then",
    )
    answer = flush.result()
    expect(answer is False, f"flush(10) returned {answer!r} though records were still waiting")


@rule(
    "5.4",
    "`flush(0)` asks for a batch, and polls: it never waits.",
    hint="a timeout of 0 isn't None; it must wake the worker all the same",
    assumes=("5.3", "5.6", "5.11"),
)
def flush_with_no_time_polls(kit: Kit) -> None:
    if kit.isolates:
        stalled = kit.running()
        stalled.hold()
        stalled.submit("a", "b")
        answer = stalled.flush(0)
        expect(answer is False, f"flush(0) returned {answer!r} while an output was stalled")
    system = kit.running()
    system.submit("a")
    system.flush(0)
    unasked = "a record that waited for its interval was not dispatched after flush(0)"
    if kit.is_cooperative:
        kit.eventually(lambda: system.flush(0) or bool(system.output.begun), unasked)
    else:
        expect(system.output.has_begun(1, kit.patience), unasked)
    expect(system.flush() is True, "flush returned False though nothing kept it waiting")
    answer = system.flush(0)
    expect(answer is True, f"flush(0) returned {answer!r} right after a flush returned True")


@rule(
    "5.6",
    "`flush` returns True at once if there is nothing to wait for: before start, while nothing "
    "waits, and after stop.",
    hint="flush on a backend that is new, idle or stopped",
)
def flush_returns_true_where_nothing_waits(kit: Kit) -> None:
    system = kit.system()
    _expect_true_at_once(system, "a new backend")
    system.start()
    _expect_true_at_once(system, "a running backend without records")
    system.stop()
    _expect_true_at_once(system, "a stopped backend")


def _expect_true_at_once(system: System, where: str) -> None:
    for timeout in (NEVER, 0, None):
        answer = system.flush(timeout)
        shown = "None" if timeout is None else f"{timeout:g}"
        expect(answer is True, f"flush({shown}) returned {answer!r} on {where}")


@rule(
    "5.7",
    "A flush that runs out drops nothing and leaves no trace: the next one can succeed.",
    hint="what flush leaves behind when its time is over",
    needs=("isolates_slow_outputs",),
    assumes=("5.1", "5.2", "5.3", "5.4", "5.11"),
    stochastic=True,
)
def a_flush_that_ran_out_leaves_no_trace(kit: Kit) -> None:
    system = kit.running()
    system.hold("first")
    names = [f"r{n}" for n in range(8)]
    system.submit(*names)
    for timeout in (kit.seconds(5.0), 0.0, kit.seconds(1.0)):
        system.until_ended(system.flushing(timeout), timeout)
    system.output.hold("last")
    system.submit("last")
    flush = system.flushing()
    system.output.release("first")
    kit.becomes_true(lambda: flush.has_ended() or "last" in system.output.begun, kit.patience)
    early = kit.becomes_true(flush.has_ended, kit.glance)
    system.output.open()
    answer = flush.result("flush never returned after others had run out of time")
    expect(answer is True, f"flush returned {answer!r} after others had run out of time")
    expect(not early, "flush was answered for one before it that had run out of time")
    missing = [name for name in ("first", *names, "last") if name not in system.output.done]
    expect(not missing, f"{missing} were never written after a flush had run out of time")


@rule(
    "5.9",
    "`flush` returns False at once where it is called from an output.",
    hint="a flush on the thread that dispatches would wait for itself",
    assumes=("5.3", "5.11"),
)
def flush_inside_an_output_returns_false(kit: Kit) -> None:
    if kit.is_process:
        kit.not_applicable("its outputs run in another process, which has no such backend")
    output = _CallingFlush(kit.patience)
    system = kit.running(output=output)
    output.system = system
    output.hooks["a"] = lambda: output.call_flush("an output")
    system.submit("a", "b", "c")
    flush = system.flushing()
    expect(
        flush.has_ended(kit.patience),
        f"flush({output.inside}), called from an output, had not returned",
    )
    expect(not output.wrong, f"flush {'; flush '.join(output.wrong)}")
    answer = flush.result()
    expect(answer is True, f"flush returned {answer!r} after an output had called flush as well")
    missing = {"a", "b", "c"} - set(output.done)
    expect(not missing, f"{missing} were never written after an output had called flush")


class _CallingFlush(BatchOutput):
    """Calls the backend's `flush` while it is called."""

    system: System

    def __init__(self, patience: float) -> None:
        super().__init__(patience)
        self.wrong: list[str] = []
        self.inside: float | None = NEVER

    def call_flush(self, where: str) -> None:
        """Notes every answer that isn't False."""
        for self.inside in (NEVER, 0, None):
            try:
                answer = self.system.backend.flush(self.inside)
            except Exception as error:  # noqa: BLE001  it is what the rule tells
                self.wrong.append(f"raised {type(error).__name__} ({error}), called from {where}")
            else:
                if answer is not False:
                    self.wrong.append(f"returned {answer!r}, called from {where}")

    def flush(self) -> None:
        """Is an output's code as well."""
        self.call_flush("the dispatch's own flush()")
        super().flush()


@rule(
    "5.10",
    "`flush(None)` takes the configured `flush_timeout`; infinity is allowed; a negative "
    "timeout or NaN is a ValueError.",
    hint="check the timeout first; NaN is neither below 0 nor above it",
    assumes=("5.1", "5.3", "5.11"),
)
def flush_checks_its_timeout(kit: Kit) -> None:
    system = kit.running()
    system.submit("a")
    for wrong in (-1, -0.001, -math.inf, math.nan):
        try:
            kit.raises(ValueError, lambda wrong=wrong: system.backend.flush(wrong))  # type: ignore[misc]
        except AssertionError as violation:
            expect(False, f"flush({wrong:g}) {violation}")
    answer = system.flush(math.inf)
    expect(answer is True, f"flush(inf) returned {answer!r} though nothing kept it waiting")
    expect("a" in system.output.done, "flush(inf) returned True before the record was written")
    if not kit.isolates:
        return
    timeout = kit.seconds(5.0)
    stalled = kit.running(flush_timeout=timeout)
    stalled.hold()
    answer = stalled.until_ended(stalled.flushing(None), timeout)
    expect(answer is False, f"flush(None) returned {answer!r} while an output was stalled")
