from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest

import lual
from lual.backend.clock import Clock
from lual.engine.detour import RECOVERY_INTERVAL
from lual.engine.writer import writer

Plug = Callable[..., Any]


@pytest.fixture
def log() -> lual.Logger:
    return lual.logger("writer")


def to(*outputs: Any, **settings: Any) -> list[lual.Pipeline]:
    return [lual.pipeline(presenter=lual.text("{message}"), outputs=list(outputs), **settings)]


def counts(*names: str) -> tuple[Any, ...]:
    stats = lual.get_stats()
    assert stats["messages_submitted"] == (
        stats["messages_processed"]
        + stats["messages_failed"]
        + stats["messages_dropped"]
        + stats["queue_size"]
        + stats["in_flight"]
    )
    return tuple(stats[name] for name in names)


@pytest.fixture
def running(backend: str, memory: Any) -> Any:
    """Returns an output behind a running backend that waits long for a batch to fill."""
    lual.config(
        level="debug",
        async_enabled=True,
        backend=backend,
        async_flush_interval=60,
        pipelines=to(memory),
    )
    return memory


class TestRunning:
    def test_records_are_written_by_the_worker(self, running: Any, log: lual.Logger) -> None:
        where = []
        lual.config(
            pipelines=to(lambda text, record: where.append(threading.current_thread().name))
        )
        log.info("x")
        assert lual.flush()
        assert where == ["unit-worker"]

    def test_the_state_says_so(self, running: Any) -> None:
        assert counts("state", "enabled") == ("running", True)
        assert lual.async_writer.is_enabled()

    def test_a_record_waits_for_its_batch(self, running: Any, log: lual.Logger) -> None:
        log.info("x")
        assert counts("queue_size", "messages_processed") == (1, 0)
        assert lual.flush()
        assert running.messages == ["x"]

    def test_a_full_batch_starts_by_itself(self, running: Any, log: lual.Logger) -> None:
        done = threading.Event()
        lual.config(
            async_batch_size=3,
            pipelines=to(running, lambda text, record: text == "2" and done.set()),
        )
        for number in range(3):
            log.info("%d", number)
        assert done.wait(10)
        assert running.messages == ["0", "1", "2"]

    @pytest.mark.parametrize(
        ("settings", "level"),
        [({}, "error"), ({"flush_level": "info"}, "info"), ({"flush_level": 35}, 35)],
        ids=str,
    )
    def test_a_record_at_flush_level_wakes_the_worker_at_once(
        self, running: Any, log: lual.Logger, settings: dict[str, Any], level: Any
    ) -> None:
        done = threading.Event()
        lual.config(
            **settings,
            pipelines=to(running, lambda text, record: record.level >= 20 and done.set()),
        )
        log.debug("before")
        log.log(level, "urgent")
        assert done.wait(10)
        assert running.messages == ["before", "urgent"]

    def test_below_flush_level_nobody_is_woken(self, running: Any, log: lual.Logger) -> None:
        lual.config(flush_level="critical")
        log.error("x")
        assert counts("queue_size") == (1,)

    def test_an_interval_of_zero_means_at_once(self, running: Any, log: lual.Logger) -> None:
        done = threading.Event()
        lual.config(async_flush_interval=0, pipelines=to(lambda text, record: done.set()))
        log.debug("x")
        assert done.wait(10)

    def test_a_broken_output_is_reported_and_the_rest_goes_on(
        self, running: Any, log: lual.Logger, problems: list[str]
    ) -> None:
        def broken(text: str, record: lual.Record) -> None:
            if text == "bad":
                raise ValueError("broken output")

        lual.config(pipelines=to(broken))
        for message in ("good", "bad", "good"):
            log.info(message)
        assert lual.flush()
        assert counts("messages_processed", "messages_failed") == (2, 1)
        assert len(problems) == 1
        assert "broken output" in problems[0]

    def test_a_record_about_a_record_about_a_record_is_dropped(
        self, running: Any, log: lual.Logger
    ) -> None:
        lual.config(pipelines=to(running, lambda text, record: log.info(f"about {text}")))
        log.info("x")
        assert lual.flush()
        assert lual.flush()
        assert running.messages[:2] == ["x", "about x"]
        assert counts("dropped_by_reason") == ({"reentrant_loop": 1},)

    def test_a_record_of_one_thread_never_overtakes_another_of_it(
        self, running: Any, log: lual.Logger
    ) -> None:
        lual.config(async_batch_size=7, async_flush_interval=0, max_queue_size=100_000)

        def work() -> None:
            for number in range(500):
                log.info("%d", number)

        threads = [threading.Thread(target=work, name=f"t{n}") for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert lual.flush()
        for thread in threads:
            own = [r.message for r in running.records if r.thread_name == thread.name]
            assert own == [str(number) for number in range(500)]


class TestOverflow:
    def test_drop_oldest_keeps_the_newest(self, plugged: Plug, gate: Any, log: lual.Logger) -> None:
        memory = plugged(max_queue_size=2)
        for number in range(4):
            log.info("%d", number)
        gate.let_pass()
        assert lual.flush()
        assert [m for m in memory.messages if len(m) == 1] == ["2", "3"]

    def test_drop_newest_keeps_the_oldest(self, plugged: Plug, gate: Any, log: lual.Logger) -> None:
        memory = plugged(max_queue_size=2, overflow_strategy="drop_newest")
        for number in range(4):
            log.info("%d", number)
        gate.let_pass()
        assert lual.flush()
        assert [m for m in memory.messages if len(m) == 1] == ["0", "1"]

    def test_block_waits_for_room(self, plugged: Plug, gate: Any, log: lual.Logger) -> None:
        memory = plugged(max_queue_size=1, overflow_strategy="block", block_timeout=10)
        log.info("0")
        thread = threading.Thread(target=log.info, args=("1",))
        thread.start()
        thread.join(0.02)
        assert thread.is_alive()
        gate.let_pass()
        thread.join(10)
        assert lual.flush()
        assert memory.messages == ["plug", "0", "1"]
        assert counts("messages_dropped") == (0,)

    @pytest.mark.parametrize("strategy", ["drop_oldest", "drop_newest", "block"])
    @pytest.mark.parametrize(
        ("settings", "level"), [({}, "error"), ({"protect_level": "info"}, "info")], ids=str
    )
    def test_a_protected_record_survives_while_another_can_go(
        self,
        plugged: Plug,
        gate: Any,
        log: lual.Logger,
        strategy: str,
        settings: dict[str, Any],
        level: str,
    ) -> None:
        memory = plugged(max_queue_size=2, overflow_strategy=strategy, block_timeout=0, **settings)
        log.debug("0")
        log.debug("1")
        log.log(level, "protected")
        log.debug("2")
        gate.let_pass()
        assert lual.flush()
        assert "protected" in memory.messages


class TestFlush:
    def test_is_false_when_the_timeout_runs_out_and_drops_nothing(
        self, plugged: Plug, gate: Any, log: lual.Logger
    ) -> None:
        memory = plugged()
        log.info("x")
        assert not lual.flush(0.01)
        gate.let_pass()
        assert lual.flush()
        assert memory.messages == ["plug", "x"]

    def test_without_a_timeout_takes_flush_timeout(self, plugged: Plug) -> None:
        plugged(flush_timeout=0.01)
        assert not lual.flush()

    def test_may_wait_without_end(self, running: Any, log: lual.Logger) -> None:
        log.info("x")
        assert lual.flush(math.inf)
        assert running.messages == ["x"]

    @pytest.mark.parametrize("mode", ["running", "recorded"])
    @pytest.mark.parametrize("timeout", [-0.1, math.nan])
    @pytest.mark.parametrize("call", ["flush", "shutdown"])
    def test_refuses_a_timeout_that_is_none(
        self, request: pytest.FixtureRequest, mode: str, timeout: float, call: str
    ) -> None:
        request.getfixturevalue(mode)
        before = lual.get_stats()["state"]
        with pytest.raises(ValueError, match="timeout must be 0 or more seconds"):
            getattr(lual, call)(timeout)
        assert lual.get_stats()["state"] == before

    def test_from_an_output_is_false_at_once(self, running: Any, log: lual.Logger) -> None:
        answers = []
        lual.config(pipelines=to(lambda text, record: answers.append(lual.flush())))
        log.info("x")
        assert lual.flush()
        assert answers == [False]

    def test_flushes_the_outputs(self, running: Any, log: lual.Logger) -> None:
        calls = []

        class Output:
            def write(self, batch: Any) -> None:
                calls.append("write")

            def flush(self) -> None:
                calls.append("flush")

        lual.config(pipelines=to(Output()))
        log.info("x")
        assert lual.flush()
        assert calls == ["write", "flush"]


class TestStop:
    def test_drains_and_says_that_nothing_was_left(self, running: Any, log: lual.Logger) -> None:
        log.info("x")
        assert lual.shutdown()
        assert running.messages == ["x"]
        assert counts("state", "enabled", "queue_size") == ("stopped", True, 0)
        assert not lual.async_writer.is_enabled()

    def test_twice_is_harmless(self, running: Any) -> None:
        assert lual.shutdown()
        assert lual.shutdown()

    def test_that_runs_out_of_time_drops_counts_and_reports(
        self, plugged: Plug, gate: Any, log: lual.Logger, problems: list[str]
    ) -> None:
        plugged()
        log.info("x")
        log.error("y")
        assert not lual.shutdown(0.01)
        assert counts("dropped_by_reason", "dropped_by_level", "in_flight") == (
            {"shutdown_timeout": 2},
            {"INFO": 1, "ERROR": 1},
            1,
        )
        assert [p for p in problems if "2 records dropped" in p]

    def test_without_a_timeout_takes_shutdown_timeout(
        self, plugged: Plug, log: lual.Logger, problems: list[str]
    ) -> None:
        plugged(shutdown_timeout=0.01)
        assert not lual.shutdown()

    def test_from_an_output_is_false_and_the_rest_is_written(
        self, plugged: Plug, gate: Any, log: lual.Logger, memory: Any
    ) -> None:
        answers = []
        plugged(
            pipelines=to(
                gate,
                memory,
                lambda text, record: text == "plug" and answers.append(lual.shutdown()),
            )
        )
        log.info("x")
        gate.let_pass()
        assert lual.shutdown()
        assert answers == [False]
        assert memory.messages == ["plug", "x"]


class TestAfterStop:
    def test_records_are_written_inline(self, running: Any, log: lual.Logger) -> None:
        lual.shutdown()
        log.info("x")
        assert running.messages == ["x"]
        assert counts("sync_processed", "messages_processed") == (1, 1)

    def test_inline_keeps_the_order(self, running: Any, log: lual.Logger) -> None:
        log.info("before")
        lual.shutdown()
        log.info("after")
        assert running.messages == ["before", "after"]

    def test_records_can_be_dropped(self, running: Any, log: lual.Logger) -> None:
        lual.config(after_stop="drop")
        lual.shutdown()
        log.info("x")
        assert running.messages == []
        assert counts("dropped_by_reason") == ({"stopped": 1},)

    @pytest.mark.parametrize("method", ["info", "log", "exception"])
    def test_the_call_can_raise(self, running: Any, log: lual.Logger, method: str) -> None:
        lual.config(after_stop="raise")
        lual.shutdown()
        args = ("info", "x") if method == "log" else ("x",)
        with pytest.raises(RuntimeError, match="after_stop"):
            getattr(log, method)(*args)
        assert running.messages == []
        assert counts("dropped_by_reason") == ({"stopped": 1},)

    def test_it_can_be_changed_while_stopped(self, running: Any, log: lual.Logger) -> None:
        lual.shutdown()
        lual.config(after_stop="drop")
        log.info("x")
        assert counts("state", "dropped_by_reason") == ("stopped", {"stopped": 1})

    def test_a_disabled_call_does_not_raise(self, running: Any, log: lual.Logger) -> None:
        lual.config(after_stop="raise", level="error")
        lual.shutdown()
        log.info("x")

    def test_behind_a_stuck_output_a_record_is_dropped(
        self, plugged: Plug, log: lual.Logger, problems: list[str]
    ) -> None:
        plugged()
        lual.shutdown(0.01)
        log.info("x")
        assert counts("dropped_by_reason") == ({"stopped": 1},)

    def test_flush_is_true(self, running: Any) -> None:
        lual.shutdown()
        assert lual.flush()


class TestStart:
    def test_after_a_stop_records_go_to_the_worker_again(
        self, running: Any, log: lual.Logger
    ) -> None:
        epoch = lual.get_stats()["epoch"]
        lual.shutdown()
        lual.async_writer.start()
        log.info("x")
        assert counts("queue_size", "state", "epoch") == (1, "running", epoch + 1)
        assert lual.flush()
        assert running.messages == ["x"]

    def test_while_running_is_harmless(self, running: Any, log: lual.Logger) -> None:
        before = counts("epoch")
        lual.async_writer.start()
        log.info("x")
        assert lual.flush()
        assert counts("epoch") == before

    def test_in_synchronous_mode_is_refused(self) -> None:
        with pytest.raises(RuntimeError, match="async_enabled"):
            lual.async_writer.start()

    def test_while_the_old_worker_is_inside_an_output_is_refused(
        self, plugged: Plug, gate: Any, log: lual.Logger, problems: list[str]
    ) -> None:
        memory = plugged()
        lual.shutdown(0.01)
        with pytest.raises(RuntimeError, match="inside an output"):
            lual.async_writer.start()
        assert counts("state") == ("stopped",)
        gate.let_pass()
        wait_until(lambda: not lual.get_stats()["in_flight"])
        wait_until(started)
        log.info("x")
        assert lual.flush()
        assert memory.messages == ["plug", "x"]


def started() -> bool:
    """Tells whether the worker of before has left, and a new one could be started."""
    try:
        lual.async_writer.start()
    except RuntimeError:
        return False
    return True


class TestReset:
    def test_discards_what_waits_and_counts_nothing(
        self, running: Any, log: lual.Logger, problems: list[str]
    ) -> None:
        log.info("x")
        log.log("nolevel", "y")
        epoch = lual.get_stats()["epoch"]
        lual.async_writer.reset()
        stats = lual.get_stats()
        assert stats["messages_submitted"] == stats["messages_dropped"] == 0
        assert (stats["last_error"], stats["extra"]) == (None, {"problems": {}})
        assert stats["epoch"] == epoch + 1
        assert running.messages == []

    def test_afterwards_records_are_written_inline_until_start(
        self, running: Any, log: lual.Logger
    ) -> None:
        lual.async_writer.reset()
        log.info("inline")
        assert running.messages == ["inline"]
        lual.async_writer.start()
        log.info("queued")
        assert counts("state", "queue_size") == ("running", 1)

    def test_forgets_an_open_period_of_drops(
        self, plugged: Plug, gate: Any, log: lual.Logger
    ) -> None:
        memory = plugged(max_queue_size=1)
        for _ in range(3):
            log.info("x")
        gate.let_pass()
        lual.async_writer.reset()
        log.info("y")
        lual.flush()
        assert counts("reports") == (0,)
        assert memory.messages[-1] == "y"


class Ahead(Clock):
    """The real clock, set ahead by hand."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


class TestDegraded:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Ahead:
        clock = Ahead()
        monkeypatch.setattr(writer(), "clock", clock)
        return clock

    @pytest.fixture
    def ended(self, running: Any, log: lual.Logger, problems: list[str]) -> Any:
        """Returns the backend, which has stopped by itself behind a queued record."""
        import unit_backends

        backend = unit_backends.threads.last
        log.info("before")
        backend.stop()
        return backend

    def test_a_backend_that_stops_by_itself_is_replaced_by_the_caller(
        self, ended: Any, running: Any, log: lual.Logger, problems: list[str]
    ) -> None:
        log.info("after")
        assert running.messages == ["before", "after"]
        assert counts("state", "sync_processed") == ("degraded", 1)
        assert [p for p in problems if "writing synchronously" in p]

    def test_it_is_tried_again_after_thirty_seconds(
        self, clock: Ahead, ended: Any, log: lual.Logger, running: Any
    ) -> None:
        log.info("inline")
        clock.ahead += RECOVERY_INTERVAL - 1
        log.info("inline")
        assert counts("state") == ("degraded",)
        clock.ahead += 1
        log.info("queued")
        assert counts("state", "queue_size") == ("running", 1)
        assert lual.flush()
        assert running.messages == ["before", "inline", "inline", "queued"]

    def test_a_failing_attempt_is_reported_and_the_record_written(
        self,
        clock: Ahead,
        ended: Any,
        log: lual.Logger,
        running: Any,
        problems: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def fail() -> None:
            raise RuntimeError("no thread today")

        log.info("inline")
        monkeypatch.setattr(ended, "start_worker", fail)
        clock.ahead += RECOVERY_INTERVAL
        log.info("inline too")
        assert counts("state") == ("degraded",)
        assert running.messages == ["before", "inline", "inline too"]
        assert [p for p in problems if "no thread today" in p]

    def test_flush_and_stop_work_all_the_same(self, ended: Any, log: lual.Logger) -> None:
        log.info("inline")
        assert lual.flush()
        assert lual.shutdown()
        assert counts("state") == ("stopped",)


class TestChangeWhileRunning:
    def test_nothing_is_lost_when_the_queue_gets_another_size(
        self, running: Any, log: lual.Logger
    ) -> None:
        for number in range(10):
            log.info("%d", number)
        lual.config(max_queue_size=500)
        for number in range(10, 20):
            log.info("%d", number)
        assert lual.flush()
        assert running.messages == [str(number) for number in range(20)]
        assert counts("messages_processed", "messages_dropped") == (20, 0)

    def test_nothing_is_lost_on_the_way_to_synchronous_and_back(
        self, running: Any, log: lual.Logger
    ) -> None:
        log.info("queued")
        lual.config(async_enabled=False)
        assert counts("state", "enabled", "queue_size") == ("new", False, 0)
        log.info("inline")
        lual.config(async_enabled=True)
        log.info("queued again")
        assert lual.flush()
        assert running.messages == ["queued", "inline", "queued again"]

    def test_producers_never_lose_their_order(self, running: Any, log: lual.Logger) -> None:
        lual.config(async_batch_size=5, async_flush_interval=0, max_queue_size=50_000)
        going = threading.Event()

        def work() -> None:
            for number in range(600):
                log.info("%d", number)
                going.set()

        threads = [threading.Thread(target=work, name=f"p{n}") for n in range(3)]
        for thread in threads:
            thread.start()
        assert going.wait(10)
        for size in (40_000, 30_000):
            lual.config(max_queue_size=size)
            lual.config(async_enabled=False)
            lual.config(async_enabled=True)
        for thread in threads:
            thread.join()
        assert lual.flush()
        assert counts("messages_dropped", "messages_processed") == (0, 1800)
        for thread in threads:
            own = [r.message for r in running.records if r.thread_name == thread.name]
            assert own == [str(number) for number in range(600)]

    def test_a_record_keeps_the_pipelines_of_its_call(
        self, plugged: Plug, gate: Any, log: lual.Logger, memory: Any
    ) -> None:
        later = type(memory)()
        plugged()
        log.info("old")
        change = threading.Thread(target=lual.config, kwargs={"pipelines": to(later)})
        change.start()
        wait_until(lambda: lual.logger("root").pipelines[0].outputs == (later,))
        log.info("new")
        gate.let_pass()
        change.join(10)
        assert lual.flush()
        assert (memory.messages, later.messages) == (["plug", "old"], ["new"])

    def test_an_added_pipeline_takes_effect_in_order(
        self, plugged: Plug, gate: Any, log: lual.Logger, memory: Any
    ) -> None:
        added = type(memory)()
        plugged()
        log.info("before")
        log.add_pipeline(lual.pipeline(outputs=[added]))
        log.info("after")
        gate.let_pass()
        assert lual.flush()
        assert (memory.messages, added.messages) == (["plug", "before", "after"], ["after"])

    def test_pipelines_of_a_logger_take_effect_in_order(
        self, plugged: Plug, gate: Any, log: lual.Logger, memory: Any
    ) -> None:
        first, second = type(memory)(), type(memory)()
        plugged()
        for output, message in ((first, "one"), (second, "two")):
            change = threading.Thread(
                target=lual.logger,
                args=("writer",),
                kwargs={"pipelines": to(output), "propagate": False},
            )
            change.start()
            wait_until(
                lambda output=output: log.pipelines and log.pipelines[0].outputs == (output,)
            )
            log.info(message)
        gate.let_pass()
        change.join(10)
        assert lual.flush()
        assert (first.messages, second.messages) == (["one"], ["two"])

    def test_a_level_takes_effect_in_order(
        self, plugged: Plug, gate: Any, log: lual.Logger
    ) -> None:
        memory = plugged()
        log.info("before")
        lual.config(level="error")
        log.info("after")
        gate.let_pass()
        assert lual.flush()
        assert memory.messages == ["plug", "before"]

    def test_what_needs_no_other_queue_keeps_the_worker(self, running: Any) -> None:
        worker = [t for t in threading.enumerate() if t.name == "unit-worker"]
        lual.config(level="info", after_stop="drop", pipelines=to(running))
        assert [t for t in threading.enumerate() if t.name == "unit-worker"] == worker
        assert counts("state") == ("running",)

    def test_the_old_worker_ends(self, running: Any) -> None:
        (worker,) = [t for t in threading.enumerate() if t.name == "unit-worker"]
        lual.config(max_queue_size=77)
        worker.join(10)
        assert not worker.is_alive()

    def test_nothing_is_lost_when_an_output_changes_the_queue(
        self, plugged: Plug, gate: Any, log: lual.Logger, memory: Any
    ) -> None:
        def changes(text: str, record: lual.Record) -> None:
            if text == "plug":
                lual.config(max_queue_size=77)

        plugged(pipelines=to(gate, memory, changes))
        for number in range(5):
            log.info("%d", number)
        gate.let_pass()
        wait_until(lambda: lual.get_stats()["messages_processed"] == 6)
        log.info("last")
        assert lual.flush()
        assert memory.messages == ["plug", "0", "1", "2", "3", "4", "last"]
        assert counts("messages_dropped", "max_queue_size") == (0, 77)

    def test_a_queue_that_can_not_be_drained_in_time_is_dropped_and_counted(
        self, plugged: Plug, log: lual.Logger, problems: list[str]
    ) -> None:
        plugged(shutdown_timeout=0.01)
        log.info("x")
        lual.config(max_queue_size=77)
        assert counts("dropped_by_reason", "in_flight") == ({"shutdown_timeout": 1}, 1)


def wait_until(condition: Callable[[], Any]) -> None:
    """Waits for another thread, 10 s at most."""
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never came to that")
