"""Chapter 9, second part: what `stop` promises when its time runs out."""

from __future__ import annotations

import math
import re
import threading
from typing import Any

import lual
from lual_conformance.harness.background import Background
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.system import System
from lual_conformance.outcomes import Blocked, Violation, expect
from lual_conformance.registry import rule
from lual_conformance.rules.stopping import NOTHING_WAITS

#: Seconds that the stops here are given.
_TIMEOUT = 5.0

_A_WORKER_DRAINS = "a worker drains, and nothing tells when the thread that stops looks at the time"


def _stalled(kit: Kit, count: int, **settings: Any) -> tuple[System, list[str]]:
    """Gets a worker stuck in an output, with `count` records and the declared buffer behind it."""
    count += kit.capabilities.get("buffer", 0)
    system = kit.running(max_size=count + 10, **settings)
    system.output.close()
    names = ["inside", *(f"behind {n}" for n in range(count))]
    system.submit("inside", level=lual.CRITICAL)
    if not system.push(lambda: bool(system.output.begun)):
        raise Blocked("no record could be brought into the output")
    system.submit(*names[1:])
    if kit.capabilities.get("dispatch_concurrency", 1) > 1:
        kit.becomes_true(lambda: False, kit.glance)  # further workers begin meanwhile
    return system, names


def _run_out(system: System, stop: Background[bool], seconds: float) -> bool:
    """Lets the time of a stop pass, once if it was seen to wait, and returns its answer."""
    late = f"stop({seconds:g}) had not returned when its time and the grace had passed"
    if not (system.clock.is_manual and system.clock.is_parked(stop.thread)):
        return bool(system.until_ended(stop, seconds))
    system.advance(seconds * 1.06 + system.kit.grace)
    return stop.result(late)


def _told(system: System, number: int) -> list[str]:
    """Returns the reports that name a number."""
    return [m for m in system.errors if re.search(rf"(?<![\d.]){number}(?![\d.]*\d)", m)]


@rule(
    "9.2",
    "`stop(t)` returns False by `t` while an output stalls; what had not begun is counted "
    "dropped (`shutdown_timeout`) and reported once with the number.",
    hint="one budget for all steps of stop; count what is queued and what is in hand",
    needs=("isolates_slow_outputs",),
    assumes=("1.6", "3.3", "8.1", "8.4", "9.1"),
)
def stop_gives_up_at_its_deadline_and_says_what_was_lost(kit: Kit) -> None:
    system, names = _stalled(kit, 23)
    before = len(system.errors)
    timeout = kit.seconds(_TIMEOUT)
    answer = _run_out(system, system.stopping(timeout), timeout)
    expect(answer is False, f"stop({timeout:g}) returned {answer!r} while an output was stalled")
    stats = system.get_stats()
    dropped = stats["dropped_by_reason"].get("shutdown_timeout", 0)
    if kit.is_process:  # what was sent over counts as begun
        lost = len(names) - stats["in_flight"] - stats["messages_failed"]
        expect(lost > 0, "stop counted records as in flight that nobody had sent anywhere")
    else:
        lost = len(names) - len(system.output.begun)
    expect(dropped == lost, f"stop left {lost} records and counted {dropped} as shutdown_timeout")
    told = _told(system, lost)
    expect(told, f"stop dropped {lost} records; the reports don't say so: {system.errors[before:]}")
    expect(len(told) == 1, f"stop reported its loss {len(told)} times: {told}")
    again = system.stop(0)
    expect(again is False, f"a second stop returned {again!r}; the first one's answer was False")
    expect(len(_told(system, lost)) == 1, "a second stop reported the same loss again")


@rule(
    "9.3",
    "After `stop` returned, no dispatch call begins.",
    hint="what a worker may still begin when its stalled call returns after a stop",
    assumes=("3.4", "9.2", "9.16"),
    stochastic=True,
)
def nothing_begins_after_stop_returned(kit: Kit) -> None:
    if kit.isolates:
        system, _ = _stalled(kit, 23)
        timeout = kit.seconds(_TIMEOUT)
        _run_out(system, system.stopping(timeout), timeout)
    else:
        overdue = _overdue(kit)
        if overdue is None:
            kit.not_applicable(NOTHING_WAITS)
        system = overdue
    begun = len(system.output.begun)
    if kit.is_process:
        begun += system.get_stats()["in_flight"]  # of the call that is in progress over there
    system.output.open()
    system.submit("late")
    kit.background(lambda: system.backend.flush(0), "flush(0)").has_ended(kit.glance)
    kit.never(
        lambda: len(system.output.begun) > begun,
        "a record began to be dispatched after stop had returned",
    )


@rule(
    "9.11",
    "A second caller of `stop`, at the same time or later, gets the first one's answer.",
    hint="one stop decides; whoever comes meanwhile waits for its end",
    assumes=("2.2", "4.4", "9.1", "9.2", "9.5"),
    stochastic=True,
)
def two_stops_at_once_get_one_answer(kit: Kit) -> None:
    system = kit.running()
    system.output.hold("a")
    if kit.isolates:
        system.submit("a", "b", "c")
    else:
        system.submitting("a")  # which may write it itself
    first, second = system.stopping(), system.stopping()
    if kit.becomes_true(second.has_ended, kit.glance):
        answer = second.result()
        raise Violation(f"a second stop returned {answer!r} before the first one had an answer")
    system.output.open()
    answers = [
        first.result("the first of two stops never returned"),
        second.result("the second of two stops never returned"),
    ]
    expect(answers == [True, True], f"everything was written; two stops returned {answers}")
    expect(system.stop() is True, "a later stop returned False, the first one's answer was True")
    if not kit.isolates:
        return
    system, _ = _stalled(kit, 23)
    timeout = kit.seconds(_TIMEOUT)
    stops = [system.stopping(timeout), system.stopping(timeout)]
    answers = [_run_out(system, stop, timeout) for stop in stops]
    expect(answers == [False, False], f"records were lost; two stops returned {answers}")
    lost = system.get_stats()["dropped_by_reason"].get("shutdown_timeout", 0)
    expect(len(_told(system, lost)) == 1, f"two stops reported {len(_told(system, lost))} losses")
    _a_second_stop_has_a_deadline_of_its_own(kit)


def _a_second_stop_has_a_deadline_of_its_own(kit: Kit) -> None:
    system, _ = _stalled(kit, 3)
    system.stopping()
    timeout = kit.seconds(_TIMEOUT)
    second = system.stopping(timeout)
    try:
        system.until_ended(second, timeout)
    except Violation:
        raise Violation(
            f"a second stop({timeout:g}) had not returned when its time and the grace had passed, "
            "while the first one, which had more time, waited for an output"
        ) from None


@rule(
    "9.16",
    "Without isolation, a `stop` whose time runs out inside an output begins nothing more, "
    "drops and reports the rest, and returns False.",
    hint="look at the deadline before each dispatch call, not once a batch",
    needs=("!isolates_slow_outputs",),
    assumes=("8.1", "9.1"),
)
def stop_looks_at_its_deadline_after_each_call(kit: Kit) -> None:
    if _overdue(kit) is None:
        kit.not_applicable(NOTHING_WAITS if kit.is_cooperative else _A_WORKER_DRAINS)


def _overdue(kit: Kit, timeout: float | None = _TIMEOUT, **settings: Any) -> System | None:
    """Stops a backend whose second output call takes longer than the stop is given.

    Returns:
        The system; None if no record waits for stop with such a backend, or if a worker
        drains: that one may go on until the thread that stops has noticed the time.
    """
    system = kit.running(batch_size=20, **settings)
    given = kit.seconds(_TIMEOUT)
    system.submit(*(f"record {n}" for n in range(9)))
    before = list(system.output.begun)
    slow = f"record {len(before) + 1}"
    if len(before) > 6:
        return None
    on_caller: list[bool] = []
    here = threading.current_thread()

    def take_long() -> None:
        on_caller.append(threading.current_thread() is here)
        if on_caller[0]:
            system.clock.advance(given * 1.5)

    system.output.hooks[slow] = take_long
    answer = system.stop(timeout if timeout is None else given)
    if on_caller == [False]:
        return None
    begun = system.output.begun[len(before) :]
    further = begun[begun.index(slow) + 1 :] if slow in begun else begun
    expect(not further, f"stop ran out of time inside an output, and then began {further}")
    expect(answer is False, f"stop returned {answer!r} though records were left")
    left = 9 - len(system.output.begun)
    dropped = system.get_stats()["dropped_by_reason"].get("shutdown_timeout", 0)
    expect(dropped == left, f"stop left {left} records and counted {dropped} as shutdown_timeout")
    told = _told(system, left)
    expect(len(told) == 1, f"stop dropped {left} records; reported was {system.errors}")
    return system


def _expect_refused(kit: Kit, system: System, timeout: float) -> None:
    try:
        kit.raises(ValueError, lambda: system.backend.stop(timeout))
    except Violation as violation:
        raise Violation(f"stop({timeout}) {violation.observed}") from None


@rule(
    "9.12",
    "`stop(None)` uses `shutdown_timeout`, 0 and infinity are allowed, a negative or NaN "
    "timeout is a `ValueError` that changes nothing.",
    hint="check the timeout before anything else is done",
    assumes=("9.1", "9.2", "9.16"),
)
def stop_takes_every_timeout_that_makes_sense(kit: Kit) -> None:
    system = kit.running()
    for wrong in (-1.0, -math.inf, math.nan):
        _expect_refused(kit, system, wrong)
    expect(system.submit("a") == [True], "a stop with a wrong timeout raised, and stopped")
    expect(system.stop(math.inf) is True, "stop(inf) returned False though nothing stalled")
    if not kit.isolates:
        _overdue(kit, None, shutdown_timeout=kit.seconds(_TIMEOUT))
        return
    system, _ = _stalled(kit, 3, shutdown_timeout=kit.seconds(_TIMEOUT))
    stop = system.stopping(None)
    if system.clock.is_manual:
        system.advance(_TIMEOUT / 2)
        kit.never(stop.has_ended, "stop(None) returned before shutdown_timeout had passed")
    answer = _run_out(system, stop, kit.seconds(_TIMEOUT))
    expect(answer is False, f"stop(None) returned {answer!r} while an output was stalled")
    system, _ = _stalled(kit, 3)
    expect(system.stop(0) is False, "stop(0) returned True while an output was stalled")


@rule(
    "9.14",
    "A record inside an output when `stop` runs out stays in flight until that call returns, "
    "and is then counted.",
    hint="outcomes of a stopped generation still count; only a reset makes them void",
    needs=("isolates_slow_outputs", "!worker:process"),
    assumes=("8.1", "8.2", "9.2", "9.3"),
)
def what_is_inside_an_output_is_counted_when_it_returns(kit: Kit) -> None:
    system, _ = _stalled(kit, 3)
    timeout = kit.seconds(_TIMEOUT)
    _run_out(system, system.stopping(timeout), timeout)
    inside = len(system.output.begun)
    flying = system.get_stats()["in_flight"]
    expect(flying == inside, f"{inside} records were inside outputs, in_flight was {flying}")
    system.output.open()

    def is_counted() -> bool:
        stats = system.get_stats()
        return (stats["in_flight"], stats["messages_processed"]) == (0, inside)

    if not kit.becomes_true(is_counted, kit.patience):
        stats = system.get_stats()
        counts = f"{stats['messages_processed']} processed, {stats['in_flight']} in flight"
        expect(False, f"after the stalled call returned, the counters said {counts}")
