"""Chapter 6, on: records that come faster, from several threads, than any output takes them."""

from __future__ import annotations

import threading

from lual_conformance.harness.kit import Kit
from lual_conformance.harness.system import NEVER, System
from lual_conformance.outcomes import expect
from lual_conformance.registry import rule
from lual_conformance.rules.overflow import supported


@rule(
    "6.12",
    "A flood of ten times the capacity, from several threads, conserves records: each is "
    "written, refused or counted dropped.",
    hint="what happens between two threads that find the queue full, and how drops are counted",
    assumes=("3.5", "5.1", "5.2", "5.11", "6.1", "6.2", "6.3", "6.4"),
    stochastic=True,
    seed="Performance under load",
)
def a_flood_conserves_records(kit: Kit) -> None:
    for strategy in supported(kit):
        system = kit.running(max_size=20, strategy=strategy)
        stalls = kit.isolates and strategy != "block"
        if stalls:
            system.hold("first")
        before = len(system.output.begun)
        answers = _submit_from_threads(kit, system, stalls=stalls)
        flush = system.flushing(NEVER)
        ended = flush.result(f"flush never returned after a flood ({strategy})")
        expect(ended is True, f"flush returned {ended!r} after a flood ({strategy})")
        written = set(system.output.begun[before:]) - {"first"}
        _expect_conserved(system, strategy, answers, written)


def _submit_from_threads(kit: Kit, system: System, *, stalls: bool) -> dict[str, bool]:
    """Submits 200 records, with the output stalled for the first half if it may be."""
    answers: dict[str, bool] = {}
    second_half = threading.Event()

    def produce(thread: int) -> bool:
        for number in range(50):
            if number == 25:
                second_half.wait()
            item = system.item(f"r{thread}.{number}")
            answers[item.record.message] = system.backend.submit(item)
        return True

    producers = [
        kit.background(lambda thread=thread: produce(thread), "one of 200 submits")  # type: ignore[misc]
        for thread in range(4)
    ]
    try:
        _until_answered(kit, answers, 100)
    finally:
        second_half.set()
    if stalls:
        system.output.open()
    _until_answered(kit, answers, 200)
    for producer in producers:
        producer.result()
    return answers


def _until_answered(kit: Kit, answers: dict[str, bool], count: int) -> None:
    """Waits for submits as long as there is progress: nothing is promised about speed."""
    before = -1
    while before < len(answers) < count:
        before = len(answers)
        kit.becomes_true(lambda before=before: len(answers) > before, kit.patience)  # type: ignore[misc]
    expect(
        len(answers) >= count, f"after {len(answers)} submits of a flood the next never returned"
    )


def _expect_conserved(
    system: System, strategy: str, answers: dict[str, bool], written: set[str]
) -> None:
    refused = {name for name, answer in answers.items() if not answer}
    lost = set(answers) - written
    stats = system.get_stats()
    dropped = stats.get("messages_dropped")
    where = f"in a flood of {len(answers)} records ({strategy})"
    expect(dropped == len(lost), f"{len(lost)} were lost {where}, messages_dropped says {dropped}")
    expect(not (refused & written), f"{len(refused & written)} were refused and written {where}")
    if strategy == "drop_oldest":
        expect(not refused, f"{len(refused)} were refused {where}")
    else:
        expect(lost == refused, f"{len(lost - refused)} were taken and never written {where}")
    if strategy == "block":
        expect(not lost, f"{len(lost)} were lost {where}, though nobody ran out of time")
