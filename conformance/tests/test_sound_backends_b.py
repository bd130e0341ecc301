"""The backends that share `bare.py` keep the contract, whatever the kit says of them."""

from __future__ import annotations

import _thread
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import lual
from lual.backend import BackendConfig, BoundedQueue, ConfigError, WorkItem
from lual.engine import discovery
from lual_conformance.harness.background import Background
from lual_conformance.harness.clock import ManualClock
from lual_conformance.harness.output import BatchOutput
from lual_conformance.zoo.sound.crossing import LinesTo

PATIENCE = 15.0
THREADED = ("pool", "lazy", "split")
ALL = (*THREADED, pytest.param("process", marks=pytest.mark.processes))


class Rig:
    """A backend with a clock, an output that a record "wait" gets stuck in, and reports."""

    def __init__(self, name: str, folder: Path, **settings: Any) -> None:
        self.name = name
        self.clock = ManualClock()
        self.errors: list[str] = []
        self.output: Any = BatchOutput(PATIENCE)
        self.output.hold("wait")
        self.output.failures["bad"] = ValueError("a bad record")
        self.lines, self.gate = folder / "lines", folder / "gate"
        self.entered = 0
        os.mkfifo(self.gate)
        self.lines.touch()
        size = settings.pop("max_size", 100)
        strategy = settings.pop("strategy", "drop_oldest")
        chosen: dict[str, Any] = {"batch_size": 5, "error_callback": self.errors.append}
        for name_of_time in ("flush_interval", "flush_timeout", "shutdown_timeout"):
            chosen[name_of_time] = 1e6
        self.stats: dict[str, Any] = {}
        self.queue = BoundedQueue(size, strategy, stats=self.stats, clock=self.clock)
        self.config = BackendConfig(
            queue=self.queue,
            stats=self.stats,
            clock=self.clock,
            max_queue_size=size,
            pipelines=LinesTo(str(self.lines), str(self.gate)),
            **(chosen | settings),
        )
        self.plugin = discovery.load(discovery.resolve(f"lual_conformance.zoo.sound.{name}:plugin"))
        self.backend: Any = discovery.create(self.plugin, self.config)
        self.workers = self.plugin.info.capabilities["dispatch_concurrency"]

    def start(self) -> Rig:
        self.backend.start(self.output)
        return self

    def item(self, message: str, level: int = lual.INFO, func: Any = None) -> WorkItem:
        record = lual.Record.build(message, logger_name="app", level=level)
        return WorkItem("app", record, func, self.clock.time())

    def submit(self, *messages: str, level: int = lual.INFO) -> list[bool]:
        return [self.backend.submit(self.item(message, level)) for message in messages]

    def enter(self) -> Callable[[], None]:
        """Waits until the record "wait" is inside the output; returns what lets it go."""
        if self.name != "process":
            self.entered += 1
            count = self.entered
            self.output.until(lambda: self.output.begun.count("wait") >= count, "not inside")
            return lambda: self.output.release("wait")
        gate = open(self.gate, "wb")  # noqa: SIM115  waits for the reader; closed by the caller
        return gate.close

    def stall(self) -> list[Callable[[], None]]:
        """Gets every worker stuck."""
        releases = []
        for _ in range(self.workers):
            self.submit("wait", level=lual.ERROR)
            releases.append(self.enter())
        return releases

    def written(self) -> list[str]:
        if self.name != "process":
            return list(self.output.done)
        lines = [line.split(" ", 2) for line in self.lines.read_text().splitlines()]
        return [line[2] for line in lines if len(line) == 3]

    def events(self) -> list[str]:
        if self.name != "process":
            return list(self.output.events)
        return [line.split(" ")[-1] for line in self.lines.read_text().splitlines()]

    def counts(self) -> dict[str, int]:
        """Returns the counters that aren't 0, once they are known to add up."""
        stats = self.backend.get_stats()
        keys = ("processed", "failed", "dropped")
        total = sum(stats[f"messages_{key}"] for key in keys)
        assert stats["messages_submitted"] == total + stats["queue_size"] + stats["in_flight"]
        assert stats["messages_dropped"] == sum(stats["dropped_by_reason"].values())
        assert stats["messages_dropped"] == sum(stats["dropped_by_level"].values())
        kept = {key: stats[f"messages_{key}"] for key in ("submitted", *keys)}
        kept |= {key: stats[key] for key in ("queue_size", "in_flight")}
        return {key: count for key, count in kept.items() if count}

    def background(self, call: Callable[[], bool]) -> Background[bool]:
        """Begins a call, and returns once it waits on the clock."""
        background = Background(call, "call", PATIENCE)
        assert self.clock.until_parked(background.thread, PATIENCE)
        return background


@pytest.fixture
def rigs(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(name: str, **settings: Any) -> Rig:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Rig(name, folder, **settings))
        return made[-1]

    yield make
    for rig in made:
        rig.output.open()
        rig.backend.reset()


@pytest.mark.parametrize("name", ALL)
def test_every_record_is_written_once_and_in_the_order_that_is_promised(
    rigs: Callable[..., Rig], name: str
) -> None:
    rig = rigs(name).start()
    names = [f"record {n}" for n in range(38)]
    assert rig.submit(*names) == [True] * 38
    assert rig.backend.flush()
    written = rig.written()
    assert (sorted(written) if rig.workers > 1 else written) == (
        sorted(names) if rig.workers > 1 else names
    )
    assert rig.counts() == {"submitted": 38, "processed": 38}


@pytest.mark.parametrize("name", ALL)
def test_a_full_batch_starts_without_waiting_for_the_interval(
    rigs: Callable[..., Rig], name: str
) -> None:
    rig = rigs(name).start()
    rig.submit("a", "b", "c", "d", "wait")
    rig.enter()()
    assert rig.backend.flush()


@pytest.mark.parametrize("name", ALL)
def test_a_partial_batch_starts_when_its_interval_has_passed(
    rigs: Callable[..., Rig], name: str
) -> None:
    rig = rigs(name, flush_interval=60.0).start()
    rig.submit("wait")
    rig.clock.advance(60.0)
    rig.enter()()
    assert rig.backend.flush()


@pytest.mark.parametrize("name", ALL)
def test_flush_answers_true_only_when_all_before_it_is_done(
    rigs: Callable[..., Rig], name: str
) -> None:
    rig = rigs(name).start()
    assert rig.backend.flush(0)
    releases = rig.stall()
    rig.submit("a")
    assert not rig.backend.flush(0)
    flush = rig.background(lambda: rig.backend.flush(5.0))
    rig.clock.advance(5.0)
    assert not flush.result()
    flushes = [rig.background(rig.backend.flush) for _ in range(3)]
    for release in releases:
        release()
    assert [flush.result() for flush in flushes] == [True] * 3
    assert rig.events()[-1] == "flush"
    assert sorted(rig.written()) == ["a", *["wait"] * rig.workers]


@pytest.mark.parametrize("name", ALL)
def test_who_only_polls_is_told_when_all_is_done(rigs: Callable[..., Rig], name: str) -> None:
    rig = rigs(name).start()
    rig.submit("a", "b")
    assert any(rig.backend.flush(0) for _ in range(10**7))
    assert rig.events()[-1] == "flush"


@pytest.mark.parametrize("name", THREADED)
def test_a_later_record_does_not_hold_a_flush(rigs: Callable[..., Rig], name: str) -> None:
    rig = rigs(name).start()
    rig.output.hold("later")
    rig.stall()
    flush = rig.background(rig.backend.flush)
    rig.submit(*["later"] * 7, level=lual.ERROR)
    rig.output.release("wait")
    assert flush.result()
    assert "later" not in rig.written()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("timeout", [-1.0, math.nan])
def test_a_negative_timeout_is_refused(rigs: Callable[..., Rig], name: str, timeout: float) -> None:
    rig = rigs(name)
    with pytest.raises(ValueError, match="0 or more"):
        rig.backend.flush(timeout)
    with pytest.raises(ValueError, match="0 or more"):
        rig.backend.stop(timeout)


@pytest.mark.parametrize("name", ALL)
def test_overflow_evicts_the_oldest_and_counts_it(rigs: Callable[..., Rig], name: str) -> None:
    rig = rigs(name, max_size=3).start()
    releases = rig.stall()
    assert rig.submit(*"abcdefghij") == [True] * 10
    assert rig.counts()["dropped"] == 7
    for release in releases:
        release()
    assert rig.backend.flush(math.inf)
    assert sorted(set(rig.written()) - {"wait"}) == ["h", "i", "j"]
    done = 3 + rig.workers
    assert rig.counts() == {"submitted": done + 7, "processed": done, "dropped": 7}


@pytest.mark.parametrize("name", ALL)
def test_a_failing_record_fails_alone_and_is_reported_once(
    rigs: Callable[..., Rig], name: str
) -> None:
    rig = rigs(name).start()
    rig.submit("a", "bad", "b")
    assert rig.backend.flush()
    assert rig.counts() == {"submitted": 3, "processed": 2, "failed": 1}
    assert rig.backend.get_stats()["failed_by_reason"] == {"dispatch": 1}
    [message] = rig.errors
    assert all(part in message for part in ("ValueError", "a bad record", "app", "'bad'"))


@pytest.mark.parametrize("name", ALL)
def test_a_reporter_that_raises_changes_nothing(rigs: Callable[..., Rig], name: str) -> None:
    def raise_it(message: str) -> None:
        raise SystemExit(message)

    rig = rigs(name, error_callback=raise_it).start()
    rig.submit("a", "bad", "b")
    assert rig.backend.flush()
    assert rig.backend.stop()
    assert rig.counts() == {"submitted": 3, "processed": 2, "failed": 1}


@pytest.mark.parametrize("name", THREADED)
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
def test_no_exception_of_an_output_ends_a_worker(
    rigs: Callable[..., Rig], name: str, error: type[BaseException]
) -> None:
    rig = rigs(name).start()
    rig.output.failures["bad"] = error()
    rig.submit("bad", "a", "bad", "b")
    assert rig.backend.flush()
    assert rig.counts() == {"submitted": 4, "processed": 2, "failed": 2}


@pytest.mark.parametrize("name", ALL)
def test_stop_drains_and_a_stopped_backend_refuses_and_can_start_again(
    rigs: Callable[..., Rig], name: str
) -> None:
    rig = rigs(name)
    assert rig.backend.stop()
    assert rig.submit("early") == [False]
    assert rig.backend.get_stats()["state"] == "new"
    for round_ in (1, 2):
        rig.start().start()
        assert rig.backend.get_stats()["state"] == "running"
        rig.submit(*"abcdefg")
        assert rig.backend.stop()
        assert rig.backend.stop()
        assert rig.events()[-1] == "flush"
        assert rig.submit("late") == [False]
        assert rig.backend.flush()
        assert rig.backend.get_stats()["state"] == "stopped"
        assert rig.counts() == {"submitted": 7 * round_, "processed": 7 * round_}


@pytest.mark.parametrize("name", ALL)
def test_reset_zeroes_the_same_counters_and_forgets_what_waits(
    rigs: Callable[..., Rig], name: str
) -> None:
    rig = rigs(name).start()
    rig.submit("a", "b", "bad")
    rig.backend.flush()
    rig.submit("c")
    rig.backend.reset()
    assert rig.counts() == {}
    assert rig.backend.get_stats()["state"] == "new"
    rig.start().submit("d")
    assert rig.backend.flush()
    assert rig.counts() == {"submitted": 1, "processed": 1}
    assert rig.stats["messages_processed"] == 1
    assert "c" not in rig.written()


@pytest.mark.parametrize("name", ALL)
def test_a_stop_out_of_time_drops_the_rest_and_begins_nothing_more(
    rigs: Callable[..., Rig], name: str
) -> None:
    rig = rigs(name).start()
    releases = rig.stall()
    rig.submit("a", "b", "c")
    stop = rig.background(lambda: rig.backend.stop(5.0))
    rig.clock.advance(5.0)
    assert not stop.result()
    assert rig.counts() == {"submitted": 3 + rig.workers, "dropped": 3, "in_flight": rig.workers}
    assert rig.backend.get_stats()["dropped_by_reason"] == {"shutdown_timeout": 3}
    [message] = rig.errors
    assert "3 records dropped" in message
    with pytest.raises(RuntimeError, match="still inside"):
        rig.start()
    for release in releases:
        release()
    assert rig.backend._join(PATIENCE)
    assert rig.written() == ["wait"] * rig.workers
    assert rig.counts() == {"submitted": 3 + rig.workers, "dropped": 3, "processed": rig.workers}
    assert not rig.backend.stop()
    rig.start().submit("d")
    assert rig.backend.flush()


@pytest.mark.parametrize("name", ALL)
def test_what_an_output_does_after_a_reset_is_not_counted(
    rigs: Callable[..., Rig], name: str
) -> None:
    rig = rigs(name).start()
    releases = rig.stall()
    rig.submit("a")
    rig.backend.reset()
    assert rig.counts() == {}
    for release in releases:
        release()
    assert rig.backend._join(PATIENCE)
    assert rig.counts() == {}
    assert "a" not in rig.written()


@pytest.mark.parametrize("name", ALL)
def test_records_of_four_threads_are_all_accounted_for(rigs: Callable[..., Rig], name: str) -> None:
    rig = rigs(name, max_size=10_000, batch_size=20).start()
    barrier = threading.Barrier(4)

    def produce(producer: int) -> bool:
        barrier.wait()
        return all(rig.submit(*(f"{producer} {n}" for n in range(100))))

    calls = [Background(partial(produce, p), "produce", PATIENCE) for p in range(4)]
    assert [call.result() for call in calls] == [True] * 4
    assert rig.backend.stop()
    assert rig.counts() == {"submitted": 400, "processed": 400}
    written = rig.written()
    assert sorted(written) == sorted(f"{p} {n}" for p in range(4) for n in range(100))
    for producer in range(4 if rig.workers == 1 else 0):
        mine = [line for line in written if line.startswith(f"{producer} ")]
        assert mine == [f"{producer} {n}" for n in range(100)]


@pytest.mark.parametrize("name", THREADED)
def test_an_output_may_call_the_backend(rigs: Callable[..., Rig], name: str) -> None:
    rig = rigs(name).start()
    answers: list[Any] = []
    rig.output.hooks["a"] = lambda: answers.extend([*rig.submit("b"), rig.backend.flush()])
    rig.output.hooks["c"] = lambda: answers.append(rig.backend.stop())
    rig.submit("a")
    assert rig.backend.flush()
    rig.submit("c", level=lual.ERROR)
    assert rig.backend.stop()
    assert answers == [True, False, False]
    assert sorted(rig.written()) == ["a", "b", "c"]


@pytest.mark.parametrize("name", THREADED)
def test_an_item_goes_to_its_own_dispatch_function(rigs: Callable[..., Rig], name: str) -> None:
    rig = rigs(name).start()
    own: list[Any] = []
    rig.backend.submit(rig.item("mine", func=lambda logger, record: own.append(record.message)))
    rig.submit("a")
    assert rig.backend.flush()
    assert (own, rig.written()) == (["mine"], ["a"])


@pytest.mark.parametrize("name", THREADED)
def test_a_stop_releases_a_producer_that_waits_for_room(
    rigs: Callable[..., Rig], name: str
) -> None:
    rig = rigs(name, max_size=1, strategy="block").start()
    rig.stall()
    rig.submit("a")
    producer = rig.background(lambda: rig.submit("b")[0])
    stop = rig.background(rig.backend.stop)
    assert not producer.result()
    rig.output.release("wait")
    assert stop.result()
    assert rig.counts() == {"submitted": 1 + rig.workers, "processed": 1 + rig.workers}


@pytest.mark.parametrize("name", ["pool", "split"])
def test_a_start_that_is_refused_a_thread_leaves_nothing_behind(
    rigs: Callable[..., Rig], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = rigs(name)
    plenty = threading.Thread.start
    started: list[threading.Thread] = []

    def start_few(thread: threading.Thread) -> None:
        if len(started) == rig.workers - 1:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        plenty(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_few)
        with pytest.raises(RuntimeError, match="can't start"):
            rig.start()
    assert rig.backend.get_stats()["state"] == "new"
    assert not any(thread.is_alive() for thread in started)
    rig.start().submit("a")
    assert rig.backend.flush()


# What is one backend's own


def test_the_pool_writes_two_records_at_once(rigs: Callable[..., Rig]) -> None:
    rig = rigs("pool").start()
    rig.stall()
    assert rig.output.deepest == 2


def test_the_lazy_worker_lives_only_while_there_are_records(rigs: Callable[..., Rig]) -> None:
    before = threading.active_count()
    rig = rigs("lazy").start()
    assert threading.active_count() == before
    rig.submit("a", "b")
    assert rig.backend.flush()
    assert rig.backend._join(PATIENCE)
    assert threading.active_count() == before
    rig.submit("c")
    assert rig.backend.stop()
    assert rig.written() == ["a", "b", "c"]


def test_where_no_thread_can_start_the_lazy_backend_drains_on_the_caller(
    rigs: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    rig = rigs("lazy").start()
    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    assert rig.submit("a", "b") == [True, True]
    assert rig.backend.flush()
    rig.submit("c")
    assert rig.backend.stop()
    assert rig.written() == ["a", "b", "c"]
    assert set(rig.output.threads) == {threading.current_thread()}


def test_a_ctrl_c_in_an_output_reaches_the_caller_who_drains_and_loses_no_other_record(
    rigs: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    rig = rigs("lazy").start()
    done: list[str] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    calls: dict[str, Callable[[], None]]
    calls = {"a": partial(done.append, "a"), "b": interrupt, "c": partial(done.append, "c")}
    rig.backend.start(lambda logger, record: calls[record.message]())
    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    rig.submit("a", "b", "c")
    with pytest.raises(KeyboardInterrupt):
        rig.backend.flush()
    assert rig.backend.stop()
    assert done == ["a", "c"]
    assert rig.counts() == {"submitted": 3, "processed": 2, "failed": 1}


def test_the_idle_split_worker_is_not_to_be_seen_on_the_clock(rigs: Callable[..., Rig]) -> None:
    rig = rigs("split").start()
    rig.submit("a")
    assert rig.backend.flush()
    rig.submit("b", "c")
    assert rig.backend.flush()
    assert rig.clock.parked() == []


def test_the_split_worker_takes_one_record_at_a_time(rigs: Callable[..., Rig]) -> None:
    rig = rigs("split").start()
    rig.submit(*"abcdefg")
    assert rig.backend.flush()
    assert rig.output.batches == [[name] for name in "abcdefg"]


# The worker process


def test_a_process_needs_pipelines_that_can_be_sent_there() -> None:
    plugin = discovery.load(discovery.resolve("lual_conformance.zoo.sound.process:plugin"))
    for pipelines in (None, lambda: None):
        with pytest.raises(ConfigError, match="pickled"):
            discovery.create(plugin, BackendConfig(pipelines=pipelines))


@pytest.mark.processes
def test_outputs_that_cannot_be_opened_refuse_the_start(rigs: Callable[..., Rig]) -> None:
    rig = rigs("process")
    config = BackendConfig(pipelines=Path("not a description"))
    backend = discovery.create(rig.plugin, config)
    with pytest.raises(RuntimeError, match="can't open its outputs"):
        backend.start()
    assert backend.get_stats()["state"] == "new"


@pytest.mark.processes
def test_a_record_that_cannot_cross_fails_alone(rigs: Callable[..., Rig]) -> None:
    rig = rigs("process").start()
    live = lual.Record.build("live", logger_name="app", fields={"lock": threading.Lock()})
    rig.submit("a")
    rig.backend.submit(WorkItem("app", live))
    rig.backend.submit(WorkItem("app", "plain text"))
    assert rig.backend.flush()
    assert rig.written() == ["a", "plain text"]
    assert rig.backend.get_stats()["failed_by_reason"] == {"serialize": 1}
    [message] = rig.errors
    assert "'live'" in message


@pytest.mark.processes
def test_a_record_larger_than_any_buffer_crosses(rigs: Callable[..., Rig]) -> None:
    rig = rigs("process").start()
    rig.submit("x" * 2**20, "a")
    assert rig.backend.flush()
    assert [len(line) for line in rig.written()] == [2**20, 1]


@pytest.mark.processes
def test_a_killed_process_loses_what_it_had_begun_and_is_replaced(
    rigs: Callable[..., Rig],
) -> None:
    rig = rigs("process").start()
    first = rig.backend.get_stats()["worker_pid"]
    rig.submit("a", "wait", "b", "c")
    flush = rig.background(rig.backend.flush)
    release = rig.enter()
    faults = rig.plugin.faults
    assert faults is not None
    faults(rig.backend).kill_worker()
    release()
    assert flush.result()
    assert rig.written() == ["a", "b", "c"]
    stats = rig.backend.get_stats()
    assert stats["failed_by_reason"] == {"worker_lost": 1}
    assert stats["worker_restarts"] == 1
    assert stats["worker_pid"] != first
    assert rig.counts() == {"submitted": 4, "processed": 3, "failed": 1}
    [message] = rig.errors
    assert "1 records" in message


@pytest.mark.processes
def test_a_process_killed_while_idle_is_missed_by_the_next_flush(
    rigs: Callable[..., Rig],
) -> None:
    rig = rigs("process").start()
    rig.backend.kill_worker()
    assert rig.backend.flush()
    assert rig.backend.get_stats()["worker_restarts"] == 1
    rig.submit("a")
    rig.backend.kill_worker()
    assert rig.backend.stop()
    assert rig.written() == ["a"]
    assert len(rig.errors) == 2


@pytest.mark.processes
def test_a_process_that_dies_too_often_is_given_up(rigs: Callable[..., Rig]) -> None:
    rig = rigs("process").start()
    for _ in range(5):
        rig.backend.kill_worker()
        assert rig.backend.flush()
    rig.backend.kill_worker()
    assert not rig.backend.flush()
    assert rig.backend._join(PATIENCE)
    assert rig.submit("a") == [False]
    assert not rig.backend.stop()
    assert rig.backend.get_stats()["worker_restarts"] == 5
    rig.start().submit("a")
    assert rig.backend.flush()


@pytest.mark.processes
def test_after_a_stop_neither_process_nor_descriptor_is_left(rigs: Callable[..., Rig]) -> None:
    rig = rigs("process")
    before = sorted(os.listdir("/dev/fd"))
    rig.start().submit("a")
    pid = rig.backend.get_stats()["worker_pid"]
    assert rig.backend.stop()
    assert sorted(os.listdir("/dev/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


PARENT = """
import os, signal, sys
from lual.backend import BackendConfig
from lual_conformance.zoo.sound.crossing import LinesTo
from lual_conformance.zoo.sound.process import ProcessBackend
backend = ProcessBackend(BackendConfig(pipelines=LinesTo(sys.argv[1])))
backend.start()
if sys.argv[2:] and os.fork() == 0:
    os.close(1)
    sys.stdin.read()
    os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.processes
@pytest.mark.parametrize("forks", [(), ("and forks",)])
def test_a_process_whose_parent_is_killed_ends(tmp_path: Path, forks: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "lines"), *forks]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as parent:
        assert parent.stdout is not None
        assert parent.stdout.read() == b""  # the end: the worker has had it open, too
        assert parent.wait(PATIENCE) == -9
