"""Chapter 6, on: who waits for room under `block`, and for how long."""

from __future__ import annotations

from lual_conformance.harness.background import Background
from lual_conformance.harness.flood import bring_inside, capacity
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.system import System
from lual_conformance.outcomes import expect
from lual_conformance.registry import rule

_BLOCK = ("overflow:block",)
_STALL = ("overflow:block", "isolates_slow_outputs")


class _Producer:
    """Submits records in a thread of its own, until one is refused or all were taken.

    Args:
        kit: The check's.
        system: Where to.
        extra: How many records beyond what can be held.
    """

    def __init__(self, kit: Kit, system: System, extra: int = 3) -> None:
        self.answers: dict[str, bool] = {}
        self._system = system
        self._count = capacity(kit, system) + extra
        self.call: Background[bool] = kit.background(self._produce, "a submit under block")
        system.until_waiting(self.call)

    def _produce(self) -> bool:
        for number in range(self._count):
            item = self._system.item(f"r{number}")
            answer = self._system.backend.submit(item)
            self.answers[item.record.message] = answer
            if answer is not True:
                return answer
        return True

    @property
    def taken(self) -> list[str]:
        """Those for which `submit` returned True."""
        return [name for name, answer in self.answers.items() if answer is True]

    def expect_true_answers(self) -> None:
        """Compares the answers with what was written in the end.

        Raises:
            Violation: A record was taken and not written, or refused and written.
        """
        done = set(self._system.output.done)
        forgotten = [name for name in self.taken if name not in done]
        expect(not forgotten, f"submit returned True for {forgotten}, never written")
        ghosts = [name for name in self.answers if name not in self.taken and name in done]
        expect(not ghosts, f"submit returned False for {ghosts}, written all the same")


def _stalled(kit: Kit, **settings: float) -> System:
    system = kit.running(max_size=10, strategy="block", **settings)
    bring_inside(kit, system, "first")
    system.output.close()
    return system


def _reasons(system: System) -> dict[str, int]:
    table = system.get_stats().get("dropped_by_reason") or {}
    return {reason: count for reason, count in table.items() if count}


@rule(
    "6.4",
    "`block` makes a submit wait until there is room, and takes the record then.",
    hint="under block a full queue refuses nothing and evicts nothing before block_timeout",
    needs=_BLOCK,
    assumes=("3.1", "5.1", "5.2", "5.11", "6.1"),
    stochastic=True,
)
def block_waits_for_room(kit: Kit) -> None:
    system = _stalled(kit)
    producer = _Producer(kit, system)
    kit.never(
        producer.call.has_ended,
        "a submit returned under block though the queue was full and no time had passed",
    )
    system.output.open()
    answer = producer.call.result("a submit under block never returned though there was room")
    expect(answer is True, f"submit returned {answer!r} under block, without running out of time")
    expect(system.flush() is True, "flush returned False after submits that waited for room")
    producer.expect_true_answers()


@rule(
    "6.5",
    "`block` waits at most `block_timeout`, and refuses then.",
    hint="the wait for room has a deadline of its own: config.block_timeout",
    needs=_STALL,
    assumes=("5.1", "5.2", "5.11", "6.1", "6.3", "6.4"),
    stochastic=True,
)
def block_gives_up_at_its_timeout(kit: Kit) -> None:
    timeout = kit.seconds(5.0)
    system = _stalled(kit, block_timeout=timeout)
    producer = _Producer(kit, system)
    if system.clock.is_manual:
        system.advance(timeout / 2)
        kit.never(
            producer.call.has_ended,
            f"a submit under block returned after {timeout / 2:g} s, block_timeout is {timeout:g}",
        )
    answer = system.until_ended(producer.call, timeout)
    expect(answer is False, f"submit returned {answer!r} at block_timeout, without room")
    system.output.open()
    expect(system.flush() is True, "flush returned False after a submit had given up")
    producer.expect_true_answers()
    reasons = _reasons(system)
    expect(
        reasons == {"block_timeout": 1},
        f"one submit gave up at block_timeout, dropped_by_reason says {reasons}",
    )


@rule(
    "6.6",
    "`stop` wakes every producer that waits for room.",
    hint="stop must notify those who wait inside enqueue; close() of the queue does",
    needs=_STALL,
    assumes=("6.1", "6.4", "9.1"),
)
def stop_releases_blocked_producers(kit: Kit) -> None:
    system = _stalled(kit)
    producers = [_Producer(kit, system), _Producer(kit, system)]
    stop = system.stopping()
    for producer in producers:
        producer.call.result("a submit that waited for room still waited after stop was called")
    system.output.open()
    if stop.has_ended(kit.patience):
        answered = {name for p in producers for name, taken in p.answers.items() if taken}
        lost = sorted(answered - set(system.output.done))
        expect(not lost, f"submit returned True for {lost} at stop, never written")


@rule(
    "6.7",
    "`block` never waits inside an output: without room the record is refused there.",
    hint="a worker that waits for room waits for itself; refuse with the reason cannot_block",
    needs=_BLOCK,
    assumes=("3.6", "5.1", "5.2", "5.11", "6.1", "6.3", "6.4"),
)
def block_never_waits_inside_an_output(kit: Kit) -> None:
    if kit.is_process:
        kit.not_applicable("its outputs run in another process, which has no such backend")
    system = kit.running(max_size=10, strategy="block")
    items = [system.item(f"r{number}") for number in range(capacity(kit, system) + 3)]
    answers: dict[str, bool] = {}

    def submit_all() -> None:
        for item in items:
            answers[item.record.message] = system.backend.submit(item)

    system.output.hooks["first"] = submit_all
    first = system.item("first", system.config.flush_level)
    kit.background(lambda: system.backend.submit(first), "submit('first')")
    kit.becomes_true(lambda: "first" in system.output.begun, kit.patience / 4)
    flush = system.flushing()
    kit.eventually(
        lambda: len(answers) == len(items),
        "a submit inside an output waited for room, which nobody but that output could make",
    )
    flush.result()  # it may have begun before the submits
    expect(system.flush() is True, "flush returned False after submits inside an output")
    forgotten = [n for n, taken in answers.items() if taken and n not in system.output.done]
    expect(not forgotten, f"submit returned True inside an output for {forgotten}, never written")
    refused = sum(1 for taken in answers.values() if not taken)
    reasons = _reasons(system)
    expect(
        reasons == ({"cannot_block": refused} if refused else {}),
        f"{refused} submits were refused inside an output, dropped_by_reason says {reasons}",
    )
