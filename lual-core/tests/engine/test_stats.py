from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

import lual

KEYS = [
    "enabled",
    "backend",
    "state",
    "pid",
    "epoch",
    "uptime",
    "messages_submitted",
    "messages_processed",
    "messages_failed",
    "messages_dropped",
    "backend_errors",
    "output_errors",
    "queue_size",
    "max_queue_size",
    "in_flight",
    "queue_overflows",
    "overflow_strategy",
    "queue_high_watermark",
    "sync_processed",
    "dropped_by_reason",
    "dropped_by_level",
    "failed_by_reason",
    "blocked_submits",
    "blocked_seconds",
    "flushes",
    "flush_timeouts",
    "worker_restarts",
    "inherited_discarded",
    "latency",
    "last_error",
    "reports",
    "backend_stats",
]

Plug = Callable[..., Any]


def identities(stats: dict[str, Any]) -> None:
    """Asserts what must hold in every snapshot."""
    assert stats["messages_submitted"] == (
        stats["messages_processed"]
        + stats["messages_failed"]
        + stats["messages_dropped"]
        + stats["queue_size"]
        + stats["in_flight"]
    )
    assert stats["messages_dropped"] == sum(stats["dropped_by_reason"].values())
    assert stats["messages_dropped"] == sum(stats["dropped_by_level"].values())
    assert stats["messages_failed"] == sum(stats["failed_by_reason"].values())
    counted = [v for v in stats.values() if isinstance(v, (int, float))]
    assert min(counted) >= 0


class TestInEveryState:
    @pytest.fixture(
        params=["new", "sync", "running", "full", "stopped", "started again", "degraded", "reset"]
    )
    def stats(
        self,
        request: pytest.FixtureRequest,
        plugged: Plug,
        gate: Any,
        memory: Any,
        problems: list[str],
    ) -> dict[str, Any]:
        state = request.param
        log = lual.logger("stats")
        if state == "sync":
            lual.config(pipelines=[lual.pipeline(outputs=[memory])])
            log.error("x")
        elif state != "new":
            plugged(max_queue_size=4)
            for number in range(9 if state == "full" else 2):
                log.info("%d", number)
        if state not in ("new", "sync", "running", "full"):
            gate.let_pass()
            assert lual.flush()
        if state in ("stopped", "started again"):
            assert lual.shutdown()
            log.info("inline")
        if state == "started again":
            lual.async_writer.start()
            log.info("again")
        if state == "degraded":
            import unit_backends

            unit_backends.threads.last.stop()
            log.info("inline")
        if state == "reset":
            lual.async_writer.reset()
        return lual.get_stats()

    def test_all_keys_are_there_and_further_ones_stand_under_extra(
        self, stats: dict[str, Any]
    ) -> None:
        assert set(stats) == {*KEYS, "extra"}

    def test_the_identities_hold(self, stats: dict[str, Any]) -> None:
        identities(stats)

    def test_it_can_be_turned_into_json(self, stats: dict[str, Any]) -> None:
        assert json.loads(json.dumps(stats)) == stats


def test_a_new_engine_has_counted_nothing() -> None:
    stats = lual.get_stats()
    assert (stats["enabled"], stats["backend"], stats["state"]) == (False, None, "new")
    assert stats["overflow_strategy"] is None
    assert not any(stats[key] for key in KEYS if key.startswith(("messages", "queue", "flush")))
    assert stats["last_error"] is None


def test_a_running_one_names_its_backend_and_queue(plugged: Plug, backend: str) -> None:
    plugged(max_queue_size=77, overflow_strategy="drop_newest")
    stats = lual.get_stats()
    assert (stats["enabled"], stats["backend"], stats["state"]) == (True, backend, "running")
    assert (stats["max_queue_size"], stats["overflow_strategy"]) == (77, "drop_newest")
    assert stats["pid"] == os.getpid()
    assert stats["uptime"] > 0


def test_what_waits_and_what_is_in_hand_are_counted_apart(plugged: Plug, gate: Any) -> None:
    plugged()
    lual.logger("stats").info("x")
    lual.logger("stats").info("y")
    stats = lual.get_stats()
    assert (stats["queue_size"], stats["in_flight"], stats["messages_processed"]) == (2, 1, 0)
    gate.let_pass()
    assert lual.flush()
    stats = lual.get_stats()
    assert (stats["queue_size"], stats["in_flight"], stats["messages_processed"]) == (0, 0, 3)


def test_drops_are_counted_by_reason_and_level(plugged: Plug) -> None:
    plugged(max_queue_size=2, overflow_strategy="drop_newest")
    log = lual.logger("stats")
    for level in ("debug", "info", "debug", "warning"):
        log.log(level, "x")
    stats = lual.get_stats()
    assert stats["messages_dropped"] == 2
    assert stats["dropped_by_reason"] == {"overflow_newest": 2}
    assert stats["dropped_by_level"] == {"DEBUG": 1, "WARNING": 1}
    assert (stats["queue_overflows"], stats["queue_high_watermark"]) == (2, 2)


def test_synchronous_records_count_as_sync_processed(recorded: Any) -> None:
    lual.logger("stats").info("x")
    lual.logger("stats").info("y")
    stats = lual.get_stats()
    assert (stats["messages_submitted"], stats["messages_processed"]) == (2, 2)
    assert stats["sync_processed"] == 2


def test_a_record_that_no_output_took_has_failed(problems: list[str]) -> None:
    def broken(text: str, record: lual.Record) -> None:
        raise ValueError("broken")

    lual.config(pipelines=[lual.pipeline(outputs=[broken, broken])])
    lual.logger("stats").error("x")
    stats = lual.get_stats()
    assert (stats["messages_failed"], stats["backend_errors"]) == (1, 1)
    assert stats["failed_by_reason"] == {"dispatch": 1}
    assert stats["output_errors"] == 2
    identities(stats)


def test_a_record_that_one_output_took_has_not(memory: Any, problems: list[str]) -> None:
    def broken(text: str, record: lual.Record) -> None:
        raise ValueError("broken")

    lual.config(
        pipelines=[lual.pipeline(outputs=[broken]), lual.pipeline(outputs=[broken, memory])]
    )
    lual.logger("stats").error("x")
    stats = lual.get_stats()
    assert (stats["messages_failed"], stats["messages_processed"]) == (0, 1)
    assert stats["output_errors"] == 2


def test_latency_has_one_sample_a_batch(plugged: Plug, gate: Any) -> None:
    plugged()
    for number in range(5):
        lual.logger("stats").info("%d", number)
    gate.let_pass()
    assert lual.flush()
    latency = lual.get_stats()["latency"]
    assert set(latency) == {"queue", "dispatch"}
    for histogram in latency.values():
        assert set(histogram) == {"count", "sum_ns", "max_ns", "buckets"}
        assert histogram["count"] == 2 == sum(histogram["buckets"])
        assert histogram["sum_ns"] >= histogram["max_ns"] > 0


def test_the_last_error_is_the_last_problem(recorded: Any, problems: list[str]) -> None:
    lual.logger("stats").info("%d", "word")
    last = lual.get_stats()["last_error"]
    assert set(last) == {"time", "kind", "message"}
    assert (last["kind"], last["message"]) == ("format", problems[-1])


def test_what_is_the_backends_own_stands_under_backend_stats(
    plugged: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    import unit_backends

    plugged()
    backend = unit_backends.threads.last
    plain = backend.get_stats
    monkeypatch.setattr(backend, "get_stats", lambda: {**plain(), "colour": "red"})
    assert lual.get_stats()["backend_stats"] == {"state": "running", "colour": "red"}


def test_it_is_a_copy(recorded: Any, problems: list[str]) -> None:
    lual.get_stats()["dropped_by_reason"]["stopped"] = 5
    lual.get_stats()["latency"]["queue"]["buckets"][0] = 5
    stats = lual.get_stats()
    assert stats["dropped_by_reason"] == {}
    assert stats["latency"]["queue"]["buckets"][0] == 0


def test_counters_live_through_stop_and_start(plugged: Plug, gate: Any) -> None:
    plugged()
    gate.let_pass()
    assert lual.shutdown()
    lual.async_writer.start()
    lual.logger("stats").info("x")
    assert lual.flush()
    assert lual.get_stats()["messages_processed"] == 2


def test_counters_live_through_a_change_of_settings(plugged: Plug, gate: Any) -> None:
    plugged()
    gate.let_pass()
    lual.config(max_queue_size=99)
    lual.logger("stats").info("x")
    lual.config(async_enabled=False)
    lual.logger("stats").info("y")
    stats = lual.get_stats()
    assert (stats["messages_processed"], stats["sync_processed"]) == (3, 1)
    identities(stats)


def test_flushes_and_their_timeouts_are_counted(plugged: Plug, gate: Any) -> None:
    plugged()
    before = lual.get_stats()["flushes"]  # a change of outputs flushes as well
    assert not lual.flush(0)
    gate.let_pass()
    assert lual.flush()
    stats = lual.get_stats()
    assert (stats["flushes"] - before, stats["flush_timeouts"]) == (2, 1)


def test_waiting_for_room_is_counted(plugged: Plug) -> None:
    plugged(max_queue_size=1, overflow_strategy="block", block_timeout=0.01)
    lual.logger("stats").info("x")
    lual.logger("stats").info("y")
    stats = lual.get_stats()
    assert stats["blocked_submits"] == 1
    assert stats["blocked_seconds"] >= 0.01
    assert stats["dropped_by_reason"] == {"block_timeout": 1}


def test_the_identities_hold_in_every_snapshot_under_load(plugged: Plug, gate: Any) -> None:
    import threading

    plugged(max_queue_size=50, async_batch_size=7)
    gate.let_pass()

    def produce() -> None:
        for number in range(2000):
            lual.logger("stats").info("%d", number)

    threads = [threading.Thread(target=produce) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        identities(lual.get_stats())
    assert lual.flush()
    stats = lual.get_stats()
    identities(stats)
    assert stats["messages_submitted"] == 6001
    assert stats["queue_size"] == stats["in_flight"] == 0
