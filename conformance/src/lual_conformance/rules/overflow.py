"""Chapter 6: how much is held, and which record goes when there is no room."""

from __future__ import annotations

from typing import Any

import lual
from lual.backend import ConfigError
from lual_conformance.harness.flood import Flood, capacity, flood, many
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.system import System
from lual_conformance.outcomes import expect
from lual_conformance.registry import rule

_STRATEGIES = ("drop_oldest", "drop_newest", "block")

#: Without room nobody waits: a submit under `block` is refused at once.
_NO_WAIT = 0.0


def supported(kit: Kit) -> list[str]:
    """Returns the strategies that a backend claims."""
    return [strategy for strategy in _STRATEGIES if kit.claims(f"overflow:{strategy}")]


@rule(
    "6.1",
    "The records held anywhere never exceed `max_queue_size`, the batches in hand and the "
    "declared buffer.",
    hint="what a full queue refuses or evicts must not wait elsewhere",
    assumes=("3.1", "3.3", "3.4", "3.6", "4.4", "4.7", "5.1", "5.2", "5.11"),
    seed="Memory bounds",
)
def held_records_are_bounded(kit: Kit) -> None:
    for strategy in supported(kit):
        system = kit.running(max_size=10, strategy=strategy, block_timeout=_NO_WAIT)
        allowed = capacity(kit, system)
        seen = flood(kit, system, many(allowed + 45, "r"))
        held = len(seen.written)
        expect(
            held <= allowed,
            f"{held} records were held while an output was stalled ({strategy}); "
            f"{allowed} are allowed with max_queue_size 10 and batches of 5",
        )
        high = seen.stats.get("queue_high_watermark", 0)
        most = 10 + kit.capabilities.get("buffer", 0)
        expect(high <= most, f"queue_high_watermark says {high} with max_queue_size 10")
        if kit.isolates and strategy != "block":
            _expect_one_batch_in_hand(kit, strategy)


def _expect_one_batch_in_hand(kit: Kit, strategy: str) -> None:
    """Lets a worker take from a full queue, and fills that again."""
    system = kit.running(max_size=10, strategy=strategy)
    allowed = capacity(kit, system)
    first, second = (
        [name for name, _ in many(count, key)] for count, key in ((10, "a"), (45, "b"))
    )
    system.hold("before")
    system.output.hold(*first, *second)
    system.submit(*first)
    begun = len(system.output.begun)
    system.output.release("before")
    system.push(lambda: len(system.output.begun) > begun)
    system.submit(*second)
    system.output.open()
    system.flushing().result("flush never returned after an overflow")
    held = len(set(system.output.begun) & {*first, *second})
    expect(
        held <= allowed,
        f"{held} records were held while an output was stalled, once a batch had been taken from "
        f"the full queue ({strategy}); {allowed} are allowed with max_queue_size 10 and batches "
        "of 5",
    )


@rule(
    "6.2",
    "`drop_oldest` takes the new record, evicts the oldest one, and counts it.",
    hint="eviction: from the old end, one for each newcomer, counted under its own level",
    needs=("overflow:drop_oldest",),
    assumes=("5.1", "5.2", "5.11", "6.1"),
    seed="Submission overload",
    level="smoke",
)
def drop_oldest_evicts_the_oldest(kit: Kit) -> None:
    system = kit.running(max_size=10, strategy="drop_oldest")
    count = capacity(kit, system) + 10
    seen = flood(kit, system, [*many(count, "old"), *many(17, "new", lual.WARNING)])
    expect(not seen.refused, f"submit returned False under drop_oldest, for {seen.refused}")
    _expect_newest(seen, 10)
    seen.expect_counted("overflow_oldest")


def _expect_newest(seen: Flood, count: int) -> None:
    newest = seen.names[-count:]
    missing = [name for name in newest if name not in seen.written]
    expect(
        not missing,
        f"the {count} newest records were to stay, but {missing} never reached the output; "
        f"those were written: {seen.written}",
    )


@rule(
    "6.3",
    "`drop_newest` refuses the new record, counts it, and leaves those that wait alone.",
    hint="the answer of submit, and what is evicted, when the queue is full",
    needs=("overflow:drop_newest",),
    assumes=("5.1", "5.2", "5.11", "6.1"),
    seed="Submission overload",
)
def drop_newest_refuses_the_newest(kit: Kit) -> None:
    system = kit.running(max_size=10, strategy="drop_newest")
    count = capacity(kit, system) + 10
    seen = flood(kit, system, [*many(10, "room"), *many(count, "over", lual.WARNING)])
    early = [name for name in seen.refused if name.startswith("room")]
    expect(not early, f"{early} were refused while the queue of 10 still had room")
    _expect_answers_true(seen)
    expect(seen.refused, f"{len(seen.names)} records were taken with max_queue_size 10")
    seen.expect_counted("overflow_newest")


def _expect_answers_true(seen: Flood) -> None:
    expect(not seen.forgotten, f"submit returned True for {seen.forgotten}, never written")
    ghosts = [name for name in seen.refused if name in seen.written]
    expect(not ghosts, f"submit returned False for {ghosts}, which were written all the same")


def _create(kit: Kit, strategy: str) -> Any:
    return kit.system(strategy=strategy).backend


@rule(
    "6.8",
    "A strategy that the backend doesn't support is a ConfigError at creation, never replaced "
    "by another one.",
    hint="compare config.overflow_strategy with the capability overflow when you are built",
)
def unsupported_strategies_are_refused(kit: Kit) -> None:
    if "overflow" not in kit.capabilities:
        kit.not_supported("overflow")
    for strategy in _STRATEGIES:
        if strategy in supported(kit):
            continue
        try:
            kit.raises(ConfigError, lambda strategy=strategy: _create(kit, strategy))  # type: ignore[misc]
        except AssertionError as violation:
            expect(False, f"creation with {strategy!r}, which isn't claimed, {violation}")


@rule(
    "6.9",
    "Overflow is not reported once per drop.",
    hint="count drops; the engine tells of them once a period",
    must=False,
    needs=("overflow:drop_oldest|drop_newest",),
    assumes=("6.1", "6.2", "6.3"),
)
def drops_are_not_reported_one_by_one(kit: Kit) -> None:
    strategy = supported(kit)[0]
    system = kit.running(max_size=10, strategy=strategy)
    seen = flood(kit, system, many(500, "r"))
    count = len(system.errors)
    expect(count <= 10, f"error_callback was called {count} times for {len(seen.lost)} drops")


@rule(
    "6.10",
    "A queue of one record works, and so does a batch size beyond what the queue can hold: "
    "capacity counts.",
    hint="a batch is due at the smaller of batch_size and max_queue_size",
    assumes=("4.5", "5.1", "5.11"),
)
def capacity_counts_where_batches_are_larger(kit: Kit) -> None:
    for size, batch in ((1, 5), (3, 50)):
        system = kit.running(max_size=size, batch_size=batch)
        names = [f"r{n}" for n in range(size + int(kit.capabilities.get("buffer", 0)))]
        system.submit(*names)
        expect(
            system.output.has_begun(1, kit.patience),
            f"the queue of {size} was full, but no batch was dispatched; it can't ever hold "
            f"batch_size {batch}",
        )
        expect(system.flush() is True, f"flush returned False with max_queue_size {size}")
        system.submit("last")
        expect(system.flush() is True, f"flush returned False with max_queue_size {size}")
        expect("last" in system.output.done, f"a record was lost with max_queue_size {size}")


@rule(
    "6.11",
    "Records at `protect_level` or above survive overflow while an unprotected one can go "
    "instead, under every strategy.",
    hint="a protected newcomer evicts the oldest unprotected record at once; an unprotected one "
    "that finds only protected ones is refused",
    assumes=("5.1", "5.2", "5.11", "6.1", "6.2", "6.3", "6.4"),
)
def protected_records_outlive_unprotected_ones(kit: Kit) -> None:
    for strategy in supported(kit):
        system = _protecting(kit, strategy)
        fill = many(capacity(kit, system) + 6, "plain")
        late = many(2, "late")
        protected = [*many(6, "warning", lual.WARNING), *many(4, "error", lual.ERROR)]
        seen = flood(kit, system, [*fill, *protected, *late])
        for name, _ in protected:
            why = f"the protected record {name!r} ({strategy}, full of unprotected ones)"
            expect(name in seen.taken, f"submit returned False for {why}")
            expect(name in seen.written, f"{why} was dropped")
        untrue = [name for name, _ in late if name in seen.forgotten]
        expect(
            not untrue,
            f"submit returned True for {untrue} ({strategy}, all others protected), never written",
        )
        seen.expect_counted("overflow_oldest", "overflow_newest", *_IMPATIENT.get(strategy, ()))
        _overflow_of_protected_ones(kit, strategy)


#: What a refusal under `block` is called where nobody waits.
_IMPATIENT = {"block": ("block_timeout", "cannot_block")}


def _protecting(kit: Kit, strategy: str) -> System:
    return kit.running(
        max_size=10,
        strategy=strategy,
        protect_level=lual.WARNING,
        flush_level=lual.CRITICAL,
        block_timeout=_NO_WAIT,
    )


def _overflow_of_protected_ones(kit: Kit, strategy: str) -> None:
    """Among protected records the strategy applies as it stands."""
    system = _protecting(kit, strategy)
    seen = flood(kit, system, many(capacity(kit, system) + 6, "warning", lual.WARNING))
    if strategy == "drop_oldest":
        expect(
            not seen.refused,
            f"submit returned False for {seen.refused} (drop_oldest, full of protected ones)",
        )
        _expect_newest(seen, 10)
        return
    _expect_answers_true(seen)
    expect(seen.refused, f"nothing was refused ({strategy}, full of protected ones)")
