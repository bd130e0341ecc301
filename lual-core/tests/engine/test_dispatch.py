from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest

import lual
from lual.backend.items import WorkItem
from lual.backend.ledger import Ledger
from lual.context import Scope, dispatch_depth
from lual.engine.capture import CapturedItem, new_item
from lual.engine.dispatch import Dispatcher, PipelinesDescription
from lual.errors import ReportedError
from lual.record import NamedRoute, Record


def item(message: str, *pipelines: lual.Pipeline, depth: int = 0, level: int = 20) -> CapturedItem:
    route = NamedRoute("dispatch")
    route.pipelines = pipelines
    scope = Scope({}, depth) if depth else None
    return new_item((level, 1, route, 0, message, (), None, 0, (0, "t"), scope, None, None))


def to(*outputs: Any, **settings: Any) -> lual.Pipeline:
    return lual.pipeline(presenter=lual.text("{message}"), outputs=list(outputs), **settings)


def broken(text: str, record: lual.Record) -> None:
    raise ValueError(f"no {text}")


class Batches:
    """An output that keeps each batch, and counts flushes."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.flushes = 0

    def write(self, batch: Any) -> None:
        self.batches.append([text for text, _ in batch])

    def flush(self) -> None:
        self.flushes += 1


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def dispatcher(ledger: Ledger) -> Dispatcher:
    return Dispatcher(ledger)


@pytest.fixture
def batches() -> Batches:
    return Batches()


class TestMany:
    def test_an_output_writes_once_a_batch_in_order(
        self, dispatcher: Dispatcher, batches: Batches
    ) -> None:
        pipeline = to(batches)
        outcomes = dispatcher.many([item(str(n), pipeline) for n in range(3)])
        assert batches.batches == [["0", "1", "2"]]
        assert outcomes == [None, None, None]

    def test_each_pipeline_gets_the_records_routed_to_it(
        self, dispatcher: Dispatcher, batches: Batches
    ) -> None:
        other = Batches()
        one, two = to(batches), to(other)
        dispatcher.many([item("a", one), item("b", one, two), item("c", two)])
        assert (batches.batches, other.batches) == ([["a", "b"]], [["b", "c"]])

    def test_a_record_that_no_pipeline_wants_has_no_error(self, dispatcher: Dispatcher) -> None:
        assert dispatcher.many([item("x"), item("y", to(broken, level="error"))]) == [None, None]

    def test_a_record_fails_if_no_output_of_any_pipeline_took_it(
        self, dispatcher: Dispatcher, problems: list[str]
    ) -> None:
        outcomes = dispatcher.many([item("x", to(broken), to(broken, broken))])
        assert isinstance(outcomes[0], ReportedError)
        assert len(problems) == 3

    @pytest.mark.parametrize("order", [1, -1])
    def test_one_failing_pipeline_does_not_stop_the_others(
        self, dispatcher: Dispatcher, memory: Any, problems: list[str], order: int
    ) -> None:
        pipelines = [to(broken), to(memory)][::order]
        assert dispatcher.many([item("x", *pipelines)]) == [None]
        assert memory.messages == ["x"]

    def test_outcomes_keep_the_places_of_their_records(
        self, dispatcher: Dispatcher, memory: Any, problems: list[str]
    ) -> None:
        good, bad = to(memory), to(broken)
        outcomes = dispatcher.many([item("0", good), item("1", bad), item("2", good)])
        assert [outcome is None for outcome in outcomes] == [True, False, True]

    def test_failures_of_outputs_are_counted(
        self, dispatcher: Dispatcher, ledger: Ledger, problems: list[str]
    ) -> None:
        dispatcher.many([item("x", to(broken, broken)), item("y", to(broken))])
        assert ledger["output_errors"] == 3

    def test_an_interrupt_is_the_outcome_of_the_batch(self, dispatcher: Dispatcher) -> None:
        def interrupted(text: str, record: lual.Record) -> None:
            raise KeyboardInterrupt

        (outcome,) = dispatcher.many([item("x", to(interrupted))])
        assert isinstance(outcome, KeyboardInterrupt)

    def test_items_that_are_not_the_engines_own_are_dispatched_by_their_record(
        self, ledger: Ledger, memory: Any
    ) -> None:
        dispatcher = Dispatcher(ledger, fallback=(to(memory),))
        record = Record.build("from a kit", level=20)
        assert dispatcher.many([WorkItem("app", record)]) == [None]
        assert memory.messages == ["from a kit"]

    def test_the_fallback_takes_records_without_a_route(self, ledger: Ledger, memory: Any) -> None:
        Dispatcher(ledger, fallback=(to(memory),)).many([item("x")])
        assert memory.messages == ["x"]


class TestCall:
    def test_runs_one_record(self, dispatcher: Dispatcher, memory: Any) -> None:
        work = item("x", to(memory))
        dispatcher(work.logger, work.record)
        assert memory.messages == ["x"]

    def test_raises_if_it_failed(self, dispatcher: Dispatcher, problems: list[str]) -> None:
        work = item("x", to(broken))
        with pytest.raises(ReportedError, match="no x"):
            dispatcher(work.logger, work.record)


class TestDepth:
    @pytest.mark.parametrize("depth", [0, 1])
    def test_an_output_runs_one_deeper_than_its_record(
        self, dispatcher: Dispatcher, depth: int
    ) -> None:
        depths = []
        dispatcher.many(
            [item("x", to(lambda text, record: depths.append(dispatch_depth())), depth=depth)]
        )
        assert depths == [depth + 1]
        assert dispatch_depth() == 0

    def test_records_of_different_depth_keep_their_order(
        self, dispatcher: Dispatcher, memory: Any
    ) -> None:
        depths = []
        pipeline = to(lambda text, record: depths.append(dispatch_depth()), memory)
        outcomes = dispatcher.many(
            [item("a", pipeline), item("b", pipeline, depth=1), item("c", pipeline)]
        )
        assert (memory.messages, depths) == (["a", "b", "c"], [1, 2, 1])
        assert outcomes == [None, None, None]


class TestFlush:
    def test_reaches_the_outputs_written_to_since_the_last(
        self, dispatcher: Dispatcher, batches: Batches
    ) -> None:
        untouched = Batches()
        to(untouched)
        dispatcher.many([item("x", to(batches))])
        dispatcher.flush()
        dispatcher.flush()
        assert (batches.flushes, untouched.flushes) == (1, 0)

    def test_of_a_broken_output_is_reported_and_reaches_the_others(
        self, dispatcher: Dispatcher, batches: Batches, problems: list[str]
    ) -> None:
        class Broken(Batches):
            def flush(self) -> None:
                raise ValueError("no flush today")

        dispatcher.many([item("x", to(Broken(), batches))])
        dispatcher.flush()
        assert batches.flushes == 1
        assert "no flush today" in problems[0]


def test_what_comes_before_a_batch_is_called_before_it(ledger: Ledger, memory: Any) -> None:
    seen: list[list[str]] = []
    dispatcher = Dispatcher(ledger, before_batch=lambda: seen.append(memory.messages))
    dispatcher.many([item("x", to(memory))])
    dispatcher.flush()
    assert seen == [[], ["x"]]


def test_one_thread_dispatches_at_a_time(dispatcher: Dispatcher, memory: Any, gate: Any) -> None:
    pipeline = to(gate, memory)
    first = threading.Thread(target=dispatcher.many, args=([item("first", pipeline)],))
    first.start()
    gate.wait_until_entered()
    assert not dispatcher.exclusive.acquire(timeout=0)
    gate.let_pass()
    first.join()
    assert dispatcher.exclusive.acquire(timeout=5)
    dispatcher.exclusive.release()


def test_a_dispatcher_begins_when_the_one_before_has_drained(
    dispatcher: Dispatcher, ledger: Ledger, memory: Any
) -> None:
    drained = threading.Event()
    dispatcher.follow(Dispatcher(ledger), drained, 10)
    thread = threading.Thread(target=dispatcher.many, args=([item("x", to(memory))],))
    thread.start()
    thread.join(0.02)
    assert memory.messages == []
    drained.set()
    thread.join()
    assert memory.messages == ["x"]


def test_a_dispatcher_begins_anyway_when_the_time_is_over(
    dispatcher: Dispatcher, ledger: Ledger, memory: Any
) -> None:
    dispatcher.follow(Dispatcher(ledger), threading.Event(), 0.01)
    dispatcher.many([item("x", to(memory))])
    assert memory.messages == ["x"]


class Plain:
    """An output that can travel."""

    opened = 0
    seen: tuple[str, ...] = ()

    def open(self) -> None:
        type(self).opened += 1

    def write(self, batch: Any) -> None:
        type(self).seen += tuple(text for text, _ in batch)


def test_a_description_opens_the_outputs_and_sends_every_record_to_them() -> None:
    Plain.opened, Plain.seen = 0, ()
    dispatcher = PipelinesDescription([to(Plain())]).open()
    dispatcher.many([item("x")])
    assert (Plain.opened, Plain.seen) == (1, ("x",))


def test_a_description_can_travel() -> None:
    description = PipelinesDescription([lual.pipeline(outputs=[lual.console()])])
    assert len(pickle.loads(pickle.dumps(description)).pipelines) == 1
