"""Chapter 8, the other half: what producers and outputs counted is what the counters say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lual
from lual.backend import BackendConfig, BoundedQueue, WorkItem
from lual_conformance.harness.counters import imbalance
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.output import Output
from lual_conformance.harness.system import NEVER, System
from lual_conformance.outcomes import Blocked, expect
from lual_conformance.registry import rule

#: Why a record may be dropped by each strategy, if none is protected.
_REASONS: Mapping[str, tuple[str, ...]] = {
    "drop_oldest": ("overflow_oldest",),
    "drop_newest": ("overflow_newest",),
    "block": ("block_timeout", "cannot_block"),
}


@rule(
    "8.2",
    "At rest the counters say what producers submitted and outputs did, whatever has happened: "
    "failures, overflow, a stop that ran out of time, a restart, refusals.",
    hint="book each outcome once, after the dispatch call; a refusal before start or after stop "
    "counts nowhere",
    assumes=(
        *("2.3", "2.4", "2.5", "3.1", "4.1", "4.5", "5.1", "5.2"),
        *("6.1", "6.2", "6.3", "6.4", "6.5", "6.7", "7.1", "8.1", "9.1", "9.2", "9.3"),
    ),
    seed="Statistics accuracy",
)
def counters_say_what_has_happened(kit: Kit) -> None:
    _try_failures(kit)
    _try_refusals(kit)
    if kit.isolates or not kit.is_process:
        for strategy in _REASONS:
            if kit.claims(f"overflow:{strategy}"):
                _try_overflow(kit, strategy)
    if kit.isolates and not kit.is_process:
        _try_stop_in_vain(kit)


def _settle(system: System) -> dict[str, Any]:
    """Has everything worked off, and returns the counters at rest."""
    system.kit.background(lambda: system.backend.flush(NEVER), "flush(inf)")

    def is_at_rest() -> bool:
        stats = system.get_stats()
        return not (stats["queue_size"] or stats["in_flight"])

    system.kit.becomes_true(is_at_rest, system.kit.patience)
    return system.get_stats()


def _expect_counts(stats: Mapping[str, Any], when: str, **wanted: int) -> None:
    for name, count in {**wanted, "queue_size": 0, "in_flight": 0}.items():
        expect(stats[name] == count, f"{when}, {name} is {stats[name]} instead of {count}")
    wrong = imbalance(stats)
    expect(not wrong, f"{when}, {wrong}")


def _try_failures(kit: Kit) -> None:
    system = kit.running()
    early: list[str] = []

    def look() -> None:
        processed = system.backend.get_stats()["messages_processed"]
        done = len(system.output.done)
        if processed > done:
            early.append(f"{processed} records are processed when only {done} have been written")

    names = [f"a{number}" for number in range(1, 16)]
    for name in names[::3]:
        system.output.failures[name] = ValueError("a record")
    for name in names[1::3]:
        system.output.hooks[name] = look
    system.submit(*names)
    stats = _settle(system)
    expect(not early, early[0] if early else "")
    when = "after 15 records of which 5 failed"
    done = len(system.output.done)
    _expect_counts(
        stats,
        when,
        messages_submitted=15,
        messages_processed=done,
        messages_failed=5,
        messages_dropped=0,
        backend_errors=5,
    )


def _try_refusals(kit: Kit) -> None:
    system = kit.system()
    taken = sum(system.submit("too", "early"))
    system.start()
    taken += sum(system.submit("a", "b", "c", "d", "e"))
    _settle(system)
    kit.background(lambda: system.backend.stop(NEVER), "stop(inf)").has_ended(kit.patience)
    taken += sum(system.submit("too", "late", "by", "five", "records"))
    when = "after five records, and seven that were refused before start and after stop"
    counts = {"messages_submitted": taken, "messages_processed": taken, "messages_dropped": 0}
    _expect_counts(system.get_stats(), when, **counts)
    if not kit.claims("restartable"):
        return
    system.start()
    taken = sum(system.submit("f", "g", "h", "i", "j"))
    counts = {name: count + taken if count else 0 for name, count in counts.items()}
    _expect_counts(_settle(system), f"{when}, and five after a restart", **counts)


def _try_overflow(kit: Kit, strategy: str) -> None:
    system = kit.running(max_size=3, batch_size=1, strategy=strategy, block_timeout=0.0)
    names = [f"a{number}" for number in range(20 + kit.capabilities.get("buffer", 0))]
    if kit.isolates:
        system.output.close()
        system.submit(*names)
        system.output.open()
    else:
        items = [system.item(name) for name in names]
        system.output.hooks["first"] = lambda: [system.backend.submit(item) for item in items]
        system.submit("first")
        names.append("first")
    stats = _settle(system)
    when = f"after {len(names)} records for a queue of 3 under {strategy}"
    written = len(system.output.done)
    dropped = len(names) - written
    _expect_counts(
        stats,
        when,
        messages_submitted=len(names),
        messages_processed=written,
        messages_failed=0,
        messages_dropped=dropped,
    )
    if not dropped:
        return  # this backend finds room where others can't
    by_level = {name: count for name, count in stats["dropped_by_level"].items() if count}
    expect(by_level == {"INFO": dropped}, f"{when}, dropped_by_level is {by_level}")
    by_reason = {name: count for name, count in stats["dropped_by_reason"].items() if count}
    expect(set(by_reason) <= set(_REASONS[strategy]), f"{when}, dropped_by_reason is {by_reason}")
    for name, least in (("queue_overflows", 1), ("queue_high_watermark", 3)):
        expect(stats[name] >= least, f"{when}, {name} is {stats[name]}")


def _try_stop_in_vain(kit: Kit) -> None:
    system = kit.running(batch_size=1)
    system.output.close()
    names = [f"a{number}" for number in range(8)]
    system.submit(*names)
    if not system.push(lambda: bool(system.output.begun)):
        raise Blocked("no record could be brought into the output")
    timeout = kit.seconds(5.0)
    system.until_ended(system.stopping(timeout), timeout)
    begun = len(system.output.begun)
    when = f"after a stop that ran out of time with {begun} of {len(names)} records begun"
    stats = system.get_stats()
    wrong = imbalance(stats)
    expect(not wrong, f"{when}, {wrong}")
    dropped = stats["dropped_by_reason"].get("shutdown_timeout", 0)
    expect(
        dropped == len(names) - begun,
        f"{when}, dropped_by_reason is {stats['dropped_by_reason']}",
    )
    system.output.open()


@rule(
    "8.8",
    "A backend built from the five settings of the original design note fills in the keys that "
    "its mapping lacks, and keeps it true.",
    hint="use config.ledger, which keeps its counters in config.stats",
    assumes=("7.1", "8.1"),
    seed="Statistics reporting",
)
def a_plain_mapping_tells_the_truth(kit: Kit) -> None:
    if kit.usual_strategy != "drop_oldest":  # which is what those five settings come to
        kit.not_supported("overflow:drop_oldest")
    output = Output(kit.patience)
    stats: dict[str, Any] = {"messages_processed": 0, "backend_errors": 0}
    config = BackendConfig(
        batch_size=5,
        flush_interval=0.1,
        queue=BoundedQueue(max_size=100),
        stats=stats,
        error_callback=lambda message: None,
        clock=kit.new_clock(),
        pipelines=kit.describe_outputs(lambda: output),
        options=dict(kit.settings.options),
    )
    backend = kit.target.create(config)
    try:
        kit.host.start(backend, output)
        _use(kit, backend, output)
        backend.get_stats()
        wanted = {"messages_processed": 6, "messages_failed": 1, "messages_submitted": 7}
        kit.becomes_true(lambda: wanted.items() <= stats.items(), kit.patience)
        for name, count in wanted.items():
            found = stats.get(name)
            expect(found == count, f"stats[{name!r}] is {found} instead of {count} after a flush")
        errors = stats["backend_errors"]
        expect(errors >= 1, f"stats['backend_errors'] is {errors} after a record had failed")
        shown = backend.get_stats()
        for name, count in wanted.items():
            expect(shown[name] == count, f"get_stats says {name} {shown[name]} instead of {count}")
    finally:
        kit.background(backend.reset, "reset()").has_ended(1.0)


def _use(kit: Kit, backend: Any, output: Output) -> None:
    """Submits seven records, of which one fails, and flushes."""
    output.failures["bad"] = ValueError("a record")
    for name in ("a", "b", "bad", "c", "d", "e", "f"):
        record = lual.Record.build(name, logger_name="kit", level=lual.INFO)
        with kit.calling("submit(work_item)"):
            backend.submit(WorkItem("kit", record))
    kit.background(lambda: backend.flush(5.0), "flush(5)").has_ended(kit.patience / 2)
    if not kit.becomes_true(lambda: len(output.begun) >= 7, kit.patience / 2):
        raise Blocked("seven records could not be brought through the output")
