"""Chapter 13: backends whose outputs run in another process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import lual
from lual.backend import WorkItem
from lual_conformance.harness.counters import imbalance
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.process import is_alive, until_gone
from lual_conformance.harness.system import NEVER, System
from lual_conformance.outcomes import Blocked, expect
from lual_conformance.registry import rule
from lual_conformance.rules.recovery import comes

_PROCESS = "worker:process"

#: Characters; more than a pipe or a socket holds.
_LARGE = 1024 * 1024

#: Characters; some of them fill a pipe.
_MIDDLE = 64 * 1024


class _CannotLeaveError(Exception):
    """Something can't be pickled, or can't be unpickled."""


def _refuse() -> NoReturn:
    raise _CannotLeaveError("it can't arrive either")


class _Homebound:
    """Can't be pickled."""

    def __reduce__(self) -> NoReturn:
        raise _CannotLeaveError("it belongs to this process")


class _LostOnTheWay:
    """Can be pickled, and not unpickled."""

    def __reduce__(self) -> tuple[Callable[[], NoReturn], tuple[()]]:
        return _refuse, ()


def _with_field(system: System, name: str, value: Any) -> WorkItem:
    item = system.item(name)
    record = item.record.replace(fields={"value": value})
    return WorkItem(item.logger, record, None, item.submitted_at, item.level)


def _ended(stats: Mapping[str, Any]) -> int:
    """Returns how many records have come to an outcome."""
    names = ("messages_processed", "messages_failed", "messages_dropped")
    return sum(int(stats.get(name, 0)) for name in names)


@rule(
    "13.1",
    "A record with a part that can't cross to the other process costs no other record: it is "
    "delivered with that part rendered, or fails alone, counted (`serialize`) and reported.",
    hint="serialise each record by itself, and expect anything to be raised there",
    needs=(_PROCESS,),
    assumes=("7.1", "8.1"),
)
def a_record_that_cannot_cross_fails_alone(kit: Kit) -> None:
    system = kit.running()
    wrong = {
        "a function": lambda: None,
        "a lock": threading.Lock(),
        "what can't leave": _Homebound(),
        "what can't arrive": _LostOnTheWay(),
    }
    good = [f"good {number}" for number in range(len(wrong) + 1)]
    for name, (kind, value) in zip(good, wrong.items(), strict=False):
        system.submit(name)
        system.submit_item(_with_field(system, kind, value))
    system.submit(good[-1])
    system.drain(lambda: _ended(system.get_stats()) >= len(good) + len(wrong))
    done = list(system.output.done)
    lost = [name for name in good if name not in done]
    why = f"with {len(wrong)} records under way that can't cross as they are,"
    expect(not lost, f"{why} {lost} were never written")
    failed = [name for name in wrong if name not in done]
    stats = system.get_stats()
    counted = stats.get("failed_by_reason", {}).get("serialize", 0)
    expect(
        counted == len(failed) == stats.get("messages_failed"),
        f"{why} those with {failed} were never written, and {counted} are counted as failed "
        f"(serialize), {stats.get('messages_failed')} as failed",
    )
    for name in failed:
        expect(
            kit.becomes_true(lambda n=name: _is_reported(system, n), kit.patience),  # type: ignore[misc]
            f"the record with {name} failed, and no report names it",
        )
    expect(not imbalance(stats), f"{why} {imbalance(stats)}")


def _is_reported(system: System, name: str) -> bool:
    return any(name in message for message in list(system.errors))


def _kill_writers(kit: Kit) -> None:
    """Kills the processes in which outputs have run, as the system does when memory is short.

    Raises:
        Blocked: They can't be killed from here.
    """
    pids = [pid for pid in kit.writers if is_alive(pid)]
    if not pids or os.getpid() in pids:
        raise Blocked("no output has run in another process of this machine")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        if not until_gone(pid, kit.patience):
            raise Blocked(f"the process {pid} survives SIGKILL")


@rule(
    "13.2",
    "SIGKILL of the worker process is noticed: a flush returns, what was sent is failed "
    "(`worker_lost`) once and reported, and further records are written, or visibly refused.",
    hint="the other end of the pipe must be closed everywhere but in the worker",
    needs=(_PROCESS, "isolates_slow_outputs"),
    assumes=("4.1", "5.1", "7.1", "7.4", "7.5"),
)
def a_killed_worker_process_is_noticed(kit: Kit) -> None:
    system = kit.running()
    names = [f"a{number}" for number in range(1, 8)]
    system.output.hold("a1")
    system.submit(*names)
    if not system.push(lambda: "a1" in system.output.begun):
        raise Blocked("no record could be brought into the output")
    flush = kit.background(lambda: system.backend.flush(NEVER), "flush(inf)")
    _kill_writers(kit)
    system.output.open()
    expect(comes(system, flush.has_ended), "a flush never returned after the worker was killed")
    if not comes(system, lambda: _ended(system.get_stats()) >= len(names)):
        kit.background(lambda: system.backend.stop(NEVER), "stop(inf)")  # it has given up, perhaps
        comes(system, lambda: system.state == "stopped")
    _expect_booked(kit, system, names)
    _expect_next(system)
    idle = kit.running(batch_size=1)
    idle.deliver("first")
    _kill_writers(kit)
    stop = kit.background(lambda: idle.backend.stop(NEVER), "stop(inf)")
    expect(comes(idle, stop.has_ended), "stop never returned after the idle worker was killed")


def _expect_booked(kit: Kit, system: System, names: list[str]) -> None:
    """Expects that each record has one outcome after the worker was killed with the first."""
    stats, begun = system.get_stats(), list(system.output.begun)
    why = f"{len(names)} records were under way when the worker was killed;"
    expect(
        _ended(stats) == len(names),
        f"{why} afterwards {stats.get('in_flight')} are in flight and {stats.get('queue_size')} "
        f"queued, and only {_ended(stats)} have an outcome",
    )
    expect(
        kit.becomes_true(lambda: bool(system.errors), kit.patience),
        f"{why} its death was never reported",
    )
    if kit.claims("delivery:at_least_once"):
        return
    twice = sorted({name for name in begun if begun.count(name) > 1})
    expect(not twice, f"{why} {twice} were written twice")
    lost = stats.get("failed_by_reason", {}).get("worker_lost", 0)
    failed = stats.get("messages_failed", 0)
    expect(
        1 <= lost == failed,
        f"{why} one of them was inside the output, but {lost} are counted as worker_lost, and "
        f"{failed} as failed",
    )


def _expect_next(system: System) -> None:
    """Expects that a record is written, or refused, after the worker was killed."""

    def is_settled() -> bool:
        return "next" in system.output.done or system.state == "stopped"

    taken = system.submit("next") == [True]
    system.flushing()
    expect(
        not taken or comes(system, is_settled),
        "after the worker was killed submit returned True, but the record was never written, and "
        f"the state is {system.state!r}",
    )


@rule(
    "13.5",
    "Records of any size cross whole, without a deadlock; and with many waiting `submit` "
    "returns, though an output stalls.",
    hint="who writes into a full pipe waits for its reader, which may wait for this very writer",
    needs=(_PROCESS,),
    assumes=("4.1", "5.2"),
)
def large_records_cross_whole(kit: Kit) -> None:
    system = kit.running(max_size=100)
    large = "large " + "x" * _LARGE
    system.submit("before", large, "after")
    flush = kit.background(lambda: system.backend.flush(NEVER), "flush(inf)")
    flush.result(f"flush never returned with a record of {_LARGE} characters under way")
    names = [f"{number} " + "y" * _MIDDLE for number in range(40)]
    if kit.isolates:
        system.hold()
    submitting = kit.background(lambda: [system.backend.submit(system.item(n)) for n in names])
    submitting.result(
        f"submit never returned while an output stalled and {len(names)} records of {_MIDDLE} "
        "characters came"
    )
    system.output.open()
    flush = kit.background(lambda: system.backend.flush(NEVER), "flush(inf)")
    flush.result(f"flush never returned with {len(names)} records of {_MIDDLE} characters")
    done = set(system.output.done)
    for name in ("before", large, "after", *names):
        kind = f"the record {name[:8]!r} of {len(name)} characters"
        expect(name in done, f"{kind} was never written as it was submitted")


@rule(
    "13.6",
    "Order and number hold across the processes: each record of each thread is written once, "
    "in the order of its thread, whatever their sizes and levels.",
    hint="one channel for all records; nothing overtakes, and nothing is sent again",
    needs=(_PROCESS,),
    assumes=("3.5", "4.1", "4.2", "13.5"),
)
def order_and_number_hold_across_processes(kit: Kit) -> None:
    system = kit.running(max_size=1000)
    sizes, levels = (0, 20_000, 10, 3_000), (lual.INFO, lual.INFO, lual.INFO, lual.ERROR, lual.INFO)
    sent = {p: [f"{p}.{n} " + "z" * sizes[n % len(sizes)] for n in range(60)] for p in range(3)}

    def produce(producer: int) -> None:
        for number, name in enumerate(sent[producer]):
            system.backend.submit(system.item(name, levels[number % len(levels)]))

    producers = [kit.background(lambda p=p: produce(p), "submit") for p in sent]  # type: ignore[misc]
    for call in producers:
        call.result("one of several submits at once never returned")
    system.flush()
    begun = list(system.output.begun)
    for producer, names in sent.items():
        found = [name for name in begun if name.startswith(f"{producer}.")]
        lost = [name.split()[0] for name in names if name not in found]
        expect(not lost, f"{lost} of 180 records were never written")
        again = sorted({name.split()[0] for name in found if found.count(name) > 1})
        is_repeating = kit.claims("delivery:at_least_once")
        expect(is_repeating or not again, f"{again} of 180 records were written more than once")
        if kit.claims("ordering:fifo|producer") and not again:
            first = next((i for i, name in enumerate(found) if name != names[i]), None)
            expect(
                first is None,
                f"one thread's records were written in the order "
                f"{[name.split()[0] for name in found[first or 0 :][:5]]}",
            )


@rule(
    "13.7",
    "When a flush has returned True, the program's own statistics have every outcome.",
    hint="the worker's answer must carry what became of each record, and be booked before flush",
    needs=(_PROCESS,),
    assumes=("5.1", "7.1", "8.1", "8.2"),
)
def statistics_are_complete_after_a_flush(kit: Kit) -> None:
    system = kit.running()
    names = [f"record {number}" for number in range(40)]
    wrong = names[1::4]
    for name in wrong:
        system.output.failures[name] = ValueError(f"no {name}")
    system.submit(*names)
    flush = kit.background(lambda: (system.backend.flush(NEVER), system.get_stats()), "flush(inf)")
    answer, stats = flush.result()
    if not answer:
        raise Blocked("flush returned False")
    wanted = {
        "messages_processed": len(names) - len(wrong),
        "messages_failed": len(wrong),
        "in_flight": 0,
        "queue_size": 0,
    }
    found = {name: stats.get(name) for name in wanted}
    expect(found == wanted, f"right after flush the statistics say {found} instead of {wanted}")
    by_reason = stats.get("failed_by_reason", {})
    expect(
        by_reason.get("dispatch") == len(wrong),
        f"right after flush {len(wrong)} records had failed, and failed_by_reason is {by_reason}",
    )
    expect(not imbalance(stats), f"right after flush, {imbalance(stats)}")
