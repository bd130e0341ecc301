"""Chapter 8: what `get_stats` shows, and that it is true."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from lual_conformance.harness.counters import BY_NAME, NUMBERS
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.system import NEVER, System
from lual_conformance.outcomes import Blocked, Violation, expect
from lual_conformance.registry import rule

#: More than any counter of these checks can be.
_MANY = 1_000_000

#: Counters that the kit's own flushes may raise at any time.
_UNSTEADY = ("flushes", "flush_timeouts")

_STATES = ("new", "running", "stopping", "stopped")


def _wrong_shape(stats: Mapping[str, Any]) -> str:
    """Returns what is missing in a snapshot, or of a wrong type, as a sentence; "" if nothing."""
    for name in NUMBERS:
        if name not in stats:
            return f"get_stats has no {name!r}"
        kinds = (int, float) if name.endswith("_seconds") else (int,)
        if type(stats[name]) not in kinds:
            return f"{name} is {stats[name]!r} instead of {' or '.join(k.__name__ for k in kinds)}"
    for name in BY_NAME:
        if name not in stats:
            return f"get_stats has no {name!r}"
        table = stats[name]
        if not isinstance(table, Mapping):
            return f"{name} is {table!r}, which is no table"
        for key, count in table.items():
            if not isinstance(key, str) or type(count) is not int:
                return f"{name} has {key!r}: {count!r} instead of a name and a number"
    if stats.get("state") not in _STATES:
        return f"state is {stats.get('state')!r} instead of one of {', '.join(_STATES)}"
    return ""


def _expect_shape(system: System, when: str) -> None:
    stats = system.get_stats()
    expect(
        isinstance(stats, dict), f"{when}, get_stats returned {type(stats).__name__}, not a dict"
    )
    wrong = _wrong_shape(stats)
    expect(not wrong, f"{when}, {wrong}")
    try:
        json.dumps(stats)
    except (TypeError, ValueError) as error:
        raise Violation(f"{when}, get_stats is not JSON-serialisable: {error}") from error


@rule(
    "8.1",
    "`get_stats` returns the counters, tables and `state` with their types, JSON-serialisable.",
    hint="return config.ledger.snapshot() and the state, or count under the same names",
    assumes=("7.1",),
    seed="Statistics reporting",
    level="smoke",
)
def statistics_have_all_keys_in_every_state(kit: Kit) -> None:
    system = kit.system()
    _expect_shape(system, "before start")
    system.start()
    _expect_shape(system, "after start")
    system.output.failures["bad"] = ValueError("a record")
    system.submit("good", "bad", "and", "three", "more")
    system.push(lambda: len(system.output.begun) >= 5)
    _expect_shape(system, "after five records")
    kit.background(lambda: system.backend.stop(NEVER), "stop(inf)").has_ended(kit.patience)
    _expect_shape(system, "after stop")
    by_level = [name for name in system.get_stats()["dropped_by_level"] if name != name.upper()]
    expect(not by_level, f"dropped_by_level has {by_level}; names of levels are in capitals")


@rule(
    "8.5",
    "`get_stats` returns a copy, tables included: changing it changes nothing, and it stays as "
    "it was.",
    hint="copy the nested tables as well, as config.ledger.snapshot() does",
    assumes=("7.1", "8.1"),
)
def statistics_are_a_copy(kit: Kit) -> None:
    system = kit.running()
    system.output.failures["bad"] = ValueError("a record")
    _write_five(system, 1)
    taken = system.get_stats()
    as_taken = copy.deepcopy(taken)
    _write_five(system, 2)
    changed = [name for name in as_taken if taken.get(name) != as_taken[name]]
    expect(not changed, f"a snapshot changed after it was taken: {changed}")
    _spoil(system.get_stats())
    spoiled = [name for name, value in system.get_stats().items() if _is_spoiled(name, value)]
    expect(not spoiled, f"changing what get_stats had returned changed {spoiled} of the backend")


def _write_five(system: System, turn: int) -> None:
    """Has five records written, of which one fails, and waits until the counters say so."""
    system.submit("bad", "b", "c", "d", "e")

    def is_at_rest() -> bool:
        stats = system.get_stats()
        return bool(stats["messages_processed"] >= 4 * turn and stats["messages_failed"] >= turn)

    if not system.push(is_at_rest):
        raise Blocked("five records could not be brought through the output")


def _spoil(value: Any) -> None:
    """Changes everything in a snapshot."""
    if isinstance(value, dict):
        for key, inner in list(value.items()):
            _spoil(inner)
            if isinstance(inner, int):
                value[key] = inner + _MANY
        value["spoiled"] = _MANY
    elif isinstance(value, list):
        value.append(_MANY)


def _is_spoiled(name: str, value: Any) -> bool:
    if isinstance(value, dict):
        return "spoiled" in value or any(_is_spoiled("", inner) for inner in value.values())
    if isinstance(value, list):
        return _MANY in value
    return name == "spoiled" or (name in NUMBERS and value >= _MANY)


@rule(
    "8.6",
    "`reset` zeroes the counters in place, in the mapping that the backend was given, and "
    "counting goes on there.",
    hint="reset must change config.stats, not replace it; config.ledger.reset() does",
    assumes=("7.1", "8.1", "8.8"),
)
def reset_zeroes_the_counters_in_place(kit: Kit) -> None:
    system = kit.running()
    system.output.failures["bad"] = ValueError("a record")
    _write_five(system, 1)
    system.reset()
    stats = system.get_stats()
    left = {name: stats[name] for name in NUMBERS if stats[name] and name not in _UNSTEADY}
    left |= {name: stats[name] for name in BY_NAME if any(stats[name].values())}
    expect(not left, f"after reset, get_stats still has {left}")
    kept = {name: system.stats[name] for name in NUMBERS if system.stats.get(name)}
    kept = {name: count for name, count in kept.items() if name not in _UNSTEADY}
    expect(not kept, f"after reset, the mapping that the backend was given still has {kept}")
    system.start()
    _write_five(system, 1)
    stats = system.get_stats()
    for name, wanted in (("messages_processed", 4), ("messages_failed", 1)):
        expect(
            stats[name] == wanted,
            f"after reset, start and five records, {name} is {stats[name]} instead of {wanted}",
        )
        _expect_in(kit, system.stats, name, wanted, "after reset, start and five records")


def _expect_in(kit: Kit, stats: Mapping[str, Any], name: str, wanted: int, when: str) -> None:
    kit.becomes_true(lambda: stats.get(name) == wanted, kit.patience)
    found = stats.get(name)
    expect(
        found == wanted,
        f"{when}, {name} is {found} instead of {wanted} in the mapping that the backend was given",
    )


@rule(
    "8.7",
    "Latencies are measured on the injected clock.",
    hint="measure with config.clock; run_batch and config.ledger.sample do",
    must=False,
    needs=("clock:injected",),
    assumes=("4.5", "8.1"),
)
def latencies_are_measured_on_the_injected_clock(kit: Kit) -> None:
    system = kit.running()
    system.output.hooks["c"] = lambda: system.clock.advance(4.0)
    system.submit("a", "b", "c", "d", "e")
    if not kit.becomes_true(lambda: len(system.output.done) >= 5, kit.patience):
        raise Blocked("five records could not be brought through the output")

    def histogram() -> dict[str, Any]:
        latency = system.get_stats().get("latency")
        found = latency.get("dispatch") if isinstance(latency, Mapping) else None
        return dict(found) if isinstance(found, Mapping) else {}

    kit.becomes_true(lambda: histogram().get("max_ns", 0) >= 3.9e9, kit.glance)
    found = histogram()
    if not found.get("count"):
        kit.not_supported("latency")
    longest, total = found["max_ns"] / 1e9, found["sum_ns"] / 1e9
    expect(
        3.9 <= longest <= 4.3 and longest <= total <= 4.4,
        f"a dispatch took 4 s by the clock; the longest took {longest:g} s by the latency, and "
        f"all of them {total:g} s",
    )
    buckets = list(found["buckets"])
    expect(
        sum(buckets) == found["count"],
        f"latency has {found['count']} samples, but {sum(buckets)} in its buckets",
    )
