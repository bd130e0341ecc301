"""Chapter 2: `reset`, and starts that fail."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

from lual_conformance.harness.host import LoopHost
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.refusal import Refusal
from lual_conformance.harness.resources import Resources
from lual_conformance.harness.system import System
from lual_conformance.outcomes import Blocked, expect
from lual_conformance.registry import rule

#: How many of a start's requests are refused in turn; nobody has so many workers.
_MOST_REQUESTS = 4


@rule(
    "2.6",
    "`reset` returns to the state after creation: what waits is forgotten, the dispatch function "
    "too, and the same configuration and queue serve on.",
    hint="reset: end the worker, empty the queue, forget what start was given",
    assumes=("2.8",),
)
def reset_returns_to_the_state_after_creation(kit: Kit) -> None:
    uses_queue = _uses_its_queue(kit.running())  # some have one of their own
    system = kit.system()
    _reset(system, "new")
    system.start()
    _reset(system, "running")
    system.start()
    system.deliver("a")
    system.submit("b", "c")
    begun = set(system.output.begun)  # some wait for no batch
    _reset(system, "running with records that wait")
    system.start()
    system.deliver("d")
    late = set(system.output.begun) - begun - {"d"}
    expect(not late, f"{sorted(late)} waited when reset was called, and was written after it")
    expect(
        _uses_its_queue(system) or not uses_queue,
        "after reset the backend doesn't use config.queue any more",
    )
    system.stop()
    _reset(system, "stopped")
    system.start()
    system.deliver("f")
    _forgets_its_dispatch(system)


def _uses_its_queue(system: System) -> bool:
    before = len(system.queue.extracted)
    system.deliver("e")
    return len(system.queue.extracted) > before


def _reset(system: System, when: str) -> None:
    system.reset()
    expect(system.state == "new", f"reset when {when} made the state {system.state!r}")
    answer = system.submit("refused") if _refuses_before_start(system.kit) else []
    expect(not any(answer), f"reset when {when}; then, not started, submit answered {answer}")
    waiting = system.get_stats().get("queue_size")
    expect(not waiting, f"reset when {when} left {waiting} records in the queue")


def _refuses_before_start(kit: Kit) -> bool:
    """Tells whether a new backend refuses records at all."""
    return kit.system().submit("too early") == [False]


def _forgets_its_dispatch(system: System) -> None:
    if system.kit.is_process:
        return  # it opens its own outputs
    system.reset()
    system.start(None)
    system.submit("nobody's")
    system.push(lambda: bool(system.get_stats().get("messages_failed")))
    expect(
        "nobody's" not in system.output.begun,
        "reset, and started with no dispatch function, it used the one of before",
    )


@rule(
    "2.10",
    "A `start` that gets no thread or no process raises, leaves the state as it was, and leaves "
    "nothing behind.",
    hint="start: what it has begun when the system refuses the rest",
    assumes=("2.8",),
)
def a_start_that_fails_changes_nothing(kit: Kit) -> None:
    requests = _requests(kit, math.inf)
    system = kit.system()
    with requests.in_force():
        system.start()
    if not requests.asked:
        kit.not_supported("a start that asks for a thread or a process")
    for granted in range(min(len(requests.asked), _MOST_REQUESTS)):
        _refuse_start(kit, kit.system(), granted)
        if kit.claims("restartable"):
            stopped = kit.running()
            stopped.deliver("before")
            stopped.stop()
            _refuse_start(kit, stopped, granted)


def _requests(kit: Kit, after: float) -> Refusal:
    host = kit.host
    caller = host.thread if isinstance(host, LoopHost) else threading.current_thread()
    return Refusal(caller, after=after)


def _refuse_start(kit: Kit, system: System, granted: int) -> None:
    """Has a start fail after so many of its requests were granted."""
    state, before = system.state, Resources.now()
    refusal = _requests(kit, granted)
    raised = None
    with refusal.in_force():
        try:
            system.start()
        except Exception as error:  # noqa: BLE001  which one is the author's choice
            raised = error
    if not refusal.refused:
        return  # it asked for less than the last time
    if raised is None:
        _expect_to_work(system, "start returned though it was refused a worker")
        return
    expect(
        system.state == state,
        f"start raised {raised!r} and left the state {system.state!r} instead of {state!r}",
    )
    left: Callable[[], list[str]] = lambda: Resources.now().since(before)  # noqa: E731
    if not kit.becomes_true(lambda: not left(), kit.patience):
        expect(False, f"start raised {raised!r} and left {', '.join(left())}")
    if state == "new" and _refuses_before_start(kit):
        answer = system.submit("too early")
        expect(answer == [False], f"start raised {raised!r}, and submit answered {answer}")
    system.start()
    _expect_to_work(system, "start failed once, and succeeded the next time")


def _expect_to_work(system: System, after: str) -> None:
    taken = system.submit("after")
    expect(
        taken == [True] and system.push(lambda: "after" in system.output.done),
        f"{after}; then submit answered {taken}, and {system.output.done} was written",
    )


@rule(
    "2.11",
    "`start` raises `RuntimeError` while an old worker is still inside an output; outcomes that "
    "arrive from before a `reset` are ignored.",
    hint="start: look whether the worker of before has ended; every start is a generation",
    needs=("isolates_slow_outputs", "!worker:process"),
    assumes=("2.6",),
)
def an_old_worker_is_out_before_a_new_one_starts(kit: Kit) -> None:
    system = kit.running()
    system.hold("old")
    system.reset()
    _expect_runtime_error(kit, system, "reset")
    system.output.open()
    _start_when_free(kit, system)
    system.deliver("young")
    processed = system.get_stats().get("messages_processed")
    expect(
        processed in (0, 1),
        f"one record was written since reset, and {processed} were counted: one of before too",
    )
    if kit.claims("restartable"):
        _after_a_stop_that_failed(kit)


def _after_a_stop_that_failed(kit: Kit) -> None:
    system = kit.running()
    system.hold("old")
    timeout = kit.seconds(1.0)
    stop = system.stopping(timeout)
    system.advance(timeout * 1.06 + kit.grace)
    if not stop.has_ended(kit.patience / 2):
        raise Blocked("stop didn't return by its deadline")
    _expect_runtime_error(kit, system, "a stop that ran out of time")
    system.output.open()
    _start_when_free(kit, system)


def _expect_runtime_error(kit: Kit, system: System, after: str) -> None:
    state = system.state
    observed = f"after {after}, with an old worker inside an output, start"
    try:
        system.start()
    except RuntimeError:
        pass
    except Exception as error:  # noqa: BLE001  any other is a breach
        expect(False, f"{observed} raised {type(error).__name__} instead of RuntimeError")
    else:
        expect(False, f"{observed} raised nothing")
    expect(
        system.state == state, f"{observed} made the state {system.state!r} instead of {state!r}"
    )


def _start_when_free(kit: Kit, system: System) -> None:
    errors: list[Any] = []

    def is_started() -> bool:
        try:
            system.start()
        except RuntimeError as error:
            errors.append(error)
            return False
        return True

    if not kit.becomes_true(is_started, kit.patience):
        expect(False, f"the old worker has left the output, and start still raises {errors[-1]!r}")
