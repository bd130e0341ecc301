from __future__ import annotations

import threading
from typing import Any

import pytest

import lual
from lual.backend.ledger import Ledger
from lual.backend.queue import BoundedQueue
from lual.engine.capture import CapturedItem, new_item
from lual.engine.dispatch import Dispatcher
from lual.engine.inline import InlineWriter
from lual.record import NamedRoute


class Parts:
    """An inline writer with one pipeline that ends in a memory."""

    def __init__(self, memory: Any, *before: Any) -> None:
        self.memory = memory
        self.route = NamedRoute("inline")
        self.route.pipelines = (
            lual.pipeline(presenter=lual.text("{message}"), outputs=[*before, memory]),
        )
        self.ledger = Ledger()
        self.dispatcher = Dispatcher(self.ledger)
        self.writer = InlineWriter(self.ledger, self.dispatcher)

    def item(self, message: str) -> CapturedItem:
        return new_item((20, 1, self.route, 0, message, (), None, 0, (0, "t"), None, None, None))

    def write(self, message: str, patience: float | None = None) -> bool:
        return self.writer.write(self.item(message), patience)


@pytest.fixture
def parts(memory: Any) -> Parts:
    return Parts(memory)


def test_a_record_is_written_by_who_logs_it(parts: Parts) -> None:
    assert parts.write("x")
    assert parts.memory.messages == ["x"]


def test_it_counts_as_processed_inline(parts: Parts) -> None:
    parts.write("x")
    counted = parts.ledger.snapshot()
    assert (counted["messages_processed"], counted["sync_processed"]) == (1, 1)
    assert counted["in_flight"] == 0


def test_what_a_queue_holds_is_written_first(parts: Parts) -> None:
    queue = BoundedQueue(10, stats=parts.ledger)
    parts.writer.use(parts.dispatcher, queue)
    for number in range(3):
        queue.enqueue(parts.item(str(number)))
    parts.write("last")
    assert parts.memory.messages == ["0", "1", "2", "last"]
    counted = parts.ledger.snapshot()
    assert (counted["messages_processed"], counted["sync_processed"]) == (4, 1)


def test_a_record_logged_while_writing_is_written_after_it(memory: Any) -> None:
    parts: Parts

    def logs(text: str, record: lual.Record) -> None:
        if text == "outer":
            assert parts.write("inner")
            assert parts.memory.messages == []

    parts = Parts(memory, logs)
    parts.write("outer")
    assert memory.messages == ["outer", "inner"]
    assert parts.ledger.snapshot()["messages_processed"] == 2


def test_another_threads_record_waits_its_turn(memory: Any, gate: Any) -> None:
    parts = Parts(memory, gate)
    first = threading.Thread(target=parts.write, args=("first",))
    first.start()
    gate.wait_until_entered()
    second = threading.Thread(target=parts.write, args=("second",))
    second.start()
    gate.let_pass()
    first.join()
    second.join()
    assert memory.messages == ["first", "second"]


def test_without_patience_a_stuck_output_leaves_nothing_counted(memory: Any, gate: Any) -> None:
    parts = Parts(memory, gate)
    first = threading.Thread(target=parts.write, args=("first",))
    first.start()
    gate.wait_until_entered()
    assert not parts.write("second", patience=0)
    assert parts.ledger["in_flight"] == 1
    gate.let_pass()
    first.join()
    assert memory.messages == ["first"]
    assert parts.ledger.snapshot()["messages_submitted"] == 1


def test_settle_flushes_the_outputs(memory: Any) -> None:
    flushed = []

    class Flushing:
        def write(self, batch: Any) -> None:
            """Takes all."""

        def flush(self) -> None:
            flushed.append(1)

    parts = Parts(memory, Flushing())
    parts.write("x")
    assert parts.writer.settle(1)
    assert flushed == [1]


def test_settle_is_false_while_another_thread_is_stuck(memory: Any, gate: Any) -> None:
    parts = Parts(memory, gate)
    first = threading.Thread(target=parts.write, args=("first",))
    first.start()
    gate.wait_until_entered()
    assert not parts.writer.settle(0)
    gate.let_pass()
    first.join()
    assert parts.writer.settle(1)


def test_settle_from_inside_an_output_is_false(memory: Any) -> None:
    answers = []
    parts: Parts
    parts = Parts(memory, lambda text, record: answers.append(parts.writer.settle(1)))
    parts.write("x")
    assert answers == [False]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_out_of_an_output_goes_on_and_its_record_has_failed(
    memory: Any, kind: type[BaseException]
) -> None:
    raising = [True]

    def interrupted(text: str, record: lual.Record) -> None:
        if raising.pop():
            raise kind

    parts = Parts(memory, interrupted)
    with pytest.raises(kind):
        parts.write("x")
    counted = parts.ledger.snapshot()
    assert (counted["messages_failed"], counted["in_flight"]) == (1, 0)
    raising.append(False)
    assert parts.write("y")
    assert memory.messages == ["y"]


class TestSynchronousMode:
    def test_a_broken_output_raises_nothing_into_the_application(
        self, memory: Any, problems: list[str]
    ) -> None:
        def broken(text: str, record: lual.Record) -> None:
            raise ValueError("broken output")

        lual.config(pipelines=[lual.pipeline(outputs=[broken, memory])])
        lual.logger("inline").error("x")
        assert memory.messages == ["x"]
        assert len(problems) == 1
        assert "broken output" in problems[0]

    def test_an_output_that_logs_gets_its_record_after_the_first(self, memory: Any) -> None:
        def logs(text: str, record: lual.Record) -> None:
            if record.message == "outer":
                lual.logger("inline").error("inner")

        lual.config(pipelines=[lual.pipeline(outputs=[logs, memory])])
        lual.logger("inline").error("outer")
        assert memory.messages == ["outer", "inner"]

    def test_a_record_about_a_record_about_a_record_is_dropped(
        self, memory: Any, problems: list[str]
    ) -> None:
        def logs(text: str, record: lual.Record) -> None:
            lual.logger("inline").error(f"about {record.message}")
            lual.logger("inline").aerror(f"about {record.message}")

        lual.config(pipelines=[lual.pipeline(outputs=[logs, memory])])
        lual.logger("inline").error("x")
        assert memory.messages == ["x", "about x", "about x"]
        stats = lual.get_stats()
        assert stats["dropped_by_reason"] == {"reentrant_loop": 4}
        assert stats["dropped_by_level"] == {"ERROR": 4}

    def test_a_filter_that_logs_does_not_loop_either(self, memory: Any) -> None:
        def logs(record: lual.Record) -> bool:
            lual.logger("inline").error("from the filter")
            return True

        lual.config(pipelines=[lual.pipeline(filters=[logs], outputs=[memory])])
        lual.logger("inline").error("x")
        assert memory.messages == ["x", "from the filter"]

    def test_flush_and_shutdown_are_true_and_logging_goes_on(self, recorded: Any) -> None:
        lual.logger("inline").info("x")
        assert lual.flush()
        assert lual.shutdown()
        lual.logger("inline").info("y")
        assert recorded.messages == ["x", "y"]

    def test_threads_write_one_at_a_time(self, memory: Any) -> None:
        inside, most = [], []

        def output(text: str, record: lual.Record) -> None:
            inside.append(1)
            most.append(len(inside))
            inside.pop()

        lual.config(level="info", pipelines=[lual.pipeline(outputs=[output, memory])])

        def work() -> None:
            for number in range(200):
                lual.logger("inline").info("%d", number)

        threads = [threading.Thread(target=work, name=str(n)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert max(most) == 1
        for thread in threads:
            own = [r.message for r in memory.records if r.thread_name == thread.name]
            assert own == [str(number) for number in range(200)]
