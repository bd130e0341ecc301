"""Chapter 12: what a backend in an event loop promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import lual
from lual_conformance.harness.blocking_calls import BlockingCalls
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.process import Child
from lual_conformance.harness.system import System
from lual_conformance.outcomes import Blocked, Violation, expect
from lual_conformance.registry import rule

_LOOP = ("event_loop:asyncio",)


@rule(
    "12.1",
    "`submit` inside a running event loop makes no blocking call.",
    hint="what submit calls on the loop's thread: no sleep, no file, nothing that waits",
    needs=_LOOP,
)
def submit_inside_a_loop_makes_no_blocking_call(kit: Kit) -> None:
    loop = kit.event_loop(beats=True)
    system = kit.system(max_size=20)
    with kit.calling("start(dispatch_func) in an event loop"):
        loop.start(system.backend, system.output)
    watch = BlockingCalls()

    def submit(moment: str, *names: str, level: int = lual.INFO) -> None:
        with kit.calling("submit(work_item) in an event loop"):
            loop.call(lambda: watch.during(lambda: system.submit(*names, level=level)))
        expect(not watch.seen, f"submit called {' and '.join(watch.seen)} {moment}")

    submit("while nothing else was going on", "first")
    submit("with a batch due", *(f"batch {n}" for n in range(6)))
    submit("with a record at flush_level", "urgent", level=lual.ERROR)
    if kit.isolates:
        system.hold()
        submit("while an output was stalled", *(f"stalled {n}" for n in range(6)))
        submit("while the queue was full", *(f"full {n}" for n in range(30)))


@rule(
    "12.2",
    "While a task awaits `lual.aflush()` or `lual.ashutdown()`, other tasks go on.",
    hint="flush and stop are called beside the loop: they must not make the loop's thread wait",
    needs=(*_LOOP, "isolates_slow_outputs"),
    assumes=("5.1",),
    processes=True,
)
def other_tasks_go_on_while_one_waits(kit: Kit) -> None:
    for call in ("aflush", "ashutdown"):
        child = kit.child("event_loops:go_on_while_waiting", call=call)
        _reach(child, "inside")
        try:
            child.until("went on")
        except Violation:
            raise Violation(
                f"other tasks stood still while a task awaited lual.{call}(); {child.description()}"
            ) from None
        answers = [line for line in child.lines() if line.startswith("answered")]
        expect(answers == ["answered True"], f"lual.{call}(): {child.description()}")


@rule(
    "12.3",
    "Cancelling a task that logs, or that awaits `lual.aflush()`, neither ends the worker nor "
    "loses a record.",
    hint="whose task the worker is: it must not end with the task that started it or logged",
    needs=(*_LOOP, "isolates_slow_outputs"),
    assumes=("5.1", "12.2"),
    processes=True,
)
def a_cancelled_task_takes_nothing_with_it(kit: Kit) -> None:
    child = kit.child("event_loops:cancel_tasks", seconds=kit.patience / 2)
    _reach(child, "inside")
    child.until("cancelled")
    lines = child.lines()
    flushed = [line for line in lines if line.startswith("flushed")]
    expect(flushed == ["flushed True"], f"after a cancelled task, lual.aflush(): {flushed}")
    lost = [line for line in lines if line.startswith("lost")]
    expect(not lost, f"after a task was cancelled, records were {', '.join(lost)}")


@rule(
    "12.4",
    "A loop that is closed before `stop` loses nothing: `stop` drains without it.",
    hint="stop must not wait for a task whose loop will never run again",
    needs=_LOOP,
    assumes=("2.2", "9.1"),
)
def stop_drains_after_the_loop_was_closed(kit: Kit) -> None:
    system = kit.system()
    loop = asyncio.new_event_loop()
    try:
        accepted = loop.run_until_complete(_submit_in_loop(kit, system, "a", "b", "c"))
    finally:
        loop.close()
    answer = system.stop()
    missing = [name for name in accepted if name not in system.output.done]
    expect(not missing, f"stop left {missing} unwritten, whose loop had been closed")
    expect(answer is True, f"stop returned {answer!r} though everything was written")


@rule(
    "12.5",
    "An event loop that ends leaves no coroutine that was never awaited, and destroys no task "
    "that is pending.",
    hint="every task must end when asyncio.run cancels it, and none be made in a closed loop",
    needs=_LOOP,
    processes=True,
)
def a_loop_ends_without_warnings(kit: Kit) -> None:
    child = kit.child("event_loops:end_quietly")
    lines = child.lines()
    if "ended" not in lines:
        raise Blocked(f"the program never got to its end; {child.description()}")
    noise = [line for line in lines if line.startswith("noise")]
    expect(not noise, f"when its event loop had ended, the program was told: {noise[:1]}")


@rule(
    "12.6",
    "`submit` from another thread wakes an event loop in which nothing else happens.",
    hint="only call_soon_threadsafe interrupts a loop that sleeps, also for who runs in "
    "another loop",
    needs=_LOOP,
    stochastic=True,
)
def a_record_from_another_thread_wakes_an_idle_loop(kit: Kit) -> None:
    loop, other = kit.event_loop(beats=False), kit.event_loop(beats=False)
    system = kit.system()
    with kit.calling("start(dispatch_func) in an event loop"):
        loop.start(system.backend, system.output)
    places: dict[str, Callable[[Callable[[], Any]], Any]] = {
        "another thread": lambda call: call(),
        "another thread's own loop": other.call,
    }
    for place, call in places.items():
        for number in (1, 2):
            loop.call(lambda: None)
            kit.becomes_true(lambda: False, kit.glance / 5)  # so that the loop falls asleep
            name = f"{number} from {place}"
            with kit.calling(f"submit(work_item) in {place}"):
                call(partial(system.submit, name, level=lual.ERROR))
            system.output.until(
                partial(_has_begun, system, name),
                f"a record at flush_level from {place} didn't wake the loop, which was idle",
            )


def _has_begun(system: System, name: str) -> bool:
    return name in system.output.begun


@rule(
    "12.7",
    "A loop that took the place of another one is served as well.",
    hint="which loop the worker is in: look at it anew when the one of before has ended",
    needs=_LOOP,
    assumes=("5.1", "12.8"),
)
def a_second_loop_is_served_like_the_first(kit: Kit) -> None:
    system = kit.system(flush_interval=kit.seconds(4.0))
    asyncio.run(_submit_in_loop(kit, system, "first"))
    if not kit.becomes_true(lambda: bool(system.output.done), kit.patience / 2):
        raise Blocked("what was submitted in a first event loop was never written")
    asyncio.run(_submit_and_wait(kit, system, "second", "third"))
    wanted = ["first", "second", "third"]
    if not kit.claims("ordering:fifo|producer"):
        system.output.done.sort(key=wanted.index)
    done = system.output.done
    expect(done == wanted, f"in a second event loop {done} were written instead of {wanted}")


@rule(
    "12.8",
    "When its task is cancelled, as at the end of `asyncio.run`, the worker drains.",
    hint="CancelledError means: write what waits now; nobody may ever call again",
    needs=_LOOP,
)
def what_waits_is_written_when_the_loop_ends(kit: Kit) -> None:
    system = kit.system(flush_interval=kit.seconds(2.0))
    accepted = asyncio.run(_submit_in_loop(kit, system, "a", "b", "c"))
    done = system.output.done
    if not kit.becomes_true(lambda: set(accepted) <= set(done), kit.patience / 2):
        raise Violation(f"asyncio.run had ended, and only {done} of {accepted} were ever written")


async def _submit_in_loop(kit: Kit, system: System, *names: str) -> list[str]:
    """Starts the backend in the loop that runs here, and returns what it took."""
    with kit.calling("start(dispatch_func) in an event loop"):
        system.backend.start(system.output)
    await asyncio.sleep(0)
    answers = system.submit(*names)
    await asyncio.sleep(0)
    return [name for name, taken in zip(names, answers, strict=True) if taken]


async def _submit_and_wait(kit: Kit, system: System, *names: str) -> None:
    """Submits in the loop that runs here, which goes on until all are written."""
    system.submit(*names)
    wanted = set(names)
    for _ in range(int(kit.patience / 2 / 0.005)):
        if wanted <= set(system.output.done):
            return
        await asyncio.sleep(0.005)


def _reach(child: Child, line: str) -> None:
    """Gets a child to where the check begins.

    Raises:
        Blocked: It doesn't get there.
    """
    try:
        child.until(line)
    except Violation as missing:
        raise Blocked(missing.observed) from None
