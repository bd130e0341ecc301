"""Chapter 8, on looking at the counters while much is going on."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from lual_conformance.harness.counters import imbalance, relapse
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.system import NEVER, System
from lual_conformance.outcomes import Blocked, expect
from lual_conformance.registry import rule


def _looker(system: System, ended: threading.Event) -> Callable[[], str]:
    """Returns what looks at the statistics until `ended`, and tells what was wrong."""

    def look() -> str:
        before: dict[str, Any] = {}
        while not ended.is_set():
            stats = system.backend.get_stats()
            wrong = imbalance(stats) or relapse(before, stats)
            if wrong:
                return wrong
            before = stats
        return ""

    return look


@rule(
    "8.3",
    "Every snapshot is consistent in itself, under load, and seen from outputs and callbacks; "
    "no term is negative, and no counter goes back.",
    hint="keep few counters, derive the totals, and read all under one lock",
    assumes=("3.5", "7.1", "8.2", "8.4"),
    stochastic=True,
)
def every_snapshot_is_consistent(kit: Kit) -> None:
    seen: list[str] = []
    system = kit.system(max_size=8, error_callback=lambda _: note("from error_callback"))

    def note(where: str) -> None:
        wrong = imbalance(system.backend.get_stats())
        if wrong:
            seen.append(f"a snapshot taken {where}: {wrong}")

    for number in range(0, 300, 7):
        system.output.failures[f"0.{number}"] = ValueError("a record")
        system.output.hooks[f"1.{number}"] = lambda: note("inside an output")
    system.start()
    _load(kit, system, seen)
    expect(not seen, seen[0] if seen else "")


def _load(kit: Kit, system: System, seen: list[str]) -> None:
    """Submits from two threads while two others look at the statistics."""
    ended = threading.Event()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        lookers = [
            kit.background(_looker(system, ended), "get_stats() in a loop") for _ in range(2)
        ]
        producers = [
            kit.background(_producer(system, number), "submit in a loop") for number in range(2)
        ]
        for producer in producers:
            producer.result()
        kit.background(lambda: system.backend.flush(NEVER), "flush").has_ended(kit.patience / 2)
    finally:
        ended.set()
        sys.setswitchinterval(interval)
    for looker in lookers:
        wrong = looker.result()
        if wrong:
            seen.append(f"a snapshot taken under load: {wrong}")


def _producer(system: System, number: int) -> Callable[[], None]:
    items = [system.item(f"{number}.{count}") for count in range(300)]

    def produce() -> None:
        for item in items:
            system.backend.submit(item)

    return produce


@rule(
    "8.4",
    "`get_stats` returns while an output is stalled.",
    hint="get_stats must not need a lock that is held while an output runs, or anybody waits",
    assumes=("3.3",),
)
def statistics_never_wait_for_an_output(kit: Kit) -> None:
    system = kit.running()
    if not kit.isolates:
        answers: list[bool] = []

        def ask() -> None:
            call = kit.background(system.backend.get_stats, "get_stats()")
            answers.append(call.has_ended(0.4 * kit.patience))

        system.output.hooks["a"] = ask
        system.submit("a", "b", "c", "d", "e")
        if not system.push(lambda: bool(answers)):
            raise Blocked("no record could be brought into the output")
        expect(answers[0], "get_stats was held as long as a call of an output was in progress")
        return
    system.hold()
    system.submit("a", "b")
    system.get_stats()
    system.flushing()
    system.get_stats()
    system.stopping()
    system.get_stats()
