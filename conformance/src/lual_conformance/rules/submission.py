"""Chapter 3: what `submit` promises."""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
from collections.abc import Iterator
from typing import Any

import lual
from lual.backend import WorkItem
from lual_conformance.harness.background import Background
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.output import Output, name_of
from lual_conformance.harness.refusal import Refusal
from lual_conformance.harness.system import System
from lual_conformance.outcomes import Blocked, Violation, expect
from lual_conformance.registry import rule

#: Records that each of several threads submits at once.
_PER_THREAD = 100


@rule(
    "3.1",
    "`submit` returns True iff the record was taken, and every record taken reaches its outcome.",
    hint="what submit returns, and whether a record it took can get lost before the output",
    level="smoke",
    seed="Basic work submission and processing",
)
def submit_tells_whether_it_took_the_record(kit: Kit) -> None:
    system = kit.running()
    names = [f"record {n}" for n in range(1, 9)]
    answers = system.submit(*names)
    expect(
        answers == [True] * len(names),
        f"submit returned {answers} for 8 records though there was room for 100",
    )
    begun = system.output.begun
    reached = system.drain(lambda: set(names) <= set(begun))
    missing = sorted(set(names) - set(begun))
    expect(reached, f"submit returned True for {missing}, which never reached the output")


@rule(
    "3.2",
    "Outputs never run on a thread that submits.",
    hint="a full batch, an urgent record, a full queue: submit wakes the worker, and returns",
    needs=("isolates_slow_outputs", "!worker:process"),
    assumes=("3.1", "3.4"),
)
def outputs_run_on_other_threads_than_submits(kit: Kit) -> None:
    for strategy, is_held in itertools.product(_strategies(kit), (False, True)):
        system = kit.running(max_size=4, strategy=strategy, batch_size=3, block_timeout=0.0)
        if is_held:  # so that the queue overflows
            system.hold()
        levels = {3: lual.ERROR, 8: lual.CRITICAL}
        items = [system.item(f"record {n}", levels.get(n, lual.INFO)) for n in range(12)]
        call = submitting(system, items)
        call.has_ended(kit.patience / 4)
        output = system.output
        places = list(zip(output.begun, output.threads, strict=False))
        here = [name for name, thread in places if thread is call.thread]
        expect(not here, f"{here} were dispatched on the thread that submitted")
        output.open()


@rule(
    "3.3",
    "`submit` returns while an output is stalled.",
    hint="no lock that submit takes may be held during a dispatch",
    needs=("isolates_slow_outputs",),
    assumes=("3.2",),
)
def submit_returns_while_an_output_is_stalled(kit: Kit) -> None:
    system = kit.running()
    system.hold()
    levels = {7: lual.ERROR, 15: lual.CRITICAL}
    items = [system.item(f"later {n}", levels.get(n, lual.INFO)) for n in range(20)]
    answers = submitting(system, items).result("submit did not return while an output was stalled")
    expect(all(answers), f"submit returned {answers} while an output was stalled")


@rule(
    "3.4",
    "`submit` never raises an `Exception`, whatever is broken.",
    hint="answer False where a record can't be taken; report a fault instead of raising it",
)
def submit_never_raises(kit: Kit) -> None:
    for strategy in _strategies(kit):
        _submit_into_a_full_queue(kit, strategy)
    system = kit.system()
    with _named("before start"):
        system.submit("early")
    system.start()
    refusal = Refusal(threading.current_thread())
    with _named("when no thread could be started"), refusal.in_force():
        system.submit("a", "b", "c", level=lual.ERROR)
    faults = kit.target.faults(system.backend)
    if faults is not None:
        faults.kill_worker()
        with _named("after the worker was killed"):
            system.submit("d", "e", "f", level=lual.ERROR)
    stop = system.stopping(kit.seconds(1.0))
    system.advance(kit.seconds(1.0))
    stop.has_ended(kit.glance)
    with _named("after stop"):
        system.submit("late")


def _submit_into_a_full_queue(kit: Kit, strategy: str) -> None:
    """Submits from inside an output, where nothing can be taken from the queue meanwhile."""
    system = kit.running(max_size=4, batch_size=2, strategy=strategy, block_timeout=0.0)
    items = [system.item(f"more {n}", lual.ERROR if n % 3 else lual.INFO) for n in range(12)]
    raised: list[Exception] = []

    def submit_more() -> None:
        try:
            for item in items:
                system.backend.submit(item)
        except Exception as error:  # noqa: BLE001  it is what the check looks for
            raised.append(error)

    system.output.hooks["first"] = submit_more
    with _named("for a record that makes a batch due"):
        system.submit("first", level=lual.ERROR)
    system.drain(lambda: "first" in system.output.done)
    for error in raised:
        raise Violation(
            f"submit raised {type(error).__name__} ({error}) when the queue was full "
            f"under {strategy}"
        )


@contextlib.contextmanager
def _named(when: str) -> Iterator[None]:
    try:
        yield
    except Violation:
        raise
    except Exception as error:
        raise Violation(f"submit raised {type(error).__name__} ({error}) {when}") from error


@rule(
    "3.5",
    "`submit` may be called by any number of threads at once.",
    hint="anything that submit reads and writes back, without a lock or an atomic operation",
    assumes=("3.1", "3.4"),
    stochastic=True,
)
def submit_is_safe_from_several_threads(kit: Kit) -> None:
    system = kit.running(max_size=4000, batch_size=50)
    ready = threading.Barrier(4)
    taken: list[str] = []

    def produce(producer: int) -> None:
        items = [system.item(f"{producer}-{n}") for n in range(_PER_THREAD)]
        ready.wait(kit.patience)
        for item in items:
            if system.backend.submit(item):
                taken.append(name_of(item.record))

    with _hasty_switches():
        producers = [kit.background(lambda p=p: produce(p), "submit") for p in range(4)]  # type: ignore[misc]
        for producer in producers:
            producer.result("one of several submits at once never returned")
    refused = 4 * _PER_THREAD - len(taken)
    expect(not refused, f"{refused} of 400 submits at once were refused though there was room")
    begun = system.output.begun
    system.drain(lambda: len(begun) >= len(taken))
    lost = set(taken) - set(begun)
    expect(
        not lost,
        f"{len(lost)} of 400 records that four threads submitted at once never reached the "
        f"output: {sorted(lost)[:5]}",
    )


@contextlib.contextmanager
def _hasty_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class _Logger:
    """Stands for a logger; backends only pass it on."""

    name = "kit.unmodified"


@rule(
    "3.7",
    "The output gets the logger and the record that were submitted: the same objects in one "
    "process, equal ones in another.",
    hint="pass item.logger and item.record on as they are",
)
def the_record_reaches_the_output_unmodified(kit: Kit) -> None:
    for output in (kit.new_output(), kit.new_batch_output()):
        system = kit.running(output=output)
        logger: Any = "kit.unmodified" if kit.is_process else _Logger()
        items = [_item_with(system, logger, f"record {n}") for n in range(3)]
        for item in items:
            system.submit_item(item)
        if not system.drain(lambda output=output: len(output.begun) >= 3):  # type: ignore[misc]
            raise Blocked("the records could not be brought to the output")
        for item in items:
            _check_arrival(kit, output, item)


def _item_with(system: System, logger: Any, name: str) -> WorkItem:
    record = system.item(name).record.replace(fields={"user": "ann"}, logger_name="kit.unmodified")
    return WorkItem(logger, record, None, system.clock.time(), lual.INFO)


def _check_arrival(kit: Kit, output: Output, item: WorkItem) -> None:
    name = name_of(item.record)
    arrived = [call for call in output.calls if name_of(call[1]) == name]
    expect(arrived, f"{name!r} was submitted, and {output.begun} reached the output")
    logger, record = arrived[0]
    for attribute in ("logger_name", "level", "message", "fields"):
        sent, got = getattr(item.record, attribute), getattr(record, attribute, None)
        expect(got == sent, f"the record's {attribute} was {sent!r}, the output got {got!r}")
    if kit.is_process:
        expect(
            getattr(logger, "name", logger) == "kit.unmodified",
            f"the logger was 'kit.unmodified', the output got {logger!r}",
        )
        return
    expect(logger is item.logger, f"the output got another logger than was given: {logger!r}")
    same = record is item.record or kit.claims("snapshot")
    expect(same, f"the output got another record object than was submitted: {record!r}")


@rule(
    "3.8",
    "With `snapshot`, a record that the caller changes after `submit` arrives as it was.",
    hint="copy or present what a record holds inside submit, nested containers too",
    needs=("snapshot",),
    assumes=("3.1",),
)
def a_record_arrives_as_it_was_at_submit(kit: Kit) -> None:
    system = kit.running()
    fields: dict[str, Any] = {"user": "at submit", "path": ["at submit"]}
    record = lual.Record.build("changing", logger_name="kit", level=lual.INFO, fields=fields)
    system.submit_item(WorkItem("kit", record, None, system.clock.time(), lual.INFO))
    fields["user"] = "changed later"
    fields["path"].append("changed later")
    if not system.drain(lambda: "changing" in system.output.begun):
        raise Blocked("the record could not be brought to the output")
    arrived = system.output.calls[0][1].fields
    expect(
        "changed later" not in repr(arrived) and repr(arrived).count("at submit") == 2,
        f"a record was changed after submit, and its fields arrived as {arrived!r}",
    )


def _strategies(kit: Kit) -> list[str]:
    """Returns the strategies that the backend claims; never none."""
    known = ("drop_oldest", "drop_newest", "block")
    return [s for s in known if kit.claims(f"overflow:{s}")] or ["drop_oldest"]


def submitting(system: System, items: list[WorkItem]) -> Background[list[bool]]:
    """Submits items in a thread of their own."""
    submit = system.backend.submit
    return system.kit.background(lambda: [submit(item) for item in items], "submit(work_item)")
