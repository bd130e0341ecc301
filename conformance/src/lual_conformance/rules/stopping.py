"""Chapter 9, first part: what `stop` promises while there is time."""

from __future__ import annotations

from typing import Any

import lual
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.system import System
from lual_conformance.outcomes import Blocked, expect
from lual_conformance.registry import rule

#: Why a rule can't be checked with a backend that writes each record in its own submit.
NOTHING_WAITS = "submit writes each record at once, so that stop finds nothing to do"

#: Seconds that a stop inside an output is given.
_TIMEOUT = 5.0


@rule(
    "9.1",
    "`stop` writes everything that was accepted before it, in order, and then returns True.",
    hint="what stop waits for: the queue, the batch in hand and the call in progress",
    assumes=("4.2", "5.2"),
    level="smoke",
    stochastic=True,
    seed="Lifecycle management",
)
def stop_writes_everything_that_was_accepted(kit: Kit) -> None:
    names = [str(n) for n in range(125)]
    system = kit.running(batch_size=50, max_size=200)
    system.submit(*names)
    answer = system.stop()
    written = list(dict.fromkeys(system.output.done))
    missing = [name for name in names if name not in written]
    expect(not missing, f"stop returned {answer!r} and had not written {len(missing)} of 125")
    expect(answer is True, f"stop returned {answer!r} though everything was written")
    if kit.claims("ordering:fifo|producer"):
        expect(written == names, f"stop changed the order: it wrote {written[-30:]} last")
    _stop_waits_for_a_call_in_progress(kit)


def _stop_waits_for_a_call_in_progress(kit: Kit) -> None:
    system = kit.running()
    system.output.hold("inside")
    names = ["inside"]
    if kit.isolates:
        names = ["first", "next", "inside"]
        system.submit(*names)
    else:
        system.submitting("inside")  # which may write it itself
    stop = system.stopping()
    kit.never(stop.has_ended, "stop returned while a record was still inside an output")
    system.output.open()
    answer = stop.result("stop never returned though the output went on")
    expect(answer is True, f"stop returned {answer!r} though everything was written in time")
    missing = sorted(set(names) - set(system.output.done))
    expect(not missing, f"stop returned True and had not written {missing}")


@rule(
    "9.4",
    "A record that races with `stop` is written or refused, never accepted and forgotten.",
    hint="close the queue before the last look into it, not only a flag of the backend's",
    assumes=("2.4", "3.4", "9.1", "9.15"),
    stochastic=True,
)
def a_record_that_races_with_stop_is_written_or_refused(kit: Kit) -> None:
    system = kit.running()
    system.queue.pause("enqueue")
    submit = system.submitting("between")
    stop = system.stopping()  # it may have to wait for that submit
    system.queue.proceed()
    stop.result("stop never returned while a submit was on its way")
    _expect_no_orphan(system, ["between"] if submit.result() else [])
    for round in range(50 if kit.settings.level in ("full", "stress") else 5):
        _race(kit, 1 + round % 7)


def _race(kit: Kit, head_start: int) -> None:
    """Lets one thread submit until it is refused, and stops the backend meanwhile."""
    system = kit.running(batch_size=3, max_size=100_000)
    accepted: list[str] = []
    most = 300 if kit.is_process else 5_000  # stop has to wait for all that were taken

    def produce() -> None:
        while len(accepted) < most:
            name = str(len(accepted))
            if not system.backend.submit(system.item(name)):
                return
            accepted.append(name)

    producer = kit.background(produce, "submit")
    kit.becomes_true(lambda: len(accepted) >= head_start or producer.has_ended(), kit.patience)
    system.stop()
    producer.result("submit never returned False though stop had returned")
    _expect_no_orphan(system, accepted)


def _expect_no_orphan(system: System, accepted: list[str]) -> None:
    wanted = set(accepted)

    def lost() -> int:
        return len(wanted - set(system.output.done))

    def settled() -> bool:
        return bool(lost() <= system.get_stats().get("messages_dropped", 0))

    if not settled():
        system.kit.becomes_true(settled, system.kit.glance)
    expect(settled(), f"submit took {lost()} records during stop that were never written")


@rule(
    "9.5",
    "`stop` inside an output returns False at once, and the worker finishes the drain by itself.",
    hint="recognise a call from the worker or an output before anything is waited for",
    assumes=("3.6", "9.1"),
)
def stop_inside_an_output_returns_at_once(kit: Kit) -> None:
    if kit.is_process:
        kit.not_applicable("outputs run in another process, where there is no backend to stop")
    system = kit.running()
    answers: list[Any] = []

    def stop() -> None:
        try:
            answers.append(system.backend.stop(_TIMEOUT))
        except BaseException as error:  # noqa: BLE001  it is what the rule looks at
            answers.append(error)

    system.output.hooks["first"] = stop
    if kit.isolates:
        system.output.hold("first")  # so that the others are there when it stops
    names = ["first", *(f"after {n}" for n in range(7))]
    submit = kit.background(
        lambda: [n for n in names if system.backend.submit(system.item(n, lual.ERROR))],
        "submit(work_item)",
    )
    submit.has_ended(kit.patience if kit.isolates else 0.0)
    if not system.push(lambda: "first" in system.output.begun):
        raise Blocked("no record could be brought into the output")
    system.output.open()
    kit.eventually(lambda: bool(answers), f"stop({_TIMEOUT:g}) inside an output never returned")
    answer = answers[0]
    expect(answer is False, f"stop inside an output gave {answer!r} instead of False")
    accepted = submit.result("submit never returned after a stop inside the output it called")
    kit.eventually(
        lambda: set(accepted) <= set(system.output.done),
        "after a stop inside an output the rest of the queue was never written",
    )
    if kit.isolates:
        _stop_inside_while_another_waits(kit)


def _stop_inside_while_another_waits(kit: Kit) -> None:
    system = kit.running()
    answers: list[bool] = []
    system.output.hooks["a"] = lambda: answers.append(system.backend.stop(_TIMEOUT))
    system.output.hold("a")
    system.submit("a", level=lual.ERROR)
    if not system.push(lambda: "a" in system.output.begun):
        raise Blocked("no record could be brought into the output")
    stop = system.stopping()
    system.output.open()
    stop.result(
        "a stop never returned, and neither did one that an output had called: they wait for "
        "each other"
    )
    kit.eventually(
        lambda: bool(answers), "stop inside an output, while another one waited, never returned"
    )


@rule(
    "9.13",
    "Before `stop` returns True, the dispatch's own `flush()` was called after the last record.",
    hint="flush the outputs after the drain, where dispatching happens",
    assumes=("5.12", "9.1"),
)
def stop_flushes_the_outputs(kit: Kit) -> None:
    output = kit.new_batch_output()
    system = kit.running(output=output)
    system.submit(*(str(n) for n in range(7)))
    expect(system.stop() is True, "stop returned False though nothing stalled")
    expect(output.events[-1:] == ["flush"], f"stop returned True; the outputs saw {output.events}")
    output = kit.new_batch_output()
    system = kit.running(output=output)
    system.submit(*(str(n) for n in range(5)))
    system.push(lambda: len(output.done) == 5, first=kit.patience / 4)  # not by a flush
    expect(system.stop() is True, "stop returned False though nothing was left to write")
    expect(
        output.events[-1:] == ["flush"],
        f"stop returned True with nothing left to write; the outputs saw {output.events}",
    )


@rule(
    "9.15",
    "`stop` closes admission first: a record submitted while it drains is refused.",
    hint="close the queue before the drain, else a busy producer holds stop for ever",
    assumes=("9.1",),
)
def admission_closes_when_stop_begins(kit: Kit) -> None:
    system = kit.running()
    names = (f"late {n}" for n in range(10**9))
    if not kit.isolates:
        answers: list[bool] = []
        system.submit("a")
        if system.output.begun:
            kit.not_applicable(NOTHING_WAITS)
        system.output.hooks["a"] = lambda: answers.extend(system.submit(next(names)))
        system.stop()
        expect(answers == [False], "a record submitted while stop drained was taken")
        return
    system.hold("inside")
    stop = system.stopping()
    kit.eventually(
        lambda: system.submit(next(names)) == [False],
        "submit went on taking records while stop was draining",
    )
    system.output.open()
    stop.result("stop never returned though the output went on")
