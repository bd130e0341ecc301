"""The threads backend where it differs from `BaseBackend`: its thread, and its plugin."""

import gc
import importlib.metadata
import math
import sys
import threading
import weakref

import pytest

from lual.backend import BackendConfig, BoundedQueue, Clock, ConfigError, WorkItem
from lual_backend_threads import plugin
from lual_backend_threads.backend import ThreadsBackend

#: Seconds; only turn a hang into a failure.
WATCHDOG = 10.0


class Gate:
    """A dispatch function that stalls while it is closed."""

    def __init__(self):
        self.records = []
        self.threads = []
        self.entered = threading.Semaphore(0)
        self._open = threading.Event()
        self._open.set()

    def close(self):
        self._open.clear()

    def open(self):
        self._open.set()

    def __call__(self, logger, record):
        self.entered.release()
        self.threads.append(threading.current_thread())
        assert self._open.wait(WATCHDOG), "nobody opened the gate"
        self.records.append(record)

    def until_entered(self):
        assert self.entered.acquire(timeout=WATCHDOG), "the output was never called"


class FrozenClock(Clock):
    """Time stands still until a test moves it; a wait ends by a notification alone."""

    def __init__(self):
        self.seconds = 0.0
        self.parked = threading.Semaphore(0)
        self.timeouts = []

    def now(self):
        return self.seconds

    def time(self):
        return self.seconds

    def wait(self, condition, timeout):
        self.timeouts.append(timeout)
        self.parked.release()
        return condition.wait(WATCHDOG)

    def until_parked(self):
        assert self.parked.acquire(timeout=WATCHDOG), "nobody waits"


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def make_backend(gate):
    """Returns what builds a backend; all of them are ended after the test."""
    made = []

    def make(**settings):
        settings.setdefault("queue", BoundedQueue(100))
        settings.setdefault("flush_interval", 1e9)
        settings.setdefault("batch_size", 5)
        made.append(ThreadsBackend(BackendConfig(**settings)))
        return made[-1]

    yield make
    gate.open()
    for backend in made:
        backend.reset()
        assert backend.join_worker(WATCHDOG)


@pytest.fixture
def backend(make_backend, gate):
    backend = make_backend()
    backend.start(gate)
    return backend


def items(*records):
    return [WorkItem("app", record) for record in records]


def workers():
    return [t for t in threading.enumerate() if t.name == "lual-worker"]


class TestTheThread:
    def test_creating_a_backend_starts_none(self, make_backend):
        make_backend()
        assert workers() == []

    def test_a_start_makes_one_daemon(self, backend):
        (worker,) = workers()
        assert worker.daemon

    def test_a_second_start_makes_no_other(self, backend):
        backend.start()
        assert len(workers()) == 1

    def test_outputs_run_on_it_alone(self, backend, gate):
        for item in items(*range(12)):
            backend.submit(item)
        assert backend.flush(WATCHDOG) is True
        assert {thread.name for thread in gate.threads} == {"lual-worker"}
        assert gate.records == list(range(12))

    def test_submit_returns_while_an_output_stalls(self, backend, gate):
        gate.close()
        assert all(backend.submit(item) for item in items(*range(30)))
        gate.until_entered()

    def test_it_parks_when_there_is_nothing_to_do(self, make_backend, gate):
        clock = FrozenClock()
        make_backend(clock=clock).start(gate)
        clock.until_parked()
        assert clock.timeouts == [None]

    def test_it_takes_all_its_time_from_the_clock(self, make_backend, gate):
        clock = FrozenClock()
        backend = make_backend(clock=clock, flush_interval=3600.0)
        backend.start(gate)
        clock.until_parked()
        backend.submit(WorkItem("app", 1, None, 0.0))
        clock.until_parked()
        assert clock.timeouts[-1] == pytest.approx(3600.0, abs=1e-4)
        clock.seconds = 3600.0
        backend.wake_worker()
        gate.until_entered()

    def test_it_has_ended_after_a_stop(self, backend):
        assert backend.stop(WATCHDOG) is True
        assert workers() == []

    def test_it_has_ended_after_a_reset(self, backend):
        backend.reset()
        assert workers() == []

    def test_each_start_after_a_stop_makes_a_new_one(self, backend, gate):
        for record in range(3):
            backend.submit(*items(record))
            assert backend.stop(WATCHDOG) is True
            backend.start()
        assert gate.records == [0, 1, 2]
        assert len({id(thread) for thread in gate.threads}) == 3

    def test_a_stop_gives_up_on_an_output_that_stalls(self, backend, gate):
        gate.close()
        for item in items(*range(5)):
            backend.submit(item)
        gate.until_entered()
        assert backend.stop(0) is False
        gate.open()
        assert backend.join_worker(WATCHDOG) is True
        assert gate.records == [0]
        assert backend.get_stats()["dropped_by_reason"] == {"shutdown_timeout": 4}

    def test_a_start_is_refused_while_it_is_inside_an_output(self, backend, gate):
        gate.close()
        for item in items(*range(5)):
            backend.submit(item)
        gate.until_entered()
        backend.stop(0)
        with pytest.raises(RuntimeError, match="still inside an output"):
            backend.start()

    def test_a_stop_from_an_output_does_not_wait_for_itself(self, backend, gate):
        answers = []
        backend.start(lambda logger, record: answers.append(backend.stop()))
        backend.submit(*items(1))
        backend.flush(WATCHDOG)
        assert answers == [False]
        assert backend.stop(WATCHDOG) is True

    def test_a_joined_thread_may_be_the_current_one(self, backend):
        answers = []
        backend.start(lambda logger, record: answers.append(backend.join_worker(WATCHDOG)))
        backend.submit(*items(1))
        assert backend.flush(WATCHDOG) is True
        assert answers == [False]

    def test_an_endless_join_is_possible(self, make_backend):
        assert make_backend().join_worker(math.inf) is True

    def test_a_stopped_backend_can_be_collected(self):
        backend = ThreadsBackend(BackendConfig())
        backend.start(lambda logger, record: None)
        backend.submit(*items(1))
        backend.stop(WATCHDOG)
        gone = weakref.ref(backend)
        del backend
        gc.collect()
        assert gone() is None


class TestAThreadThatCannotStart:
    @pytest.fixture
    def refused(self, monkeypatch):
        def refuse(thread):
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)

    @pytest.mark.usefixtures("refused")
    def test_start_raises_and_leaves_the_state(self, make_backend, gate):
        backend = make_backend()
        with pytest.raises(RuntimeError, match="can't start new thread"):
            backend.start(gate)
        assert backend.get_stats()["state"] == "new"
        assert backend.submit(*items(1)) is False

    def test_the_next_start_may_succeed(self, make_backend, gate, refused, monkeypatch):
        backend = make_backend()
        with pytest.raises(RuntimeError):
            backend.start(gate)
        monkeypatch.undo()
        backend.start(gate)
        backend.submit(*items(1))
        assert backend.flush(WATCHDOG) is True
        assert gate.records == [1]


class TestAThreadThatDies:
    def test_the_next_flush_finds_a_new_one_at_work(self, backend, gate):
        (worker,) = workers()
        backend.submit(*items(1))
        plugin.lual_backend_faults(backend).kill_worker()
        worker.join(WATCHDOG)
        backend.submit(*items(2))
        assert backend.flush(WATCHDOG) is True
        assert gate.records == [1, 2]
        assert backend.get_stats()["worker_restarts"] == 1
        assert workers() != [worker]

    @pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
    def test_no_exception_of_an_output_ends_it(self, make_backend, kind):
        def fail(logger, record):
            raise kind

        backend = make_backend()
        backend.start(fail)
        (worker,) = workers()
        backend.submit(*items(1))
        assert backend.flush(WATCHDOG) is True
        assert workers() == [worker]
        assert backend.get_stats()["messages_failed"] == 1


class TestProducers:
    @pytest.mark.parametrize("strategy", ["drop_oldest", "drop_newest", "block"])
    def test_eight_of_them_are_accounted_for(self, make_backend, gate, strategy):
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            queue = BoundedQueue(50, strategy, block_timeout=WATCHDOG)
            backend = make_backend(queue=queue)
            backend.start(gate)
            barrier = threading.Barrier(8)
            taken = [0] * 8

            def produce(number):
                barrier.wait()
                for n in range(200):
                    taken[number] += backend.submit(WorkItem("app", (number, n)))

            threads = [threading.Thread(target=produce, args=[n]) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(WATCHDOG)
            assert backend.stop(WATCHDOG) is True
        finally:
            sys.setswitchinterval(before)
        stats = backend.get_stats()
        assert stats["messages_submitted"] == 8 * 200
        assert stats["messages_processed"] == len(gate.records)
        assert stats["messages_dropped"] == 8 * 200 - len(gate.records)
        assert sum(taken) == len(gate.records) + stats["dropped_by_reason"].get(
            "overflow_oldest", 0
        )
        if strategy == "block":
            assert len(gate.records) == 8 * 200
        for number in range(8):
            mine = [n for producer, n in gate.records if producer == number]
            assert mine == sorted(set(mine))


class TestThePlugin:
    def test_it_says_the_same_each_time_and_nothing_unknown(self):
        info = plugin.lual_backend_info()
        assert info == plugin.lual_backend_info()
        assert info.name == "threads"
        assert info.contract == (1, 0)
        assert info.available
        assert info.problems() == []

    def test_its_version_and_entry_point_are_the_distributions(self):
        distribution = importlib.metadata.distribution("lual-backend-threads")
        assert distribution.version == plugin.INFO.version
        (entry_point,) = distribution.entry_points
        assert (entry_point.group, entry_point.name) == ("lual.backends", "threads")
        assert entry_point.load() is plugin

    def test_it_claims_what_this_file_tests(self):
        claimed = plugin.INFO.capabilities
        assert claimed["worker"] == "thread"
        assert claimed["isolates_slow_outputs"] is True
        assert claimed["dispatch_concurrency"] == 1
        assert set(claimed["overflow"]) == {"drop_oldest", "drop_newest", "block"}

    def test_it_builds_a_backend_that_runs_nothing_yet(self):
        config = BackendConfig()
        backend = plugin.lual_create_backend(config)
        assert backend.config is config
        assert workers() == []

    def test_it_has_no_options(self):
        with pytest.raises(ConfigError, match="has 'threads', which this backend doesn't know"):
            plugin.lual_create_backend(BackendConfig(options={"threads": 2}))
