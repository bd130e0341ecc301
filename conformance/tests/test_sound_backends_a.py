"""Four backends that share nothing with `BaseBackend` keep the contract."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lual
from lual.backend import BackendConfig, BoundedQueue, ConfigError, WorkItem
from lual.engine import discovery
from lual_conformance.harness.background import Background
from lual_conformance.harness.clock import ManualClock, WallClock
from lual_conformance.harness.output import BatchOutput, Output

#: Seconds; only turn a hang into a failure.
WATCHDOG = 10.0

#: Seconds of an interval that never passes.
NEVER = 1e6

PLUGINS = {
    "inline": "lual_conformance.reference.inline:plugin",
    "synchronous": "lual_conformance.zoo.sound.synchronous:plugin",
    "own_loop": "lual_conformance.zoo.sound.own_loop:plugin",
    "duck": "lual_conformance.zoo.sound.duck:plugin",
}
everyone = pytest.mark.parametrize("name", PLUGINS)
threaded = pytest.mark.parametrize("name", ["own_loop", "duck"])
on_callers = pytest.mark.parametrize("name", ["inline", "synchronous"])
batching = pytest.mark.parametrize("name", ["inline", "own_loop", "duck"])
on_manual_time = pytest.mark.parametrize("name", ["inline", "duck"])
blocking = pytest.mark.parametrize("name", ["inline", "synchronous", "own_loop"])


class System:
    """A backend with everything around it; the settings are those of `BackendConfig`."""

    def __init__(
        self,
        name: str,
        output: Output | None = None,
        max_size: int = 100,
        strategy: str = "drop_oldest",
        **settings: Any,
    ) -> None:
        loaded = discovery.load(discovery.resolve(PLUGINS[name]))
        is_manual = loaded.info.capabilities["clock"] == "injected"
        self.clock: Any = ManualClock() if is_manual else WallClock()
        self.output = output if output is not None else Output(WATCHDOG)
        self.errors: list[str] = []
        for key, value in {"batch_size": 5, "flush_interval": NEVER}.items():
            settings.setdefault(key, value)
        self.config = BackendConfig(
            queue=BoundedQueue(max_size, strategy, clock=self.clock),
            clock=self.clock,
            max_queue_size=max_size,
            overflow_strategy=strategy,
            error_callback=self.errors.append,
            **settings,
        )
        self.backend: Any = discovery.create(loaded, self.config)

    def item(self, record: Any, level: int = lual.INFO, func: Any = None) -> WorkItem:
        return WorkItem("app", record, func, self.clock.time(), level)

    def submit(self, *records: Any, level: int = lual.INFO, func: Any = None) -> list[bool]:
        return [self.backend.submit(self.item(record, level, func)) for record in records]

    def hold(self) -> Background[Any]:
        """Gets the output stuck with one record, by a submit in another thread."""
        self.output.hold("held")
        submitting = Background(
            lambda: self.submit("held", level=lual.CRITICAL), "submit", WATCHDOG
        )
        self.output.until_begun(1)
        return submitting

    @property
    def stats(self) -> dict[str, Any]:
        """A snapshot, in which the books balance."""
        stats: dict[str, Any] = self.backend.get_stats()
        assert stats["messages_submitted"] == (
            stats["messages_processed"]
            + stats["messages_failed"]
            + stats["messages_dropped"]
            + stats["queue_size"]
            + stats["in_flight"]
        )
        for table in ("dropped_by_reason", "dropped_by_level"):
            assert stats["messages_dropped"] == sum(stats[table].values())
        assert stats["messages_failed"] == sum(stats["failed_by_reason"].values())
        assert all(v >= 0 for v in stats.values() if isinstance(v, (int, float)))
        return stats

    def until_worker_ended(self) -> None:
        """Waits for the thread of a backend that has one, and was told to end."""
        thread = getattr(self.backend, "_thread", None)
        if thread is not None:
            thread.join(WATCHDOG)
            assert not thread.is_alive(), "the worker goes on"

    def in_background(self, call: Callable[[], Any]) -> Background[Any]:
        return Background(call, "a call", WATCHDOG)


@pytest.fixture
def make() -> Iterator[Callable[..., System]]:
    """Returns what builds a running system; all of them are ended after the test."""
    systems: list[System] = []

    def build(name: str, **settings: Any) -> System:
        system = System(name, **settings)
        systems.append(system)
        system.backend.start(system.output)
        return system

    before = set(threading.enumerate())
    yield build
    for system in systems:
        system.output.open()
        system.backend.reset()
    for thread in set(threading.enumerate()) - before:
        thread.join(WATCHDOG)
        assert not thread.is_alive(), f"{thread} is left behind"


def names(*numbers: int) -> list[str]:
    return [str(n) for n in numbers]


# Order and batches


@everyone
def test_records_reach_the_output_in_order_and_unchanged(
    name: str, make: Callable[..., System]
) -> None:
    system = make(name)
    records = [object() for _ in range(23)]
    assert all(system.submit(*records))
    assert system.backend.flush(WATCHDOG)
    assert [id(record) for _, record in system.output.calls] == [id(r) for r in records]
    assert system.stats["messages_processed"] == 23


@batching
def test_a_full_batch_begins_by_itself(name: str, make: Callable[..., System]) -> None:
    system = make(name)
    system.submit(*range(4))
    assert not system.output.has_begun(1, 0.02)
    system.submit(4)
    system.output.until_done(5)


@batching
def test_a_batch_larger_than_the_queue_begins_when_the_queue_is_full(
    name: str, make: Callable[..., System]
) -> None:
    system = make(name, max_size=3, batch_size=50)
    system.submit(*range(3))
    system.output.until_done(3)


@batching
def test_a_record_at_flush_level_begins_a_batch(name: str, make: Callable[..., System]) -> None:
    system = make(name)
    system.submit(0)
    system.submit(1, level=lual.ERROR)
    system.output.until_done(2)


def test_a_thread_dispatches_the_oldest_when_its_time_has_come(
    make: Callable[..., System],
) -> None:
    system = make("duck", flush_interval=10.0)
    system.submit(0)
    assert system.clock.until_parked(system.backend._thread, WATCHDOG)
    system.clock.advance(9.0)
    assert not system.output.has_begun(1, 0.02)
    system.clock.advance(1.0)
    system.output.until_done(1)


def test_the_loop_dispatches_the_oldest_when_its_time_has_come(
    make: Callable[..., System],
) -> None:
    system = make("own_loop", flush_interval=0.01)
    system.submit(0)
    system.output.until_done(1)


def test_the_next_call_dispatches_the_oldest_when_its_time_has_come(
    make: Callable[..., System],
) -> None:
    system = make("inline", flush_interval=10.0)
    system.submit(0)
    system.clock.advance(9.0)
    system.submit(1)
    assert system.output.done == []
    system.clock.advance(1.0)
    system.submit(2)
    assert system.output.done == names(0, 1, 2)


@everyone
def test_an_interval_of_zero_means_at_once(name: str, make: Callable[..., System]) -> None:
    system = make(name, flush_interval=0.0)
    system.submit(0)
    system.output.until_done(1)


@pytest.mark.parametrize("name", ["inline", "own_loop"])
def test_no_batch_exceeds_its_size_and_each_is_written_at_once(
    name: str, make: Callable[..., System]
) -> None:
    output = BatchOutput(WATCHDOG)
    system = make(name, output=output)
    system.submit(*range(12))
    assert system.backend.flush(WATCHDOG)
    assert [len(batch) for batch in output.batches] == [5, 5, 2]


@everyone
def test_an_items_own_dispatch_function_wins(name: str, make: Callable[..., System]) -> None:
    output, own = BatchOutput(WATCHDOG), Output(WATCHDOG)
    system = make(name, output=output)
    for number in range(7):
        system.submit(number, func=own if number % 3 == 1 else None)
    assert system.backend.flush(WATCHDOG)
    assert output.done == names(0, 2, 3, 5, 6)
    assert own.done == names(1, 4)
    assert system.stats["in_flight"] == 0


@batching
def test_a_new_dispatch_function_serves_what_has_not_begun(
    name: str, make: Callable[..., System]
) -> None:
    system = make(name)
    other = Output(WATCHDOG)
    system.output.hooks["1"] = lambda: system.backend.start(other)
    system.submit(*range(5))
    assert system.backend.flush(WATCHDOG)
    assert (system.output.done, other.done) == (names(0, 1), names(2, 3, 4))


@everyone
def test_a_record_without_any_dispatch_function_fails(
    name: str, make: Callable[..., System]
) -> None:
    system = System(name)
    system.backend.start()
    system.submit(0)
    assert system.backend.flush(WATCHDOG)
    assert system.stats["failed_by_reason"] == {"no_dispatch": 1}
    assert len(system.errors) == 1
    assert system.backend.stop(WATCHDOG)


# Flush


@everyone
def test_flush_calls_the_dispatchs_own_flush_after_the_last_record(
    name: str, make: Callable[..., System]
) -> None:
    output = BatchOutput(WATCHDOG)
    system = make(name, output=output)
    output.flush_error = ValueError("no")
    system.submit(*range(3))
    assert system.backend.flush(WATCHDOG)
    assert [e for e in output.events if e != "flush"] == names(0, 1, 2)
    assert output.events[-1] == "flush"
    assert any("ValueError" in error for error in system.errors)


@everyone
def test_flush_waits_for_the_record_inside_an_output(
    name: str, make: Callable[..., System]
) -> None:
    system = make(name)
    submitting = system.hold()
    flushing = system.in_background(lambda: system.backend.flush(WATCHDOG))
    assert not flushing.has_ended(0.02)
    assert not system.backend.flush(0)
    system.output.open()
    assert flushing.result()
    assert submitting.result() == [True]
    assert system.backend.flush(0) or system.backend.flush(WATCHDOG)


@on_manual_time
def test_flush_gives_up_in_time_and_leaves_no_trace(name: str, make: Callable[..., System]) -> None:
    system = make(name)
    submitting = system.hold()
    flushing = system.in_background(lambda: system.backend.flush(5.0))
    assert system.clock.until_parked(flushing.thread, WATCHDOG)
    system.clock.advance(5.0)
    assert flushing.result() is False
    assert system.stats["flush_timeouts"] == 1
    system.output.open()
    submitting.result()
    assert system.backend.flush(WATCHDOG)


@batching
def test_flush_does_not_wait_for_later_records(name: str, make: Callable[..., System]) -> None:
    system = make(name)
    submitting = system.hold()
    system.submit("before")
    flushing = system.in_background(lambda: system.backend.flush(NEVER))
    assert not flushing.has_ended(0.02)
    system.output.hold("later")
    system.submit("later", "later too")
    system.output.release("held")
    assert flushing.result()
    assert system.output.done == ["held", "before"]
    system.output.open()
    submitting.result()


@on_callers
def test_a_flush_stops_working_when_its_time_is_over(
    name: str, make: Callable[..., System]
) -> None:
    system = make(name, batch_size=50)
    for record in names(*range(9)):
        system.output.hooks[record] = lambda: system.clock.advance(1.0)
    submitting = system.hold()
    system.submit(*range(9))
    system.output.failures["held"] = KeyboardInterrupt()  # so that it doesn't go on with these
    system.output.release("held")
    with pytest.raises(KeyboardInterrupt):
        submitting.result()
    assert system.backend.flush(3.0) is False
    assert system.output.done == names(0, 1, 2)
    assert system.backend.flush(NEVER)
    assert system.output.done == names(*range(9))


@everyone
def test_flush_of_a_backend_that_does_not_run_is_true(name: str) -> None:
    system = System(name)
    assert system.backend.flush(0)
    system.backend.start(system.output)
    assert system.backend.stop(WATCHDOG)
    assert system.backend.flush(0)


@everyone
@pytest.mark.parametrize("timeout", [-1.0, float("nan")])
def test_a_timeout_that_makes_no_sense_is_refused(
    name: str, timeout: float, make: Callable[..., System]
) -> None:
    system = make(name)
    with pytest.raises(ValueError, match="timeout must be 0 or more"):
        system.backend.flush(timeout)
    with pytest.raises(ValueError, match="timeout must be 0 or more"):
        system.backend.stop(timeout)


# Overflow


@everyone
def test_drop_oldest_evicts_and_drop_newest_refuses(name: str, make: Callable[..., System]) -> None:
    for strategy, taken, left in (
        ("drop_oldest", [True] * 10, names(7, 8, 9)),
        ("drop_newest", [True] * 3 + [False] * 7, names(0, 1, 2)),
    ):
        system = make(name, strategy=strategy, max_size=3, batch_size=1)
        submitting = system.hold()
        assert system.submit(*range(10)) == taken
        assert system.stats["messages_dropped"] == 7
        assert system.stats["queue_overflows"] == 7
        assert system.stats["queue_size"] == system.stats["queue_high_watermark"] == 3
        system.output.open()
        submitting.result()
        assert system.backend.flush(WATCHDOG)
        assert system.output.done == ["held", *left]
        assert system.stats["messages_submitted"] == 11


@everyone
@pytest.mark.parametrize("strategy", ["drop_oldest", "drop_newest"])
def test_protected_records_survive(name: str, strategy: str, make: Callable[..., System]) -> None:
    system = make(name, strategy=strategy, max_size=3, batch_size=1)
    submitting = system.hold()
    system.submit("a", "b", "c")
    assert system.submit("x", "y", "z", level=lual.ERROR) == [True] * 3
    assert system.submit("d") == [False]
    assert system.submit("last", level=lual.ERROR) == [strategy == "drop_oldest"]
    system.output.open()
    submitting.result()
    assert system.backend.flush(WATCHDOG)
    kept = ["y", "z", "last"] if strategy == "drop_oldest" else ["x", "y", "z"]
    assert system.output.done == ["held", *kept]
    assert system.stats["dropped_by_level"] == {"INFO": 4, "ERROR": 1}


@blocking
def test_block_waits_for_room(name: str, make: Callable[..., System]) -> None:
    system = make(name, strategy="block", max_size=2, batch_size=1)
    submitting = system.hold()
    system.submit(0, 1)
    blocked = system.in_background(lambda: system.submit(2))
    assert not blocked.has_ended(0.02)
    system.output.open()
    assert blocked.result() == [True]
    submitting.result()
    assert system.backend.flush(WATCHDOG)
    assert system.output.done == ["held", *names(0, 1, 2)]


@blocking
def test_stop_releases_who_waits_for_room(name: str, make: Callable[..., System]) -> None:
    system = make(name, strategy="block", max_size=1, batch_size=1)
    submitting = system.hold()
    system.submit(0)
    blocked = system.in_background(lambda: system.submit(1))
    assert not blocked.has_ended(0.02)
    assert system.backend.stop(0) is False
    assert blocked.result() == [False]
    system.output.open()
    submitting.result()
    assert system.stats["messages_submitted"] == 2


@blocking
def test_block_never_waits_inside_an_output(name: str, make: Callable[..., System]) -> None:
    system = make(name, strategy="block", max_size=2, batch_size=1)
    answers: list[bool] = []
    system.output.hooks["first"] = lambda: answers.extend(system.submit(0, 1, 2))
    system.submit("first")
    assert system.backend.flush(WATCHDOG)
    assert answers == [True, True, False]
    assert system.stats["dropped_by_reason"] == {"cannot_block": 1}


@on_callers
def test_under_block_a_caller_makes_room_itself(name: str, make: Callable[..., System]) -> None:
    system = make(name, strategy="block", max_size=2, batch_size=2)
    system.output.hooks["first"] = lambda: system.submit(0, 1)
    system.output.failures["first"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        system.submit("first", level=lual.ERROR)
    assert system.stats["queue_size"] == 2
    assert system.submit(2) == [True]
    assert system.backend.flush(WATCHDOG)
    assert system.output.done == names(0, 1, 2)


def test_a_strategy_that_a_backend_lacks_is_refused_at_creation() -> None:
    with pytest.raises(ConfigError, match="'block'"):
        System("duck", strategy="block")


@everyone
def test_unknown_options_are_refused_at_creation(name: str) -> None:
    with pytest.raises(ConfigError, match="colour"):
        System(name, options={"colour": 1})


# Errors


@everyone
@pytest.mark.parametrize("error", [ValueError("no"), RecursionError("deep"), MemoryError()])
def test_an_error_fails_its_record_alone(
    name: str, error: Exception, make: Callable[..., System]
) -> None:
    system = make(name)
    system.output.failures["2"] = error
    system.submit(*range(6))
    assert system.backend.flush(WATCHDOG)
    assert system.output.done == names(0, 1, 3, 4, 5)
    assert system.stats["messages_failed"] == system.stats["backend_errors"] == 1
    [report] = system.errors
    assert type(error).__name__ in report
    assert "'app'" in report


@threaded
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_a_worker_outlives_any_exception(
    name: str, error: BaseException, make: Callable[..., System]
) -> None:
    system = make(name)
    system.output.failures["0"] = error
    system.submit(*range(5))
    assert system.backend.flush(WATCHDOG)
    assert system.output.done == names(1, 2, 3, 4)
    assert system.stats["messages_failed"] == 1


@on_callers
def test_an_interruption_goes_on_to_the_caller_and_the_rest_is_written_later(
    name: str, make: Callable[..., System]
) -> None:
    system = make(name)
    system.output.failures["2"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        system.submit(*range(5))
    assert system.stats["in_flight"] == 0
    assert system.backend.flush(WATCHDOG)
    assert [n for n in system.output.done if n != "2"] == system.output.done
    assert system.stats["messages_failed"] == 1
    assert system.stats["messages_submitted"] == len(system.output.done) + 1


@everyone
def test_an_error_callback_that_raises_changes_nothing(
    name: str, make: Callable[..., System]
) -> None:
    def refuse(message: str) -> None:
        raise ValueError(message)

    system = make(name)
    system.config.error_callback = refuse
    system.output.failures["0"] = ValueError("no")
    system.submit(*range(3))
    assert system.backend.flush(WATCHDOG)
    assert system.output.done == names(1, 2)


# Lifecycle


@everyone
def test_a_backend_that_does_not_run_refuses_without_counting(name: str) -> None:
    system = System(name)
    assert system.submit(0) == [False]
    system.backend.start(system.output)
    assert system.backend.stop(WATCHDOG)
    assert system.submit(1) == [False]
    assert system.stats["messages_submitted"] == 0
    assert system.output.begun == []


@everyone
def test_states_follow_the_calls(name: str) -> None:
    system = System(name)
    states = [system.stats["state"]]
    for call in (
        lambda: system.backend.stop(WATCHDOG),
        lambda: system.backend.start(system.output),
        lambda: system.backend.start(),
        lambda: system.backend.stop(WATCHDOG),
        lambda: system.backend.stop(WATCHDOG),
        lambda: system.backend.start(),
        system.backend.reset,
    ):
        call()
        states.append(system.stats["state"])
    assert states == [
        "new", "new", "running", "running", "stopped", "stopped", "running", "new",
    ]  # fmt: skip


@everyone
def test_stop_writes_what_waits_and_start_goes_on(name: str, make: Callable[..., System]) -> None:
    output = BatchOutput(WATCHDOG)
    system = make(name, output=output)
    system.submit(*range(13))
    assert system.backend.stop(WATCHDOG)
    assert output.done == names(*range(13))
    assert output.events[-1] == "flush"
    system.backend.start()
    system.submit(13)
    assert system.backend.flush(WATCHDOG)
    assert output.done[-1] == "13"
    assert system.stats["messages_processed"] == 14


@everyone
def test_stop_that_runs_out_drops_what_has_not_begun_and_says_so_once(
    name: str, make: Callable[..., System]
) -> None:
    system = make(name, batch_size=2)
    submitting = system.hold()
    system.submit(*range(4))
    assert system.backend.stop(0) is False
    stats = system.stats
    assert stats["dropped_by_reason"] == {"shutdown_timeout": 4}
    assert (stats["state"], stats["in_flight"], stats["queue_size"]) == ("stopped", 1, 0)
    [report] = system.errors
    assert "4" in report
    assert system.backend.stop(0) is False
    with pytest.raises(RuntimeError):
        system.backend.start()
    system.output.open()
    submitting.result()
    system.until_worker_ended()
    system.backend.start()
    assert system.output.begun == ["held"]
    assert system.stats["messages_processed"] == 1


@everyone
def test_reset_forgets_everything_but_the_shared_objects(
    name: str, make: Callable[..., System]
) -> None:
    system = make(name)
    submitting = system.hold()
    system.submit(*range(3))
    system.backend.reset()
    assert system.stats["state"] == "new"
    assert system.stats["messages_submitted"] == 0
    assert system.config.stats["messages_processed"] == 0
    system.output.open()
    submitting.result()
    system.until_worker_ended()
    system.backend.start(system.output)
    system.submit("after")
    assert system.backend.flush(WATCHDOG)
    assert system.output.done == ["held", "after"]
    assert system.stats["messages_submitted"] == system.config.stats["messages_processed"] == 1


@everyone
def test_a_start_that_fails_leaves_no_trace(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(name)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        if name in ("own_loop", "duck"):
            with pytest.raises(RuntimeError, match="can't start"):
                system.backend.start(system.output)
            assert system.stats["state"] == "new"
    system.backend.start(system.output)
    system.submit(0)
    assert system.backend.stop(WATCHDOG)
    assert system.output.done == ["0"]


# Calls from inside


@everyone
def test_a_record_logged_inside_an_output_is_written_after_it(
    name: str, make: Callable[..., System]
) -> None:
    system = make(name, batch_size=1)
    answers: list[bool] = []
    system.output.hooks["0"] = lambda: answers.extend(system.submit("inner"))
    system.submit(0, 1)
    assert system.backend.flush(WATCHDOG)
    assert answers == [True]
    assert system.output.deepest == 1
    assert sorted(system.output.done) == ["0", "1", "inner"]


@everyone
def test_flush_and_stop_inside_an_output_return_false_and_the_drain_goes_on(
    name: str, make: Callable[..., System]
) -> None:
    system = make(name)
    answers: list[bool] = []
    system.output.hooks["1"] = lambda: answers.append(system.backend.flush(WATCHDOG))
    system.output.hooks["2"] = lambda: answers.append(system.backend.stop(WATCHDOG))
    taken = system.submit(*range(5))
    assert system.backend.stop(WATCHDOG)
    assert answers == [False, False]
    assert system.stats["state"] == "stopped"
    assert system.output.done == [n for n, was in zip(names(*range(5)), taken, strict=True) if was]


@on_callers
def test_a_stop_inside_an_output_is_ended_by_the_call_that_dispatches(
    name: str, make: Callable[..., System]
) -> None:
    system = make(name)
    system.output.hooks["0"] = lambda: system.backend.stop(0)
    system.submit(0, level=lual.ERROR)
    assert system.stats["state"] == "stopped"


# Threads


@on_callers
def test_a_due_batch_left_to_the_thread_that_dispatches_is_dispatched(
    name: str, make: Callable[..., System]
) -> None:
    system = make(name)
    submitting = system.hold()
    assert all(system.submit(*range(9)))
    system.output.open()
    submitting.result()
    assert system.output.done == ["held", *names(*range(9))]
    assert system.output.deepest == 1


@everyone
@pytest.mark.parametrize("strategy", ["drop_oldest", "drop_newest"])
def test_records_of_many_threads_are_conserved_and_keep_their_order(
    name: str, strategy: str, make: Callable[..., System], fast_switches: None
) -> None:
    system = make(name, max_size=30, strategy=strategy)
    taken: dict[int, int] = {}
    together = threading.Barrier(4)

    def produce(thread: int) -> None:
        together.wait(WATCHDOG)
        taken[thread] = sum(
            system.backend.submit(system.item(f"{thread}:{n:04}")) for n in range(200)
        )

    producers = [system.in_background(lambda t=t: produce(t)) for t in range(4)]  # type: ignore[misc]
    while not all(producer.has_ended(0.001) for producer in producers):
        assert system.stats["queue_size"] <= 30
    for producer in producers:
        producer.result()
    assert system.backend.flush(WATCHDOG)
    stats = system.stats
    assert stats["messages_submitted"] == 800
    assert stats["messages_processed"] == len(system.output.done)
    assert stats["queue_size"] == stats["in_flight"] == 0
    for thread in range(4):
        mine = [n for n in system.output.done if n.startswith(f"{thread}:")]
        assert mine == sorted(mine)
    if strategy == "drop_newest":
        assert sum(taken.values()) == len(system.output.done)


@blocking
def test_records_of_many_threads_are_conserved_under_block(
    name: str, make: Callable[..., System], fast_switches: None
) -> None:
    system = make(name, max_size=5, strategy="block", block_timeout=NEVER)

    def produce(thread: int) -> bool:
        return all(system.submit(*(f"{thread}:{n:04}" for n in range(100))))

    producers = [system.in_background(lambda t=t: produce(t)) for t in range(4)]  # type: ignore[misc]
    assert all(producer.result() for producer in producers)
    assert system.backend.flush(WATCHDOG)
    assert len(system.output.done) == 400


@everyone
def test_any_interleaving_of_calls_ends_and_balances(
    name: str, make: Callable[..., System], fast_switches: None
) -> None:
    system = make(name, max_size=20)
    backend = system.backend

    def restart() -> None:
        try:
            backend.start(system.output)
        except RuntimeError:  # it is being stopped, or reset
            return

    calls: tuple[Callable[[], object], ...] = (
        lambda: system.submit(*range(7)),
        lambda: backend.flush(0.01 if name == "own_loop" else 0),
        lambda: backend.stop(WATCHDOG),
        backend.reset,
        restart,
        restart,
        lambda: system.stats,
    )

    def run(offset: int) -> None:
        for n in range(60):
            calls[(n * (offset + 1) + offset) % len(calls)]()

    for thread in [system.in_background(lambda o=o: run(o)) for o in range(4)]:  # type: ignore[misc]
        thread.result()
    backend.stop(WATCHDOG)
    stats = system.stats
    assert stats["queue_size"] == stats["in_flight"] == 0
    assert system.output.deepest == 1


@pytest.fixture
def fast_switches() -> Iterator[None]:
    """Makes threads take turns as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


# In the engine


@pytest.fixture
def configured() -> Iterator[Callable[..., list[str]]]:
    lines: list[str] = []

    def configure(name: str, **settings: Any) -> list[str]:
        lual.config(
            level="info",
            backend=PLUGINS[name],
            async_enabled=True,
            pipelines=[
                lual.pipeline(
                    presenter=lual.text("{message}"),
                    outputs=[lambda text, record: lines.append(text.strip())],
                )
            ],
            **settings,
        )
        return lines

    yield configure
    lual.shutdown()
    lual.reset_config()
    lual.async_writer.reset()


@everyone
def test_the_engine_writes_through_it(name: str, configured: Callable[..., list[str]]) -> None:
    lines = configured(name)
    log = lual.logger("app")
    for n in range(120):
        log.info("record %d", n)
    assert lual.flush(WATCHDOG)
    assert lines == [f"record {n}" for n in range(120)]
    assert lual.get_stats()["messages_processed"] == 120
    assert lual.shutdown(WATCHDOG)
    log.info("inline")
    assert lines[-1] == "inline"
