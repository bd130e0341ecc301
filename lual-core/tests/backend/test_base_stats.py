import json
import threading

import pytest

from lual.backend.ledger import COUNTERS, DERIVED, TABLES
from lual.levels import ERROR


def test_the_keys_are_those_of_the_contract(system):
    assert set(system.stats) == {*COUNTERS, *DERIVED, *TABLES, "latency", "state"}


def test_they_can_be_written_as_json(system):
    system.output.failures = {1: ValueError()}
    system.submit(1, 2)
    system.backend.flush()
    assert json.loads(json.dumps(system.stats)) == system.stats


def test_they_are_a_copy(system):
    system.submit(1)
    system.backend.flush()
    before = system.stats
    changed = system.stats
    changed["messages_processed"] = 99
    changed["latency"]["dispatch"]["buckets"].clear()
    changed["failed_by_reason"]["dispatch"] = 7
    assert system.stats == before


def test_they_are_had_while_an_output_stalls(system, background):
    system.hold()
    stats = background(system.backend.get_stats).result()
    assert (stats["in_flight"], stats["state"]) == (1, "running")


def test_every_record_is_found_in_exactly_one_place(make_system):
    system = make_system(max_size=3, batch_size=2).start()
    system.hold()
    system.output.failures = {2: ValueError(), 5: ValueError()}
    system.submit(*range(6))
    stats = system.stats
    assert (stats["in_flight"], stats["queue_size"], stats["messages_dropped"]) == (1, 3, 3)
    system.output.open()
    assert system.backend.flush() is True
    stats = system.stats
    assert stats["messages_submitted"] == 7
    assert (stats["messages_processed"], stats["messages_failed"]) == (3, 1)
    assert len(system.output.records) == stats["messages_processed"]


def test_each_snapshot_under_load_is_consistent_and_counters_only_rise(
    make_system, background, fast_switches
):
    system = make_system(max_size=20, batch_size=4).start()
    system.output.failures = {n: ValueError() for n in range(0, 400, 7)}
    barrier = threading.Barrier(4)

    def produce(number):
        barrier.wait()
        for n in range(100):
            system.submit(number * 100 + n, level=ERROR if n % 10 == 0 else 20)

    calls = [background(produce, number) for number in range(3)]
    barrier.wait()
    rising = [n for n in COUNTERS if n not in ("in_flight",)]
    rising += ["messages_dropped"]
    before = system.stats
    while any(call.thread.is_alive() for call in calls):
        now = system.stats  # which checks that it balances
        assert all(now[name] >= before[name] for name in rising)
        before = now
    for call in calls:
        call.result()
    assert system.backend.flush() is True
    stats = system.stats
    assert stats["messages_submitted"] == 300
    assert stats["messages_processed"] == len(system.output.records)
    assert stats["queue_high_watermark"] <= 20


def test_latencies_have_one_sample_for_each_batch(system):
    system.submit_and_park(1)
    system.clock.advance(2.0)
    system.output.hooks = {1: lambda: system.clock.advance(3.0)}
    system.submit(2, 3, 4, 5)
    assert system.backend.flush() is True
    latency = system.stats["latency"]
    assert (latency["queue"]["count"], latency["dispatch"]["count"]) == (1, 1)
    assert latency["queue"]["sum_ns"] == pytest.approx(2e9, rel=1e-6)
    assert latency["dispatch"]["sum_ns"] == 3_000_000_000


def test_a_backend_that_counts_for_itself_may_use_the_same_ledger(system):
    system.config.stats["messages_processed"] = 5
    assert system.stats["messages_submitted"] == 5
