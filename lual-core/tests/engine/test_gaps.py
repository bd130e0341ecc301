from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import lual
from lual.backend.clock import Clock
from lual.engine.gaps import LONGEST_PERIOD, GapReports
from lual.engine.writer import writer


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TestGapReports:
    @pytest.fixture
    def time(self) -> Time:
        return Time()

    @pytest.fixture
    def changes(self) -> list[bool]:
        return []

    @pytest.fixture
    def gaps(self, time: Time, changes: list[bool]) -> GapReports:
        return GapReports(changes.append, now=time)

    def test_the_first_drop_opens_a_period_and_says_so_once(
        self, gaps: GapReports, changes: list[bool]
    ) -> None:
        assert not gaps.is_open
        gaps.drop(1, 20, "overflow_oldest")
        gaps.drop(2, 20, "overflow_oldest")
        assert gaps.is_open
        assert changes == [True]

    def test_its_end_is_said_once_too(self, gaps: GapReports, changes: list[bool]) -> None:
        gaps.drop(1, 20, "stopped")
        gaps.end()
        gaps.end()
        assert not gaps.is_open
        assert changes == [True, False]

    def test_an_ended_period_is_taken_once(self, gaps: GapReports) -> None:
        gaps.drop(1, 20, "stopped")
        assert not gaps.has_ended
        gaps.end()
        assert gaps.has_ended
        assert len(gaps.take()) == 1
        assert not gaps.has_ended
        assert gaps.take() == []

    def test_it_tells_how_many_by_level_and_reason_between_which_numbers_how_long(
        self, gaps: GapReports, time: Time
    ) -> None:
        gaps.drop(7, 20, "overflow_oldest")
        gaps.drop(9, 20, "overflow_newest")
        time.now += 1.5
        gaps.drop(4, 40, "overflow_oldest")
        gaps.end()
        (gap,) = gaps.take()
        assert gap.fields() == {
            "dropped_total": 3,
            "dropped_by_reason": {"overflow_oldest": 2, "overflow_newest": 1},
            "dropped_by_level": {"INFO": 2, "ERROR": 1},
            "first_seq": 4,
            "last_seq": 9,
            "duration": 1.5,
        }
        assert gap.message() == (
            "3 records were dropped in 1.500 s (overflow_oldest 2, overflow_newest 1; "
            "INFO 2, ERROR 1; between seq 4 and 9)"
        )

    def test_a_period_is_overdue_after_ten_seconds(self, gaps: GapReports, time: Time) -> None:
        assert not gaps.is_overdue()
        gaps.drop(1, 20, "stopped")
        time.now += 9.9
        assert not gaps.is_overdue()
        time.now += 0.1
        assert gaps.is_overdue()

    def test_a_drop_after_the_end_opens_another(self, gaps: GapReports) -> None:
        gaps.drop(1, 20, "stopped")
        gaps.end()
        gaps.drop(2, 20, "stopped")
        gaps.end()
        assert [gap.first_seq for gap in gaps.take()] == [1, 2]

    def test_drops_from_many_threads_are_all_counted(self, gaps: GapReports) -> None:
        def drop() -> None:
            for seq in range(500):
                gaps.drop(seq, 20, "stopped")

        threads = [threading.Thread(target=drop) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gaps.end()
        (gap,) = gaps.take()
        assert gap.by_reason == {"stopped": 2000}


class Ahead(Clock):
    """The real clock, set ahead by hand."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Ahead:
    clock = Ahead()
    monkeypatch.setattr(writer(), "clock", clock)
    lual.async_writer.reset()
    return clock


Plug = Callable[..., Any]


def of_the_engine(memory: Any) -> list[Any]:
    return [record for record in memory.records if record.logger_name == "lual.engine"]


class TestTheRecord:
    def test_a_period_of_drops_ends_with_one_record_in_the_log(
        self, plugged: Plug, gate: Any
    ) -> None:
        memory = plugged(max_queue_size=4)
        log = lual.logger("gaps")
        for number in range(10):
            log.info("%d", number)
        gate.let_pass()
        assert lual.flush()
        (record,) = of_the_engine(memory)
        assert (record.level, record.seq) == (lual.WARNING, None)
        assert record.fields["dropped_total"] == 6
        assert record.fields["dropped_by_reason"] == {"overflow_oldest": 6}
        assert record.fields["dropped_by_level"] == {"INFO": 6}
        assert "6 records were dropped" in record.message

    def test_it_names_the_numbers_that_are_missing(self, plugged: Plug, gate: Any) -> None:
        memory = plugged(max_queue_size=4)
        for number in range(10):
            lual.logger("gaps").info("%d", number)
        gate.let_pass()
        assert lual.flush()
        (record,) = of_the_engine(memory)
        seen = {r.seq for r in memory.records}
        missing = range(record.fields["first_seq"], record.fields["last_seq"] + 1)
        assert len(missing) == 6
        assert not seen & set(missing)

    def test_it_counts_as_a_report_and_nothing_else(self, plugged: Plug, gate: Any) -> None:
        plugged(max_queue_size=4)
        for number in range(10):
            lual.logger("gaps").info("%d", number)
        gate.let_pass()
        assert lual.flush()
        stats = lual.get_stats()
        assert stats["reports"] == 1
        assert stats["messages_submitted"] == 11
        assert stats["messages_processed"] == 5
        assert stats["messages_dropped"] == 6

    def test_it_goes_where_the_records_of_lual_engine_go(
        self, plugged: Plug, gate: Any, memory: Any
    ) -> None:
        own = type(memory)()
        plugged(max_queue_size=1)
        lual.logger("lual.engine", propagate=False, pipelines=[lual.pipeline(outputs=[own])])
        for _ in range(3):
            lual.logger("gaps").info("x")
        gate.let_pass()
        assert lual.flush()
        assert len(own.records) == 1
        assert of_the_engine(memory) == []

    def test_without_drops_there_is_none(self, plugged: Plug, gate: Any) -> None:
        memory = plugged()
        lual.logger("gaps").info("x")
        gate.let_pass()
        assert lual.flush()
        assert memory.messages == ["plug", "x"]
        assert lual.get_stats()["reports"] == 0

    def test_two_periods_have_two(self, plugged: Plug, gate: Any) -> None:
        memory = plugged(max_queue_size=2)
        for _ in range(2):
            for number in range(4):
                lual.logger("gaps").info("%d", number)
            lual.flush(0)  # ends the period while the worker is held
        gate.let_pass()
        assert lual.flush()
        assert len(of_the_engine(memory)) == 2
        assert lual.get_stats()["reports"] == 2


class TestAPeriodEnds:
    def test_at_the_first_admission_below_half_full(
        self, plugged: Plug, gate: Any, clock: Ahead
    ) -> None:
        memory = plugged(max_queue_size=4, async_flush_interval=60, async_batch_size=1)
        log = lual.logger("gaps")
        for number in range(6):
            log.info("%d", number)
        assert writer().gaps.is_open
        gate.let_pass()
        wait_until(lambda: lual.get_stats()["queue_size"] == 0)
        log.info("below half")
        assert not writer().gaps.is_open
        wait_until(lambda: lual.get_stats()["messages_processed"] == 6)
        assert len(of_the_engine(memory)) == 1

    def test_not_while_the_queue_is_half_full(self, plugged: Plug) -> None:
        plugged(max_queue_size=4)
        for number in range(6):
            lual.logger("gaps").info("%d", number)
        assert writer().gaps.is_open

    def test_after_ten_seconds(self, plugged: Plug, gate: Any, clock: Ahead) -> None:
        memory = plugged(max_queue_size=4)
        log = lual.logger("gaps")
        for number in range(6):
            log.info("%d", number)
        clock.ahead += LONGEST_PERIOD
        log.info("another drop")  # admitted, though the queue is full
        assert writer().gaps.has_ended
        gate.let_pass()
        assert lual.flush()
        assert sum(r.fields["dropped_total"] for r in of_the_engine(memory)) == 3

    def test_at_a_flush(self, plugged: Plug, gate: Any) -> None:
        memory = plugged(max_queue_size=1, overflow_strategy="drop_newest")
        for _ in range(3):
            lual.logger("gaps").info("x")
        gate.let_pass()
        assert lual.flush()
        assert of_the_engine(memory)[0].fields["dropped_by_reason"] == {"overflow_newest": 2}

    def test_at_a_stop(self, plugged: Plug, gate: Any) -> None:
        memory = plugged(max_queue_size=1)
        for _ in range(3):
            lual.logger("gaps").info("x")
        gate.let_pass()
        assert lual.shutdown()
        assert len(of_the_engine(memory)) == 1

    def test_at_a_change_of_settings(self, plugged: Plug, gate: Any) -> None:
        memory = plugged(max_queue_size=1)
        for _ in range(3):
            lual.logger("gaps").info("x")
        gate.let_pass()
        lual.config(async_enabled=False)
        lual.flush()
        assert len(of_the_engine(memory)) == 1

    def test_in_synchronous_mode_at_a_flush(self, recorded: Any) -> None:
        def logs(text: str, record: lual.Record) -> None:
            lual.logger("gaps").info("again")

        lual.config(pipelines=[lual.pipeline(outputs=[logs, recorded])])
        lual.logger("gaps").info("x")
        assert lual.flush()
        (record,) = of_the_engine(recorded)
        assert record.fields["dropped_by_reason"] == {"reentrant_loop": 1}


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits for another thread, 10 s at most."""
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never came to that")
